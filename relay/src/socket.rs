//! The relay's main port as quinn sees it: lane and STUN datagrams are dealt with on the way and never reach quinn.

use std::{
    future::Future,
    io::{self, IoSliceMut},
    net::SocketAddr,
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use peerway_proto::wire::{
    datagram::Kind,
    lane::{self, Channel},
};
use pin_project_lite::pin_project;
use quinn::{AsyncUdpSocket, UdpPoller};
use quinn_udp::{RecvMeta, Transmit};

use crate::{
    faults,
    hub::{Hub, now},
    server::Verdict,
    stun,
};

/// Receive calls in a row that yield nothing for quinn, before other tasks get their turn.
const ROUNDS: usize = 16;

#[derive(Debug)]
pub(crate) struct MainSocket {
    hub: Arc<Hub>,
}

impl MainSocket {
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        Self { hub }
    }

    /// Deals with all datagrams but QUIC, and moves the buffers with QUIC in them to the front. Returns how many those are.
    fn sort(&self, bufs: &mut [IoSliceMut<'_>], metas: &mut [RecvMeta], received: usize) -> usize {
        let now = now().instant;
        let mut kept = 0;
        for index in 0..received {
            let (Some(buf), Some(meta)) = (bufs.get_mut(index), metas.get_mut(index)) else {
                break;
            };
            let kept_len = self
                .hub
                .contain("a datagram", || self.keep_quic(now, buf, meta));
            meta.len = kept_len.unwrap_or_default();
            if meta.len > 0 {
                bufs.swap(kept, index);
                metas.swap(kept, index);
                kept += 1;
            }
        }
        kept
    }

    /// Deals with the datagrams of one buffer, in runs of the same class, and moves QUIC packets to its front. Returns the
    /// length of those.
    fn keep_quic(&self, now: Instant, buf: &mut [u8], meta: &RecvMeta) -> usize {
        let len = meta.len.min(buf.len());
        let stride = meta.stride.clamp(1, len.max(1));
        let (mut start, mut kept) = (0, 0);
        while start < len {
            faults::trip(&buf[start..len]);
            let (class, run) = first_run(&buf[..len], start, stride);
            start = run.end;
            match class {
                Class::Quic => {
                    let run_len = run.len();
                    buf.copy_within(run, kept);
                    kept += run_len;
                }
                Class::Lane(channel) => self.lane(now, channel, meta, &buf[run]),
                Class::Stun => {
                    for request in buf[run].chunks(stride) {
                        let ports = [&self.hub.port, &self.hub.stun_port];
                        stun::answer(&self.hub, ports, meta, request);
                    }
                }
                Class::Junk => {}
            }
        }
        kept
    }

    fn lane(&self, now: Instant, channel: Channel, meta: &RecvMeta, run: &[u8]) {
        let verdict = self
            .hub
            .lock()
            .server
            .lane(now, meta.addr, channel, run.len());
        match verdict {
            Verdict::Forward(to) => self.hub.port.send(&Transmit {
                destination: to.remote,
                ecn: meta.ecn,
                contents: run,
                segment_size: (run.len() > meta.stride).then_some(meta.stride),
                src_ip: to.local,
            }),
            Verdict::Hold(client) => {
                let mut state = self.hub.lock();
                for datagram in run.chunks(meta.stride.max(1)) {
                    state.server.hold(now, client, channel, datagram);
                }
            }
            Verdict::Drop => {}
        }
    }
}

/// What a run of datagrams is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Quic,
    Lane(Channel),
    Stun,
    Junk,
}

impl Class {
    fn of(datagram: &[u8]) -> Self {
        match Kind::of(datagram) {
            Some(Kind::Quic) if is_quic_v1(datagram) => Self::Quic,
            Some(Kind::Lane) => {
                lane::Frame::parse(datagram).map_or(Self::Junk, |frame| Self::Lane(frame.channel))
            }
            Some(Kind::Stun) => Self::Stun,
            _ => Self::Junk,
        }
    }
}

/// The datagrams from `start` on that are of one class, and which.
fn first_run(buf: &[u8], start: usize, stride: usize) -> (Class, Range<usize>) {
    let mut classes = buf[start..]
        .chunks(stride)
        .map(|datagram| (Class::of(datagram), datagram.len()));
    let Some((class, len)) = classes.next() else {
        return (Class::Junk, start..buf.len());
    };
    let more: usize = classes
        .take_while(|(next, _)| *next == class)
        .map(|(_, len)| len)
        .sum();
    (class, start..start + len + more)
}

/// A long header of another version would make quinn answer with the versions it speaks, to whoever sent it.
fn is_quic_v1(packet: &[u8]) -> bool {
    const LONG_HEADER: u8 = 0x80;
    match packet {
        [first, version @ ..] if first & LONG_HEADER != 0 => version.starts_with(&[0, 0, 0, 1]),
        _ => true,
    }
}

impl AsyncUdpSocket for MainSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        let hub = self.hub.clone();
        Box::pin(Writable {
            make: move || {
                let hub = hub.clone();
                async move { hub.port.writable().await }
            },
            waiting: None,
        })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.hub.port.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        for _ in 0..ROUNDS {
            let received = ready!(self.hub.port.poll_recv(cx, bufs, metas))?;
            let kept = self.sort(bufs, metas, received);
            if kept > 0 {
                return Poll::Ready(Ok(kept));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.hub.port.local_addr()
    }

    fn max_receive_segments(&self) -> usize {
        self.hub.port.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.hub.port.may_fragment()
    }
}

pin_project! {
    /// Waits for room to send, any number of times: a new future from `make` for each wait.
    struct Writable<Make, Fut> {
        make: Make,
        #[pin]
        waiting: Option<Fut>,
    }
}

impl<Make, Fut> UdpPoller for Writable<Make, Fut>
where
    Make: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = io::Result<()>> + Send + Sync + 'static,
{
    fn poll_writable(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut this = self.project();
        if this.waiting.is_none() {
            this.waiting.set(Some((this.make)()));
        }
        let Some(waiting) = this.waiting.as_mut().as_pin_mut() else {
            return Poll::Ready(Ok(()));
        };
        let result = ready!(waiting.poll(cx));
        this.waiting.set(None);
        Poll::Ready(result)
    }
}

impl<Make, Fut> std::fmt::Debug for Writable<Make, Fut> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writable").finish_non_exhaustive()
    }
}

//! The main port: lane and STUN datagrams are dealt with within the receive call, QUIC is queued for the clients' task.

use std::{future::poll_fn, io::IoSliceMut, net::SocketAddr, ops::Range, sync::Arc, time::Instant};

use peerway_carrier::numbered::{number_of, of_datagram};
use peerway_proto::wire::{
    datagram::DatagramKind,
    lane::{self, Channel},
};
use quinn_proto::EcnCodepoint;
use quinn_udp::{BATCH_SIZE, RecvMeta};
use tokio::{sync::mpsc, task::yield_now};

use crate::{
    clients::{Arrival, Datagram},
    faults,
    hub::{Hub, now},
    lane::Batch,
    port::Ports,
    server::Verdict,
    stun,
};

/// Receive calls in a row before other tasks get their turn.
const ROUNDS: usize = 16;
/// Longest batch of datagrams that the kernel may hand over as one.
const BUFFER: usize = 1 << 16;
/// Longest QUIC datagram that we say we take (RFC 9000 section 18.2: quinn-proto's default for `max_udp_payload_size`).
const MAX_QUIC: usize = 1472;

/// Receives what comes to the main port.
#[derive(Debug)]
pub(crate) struct Sorter {
    pub(crate) hub: Arc<Hub>,
    pub(crate) ports: Arc<Ports>,
    /// QUIC. What finds no room is dropped, as the kernel does with what nobody takes.
    pub(crate) queue: mpsc::Sender<Arrival>,
}

impl Sorter {
    /// Serves until the port fails.
    pub(crate) async fn serve(self: Arc<Self>) {
        let mut buffers = vec![0; BATCH_SIZE * BUFFER];
        let mut bufs: Vec<_> = buffers.chunks_mut(BUFFER).map(IoSliceMut::new).collect();
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        loop {
            for _ in 0..ROUNDS {
                let received =
                    poll_fn(|cx| self.ports.main.poll_recv(cx, &mut bufs, &mut metas)).await;
                let Ok(received) = received else {
                    return;
                };
                let now = now().instant;
                let mut lane = None;
                for (buf, meta) in bufs.iter().zip(&mut metas).take(received) {
                    meta.addr = of_datagram(meta.addr);
                    self.hub
                        .contain("a datagram", || self.sort(&mut lane, now, buf, meta));
                }
                self.hub
                    .contain("a lane datagram", || self.forward(now, lane));
            }
            yield_now().await;
        }
    }

    /// A stream ended: so does the connection of whoever was registered over it.
    pub(crate) async fn ended(&self, addr: SocketAddr) {
        let _ = self.queue.send(Arrival::Ended(addr)).await;
    }

    /// Deals with the datagrams of one buffer.
    pub(crate) fn take(&self, now: Instant, buf: &[u8], meta: &RecvMeta) {
        let mut lane = None;
        self.sort(&mut lane, now, buf, meta);
        self.forward(now, lane);
    }

    /// Deals with the datagrams of one buffer, in runs of the same class. Those of the lane that may leave with what comes next
    /// are left in `lane`.
    fn sort<'a>(&self, lane: &mut Option<Batch<'a>>, now: Instant, buf: &'a [u8], meta: &RecvMeta) {
        let len = meta.len.min(buf.len());
        let stride = meta.stride.clamp(1, len.max(1));
        let mut start = 0;
        while start < len {
            faults::trip(&buf[start..len]);
            let (class, run) = first_run(&buf[..len], start, stride);
            start = run.end;
            let run = &buf[run];
            match class {
                Class::Quic => self.quic(meta, run.chunks(stride)),
                Class::Lane(channel) => {
                    let segments = self.ports.main.max_send_segments();
                    let is_more = lane
                        .as_mut()
                        .is_some_and(|batch| batch.add(channel, meta, run, segments));
                    if !is_more {
                        let before = lane.replace(Batch::new(channel, meta, run));
                        self.forward(now, before);
                    }
                }
                // Whoever asks over TCP where it is learns nothing of use.
                Class::Stun if number_of(meta.addr).is_some() => {}
                Class::Stun => {
                    for request in run.chunks(stride) {
                        let ports = [&self.ports.main, &self.ports.stun];
                        stun::answer(&self.hub, ports, meta, request);
                    }
                }
                Class::Junk => {}
            }
        }
    }

    fn quic<'a>(&self, meta: &RecvMeta, datagrams: impl Iterator<Item = &'a [u8]>) {
        for bytes in datagrams.filter(|bytes| bytes.len() <= MAX_QUIC) {
            let queued = self.queue.try_send(Arrival::Datagram(Datagram {
                remote: meta.addr,
                local: meta.dst_ip,
                ecn: meta.ecn.and_then(|ecn| EcnCodepoint::from_bits(ecn as u8)),
                bytes: bytes.into(),
            }));
            if queued.is_err() {
                self.hub.note_overflow();
            }
        }
    }

    fn forward(&self, now: Instant, batch: Option<Batch<'_>>) {
        let Some(batch) = batch else {
            return;
        };
        let (source, channel) = (batch.source, batch.channel);
        let verdict = self.hub.lock().lane(now, source, channel, batch.len);
        match verdict {
            Verdict::Forward(to) => self.ports.forward(&batch, to),
            Verdict::Hold(client) => {
                let mut server = self.hub.lock();
                for datagram in batch.datagrams() {
                    server.hold(now, client, channel, datagram);
                }
            }
            Verdict::Wait(client) => {
                if (self.hub.lock()).wait(now, client, channel, batch.to_owned()) {
                    self.hub.hasten_lane();
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
        match DatagramKind::of(datagram) {
            Some(DatagramKind::Quic) if is_quic_v1(datagram) => Self::Quic,
            Some(DatagramKind::Lane) => {
                lane::Frame::parse(datagram).map_or(Self::Junk, |frame| Self::Lane(frame.channel))
            }
            Some(DatagramKind::Stun) => Self::Stun,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{port::Port, server::Limits, tcp::Streams};

    #[tokio::test]
    async fn quic_that_finds_no_room_in_the_queue_is_dropped_and_counted() {
        let port = || Port::open(([127, 0, 0, 1], 0).into()).unwrap();
        let (queue, mut waiting) = mpsc::channel(2);
        let sorter = Sorter {
            hub: Arc::new(Hub::new(Limits::default())),
            ports: Arc::new(Ports {
                main: port(),
                stun: port(),
                streams: Streams::default(),
            }),
            queue,
        };
        let buffer = [0x40; 5 * 100];
        let mut meta = RecvMeta::default();
        (meta.len, meta.stride) = (buffer.len(), 100);
        sorter.take(now().instant, &buffer, &meta);
        assert_eq!(sorter.hub.overflows(), 3);
        for _ in 0..2 {
            let waiting = waiting.try_recv().unwrap();
            assert!(matches!(waiting, Arrival::Datagram(it) if it.bytes == [0x40; 100][..]));
        }
        let too_long = [0x40; MAX_QUIC + 1];
        (meta.len, meta.stride) = (too_long.len(), too_long.len());
        sorter.take(now().instant, &too_long, &meta);
        assert!(waiting.try_recv().is_err());
    }
}

//! The mux as quinn sees it: one socket.

use std::{
    cell::RefCell,
    io::{self, IoSliceMut},
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use peerway_carrier::numbered::of_datagram;
use quinn::{AsyncUdpSocket, UdpPoller};
use quinn_udp::{RecvMeta, Transmit};

use super::{
    Mux,
    demux::Sorter,
    extra::Extra,
    link::{Dest, Link, RESERVED, handle_of, virtual_addr},
    poller::Poller,
    socket::Socket,
};
use crate::{proto::io::Sock, wire::lane::HEADER_LEN};

/// The largest batch the kernel hands out is 64 KiB, and quinn allots 1472 bytes for each segment we name.
const MAX_RECEIVE_SEGMENTS: usize = 65_535 / 1472 + 1;
/// Batches read in one poll that may turn out to hold nothing for quinn, before other tasks get their turn.
const MAX_ROUNDS: usize = 32;
/// Marks the packets of a handshake (RFC 9000 section 17.2, "header form").
pub(super) const LONG_HEADER: u8 = 0x80;

thread_local! {
    /// Where lane frames are put together.
    pub(super) static FRAMES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl AsyncUdpSocket for Mux {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Poller::new(move || {
            let mux = self.clone();
            // A socket that was not blocked is writable at once, so this waits for the one that was.
            async move {
                for socket in mux.sockets() {
                    socket.writable().await?;
                }
                let extras = Arc::clone(&mux.extras.list());
                for extra in extras.iter().filter(|extra| extra.socket.is_wide()) {
                    extra.socket.writable().await?;
                }
                Ok(())
            }
        }))
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let tables = self.tables.load();
        let link = handle_of(transmit.destination).and_then(|handle| tables.links.get(&handle));
        let Some(link) = link else {
            return Ok(());
        };
        let route = link.route.load();
        if self.gather(link, &route.dests, transmit)? {
            return Ok(());
        }
        let mut sent = false;
        let mut blocked = Ok(());
        for dest in &route.dests {
            match self.send_to(link, *dest, transmit) {
                Ok(()) => sent = true,
                Err(error) => blocked = Err(error),
            }
        }
        if sent { Ok(()) } else { blocked }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        // Before: what begins to wait from now on wakes this task.
        self.outlets.injected.register(cx);
        self.send_waiting(cx);
        for _ in 0..MAX_ROUNDS {
            if !self.outlets.injected.is_empty() {
                return Poll::Ready(Ok(self.outlets.injected.deliver(bufs, meta)));
            }
            let extras = self.extras.list();
            match self.poll_sockets(&extras, cx, bufs, meta) {
                Poll::Ready(0) => {}
                Poll::Ready(count) => return Poll::Ready(Ok(count)),
                Poll::Pending => {
                    self.outlets.injected.register(cx);
                    if self.outlets.injected.is_empty() && self.extras.are_still(&extras) {
                        return Poll::Pending;
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// quinn only connects to IPv6 addresses from an IPv6 address.
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(virtual_addr(RESERVED))
    }

    fn max_transmit_segments(&self) -> usize {
        let main = self.sockets().map(Socket::max_transmit_segments);
        let extras = self.extras.list();
        let wide = extras.iter().filter(|extra| extra.socket.is_wide());
        main.chain(wide.map(|extra| extra.socket.max_transmit_segments()))
            .min()
            .unwrap_or(1)
    }

    /// All sockets of one kernel can do the same.
    fn max_receive_segments(&self) -> usize {
        let segments = self.sockets().map(Socket::max_receive_segments);
        segments.max().unwrap_or(1).min(MAX_RECEIVE_SEGMENTS)
    }

    fn may_fragment(&self) -> bool {
        self.sockets().any(Socket::may_fragment)
    }
}

impl Mux {
    fn send_to(&self, link: &Link, dest: Dest, transmit: &Transmit<'_>) -> io::Result<()> {
        if let Some(is_news) = self.send_on_carrier(link, dest, transmit) {
            if is_news {
                self.report_activity(link.handle());
            }
            return Ok(());
        }
        let from_to = dest.pair();
        if from_to.sock.is_tcp() {
            if self.send_on_tcp(from_to.sock, link, transmit) {
                self.report_activity(link.handle());
            }
            return Ok(());
        }
        let sent = self.with_socket(from_to, |socket, addr| {
            send(socket, addr, link, dest, transmit)
        });
        if sent.unwrap_or(Ok(false))? {
            self.report_activity(link.handle());
        }
        Ok(())
    }

    /// One round over all sockets: how many buffers quinn gets, or that there was nothing at all to read.
    fn poll_sockets(
        &self,
        extras: &[Extra],
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<usize> {
        let main = self.sockets().map(|socket| (Sock::MAIN, socket));
        let extras = extras.iter().map(|extra| (extra.sock, &*extra.socket));
        let sockets = main.chain(extras);
        let count = sockets.clone().count();
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % count.max(1);
        let mut any = false;
        for (sock, socket) in sockets.cycle().skip(first).take(count) {
            if let Poll::Ready(count) = socket.poll_recv(cx, bufs, meta) {
                any = true;
                for meta in meta.iter_mut().take(count) {
                    meta.addr = self.inward(of_datagram(meta.addr));
                }
                let tables = self.tables.load();
                let kept = Sorter::new(sock, &tables, &self.outlets).sort(bufs, meta, count);
                if kept > 0 {
                    return Poll::Ready(kept);
                }
            }
        }
        if any { Poll::Ready(0) } else { Poll::Pending }
    }
}

/// Sends what quinn gave us; true if the driver must be told of it.
fn send(
    socket: &Socket,
    destination: SocketAddr,
    link: &Link,
    dest: Dest,
    transmit: &Transmit<'_>,
) -> io::Result<bool> {
    let len = transmit.contents.len();
    let datagrams = len.div_ceil(segment_of(transmit)) as u64;
    match dest {
        Dest::Direct(_) => {
            socket.send(&Transmit {
                destination,
                ecn: transmit.ecn,
                contents: transmit.contents,
                segment_size: transmit.segment_size,
                src_ip: None,
            })?;
            Ok(link.sent_direct(datagrams, len as u64))
        }
        Dest::Lane { .. } => {
            // What is lost of a handshake is missed late, as nobody knows the round trip yet. So a lane gets it twice.
            let first = transmit.contents.first();
            let copies = 1 + u64::from(first.is_some_and(|first| first & LONG_HEADER != 0));
            FRAMES.with_borrow_mut(|frames| {
                frames.clear();
                dest.frame(transmit, frames);
                let framed = Transmit {
                    destination,
                    ecn: transmit.ecn,
                    contents: frames,
                    segment_size: transmit.segment_size.map(|size| size + HEADER_LEN),
                    src_ip: None,
                };
                (0..copies).try_for_each(|_| socket.send(&framed))
            })?;
            Ok(link.sent_lane(copies * datagrams, copies * len as u64))
        }
    }
}

/// The length of each datagram but perhaps the last.
pub(super) fn segment_of(transmit: &Transmit<'_>) -> usize {
    let len = transmit.contents.len();
    transmit.segment_size.unwrap_or(len).max(1)
}

//! The mux: one UDP socket per address family under one quinn endpoint, and a stable virtual address for every link.
//!
//! quinn sends to a virtual address, and the mux sends to wherever the link's [`Route`] points at that moment. What comes
//! in is told apart segment by segment: QUIC packets of admitted sources go up under the virtual address of their link,
//! STUN and our own messages go to the driver, and everything else is dropped without an answer.
//!
//! The data path only reads tables that are replaced as a whole (`arc-swap`); it takes no lock.

mod demux;
mod inject;
mod link;
mod poller;
mod socket;
mod tables;

use std::{
    cell::RefCell,
    collections::hash_map::Entry,
    io::{self, IoSliceMut},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use quinn::{AsyncUdpSocket, UdpPoller};
use quinn_udp::{RecvMeta, Transmit};
use tokio::sync::{Notify, mpsc};

use crate::wire::lane::{Channel, HEADER_LEN};

pub(crate) use demux::Side;
pub(crate) use link::{Dest, Link, LinkHandle, Route, handle_of, virtual_addr};

use demux::{Outlets, SIDE_CAPACITY, Sorter};
use link::RESERVED;
use poller::Poller;
use socket::Socket;
use tables::{Source, Tables};

/// The largest batch the kernel hands out is 64 KiB, and quinn allots 1472 bytes for each segment we name.
const MAX_RECEIVE_SEGMENTS: usize = 65_535 / 1472 + 1;
/// Batches read in one poll that may turn out to hold nothing for quinn, before other tasks get their turn.
const MAX_ROUNDS: usize = 32;

thread_local! {
    /// Where lane frames are put together.
    static FRAMES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Mux {
    v4: Option<Socket>,
    v6: Option<Socket>,
    tables: ArcSwap<Tables>,
    next_handle: AtomicU32,
    outlets: Outlets,
    /// Links that began to send directly; locked on that edge only.
    active: Mutex<Vec<LinkHandle>>,
    activity: Notify,
    v6_first: AtomicBool,
}

impl Mux {
    /// Opens the sockets: of both families at one port where possible, or the one that `addr` names.
    ///
    /// The receiver takes what is for the driver; it holds 512 datagrams and then loses more.
    ///
    /// # Errors
    /// The operating system's, if there is no socket to be had.
    pub(crate) fn bind(addr: Option<SocketAddr>) -> io::Result<(Arc<Self>, mpsc::Receiver<Side>)> {
        let (v4, v6) = match addr {
            None => bind_both(0)?,
            Some(addr) if addr.ip().is_unspecified() => bind_both(addr.port())?,
            Some(addr) if addr.is_ipv4() => (Some(Socket::bind(addr)?), None),
            Some(addr) => (None, Some(Socket::bind(addr)?)),
        };
        let (side, receiver) = mpsc::channel(SIDE_CAPACITY);
        let mux = Self {
            v4,
            v6,
            tables: ArcSwap::default(),
            next_handle: AtomicU32::new(RESERVED.0 + 1),
            outlets: Outlets::new(side),
            active: Mutex::default(),
            activity: Notify::new(),
            v6_first: AtomicBool::new(false),
        };
        Ok((Arc::new(mux), receiver))
    }

    /// The address of the IPv4 socket.
    pub(crate) fn local_v4(&self) -> Option<SocketAddr> {
        self.v4.as_ref().map(Socket::local_addr)
    }

    /// The address of the IPv6 socket.
    pub(crate) fn local_v6(&self) -> Option<SocketAddr> {
        self.v6.as_ref().map(Socket::local_addr)
    }

    /// Makes a link that leads nowhere yet.
    pub(crate) fn add_link(&self) -> Arc<Link> {
        loop {
            let handle = LinkHandle(self.next_handle.fetch_add(1, Ordering::Relaxed));
            let mut added = None;
            self.tables.rcu(|tables| {
                let mut tables = Tables::clone(tables);
                added = match tables.links.entry(handle) {
                    Entry::Vacant(entry) if handle != RESERVED => {
                        Some(entry.insert(Arc::new(Link::new(handle))).clone())
                    }
                    Entry::Vacant(_) | Entry::Occupied(_) => None,
                };
                tables
            });
            if let Some(link) = added {
                return link;
            }
        }
    }

    /// Forgets a link, its sources and its channels.
    pub(crate) fn remove_link(&self, handle: LinkHandle) {
        self.edit(|tables| tables.remove(handle));
    }

    /// Sends the link's packets over `route` from now on. `switch` says that this is another path than before, known to
    /// the congestion controller as `path_key`; [`nudge`](super::transport::nudge) the link's connections then.
    pub(crate) fn set_route(&self, link: &Link, mut route: Route, path_key: u8, switch: bool) {
        route.dests.retain(|dest| is_sendable(dest.addr()));
        link.route.store(Arc::new(route));
        if switch {
            self.restore_offload();
            link.epoch().switch_to(path_key);
        }
    }

    /// Takes QUIC packets from `source` as the link's.
    pub(crate) fn admit(&self, source: SocketAddr, link: &Arc<Link>) {
        self.admit_source(source, link, false);
    }

    /// Takes QUIC packets from `source` as the link's, and lane frames too.
    pub(crate) fn admit_relay(&self, source: SocketAddr, link: &Arc<Link>) {
        self.admit_source(source, link, true);
    }

    /// Undoes [`Self::admit`] and [`Self::admit_relay`].
    pub(crate) fn expel(&self, source: SocketAddr) {
        self.edit(|tables| {
            tables.sources.remove(&source);
        });
    }

    /// Takes lane frames of `channel` from `relay` as the link's packets.
    pub(crate) fn admit_channel(&self, relay: SocketAddr, channel: Channel, link: &Arc<Link>) {
        self.edit(|tables| {
            tables.channels.insert((relay, channel), link.clone());
        });
    }

    /// Undoes [`Self::admit_channel`].
    pub(crate) fn expel_channel(&self, relay: SocketAddr, channel: Channel) {
        self.edit(|tables| {
            tables.channels.remove(&(relay, channel));
        });
    }

    /// Gives quinn a packet of the link that was held back.
    pub(crate) fn inject(&self, link: LinkHandle, packet: Bytes) {
        self.outlets.injected.push(link, packet);
    }

    /// Sends a message of ours or STUN, not through what carries bulk data. Linux alone can send it with a `ttl` of its own.
    ///
    /// # Errors
    /// The operating system's; also if the address cannot be sent to, or we have no socket of its family.
    pub(crate) fn send_message(
        &self,
        dst: SocketAddr,
        ttl: Option<u8>,
        bytes: &[u8],
    ) -> io::Result<()> {
        if !is_sendable(dst) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let socket = self.socket(dst).ok_or(io::ErrorKind::AddrNotAvailable)?;
        socket.send_message(dst, ttl, bytes)
    }

    /// Waits for links that send directly while nobody watches them; from then on they count as watched, until
    /// [`Link::unwatch`]. Nothing is lost if the future is dropped.
    pub(crate) async fn activity(&self) -> Vec<LinkHandle> {
        loop {
            let active =
                std::mem::take(&mut *self.active.lock().unwrap_or_else(PoisonError::into_inner));
            if !active.is_empty() {
                return active;
            }
            self.activity.notified().await;
        }
    }

    /// Call it after the network changed: what was refused on the old one may work on the new one.
    pub(crate) fn refresh(&self) {
        self.restore_offload();
    }

    /// Datagrams dropped unread: from sources not admitted, or of no known kind.
    pub(crate) fn strangers(&self) -> u64 {
        self.outlets.strangers.load(Ordering::Relaxed)
    }

    /// Datagrams for the driver that were lost because it did not keep up.
    pub(crate) fn side_dropped(&self) -> u64 {
        self.outlets.side_dropped.load(Ordering::Relaxed)
    }

    /// Batches that the system refused to send.
    pub(crate) fn unsendable(&self) -> u64 {
        self.sockets().map(Socket::unsendable).sum()
    }

    fn admit_source(&self, source: SocketAddr, link: &Arc<Link>, is_relay: bool) {
        self.edit(|tables| {
            let link = link.clone();
            tables.sources.insert(source, Source { link, is_relay });
        });
    }

    fn edit(&self, change: impl Fn(&mut Tables)) {
        self.tables.rcu(|tables| {
            let mut tables = Tables::clone(tables);
            change(&mut tables);
            tables
        });
    }

    fn restore_offload(&self) {
        self.sockets().for_each(Socket::restore_offload);
    }

    fn sockets(&self) -> impl Iterator<Item = &Socket> {
        self.v4.iter().chain(&self.v6)
    }

    fn socket(&self, dst: SocketAddr) -> Option<&Socket> {
        match dst {
            SocketAddr::V4(_) => self.v4.as_ref(),
            SocketAddr::V6(_) => self.v6.as_ref(),
        }
    }

    fn send_to(&self, link: &Link, dest: Dest, transmit: &Transmit<'_>) -> io::Result<()> {
        let Some(socket) = self.socket(dest.addr()) else {
            return Ok(());
        };
        let len = transmit.contents.len();
        let segment = transmit.segment_size.unwrap_or(len).max(1);
        let datagrams = len.div_ceil(segment) as u64;
        match dest {
            Dest::Direct(addr) => {
                socket.send(&Transmit {
                    destination: addr,
                    ecn: transmit.ecn,
                    contents: transmit.contents,
                    segment_size: transmit.segment_size,
                    src_ip: None,
                })?;
                if link.sent_direct(datagrams, len as u64) {
                    self.report_activity(link.handle());
                }
            }
            Dest::Lane { relay, channel } => {
                FRAMES.with_borrow_mut(|frames| {
                    frames.clear();
                    for packet in transmit.contents.chunks(segment) {
                        frames.extend_from_slice(&channel.header());
                        frames.extend_from_slice(packet);
                    }
                    socket.send(&Transmit {
                        destination: relay,
                        ecn: transmit.ecn,
                        contents: frames,
                        segment_size: transmit.segment_size.map(|size| size + HEADER_LEN),
                        src_ip: None,
                    })
                })?;
                link.sent_lane(datagrams, len as u64);
            }
        }
        Ok(())
    }

    fn report_activity(&self, link: LinkHandle) {
        self.active
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(link);
        self.activity.notify_one();
    }

    /// One round over both sockets: how many buffers quinn gets, or that there was nothing at all to read.
    fn poll_sockets(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<usize> {
        let v6_first = self.v6_first.fetch_xor(true, Ordering::Relaxed);
        let order = if v6_first {
            [&self.v6, &self.v4]
        } else {
            [&self.v4, &self.v6]
        };
        let mut any = false;
        for socket in order.into_iter().flatten() {
            if let Poll::Ready(count) = socket.poll_recv(cx, bufs, meta) {
                any = true;
                let tables = self.tables.load();
                let kept = Sorter::new(&tables, &self.outlets).sort(bufs, meta, count);
                if kept > 0 {
                    return Poll::Ready(kept);
                }
            }
        }
        if any { Poll::Ready(0) } else { Poll::Pending }
    }
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
        let mut sent = false;
        let mut blocked = Ok(());
        for dest in &link.route.load().dests {
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
        for _ in 0..MAX_ROUNDS {
            if !self.outlets.injected.is_empty() {
                return Poll::Ready(Ok(self.outlets.injected.deliver(bufs, meta)));
            }
            match self.poll_sockets(cx, bufs, meta) {
                Poll::Ready(0) => {}
                Poll::Ready(count) => return Poll::Ready(Ok(count)),
                Poll::Pending => {
                    self.outlets.injected.register(cx);
                    if self.outlets.injected.is_empty() {
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
        let segments = self.sockets().map(Socket::max_transmit_segments);
        segments.min().unwrap_or(1)
    }

    fn max_receive_segments(&self) -> usize {
        let segments = self.sockets().map(Socket::max_receive_segments);
        segments.max().unwrap_or(1).min(MAX_RECEIVE_SEGMENTS)
    }

    fn may_fragment(&self) -> bool {
        self.sockets().any(Socket::may_fragment)
    }
}

fn bind_both(port: u16) -> io::Result<(Option<Socket>, Option<Socket>)> {
    let bind_v6 = |port| Socket::bind((Ipv6Addr::UNSPECIFIED, port).into());
    match Socket::bind((Ipv4Addr::UNSPECIFIED, port).into()) {
        Ok(v4) => {
            let v6 = bind_v6(v4.local_addr().port()).or_else(|_| bind_v6(0));
            Ok((Some(v4), v6.ok()))
        }
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
        Err(error) => match bind_v6(port) {
            Ok(v6) => Ok((None, Some(v6))),
            Err(_) => Err(error),
        },
    }
}

/// Whether the kernel would take the address at all: it answers others with the error that costs segmentation offload.
fn is_sendable(addr: SocketAddr) -> bool {
    let scope = match addr {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(addr) => addr.scope_id(),
    };
    let ip_is_fit = match addr.ip() {
        IpAddr::V4(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast(),
        IpAddr::V6(ip) => {
            !ip.is_unspecified()
                && !ip.is_multicast()
                && ip.to_ipv4_mapped().is_none()
                && (!ip.is_unicast_link_local() || scope != 0)
        }
    };
    ip_is_fit && addr.port() != 0
}

#[cfg(test)]
mod tests;

//! The mux: one UDP socket per address family and what is opened for hard NATs, under one quinn endpoint, and a stable
//! virtual address for every link.
//!
//! quinn sends to a virtual address, and the mux sends to wherever the link's [`Destinations`] points at that moment. What comes
//! in is told apart segment by segment: QUIC packets of admitted sources go up under the virtual address of their link,
//! STUN and our own messages go to the driver, and everything else is dropped without an answer.
//!
//! Here is what the driver sets and asks; `data_path` is what quinn calls. It only reads tables that are replaced as a whole
//! (`arc-swap`), and takes no lock but those of the link that sends and of
//! the list of links with something that waits.

mod ahead;
mod called;
mod carriers;
mod data_path;
mod demux;
mod extra;
mod gather;
mod inject;
mod link;
mod poller;
mod socket;
mod tables;
mod tcp;

use std::{
    collections::hash_map::Entry,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use peerway_carrier::numbered::number_of;
use tokio::sync::{Notify, mpsc};

use crate::{
    addr::Nat64,
    proto::io::{Pair, Sock},
    wire::lane::Channel,
};

pub(crate) use called::Called;
pub(crate) use carriers::Carrier;
pub(crate) use demux::ForDriver;
pub(crate) use link::{Dest, Destinations, Link, LinkHandle, handle_of, virtual_addr};
pub(crate) use tcp::Outbox;

use data_path::FRAMES;
use demux::{DRIVER_CAPACITY, Outlets};
use extra::Extras;
use gather::Waiting;
use link::RESERVED;
use socket::Socket;
use tables::Tables;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Mux {
    v4: Option<Socket>,
    v6: Option<Socket>,
    extras: Extras,
    /// The translator that stands for IPv4.
    nat64: ArcSwapOption<Nat64>,
    tables: ArcSwap<Tables>,
    next_handle: AtomicU32,
    next_carrier: AtomicU32,
    outlets: Outlets,
    waiting: Waiting,
    /// Links that began to send; locked on that edge only.
    active: Mutex<Vec<LinkHandle>>,
    activity: Notify,
    /// Which socket is read first; every one gets its turn.
    turn: AtomicUsize,
}

impl Mux {
    /// Opens the sockets: of both families at one port where possible, or the one that `addr` names.
    ///
    /// The receiver takes what is for the driver; it holds 512 datagrams and then loses more.
    ///
    /// # Errors
    /// The operating system's, if there is no socket to be had.
    pub(crate) fn bind(
        addr: Option<SocketAddr>,
    ) -> io::Result<(Arc<Self>, mpsc::Receiver<ForDriver>)> {
        let (v4, v6) = match addr {
            None => bind_both(0)?,
            Some(addr) if addr.ip().is_unspecified() => bind_both(addr.port())?,
            Some(addr) if addr.is_ipv4() => (Some(Socket::bind(addr)?), None),
            Some(addr) => (None, Some(Socket::bind(addr)?)),
        };
        let (side, receiver) = mpsc::channel(DRIVER_CAPACITY);
        let mux = Self {
            v4,
            v6,
            extras: Extras::default(),
            nat64: ArcSwapOption::empty(),
            tables: ArcSwap::default(),
            next_handle: AtomicU32::new(RESERVED.0 + 1),
            next_carrier: AtomicU32::default(),
            outlets: Outlets::new(side),
            waiting: Waiting::default(),
            active: Mutex::default(),
            activity: Notify::new(),
            turn: AtomicUsize::new(0),
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

    /// The address that packets to `to` leave from, if the node was given one of that family.
    pub(crate) fn source_towards(&self, to: IpAddr) -> Option<IpAddr> {
        let local = match to {
            IpAddr::V4(_) => self.local_v4(),
            IpAddr::V6(_) => self.local_v6(),
        };
        let ip = local?.ip();
        (!ip.is_unspecified()).then_some(ip)
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
    pub(crate) fn set_route(
        &self,
        link: &Link,
        mut route: Destinations,
        path_key: u32,
        switch: bool,
    ) {
        (route.dests).retain(|dest| number_of(dest.addr()).is_some() || is_sendable(dest.addr()));
        self.widen(&route);
        link.route.store(Arc::new(route));
        if switch {
            self.restore_offload();
            link.epoch().switch_to(path_key);
        }
    }

    /// Takes QUIC packets from `source` as the link's from now on, unless a relay is there.
    pub(crate) fn admit(&self, source: SocketAddr, link: &Arc<Link>) {
        self.edit(|tables| tables.admit(source, link));
    }

    /// Takes QUIC packets from `source` as the link's, and lane frames too.
    pub(crate) fn admit_relay(&self, source: SocketAddr, link: &Arc<Link>) {
        self.edit(|tables| tables.admit_relay(source, link));
    }

    /// Undoes [`Self::admit`] and [`Self::admit_relay`] where the source is still the link's.
    pub(crate) fn expel(&self, source: SocketAddr, link: LinkHandle) {
        self.edit(|tables| tables.expel(source, link));
    }

    /// Takes lane frames of `channel` from `relay` as the link's packets.
    pub(crate) fn admit_channel(&self, relay: SocketAddr, channel: Channel, link: &Arc<Link>) {
        self.edit(|tables| {
            tables.channels.insert((relay, channel), link.clone());
        });
    }

    /// Undoes [`Self::admit_channel`] for every relay.
    pub(crate) fn close_channel(&self, channel: Channel) {
        self.edit(|tables| tables.close_channel(channel));
    }

    /// The link whose packets these lane frames are.
    pub(crate) fn link_of(&self, relay: SocketAddr, channel: Channel) -> Option<LinkHandle> {
        let tables = self.tables.load();
        let link = tables.channels.get(&(relay, channel))?;
        Some(link.handle())
    }

    /// Gives quinn a packet of the link that was held back.
    pub(crate) fn inject(&self, link: LinkHandle, packet: Bytes) {
        self.outlets.injected.push(link, packet);
    }

    /// Sends a message of ours or STUN, not through what carries bulk data. Linux alone can send it with a `ttl` of its own.
    ///
    /// # Errors
    /// The operating system's; also if the address cannot be sent to, or the socket is not open or of another family.
    pub(crate) fn send_message(&self, to: Pair, ttl: Option<u8>, bytes: &[u8]) -> io::Result<()> {
        if !is_sendable(to.addr) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if to.sock.is_tcp() {
            self.send_message_on_tcp(to.sock, bytes);
            return Ok(());
        }
        let sent = self.with_socket(to, |socket, addr| socket.send_message(addr, ttl, bytes));
        sent.unwrap_or_else(|| Err(io::ErrorKind::AddrNotAvailable.into()))
    }

    /// The same, where what cannot be sent is lost as in the network.
    pub(crate) fn send_or_lose(&self, to: Pair, ttl: Option<u8>, bytes: &[u8]) {
        if let Err(error) = self.send_message(to, ttl, bytes) {
            tracing::trace!(?to, %error, "cannot send");
        }
    }

    /// Opens IPv4 sockets with numbers from `first` up, each at a port of its own; returns how many of these are open
    /// then. They are fewer if there is no IPv4, or to leave the rest of the program enough descriptors.
    pub(crate) fn open_sockets(&self, first: Sock, count: u16) -> u16 {
        let Some(main) = &self.v4 else { return 0 };
        let open = self.extras.open(main.local_addr().ip(), first, count);
        self.outlets.injected.wake();
        open
    }

    /// Closes the `count` sockets from `first` up; those that are not open are no mistake.
    pub(crate) fn close_sockets(&self, first: Sock, count: u16) {
        self.extras.close(first, count);
    }

    /// Waits for links that send while nobody watches them; from then on they count as watched, until
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

    /// Reaches public IPv4 addresses through this translator from now on, or again by IPv4 itself. Above the sockets they
    /// look the same either way.
    pub(crate) fn set_nat64(&self, nat64: Option<Nat64>) {
        self.nat64.store(nat64.map(Arc::new));
    }

    /// An address as everything above the sockets writes it.
    pub(crate) fn inward(&self, addr: SocketAddr) -> SocketAddr {
        let nat64 = self.nat64.load();
        nat64.as_ref().map_or(addr, |nat64| nat64.inward(addr))
    }

    /// The address that leads there from any socket.
    pub(crate) fn outward(&self, addr: SocketAddr) -> SocketAddr {
        let nat64 = self.nat64.load();
        nat64.as_ref().map_or(addr, |nat64| nat64.outward(addr))
    }

    /// Call it after the network changed: what was refused on the old one may work on the new one.
    pub(crate) fn refresh(&self) {
        self.restore_offload();
    }

    /// Datagrams dropped unread: from sources not admitted, of no known kind, or more than the driver could take.
    pub(crate) fn strangers(&self) -> u64 {
        self.outlets.strangers.load(Ordering::Relaxed)
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
        for extra in self.extras.list().iter() {
            extra.socket.restore_offload();
        }
    }

    /// Makes the sockets that a route uses ready for bulk data.
    fn widen(&self, route: &Destinations) {
        let extras = self.extras.list();
        let used = route.dests.iter().map(|dest| dest.sock());
        used.filter_map(|sock| extra::find(&extras, sock))
            .for_each(Socket::widen);
    }

    /// Does something with the socket that `to` is sent to from, and the address that leads there; none if there is no such
    /// socket.
    fn with_socket<T>(&self, to: Pair, act: impl FnOnce(&Socket, SocketAddr) -> T) -> Option<T> {
        let addr = match to.sock {
            Sock::MAIN => self.outward(to.addr),
            _ => to.addr,
        };
        let act = |socket: &Socket| act(socket, addr);
        match (to.sock, addr) {
            (Sock::MAIN, SocketAddr::V4(_)) => self.v4.as_ref().map(act),
            (Sock::MAIN, SocketAddr::V6(_)) => self.v6.as_ref().map(act),
            (sock, SocketAddr::V4(_)) => extra::find(&self.extras.list(), sock).map(act),
            (_, SocketAddr::V6(_)) => None,
        }
    }

    fn sockets(&self) -> impl Iterator<Item = &Socket> + Clone {
        self.v4.iter().chain(&self.v6)
    }

    fn report_activity(&self, link: LinkHandle) {
        self.active
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(link);
        self.activity.notify_one();
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

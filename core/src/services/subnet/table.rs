//! Which packets may pass, and where to: a table of ranges by peer.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use ipnet::IpNet;

use super::{
    packet::{Checksum, Far, Header, UDP, translate},
    ranges::shift,
};
use crate::PeerId;

/// A range at a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// Who has it.
    pub peer: PeerId,
    /// What it is there.
    pub net: IpNet,
    /// What it is here: another range where that one is taken here.
    pub seen_as: IpNet,
}

/// Why a packet did not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is no IP packet of its length.
    Malformed,
    /// Its source is not its sender's.
    Source,
    /// Its destination is not open to its sender.
    Destination,
    /// It leads to nobody.
    NoRoute,
    /// It is of the link itself, or to be heard by neighbours only.
    Own,
}

/// What may pass on this node.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    /// The node's own addresses.
    pub(super) own: Vec<IpAddr>,
    /// What of this home each peer may reach.
    pub(super) advertised: BTreeMap<PeerId, Vec<IpNet>>,
    /// The node's own UDP ports: what it sends to its peers must not go by a link that these packets are to carry.
    pub(super) ports: Vec<u16>,
    pub(super) routes: Vec<Route>,
}

impl Table {
    /// Whose a packet is that the system sends into the device; it then reads as it does there.
    pub(super) fn outgoing(
        &self,
        packet: &mut [u8],
        header: &Header,
        checksum: Checksum,
    ) -> Result<PeerId, Refused> {
        if is_for_neighbours(header.destination) {
            return Err(Refused::Own);
        }
        if !self.is_here(header.source) {
            return Err(Refused::Source);
        }
        let ports = header.ports(packet).filter(|_| header.protocol == UDP);
        if ports.is_some_and(|(from, _)| self.ports.contains(&from))
            && self.own.contains(&header.source)
        {
            return Err(Refused::Own);
        }
        let route = longest(&self.routes, |route| route.seen_as, header.destination);
        let route = route.ok_or(Refused::NoRoute)?;
        if !self.is_open_to(route.peer, header.source) {
            return Err(Refused::Source);
        }
        let real = |addr| self.real(route.peer, addr);
        translate(packet, header, Far::Destination, checksum, real);
        Ok(route.peer)
    }

    /// Lets a packet of a peer in; it then reads as it does here.
    pub(super) fn incoming(
        &self,
        peer: PeerId,
        packet: &mut [u8],
        header: &Header,
        checksum: Checksum,
    ) -> Result<(), Refused> {
        let theirs = |route: &&Route| route.peer == peer;
        let mut routes = self.routes.iter().filter(theirs);
        if !routes.any(|route| route.net.contains(&header.source)) {
            return Err(Refused::Source);
        }
        if is_for_neighbours(header.destination) || !self.is_open_to(peer, header.destination) {
            return Err(Refused::Destination);
        }
        let ports = header.ports(packet).filter(|_| header.protocol == UDP);
        if ports.is_some_and(|(_, to)| self.ports.contains(&to)) {
            return Err(Refused::Own);
        }
        let seen = |addr| self.seen(peer, addr);
        translate(packet, header, Far::Source, checksum, seen);
        Ok(())
    }

    fn is_here(&self, addr: IpAddr) -> bool {
        let mut advertised = self.advertised.values().flatten();
        self.own.contains(&addr) || advertised.any(|net| net.contains(&addr))
    }

    fn is_open_to(&self, peer: PeerId, addr: IpAddr) -> bool {
        let advertised = self.advertised.get(&peer);
        let mut advertised = advertised.into_iter().flatten();
        self.own.contains(&addr) || advertised.any(|net| net.contains(&addr))
    }

    /// What an address that we see is at the peer, if it is another.
    fn real(&self, peer: PeerId, addr: IpAddr) -> Option<IpAddr> {
        let theirs = self.routes.iter().filter(|route| route.peer == peer);
        let route = longest(theirs, |route| route.seen_as, addr)?;
        (route.net != route.seen_as).then(|| shift(addr, route.seen_as, route.net))
    }

    /// As what we see an address of the peer's, if it is another.
    fn seen(&self, peer: PeerId, addr: IpAddr) -> Option<IpAddr> {
        let theirs = self.routes.iter().filter(|route| route.peer == peer);
        let route = longest(theirs, |route| route.net, addr)?;
        (route.net != route.seen_as).then(|| shift(addr, route.net, route.seen_as))
    }
}

fn longest<'a>(
    routes: impl IntoIterator<Item = &'a Route>,
    of: impl Fn(&Route) -> IpNet,
    addr: IpAddr,
) -> Option<&'a Route> {
    let leading = routes.into_iter().filter(|route| of(route).contains(&addr));
    leading.max_by_key(|route| of(route).prefix_len())
}

/// Multicasts, broadcasts and what is said within one network.
fn is_for_neighbours(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(addr) => {
            addr.is_multicast() || addr.is_link_local() || addr.is_broadcast() || addr.is_loopback()
        }
        IpAddr::V6(addr) => {
            addr.is_multicast() || addr.is_unicast_link_local() || addr.is_loopback()
        }
    }
}

/// Packets that did not pass, by reason.
#[derive(Debug, Default)]
pub(super) struct Counters {
    malformed: AtomicU64,
    source: AtomicU64,
    destination: AtomicU64,
    no_route: AtomicU64,
    late: AtomicU64,
}

/// Packets that did not pass so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dropped {
    /// They were no IP packets.
    pub malformed: u64,
    /// Their source was not their sender's.
    pub source: u64,
    /// Their destination is not open to their sender.
    pub destination: u64,
    /// They lead to nobody, or to a peer that is not linked.
    pub no_route: u64,
    /// They waited for too long, or there were too many.
    pub late: u64,
}

impl Counters {
    pub(super) fn refused(&self, why: Refused) {
        let counter = match why {
            Refused::Malformed => &self.malformed,
            Refused::Source => &self.source,
            Refused::Destination => &self.destination,
            Refused::NoRoute => &self.no_route,
            Refused::Own => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn late(&self, packets: u64) {
        self.late.fetch_add(packets, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Dropped {
        let [malformed, source, destination, no_route, late] = [
            &self.malformed,
            &self.source,
            &self.destination,
            &self.no_route,
            &self.late,
        ]
        .map(|counter| counter.load(Ordering::Relaxed));
        Dropped {
            malformed,
            source,
            destination,
            no_route,
            late,
        }
    }
}

#[cfg(test)]
mod tests;

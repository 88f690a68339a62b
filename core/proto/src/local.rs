//! What this node knows of itself: the addresses it can offer and what it is willing to do.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use super::timing::LOW_TTL;
use crate::{
    Access, NatBehavior, NatReport, PairKind, PeerId, RelayUrl,
    addr::{Families, LocalAddr, Nat64, ProbeContext, Scope, canonical},
    wire::candidate::{Candidate, CandidateKind, MAX_CANDIDATES},
};

/// The node's own situation.
#[derive(Debug)]
pub struct Local {
    pub(crate) id: PeerId,
    pub(crate) access: Access,
    pub(crate) relay_only: bool,
    /// Whether peers are looked for on our own network.
    pub(crate) lan: bool,
    /// Whether ports may be guessed where a NAT hides them.
    pub(crate) guess_ports: bool,
    /// The one address that the sockets are bound to, if not to all.
    pub bound: Option<IpAddr>,
    /// Port of the IPv4 and of the IPv6 socket.
    pub(crate) ports: Ports,
    pub(crate) interfaces: Vec<LocalAddr>,
    /// The families in which packets leave our own networks.
    pub(crate) routes: Families,
    /// The translator through which IPv4 is reached, if there is no other way.
    pub nat64: Option<Nat64>,
    /// Whether TCP connections may be used at all, and whether we take them at the ports of the sockets.
    pub(crate) tcp: bool,
    pub(crate) listening: bool,
    pub(crate) mapped: Option<SocketAddr>,
    /// The IPv6 address at which the router's firewall is open.
    pub(crate) pinhole: Option<SocketAddr>,
    pub nat: NatReport,
    pub(crate) hops: Option<u8>,
    /// What all peers together tell of the network we are in.
    pub(crate) reach: Reaches,
    /// Relays we are registered with, and where they see us.
    pub relays: BTreeMap<RelayUrl, RelayView>,
    /// Where strangers who agree see us, of which use is made while no relay does.
    pub(crate) seen: Option<SocketAddr>,
}

/// How many peers can be reached directly over the internet, and with how many nothing comes through.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reaches {
    pub(crate) direct: u32,
    pub(crate) silent: u32,
}

/// The ports that the sockets are bound to; 0 where there is none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ports {
    pub v4: u16,
    pub v6: u16,
}

/// A relay we are registered with.
#[derive(Clone, Copy, Debug)]
pub struct RelayView {
    pub(crate) addr: SocketAddr,
    /// Its port is 0 where the relay is reached by TCP, which says nothing of UDP's.
    pub observed: SocketAddr,
    /// Where it sees us in the other family, if it has an address there.
    pub(crate) also: Option<SocketAddr>,
    /// It is about to stop.
    pub(crate) is_draining: bool,
    /// It owes an answer, and may be gone.
    pub(crate) is_silent: bool,
}

impl RelayView {
    /// The port by which the relay is reached where UDP does not get through.
    pub(crate) fn tcp_port(&self) -> Option<u16> {
        (self.observed.port() == 0).then_some(self.addr.port())
    }

    fn seen(&self) -> impl Iterator<Item = SocketAddr> {
        [Some(self.observed), self.also].into_iter().flatten()
    }
}

/// What a peer tells of the network that this node is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reach {
    #[default]
    Untold,
    /// There is a direct path to it over the internet.
    Direct,
    /// Nothing came through in either direction, though the NATs would allow it.
    Silent,
}

impl Reaches {
    /// A peer tells something else than before.
    pub(crate) fn change(&mut self, (before, now): (Reach, Reach)) {
        for (reach, adds) in [(before, false), (now, true)] {
            let count = match reach {
                Reach::Direct => &mut self.direct,
                Reach::Silent => &mut self.silent,
                Reach::Untold => continue,
            };
            *count = if adds {
                count.saturating_add(1)
            } else {
                count.saturating_sub(1)
            };
        }
    }
}

impl Local {
    /// The addresses of our interfaces, with the socket's port.
    pub fn hosts(&self) -> Vec<SocketAddr> {
        if let Some(ip) = self.bound {
            let port = if ip.is_ipv4() {
                self.ports.v4
            } else {
                self.ports.v6
            };
            return vec![SocketAddr::new(ip, port)];
        }
        let with_port = |local: &LocalAddr| {
            let port = if local.ip.is_ipv4() {
                self.ports.v4
            } else {
                self.ports.v6
            };
            (port != 0).then_some(SocketAddr::new(local.ip, port))
        };
        self.interfaces.iter().filter_map(with_port).collect()
    }

    /// Whether we have an address that the internet may reach, or one that the user bound us to.
    pub fn may_be_reached(&self) -> bool {
        let is_global = |addr: SocketAddr| Scope::of(addr.ip()) == Scope::Global;
        self.bound.is_some() || self.hosts().into_iter().any(is_global)
    }

    /// Our end of what goes to `remote` from the endpoint's own socket, as far as that is known: the address in its network, or else the
    /// one that relays see, if it is the same for all destinations, or the only one that we have.
    pub(crate) fn end(&self, remote: SocketAddr) -> Option<(SocketAddr, PairKind)> {
        let is_v4 = canonical(remote).is_ipv4();
        let of_family = |addr: &SocketAddr| addr.is_ipv4() == is_v4;
        let hosts = self.hosts();
        let near = self
            .interfaces
            .iter()
            .find(|it| it.shares_prefix(canonical(remote).ip()));
        let near = near.and_then(|it| hosts.iter().find(|addr| addr.ip() == it.ip));
        if let Some(addr) = near {
            return Some((*addr, PairKind::Host));
        }
        let keeps_port = !is_v4 || self.nat.mapping == NatBehavior::EndpointIndependent;
        if let Some(addr) = self.public(is_v4).filter(|_| keeps_port) {
            let kind = if hosts.contains(&addr) {
                PairKind::Host
            } else if self.mapped == Some(addr) {
                PairKind::Mapped
            } else {
                PairKind::Reflexive
            };
            return Some((addr, kind));
        }
        let leaves = |addr: &SocketAddr| {
            let scope = Scope::of(addr.ip());
            scope == Scope::Global || is_v4 && scope.is_local()
        };
        let mut leaving = hosts.iter().filter(|addr| of_family(addr) && leaves(addr));
        let only = leaving.next().filter(|_| leaving.next().is_none());
        only.map(|addr| (*addr, PairKind::Host))
    }

    /// Our address as relays see it; without one, as strangers do who agree.
    pub fn public(&self, v4: bool) -> Option<SocketAddr> {
        self.reflexive()
            .find(|addr| addr.is_ipv4() == v4 && addr.port() != 0)
    }

    /// Our addresses as relays see them; without one, as strangers do who agree.
    fn reflexive(&self) -> impl Iterator<Item = SocketAddr> {
        let seen = self.seen.filter(|_| self.relays.is_empty());
        self.relays.values().flat_map(RelayView::seen).chain(seen)
    }

    /// Takes in where our packets can go.
    pub(crate) fn set_routes(&mut self, families: Families, nat64: Option<Nat64>) {
        self.routes = Families {
            v4: families.v4 || nat64.is_some(),
            v6: families.v6,
        };
        self.nat64 = nat64;
        for relay in self.relays.values_mut() {
            relay.also = relay.also.filter(|also| self.routes.has(also.ip()));
        }
    }

    /// Takes in where a relay sees us in the family in which we are not registered.
    pub(crate) fn also_observed(&mut self, relay: &RelayUrl, addr: SocketAddr) {
        if let Some(view) = self.relays.get_mut(relay) {
            view.also = Some(addr);
        }
    }

    /// Whether a packet to this address would leave this computer at all.
    pub fn reaches(&self, addr: SocketAddr) -> bool {
        let ip = canonical(addr).ip();
        self.routes.has(ip) || self.shares_network(ip) || Scope::of(ip) == Scope::Loopback
    }

    /// What we offer to `peer`, who was seen at `attested`: local addresses only to those who are known or near.
    pub(crate) fn candidates(
        &self,
        peer: PeerId,
        dialled: bool,
        attested: Option<SocketAddr>,
    ) -> Vec<Candidate> {
        if self.relay_only {
            return Vec::new();
        }
        let near = attested.is_some_and(|theirs| self.is_public(theirs.ip()));
        let known = dialled || matches!(&self.access, Access::Only(peers) if peers.contains(&peer));
        let mut out: Vec<Candidate> = Vec::new();
        let mut offer = |addr: SocketAddr, kind, open| {
            if out.len() < MAX_CANDIDATES
                && !out.iter().any(|known| {
                    (known.addr, known.kind == CandidateKind::Stream)
                        == (addr, kind == CandidateKind::Stream)
                })
            {
                out.push(Candidate { addr, kind, open });
            }
        };
        let visible = |addr: SocketAddr| Scope::of(addr.ip()) == Scope::Global || known || near;
        for addr in self.hosts() {
            if visible(addr) && Scope::of(addr.ip()) != Scope::Loopback {
                offer(addr, CandidateKind::Host, Some(addr) == self.pinhole);
            }
        }
        // The pinhole is an address of ours, already offered, but where the router translates all the same.
        for addr in [self.mapped, self.pinhole].into_iter().flatten() {
            // The outside of an inner router is of use to neighbours behind the same outer one.
            if visible(addr) {
                offer(addr, CandidateKind::Mapped, true);
            }
        }
        // A modem before the router may hand everything on to it; the port is then the same on its outside.
        if let Some(mapped) = self.mapped
            && mapped.is_ipv4()
            && Scope::of(mapped.ip()).is_local()
            && let Some(seen) = self.reflexive().find(SocketAddr::is_ipv4)
        {
            let outside = SocketAddr::new(seen.ip(), mapped.port());
            offer(outside, CandidateKind::Mapped, false);
        }
        for addr in self.reflexive().filter(|addr| addr.port() != 0) {
            let open = self.nat.filtering == NatBehavior::EndpointIndependent;
            offer(addr, CandidateKind::Reflexive, open);
        }
        for addr in self.global().into_iter().filter(|_| self.listening) {
            offer(addr, CandidateKind::Stream, true);
        }
        out
    }

    /// Our addresses that the whole internet may reach, if nothing filters there.
    fn global(&self) -> Vec<SocketAddr> {
        let mut hosts = self.hosts();
        hosts.retain(|addr| Scope::of(addr.ip()) == Scope::Global);
        hosts
    }

    /// Whether relays see us at this IP address.
    pub(crate) fn is_public(&self, ip: IpAddr) -> bool {
        self.reflexive().any(|seen| seen.ip() == ip)
    }

    /// Whether we meet others at a relay on this computer, by loopback.
    pub(crate) fn relay_is_loopback(&self) -> bool {
        self.relays
            .values()
            .any(|relay| Scope::of(relay.addr.ip()) == Scope::Loopback)
    }

    /// Whether a relay can see a peer there: an address of a local network only if the relay has one too.
    pub(crate) fn is_plausible(&self, relay: &RelayUrl, attested: SocketAddr) -> bool {
        let is_local = |addr: SocketAddr| Scope::of(addr.ip()).is_local();
        let relay = self.relays.get(relay);
        !is_local(attested) || relay.is_some_and(|relay| is_local(relay.addr))
    }

    /// The TTL that gets a packet through our own NATs, but not to `remote`.
    pub fn low_ttl(&self, remote: SocketAddr) -> u8 {
        let neighbours = self.reflexive().any(|seen| match (seen.ip(), remote.ip()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => ours.octets()[..2] == theirs.octets()[..2],
            _ => false,
        });
        let (low, high) = LOW_TTL;
        match self.hops {
            _ if neighbours => low,
            Some(hops) => hops.clamp(low, high),
            None => high,
        }
    }

    /// Whether a candidate of a peer may be probed, given where relays see the peer. Never if only relays are wanted.
    pub(crate) fn may_probe(&self, addr: SocketAddr, attested: &[IpAddr]) -> bool {
        if self.relay_only || self.is_translated(addr) {
            return false;
        }
        let own = self.hosts();
        let own_public: Vec<IpAddr> = self.reflexive().map(|seen| seen.ip()).collect();
        let context = ProbeContext {
            own: &own,
            interfaces: &self.interfaces,
            own_public: &own_public,
            peer_attested: attested,
            relay_is_loopback: self.relay_is_loopback(),
        };
        crate::addr::may_probe(addr, &context).is_ok()
    }

    /// Whether to say hello at an address, or open our NAT for it, that a peer names which nobody sees there: on the internet, or here
    /// among those who are bound to loopback.
    pub fn may_call_back(&self, addr: SocketAddr) -> bool {
        let here = Scope::of(addr.ip()) == Scope::Loopback
            && self.bound.is_some_and(|ip| ip.is_loopback());
        let there = Scope::of(addr.ip()) == Scope::Global && self.may_probe(addr, &[]);
        (there || here && !self.relay_only) && addr.port() >= 1024 && self.reaches(addr)
    }

    /// Whether a TCP connection may be dialled to an address that our user dialled, or a peer named where a relay sees it. Loopback only
    /// between those who meet there.
    pub(crate) fn may_dial(&self, addr: SocketAddr) -> bool {
        let here = Scope::of(addr.ip()) == Scope::Loopback
            && self.bound.is_some_and(|ip| ip.is_loopback());
        self.may_probe(addr, &[addr.ip()]) || (here && addr.port() >= 1024 && !self.relay_only)
    }

    /// Whether to take notice of a datagram at all: its sender can have written any source on it, so what must not be probed
    /// must not be answered either. Only this computer itself can send from a loopback address.
    pub(crate) fn may_answer(&self, source: SocketAddr) -> bool {
        let here = Scope::of(source.ip()) == Scope::Loopback && source.port() >= 1024;
        self.may_probe(source, &[source.ip()]) || (here && !self.relay_only)
    }

    /// Whether an address lies in a network that we are in. Of IPv4, only in one that translation hides: public neighbours are
    /// the internet.
    pub(crate) fn is_lan(&self, addr: SocketAddr) -> bool {
        let ip = canonical(addr).ip();
        (ip.is_ipv6() || Scope::of(ip).is_local()) && self.shares_network(ip)
    }

    /// Whether to say hello at an address that somebody on our network told us: it must be on that network, and fit for a
    /// candidate.
    pub(crate) fn is_neighbour(&self, addr: SocketAddr) -> bool {
        let ip = canonical(addr).ip();
        self.shares_network(ip) && self.may_probe(addr, &[ip])
    }

    /// Whether it is an IPv4 address in our translator's guise, which would hide what it is: we write it as IPv4.
    fn is_translated(&self, addr: SocketAddr) -> bool {
        self.nat64.is_some_and(|nat64| nat64.inward(addr) != addr)
    }

    fn shares_network(&self, ip: IpAddr) -> bool {
        self.interfaces.iter().any(|local| local.shares_prefix(ip))
    }

    /// Whether a peer may open a link to us.
    pub(crate) fn lets_in(&self, peer: PeerId) -> bool {
        self.access.lets_in(peer)
    }
}

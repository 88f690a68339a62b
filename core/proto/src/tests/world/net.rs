//! The network: homes, carriers, and the core in the middle, as packets see it.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;

use super::{
    home::Plan,
    line::Line,
    nat::{Middlebox, Nat, Style, nat64},
};
use crate::addr::LocalAddr;

/// Routers between two homes, without their own NATs.
const CORE_HOPS: u8 = 10;

/// A network in which addresses mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Core,
    /// On the inner side of this NAT.
    Behind(usize),
}

/// Who takes a packet in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spot {
    /// A node's own interface.
    Host(usize),
    Nat(usize),
    Relay(usize),
}

/// Where a packet is going when it leaves a home.
pub(crate) enum Way {
    /// It stays in the home.
    Near(Spot),
    /// It goes out by the line, into this network.
    Far(Place),
}

/// A home, or another network that hosts join.
pub(crate) struct Site {
    v4: Option<Place>,
    v6: Option<Place>,
    pub(crate) nat64: Option<usize>,
    /// The router of a second uplink, by which IPv4 packets leave that are not for relays.
    detour: Option<usize>,
    pub(crate) blocked: bool,
    pub(crate) up: Line,
    pub(crate) down: Line,
    /// Hosts that have joined it so far.
    pub(crate) hosts: u8,
}

impl Site {
    pub(crate) fn has_nat64(&self) -> bool {
        self.nat64.is_some()
    }
}

/// A host's address in a home.
struct Host {
    node: usize,
    site: usize,
    place: Place,
    ip: IpAddr,
}

/// A packet's header.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) ttl: u8,
}

pub(crate) struct Net {
    pub(crate) nats: Vec<Nat>,
    pub(crate) sites: Vec<Site>,
    hosts: Vec<Host>,
    /// The addresses of relays.
    pub(crate) relays: Vec<[IpAddr; 2]>,
    carriers: u8,
}

impl Net {
    pub(crate) fn new() -> Self {
        Self {
            nats: Vec::new(),
            sites: Vec::new(),
            hosts: Vec::new(),
            relays: Vec::new(),
            carriers: 0,
        }
    }

    /// A NAT that homes can share.
    pub(crate) fn add_carrier(&mut self, style: Style, rng: &mut ChaCha20Rng) -> usize {
        let wan = IpAddr::from([60 + self.carriers, 1, 0, 1]);
        self.carriers += 1;
        self.add_nat(None, wan, style, Place::Core, rng)
    }

    fn add_nat(
        &mut self,
        site: Option<usize>,
        wan: IpAddr,
        style: Style,
        outer: Place,
        rng: &mut ChaCha20Rng,
    ) -> usize {
        let mut nat = Nat::new(wan, style, outer, ChaCha20Rng::from_rng(rng));
        nat.site = site;
        self.nats.push(nat);
        self.nats.len() - 1
    }

    pub(crate) fn add_site(
        &mut self,
        plan: &Plan,
        delay: Duration,
        rng: &mut ChaCha20Rng,
    ) -> usize {
        let at = self.sites.len();
        let number = at as u8;
        let mut v4 = plan.v4.as_ref().map(|_| Place::Core);
        if let (Some(place), Some(carrier)) = (&mut v4, plan.carrier) {
            *place = Place::Behind(carrier);
        }
        let layers = plan.v4.as_deref().unwrap_or_default();
        for (layer, style) in layers.iter().enumerate().rev() {
            let Some(outer) = v4 else { break };
            let wan = match outer {
                Place::Core => [80 + number, 1, 0, 1],
                Place::Behind(nat) if Some(nat) == plan.carrier => [100, 64, number, 2],
                Place::Behind(_) => [10, number, layer as u8, 2],
            };
            let nat = self.add_nat(Some(at), wan.into(), style.clone(), outer, rng);
            v4 = Some(Place::Behind(nat));
        }
        let v6 = plan.v6.as_ref().map(|style| {
            let wan = six(number, 1).into();
            Place::Behind(self.add_nat(Some(at), wan, style.clone(), Place::Core, rng))
        });
        let nat64 = plan.nat64.as_ref().map(|style| {
            let wan = IpAddr::from([80 + number, 1, 0, 64]);
            self.add_nat(Some(at), wan, style.clone(), Place::Core, rng)
        });
        self.sites.push(Site {
            v4,
            v6,
            nat64,
            detour: None,
            blocked: plan.blocked,
            up: Line::new(delay),
            down: Line::new(delay),
            hosts: 0,
        });
        at
    }

    /// A home gets a second uplink, by which its packets to other homes leave from now on. Answers to them come in there too;
    /// what is sent to where relays see the home still comes in by the first, and is answered by the second.
    pub(crate) fn add_detour(&mut self, site: usize, style: Style, rng: &mut ChaCha20Rng) {
        let wan = IpAddr::from([80 + site as u8, 2, 0, 1]);
        self.sites[site].detour = Some(self.add_nat(Some(site), wan, style, Place::Core, rng));
    }

    /// Gives a node addresses in a home, instead of those that it has.
    pub(crate) fn join(&mut self, node: usize, site: usize) {
        self.part(node);
        let at = &mut self.sites[site];
        let number = at.hosts;
        at.hosts += 1;
        let (v4, v6) = (at.v4, at.v6);
        if let Some(place) = v4 {
            let ip = match place {
                Place::Core => [80 + site as u8, 1, 0, 1 + number],
                Place::Behind(nat) if self.nats[nat].site.is_none() => {
                    [100, 64, site as u8, 2 + number]
                }
                Place::Behind(_) => [192, 168, 10 + site as u8, 7 + number],
            };
            let ip = ip.into();
            self.hosts.push(Host {
                node,
                site,
                place,
                ip,
            });
        }
        if let Some(place) = v6 {
            let ip = six(site as u8, 7 + u16::from(number)).into();
            self.hosts.push(Host {
                node,
                site,
                place,
                ip,
            });
        }
    }

    /// The node has no network any more.
    pub(crate) fn part(&mut self, node: usize) {
        self.hosts.retain(|host| host.node != node);
    }

    /// The address of a node in this family, if it has one.
    pub(crate) fn address(&self, node: usize, v4: bool) -> Option<IpAddr> {
        let mut own = self.hosts.iter().filter(|host| host.node == node);
        own.find(|host| host.ip.is_ipv4() == v4).map(|host| host.ip)
    }

    pub(crate) fn interfaces(&self, node: usize) -> Vec<LocalAddr> {
        let own = self.hosts.iter().filter(|host| host.node == node);
        own.map(|host| LocalAddr {
            ip: host.ip,
            prefix_len: if host.ip.is_ipv4() { 24 } else { 64 },
        })
        .collect()
    }

    /// The IPv4 NATs that a node is behind, innermost first.
    pub(crate) fn chain(&self, node: usize) -> Vec<usize> {
        let own = |host: &&Host| host.node == node && host.ip.is_ipv4();
        let mut place = self.hosts.iter().find(own).map(|host| host.place);
        let mut chain = Vec::new();
        while let Some(Place::Behind(nat)) = place {
            chain.push(nat);
            place = Some(self.nats[nat].outer);
        }
        chain
    }

    /// The site of whoever takes a packet in; none for relays.
    pub(crate) fn site_of(&self, spot: Spot) -> Option<usize> {
        match spot {
            Spot::Host(node) => {
                let host = self.hosts.iter().find(|host| host.node == node);
                host.map(|host| host.site)
            }
            Spot::Nat(nat) => self.nats[nat].site,
            Spot::Relay(_) => None,
        }
    }

    fn find(&self, place: Place, ip: IpAddr) -> Option<Spot> {
        let host = |host: &Host| host.place == place && host.ip == ip;
        let nat = |nat: &Nat| nat.outer == place && nat.owns(ip);
        let relay = |relay: &[IpAddr; 2]| place == Place::Core && relay.contains(&ip);
        let hosts = || {
            let host = self.hosts.iter().find(|known| host(known));
            host.map(|host| Spot::Host(host.node))
        };
        let nats = || self.nats.iter().position(nat).map(Spot::Nat);
        let relays = || self.relays.iter().position(relay).map(Spot::Relay);
        hosts().or_else(nats).or_else(relays)
    }

    /// A packet's way through the NATs of its own home.
    pub(crate) fn leave(&mut self, now: Instant, node: usize, packet: &mut Header) -> Option<Way> {
        let own = |host: &&Host| host.node == node && host.ip == packet.from.ip();
        let host = self.hosts.iter().find(own)?;
        let (site, mut place) = (host.site, host.place);
        let for_relay = self.relays.iter().flatten().any(|ip| *ip == packet.to.ip());
        let detour = self.sites[site].detour.filter(|_| !for_relay);
        if let Some(nat) = detour.filter(|_| self.find(place, packet.to.ip()).is_none()) {
            return self.climb(now, nat, packet);
        }
        loop {
            let Place::Behind(nat) = place else {
                return self.translate(now, site, packet).map(Way::Far);
            };
            if self.nats[nat].site != Some(site) {
                return Some(Way::Far(place));
            }
            if let Some(spot) = self.find(place, packet.to.ip()) {
                return Some(Way::Near(spot));
            }
            match self.climb(now, nat, packet)? {
                Way::Far(outer) => place = outer,
                near @ Way::Near(_) => return Some(near),
            }
        }
    }

    /// By NAT64, if that is what the destination is for.
    fn translate(&mut self, now: Instant, site: usize, packet: &mut Header) -> Option<Place> {
        let prefix = |ip: IpAddr| match (ip, nat64([0, 0, 0, 0].into(), 0).ip()) {
            (IpAddr::V6(ip), IpAddr::V6(prefix)) => ip.segments()[..6] == prefix.segments()[..6],
            _ => false,
        };
        if prefix(packet.to.ip()) {
            let nat = self.sites[site].nat64?;
            packet.ttl = packet.ttl.checked_sub(1).filter(|ttl| *ttl > 0)?;
            (packet.from, packet.to) = self.nats[nat].outbound(now, packet.from, packet.to)?;
        }
        Some(Place::Core)
    }

    /// Through a NAT from the inside, or back in if it is for somebody behind the same NAT.
    fn climb(&mut self, now: Instant, nat: usize, packet: &mut Header) -> Option<Way> {
        packet.ttl = packet.ttl.checked_sub(1).filter(|ttl| *ttl > 0)?;
        let back =
            self.nats[nat].style.kind == Middlebox::Nat && self.nats[nat].owns(packet.to.ip());
        if back && !self.nats[nat].style.hairpin {
            return None;
        }
        (packet.from, packet.to) = self.nats[nat].outbound(now, packet.from, packet.to)?;
        if back {
            return self.descend(now, nat, packet).map(Way::Near);
        }
        Some(Way::Far(self.nats[nat].outer))
    }

    /// Through a NAT from the outside.
    fn descend(&mut self, now: Instant, nat: usize, packet: &mut Header) -> Option<Spot> {
        packet.ttl = packet.ttl.checked_sub(1)?;
        (packet.to, packet.from) = self.nats[nat].inbound(now, packet.from, packet.to)?;
        let site = self.nats[nat].site.map(|site| &self.sites[site]);
        let detour = site.filter(|site| site.detour == Some(nat));
        let inner = match self.nats[nat].style.kind {
            Middlebox::Nat | Middlebox::Firewall => detour
                .and_then(|site| site.v4)
                .unwrap_or(Place::Behind(nat)),
            Middlebox::Nat64 => Place::Core,
        };
        self.find(inner, packet.to.ip())
    }

    /// A packet's way from the end of one home's line to the beginning of another's, or to a relay.
    pub(crate) fn cross(
        &mut self,
        now: Instant,
        mut place: Place,
        packet: &mut Header,
    ) -> Option<Spot> {
        let mut spot = loop {
            if place == Place::Core {
                packet.ttl = packet.ttl.checked_sub(CORE_HOPS)?;
            }
            if let Some(spot) = self.find(place, packet.to.ip()) {
                break spot;
            }
            let Place::Behind(nat) = place else {
                return None;
            };
            match self.climb(now, nat, packet)? {
                Way::Far(outer) => place = outer,
                Way::Near(spot) => break spot,
            }
        };
        while let Spot::Nat(nat) = spot
            && self.nats[nat].site.is_none()
        {
            spot = self.descend(now, nat, packet)?;
        }
        Some(spot)
    }

    /// A packet's way into a home: the node that it is for.
    pub(crate) fn enter(
        &mut self,
        now: Instant,
        mut spot: Spot,
        packet: &mut Header,
    ) -> Option<usize> {
        loop {
            match spot {
                Spot::Host(node) => {
                    let there = |host: &Host| host.node == node && host.ip == packet.to.ip();
                    return self.hosts.iter().any(there).then_some(node);
                }
                Spot::Nat(nat) => spot = self.descend(now, nat, packet)?,
                Spot::Relay(_) => return None,
            }
        }
    }
}

fn six(site: u8, host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2a00, 0x10, u16::from(site), 0, 0, 0, 0, host)
}

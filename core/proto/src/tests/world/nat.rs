//! NATs as RFC 4787 describes them, with the port clash of Linux; firewalls and NAT64 are made of the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use rand::Rng;
use rand_chacha::ChaCha20Rng;

use super::net::Place;
use crate::NatBehavior;

/// How long Linux keeps a flow that nobody answered, `nf_conntrack_udp_timeout`, and any other, which is RFC 4787's 2 minutes.
const LINUX_LIFE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(120));
/// How often dead flows are swept out.
const SWEEP: Duration = Duration::from_secs(10);

/// How a NAT behaves.
#[derive(Clone, Debug)]
pub(crate) struct Style {
    pub(crate) kind: Middlebox,
    /// Which destinations share a port.
    pub(crate) mapping: NatBehavior,
    pub(crate) filtering: NatBehavior,
    pub(crate) ports: Ports,
    /// Mappings that others take in a second.
    pub(crate) foreign: u32,
    /// How long flows live: unanswered, answered.
    pub(crate) life: (Duration, Duration),
    /// Whether hosts behind it reach each other by its outer address.
    pub(crate) hairpin: bool,
    /// Takes strangers' packets for its own, which then block the port (docs/traversal.md, 3).
    pub(crate) accepting: bool,
    /// Flows beyond this number are dropped.
    pub(crate) limit: usize,
    /// Forwards a port to whoever asks for it.
    pub(crate) forwards: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Middlebox {
    Nat,
    /// Lets in what was asked for, and leaves all addresses as they are.
    Firewall,
    /// From IPv6 to what 64:ff9b::/96 stands for (RFC 6146); other IPv6 passes.
    Nat64,
}

/// The port that a new mapping gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ports {
    /// The host's own, unless it is taken.
    Preserved,
    Sequential {
        step: i8,
    },
    Random {
        first: u16,
        last: u16,
    },
}

impl Style {
    /// `masquerade`: ports are kept wherever that is possible, so that the mapping depends on nothing but collisions.
    pub(crate) const LINUX: Self = Self {
        kind: Middlebox::Nat,
        mapping: NatBehavior::AddressAndPortDependent,
        filtering: NatBehavior::AddressAndPortDependent,
        ports: Ports::Preserved,
        foreign: 0,
        life: LINUX_LIFE,
        hairpin: false,
        accepting: false,
        limit: usize::MAX,
        forwards: false,
    };

    /// `masquerade random`.
    pub(crate) const RANDOM: Self = Self {
        ports: Ports::Random {
            first: 1024,
            last: u16::MAX,
        },
        ..Self::LINUX
    };

    pub(crate) const FIREWALL: Self = Self {
        kind: Middlebox::Firewall,
        ..Self::LINUX
    };

    /// Whether a host has the same port for all destinations, if nobody else wants it.
    pub(crate) fn is_stable(&self) -> bool {
        self.mapping == NatBehavior::EndpointIndependent || self.ports == Ports::Preserved
    }
}

pub(crate) struct Nat {
    pub(crate) wan: IpAddr,
    pub(crate) style: Style,
    /// The network on its outer side.
    pub(crate) outer: Place,
    /// The home it stands in; a carrier's stands in none.
    pub(crate) site: Option<usize>,
    /// By the inside address and the remote one as it is seen inside.
    flows: BTreeMap<(SocketAddr, SocketAddr), Flow>,
    by_port: BTreeMap<u16, BTreeSet<(SocketAddr, SocketAddr)>>,
    /// Flows of the router itself: remote address and port.
    own: BTreeMap<(SocketAddr, u16), Instant>,
    forwarded: BTreeMap<u16, SocketAddr>,
    /// Where sequential ports are, and when somebody else last took some.
    next: u16,
    counted: Option<Instant>,
    swept: Option<Instant>,
    rng: ChaCha20Rng,
}

struct Flow {
    port: u16,
    remote: SocketAddr,
    until: Instant,
    replied: bool,
    /// Came in by a forwarded port, which is not the port of what goes out.
    forwarded: bool,
}

impl Nat {
    pub(crate) fn new(wan: IpAddr, style: Style, outer: Place, mut rng: ChaCha20Rng) -> Self {
        Self {
            wan,
            style,
            outer,
            site: None,
            flows: BTreeMap::new(),
            by_port: BTreeMap::new(),
            own: BTreeMap::new(),
            forwarded: BTreeMap::new(),
            next: rng.random_range(2000..60_000),
            counted: None,
            swept: None,
            rng,
        }
    }

    /// Whether packets to this address of the outer network are for it, or for somebody behind it.
    pub(crate) fn owns(&self, ip: IpAddr) -> bool {
        match (self.style.kind, self.wan, ip) {
            (Middlebox::Nat, ..) | (Middlebox::Nat64, _, IpAddr::V4(_)) => ip == self.wan,
            (Middlebox::Firewall, IpAddr::V6(ours), IpAddr::V6(ip)) => {
                ours.segments()[..4] == ip.segments()[..4]
            }
            (Middlebox::Firewall | Middlebox::Nat64, ..) => false,
        }
    }

    /// Forwards this port, or the next free one, to a host; returns the address that leads there.
    pub(crate) fn forward(&mut self, port: u16, inside: SocketAddr) -> SocketAddr {
        let known = self.forwarded.iter().find(|(_, to)| **to == inside);
        let port = known.map(|(port, _)| *port).unwrap_or_else(|| {
            (port..)
                .find(|port| !self.forwarded.contains_key(port))
                .unwrap()
        });
        self.forwarded.insert(port, inside);
        SocketAddr::new(self.wan, port)
    }

    /// Translates a packet's source and destination on its way out, unless there is no room for it.
    pub(crate) fn outbound(
        &mut self,
        now: Instant,
        inside: SocketAddr,
        to: SocketAddr,
    ) -> Option<(SocketAddr, SocketAddr)> {
        let remote = match self.style.kind {
            Middlebox::Nat64 => match v4_of(to) {
                Some(remote) => remote,
                None => return Some((inside, to)),
            },
            Middlebox::Nat | Middlebox::Firewall => to,
        };
        let key = (inside, to);
        self.sweep(now);
        if self.flows.get(&key).is_none_or(|flow| flow.until <= now) {
            self.remove(key);
            if self.flows.len() >= self.style.limit {
                return None;
            }
            let port = match self.style.kind {
                Middlebox::Firewall => inside.port(),
                Middlebox::Nat | Middlebox::Nat64 => self
                    .shared_port(now, inside, remote)
                    .unwrap_or_else(|| self.allocate(now, inside, remote)),
            };
            self.open(now, key, port, remote);
        }
        let life = self.style.life;
        let flow = self.flows.get_mut(&key)?;
        flow.until = now + if flow.replied { life.1 } else { life.0 };
        let source = match self.style.kind {
            Middlebox::Firewall => inside,
            Middlebox::Nat | Middlebox::Nat64 => SocketAddr::new(self.wan, flow.port),
        };
        Some((source, flow.remote))
    }

    fn open(&mut self, now: Instant, key: (SocketAddr, SocketAddr), port: u16, remote: SocketAddr) {
        let flow = Flow {
            port,
            remote,
            until: now + self.style.life.0,
            replied: false,
            forwarded: false,
        };
        self.flows.insert(key, flow);
        self.by_port.entry(port).or_default().insert(key);
    }

    fn remove(&mut self, key: (SocketAddr, SocketAddr)) {
        if let Some(flow) = self.flows.remove(&key)
            && let Some(keys) = self.by_port.get_mut(&flow.port)
        {
            keys.remove(&key);
        }
    }

    /// The port that this destination shares with others of the same host.
    fn shared_port(&self, now: Instant, inside: SocketAddr, remote: SocketAddr) -> Option<u16> {
        let lowest = SocketAddr::from(([0, 0, 0, 0], 0));
        let ours = self
            .flows
            .range((inside, lowest)..)
            .take_while(|((from, _), _)| *from == inside);
        ours.map(|(_, flow)| flow)
            .find(|flow| {
                let same = match self.style.mapping {
                    NatBehavior::EndpointIndependent => true,
                    NatBehavior::AddressDependent => flow.remote.ip() == remote.ip(),
                    NatBehavior::AddressAndPortDependent | NatBehavior::Unknown => false,
                };
                same && flow.until > now && !flow.forwarded
            })
            .map(|flow| flow.port)
    }

    fn allocate(&mut self, now: Instant, inside: SocketAddr, remote: SocketAddr) -> u16 {
        self.others_take_some(now);
        let mut port = match self.style.ports {
            Ports::Preserved => inside.port(),
            Ports::Sequential { .. } | Ports::Random { .. } => self.choose(),
        };
        while self.taken(now, port, inside, remote) {
            port = self.choose();
        }
        port
    }

    fn choose(&mut self) -> u16 {
        match self.style.ports {
            Ports::Preserved => self.rng.random_range(1024..=u16::MAX),
            Ports::Random { first, last } => self.rng.random_range(first..=last),
            Ports::Sequential { step } => {
                let next = i32::from(self.next) + i32::from(step);
                self.next = u16::try_from(next)
                    .ok()
                    .filter(|p| *p >= 1024)
                    .unwrap_or(if step > 0 { 1024 } else { u16::MAX });
                self.next
            }
        }
    }

    /// What other hosts did since the last time: they take ports as well.
    fn others_take_some(&mut self, now: Instant) {
        let since = self.counted.replace(now).unwrap_or(now);
        let expected = (now - since).as_secs_f64().min(60.0) * f64::from(self.style.foreign);
        let taken = expected as u32 + u32::from(self.rng.random_bool(expected.fract()));
        if let Ports::Sequential { .. } = self.style.ports {
            for _ in 0..taken {
                self.choose();
            }
        }
    }

    fn taken(&self, now: Instant, port: u16, inside: SocketAddr, remote: SocketAddr) -> bool {
        let tuples_only = self.style.mapping == NatBehavior::AddressAndPortDependent;
        let forwarded = self.forwarded.get(&port).is_some_and(|to| *to != inside);
        let own = self
            .own
            .get(&(remote, port))
            .is_some_and(|until| *until > now);
        forwarded
            || own
            || self
                .at_port(now, port)
                .any(|(_, flow)| !tuples_only || flow.remote == remote)
    }

    fn at_port(
        &self,
        now: Instant,
        port: u16,
    ) -> impl Iterator<Item = ((SocketAddr, SocketAddr), &Flow)> {
        let keys = self.by_port.get(&port).into_iter().flatten();
        keys.filter_map(|key| Some((*key, self.flows.get(key)?)))
            .filter(move |(_, flow)| flow.until > now)
    }

    /// Whom a packet from outside is for, and where it seems to come from; none if it is dropped or the router's own.
    pub(crate) fn inbound(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        to: SocketAddr,
    ) -> Option<(SocketAddr, SocketAddr)> {
        if self.style.kind == Middlebox::Nat64 && to.is_ipv6() {
            return Some((to, remote));
        }
        let port = to.port();
        let firewall = self.style.kind == Middlebox::Firewall;
        let here = || {
            self.at_port(now, port)
                .filter(|((inside, _), _)| !firewall || *inside == to)
        };
        let known = here().find(|(_, flow)| flow.remote == remote);
        let known = known.map(|(key, _)| key);
        let let_in = here().find(|(_, flow)| match self.style.filtering {
            NatBehavior::EndpointIndependent => true,
            NatBehavior::AddressDependent => flow.remote.ip() == remote.ip(),
            NatBehavior::AddressAndPortDependent | NatBehavior::Unknown => false,
        });
        let let_in = let_in.map(|((inside, _), _)| inside);
        if let Some(key) = known {
            let flow = self.flows.get_mut(&key)?;
            (flow.replied, flow.until) = (true, now + self.style.life.1);
            return Some(key);
        }
        let forwarded = self.forwarded.get(&port).copied();
        let Some(inside) = let_in.or(forwarded) else {
            if self.style.accepting {
                self.own.insert((remote, port), now + self.style.life.0);
            }
            return None;
        };
        // As Linux does it: where the way back is in use by another flow, the source gets another port.
        let mut seen = self.seen_inside(remote);
        while self
            .flows
            .get(&(inside, seen))
            .is_some_and(|flow| flow.until > now)
        {
            seen.set_port(self.rng.random_range(1024..=u16::MAX));
        }
        self.remove((inside, seen));
        self.open(now, (inside, seen), port, remote);
        if let Some(flow) = self.flows.get_mut(&(inside, seen)) {
            flow.forwarded = let_in.is_none();
        }
        Some((inside, seen))
    }

    fn seen_inside(&self, remote: SocketAddr) -> SocketAddr {
        match (self.style.kind, remote) {
            (Middlebox::Nat64, SocketAddr::V4(remote)) => nat64(*remote.ip(), remote.port()),
            _ => remote,
        }
    }

    /// Forgets all flows, as a router does that was restarted; ports are chosen anew.
    pub(crate) fn flush(&mut self) {
        self.flows.clear();
        self.by_port.clear();
        self.own.clear();
        self.next = self.rng.random_range(2000..60_000);
    }

    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|swept| now < swept + SWEEP) {
            return;
        }
        self.swept = Some(now);
        self.own.retain(|_, until| now < *until);
        let dead: Vec<_> = self
            .flows
            .iter()
            .filter(|(_, flow)| flow.until <= now)
            .map(|(key, _)| *key)
            .collect();
        for key in dead {
            self.remove(key);
        }
    }
}

/// What IPv6-only hosts behind a NAT64 call an IPv4 address (RFC 6052).
pub(crate) fn nat64(ip: Ipv4Addr, port: u16) -> SocketAddr {
    let [a, b, c, d] = ip.octets().map(u16::from);
    let ip = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, a << 8 | b, c << 8 | d);
    SocketAddr::new(ip.into(), port)
}

pub(crate) fn v4_of(addr: SocketAddr) -> Option<SocketAddr> {
    let SocketAddr::V6(v6) = addr else {
        return None;
    };
    let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = v6.ip().segments() else {
        return None;
    };
    let ip = Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    Some(SocketAddr::new(ip.into(), addr.port()))
}

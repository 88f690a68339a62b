//! NATs as RFC 4787 describes them, with the port clash of Linux.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use rand::Rng;
use rand_chacha::ChaCha20Rng;

/// RFC 4787 section 4.3 asks for at least two minutes.
const FLOW_LIFE: Duration = Duration::from_secs(120);
/// Linux's `nf_conntrack_udp_timeout`.
const UNREPLIED_LIFE: Duration = Duration::from_secs(30);

/// How a NAT behaves.
#[derive(Clone, Copy, Default)]
pub(super) struct Style {
    /// A new random port for each destination; otherwise the port is preserved.
    pub(super) symmetric: bool,
    /// The next port for each destination.
    pub(super) sequential: bool,
    /// Lets everybody in on a port that is in use; otherwise only those who were sent to.
    pub(super) open: bool,
    /// Takes strangers' packets for its own, which then block the port (traversal 1.3).
    pub(super) accepting: bool,
    /// Forwards this port.
    pub(super) forwarded: Option<(u16, SocketAddr)>,
}

pub(super) struct Nat {
    pub(super) wan: IpAddr,
    pub(super) style: Style,
    /// By the inside address and the remote one as it is seen inside.
    flows: BTreeMap<(SocketAddr, SocketAddr), Flow>,
    /// Flows of the router itself: remote address and port.
    own: BTreeMap<(SocketAddr, u16), Instant>,
    last_port: u16,
    rng: ChaCha20Rng,
}

struct Flow {
    port: u16,
    remote: SocketAddr,
    until: Instant,
}

impl Nat {
    pub(super) fn new(wan: IpAddr, style: Style, rng: ChaCha20Rng) -> Self {
        Self {
            wan,
            style,
            flows: BTreeMap::new(),
            own: BTreeMap::new(),
            last_port: 20_000,
            rng,
        }
    }

    /// Translates a packet's source and destination on its way out.
    pub(super) fn outbound(
        &mut self,
        now: Instant,
        inside: SocketAddr,
        to: SocketAddr,
    ) -> (SocketAddr, SocketAddr) {
        self.expire(now);
        if !self.flows.contains_key(&(inside, to)) {
            let port = self.choose_port(inside.port(), to);
            self.open(now, (inside, to), port, to);
        }
        let flow = &self.flows[&(inside, to)];
        (SocketAddr::new(self.wan, flow.port), flow.remote)
    }

    fn open(&mut self, now: Instant, key: (SocketAddr, SocketAddr), port: u16, remote: SocketAddr) {
        let until = now + FLOW_LIFE;
        self.flows.insert(
            key,
            Flow {
                port,
                remote,
                until,
            },
        );
    }

    fn choose_port(&mut self, preserved: u16, remote: SocketAddr) -> u16 {
        if self.style.sequential {
            self.last_port += 1;
            return self.last_port;
        }
        let mut port = preserved;
        while self.taken(port, remote) || self.style.symmetric && port == preserved {
            port = self.rng.random_range(1024..=65535);
        }
        port
    }

    fn taken(&self, port: u16, remote: SocketAddr) -> bool {
        let mut flows = self.flows.values();
        self.own.contains_key(&(remote, port))
            || flows.any(|flow| flow.remote == remote && flow.port == port)
    }

    /// Whom a packet from outside is for, and where it seems to come from; none if it is dropped or the router's own.
    pub(super) fn inbound(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        port: u16,
    ) -> Option<(SocketAddr, SocketAddr)> {
        self.expire(now);
        let at_port = || self.flows.iter().filter(|(_, flow)| flow.port == port);
        if let Some((key, _)) = at_port().find(|(_, flow)| flow.remote == remote) {
            return Some(*key);
        }
        let open = at_port().next().filter(|_| self.style.open);
        let forwarded = self.style.forwarded.filter(|(used, _)| *used == port);
        let inside = open
            .map(|((inside, _), _)| *inside)
            .or_else(|| forwarded.map(|(_, inside)| inside));
        let Some(inside) = inside else {
            if self.style.accepting {
                self.own.insert((remote, port), now + UNREPLIED_LIFE);
            }
            return None;
        };
        // As Linux does it: where the way back is in use by another flow, the source gets another port.
        let mut seen = remote;
        while self.flows.contains_key(&(inside, seen)) {
            seen.set_port(self.rng.random_range(1024..=65535));
        }
        self.open(now, (inside, seen), port, remote);
        Some((inside, seen))
    }

    /// Forgets all flows, as a router does that was restarted; ports are chosen anew.
    pub(super) fn flush(&mut self) {
        self.flows.clear();
        self.own.clear();
    }

    fn expire(&mut self, now: Instant) {
        self.flows.retain(|_, flow| now < flow.until);
        self.own.retain(|_, until| now < *until);
    }
}

//! A machine under watch: whatever it is fed, it has to keep the promises that are asserted here.
//!
//! The checks are written anew from the promises, not in terms of the machine's own ideas of what is allowed.

mod addresses;
mod paths;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use self::{addresses::is_local, paths::Paths};
#[cfg(test)]
use super::{endpoint::PeerView, local::Local};
use super::{
    endpoint::{Machine, Settings},
    io::{Input, Output, Pair, Route, Sock},
};
use crate::{
    EventKind, PathPolicy, PeerId, PeerState,
    addr::LocalAddr,
    wire::{datagram::DatagramKind, intro},
};

/// More of a machine's own actions than this at one instant is a loop without end.
const MAX_TURNS: usize = 32;
const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
/// Ten in each window of a minute; two windows may touch.
const MAX_PER_MINUTE: usize = 20;

/// Bytes that one peer may take, with all that belongs to it.
const MAX_PEER: usize = 64 * 1024;
/// Its conversations: one in use, one before, one of our own that waits for an answer, and one whose answer is late.
const MAX_CONVS: usize = 4;

/// Sockets for one run of guesses: the holes, and one to take samples with.
const MAX_HOLES: usize = 257;
/// Sockets that one peer may keep after that: for its path, for addresses on trial, and for a fresh port.
const MAX_KEPT: usize = 18;

/// Two machines that are fed the same, and what is known of the world from their inputs alone.
pub(crate) struct Watched {
    machine: Machine,
    /// Has to do the same as the other.
    twin: Machine,
    relay_only: bool,
    guess_ports: bool,
    /// Sockets that were asked for and not closed.
    open: BTreeSet<Sock>,
    stopped: bool,
    interfaces: Vec<LocalAddr>,
    relays: BTreeMap<String, (SocketAddr, SocketAddr)>,
    /// Addresses that our own user dialled.
    named: BTreeSet<SocketAddr>,
    /// Addresses on our own network at which somebody claims a peer to be.
    found: BTreeSet<SocketAddr>,
    /// Where datagrams came from.
    seen: BTreeSet<SocketAddr>,
    /// From where QUIC is taken.
    admitted: BTreeSet<SocketAddr>,
    /// Where the datagram that is being handled came from.
    answering: Option<SocketAddr>,
    paths: Paths,
    attested: BTreeSet<IpAddr>,
    received: usize,
    unproven: usize,
    probes: BTreeMap<IpAddr, VecDeque<Instant>>,
    tcp: BTreeMap<SocketAddr, VecDeque<Instant>>,
    states: BTreeMap<PeerId, PeerState>,
    routes: BTreeMap<PeerId, Route>,
    policies: BTreeMap<PeerId, PathPolicy>,
    /// Datagrams sent so far.
    pub(crate) datagrams: usize,
}

impl Watched {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            machine: Machine::new(settings.clone()),
            twin: Machine::new(settings.clone()),
            relay_only: settings.relay_only,
            guess_ports: settings.guess_ports,
            open: BTreeSet::new(),
            stopped: false,
            interfaces: Vec::new(),
            relays: BTreeMap::new(),
            named: BTreeSet::new(),
            found: BTreeSet::new(),
            seen: BTreeSet::new(),
            admitted: BTreeSet::new(),
            answering: None,
            paths: Paths::default(),
            attested: BTreeSet::new(),
            received: 0,
            unproven: 0,
            probes: BTreeMap::new(),
            tcp: BTreeMap::new(),
            states: BTreeMap::new(),
            routes: BTreeMap::new(),
            policies: BTreeMap::new(),
            datagrams: 0,
        }
    }

    /// Hands the input in and returns what is to be done.
    pub(crate) fn handle(&mut self, now: Instant, input: Input<'_>) -> Vec<Output> {
        self.note(&input);
        let last = self.stopped;
        let shutdown = matches!(input, Input::Shutdown);
        self.twin.handle(now, input.clone());
        self.machine.handle(now, input);
        let out = self.drain(now);
        self.answering = None;
        assert!(!last || out.is_empty(), "output after the end: {out:?}");
        self.stopped |= shutdown;
        out
    }

    /// Lets the machines do all that is due, and returns what is to be done.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Vec<Output> {
        let mut out = Vec::new();
        for turn in 0.. {
            assert!(turn < MAX_TURNS, "the machine spins");
            self.twin.handle_timeout(now);
            self.machine.handle_timeout(now);
            out.extend(self.drain(now));
            if self.poll_timeout().is_none_or(|at| at > now) {
                break;
            }
        }
        assert!(!self.stopped || out.is_empty(), "output after the end");
        out
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.machine.poll_timeout().map(|(at, _)| at)
    }

    #[cfg(test)]
    pub(crate) fn turned_away(&self, now: Instant) -> Vec<crate::Caller> {
        self.machine.turned_away(now)
    }

    #[cfg(test)]
    pub(crate) fn peer(&self, id: PeerId, now: Instant) -> Option<PeerView> {
        self.machine.peer(id, now)
    }

    #[cfg(test)]
    pub(crate) fn local(&self) -> &Local {
        self.machine.local()
    }

    #[cfg(test)]
    pub(crate) fn direct_heard(&self, id: PeerId) -> Option<Instant> {
        self.machine.direct_heard(id)
    }

    /// How many peers and conversations are known.
    #[cfg(test)]
    pub(crate) fn population(&self) -> (usize, usize) {
        self.machine.population()
    }

    /// The memory that the largest peer takes, bytes.
    #[cfg(test)]
    pub(crate) fn size(&self) -> usize {
        self.machine.largest_peer()
    }

    /// Takes no path for proven any more.
    #[cfg(test)]
    pub(crate) fn forget_proofs(&mut self) {
        self.paths.moved();
    }

    /// Where QUIC packets to the peer go.
    #[cfg(test)]
    pub(crate) fn route(&self, id: PeerId) -> Option<&Route> {
        self.routes.get(&id)
    }

    /// Remembers what the input tells of the world.
    fn note(&mut self, input: &Input<'_>) {
        match input {
            Input::RelayUp {
                relay,
                addr,
                observed,
                ..
            } => {
                self.relays.insert(relay.to_string(), (*addr, *observed));
            }
            Input::Observed { relay, addr } => {
                if let Some((_, observed)) = self.relays.get_mut(&relay.to_string()) {
                    *observed = *addr;
                }
            }
            Input::RelayMessage {
                relay,
                attested,
                bytes,
                ..
            } => {
                let relay = self.relays.get(&relay.to_string());
                let is_near = relay.is_some_and(|(addr, _)| is_local(addr.ip()));
                let attested = attested.map(|addr| addr.ip());
                (self.attested).extend(attested.filter(|ip| is_near || !is_local(*ip)));
                self.received += bytes.len();
            }
            Input::Datagram {
                sock,
                source,
                bytes,
            } => {
                self.seen.insert(*source);
                self.answering = (!sock.is_tcp()).then_some(*source);
                self.paths.heard(Pair {
                    sock: *sock,
                    addr: *source,
                });
                self.received += bytes.len();
            }
            Input::TcpUp { tcp, .. } => self.seen.extend([tcp.addr]),
            Input::Interfaces { addrs, lost_route } => {
                if *lost_route || self.interfaces.iter().any(|known| !addrs.contains(known)) {
                    self.paths.moved();
                }
                self.interfaces.clone_from(addrs);
            }
            Input::Resumed => self.paths.moved(),
            Input::Connect { addrs, .. } | Input::CalledBack { addrs, .. } => {
                self.named.extend(addrs);
            }
            Input::Found { addrs, .. } => self.note_found(addrs),
            Input::Policy { peer, policy } => self.policies.extend([(*peer, *policy)]),
            Input::Retry { .. }
            | Input::Pair(_)
            | Input::RelayDraining { .. }
            | Input::RelayMoved { .. }
            | Input::RelaySilent { .. }
            | Input::RelayDown { .. }
            | Input::RelayGone { .. }
            | Input::RelayBusy { .. }
            | Input::RelayUnreached { .. }
            | Input::PortMapped(_)
            | Input::Seen(_)
            | Input::Pinhole(_)
            | Input::Routes { .. }
            | Input::AlsoObserved { .. }
            | Input::Nat(_)
            | Input::Hops(_)
            | Input::Connected { .. }
            | Input::Release { .. }
            | Input::Silence { .. }
            | Input::Losses { .. }
            | Input::Traffic { .. }
            | Input::SocketsOpened { .. }
            | Input::Sampled { .. }
            | Input::Listening(_)
            | Input::TcpDown { .. }
            | Input::Access { .. }
            | Input::Shutdown => {}
        }
    }

    fn note_found(&mut self, addrs: &[SocketAddr]) {
        let networks = &self.interfaces;
        let is_near = |ip| networks.iter().any(|it| it.shares_prefix(ip));
        let near = addrs.iter().filter(|it| is_near(it.ip()));
        self.found.extend(near);
    }

    fn drain(&mut self, now: Instant) -> Vec<Output> {
        let out: Vec<Output> = std::iter::from_fn(|| self.machine.poll_output()).collect();
        let twin: Vec<Output> = std::iter::from_fn(|| self.twin.poll_output()).collect();
        assert_eq!(out, twin, "the same inputs, but other outputs");
        for output in &out {
            self.check(now, output);
        }
        self.check_states(now);
        self.check_size(now);
        out
    }

    fn check_size(&self, now: Instant) {
        for (at, deadline) in self.machine.deadlines() {
            assert!(at <= now + HOUR, "{deadline:?} is in the far future");
        }
        let first = self.machine.deadlines().min();
        assert_eq!(self.machine.poll_timeout(), first, "a deadline is missed");
        let size = self.machine.largest_peer();
        assert!(size <= MAX_PEER, "a peer takes {size} bytes");
        let (peers, session_indices) = self.machine.population();
        assert!(
            session_indices <= peers * MAX_CONVS,
            "{session_indices} conversations"
        );
    }

    fn check(&mut self, now: Instant, output: &Output) {
        match output {
            Output::SendDatagram {
                sock, to, bytes, ..
            } if sock.is_tcp() => {
                self.paths.sent(Pair {
                    sock: *sock,
                    addr: *to,
                });
                assert!(bytes.len() <= intro::PACKET_LEN);
            }
            Output::SendDatagram {
                sock,
                to,
                ttl,
                bytes,
            } => {
                self.paths.sent(Pair {
                    sock: *sock,
                    addr: *to,
                });
                self.check_socket(*sock, *to);
                if self.answering == Some(*to) {
                    self.check_answer(*to, bytes);
                }
                self.check_datagram(now, *to, *ttl, bytes);
            }
            Output::OpenSockets { first, count } => self.check_open(*first, *count),
            Output::CloseSockets { first, count } => {
                let last = first.0 + u32::from(*count);
                self.open.retain(|sock| sock.0 < first.0 || sock.0 >= last);
            }
            Output::DialTcp { peer, addr } => {
                self.check_wanted(*peer, PathPolicy::RelayOnly);
                self.check_tcp(now, *addr);
            }
            Output::SendRelay {
                to, hidden, bytes, ..
            } => self.check_signal(*to, *hidden, bytes),
            Output::Admit { peer, addr } => {
                self.check_wanted(*peer, PathPolicy::RelayOnly);
                assert!(self.seen.contains(addr), "{addr} was never heard of");
                self.admitted.insert(*addr);
            }
            Output::Expel { addr, .. } => {
                assert!(self.admitted.remove(addr), "{addr} was nobody's");
            }
            Output::Route { peer, route } => {
                if let Route::Direct(pair) | Route::Both(pair, _) = route {
                    let addr = pair.addr;
                    assert!(self.seen.contains(&addr), "{addr} was never heard of");
                    self.check_wanted(*peer, PathPolicy::RelayOnly);
                }
                if let Route::Relay(_) | Route::Both(..) = route {
                    self.check_wanted(*peer, PathPolicy::DirectOnly);
                }
                self.routes.insert(*peer, route.clone());
            }
            Output::Forget { peer } => {
                self.end_life(*peer);
                self.routes.remove(peer);
            }
            Output::Event(EventKind::PeerState { peer, from, to, .. }) => {
                if !matches!(to, PeerState::Direct | PeerState::Suspect) {
                    self.end_life(*peer);
                }
                let known = self.states.insert(*peer, *to).unwrap_or(PeerState::Idle);
                assert_eq!(known, *from, "a state was left without an event");
            }
            Output::Event(_)
            | Output::NeedRelay { .. }
            | Output::Failed { .. }
            | Output::SampleMapping { .. }
            | Output::TakeTcp { .. }
            | Output::CloseTcp { .. } => {}
        }
    }

    /// There are no such paths to peers of that policy.
    fn check_wanted(&self, peer: PeerId, without: PathPolicy) {
        assert_ne!(self.policies.get(&peer), Some(&without), "not wanted");
    }

    /// Whoever keeps to relays has them tell no address.
    fn check_signal(&self, to: PeerId, hidden: bool, bytes: &[u8]) {
        assert!(bytes.len() <= intro::PACKET_LEN);
        assert!(hidden || !self.relay_only, "relay_only tells no address");
        if !hidden {
            self.check_wanted(to, PathPolicy::RelayOnly);
        }
    }

    /// The peer's direct path was given up, if there was one.
    fn end_life(&mut self, peer: PeerId) {
        if let Some(Route::Direct(pair) | Route::Both(pair, _)) = self.routes.get(&peer) {
            self.paths.died(*pair);
        }
    }

    /// Ports are guessed by consent, and with a bounded number of sockets. A fresh port needs one, and no guess.
    fn check_open(&mut self, first: Sock, count: u16) {
        let agreed = self.guess_ports || count == 1;
        assert!(agreed && !self.relay_only, "nobody agreed to it");
        assert!(first != Sock::MAIN, "the endpoint's own socket is open");
        let numbers = first.0..first.0 + u32::from(count);
        for sock in numbers.map(Sock) {
            assert!(self.open.insert(sock), "{sock:?} is open already");
        }
        let most = MAX_HOLES + MAX_KEPT * self.states.len();
        assert!(self.open.len() <= most, "{} sockets", self.open.len());
    }

    /// Other sockets than our own are only for where a relay sees the peer, or for what came from there.
    fn check_socket(&self, sock: Sock, to: SocketAddr) {
        if sock != Sock::MAIN {
            let known = self.attested.contains(&to.ip()) || self.seen.contains(&to);
            assert!(known, "no relay attests {to}");
        }
    }

    /// Whoever gets an answer may send data at once.
    fn check_answer(&self, to: SocketAddr, bytes: &[u8]) {
        let answers = matches!(
            DatagramKind::of(bytes),
            Some(DatagramKind::IntroAck | DatagramKind::Probe)
        );
        let takes = self.admitted.contains(&to);
        assert!(takes || !answers, "an answer before what follows is taken");
    }

    fn check_datagram(&mut self, now: Instant, to: SocketAddr, ttl: Option<u8>, bytes: &[u8]) {
        assert!(!self.relay_only, "relay_only sends no datagram");
        assert!(ttl.is_none_or(|ttl| (2..=5).contains(&ttl)));
        assert!(bytes.len() <= intro::PACKET_LEN);
        self.datagrams += 1;
        if self.named.contains(&to) {
            return;
        }
        self.check_allowed(to);
        if self.found.contains(&to) || self.seen.contains(&to) || self.attested.contains(&to.ip()) {
            return;
        }
        self.unproven += bytes.len();
        assert!(
            self.unproven <= 3 * self.received,
            "more than three bytes per byte"
        );
        let recent = self.probes.entry(to.ip()).or_default();
        recent.push_back(now);
        while recent.front().is_some_and(|at| *at + MINUTE <= now) {
            recent.pop_front();
        }
        assert!(recent.len() <= MAX_PER_MINUTE, "a flood to {to}");
    }

    /// TCP connections go where our user pointed, or where a relay sees a peer, twice a minute at most.
    fn check_tcp(&mut self, now: Instant, to: SocketAddr) {
        assert!(!self.relay_only, "relay_only dials no TCP connections");
        if !self.named.contains(&to) {
            assert!(self.attested.contains(&to.ip()), "{to} is only hearsay");
            self.check_allowed(to);
        }
        let recent = self.tcp.entry(to).or_default();
        recent.push_back(now);
        while recent.front().is_some_and(|at| *at + MINUTE <= now) {
            recent.pop_front();
        }
        assert!(recent.len() <= 4, "TCP connections without end to {to}");
    }

    fn check_states(&self, now: Instant) {
        for peer in self.machine.peers(now) {
            let told = self
                .states
                .get(&peer.id)
                .copied()
                .unwrap_or(PeerState::Idle);
            assert_eq!(told, peer.state, "a change without an event");
            let route = self.routes.get(&peer.id);
            match (peer.state, route) {
                // Until it is known to carry QUIC's packets, the relay carries them too.
                (PeerState::Direct, Some(Route::Direct(pair) | Route::Both(pair, _))) => {
                    assert!(self.paths.is_proven(*pair), "{pair:?} proved nothing");
                }
                (PeerState::Direct, _) => panic!("direct, but the route is {route:?}"),
                (PeerState::Relayed, _) => {
                    assert!(matches!(route, Some(Route::Relay(_))), "{route:?}");
                }
                (PeerState::Idle, _) => assert!(route.is_none(), "idle, but {route:?}"),
                _ => {}
            }
        }
    }
}

//! A host with a node on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{
    app::{Talk, Traffic},
    home::Setup,
    registration::Registration,
    stun::Sample,
};
use crate::{
    PeerId, PeerState, SecretKey,
    early::Early,
    io::{Failure, Sock},
    liveness::Liveness,
    nat::schedule::Schedule,
    relays::Relays,
    watched::Watched,
};

/// Where the sockets that are opened for hard NATs begin.
const FIRST_PORT: u16 = 50_000;

pub(crate) struct Node {
    /// Until when its router lets nothing in that a relay sends.
    pub(super) unheard_until: Option<Instant>,
    /// When a relay first sent something in vain.
    pub(super) unheard_since: Option<Instant>,
    pub(crate) id: PeerId,
    pub(crate) machine: Watched,
    /// What decides beside the machine.
    pub(crate) relays: Relays,
    pub(super) schedule: Schedule,
    pub(super) liveness: Liveness,
    /// Packets of applications that came by a lane before it was admitted.
    pub(super) early: Early<u64>,
    /// When rates were last sampled.
    pub(super) sampled: Instant,
    pub(super) setup: Setup,
    pub(super) key: SecretKey,
    /// Where it lives.
    pub(crate) site: usize,
    /// Its main address.
    pub(crate) host: SocketAddr,
    pub(crate) sockets: BTreeMap<Sock, u16>,
    /// Relays that know it, and where they see it.
    pub(crate) registered: BTreeMap<usize, SocketAddr>,
    /// What it believes of its registrations itself.
    pub(super) registrations: BTreeMap<usize, Registration>,
    /// Whom its application talks to.
    pub(super) talks: BTreeMap<PeerId, Talk>,
    /// What passed between it and each peer.
    pub(super) traffic: BTreeMap<PeerId, Traffic>,
    /// Addresses whose QUIC packets are let in.
    pub(crate) admitted: BTreeMap<SocketAddr, PeerId>,
    /// Relays' addresses by whose lanes these peers' packets are let in.
    pub(super) lanes: BTreeSet<(SocketAddr, PeerId)>,
    /// Questions of single sockets for their public address.
    pub(super) samples: Vec<Sample>,
    /// How often its NATs were measured to the end.
    pub(crate) measured: usize,
    /// How much its clock is behind: it does not count time asleep.
    pub(super) lag: Duration,
    /// Until when it does nothing, and whether it hears meanwhile.
    pub(super) absent: Option<(Instant, Absence)>,
    /// What happened to it, and when.
    pub(crate) states: Vec<(Duration, PeerState)>,
    pub(crate) failures: Vec<(Duration, Failure)>,
    /// Pairs that were forced and fell silent.
    pub(crate) released: Vec<SocketAddr>,
    pub(crate) forgotten: usize,
    /// The longest wait of its application for something to be heard.
    pub(crate) gap: Duration,
    /// Datagrams by their destinations.
    pub(crate) sent_to: BTreeMap<SocketAddr, usize>,
    /// Their bytes.
    pub(crate) bytes_to: BTreeMap<SocketAddr, usize>,
    /// Where streams were dialled to.
    pub(crate) dialled: Vec<SocketAddr>,
    pub(crate) signals: usize,
    pub(super) last_signal: Vec<u8>,
}

/// What decides in a process.
pub(super) struct Life {
    pub(super) machine: Watched,
    pub(super) relays: Relays,
    pub(super) schedule: Schedule,
    pub(super) liveness: Liveness,
}

/// Why a node does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absence {
    /// Nothing reaches it, and its clock stands still.
    Asleep,
    /// Others have the processor: what comes in waits.
    Stalled,
}

impl Node {
    pub(super) fn new(
        key: SecretKey,
        setup: Setup,
        site: usize,
        life: Life,
        port: u16,
        now: Instant,
    ) -> Self {
        Self {
            id: key.id(),
            machine: life.machine,
            relays: life.relays,
            schedule: life.schedule,
            liveness: life.liveness,
            early: Early::default(),
            sampled: now,
            setup,
            key,
            site,
            host: SocketAddr::from(([0, 0, 0, 0], 0)),
            sockets: BTreeMap::from([(Sock::MAIN, port)]),
            registered: BTreeMap::new(),
            registrations: BTreeMap::new(),
            talks: BTreeMap::new(),
            traffic: BTreeMap::new(),
            admitted: BTreeMap::new(),
            lanes: BTreeSet::new(),
            samples: Vec::new(),
            measured: 0,
            lag: Duration::ZERO,
            absent: None,
            states: Vec::new(),
            failures: Vec::new(),
            released: Vec::new(),
            forgotten: 0,
            gap: Duration::ZERO,
            sent_to: BTreeMap::new(),
            bytes_to: BTreeMap::new(),
            dialled: Vec::new(),
            signals: 0,
            last_signal: Vec::new(),
            unheard_until: None,
            unheard_since: None,
        }
    }

    pub(crate) fn relay_only(&self) -> bool {
        self.setup.relay_only
    }

    /// Whether it agrees to ports being guessed.
    pub(crate) fn guesses(&self) -> bool {
        self.setup.guess_ports
    }

    /// Whether it believes itself registered with this relay.
    pub(super) fn is_registered(&self, relay: usize) -> bool {
        self.registrations
            .get(&relay)
            .is_some_and(Registration::is_up)
    }

    /// The process begins anew, and remembers nothing.
    pub(super) fn begin(&mut self, life: Life) {
        self.machine = life.machine;
        self.relays = life.relays;
        self.schedule = life.schedule;
        self.liveness = life.liveness;
        self.early = Early::default();
        self.registrations.clear();
        self.admitted.clear();
        self.lanes.clear();
        self.talks.clear();
        self.traffic.clear();
        self.samples.clear();
        self.sockets.retain(|sock, _| *sock == Sock::MAIN);
    }

    pub(crate) fn open(&mut self, first: Sock, count: u16) {
        let taken: BTreeSet<u16> = self.sockets.values().copied().collect();
        let mut free = (FIRST_PORT..).filter(|port| !taken.contains(port));
        for number in 0..u32::from(count) {
            let sock = self.sockets.entry(Sock(first.0 + number));
            sock.or_insert_with(|| free.next().unwrap());
        }
    }

    pub(super) fn close(&mut self, first: Sock, count: u16) {
        for number in 0..u32::from(count) {
            self.sockets.remove(&Sock(first.0 + number));
        }
    }
}

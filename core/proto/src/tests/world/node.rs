//! A host with a node on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{World, app::Talk, classify::Measurement, home::Setup};
use crate::{
    EventKind, PeerId, PeerState, SecretKey,
    io::{Failure, Input, Output, Sock},
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
    pub(super) setup: Setup,
    pub(super) key: SecretKey,
    /// Where it lives.
    pub(crate) site: usize,
    /// Its main address.
    pub(crate) host: SocketAddr,
    pub(crate) sockets: BTreeMap<Sock, u16>,
    /// Relays that it is registered with, and where they see it.
    pub(crate) registered: BTreeMap<usize, SocketAddr>,
    /// Whom its application talks to.
    pub(super) talks: BTreeMap<PeerId, Talk>,
    /// Addresses whose QUIC packets are let in.
    pub(crate) admitted: BTreeMap<SocketAddr, PeerId>,
    pub(super) measurement: Option<Measurement>,
    /// Questions of single sockets for their public address.
    pub(super) samples: BTreeMap<[u8; 12], Sock>,
    /// How much its clock is behind: it does not count time asleep.
    pub(super) lag: Duration,
    /// Until when it does nothing, and whether it hears meanwhile.
    pub(super) absent: Option<(Instant, Absence)>,
    /// What happened to it, and when.
    pub(crate) states: Vec<(Duration, PeerState)>,
    pub(crate) failures: Vec<(Duration, Failure)>,
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
        machine: Watched,
        port: u16,
    ) -> Self {
        Self {
            id: key.id(),
            machine,
            setup,
            key,
            site,
            host: SocketAddr::from(([0, 0, 0, 0], 0)),
            sockets: BTreeMap::from([(Sock::MAIN, port)]),
            registered: BTreeMap::new(),
            talks: BTreeMap::new(),
            admitted: BTreeMap::new(),
            measurement: None,
            samples: BTreeMap::new(),
            lag: Duration::ZERO,
            absent: None,
            states: Vec::new(),
            failures: Vec::new(),
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

    /// A process that was restarted remembers nothing.
    pub(super) fn forget_all(&mut self) {
        self.admitted.clear();
        self.talks.clear();
        self.samples.clear();
        self.measurement = None;
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

impl World {
    /// Does what a machine says is to be done.
    pub(super) fn carry_out(&mut self, at: usize, out: Vec<Output>) {
        let after = self.elapsed();
        for output in out {
            if let Some(outputs) = &mut self.outputs {
                outputs.note(after, at, &output);
            }
            match output {
                Output::SendDatagram {
                    sock,
                    to,
                    ttl,
                    bytes,
                } => {
                    *self.nodes[at].sent_to.entry(to).or_default() += 1;
                    *self.nodes[at].bytes_to.entry(to).or_default() += bytes.len();
                    self.send(at, sock, to, ttl.unwrap_or(64), super::Load::Ours(bytes));
                }
                Output::SendRelay { relay, to, bytes } => {
                    self.nodes[at].signals += 1;
                    self.nodes[at].last_signal.clone_from(&bytes);
                    if let Some(relay) = self.relay_at(&relay) {
                        self.signal(at, relay, to, bytes);
                    }
                }
                Output::OpenSockets { first, count } => {
                    self.nodes[at].open(first, count);
                    self.feed(at, Input::SocketsOpened { first, count });
                }
                Output::CloseSockets { first, count } => self.nodes[at].close(first, count),
                Output::SampleMapping { sock, relay } => self.sample(at, sock, &relay),
                Output::NeedRelay { relay } => self.need_relay(at, &relay),
                Output::Admit { peer, addr } => {
                    self.nodes[at].admitted.insert(addr, peer);
                }
                Output::Expel { peer, addr } => {
                    assert_eq!(self.nodes[at].admitted.remove(&addr), Some(peer));
                }
                Output::Forget { peer } => {
                    self.nodes[at].forgotten += 1;
                    self.nodes[at].admitted.retain(|_, owner| *owner != peer);
                }
                Output::Failed { reason, .. } => {
                    let since = self.elapsed();
                    self.nodes[at].failures.push((since, reason));
                }
                Output::Event(EventKind::PeerState { to, .. }) => {
                    let since = self.elapsed();
                    self.nodes[at].states.push((since, to));
                }
                Output::DialStream { addr, .. } => self.nodes[at].dialled.push(addr),
                Output::Route { .. }
                | Output::TakeStream { .. }
                | Output::CloseStream { .. }
                | Output::Event(_) => {}
            }
        }
    }

    /// A node sleeps or stalls from now on.
    pub(crate) fn absent(&mut self, at: usize, time: Duration, absence: Absence) {
        self.nodes[at].absent = Some((self.now + time, absence));
        self.push(
            time,
            super::Happening::Back {
                node: at,
                after: time,
            },
        );
    }

    pub(crate) fn is_absent(&self, at: usize) -> bool {
        self.nodes[at].absent.is_some()
    }

    pub(super) fn back(&mut self, at: usize, after: Duration) {
        if let Some((_, Absence::Asleep)) = self.nodes[at].absent.take() {
            self.nodes[at].lag += after;
        }
    }
}

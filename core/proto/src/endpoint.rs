//! The endpoint machine: all peers, and what they share.

mod dispatch;
mod surroundings;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    time::{Duration, Instant},
};

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;

pub use super::peer::Whereabouts;
use super::{
    agenda::Agenda,
    budget::Budget,
    clock::Clock,
    heard::Heard,
    io::{Deadline, Output, Pair},
    local::{Local, Ports, Reaches},
    peer::{Context, Peer},
    shares::{Limits, Origin, Room, Shares},
    sources::Sources,
    timing::{CROWD, INTRO_WINDOW_MS, MAX_PEERS, UNSYNCED_WINDOW_MS},
    together::Together,
    turned_away::TurnedAway,
};
use crate::{
    Access, Caller, CandidatePair, Explanation, NatReport, PathInfo, PathPolicy, PeerId,
    PeerSnapshot, PeerState, SecretKey, Traffic, addr::Families,
};

/// All decisions of a node about its links. Takes [`Input`](super::io::Input)s and the time, gives [`Output`]s and a deadline; does nothing else.
///
/// The loop around it: hand in what happened, drain [`Machine::poll_output`], sleep until [`Machine::poll_timeout`] at the
/// latest, call [`Machine::handle_timeout`].
pub struct Machine {
    together: Together,
    key: SecretKey,
    local: Local,
    peers: BTreeMap<PeerId, Box<Peer>>,
    /// Whose hellos were heard, of those who are forgotten.
    heard: Heard,
    /// Which paths are wanted to peers, known or not, where not all are.
    policies: BTreeMap<PeerId, PathPolicy>,
    /// Who is not let in.
    turned_away: TurnedAway,
    /// Where those peers came from that came by themselves.
    callers: Shares<PeerId>,
    /// Which peer a conversation belongs to.
    session_indices: BTreeMap<u64, PeerId>,
    /// Which peer a TCP connection was taken for, until it is down.
    tcp: BTreeMap<Pair, PeerId>,
    sources: Sources,
    agenda: Agenda,
    /// Peers that may look different from outside since they were last asked for.
    touched: BTreeSet<PeerId>,
    budget: Budget,
    rng: ChaCha20Rng,
    clock: Clock,
    out: VecDeque<Output>,
    stopped: bool,
}

/// How a machine is set up.
#[derive(Clone)]
pub struct Settings {
    pub key: SecretKey,
    pub access: Access,
    pub relay_only: bool,
    /// Whether peers are looked for on our own network.
    pub lan: bool,
    /// Whether ports may be guessed where a NAT hides them.
    pub guess_ports: bool,
    /// Whether TCP connections may be dialled and taken.
    pub tcp: bool,
    /// The one address that the sockets are bound to, if not to all.
    pub bound: Option<IpAddr>,
    pub ports: Ports,
    pub seed: [u8; 32],
    pub now: Instant,
    pub unix_ms: u64,
}

/// A peer, for snapshots.
pub struct PeerView {
    pub id: PeerId,
    pub state: PeerState,
    pub age: Duration,
    pub path: Option<PathInfo>,
    pub rtt: Option<Duration>,
    /// How long ago that was measured, if it was on a direct path.
    pub rtt_age: Option<Duration>,
    pub why: Option<Explanation>,
    pub policy: PathPolicy,
    /// Whether its last connection has ended.
    pub ending: bool,
    pub probes_sent: u32,
    pub probes_answered: u32,
    pub pairs: Vec<CandidatePair>,
}

impl From<PeerView> for PeerSnapshot {
    /// The peer without what only its connections tell.
    fn from(view: PeerView) -> Self {
        Self {
            id: view.id,
            state: view.state,
            path: view.path,
            why: view.why,
            policy: view.policy,
            state_age: view.age,
            rtt: view.rtt,
            rtt_age: view.rtt_age,
            loss: 0.0,
            connections: 0,
            traffic: Traffic::default(),
            probes_sent: view.probes_sent,
            probes_answered: view.probes_answered,
            called: false,
            ending: view.ending,
            pairs: view.pairs,
            flows: Vec::new(),
        }
    }
}

/// Callers have no share of their own among the peers: what they may hold for long is what has a connection.
const CALLERS: Limits = Limits {
    in_all: MAX_PEERS,
    of_site: MAX_PEERS,
    of_network: MAX_PEERS,
    of_peer: MAX_PEERS,
};

impl Machine {
    pub fn new(settings: Settings) -> Self {
        let Settings {
            key,
            access,
            relay_only,
            lan,
            guess_ports,
            tcp,
            bound,
            ports,
            seed,
            now,
            unix_ms,
        } = settings;
        Self {
            together: Together::new(now),
            local: Local {
                id: key.id(),
                access,
                relay_only,
                lan: lan && !relay_only,
                guess_ports,
                tcp: tcp && !relay_only,
                listening: false,
                bound,
                ports,
                interfaces: Vec::new(),
                routes: Families { v4: true, v6: true },
                nat64: None,
                mapped: None,
                pinhole: None,
                nat: NatReport::default(),
                hops: None,
                reach: Reaches::default(),
                relays: BTreeMap::new(),
                seen: None,
            },
            key,
            peers: BTreeMap::new(),
            heard: Heard::default(),
            policies: BTreeMap::new(),
            turned_away: TurnedAway::default(),
            callers: Shares::new(CALLERS),
            session_indices: BTreeMap::new(),
            tcp: BTreeMap::new(),
            sources: Sources::default(),
            agenda: Agenda::default(),
            touched: BTreeSet::new(),
            budget: Budget::new(now),
            rng: ChaCha20Rng::from_seed(seed),
            clock: Clock::new(now, unix_ms),
            out: VecDeque::new(),
            stopped: false,
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.stopped {
            return;
        }
        for id in self.agenda.due(now) {
            self.with(now, id, Peer::handle_timeout);
            let peer = self.peers.get(&id);
            let forgotten_at = peer.and_then(|peer| peer.forgotten_at());
            if forgotten_at.is_some_and(|at| at <= now) {
                self.forget(id);
            }
        }
    }

    /// What is to be done outside; drain it after every call that takes `now`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When [`Machine::handle_timeout`] is to be called at the latest, and why.
    pub fn poll_timeout(&self) -> Option<(Instant, Deadline)> {
        if self.stopped {
            return None;
        }
        self.agenda.next()
    }

    /// Everything that will be due, and why.
    #[cfg(any(test, feature = "_fuzzing"))]
    pub(crate) fn deadlines(&self) -> impl Iterator<Item = (Instant, Deadline)> {
        let peers = self.peers.values().filter(|_| !self.stopped);
        peers.flat_map(|peer| peer.deadlines())
    }

    /// The memory that the largest peer takes, bytes.
    #[cfg(any(test, feature = "_fuzzing"))]
    pub(crate) fn largest_peer(&self) -> usize {
        let footprints = self.peers.values().map(|peer| peer.footprint());
        footprints.max().unwrap_or_default()
    }

    /// How many peers and conversations are known.
    #[cfg(any(test, feature = "_fuzzing"))]
    pub(crate) fn population(&self) -> (usize, usize) {
        (self.peers.len(), self.session_indices.len())
    }

    /// What is known of ourselves.
    pub fn local(&self) -> &Local {
        &self.local
    }

    /// Whether a link is wanted that is not direct.
    pub fn misses_peers(&self) -> bool {
        self.peers.values().any(|peer| peer.is_missed())
    }

    /// The peers to which something happened since this was last called; those are among them that are no more.
    pub fn take_touched(&mut self) -> BTreeSet<PeerId> {
        std::mem::take(&mut self.touched)
    }

    /// All peers, ordered by id.
    #[cfg(any(test, feature = "_fuzzing"))]
    pub(crate) fn peers(&self, now: Instant) -> impl Iterator<Item = PeerView> {
        self.peers.values().map(move |peer| self.view(peer, now))
    }

    /// One peer.
    pub fn peer(&self, id: PeerId, now: Instant) -> Option<PeerView> {
        self.peers.get(&id).map(|peer| self.view(peer, now))
    }

    /// Who was not let in within the last hour, the latest first.
    pub fn turned_away(&self, now: Instant) -> Vec<Caller> {
        self.turned_away.callers(now)
    }

    /// When the direct path that a peer is on was last seen to answer.
    pub fn direct_heard(&self, id: PeerId) -> Option<Instant> {
        self.peers.get(&id).and_then(|peer| peer.direct_heard())
    }

    /// Which paths may carry the data of a peer, known or not.
    pub fn policy(&self, id: PeerId) -> PathPolicy {
        self.policies.get(&id).copied().unwrap_or_default()
    }

    /// Where a peer is, as far as that is known.
    pub fn whereabouts(&self, id: PeerId) -> Option<Whereabouts> {
        self.peers.get(&id).and_then(|peer| peer.whereabouts())
    }

    fn view(&self, peer: &Peer, now: Instant) -> PeerView {
        let path = peer.path_info(&self.local);
        let (probes_sent, probes_answered) = peer.probes();
        PeerView {
            id: peer.id,
            state: peer.state(),
            age: now.saturating_duration_since(peer.since()),
            rtt: path.as_ref().and_then(|(_, rtt)| *rtt),
            rtt_age: peer
                .direct_heard()
                .map(|heard| now.saturating_duration_since(heard)),
            path: path.map(|(path, _)| path),
            why: peer.explain(&self.local, now),
            policy: self.policy(peer.id),
            ending: peer.is_ending(),
            probes_sent,
            probes_answered,
            pairs: peer.pairs(&self.local, now),
        }
    }

    /// Makes sure that there is an entry for the peer, who came from `caller` if we did not look for it.
    fn entry(&mut self, now: Instant, id: PeerId, caller: Option<IpAddr>) -> bool {
        if self.peers.contains_key(&id) {
            return true;
        }
        if self.peers.len() >= MAX_PEERS {
            let Some(other) = self.least_missed(caller) else {
                return false;
            };
            self.with(now, other, Peer::expel);
            self.forget(other);
        }
        let newest_intro_ms = self.heard.take(id);
        let peer = Peer::new(id, now, newest_intro_ms);
        self.peers.insert(id, Box::new(peer));
        if let Some(policy) = self.policies.get(&id).copied() {
            self.with(now, id, |peer, ctx| peer.set_policy(ctx, policy));
        }
        if let Some(ip) = caller {
            self.callers.take(id, Origin { peer: None, ip });
        }
        true
    }

    /// Lets go of everything that is known of a peer, but that its hellos so far are not new.
    fn forget(&mut self, id: PeerId) {
        if let Some(peer) = self.peers.remove(&id) {
            self.heard.remember(id, peer.newest_intro_ms());
        }
        self.callers.release(id);
        self.agenda.set(id, None);
        self.touched.insert(id);
    }

    /// Who is to give way to one more peer.
    fn least_missed(&self, caller: Option<IpAddr>) -> Option<PeerId> {
        if let Some(idle) = self.peers.values().find(|peer| peer.is_idle()) {
            return Some(idle.id);
        }
        let yields = |id| self.peers.get(&id).is_some_and(|peer| peer.yields());
        let since = |id: &PeerId| self.peers.get(id).map(|peer| peer.since());
        let Some(ip) = caller else {
            let callers = self.peers.values().filter(|peer| peer.yields());
            return callers.min_by_key(|peer| peer.since()).map(|peer| peer.id);
        };
        match self.callers.instead(Origin { peer: None, ip }, yields) {
            Room::Instead(greediest) => greediest.into_iter().min_by_key(since),
            Room::Free | Room::Full | Room::Over => None,
        }
    }

    fn with(&mut self, now: Instant, id: PeerId, f: impl FnOnce(&mut Peer, &mut Context<'_>)) {
        let Self {
            together,
            peers,
            key,
            local,
            rng,
            agenda,
            touched,
            budget,
            session_indices,
            sources,
            out,
            clock,
            ..
        } = self;
        let window_ms = window_ms(clock);
        let unix_ms = clock.unix_ms(now);
        let is_crowded = peers.len() > CROWD;
        if let Some(peer) = peers.get_mut(&id) {
            f(
                peer,
                &mut Context {
                    now,
                    together,
                    is_crowded,
                    unix_ms,
                    window_ms,
                    key,
                    local,
                    rng,
                    budget,
                    session_indices,
                    sources,
                    out,
                },
            );
            agenda.set(id, peer.poll_timeout());
            touched.insert(id);
            let reach = peer.tell_reach(local);
            local.reach.change(reach);
        }
    }
}

/// How far the time in a hello may be from ours.
fn window_ms(clock: &Clock) -> u64 {
    if clock.is_synced() {
        INTRO_WINDOW_MS
    } else {
        UNSYNCED_WINDOW_MS
    }
}

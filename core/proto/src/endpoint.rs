//! The endpoint machine: what concerns all peers, and who a message is for.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;

pub use super::peer::Whereabouts;
use super::{
    agenda::Agenda,
    budget::Budget,
    clock::Clock,
    handshake::{self, Opened},
    heard::Heard,
    io::{Deadline, Failure, Input, Output, Pair, Sock},
    local::{Local, Ports, Reaches, RelayView},
    peer::{Context, Peer, Source},
    shares::{Limits, Origin, Room, Shares},
    sources::Sources,
    timing::{CROWD, INTRO_WINDOW_MS, MAX_PEERS, UNSYNCED_WINDOW_MS},
    together::Together,
};
use crate::{
    Access, EventKind, Explanation, NatReport, PathInfo, PeerId, PeerSnapshot, PeerState, RelayUrl,
    SecretKey, Traffic,
    addr::Families,
    wire::{
        candidate::Candidate,
        datagram::Kind,
        intro::{AckPacket, IntroPacket},
        probe::ProbePacket,
        sealed::SealedPacket,
        stale::StalePacket,
    },
};

/// All decisions of a node about its links. Takes [`Input`]s and the time, gives [`Output`]s and a deadline; does nothing else.
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
    /// Where those peers came from that came by themselves.
    callers: Shares<PeerId>,
    /// Which peer a conversation belongs to.
    convs: BTreeMap<u64, PeerId>,
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
    /// Whether streams may be dialled and taken.
    pub streams: bool,
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
    pub why: Option<Explanation>,
    pub probes_sent: u32,
    pub probes_answered: u32,
}

impl From<PeerView> for PeerSnapshot {
    /// The peer without what only its connections tell.
    fn from(view: PeerView) -> Self {
        Self {
            id: view.id,
            state: view.state,
            path: view.path,
            why: view.why,
            state_age: view.age,
            rtt: view.rtt,
            loss: 0.0,
            connections: 0,
            traffic: Traffic::default(),
            probes_sent: view.probes_sent,
            probes_answered: view.probes_answered,
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
            streams,
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
                streams: streams && !relay_only,
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
            },
            key,
            peers: BTreeMap::new(),
            heard: Heard::default(),
            callers: Shares::new(CALLERS),
            convs: BTreeMap::new(),
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

    /// Takes in what happened.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        if self.stopped {
            return;
        }
        match input {
            Input::RelayUp {
                relay,
                addr,
                observed,
                unix_ms,
                own_ms,
            } => {
                self.clock.set(now, unix_ms, own_ms);
                self.on_relay_up(now, relay, addr, observed);
            }
            Input::RelayDown { relay } => self.on_relay_down(now, &relay),
            Input::Observed { relay, addr } => self.on_observed(now, &relay, addr),
            Input::RelayMessage {
                relay,
                from,
                attested,
                bytes,
            } => {
                self.on_message(now, bytes, &Source::Relay { relay, attested }, Some(from));
            }
            Input::RelayGone { relay, peer } => self.told(now, peer, &relay, Peer::on_gone),
            Input::RelayBusy { relay, peer } => self.told(now, peer, &relay, Peer::on_busy),
            Input::RelayUnreached { relay, peer } => self.told(now, peer, &relay, Peer::on_unheard),
            Input::Datagram {
                sock,
                source,
                bytes,
            } => self.on_datagram(now, Pair { sock, addr: source }, bytes),
            Input::SocketsOpened { first, count } => self.on_sockets(now, first, count),
            Input::Sampled { sock, addr } => self.on_sampled(now, sock, addr),
            Input::StreamUp {
                peer,
                stream,
                dialled,
            } => self.on_stream(now, peer, stream, dialled),
            Input::StreamDown { peer, stream } => {
                self.with(now, peer, |peer, ctx| peer.on_stream_down(ctx, stream))
            }
            Input::Listening(listening) => self.learn(now, |local| local.listening = listening),
            Input::Interfaces { addrs, lost_route } => self.on_interfaces(now, addrs, lost_route),
            Input::PortMapped(addr) => self.learn(now, |local| local.mapped = addr),
            Input::Pinhole(addr) => self.learn(now, |local| local.pinhole = addr),
            Input::Routes { families, nat64 } => {
                self.learn(now, |local| local.set_routes(families, nat64));
            }
            Input::AlsoObserved { relay, addr } => {
                self.learn(now, |local| local.also_observed(&relay, addr));
            }
            Input::Nat(report) => self.on_nat(now, report),
            Input::Hops(hops) => self.local.hops = Some(hops),
            Input::Connect {
                peer,
                relays,
                addrs,
            } => self.connect(now, peer, relays, addrs),
            Input::Found { peer, addrs } => self.on_found(now, peer, addrs),
            Input::Hold { peer } => self.with(now, peer, |peer, _| peer.hold()),
            Input::Release { peer } => self.with(now, peer, Peer::release),
            Input::Silence {
                peer,
                since,
                sent,
                rtt,
            } => self.with(now, peer, |peer, ctx| {
                peer.on_silence(ctx, since, sent, rtt)
            }),
            Input::Losses { peer } => self.with(now, peer, Peer::on_losses),
            Input::Traffic { peer, heard } => {
                self.with(now, peer, |peer, ctx| peer.on_traffic(ctx, heard));
            }
            Input::Resumed => self.on_resumed(now),
            Input::Access { access, dialled } => self.set_access(now, access, &dialled),
            Input::Shutdown => self.shut(now),
        }
    }

    /// A relay says something of a peer.
    fn told(
        &mut self,
        now: Instant,
        peer: PeerId,
        relay: &RelayUrl,
        hear: impl FnOnce(&mut Peer, &mut Context<'_>, &RelayUrl),
    ) {
        self.with(now, peer, |peer, ctx| hear(peer, ctx, relay));
    }

    /// Whoever asked for these sockets gets them, unless it has no use for them any more.
    fn on_sockets(&mut self, now: Instant, first: Sock, count: u16) {
        let mut taken = false;
        self.each(now, |peer, ctx| {
            taken |= peer.on_holes(ctx, first, count) || peer.on_fresh_socket(ctx, first, count);
        });
        if !taken && count > 0 {
            self.out.push_back(Output::CloseSockets { first, count });
        }
    }

    /// A relay sees one of our sockets there.
    fn on_sampled(&mut self, now: Instant, sock: Sock, addr: SocketAddr) {
        self.each(now, |peer, ctx| {
            peer.on_count(ctx, sock, addr);
            peer.on_fresh_sample(ctx, sock, addr);
        });
    }

    fn set_access(&mut self, now: Instant, access: Access, dialled: &[PeerId]) {
        self.local.access = access;
        let local = &self.local;
        let unwelcome = |id: &&PeerId| !local.lets_in(**id) && !dialled.contains(id);
        let unwelcome: Vec<PeerId> = self.peers.keys().filter(unwelcome).copied().collect();
        for id in unwelcome {
            self.with(now, id, Peer::expel);
        }
    }

    fn shut(&mut self, now: Instant) {
        self.each(now, Peer::shut);
        self.stopped = true;
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
        (self.peers.len(), self.convs.len())
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

    /// When the direct path that a peer is on was last seen to answer.
    pub fn direct_heard(&self, id: PeerId) -> Option<Instant> {
        self.peers.get(&id).and_then(|peer| peer.direct_heard())
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
            path: path.map(|(path, _)| path),
            why: peer.explain(&self.local, now),
            probes_sent,
            probes_answered,
        }
    }

    fn connect(
        &mut self,
        now: Instant,
        id: PeerId,
        relays: Vec<RelayUrl>,
        mut addrs: Vec<SocketAddr>,
    ) {
        if self.local.relay_only {
            addrs.clear();
        }
        if self.entry(now, id, None) {
            self.with(now, id, |peer, ctx| peer.connect(ctx, relays, addrs));
        } else {
            self.out.push_back(Output::Failed {
                peer: id,
                reason: Failure::Silent,
            });
        }
    }

    fn on_found(&mut self, now: Instant, peer: PeerId, addrs: Vec<SocketAddr>) {
        if self.local.lan && self.entry(now, peer, None) {
            self.with(now, peer, |peer, ctx| peer.on_found(ctx, addrs));
        }
    }

    fn on_relay_up(
        &mut self,
        now: Instant,
        relay: RelayUrl,
        addr: SocketAddr,
        observed: SocketAddr,
    ) {
        let before = self.local.candidates(self.local.id, true, None);
        let also = self.local.relays.get(&relay).and_then(|view| view.also);
        let view = RelayView {
            addr,
            observed,
            also,
        };
        self.local.relays.insert(relay.clone(), view);
        self.each(now, |peer, ctx| peer.on_relay_up(ctx, &relay));
        self.if_changed(now, before);
    }

    fn on_relay_down(&mut self, now: Instant, relay: &RelayUrl) {
        self.local.relays.remove(relay);
        self.each(now, |peer, ctx| peer.on_relay_down(ctx, relay));
    }

    fn on_observed(&mut self, now: Instant, relay: &RelayUrl, addr: SocketAddr) {
        let before = self.local.candidates(self.local.id, true, None);
        if let Some(view) = self.local.relays.get_mut(relay) {
            view.observed = addr;
            self.out
                .push_back(Output::Event(EventKind::PublicAddress { addr }));
        }
        self.if_changed(now, before);
    }

    /// Sorts a message by its first byte. Whatever does not prove to belong to a peer leaves no trace.
    fn on_message(&mut self, now: Instant, bytes: &[u8], source: &Source, from: Option<PeerId>) {
        match Kind::of(bytes) {
            Some(Kind::Intro) => self.on_intro(now, bytes, source, from),
            Some(Kind::IntroAck) => {
                let Ok(packet) = AckPacket::parse(bytes) else {
                    return;
                };
                let Some(id) = self.owner(packet.conv(), from) else {
                    return;
                };
                self.with(now, id, |peer, ctx| peer.on_ack(ctx, packet, source));
            }
            Some(Kind::Stale) => {
                let Ok(packet) = StalePacket::parse(bytes) else {
                    return;
                };
                let Some(id) = self.owner(packet.conv, from) else {
                    return;
                };
                self.with(now, id, |peer, ctx| peer.on_stale(ctx, bytes));
            }
            Some(Kind::Probe) => {
                let (Source::Direct(pair), Ok(packet)) = (source, ProbePacket::parse(bytes)) else {
                    return;
                };
                let Some(id) = self.owner(packet.conv, from) else {
                    return;
                };
                self.with(now, id, |peer, ctx| peer.on_probe(ctx, *pair, bytes));
            }
            Some(Kind::Sealed) => {
                let Ok(packet) = SealedPacket::parse(bytes) else {
                    return;
                };
                let Some(id) = self.owner(packet.conv, from) else {
                    return;
                };
                self.with(now, id, |peer, ctx| peer.on_news(ctx, bytes, source));
            }
            Some(Kind::Stun | Kind::Lane | Kind::Quic) | None => {}
        }
    }

    /// What comes on a stream is of the peer that proved its key there; other sources have nobody's word but their own.
    fn on_datagram(&mut self, now: Instant, pair: Pair, bytes: &[u8]) {
        let owner = self.stream_owner(pair);
        if owner.is_some() || !pair.sock.is_stream() && self.local.may_answer(pair.addr) {
            self.on_message(now, bytes, &Source::Direct(pair), owner);
        }
    }

    fn stream_owner(&self, pair: Pair) -> Option<PeerId> {
        if !pair.sock.is_stream() {
            return None;
        }
        let mut peers = self.peers.values();
        peers.find(|peer| peer.has_stream(pair)).map(|peer| peer.id)
    }

    /// Whose conversation it is; nobody's if a relay or a stream says it comes from somebody else.
    fn owner(&self, conv: u64, from: Option<PeerId>) -> Option<PeerId> {
        self.convs
            .get(&conv)
            .copied()
            .filter(|owner| from.is_none_or(|from| from == *owner))
    }

    fn on_intro(&mut self, now: Instant, bytes: &[u8], source: &Source, from: Option<PeerId>) {
        let Ok(packet) = IntroPacket::parse(bytes) else {
            return;
        };
        let meant_for_us = handshake::is_addressed_to(packet, self.local.id);
        if !meant_for_us || (matches!(source, Source::Direct(_)) && !self.budget.take_hello(now)) {
            return;
        }
        let opened = match Opened::open(&self.key, packet, &mut self.rng) {
            Ok(opened) => opened,
            Err(error) => return tracing::trace!(%error, "INTRO refused"),
        };
        let id = opened.body.id;
        let known = self.peers.get(&id).is_some_and(|peer| !peer.is_idle());
        if from.is_some_and(|from| from != id)
            || id == self.local.id
            || !(known || self.local.lets_in(id))
        {
            return;
        }
        let ip = match source {
            Source::Relay { attested, .. } => attested.ip(),
            Source::Direct(pair) => pair.addr.ip(),
        };
        if self.entry(now, id, Some(ip)) {
            self.with(now, id, |peer, ctx| {
                peer.on_intro(ctx, opened, source);
            });
        }
    }

    /// TLS has proved who is at the other end; whether we want to hear of them is decided here.
    fn on_stream(&mut self, now: Instant, id: PeerId, pair: Pair, dialled: bool) {
        let known = self.peers.get(&id).is_some_and(|peer| !peer.is_idle());
        let welcome =
            self.local.streams && id != self.local.id && (known || self.local.lets_in(id));
        if welcome && self.entry(now, id, Some(pair.addr.ip())) {
            self.with(now, id, |peer, ctx| peer.on_stream_up(ctx, pair, dialled));
        } else {
            self.out.push_back(Output::CloseStream { sock: pair.sock });
        }
    }

    fn on_interfaces(
        &mut self,
        now: Instant,
        addrs: Vec<crate::addr::LocalAddr>,
        lost_route: bool,
    ) {
        let before = self.local.candidates(self.local.id, true, None);
        let lost_addr = self
            .local
            .interfaces
            .iter()
            .any(|known| !addrs.contains(known));
        let gained_addr = addrs
            .iter()
            .any(|addr| !self.local.interfaces.contains(addr));
        self.local.interfaces = addrs;
        if lost_route || lost_addr {
            // What relays saw before tells nothing; where they see us now, they say when they hear us again.
            for relay in self.local.relays.values_mut() {
                relay.also = None;
            }
            self.each(now, Peer::on_moved);
        } else if gained_addr {
            self.each(now, |peer, _| peer.forget_paths());
        }
        self.if_changed(now, before);
    }

    fn on_resumed(&mut self, now: Instant) {
        self.clock.stood_still();
        self.each(now, Peer::on_resumed);
    }

    fn on_nat(&mut self, now: Instant, report: NatReport) {
        if std::mem::replace(&mut self.local.nat, report) != report {
            self.each(now, Peer::on_nat);
        }
    }

    /// Takes in something about ourselves, and tells the peers if we have something else to offer by that.
    fn learn(&mut self, now: Instant, change: impl FnOnce(&mut Local)) {
        let before = self.local.candidates(self.local.id, true, None);
        change(&mut self.local);
        self.if_changed(now, before);
    }

    /// Tells the peers if what we can offer is no longer what it was.
    fn if_changed(&mut self, now: Instant, before: Vec<Candidate>) {
        if self.local.candidates(self.local.id, true, None) != before {
            self.each(now, Peer::on_local_change);
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
            convs,
            sources,
            out,
            clock,
            ..
        } = self;
        let window_ms = if clock.is_synced() {
            INTRO_WINDOW_MS
        } else {
            UNSYNCED_WINDOW_MS
        };
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
                    convs,
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

    fn each(&mut self, now: Instant, mut f: impl FnMut(&mut Peer, &mut Context<'_>)) {
        let ids: Vec<PeerId> = self.peers.keys().copied().collect();
        for id in ids {
            self.with(now, id, &mut f);
        }
    }
}

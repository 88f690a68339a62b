//! A small world: homes, their NATs, one relay, and the time.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;

use super::nat::{Nat, Style};
use crate::{
    Access, EventKind, NatBehavior, NatReport, PeerId, PeerState, PortAllocation, RelayUrl,
    SecretKey,
    addr::LocalAddr,
    proto::{
        endpoint::{PeerView, Settings},
        io::{Failure, Input, Output, Pair, Route, Sock},
        local::Ports,
        watched::Watched,
    },
};

pub(super) const PORT: u16 = 40000;
/// Routers between two homes, without their own NATs.
const CORE_HOPS: u8 = 10;
const UNIX_MS: u64 = 1_790_000_000_000;
/// How often an application says something, and how often its silence is looked at.
const CHAT: Duration = Duration::from_millis(20);
const LOOK: Duration = Duration::from_millis(50);

pub(super) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The homes of traversal 1.1 that there are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    Public,
    FullCone,
    PortRestricted,
    /// Port-restricted, on a Linux router whose INPUT chain accepts.
    Accepting,
    /// Port-restricted behind port-restricted.
    Double,
    Symmetric,
    /// Symmetric, one port after the other.
    Counting,
    /// Symmetric, and the router forwards a port.
    SymmetricMapped,
}

/// What a home was set up with, so that it can be restarted.
#[derive(Clone)]
pub(super) struct Setup {
    pub(super) home: Home,
    pub(super) access: Access,
    pub(super) relay_only: bool,
    /// One way between the home and the core of the network.
    pub(super) delay: Duration,
}

impl From<Home> for Setup {
    fn from(home: Home) -> Self {
        Self {
            home,
            access: Access::Anyone,
            relay_only: false,
            delay: ms(20),
        }
    }
}

pub(super) struct Node {
    pub(super) id: PeerId,
    pub(super) machine: Watched,
    pub(super) nats: Vec<Nat>,
    setup: Setup,
    key: SecretKey,
    pub(super) host: SocketAddr,
    socks: BTreeMap<u32, u16>,
    /// Whether the relay knows it.
    pub(super) registered: bool,
    /// Whether its application talks to this peer all the time.
    talks_to: Option<PeerId>,
    admitted: BTreeSet<SocketAddr>,
    /// Since when it waits for something to come back directly, and when it last sent so.
    waits: Option<Instant>,
    last_sent: Option<Instant>,
    /// What happened to it, and when.
    pub(super) states: Vec<(Duration, PeerState)>,
    pub(super) failures: Vec<(Duration, Failure)>,
    pub(super) forgotten: usize,
    /// When the application last heard something, and its longest wait.
    heard: Instant,
    pub(super) gap: Duration,
    /// Datagrams to other addresses than the peer's public one.
    pub(super) sent_to: BTreeMap<SocketAddr, usize>,
    pub(super) signals: usize,
    last_signal: Vec<u8>,
}

enum Happening {
    AtCore {
        from: SocketAddr,
        to: SocketAddr,
        ttl: u8,
        bytes: Vec<u8>,
    },
    AtHome {
        node: usize,
        from: SocketAddr,
        port: u16,
        ttl: u8,
        bytes: Vec<u8>,
    },
    AtRelay {
        node: usize,
        to: PeerId,
        bytes: Vec<u8>,
    },
    Delivered {
        node: usize,
        from: PeerId,
        attested: SocketAddr,
        bytes: Vec<u8>,
    },
    Gone {
        node: usize,
        peer: PeerId,
    },
    Sampled {
        node: usize,
        sock: Sock,
        addr: SocketAddr,
    },
    /// A data packet on the relay's lane.
    Lane {
        node: usize,
    },
    Chat {
        node: usize,
    },
    Look {
        node: usize,
    },
}

pub(super) struct World {
    pub(super) now: Instant,
    start: Instant,
    queue: BTreeMap<(Instant, u64), Happening>,
    serial: u64,
    pub(super) nodes: Vec<Node>,
    rng: ChaCha20Rng,
    /// Share of datagrams that are lost between the homes.
    pub(super) loss: f64,
    /// Nothing goes through between the homes.
    pub(super) cut: bool,
    /// How many signals the relay is going to lose.
    pub(super) lose_signals: usize,
    /// Pairs that the relay has bound a lane for.
    bound: BTreeSet<(PeerId, PeerId)>,
    pub(super) relay_up: bool,
    /// All signals that the relay delivered, for replays.
    pub(super) recorded: Vec<(usize, Vec<u8>)>,
    /// All datagrams of machines that arrived: at whom, from where, what.
    pub(super) probes: Vec<(usize, SocketAddr, Vec<u8>)>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        let start = Instant::now();
        Self {
            now: start,
            start,
            queue: BTreeMap::new(),
            serial: 0,
            nodes: Vec::new(),
            rng: ChaCha20Rng::seed_from_u64(seed),
            loss: 0.0,
            cut: false,
            lose_signals: 0,
            bound: BTreeSet::new(),
            relay_up: true,
            recorded: Vec::new(),
            probes: Vec::new(),
        }
    }

    /// A world with two homes that are registered with the relay.
    pub(super) fn pair(a: Home, b: Home) -> Self {
        let mut world = Self::new(1);
        world.add(a);
        world.add(b);
        world
    }

    pub(super) fn add(&mut self, setup: impl Into<Setup>) -> usize {
        let setup = setup.into();
        let at = self.nodes.len();
        let key = SecretKey::from_seed(&[at as u8 + 1; 32]);
        let (host, nats) = self.build(setup.home, at as u8);
        let machine = self.machine(&key, &setup);
        self.nodes.push(Node {
            id: key.id(),
            machine,
            nats,
            setup,
            key,
            host,
            socks: BTreeMap::new(),
            registered: false,
            talks_to: None,
            admitted: BTreeSet::new(),
            waits: None,
            last_sent: None,
            states: Vec::new(),
            failures: Vec::new(),
            forgotten: 0,
            heard: self.now,
            gap: Duration::ZERO,
            sent_to: BTreeMap::new(),
            signals: 0,
            last_signal: Vec::new(),
        });
        self.arrange(at);
        self.register(at);
        at
    }

    fn machine(&mut self, key: &SecretKey, setup: &Setup) -> Watched {
        Watched::new(&Settings {
            key: key.clone(),
            access: setup.access.clone(),
            relay_only: setup.relay_only,
            guess_ports: true,
            streams: true,
            bound: None,
            ports: Ports { v4: PORT, v6: 0 },
            seed: self.rng.random(),
            now: self.now,
            unix_ms: self.unix_ms(),
        })
    }

    pub(super) fn unix_ms(&self) -> u64 {
        UNIX_MS + (self.now - self.start).as_millis() as u64
    }

    fn build(&mut self, home: Home, at: u8) -> (SocketAddr, Vec<Nat>) {
        let public = IpAddr::from([80 + at, 1, 0, 1]);
        let inside = SocketAddr::from(([192, 168, 10 + at, 7], PORT));
        let style = Style::default();
        let styles = match home {
            Home::Public => return (SocketAddr::new(public, PORT), Vec::new()),
            Home::FullCone => vec![Style {
                open: true,
                ..style
            }],
            Home::PortRestricted => vec![style],
            Home::Accepting => vec![Style {
                accepting: true,
                ..style
            }],
            Home::Double => vec![style, style],
            Home::Symmetric => vec![Style {
                symmetric: true,
                ..style
            }],
            Home::Counting => vec![Style {
                sequential: true,
                ..style
            }],
            Home::SymmetricMapped => vec![Style {
                symmetric: true,
                forwarded: Some((PORT, inside)),
                ..style
            }],
        };
        let outermost = styles.len() - 1;
        let mut nats = Vec::new();
        for (layer, style) in styles.into_iter().enumerate() {
            let between = IpAddr::from([10, at, layer as u8, 2]);
            let wan = if layer == outermost { public } else { between };
            nats.push(Nat::new(wan, style, ChaCha20Rng::from_rng(&mut self.rng)));
        }
        (inside, nats)
    }

    /// Tells a new machine of its surroundings.
    fn arrange(&mut self, at: usize) {
        let node = &self.nodes[at];
        let mapping = match node.setup.home {
            Home::Symmetric | Home::Counting | Home::SymmetricMapped => {
                NatBehavior::AddressAndPortDependent
            }
            Home::Public
            | Home::FullCone
            | Home::PortRestricted
            | Home::Accepting
            | Home::Double => NatBehavior::EndpointIndependent,
        };
        let addrs = vec![LocalAddr {
            ip: node.host.ip(),
            prefix_len: 24,
        }];
        let forwarded = node.nats.first().and_then(|nat| {
            let (port, _) = nat.style.forwarded?;
            Some(SocketAddr::new(nat.wan, port))
        });
        self.feed(
            at,
            Input::Interfaces {
                addrs,
                lost_route: false,
            },
        );
        let filtering = NatBehavior::AddressAndPortDependent;
        let allocation = match self.nodes[at].setup.home {
            Home::Counting => PortAllocation::Sequential { step: 1 },
            Home::Public
            | Home::FullCone
            | Home::PortRestricted
            | Home::Accepting
            | Home::Double
            | Home::Symmetric
            | Home::SymmetricMapped => PortAllocation::Random {
                first: 1024,
                last: 65535,
            },
        };
        self.feed(
            at,
            Input::Nat(NatReport {
                mapping,
                filtering,
                allocation,
            }),
        );
        self.feed(at, Input::PortMapped(forwarded));
    }

    /// Registers a node with the relay, at once.
    pub(super) fn register(&mut self, at: usize) {
        let observed = self.observed(at);
        let unix_ms = self.unix_ms();
        self.nodes[at].registered = true;
        self.feed(
            at,
            Input::RelayUp {
                relay: relay(),
                addr: relay_addr(),
                observed,
                unix_ms,
            },
        );
    }

    /// Takes a node off the relay.
    pub(super) fn unregister(&mut self, at: usize) {
        self.nodes[at].registered = false;
        self.feed(at, Input::RelayDown { relay: relay() });
    }

    /// The relay dies, and everybody notices.
    pub(super) fn relay_dies(&mut self) {
        self.relay_up = false;
        self.bound.clear();
        for at in 0..self.nodes.len() {
            self.unregister(at);
        }
    }

    /// The relay is back, and everybody registers again.
    pub(super) fn relay_returns(&mut self) {
        self.relay_up = true;
        for at in 0..self.nodes.len() {
            self.register(at);
        }
    }

    /// A new machine takes the place of a node, with the same key and home.
    pub(super) fn restart(&mut self, at: usize) {
        let (key, setup) = (self.nodes[at].key.clone(), self.nodes[at].setup.clone());
        self.nodes[at].machine = self.machine(&key, &setup);
        self.nodes[at].admitted.clear();
        self.nodes[at].talks_to = None;
        self.arrange(at);
        self.register(at);
    }

    /// `a` dials `b` with the ticket that names the relay.
    pub(super) fn connect(&mut self, a: usize, b: usize) {
        let peer = self.nodes[b].id;
        self.feed(
            a,
            Input::Connect {
                peer,
                relays: vec![relay()],
                addrs: Vec::new(),
            },
        );
    }

    /// As [`World::connect`], and a connection with an application on both sides comes about.
    pub(super) fn link(&mut self, a: usize, b: usize) {
        self.connect(a, b);
        self.run(ms(200));
        self.hold(a, b);
        self.talk(a, b);
    }

    pub(super) fn hold(&mut self, a: usize, b: usize) {
        for (at, with) in [(a, b), (b, a)] {
            let peer = self.nodes[with].id;
            self.feed(at, Input::Hold { peer });
        }
    }

    pub(super) fn release(&mut self, at: usize, with: usize) {
        let peer = self.nodes[with].id;
        self.nodes[at].talks_to = None;
        self.feed(at, Input::Release { peer });
    }

    /// The applications of both say something all the time.
    pub(super) fn talk(&mut self, a: usize, b: usize) {
        for (at, with) in [(a, b), (b, a)] {
            self.nodes[at].talks_to = Some(self.nodes[with].id);
            self.nodes[at].heard = self.now;
            self.nodes[at].gap = Duration::ZERO;
            self.push(Duration::ZERO, Happening::Chat { node: at });
            self.push(LOOK, Happening::Look { node: at });
        }
    }

    /// The applications have nothing more to say.
    pub(super) fn hush(&mut self) {
        for node in &mut self.nodes {
            node.talks_to = None;
        }
    }

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.run_until(end, |_| false);
    }

    /// Runs until something is so, for at most this time; returns whether it came so.
    pub(super) fn run_while(&mut self, time: Duration, go_on: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + time;
        self.run_until(end, |world| !go_on(world));
        !go_on(self)
    }

    fn run_until(&mut self, end: Instant, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            let due = self
                .nodes
                .iter()
                .filter_map(|node| node.machine.poll_timeout())
                .min();
            let queued = self.queue.keys().next().map(|(at, _)| *at);
            let Some(next) = [due, queued]
                .into_iter()
                .flatten()
                .min()
                .filter(|at| *at <= end)
            else {
                break;
            };
            self.now = self.now.max(next);
            self.turn();
        }
        if !done(self) {
            self.now = end;
        }
    }

    fn turn(&mut self) {
        while let Some(entry) = self.queue.first_entry().filter(|e| e.key().0 <= self.now) {
            let happening = entry.remove();
            self.happen(happening);
        }
        for at in 0..self.nodes.len() {
            let machine = &mut self.nodes[at].machine;
            if machine.poll_timeout().is_some_and(|due| due <= self.now) {
                let out = machine.handle_timeout(self.now);
                self.carry_out(at, out);
            }
        }
    }

    pub(super) fn feed(&mut self, at: usize, input: Input<'_>) {
        let out = self.nodes[at].machine.handle(self.now, input);
        self.carry_out(at, out);
    }

    fn push(&mut self, delay: Duration, happening: Happening) {
        self.serial += 1;
        self.queue
            .insert((self.now + delay, self.serial), happening);
    }

    fn carry_out(&mut self, at: usize, out: Vec<Output>) {
        let since = self.now - self.start;
        for output in out {
            match output {
                Output::SendDatagram {
                    sock,
                    to,
                    ttl,
                    bytes,
                } => {
                    *self.nodes[at].sent_to.entry(to).or_default() += 1;
                    self.send(at, Pair { sock, addr: to }, ttl.unwrap_or(64), bytes);
                }
                Output::SendRelay { to, bytes, .. } => {
                    self.nodes[at].signals += 1;
                    self.nodes[at].last_signal.clone_from(&bytes);
                    let delay = self.nodes[at].setup.delay;
                    self.push(
                        delay,
                        Happening::AtRelay {
                            node: at,
                            to,
                            bytes,
                        },
                    );
                }
                Output::OpenSockets { first, count } => {
                    for offset in 0..u32::from(count) {
                        let port = self.rng.random_range(41_000..60_000);
                        self.nodes[at].socks.insert(first.0 + offset, port);
                    }
                    self.feed(at, Input::SocketsOpened { first, count });
                }
                Output::CloseSockets { first, count } => {
                    for offset in 0..u32::from(count) {
                        self.nodes[at].socks.remove(&(first.0 + offset));
                    }
                }
                Output::SampleMapping { sock, .. } => {
                    let pair = Pair {
                        sock,
                        addr: relay_addr(),
                    };
                    let (addr, ..) = self.leave(at, pair, 64).unwrap();
                    let delay = self.nodes[at].setup.delay * 2;
                    self.push(
                        delay,
                        Happening::Sampled {
                            node: at,
                            sock,
                            addr,
                        },
                    );
                }
                Output::Admit { addr, .. } => {
                    self.nodes[at].admitted.insert(addr);
                }
                Output::Forget { .. } => {
                    self.nodes[at].forgotten += 1;
                    self.nodes[at].admitted.clear();
                }
                Output::Failed { reason, .. } => self.nodes[at].failures.push((since, reason)),
                Output::Event(EventKind::PeerState { to, .. }) => {
                    self.nodes[at].states.push((since, to));
                }
                Output::Route { .. }
                | Output::NeedRelay { .. }
                | Output::DialStream { .. }
                | Output::TakeStream { .. }
                | Output::CloseStream { .. }
                | Output::Event(_) => {}
            }
        }
    }

    /// What a node's packet looks like outside of its home: source, destination, and the TTL that is left.
    fn leave(
        &mut self,
        at: usize,
        pair: Pair,
        mut ttl: u8,
    ) -> Option<(SocketAddr, SocketAddr, u8)> {
        let (now, node) = (self.now, &mut self.nodes[at]);
        let mut to = pair.addr;
        let mut from = node.host;
        if pair.sock != Sock::MAIN {
            from.set_port(*node.socks.get(&pair.sock.0)?);
        }
        for nat in &mut node.nats {
            ttl = ttl.checked_sub(1).filter(|left| *left > 0)?;
            (from, to) = nat.outbound(now, from, to);
        }
        Some((from, to, ttl))
    }

    /// Where the relay sees a node.
    fn observed(&mut self, at: usize) -> SocketAddr {
        let (from, ..) = self.leave(at, Pair::main(relay_addr()), 64).unwrap();
        from
    }

    fn send(&mut self, at: usize, pair: Pair, ttl: u8, bytes: Vec<u8>) {
        let Some((from, to, ttl)) = self.leave(at, pair, ttl) else {
            return;
        };
        let lost = self.cut || self.loss > 0.0 && self.rng.random_bool(self.loss);
        if lost || !self.nodes.iter().any(|node| node.public() == to.ip()) {
            return;
        }
        let delay = self.nodes[at].setup.delay;
        self.push(
            delay,
            Happening::AtCore {
                from,
                to,
                ttl,
                bytes,
            },
        );
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::AtCore {
                from,
                to,
                ttl,
                bytes,
            } => {
                let node = self.nodes.iter().position(|node| node.public() == to.ip());
                if let (Some(node), Some(ttl)) = (node, ttl.checked_sub(CORE_HOPS)) {
                    let delay = self.nodes[node].setup.delay;
                    let port = to.port();
                    self.push(
                        delay,
                        Happening::AtHome {
                            node,
                            from,
                            port,
                            ttl,
                            bytes,
                        },
                    );
                }
            }
            Happening::AtHome {
                node,
                from,
                port,
                ttl,
                bytes,
            } => {
                self.arrive(node, from, port, ttl, &bytes);
            }
            Happening::AtRelay { node, to, bytes } => self.relay(node, to, bytes),
            Happening::Delivered {
                node,
                from,
                attested,
                bytes,
            } => {
                self.recorded.push((node, bytes.clone()));
                let bytes = &bytes;
                self.feed(
                    node,
                    Input::RelayMessage {
                        relay: relay(),
                        from,
                        attested,
                        bytes,
                    },
                );
            }
            Happening::Gone { node, peer } => {
                self.feed(
                    node,
                    Input::RelayGone {
                        relay: relay(),
                        peer,
                    },
                );
            }
            Happening::Sampled { node, sock, addr } => {
                self.feed(node, Input::Sampled { sock, addr });
            }
            Happening::Lane { node } => self.hear(node, false),
            Happening::Chat { node } => self.chat(node),
            Happening::Look { node } => self.look(node),
        }
    }

    fn arrive(&mut self, at: usize, mut from: SocketAddr, port: u16, mut ttl: u8, bytes: &[u8]) {
        let (now, node) = (self.now, &mut self.nodes[at]);
        let mut to = SocketAddr::new(node.public(), port);
        for nat in node.nats.iter_mut().rev() {
            let Some(left) = ttl.checked_sub(1) else {
                return;
            };
            ttl = left;
            match nat.inbound(now, from, to.port()) {
                Some((inside, seen)) => (to, from) = (inside, seen),
                None => return,
            }
        }
        let sock = if to == node.host {
            Sock::MAIN
        } else {
            let found = node.socks.iter().find(|(_, port)| **port == to.port());
            let Some((sock, _)) = found.filter(|_| to.ip() == node.host.ip()) else {
                return;
            };
            Sock(*sock)
        };
        if bytes.first().is_some_and(|first| first & 0x40 != 0) {
            if node.admitted.contains(&from) {
                self.hear(at, true);
            }
        } else {
            self.probes.push((at, from, bytes.to_vec()));
            self.feed(
                at,
                Input::Datagram {
                    sock,
                    source: from,
                    bytes,
                },
            );
        }
    }

    fn relay(&mut self, sender: usize, to: PeerId, bytes: Vec<u8>) {
        if !self.relay_up || !self.nodes[sender].registered {
            return;
        }
        if self.lose_signals > 0 {
            self.lose_signals -= 1;
            return;
        }
        let from = self.nodes[sender].id;
        let receiver = self
            .nodes
            .iter()
            .position(|node| node.id == to && node.registered);
        let Some(node) = receiver else {
            let delay = self.nodes[sender].setup.delay;
            return self.push(
                delay,
                Happening::Gone {
                    node: sender,
                    peer: to,
                },
            );
        };
        self.bound.extend([(from, to), (to, from)]);
        let attested = self.observed(sender);
        let delay = self.nodes[node].setup.delay;
        self.push(
            delay,
            Happening::Delivered {
                node,
                from,
                attested,
                bytes,
            },
        );
    }

    /// The application says something, by the route that there is.
    fn chat(&mut self, at: usize) {
        let Some(peer) = self.nodes[at].talks_to else {
            return;
        };
        self.feed(at, Input::Traffic { peer });
        let route = self.nodes[at].machine.route(peer).cloned();
        if let Some(Route::Direct(pair) | Route::Both(pair, _)) = route {
            self.nodes[at].last_sent = Some(self.now);
            self.nodes[at].waits.get_or_insert(self.now);
            self.send(at, pair, 64, vec![0x40]);
        }
        if let Some(Route::Relay(_) | Route::Both(..)) = route
            && self.relay_up
            && self.bound.contains(&(self.nodes[at].id, peer))
            && let Some(node) = self.nodes.iter().position(|node| node.id == peer)
        {
            let delay = self.nodes[at].setup.delay + self.nodes[node].setup.delay;
            self.push(delay, Happening::Lane { node });
        }
        self.push(CHAT, Happening::Chat { node: at });
    }

    fn hear(&mut self, at: usize, directly: bool) {
        let node = &mut self.nodes[at];
        node.gap = node.gap.max(self.now - node.heard);
        node.heard = self.now;
        if directly {
            node.waits = None;
        }
    }

    /// What the driver does with a path that is silent.
    fn look(&mut self, at: usize) {
        let node = &self.nodes[at];
        let Some(peer) = node.talks_to else { return };
        if let (Some(since), Some(sent)) = (node.waits, node.last_sent) {
            let rtt = ms(80);
            self.feed(
                at,
                Input::Silence {
                    peer,
                    since,
                    sent,
                    rtt,
                },
            );
        }
        self.push(LOOK, Happening::Look { node: at });
    }

    pub(super) fn view(&self, at: usize, with: usize) -> PeerView {
        let id = self.nodes[with].id;
        self.nodes[at].machine.peer(id, self.now).unwrap()
    }

    pub(super) fn state(&self, at: usize, with: usize) -> PeerState {
        let id = self.nodes[with].id;
        let view = self.nodes[at].machine.peer(id, self.now);
        view.map_or(PeerState::Idle, |view| view.state)
    }

    pub(super) fn both(&self, state: PeerState) -> bool {
        self.state(0, 1) == state && self.state(1, 0) == state
    }

    /// When a node first came into a state at or after `from`, counted from the start of the world.
    pub(super) fn first(&self, at: usize, state: PeerState, from: Duration) -> Option<Duration> {
        let states = &self.nodes[at].states;
        let found = states
            .iter()
            .find(|(time, to)| *time >= from && *to == state);
        found.map(|(time, _)| *time)
    }

    /// What a node last gave to the relay.
    pub(super) fn last_signal(&self, at: usize) -> Vec<u8> {
        self.nodes[at].last_signal.clone()
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.now - self.start
    }
}

impl Node {
    pub(super) fn public(&self) -> IpAddr {
        self.nats
            .last()
            .map_or_else(|| self.host.ip(), |nat| nat.wan)
    }
}

pub(super) fn relay() -> RelayUrl {
    RelayUrl::new(SecretKey::from_seed(&[99; 32]).id(), "5.9.0.1", 4433).unwrap()
}

fn relay_addr() -> SocketAddr {
    SocketAddr::from(([5, 9, 0, 1], 4433))
}

//! The virtual world: homes and their NATs, lines, relays, hosts with applications, and the time.
//!
//! Everything happens in one queue, in the order of virtual time, with randomness from one seed: the same seed is the same world.

mod app;
mod families;
mod home;
mod line;
mod nat;
mod net;
mod node;
mod outputs;
mod registration;
mod relay;
mod shell;
mod stun;
mod truth;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;

pub(crate) use self::{
    home::{Home, Plan, Setup},
    line::Line,
    nat::{Ports, Style},
    node::{Absence, Node},
    outputs::Outputs,
    relay::{Lies, relay},
};
use self::{
    line::Passed,
    net::{Header, Net, Place, Spot, Way},
    node::Life,
    registration::Step,
    relay::Relay,
};
use crate::{
    PeerId, PeerState, SecretKey,
    endpoint::{PeerView, Settings},
    io::{Input, Pair, Sock},
    liveness::Liveness,
    local::Ports as LocalPorts,
    nat::schedule::Schedule,
    relays::Relays,
    watched::Watched,
};

pub(crate) const PORT: u16 = 40000;
const UNIX_MS: u64 = 1_790_000_000_000;
/// From one host to another in the same home.
const LAN: Duration = Duration::from_millis(1);
/// Bytes of an application's packet, for lines of limited rate.
const QUIC_LEN: usize = 200;
/// The same for lines that let only short ones through: QUIC's smallest full packet and its headers for IPv4.
const FULL_QUIC: usize = 1228;

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What a packet carries.
#[derive(Clone, Debug)]
pub(crate) enum Load {
    /// A machine's.
    Ours(Vec<u8>),
    /// An application's.
    Quic { from: PeerId, number: u64 },
    /// A STUN Binding request, and the response.
    Ask { tx: [u8; 12], change_port: bool },
    Answer {
        tx: [u8; 12],
        mapped: SocketAddr,
        other: SocketAddr,
    },
}

impl Load {
    fn len(&self) -> usize {
        match self {
            Self::Ours(bytes) => bytes.len() + 28,
            Self::Quic { .. } => QUIC_LEN,
            Self::Ask { .. } | Self::Answer { .. } => 100,
        }
    }

    /// What comes out of a line. Checksums and seals find flipped bits out, but in our datagrams it is our seals that have to.
    fn after(&self, passed: &Passed, rng: &mut ChaCha20Rng) -> Option<Self> {
        match self {
            whole if !passed.corrupt => Some(whole.clone()),
            Self::Ours(bytes) => {
                let mut bytes = bytes.clone();
                let at = rng.random_range(0..bytes.len());
                bytes[at] ^= 1 << rng.random_range(0..8);
                Some(Self::Ours(bytes))
            }
            Self::Quic { .. } | Self::Ask { .. } | Self::Answer { .. } => None,
        }
    }
}

enum Happening {
    /// A packet is at the end of its home's line.
    Beyond {
        site: usize,
        place: Place,
        header: Header,
        load: Load,
    },
    /// A packet is at the door.
    Arrive {
        spot: Spot,
        header: Header,
        load: Load,
    },
    /// A packet is at its host.
    Inside {
        node: usize,
        header: Header,
        load: Load,
    },
    /// A packet of an application came by a relay's lane.
    Lane {
        node: usize,
        relay: usize,
        from: PeerId,
        number: u64,
    },
    /// A message is to be given to a relay, is there, leaves there.
    Signal {
        node: usize,
        relay: usize,
        /// And whether no address of the sender is told.
        to: (PeerId, bool),
        bytes: Vec<u8>,
    },
    AtRelay {
        node: usize,
        relay: usize,
        /// And whether no address of the sender is told.
        to: (PeerId, bool),
        bytes: Vec<u8>,
    },
    Deliver {
        node: usize,
        relay: usize,
        from: PeerId,
        attested: Option<SocketAddr>,
        bytes: Vec<u8>,
    },
    /// A relay says something.
    Told {
        node: usize,
        relay: usize,
        what: Told,
    },
    /// A registration goes on.
    Registration {
        node: usize,
        relay: usize,
        number: u64,
        step: Step,
    },
    Chat {
        node: usize,
        peer: PeerId,
    },
    /// A node wakes up.
    Back {
        node: usize,
        after: Duration,
    },
}

/// What a relay says to a node.
enum Told {
    Message {
        from: PeerId,
        attested: Option<SocketAddr>,
        bytes: Vec<u8>,
    },
    Gone(PeerId),
    Busy(PeerId),
    Unreached(PeerId),
    Observed(SocketAddr),
    Draining,
    /// To the relay of this number.
    Moved(usize),
}

impl Happening {
    /// The node that takes part in it, and whether it can do so at any later time as well.
    fn node(&self) -> Option<(usize, bool)> {
        match self {
            Self::Beyond { .. }
            | Self::Arrive { .. }
            | Self::AtRelay { .. }
            | Self::Deliver { .. }
            | Self::Back { .. } => None,
            Self::Inside { node, .. } | Self::Lane { node, .. } => Some((*node, false)),
            Self::Signal { node, .. }
            | Self::Told { node, .. }
            | Self::Registration { node, .. }
            | Self::Chat { node, .. } => Some((*node, true)),
        }
    }
}

#[derive(Default)]
struct Queue {
    happenings: BTreeMap<(Instant, u64), Happening>,
    serial: u64,
}

impl Queue {
    fn push(&mut self, at: Instant, happening: Happening) {
        self.serial += 1;
        self.happenings.insert((at, self.serial), happening);
    }

    fn next(&self) -> Option<Instant> {
        self.happenings.keys().next().map(|(at, _)| *at)
    }

    fn pop(&mut self, now: Instant) -> Option<Happening> {
        let entry = self.happenings.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }
}

pub(crate) struct World {
    pub(crate) now: Instant,
    start: Instant,
    queue: Queue,
    pub(crate) nodes: Vec<Node>,
    pub(crate) net: Net,
    pub(crate) relays: Vec<Relay>,
    pub(crate) rng: ChaCha20Rng,
    /// How far the clocks of nodes are off that start from now on, milliseconds.
    pub(crate) off_ms: i64,
    /// Whether nodes measure their NATs; if not, they are told how these behave.
    pub(crate) measures: bool,
    /// Whether [`World::register`] takes no time.
    pub(crate) prompt: bool,
    /// Whether registering takes no time right now.
    at_once: bool,
    /// Tries to register so far.
    serial: u64,
    /// Packets of applications so far, which is what they are numbered by.
    said: u64,
    /// How often applications say something.
    pub(crate) chat_every: Duration,
    /// Share of datagrams that are lost between the homes.
    pub(crate) loss: f64,
    /// Nothing goes through between the homes.
    pub(crate) cut: bool,
    /// Longest packet between the homes; the relay's lines are sound.
    pub(crate) width: usize,
    /// How long an application's packets are there.
    pub(crate) chat_len: usize,
    /// Nothing goes from the first of these homes to the second.
    pub(crate) holes: Vec<(usize, usize)>,
    /// Somebody on the path of what this node gets sends it a copy first, from this address.
    pub(crate) copier: Option<(usize, SocketAddr)>,
    /// How many signals the relay is going to lose.
    pub(crate) lose_signals: usize,
    /// All signals that relays delivered, for replays.
    pub(crate) recorded: Vec<(usize, Vec<u8>)>,
    /// What machines put out, where that is asked for.
    pub(crate) outputs: Option<Outputs>,
    /// All datagrams of machines that arrived: at whom, from where, what.
    pub(crate) probes: Vec<(usize, SocketAddr, Vec<u8>)>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        let start = Instant::now();
        let mut world = Self {
            now: start,
            start,
            queue: Queue::default(),
            nodes: Vec::new(),
            net: Net::new(),
            relays: Vec::new(),
            rng: ChaCha20Rng::seed_from_u64(seed),
            off_ms: 0,
            measures: false,
            prompt: true,
            at_once: false,
            serial: 0,
            said: 0,
            chat_every: app::CHAT,
            loss: 0.0,
            cut: false,
            width: usize::MAX,
            chat_len: FULL_QUIC,
            holes: Vec::new(),
            copier: None,
            lose_signals: 0,
            recorded: Vec::new(),
            outputs: None,
            probes: Vec::new(),
        };
        world.add_relay();
        world
    }

    /// A world with two homes that are registered with the relay.
    pub(crate) fn pair(a: impl Into<Setup>, b: impl Into<Setup>) -> Self {
        let mut world = Self::new(1);
        world.add(a);
        world.add(b);
        world
    }

    /// Adds a node that is registered with the relay and knows its NATs.
    pub(crate) fn add(&mut self, setup: impl Into<Setup>) -> usize {
        let at = self.add_stranger(setup);
        self.tell_truth(at);
        self.register(at);
        at
    }

    /// Adds a NAT that homes can be behind together.
    pub(crate) fn add_carrier(&mut self, style: Style) -> usize {
        self.net.add_carrier(style, &mut self.rng)
    }

    /// Adds a node that knows nothing of its surroundings but its own addresses.
    pub(crate) fn add_stranger(&mut self, setup: impl Into<Setup>) -> usize {
        let setup = setup.into();
        let at = self.nodes.len();
        let site = match setup.with {
            Some(other) => self.nodes[other].site,
            None => self.net.add_site(&setup.plan, setup.delay, &mut self.rng),
        };
        let key = SecretKey::from_seed(&[at as u8 + 1; 32]);
        let port = PORT + u16::from(self.net.sites[site].hosts);
        let now = self.now;
        let life = self.life(&key, &setup, port, now, Duration::ZERO);
        let node = Node::new(key, setup, site, life, port, now);
        self.nodes.push(node);
        self.rest(at);
        self.net.join(at, site);
        self.arrange(at);
        at
    }

    /// What decides in a process that begins now, after the computer slept for so long in all.
    fn life(
        &mut self,
        key: &SecretKey,
        setup: &Setup,
        port: u16,
        now: Instant,
        slept: Duration,
    ) -> Life {
        let machine = Watched::new(&Settings {
            key: key.clone(),
            access: setup.access.clone(),
            relay_only: setup.relay_only,
            lan: false,
            guess_ports: setup.guess_ports,
            tcp: true,
            bound: None,
            ports: LocalPorts { v4: port, v6: port },
            seed: self.rng.random(),
            now,
            unix_ms: self.unix_ms().saturating_add_signed(self.off_ms),
        });
        Life {
            machine,
            relays: Relays::new(self.rng.random()),
            schedule: Schedule::new(self.rng.random()),
            liveness: Liveness::new(now, slept),
        }
    }

    pub(crate) fn unix_ms(&self) -> u64 {
        UNIX_MS + (self.now - self.start).as_millis() as u64
    }

    /// Tells a machine of its interfaces and of the port that its router forwards.
    fn arrange(&mut self, at: usize) {
        let v4 = self.net.address(at, true);
        let Some(ip) = v4.or_else(|| self.net.address(at, false)) else {
            return;
        };
        let host = SocketAddr::new(ip, self.nodes[at].sockets[&Sock::MAIN]);
        self.nodes[at].host = host;
        let addrs = self.net.interfaces(at);
        let lost_route = false;
        self.feed(at, Input::Interfaces { addrs, lost_route });
        self.tell_routes(at);
        let innermost = self.net.chain(at).first().copied();
        let router = innermost.filter(|nat| self.net.nats[*nat].style.forwards);
        let forwarded = router.map(|nat| self.net.nats[nat].forward(host.port(), host));
        self.feed(at, Input::PortMapped(forwarded));
    }

    /// A new process takes the place of a node, with the same key and home.
    pub(crate) fn restart(&mut self, at: usize) {
        let (key, setup) = (self.nodes[at].key.clone(), self.nodes[at].setup.clone());
        let port = self.nodes[at].sockets[&Sock::MAIN];
        let (now, slept) = (self.clock(at), self.nodes[at].lag);
        let life = self.life(&key, &setup, port, now, slept);
        self.nodes[at].begin(life);
        self.rest(at);
        self.arrange(at);
        if !self.measures {
            self.tell_truth(at);
        }
        self.register(at);
    }

    /// A node moves to another home.
    pub(crate) fn roam(&mut self, at: usize, site: usize) {
        self.net.join(at, site);
        self.nodes[at].site = site;
        self.feed(
            at,
            Input::Interfaces {
                addrs: Vec::new(),
                lost_route: true,
            },
        );
        self.arrange(at);
        self.network_changed(at);
    }

    /// A home that nobody lives in yet.
    pub(crate) fn vacancy(&mut self, plan: impl Into<Plan>, delay: Duration) -> usize {
        self.net.add_site(&plan.into(), delay, &mut self.rng)
    }

    /// `a` dials `b` with the ticket that names the relay.
    pub(crate) fn connect(&mut self, a: usize, b: usize) {
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
    pub(crate) fn link(&mut self, a: usize, b: usize) {
        self.connect(a, b);
        self.run(ms(200));
        self.connected(a, b);
        self.talk(a, b);
    }

    pub(crate) fn connected(&mut self, a: usize, b: usize) {
        for (at, with) in [(a, b), (b, a)] {
            let peer = self.nodes[with].id;
            self.feed(at, Input::Connected { peer });
        }
    }

    pub(crate) fn release(&mut self, at: usize, with: usize) {
        let peer = self.nodes[with].id;
        self.nodes[at].talks.remove(&peer);
        self.feed(at, Input::Release { peer });
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.run_until(end, |_| false);
    }

    /// Runs until something is so, for at most this time; returns whether it came so.
    pub(crate) fn run_while(&mut self, time: Duration, go_on: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + time;
        self.run_until(end, |world| !go_on(world));
        !go_on(self)
    }

    fn run_until(&mut self, end: Instant, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            let due = (0..self.nodes.len()).filter_map(|at| self.due(at)).min();
            let next = [due, self.queue.next()].into_iter().flatten().min();
            let Some(next) = next.filter(|at| *at <= end) else {
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
        while let Some(happening) = self.queue.pop(self.now) {
            self.happen(happening);
        }
        for at in 0..self.nodes.len() {
            if self.due(at).is_some_and(|due| due <= self.now) {
                self.settle(at);
            }
        }
    }

    fn push(&mut self, delay: Duration, happening: Happening) {
        self.queue.push(self.now + delay, happening);
    }

    /// The address that a packet from this socket starts with.
    fn source(&self, at: usize, sock: Sock, to: SocketAddr) -> Option<SocketAddr> {
        let ip = self.net.address(at, to.is_ipv4())?;
        let port = self.nodes[at].sockets.get(&sock)?;
        Some(SocketAddr::new(ip, *port))
    }

    fn send(&mut self, at: usize, sock: Sock, to: SocketAddr, ttl: u8, load: Load) {
        let to = self.outward(at, to);
        let Some(from) = self.source(at, sock, to) else {
            return;
        };
        let (now, site) = (self.now, self.nodes[at].site);
        let mut header = Header { from, to, ttl };
        match self.net.leave(now, at, &mut header) {
            Some(Way::Near(spot)) => self.push(LAN, Happening::Arrive { spot, header, load }),
            Some(Way::Far(place)) => {
                let up = &mut self.net.sites[site].up;
                for passed in up.pass(now, load.len(), &mut self.rng) {
                    if let Some(load) = load.after(&passed, &mut self.rng) {
                        let header = header.clone();
                        let beyond = Happening::Beyond {
                            site,
                            place,
                            header,
                            load,
                        };
                        self.push(passed.after, beyond);
                    }
                }
            }
            None => {}
        }
    }

    /// Whether the narrow line between the homes lets it through.
    fn is_too_long(&self, load: &Load) -> bool {
        let len = match load {
            Load::Quic { .. } => self.chat_len,
            Load::Ours(_) | Load::Ask { .. } | Load::Answer { .. } => load.len(),
        };
        len > self.width
    }

    /// A packet's way to a relay, on which nothing is lost.
    fn route(&mut self, at: usize, header: &mut Header) -> Option<Spot> {
        match self.net.leave(self.now, at, header)? {
            Way::Near(spot) => Some(spot),
            Way::Far(place) => self.net.cross(self.now, place, header),
        }
    }

    /// A packet of a home, or of a relay, is out in the network.
    fn beyond(&mut self, site: Option<usize>, place: Place, mut header: Header, load: Load) {
        let Some(spot) = self.net.cross(self.now, place, &mut header) else {
            return;
        };
        if let Spot::Relay(relay) = spot {
            return self.answer(relay, &header, load);
        }
        let Some(to) = self.net.site_of(spot) else {
            return;
        };
        if let Some(site) = site {
            let blocked = self.net.sites[site].blocked || self.net.sites[to].blocked;
            let lost = self.loss > 0.0 && self.rng.random_bool(self.loss);
            if self.cut
                || self.is_too_long(&load)
                || blocked
                || lost
                || self.holes.contains(&(site, to))
            {
                return;
            }
        } else if self.net.sites[to].blocked {
            return;
        }
        let down = &mut self.net.sites[to].down;
        for passed in down.pass(self.now, load.len(), &mut self.rng) {
            if let Some(load) = load.after(&passed, &mut self.rng) {
                let header = header.clone();
                self.push(passed.after, Happening::Arrive { spot, header, load });
            }
        }
    }

    fn arrive(&mut self, spot: Spot, mut header: Header, load: Load) {
        if let Some(node) = self.net.enter(self.now, spot, &mut header) {
            self.happen(Happening::Inside { node, header, load });
        }
    }

    fn take_in(&mut self, at: usize, header: &Header, load: Load) {
        let open = |(_, port): &(&Sock, &u16)| **port == header.to.port();
        let Some((sock, _)) = self.nodes[at].sockets.iter().find(open) else {
            return;
        };
        let (sock, source) = (*sock, self.inward(at, header.from));
        if let Some((_, copy)) = self.copier.filter(|(victim, _)| *victim == at) {
            self.hand_in(at, sock, copy, load.clone());
        }
        self.hand_in(at, sock, source, load);
    }

    fn hand_in(&mut self, at: usize, sock: Sock, source: SocketAddr, load: Load) {
        match load {
            Load::Ours(bytes) => {
                self.probes.push((at, source, bytes.clone()));
                let bytes = &bytes;
                self.feed(
                    at,
                    Input::Datagram {
                        sock,
                        source,
                        bytes,
                    },
                );
            }
            Load::Quic { from, number } => self.hear(at, from, number, Some(source)),
            answer @ Load::Answer { .. } => {
                let from = Pair { sock, addr: source };
                self.on_answer(at, from, answer);
            }
            Load::Ask { .. } => {}
        }
    }

    pub(crate) fn view(&self, at: usize, with: usize) -> PeerView {
        let id = self.nodes[with].id;
        self.nodes[at].machine.peer(id, self.now).unwrap()
    }

    /// Why a link is as it is.
    pub(crate) fn cause(&self, at: usize, with: usize) -> Option<crate::Cause> {
        self.view(at, with).why.map(|why| why.cause)
    }

    pub(crate) fn state(&self, at: usize, with: usize) -> PeerState {
        let id = self.nodes[with].id;
        let view = self.nodes[at].machine.peer(id, self.now);
        view.map_or(PeerState::Idle, |view| view.state)
    }

    pub(crate) fn both(&self, state: PeerState) -> bool {
        self.state(0, 1) == state && self.state(1, 0) == state
    }

    /// When a node first came into a state at or after `from`, counted from the start of the world.
    pub(crate) fn first(&self, at: usize, state: PeerState, from: Duration) -> Option<Duration> {
        let states = &self.nodes[at].states;
        let found = states
            .iter()
            .find(|(time, to)| *time >= from && *to == state);
        found.map(|(time, _)| *time)
    }

    /// What a node last gave to the relay.
    pub(crate) fn last_signal(&self, at: usize) -> Vec<u8> {
        self.nodes[at].last_signal.clone()
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// Where the rest of the world finds a node's home.
    pub(crate) fn public(&self, at: usize) -> IpAddr {
        let outermost = self.net.chain(at).last().copied();
        outermost.map_or_else(|| self.nodes[at].host.ip(), |nat| self.net.nats[nat].wan)
    }

    /// The routers of a node forget all flows.
    pub(crate) fn flush(&mut self, at: usize) {
        for nat in self.net.chain(at) {
            self.net.nats[nat].flush();
        }
    }

    fn happen(&mut self, happening: Happening) {
        if let Some((at, can_wait)) = happening.node()
            && let Some((until, absence)) = self.nodes[at].absent
        {
            // Nothing happens to somebody who is asleep; what comes in for the stalled waits.
            if can_wait || absence == Absence::Stalled {
                self.queue.push(until, happening);
            }
            return;
        }
        let awake = happening.node().map(|(at, _)| at);
        if let Some(at) = awake {
            self.wake(at);
        }
        self.take_place(happening);
        if let Some(at) = awake {
            self.rest(at);
        }
    }

    fn take_place(&mut self, happening: Happening) {
        match happening {
            Happening::Beyond {
                site,
                place,
                header,
                load,
            } => self.beyond(Some(site), place, header, load),
            Happening::Arrive { spot, header, load } => self.arrive(spot, header, load),
            Happening::Inside { node, header, load } => self.take_in(node, &header, load),
            Happening::Lane {
                node,
                relay,
                from,
                number,
            } => self.on_lane(node, relay, from, number),
            Happening::Signal {
                node,
                relay,
                to,
                bytes,
            } => self.signal(node, relay, to, bytes),
            Happening::AtRelay {
                node,
                relay,
                to,
                bytes,
            } => self.relay(node, relay, to, bytes),
            Happening::Deliver {
                node,
                relay,
                from,
                attested,
                bytes,
            } => self.on_deliver(node, relay, from, attested, bytes),
            Happening::Told { node, relay, what } => self.tell(node, relay, what),
            Happening::Registration {
                node,
                relay,
                number,
                step,
            } => self.on_step(node, relay, number, step),
            Happening::Chat { node, peer } => self.chat(node, peer),
            Happening::Back { node, after } => self.back(node, after),
        }
    }
}

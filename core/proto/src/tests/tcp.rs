//! Streams: how two machines meet over TCP where datagrams are dropped, and leave it when they are not.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::world::ms;
use crate::{
    Access, PathInfo, PathPolicy, PeerId, PeerState, SecretKey,
    addr::LocalAddr,
    endpoint::Settings,
    io::{Input, Output, Pair, Route, Sock},
    local::Ports,
    watched::Watched,
    wire::datagram::DatagramKind,
};

const PORT: u16 = 40000;
/// One way between the two, for datagrams and streams alike.
const DELAY: Duration = ms(20);
/// TCP and TLS take two round trips and a half.
const DIAL: Duration = ms(100);

/// A computer with a public address.
struct Node {
    id: PeerId,
    addr: SocketAddr,
    machine: Watched,
    /// Streams that it uses: their other end's name there.
    streams: BTreeMap<Sock, Sock>,
}

enum Happening {
    Datagram {
        node: usize,
        sock: Sock,
        source: SocketAddr,
        bytes: Vec<u8>,
    },
    Stream {
        dialler: usize,
    },
    Down {
        node: usize,
        sock: Sock,
    },
}

/// Two computers without a relay.
struct Cable {
    start: Instant,
    now: Instant,
    serial: u64,
    nodes: Vec<Node>,
    queue: BTreeMap<(Instant, u64), Happening>,
    /// Whether datagrams pass.
    udp: bool,
    /// Whether streams stand still, and what waits on them.
    stalled: bool,
    waiting: Vec<Happening>,
    dials: Vec<Duration>,
}

impl Cable {
    fn new(access: Access) -> Self {
        let start = epoch();
        let node = |(at, access): (u8, Access)| {
            let key = SecretKey::from_seed(&[at + 1; 32]);
            let ip = [80 + at, 1, 0, 1].into();
            let mut machine = Watched::new(&Settings {
                key: key.clone(),
                access,
                relay_only: false,
                guess_ports: true,
                lan: false,
                tcp: true,
                bound: None,
                ports: Ports { v4: PORT, v6: 0 },
                seed: [at; 32],
                now: start,
                unix_ms: 1_790_000_000_000,
            });
            let addrs = vec![LocalAddr { ip, prefix_len: 24 }];
            let interfaces = Input::Interfaces {
                addrs,
                lost_route: false,
            };
            machine.handle(start, interfaces);
            machine.handle(start, Input::Listening(true));
            Node {
                id: key.id(),
                addr: (ip, PORT).into(),
                machine,
                streams: BTreeMap::new(),
            }
        };
        Self {
            start,
            now: start,
            serial: 0,
            nodes: [(0, Access::Anyone), (1, access)].map(node).into(),
            queue: BTreeMap::new(),
            udp: true,
            stalled: false,
            waiting: Vec::new(),
            dials: Vec::new(),
        }
    }

    fn connect(&mut self) {
        let (peer, addr) = (self.nodes[1].id, self.nodes[1].addr);
        self.handle(
            0,
            Input::Connect {
                peer,
                relays: Vec::new(),
                addrs: vec![addr],
            },
        );
    }

    /// Both sides have a connection, and data flows.
    fn connected(&mut self) {
        for at in 0..2 {
            let peer = self.nodes[1 - at].id;
            self.handle(at, Input::Connected { peer });
            self.handle(at, Input::Traffic { peer, heard: false });
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let next = self.queue.keys().next().map(|(at, _)| *at);
            let timers = self
                .nodes
                .iter()
                .filter_map(|node| node.machine.poll_timeout());
            let Some(at) = timers.chain(next).min().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            while let Some(entry) = self.queue.first_entry().filter(|e| e.key().0 <= self.now) {
                let happening = entry.remove();
                self.happen(happening);
            }
            for node in 0..self.nodes.len() {
                let out = self.nodes[node].machine.handle_timeout(self.now);
                self.carry_out(node, out);
            }
        }
        self.now = end;
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Datagram {
                node,
                sock,
                source,
                bytes,
            } => {
                let bytes = &bytes;
                self.handle(
                    node,
                    Input::Datagram {
                        sock,
                        source,
                        bytes,
                    },
                );
            }
            Happening::Stream { dialler } => {
                self.serial += 1;
                let sock = Sock::tcp(self.serial as u32);
                for at in 0..2 {
                    self.nodes[at].streams.insert(sock, sock);
                }
                for at in [dialler, 1 - dialler] {
                    let (peer, addr) = (self.nodes[1 - at].id, self.nodes[1 - at].addr);
                    let dialled = at == dialler;
                    self.handle(
                        at,
                        Input::TcpUp {
                            peer,
                            tcp: Pair { sock, addr },
                            dialled,
                        },
                    );
                }
            }
            Happening::Down { node, sock } => {
                let (peer, addr) = (self.nodes[1 - node].id, self.nodes[1 - node].addr);
                let tcp = Pair { sock, addr };
                if self.nodes[node].streams.remove(&sock).is_some() {
                    self.handle(node, Input::TcpDown { peer, tcp });
                }
            }
        }
    }

    fn handle(&mut self, at: usize, input: Input<'_>) {
        let out = self.nodes[at].machine.handle(self.now, input);
        self.carry_out(at, out);
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a cable carries messages and streams, the rest is for the node"
    )]
    fn carry_out(&mut self, at: usize, out: Vec<Output>) {
        let (other, source) = (1 - at, self.nodes[at].addr);
        for output in out {
            match output {
                Output::SendDatagram { sock, bytes, .. } => {
                    assert!(DatagramKind::of(&bytes).is_some());
                    let by_stream = self.nodes[at].streams.get(&sock).copied();
                    let datagram = Happening::Datagram {
                        node: other,
                        sock: by_stream.unwrap_or(Sock::MAIN),
                        source,
                        bytes,
                    };
                    match (sock.is_tcp(), by_stream) {
                        (true, Some(_)) if self.stalled => self.waiting.push(datagram),
                        (true, Some(_)) => self.push(DELAY, datagram),
                        (false, _) if self.udp => self.push(DELAY, datagram),
                        (true, None) | (false, _) => {}
                    }
                }
                Output::DialTcp { .. } => {
                    self.dials.push(self.now - self.start);
                    self.push(DIAL, Happening::Stream { dialler: at });
                }
                Output::CloseTcp { sock } => {
                    self.nodes[at].streams.remove(&sock);
                    self.push(DELAY, Happening::Down { node: other, sock });
                }
                _ => {}
            }
        }
    }

    fn resume(&mut self) {
        self.stalled = false;
        for datagram in std::mem::take(&mut self.waiting) {
            self.push(DELAY, datagram);
        }
    }

    fn push(&mut self, delay: Duration, happening: Happening) {
        self.serial += 1;
        self.queue
            .insert((self.now + delay, self.serial), happening);
    }

    /// Has one node wait in vain for what it sends directly, as an application in use does.
    fn fall_silent(&mut self, at: usize) {
        let peer = self.nodes[1 - at].id;
        let since = self.now;
        for step in 1..=40 {
            self.run(ms(50));
            let sent = since + ms(50) * step;
            self.handle(
                at,
                Input::Silence {
                    peer,
                    since,
                    sent,
                    rtt: DELAY * 2,
                },
            );
        }
    }

    fn state(&self, at: usize) -> PeerState {
        let peer = self.nodes[1 - at].id;
        let view = self.nodes[at].machine.peer(peer, self.now);
        view.map_or(PeerState::Idle, |view| view.state)
    }

    fn is_by_tcp(&self, at: usize) -> Option<bool> {
        let peer = self.nodes[1 - at].id;
        match self.nodes[at].machine.peer(peer, self.now)?.path? {
            PathInfo::Direct { tcp, .. } => {
                let route = self.nodes[at].machine.route(peer);
                let Some(Route::Direct(Pair { sock, .. }) | Route::Both(Pair { sock, .. }, _)) =
                    route
                else {
                    panic!("a direct path without a route: {route:?}");
                };
                assert_eq!(sock.is_tcp(), tcp);
                Some(tcp)
            }
            PathInfo::Relay { .. } | PathInfo::Unknown => None,
        }
    }

    /// What a node says of the link, in one line.
    fn explained(&self, at: usize) -> String {
        let peer = self.nodes[1 - at].id;
        let view = self.nodes[at].machine.peer(peer, self.now).unwrap();
        view.why.unwrap().line()
    }

    fn both_by_tcp(&self) -> Option<bool> {
        let at = self.is_by_tcp(0);
        at.filter(|_| at == self.is_by_tcp(1))
    }
}

#[test]
fn a_stream_carries_the_link_where_datagrams_are_dropped() {
    let mut cable = Cable::new(Access::Anyone);
    cable.udp = false;
    cable.connect();
    cable.run(ms(149));
    assert!(cable.dials.is_empty());
    cable.run(ms(351));
    assert_eq!(cable.dials, [ms(150)]);
    assert_eq!(
        (cable.state(0), cable.state(1)),
        (PeerState::Direct, PeerState::Direct)
    );
    assert_eq!(cable.both_by_tcp(), Some(true));
    for (at, words) in [
        (0, "direct over TCP, after 330 ms and 4 packets"),
        (1, "direct over TCP, after 40 ms and 3 packets"),
    ] {
        assert_eq!(cable.explained(at), words);
    }
}

#[test]
fn a_peer_that_is_kept_to_relays_and_has_none_is_reached_neither_by_datagrams_nor_by_streams() {
    for udp in [true, false] {
        let mut cable = Cable::new(Access::Anyone);
        cable.udp = udp;
        cable.connect();
        cable.run(ms(1000));
        cable.connected();
        assert_eq!(cable.both_by_tcp(), Some(!udp));
        let peer = cable.nodes[1].id;
        let policy = PathPolicy::RelayOnly;
        cable.handle(0, Input::Policy { peer, policy });
        assert_eq!(cable.nodes[0].machine.route(peer), Some(&Route::Nowhere));
        let before = (cable.dials.len(), cable.nodes[0].machine.datagrams);
        cable.run(ms(10_000));
        assert!(cable.nodes[0].streams.is_empty());
        let dials = cable.dials.len();
        assert_eq!((dials, cable.nodes[0].machine.datagrams), before);
        assert_eq!(cable.state(0), PeerState::Failed);
        let words = "this node was told: relay-only for this peer";
        assert_eq!(cable.explained(0), words);
        let policy = PathPolicy::Auto;
        cable.handle(0, Input::Policy { peer, policy });
        cable.run(ms(10_000));
        assert_eq!(cable.is_by_tcp(0), Some(!udp));
    }
}

#[test]
fn no_stream_is_dialled_where_a_datagram_was_answered() {
    let mut cable = Cable::new(Access::Anyone);
    cable.connect();
    cable.run(ms(2000));
    assert_eq!(cable.both_by_tcp(), Some(false));
    assert!(cable.dials.is_empty());
}

#[test]
fn a_link_leaves_its_stream_when_datagrams_pass_again_and_comes_back_when_they_do_not() {
    let mut cable = Cable::new(Access::Anyone);
    cable.udp = false;
    cable.connect();
    cable.run(ms(500));
    cable.connected();
    assert_eq!(cable.both_by_tcp(), Some(true));
    cable.udp = true;
    cable.run(ms(8000));
    assert_eq!(cable.both_by_tcp(), Some(false));
    cable.udp = false;
    cable.fall_silent(0);
    assert_eq!(cable.is_by_tcp(0), Some(true));
    assert_eq!(cable.dials.len(), 1, "the stream that stood was of use");
}

#[test]
fn a_stream_is_dialled_while_datagrams_are_only_suspected_to_be_dropped() {
    let mut cable = Cable::new(Access::Anyone);
    cable.connect();
    cable.run(ms(500));
    cable.connected();
    assert_eq!(cable.both_by_tcp(), Some(false));
    assert!(cable.dials.is_empty());
    cable.udp = false;
    let blocked = cable.now - cable.start;
    cable.fall_silent(0);
    assert_eq!(cable.is_by_tcp(0), Some(true));
    assert!(cable.dials[0] < blocked + ms(1200), "{:?}", cable.dials);
}

#[test]
fn a_stream_that_breaks_is_dialled_again_at_most_twice_a_minute() {
    let mut cable = Cable::new(Access::Anyone);
    cable.udp = false;
    cable.connect();
    cable.run(ms(500));
    cable.connected();
    for _ in 0..5 {
        for at in 0..2 {
            if let Some(sock) = cable.nodes[at].streams.keys().next().copied() {
                cable.push(Duration::ZERO, Happening::Down { node: at, sock });
            }
        }
        cable.run(ms(3000));
    }
    assert_eq!(cable.dials.len(), 2);
    cable.run(ms(120_000));
    assert_eq!(cable.both_by_tcp(), Some(true));
}

#[test]
fn a_stranger_s_stream_is_closed_at_once() {
    let mut cable = Cable::new(Access::Only(Vec::new()));
    cable.udp = false;
    cable.connect();
    cable.run(ms(10_000));
    assert!(cable.nodes[1].streams.is_empty());
    assert_eq!(cable.state(1), PeerState::Idle);
    assert_ne!(cable.state(0), PeerState::Direct);
    let callers = cable.nodes[1].machine.turned_away(cable.now);
    assert_eq!(callers.len(), 1, "its owner hears of it");
    assert_eq!(callers[0].id, cable.nodes[0].id);
}

#[test]
fn a_stream_that_says_nothing_is_closed_after_ten_seconds() {
    let mut cable = Cable::new(Access::Anyone);
    let (peer, addr) = (cable.nodes[0].id, cable.nodes[0].addr);
    let sock = Sock::tcp(1);
    cable.nodes[1].streams.insert(sock, sock);
    let up = Input::TcpUp {
        peer,
        tcp: Pair { sock, addr },
        dialled: false,
    };
    cable.handle(1, up);
    cable.run(ms(9900));
    assert!(!cable.nodes[1].streams.is_empty());
    cable.run(ms(200));
    assert!(cable.nodes[1].streams.is_empty());
}

#[test]
fn a_peer_has_two_streams_at_most() {
    let mut cable = Cable::new(Access::Anyone);
    let (peer, addr) = (cable.nodes[0].id, cable.nodes[0].addr);
    for number in 0..10 {
        let sock = Sock::tcp(number);
        cable.nodes[1].streams.insert(sock, sock);
        let up = Input::TcpUp {
            peer,
            tcp: Pair { sock, addr },
            dialled: false,
        };
        cable.handle(1, up);
    }
    let left: Vec<Sock> = cable.nodes[1].streams.keys().copied().collect();
    assert_eq!(left, [Sock::tcp(8), Sock::tcp(9)]);
}

#[test]
fn a_stream_that_stands_still_for_a_while_is_not_taken_for_dead() {
    let mut cable = Cable::new(Access::Anyone);
    cable.udp = false;
    cable.connect();
    cable.run(ms(500));
    cable.connected();
    cable.stalled = true;
    cable.fall_silent(0);
    assert_eq!(cable.state(0), PeerState::Suspect);
    assert_eq!(cable.is_by_tcp(0), Some(true));
    cable.resume();
    cable.run(ms(100));
    assert_eq!(cable.state(0), PeerState::Direct);
}

#[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
fn epoch() -> Instant {
    Instant::now()
}

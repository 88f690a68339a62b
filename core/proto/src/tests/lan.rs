//! One network without a relay: machines that hear where the others are.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{
    Access, PeerState, SecretKey,
    addr::LocalAddr,
    endpoint::Settings,
    io::{Failure, Input, Output, Sock},
    local::Ports,
    watched::Watched,
    wire::intro::PACKET_LEN,
};

const PORT: u16 = 40000;
const DELAY: Duration = Duration::from_millis(1);

#[test]
fn a_peer_that_is_seen_on_the_network_is_met_without_a_relay() {
    let mut lan = Lan::of(2);
    lan.connect(0, 1);
    lan.run(200);
    assert_eq!(lan.state(0, 1), PeerState::Intro);
    lan.sight(0, 1, &[lan.addr(1)]);
    lan.run(50);
    assert_eq!(
        (lan.state(0, 1), lan.state(1, 0)),
        (PeerState::Direct, PeerState::Direct)
    );
}

#[test]
fn a_peer_that_was_seen_before_it_is_dialled_is_met_at_once() {
    let mut lan = Lan::of(2);
    lan.sight(0, 1, &[lan.addr(1)]);
    lan.connect(0, 1);
    lan.run(10);
    assert_eq!(lan.state(0, 1), PeerState::Direct);
}

#[test]
fn a_peer_that_is_nowhere_to_be_seen_is_given_up_after_three_seconds() {
    let mut lan = Lan::of(2);
    lan.connect(0, 1);
    lan.run(2900);
    assert_eq!(lan.failures, []);
    lan.run(200);
    assert_eq!(lan.failures[0], Failure::NoAddress);
}

#[test]
fn addresses_that_become_known_while_a_peer_is_looked_for_are_used_at_once() {
    let mut lan = Lan::of(2);
    lan.connect(0, 1);
    lan.run(200);
    let (peer, relays) = (key(1).id(), Vec::new());
    let addrs = vec![lan.addr(1)];
    lan.give(
        0,
        Input::Connect {
            peer,
            relays,
            addrs,
        },
    );
    lan.run(50);
    assert_eq!(lan.state(0, 1), PeerState::Direct);
}

#[test]
fn a_peer_that_moves_on_its_network_is_found_again() {
    let mut lan = Lan::of(3);
    lan.connect(0, 1);
    lan.sight(0, 1, &[lan.addr(2)]);
    lan.run(500);
    assert_eq!(lan.state(0, 1), PeerState::Intro);
    lan.sight(0, 1, &[lan.addr(1)]);
    lan.run(50);
    assert_eq!(lan.state(0, 1), PeerState::Direct);
}

#[test]
fn a_peer_that_said_goodbye_is_looked_for_when_it_is_dialled_again() {
    let mut lan = Lan::of(3);
    lan.meet(0, 1);
    let peer = key(1).id();
    lan.give(0, Input::Connected { peer });
    lan.give(1, Input::Shutdown);
    lan.run(10);
    lan.nodes[2] = node(1, 2, true, lan.now);
    lan.connect(0, 1);
    lan.run(10);
    assert_eq!(lan.state(0, 1), PeerState::Intro);
    lan.sight(0, 1, &[lan.addr(2)]);
    lan.run(50);
    assert_eq!(lan.state(0, 1), PeerState::Direct);
}

#[test]
fn a_goodbye_after_the_peer_was_dialled_again_has_it_looked_for() {
    let mut lan = Lan::of(3);
    lan.meet(0, 1);
    let peer = key(1).id();
    lan.give(0, Input::Connected { peer });
    lan.connect(0, 1);
    lan.give(1, Input::Shutdown);
    lan.run(10);
    assert_eq!(lan.state(0, 1), PeerState::Intro);
    lan.nodes[2] = node(1, 2, true, lan.now);
    lan.sight(0, 1, &[lan.addr(2)]);
    lan.run(50);
    assert_eq!(lan.state(0, 1), PeerState::Direct);
}

#[test]
fn nobody_is_sent_anything_outside_of_our_network_because_of_a_sighting() {
    let mut lan = Lan::of(2);
    lan.connect(0, 1);
    let victims = [
        "8.8.8.8:40000",
        "10.0.0.1:40000",
        "127.0.0.1:40000",
        "192.168.1.255:40000",
        "192.168.1.9:5353",
        "192.168.1.9:53",
        "[fe80::1]:40000",
        "224.0.0.251:40000",
    ];
    lan.sight(0, 1, &victims.map(|victim| victim.parse().unwrap()));
    lan.run(9000);
    assert_eq!(lan.sent, BTreeMap::new());
}

#[test]
fn nobody_is_called_where_they_were_seen_on_a_network_that_was_left() {
    let mut lan = Lan::of(2);
    lan.sight(0, 1, &[lan.addr(1)]);
    let elsewhere = LocalAddr {
        ip: [10, 9, 9, 9].into(),
        prefix_len: 24,
    };
    let addrs = vec![elsewhere];
    lan.give(
        0,
        Input::Interfaces {
            addrs,
            lost_route: true,
        },
    );
    lan.connect(0, 1);
    lan.run(9000);
    assert_eq!(lan.sent, BTreeMap::new());
    assert_eq!(lan.failures[0], Failure::NoAddress);
}

#[test]
fn a_flood_of_sightings_gets_an_address_no_more_than_a_dial_does() {
    let mut lan = Lan::of(2);
    lan.connect(0, 1);
    for step in 0..2900u16 {
        let [high, low] = (step % 200 + 10).to_be_bytes();
        lan.sight(0, 1, &[SocketAddr::from(([192, 168, 1 + high, low], PORT))]);
        lan.run(1);
    }
    let bytes: usize = lan.sent.values().sum();
    assert!(bytes <= 3 * PACKET_LEN, "{bytes}");
}

#[test]
fn who_does_not_look_for_neighbours_takes_no_notice_of_them() {
    let mut lan = Lan::of(2);
    lan.nodes[0] = node(0, 0, false, lan.now);
    lan.sight(0, 1, &[lan.addr(1)]);
    lan.connect(0, 1);
    assert_eq!(lan.failures, [Failure::NoAddress]);
    assert_eq!(lan.sent, BTreeMap::new());
}

struct Lan {
    now: Instant,
    nodes: Vec<Watched>,
    /// What is under way: when it arrives, at whom, from where.
    wire: Vec<(Instant, usize, SocketAddr, Vec<u8>)>,
    sent: BTreeMap<SocketAddr, usize>,
    failures: Vec<Failure>,
}

impl Lan {
    fn of(count: u8) -> Self {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        let now = Instant::now();
        Self {
            now,
            nodes: (0..count).map(|at| node(at, at, true, now)).collect(),
            wire: Vec::new(),
            sent: BTreeMap::new(),
            failures: Vec::new(),
        }
    }

    fn addr(&self, at: u8) -> SocketAddr {
        addr(at)
    }

    fn connect(&mut self, from: usize, to: u8) {
        let peer = key(to).id();
        self.give(
            from,
            Input::Connect {
                peer,
                relays: Vec::new(),
                addrs: Vec::new(),
            },
        );
    }

    /// Has two meet over their network.
    fn meet(&mut self, from: usize, to: u8) {
        self.sight(from, to, &[addr(to)]);
        self.connect(from, to);
        self.run(50);
        assert_eq!(self.state(from, to), PeerState::Direct);
    }

    fn sight(&mut self, at: usize, whom: u8, addrs: &[SocketAddr]) {
        let peer = key(whom).id();
        let addrs = addrs.to_vec();
        self.give(at, Input::Found { peer, addrs });
    }

    fn state(&self, at: usize, of: u8) -> PeerState {
        let view = self.nodes[at].peer(key(of).id(), self.now);
        view.map_or(PeerState::Idle, |view| view.state)
    }

    fn run(&mut self, millis: u64) {
        for _ in 0..millis {
            self.now += DELAY;
            for at in 0..self.nodes.len() {
                let out = self.nodes[at].handle_timeout(self.now);
                self.carry_out(at, out);
            }
            let due = |(at, ..): &mut (Instant, usize, SocketAddr, Vec<u8>)| *at <= self.now;
            let arrived: Vec<_> = self.wire.extract_if(.., due).collect();
            for (_, at, source, bytes) in arrived {
                let input = Input::Datagram {
                    sock: Sock::MAIN,
                    source,
                    bytes: &bytes,
                };
                self.give(at, input);
            }
        }
    }

    fn give(&mut self, at: usize, input: Input<'_>) {
        let out = self.nodes[at].handle(self.now, input);
        self.carry_out(at, out);
    }

    fn carry_out(&mut self, from: usize, out: Vec<Output>) {
        for output in out {
            if let Output::Failed { reason, .. } = output {
                self.failures.push(reason);
            } else if let Output::SendDatagram { to, bytes, .. } = output {
                *self.sent.entry(to).or_default() += bytes.len();
                let mut everybody = 0..self.nodes.len();
                if let Some(at) = everybody.find(|at| addr(*at as u8) == to) {
                    let source = addr(from as u8);
                    self.wire.push((self.now + DELAY, at, source, bytes));
                }
            }
        }
    }
}

fn key(at: u8) -> SecretKey {
    SecretKey::from_seed(&[at + 1; 32])
}

fn addr(at: u8) -> SocketAddr {
    SocketAddr::from(([192, 168, 1, at + 1], PORT))
}

/// Whoever has this key, at this place in the network.
fn node(whose: u8, at: u8, lan: bool, now: Instant) -> Watched {
    let mut node = Watched::new(&Settings {
        key: key(whose),
        access: Access::Anyone,
        relay_only: false,
        lan,
        guess_ports: true,
        tcp: true,
        bound: None,
        ports: Ports { v4: PORT, v6: 0 },
        seed: [at; 32],
        now,
        unix_ms: 1_790_000_000_000,
    });
    let interface = LocalAddr {
        ip: addr(at).ip(),
        prefix_len: 24,
    };
    let addrs = vec![interface];
    node.handle(
        now,
        Input::Interfaces {
            addrs,
            lost_route: false,
        },
    );
    node
}

//! Machines that are asked, by other means than a link, to say hello to somebody.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{
    Access, PeerId, PeerState, SecretKey,
    addr::LocalAddr,
    endpoint::Settings,
    io::{Input, Output, Sock},
    local::Ports,
    watched::Watched,
    wire::intro::PACKET_LEN,
};

const PORT: u16 = 40000;
const STEP: Duration = Duration::from_millis(1);

/// The one who is called, and the caller, whose NAT lets the hello in.
struct Pair {
    now: Instant,
    nodes: [Watched; 2],
    sent: Vec<(usize, SocketAddr, usize)>,
}

fn key(at: usize) -> SecretKey {
    SecretKey::from_seed(&[at as u8 + 1; 32])
}

fn addr(at: usize) -> SocketAddr {
    SocketAddr::from(([62, 10, at as u8, 1], PORT))
}

impl Pair {
    fn new(access: Access) -> Self {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        let now = Instant::now();
        let node = |at: usize| {
            let mut node = Watched::new(&Settings {
                key: key(at),
                access: access.clone(),
                relay_only: false,
                lan: false,
                guess_ports: true,
                tcp: false,
                bound: None,
                ports: Ports { v4: PORT, v6: 0 },
                seed: [at as u8; 32],
                now,
                unix_ms: 1_800_000_000_000,
            });
            let here = LocalAddr {
                ip: addr(at).ip(),
                prefix_len: 24,
            };
            node.handle(
                now,
                Input::Interfaces {
                    addrs: vec![here],
                    lost_route: false,
                },
            );
            node
        };
        let nodes = [node(0), node(1)];
        let sent = Vec::new();
        Self { now, nodes, sent }
    }

    fn call(&mut self, addrs: &[SocketAddr]) {
        let (peer, addrs) = (key(1).id(), addrs.to_vec());
        let out = self.nodes[0].handle(self.now, Input::CalledBack { peer, addrs });
        self.carry_out(0, out);
    }

    fn wait_for_call(&mut self) {
        let peer = key(0).id();
        let (relays, addrs) = (Vec::new(), Vec::new());
        let connect = Input::Connect {
            peer,
            relays,
            addrs,
        };
        self.nodes[1].handle(self.now, connect);
    }

    fn run(&mut self, millis: u32) {
        for _ in 0..millis {
            self.now += STEP;
            for at in 0..2 {
                let out = self.nodes[at].handle_timeout(self.now);
                self.carry_out(at, out);
            }
        }
    }

    /// Whoever an address belongs to hears what is sent there.
    fn carry_out(&mut self, from: usize, out: Vec<Output>) {
        for output in out {
            let Output::SendDatagram { to, bytes, .. } = output else {
                continue;
            };
            self.sent.push((from, to, bytes.len()));
            if to == addr(1 - from) {
                let datagram = Input::Datagram {
                    sock: Sock::MAIN,
                    source: addr(from),
                    bytes: &bytes,
                };
                let out = self.nodes[1 - from].handle(self.now, datagram);
                self.carry_out(1 - from, out);
            }
        }
    }

    fn state(&self, at: usize) -> PeerState {
        let view = self.nodes[at].peer(key(1 - at).id(), self.now);
        view.map_or(PeerState::Idle, |view| view.state)
    }

    fn bytes(&self) -> usize {
        self.sent.iter().map(|(_, _, len)| len).sum()
    }
}

#[test]
fn who_is_said_hello_to_is_linked_though_nothing_told_it_where_the_peer_is() {
    let mut pair = Pair::new(Access::Anyone);
    pair.wait_for_call();
    pair.run(100);
    assert_eq!(pair.sent, [], "the caller sends nothing there");
    pair.call(&[addr(1)]);
    pair.run(500);
    assert_eq!(
        (pair.state(0), pair.state(1)),
        (PeerState::Direct, PeerState::Direct)
    );
}

#[test]
fn an_address_that_does_not_answer_gets_nine_hellos_and_the_link_is_forgotten() {
    let mut pair = Pair::new(Access::Anyone);
    let nobody = "62.10.9.9:4000".parse().unwrap();
    pair.call(&[nobody]);
    pair.run(120_000);
    assert!(pair.sent.iter().all(|(_, to, _)| *to == nobody));
    assert!(pair.bytes() <= 9 * PACKET_LEN, "{}", pair.bytes());
    assert!(pair.bytes() > 0);
    assert_eq!(pair.state(0), PeerState::Idle);
}

#[test]
fn nobody_is_said_hello_to_who_is_not_let_in_or_names_no_place_of_the_internet() {
    let others: Vec<PeerId> = vec![key(7).id()];
    let mut pair = Pair::new(Access::Only(others.into_iter().collect()));
    pair.call(&[addr(1)]);
    pair.run(1000);
    assert_eq!(pair.sent, []);
    let mut pair = Pair::new(Access::Anyone);
    for wrong in [
        "192.168.1.7:4000",
        "127.0.0.1:4000",
        "224.0.0.1:4000",
        "62.10.0.1:40000",
        "62.10.9.9:53",
    ] {
        pair.call(&[wrong.parse().unwrap()]);
        pair.run(100);
    }
    pair.call(&[]);
    assert_eq!(pair.sent, []);
}

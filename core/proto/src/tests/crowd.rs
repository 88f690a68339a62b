//! Crowds: what many strangers at once may take of one machine.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;

use super::world::ms;
use crate::{
    Access, NatReport, PeerId, PeerState, SecretKey,
    endpoint::{Machine, Settings},
    handshake::Initiation,
    io::{Input, Output, Pair, Sock},
    local::Ports,
    timing::MAX_PEERS,
    wire::intro::{AckPacket, Description, IntroBody},
};

const UNIX_MS: u64 = 1_790_000_000_000;

fn machine() -> (Machine, Instant) {
    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    let now = Instant::now();
    (machine_of(1, now), now)
}

fn machine_of(number: u8, now: Instant) -> Machine {
    Machine::new(Settings {
        key: SecretKey::from_seed(&[number; 32]),
        access: Access::Anyone,
        relay_only: false,
        lan: false,
        guess_ports: true,
        tcp: true,
        bound: None,
        ports: Ports { v4: 40000, v6: 0 },
        seed: [7 + number; 32],
        now,
        unix_ms: UNIX_MS,
    })
}

fn drain(machine: &mut Machine) -> Vec<Output> {
    std::iter::from_fn(|| machine.poll_output()).collect()
}

/// Says hello directly so often within a second; returns how many hellos were answered.
fn hellos(machine: &mut Machine, start: Instant, numbers: std::ops::Range<u64>) -> usize {
    let (key, source) = (SecretKey::from_seed(&[2; 32]), addr([81, 2, 0, 1]));
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let count = numbers.end - numbers.start;
    let mut answers = 0;
    for number in numbers.clone() {
        let body = IntroBody {
            id: key.id(),
            timestamp_ms: UNIX_MS + number,
            session_index: number + 1,
            probe_secret: [3; 32],
            description: Description {
                nat: NatReport::default(),
                direct: true,
                guess: false,
                relay_rtt_ms: 0,
                heard: 0,
                candidates: Vec::new(),
                opened: Vec::new(),
            },
        };
        let intro = Initiation::new(&key, machine.local().id, &body, &mut rng).unwrap();
        let at = start + Duration::from_secs(1) * (number - numbers.start) as u32 / count as u32;
        machine.handle(
            at,
            Input::Datagram {
                sock: Sock::MAIN,
                source,
                bytes: &intro.packet,
            },
        );
        let out = drain(machine);
        answers += out.iter().filter(|output| is_answer(output)).count();
    }
    answers
}

fn is_answer(output: &Output) -> bool {
    matches!(output, Output::SendDatagram { bytes, .. } if AckPacket::parse(bytes).is_ok())
}

fn addr(ip: [u8; 4]) -> SocketAddr {
    SocketAddr::from((ip, 40000))
}

#[test]
fn hellos_that_no_relay_vouches_for_are_opened_at_a_common_rate() {
    let (mut machine, start) = machine();
    assert_eq!(hellos(&mut machine, start, 0..40), 40);
    let flood = hellos(&mut machine, start + ms(2000), 100..700);
    assert!((200..=251).contains(&flood), "{flood}");
    assert_eq!(hellos(&mut machine, start + ms(4000), 1000..1040), 40);
}

fn peer(at: u32) -> PeerId {
    let mut seed = [9; 32];
    seed[..4].copy_from_slice(&at.to_be_bytes());
    SecretKey::from_seed(&seed).id()
}

/// A peer proves its key on a stream, which costs no more than that.
fn knock(machine: &mut Machine, now: Instant, at: u32, ip: [u8; 4]) -> bool {
    let tcp = Pair {
        sock: Sock::tcp(at),
        addr: addr(ip),
    };
    let (peer, dialled) = (peer(at), false);
    machine.handle(now, Input::TcpUp { peer, tcp, dialled });
    drain(machine);
    machine.peer(peer, now).is_some()
}

#[test]
fn keys_without_end_from_one_network_take_a_bounded_number_of_peers_and_nobody_elses_place() {
    let (mut machine, now) = machine();
    let friend = peer(1_000_000);
    let (relays, addrs) = (Vec::new(), vec![addr([70, 0, 0, 1])]);
    let dial = Input::Connect {
        peer: friend,
        relays,
        addrs,
    };
    machine.handle(now, dial);
    // Among the flood is the oldest of all, which has a connection.
    let held = peer(2_000_000);
    knock(&mut machine, now, 2_000_000, [90, 0, 0, 1]);
    machine.handle(now, Input::Connected { peer: held });
    assert!(knock(&mut machine, now, 3_000_000, [70, 0, 0, 3]));
    let flood = MAX_PEERS as u32 + 20;
    for at in 0..flood {
        assert!(knock(&mut machine, now + ms(at.into()), at, [90, 0, 0, 1]));
        assert!(machine.population().0 <= MAX_PEERS);
    }
    let later = now + ms(flood.into());
    let honest: Vec<u32> = (0..20).map(|at| flood + at).collect();
    for at in &honest {
        assert!(knock(&mut machine, later, *at, [80, 0, *at as u8, 1]));
    }
    let friends = [friend, held, peer(3_000_000)];
    for id in friends.into_iter().chain(honest.into_iter().map(peer)) {
        assert!(machine.peer(id, later).is_some(), "an honest peer gave way");
    }
    assert!(machine.population().0 <= MAX_PEERS);
}

/// Machines on the internet, of which each has an address and no relay: what they send arrives a millisecond later.
struct Plain {
    now: Instant,
    machines: Vec<(SocketAddr, Machine)>,
    under_way: Vec<(SocketAddr, SocketAddr, Vec<u8>)>,
}

impl Plain {
    fn feed(&mut self, at: usize, input: Input<'_>) {
        self.machines[at].1.handle(self.now, input);
        self.send(at);
    }

    fn send(&mut self, at: usize) {
        let (from, machine) = &mut self.machines[at];
        for output in drain(machine) {
            if let Output::SendDatagram { to, bytes, .. } = output {
                self.under_way.push((*from, to, bytes));
            }
        }
    }

    fn step(&mut self) {
        self.now += ms(1);
        for (source, to, bytes) in std::mem::take(&mut self.under_way) {
            let at = self.machines.iter().position(|(addr, _)| *addr == to);
            let datagram = Input::Datagram {
                sock: Sock::MAIN,
                source,
                bytes: &bytes,
            };
            self.feed(at.unwrap(), datagram);
        }
        for at in 0..self.machines.len() {
            self.machines[at].1.handle_timeout(self.now);
            self.send(at);
        }
    }
}

#[test]
fn whoever_is_dialled_by_address_is_direct_beside_many_at_the_same_one() {
    let (home, start) = machine();
    let behind_one = |number: u8| {
        let addr = SocketAddr::from(([81, 2, 0, 1], 40000 + u16::from(number)));
        (addr, machine_of(number, start))
    };
    let others = (2..42).map(behind_one);
    let machines = std::iter::once((addr([90, 0, 0, 1]), home)).chain(others);
    let mut plain = Plain {
        now: start,
        machines: machines.collect(),
        under_way: Vec::new(),
    };
    // Half of them dial, and half are dialled.
    for at in 1..plain.machines.len() {
        let (from, to) = if at % 2 == 0 { (0, at) } else { (at, 0) };
        let (addr, machine) = &plain.machines[to];
        let dial = Input::Connect {
            peer: machine.local().id,
            relays: Vec::new(),
            addrs: vec![*addr],
        };
        plain.feed(from, dial);
    }
    for _ in 0..1000 {
        plain.step();
    }
    let ids: Vec<PeerId> = plain.machines.iter().map(|(_, it)| it.local().id).collect();
    for at in 1..plain.machines.len() {
        for (one, other) in [(0, at), (at, 0)] {
            let view = plain.machines[one].1.peer(ids[other], plain.now).unwrap();
            assert_eq!(view.state, PeerState::Direct, "{one} to {other}");
        }
    }
}

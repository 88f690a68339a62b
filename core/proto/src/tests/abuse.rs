//! A peer that holds a key and means harm: what it can make us send, and where to.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;

use super::world::{Home, Setup, World, ms, relay};
use crate::{
    Access, NatBehavior, NatReport, PortAllocation, SecretKey,
    handshake::{Initiation, Opened},
    io::{Input, Route, Sock},
    session::Session,
    wire::{
        candidate::{Candidate, CandidateKind, MAX_CANDIDATES},
        intro::{AckPacket, Description, IntroBody, IntroPacket},
        probe::{Probe, ProbeKind},
        sealed::{Control, PunchOrder},
    },
};

/// A key that no home of the world has.
fn mallory(at: u8) -> SecretKey {
    SecretKey::from_seed(&[200 + at; 32])
}

fn attested() -> SocketAddr {
    "90.1.0.1:40000".parse().unwrap()
}

/// Says hello to node 0 with this list of candidates, `number` ms after the last time.
fn hello(world: &mut World, key: &SecretKey, number: u64, addrs: &[SocketAddr]) {
    introduce(world, key, number, description(addrs));
}

fn introduce(world: &mut World, key: &SecretKey, number: u64, description: Description) {
    let timestamp_ms = world.unix_ms() + number % 1000;
    introduce_at(world, key, timestamp_ms, (number, description));
}

fn introduce_at(
    world: &mut World,
    key: &SecretKey,
    timestamp_ms: u64,
    (number, description): (u64, Description),
) {
    let body = IntroBody {
        id: key.id(),
        timestamp_ms,
        session_index: number,
        probe_secret: [3; 32],
        description,
    };
    let mut rng = ChaCha20Rng::seed_from_u64(number);
    let intro = Initiation::new(key, world.nodes[0].id, &body, &mut rng).unwrap();
    let (from, attested, bytes) = (key.id(), attested(), &intro.packet);
    world.feed(
        0,
        Input::RelayMessage {
            relay: relay(),
            from,
            attested: Some(attested),
            bytes,
        },
    );
}

fn description(addrs: &[SocketAddr]) -> Description {
    let candidate = |addr: &SocketAddr| Candidate {
        addr: *addr,
        kind: CandidateKind::Mapped,
        open: true,
    };
    Description {
        nat: NatReport::default(),
        direct: true,
        guess: true,
        relay_rtt_ms: 0,
        heard: 0,
        candidates: addrs.iter().map(candidate).collect(),
        opened: vec![attested()],
    }
}

fn victims(count: u8) -> Vec<SocketAddr> {
    (1..=count)
        .map(|last| SocketAddr::from(([91, 7, 7, last], 40000)))
        .collect()
}

fn sent(world: &World, addr: SocketAddr) -> usize {
    world.nodes[0]
        .sent_to
        .get(&addr)
        .copied()
        .unwrap_or_default()
}

#[test]
fn sixteen_victims_in_a_list_share_what_one_intro_pays_for() {
    let mut world = World::pair(Home::Public, Home::Public);
    hello(&mut world, &mallory(0), 1, &victims(16));
    world.run(ms(5000));
    let total: usize = victims(16).iter().map(|addr| sent(&world, *addr)).sum();
    assert!((16..=45).contains(&total), "{total}");
    for victim in victims(16) {
        assert!(sent(&world, victim) <= 3, "{}", sent(&world, victim));
    }
}

#[test]
fn a_hello_from_the_past_or_from_the_future_brings_nothing_but_the_time() {
    let mut world = World::pair(Home::Public, Home::Public);
    let now = world.unix_ms();
    let off = [0, 1, now - 91_000, now + 91_000, 2 * now, u64::MAX];
    for (number, timestamp) in off.into_iter().enumerate() {
        let what = (number as u64, description(&victims(1)));
        introduce_at(&mut world, &mallory(0), timestamp, what);
        world.run(ms(10));
        let node = &world.nodes[0];
        assert_eq!(
            (node.signals, node.sent_to.len()),
            (number, 0),
            "{timestamp}"
        );
    }
    hello(&mut world, &mallory(0), 100, &victims(1));
    assert_eq!(world.nodes[0].signals, off.len());
}

#[test]
fn a_lone_victim_gets_no_more_than_three_probes_for_one_intro() {
    let mut world = World::pair(Home::Public, Home::Public);
    hello(&mut world, &mallory(0), 1, &victims(1));
    world.run(ms(5000));
    assert_eq!(sent(&world, victims(1)[0]), 3);
}

#[test]
fn a_list_that_is_sent_again_and_again_by_ten_peers_brings_a_victim_ten_probes_a_minute() {
    let mut world = World::pair(Home::Public, Home::Public);
    let victim = victims(1)[0];
    for number in 0..60 {
        hello(
            &mut world,
            &mallory((number % 10) as u8),
            number + 1,
            &[victim],
        );
        world.run(ms(980));
    }
    assert!(sent(&world, victim) <= 10, "{}", sent(&world, victim));
}

#[test]
fn many_ports_of_one_victim_are_no_way_around_the_limit() {
    let mut world = World::pair(Home::Public, Home::Public);
    let ports: Vec<SocketAddr> = (0..16)
        .map(|port| SocketAddr::from(([91, 7, 7, 1], 40000 + port)))
        .collect();
    for number in 0..20 {
        hello(&mut world, &mallory(0), number + 1, &ports);
        world.run(ms(1100));
    }
    let total: usize = ports.iter().map(|addr| sent(&world, *addr)).sum();
    assert!(total <= 10, "{total}");
}

#[test]
fn streams_are_dialled_where_a_relay_sees_the_peer_and_nowhere_else_and_twice_a_minute() {
    let mut world = World::pair(Home::Public, Home::Public);
    let mut targets = victims(4);
    targets.extend(
        ["127.0.0.1:6379", "192.168.1.1:8080"].map(|addr| addr.parse::<SocketAddr>().unwrap()),
    );
    let its_own = SocketAddr::new(attested().ip(), 40001);
    targets.extend([its_own, SocketAddr::new(attested().ip(), 22)]);
    for number in 0..15 {
        let mut description = description(&targets);
        for candidate in &mut description.candidates {
            candidate.kind = CandidateKind::Stream;
        }
        introduce(
            &mut world,
            &mallory((number % 3) as u8),
            number + 1,
            description,
        );
        world.run(ms(3500));
    }
    assert_eq!(world.nodes[0].dialled, [its_own; 2]);
    assert_eq!(sent(&world, its_own), 0, "it takes no datagrams");
}

#[test]
fn a_message_has_no_room_for_more_candidates_than_allowed() {
    let many: Vec<SocketAddr> = (0..10_000u32)
        .map(|at| SocketAddr::new(IpAddr::from((91 << 24 | at).to_be_bytes()), 40000))
        .collect();
    let mut world = World::pair(Home::Public, Home::Public);
    hello(&mut world, &mallory(0), 1, &many);
    world.run(ms(5000));
    assert!(world.nodes[0].sent_to.len() <= MAX_CANDIDATES);
}

#[test]
fn nobody_scans_our_network_through_us() {
    let mut world = World::pair(Home::PortRestricted, Home::Public);
    let ours: Vec<SocketAddr> = (20..36)
        .map(|last| SocketAddr::from(([192, 168, 10, last], 40000)))
        .collect();
    let other: Vec<SocketAddr> = (20..36)
        .map(|last| SocketAddr::from(([192, 168, 77, last], 40000)))
        .collect();
    hello(&mut world, &mallory(0), 1, &ours);
    hello(&mut world, &mallory(1), 2, &other);
    world.run(ms(5000));
    let asked: BTreeSet<SocketAddr> = world.nodes[0].sent_to.keys().copied().collect();
    assert!(ours.iter().filter(|addr| asked.contains(addr)).count() <= 4);
    assert!(other.iter().all(|addr| !asked.contains(addr)));
}

#[test]
fn addresses_and_ports_that_are_nobodys_or_somebody_elses_are_never_asked() {
    let forbidden = [
        "0.0.0.0:40000",
        "127.0.0.1:40000",
        "224.0.0.251:5353",
        "239.1.1.1:40000",
        "255.255.255.255:40000",
        "240.0.0.1:40000",
        "192.0.2.1:40000",
        "169.254.169.254:40000",
        "100.64.0.1:40000",
        "198.18.0.1:40000",
        "91.7.7.7:53",
        "91.7.7.7:22",
        "91.7.7.7:1900",
        "91.7.7.7:3702",
        "91.7.7.7:11211",
        "91.7.7.7:0",
        "[::]:40000",
        "[::1]:40000",
        "[::ffff:127.0.0.1]:40000",
        "[::127.0.0.1]:40000",
        "[64:ff9b::7f00:1]:40000",
        "[2002:7f00:1::]:40000",
        "[ff02::1]:40000",
        "[fe80::1]:40000",
        "[fd00::1]:40000",
        "[2001:db8::1]:40000",
        "[2001::1]:40000",
        "[64:ff9b:1::1]:40000",
    ];
    let addrs: Vec<SocketAddr> = forbidden.iter().map(|addr| addr.parse().unwrap()).collect();
    let mut world = World::pair(Home::PortRestricted, Home::Public);
    for (number, addrs) in addrs.chunks(MAX_CANDIDATES).enumerate() {
        hello(&mut world, &mallory(number as u8), number as u64 + 1, addrs);
    }
    world.run(ms(5000));
    assert_eq!(
        world.nodes[0].machine.datagrams, 0,
        "{:?}",
        world.nodes[0].sent_to
    );
}

#[test]
fn our_own_addresses_in_a_list_bring_us_nothing() {
    let mut world = World::pair(Home::PortRestricted, Home::Public);
    let own = [world.nodes[0].host, (world.public(0), 40000).into()];
    hello(&mut world, &mallory(0), 1, &own[..1]);
    world.run(ms(5000));
    assert_eq!(sent(&world, own[0]), 0);
}

/// What node 0 says of itself to a stranger that calls.
fn told_to_caller(world: &mut World, key: &SecretKey) -> Vec<SocketAddr> {
    let body = IntroBody {
        id: key.id(),
        timestamp_ms: world.unix_ms(),
        session_index: 1,
        probe_secret: [3; 32],
        description: description(&[]),
    };
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut initiation = Initiation::new(key, world.nodes[0].id, &body, &mut rng).unwrap();
    let intro = initiation.packet.clone();
    says(world, key, &intro);
    let answer = world.last_signal(0);
    let packet = AckPacket::parse(&answer).unwrap();
    addresses(&initiation.read(key, packet).unwrap())
}

/// What node 0 says of itself to a peer that it dials.
fn told_to_dialled(world: &mut World, key: &SecretKey) -> Vec<SocketAddr> {
    world.feed(
        0,
        Input::Connect {
            peer: key.id(),
            relays: vec![relay()],
            addrs: vec![],
        },
    );
    let intro = world.last_signal(0);
    let packet = IntroPacket::parse(&intro).unwrap();
    let opened = Opened::open(key, packet, &mut ChaCha20Rng::seed_from_u64(1)).unwrap();
    addresses(&opened.body.description)
}

fn addresses(description: &Description) -> Vec<SocketAddr> {
    let candidates = description.candidates.iter();
    candidates.map(|candidate| candidate.addr).collect()
}

#[test]
fn our_local_addresses_are_told_to_whom_we_dial_and_whom_we_let_in_by_name_and_to_no_stranger() {
    let home = Home::PortRestricted;
    let host = World::pair(home, home).nodes[0].host;
    let caller = mallory(0);
    let to_dialled = told_to_dialled(&mut World::pair(home, home), &caller);
    let to_stranger = told_to_caller(&mut World::pair(home, home), &caller);
    let mut choosy = World::new(1);
    choosy.add(Setup {
        access: Access::Only(vec![caller.id()]),
        ..home.into()
    });
    let to_named = told_to_caller(&mut choosy, &caller);
    assert!(to_dialled.contains(&host), "{to_dialled:?}");
    assert!(to_named.contains(&host), "{to_named:?}");
    assert!(!to_stranger.contains(&host), "{to_stranger:?}");
    assert!(!to_stranger.is_empty(), "the public address is told");
}

#[test]
fn a_peer_that_asks_from_ever_new_addresses_is_asked_back_at_four_at_a_time() {
    let mut world = World::pair(Home::Public, Home::Public);
    let mut caller = Caller::new(&mut world, 0, NatReport::default(), false);
    world.run(ms(4000));
    for source in victims(12) {
        caller.asks(&mut world, source);
    }
    // Each question is answered; what is sent beyond that asks back.
    let asked = |world: &World| {
        let all = victims(12).into_iter();
        all.filter(|addr| sent(world, *addr) > 1).count()
    };
    assert_eq!(asked(&world), 4);
    // None of them answered, so that others have their turn.
    world.run(ms(4000));
    let asked_by_then = asked(&world);
    for source in victims(16).into_iter().skip(12) {
        caller.asks(&mut world, source);
    }
    let late = victims(16).into_iter().skip(12);
    assert_eq!(asked_by_then, 4);
    assert!(late.into_iter().all(|addr| sent(&world, addr) > 1));
}

#[test]
fn a_hundred_callers_at_once_stay_below_the_common_rate() {
    let mut world = World::pair(Home::Public, Home::Public);
    let start = world.nodes[0].machine.datagrams;
    for number in 0..100u64 {
        let key = SecretKey::from_seed(&[100 + (number % 100) as u8; 32]);
        let addrs: Vec<SocketAddr> = (0..16u8)
            .map(|at| SocketAddr::from(([92, number as u8, at, 1], 40000)))
            .collect();
        hello(&mut world, &key, number + 1, &addrs);
    }
    world.run(ms(1000));
    let probes = world.nodes[0].machine.datagrams - start;
    assert!(probes <= 400 + 100, "{probes}");
}

#[test]
fn an_answer_from_another_address_than_the_dialled_one_does_not_make_that_address_a_path() {
    let mut world = World::pair(Home::Public, Home::Public);
    let (key, victim) = (mallory(0), victims(1)[0]);
    let peer = key.id();
    world.feed(
        0,
        Input::Connect {
            peer,
            relays: vec![relay()],
            addrs: vec![],
        },
    );
    let intro = world.last_signal(0);
    let packet = IntroPacket::parse(&intro).unwrap();
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let opened = Opened::open(&key, packet, &mut rng).unwrap();
    let (_, ack) = opened.answer(&description(&[])).unwrap();
    world.feed(
        0,
        Input::Datagram {
            sock: Sock::MAIN,
            source: victim,
            bytes: &ack,
        },
    );
    world.run(ms(2000));
    let route = world.nodes[0].machine.route(peer).cloned();
    assert_eq!(route, Some(Route::Relay(relay())));
    assert!(sent(&world, victim) <= 10);
}

const RANDOM_NAT: NatReport = NatReport {
    mapping: NatBehavior::AddressAndPortDependent,
    filtering: NatBehavior::AddressAndPortDependent,
    allocation: PortAllocation::Random {
        first: 1024,
        last: 65535,
    },
};

/// A peer with a session at node 0, behind such a NAT as it says.
struct Caller {
    key: SecretKey,
    session: Session,
}

impl Caller {
    fn new(world: &mut World, at: u8, nat: NatReport, guess: bool) -> Self {
        let (key, session_index) = (mallory(at), u64::from(at) + 1000);
        let body = IntroBody {
            id: key.id(),
            timestamp_ms: world.unix_ms(),
            session_index,
            probe_secret: [3; 32],
            description: Description {
                nat,
                guess,
                ..description(&[])
            },
        };
        let mut rng = ChaCha20Rng::seed_from_u64(session_index);
        let mut initiation = Initiation::new(&key, world.nodes[0].id, &body, &mut rng).unwrap();
        let intro = initiation.packet.clone();
        says(world, &key, &intro);
        let answer = world.last_signal(0);
        let packet = AckPacket::parse(&answer).unwrap();
        initiation.read(&key, packet).unwrap();
        let session = initiation.into_session().unwrap();
        Self { key, session }
    }

    /// Says that it is at these addresses now.
    fn moves(&mut self, world: &mut World, addrs: &[SocketAddr]) {
        let update = Control::Update(description(addrs));
        let bytes = self.session.seal_control(&update.emit()).unwrap();
        says(world, &self.key, &bytes);
    }

    /// Wants no direct path, and where it is called for that, would have one again. Whether it was called.
    fn refuses(&mut self, world: &mut World) -> bool {
        let before = world.last_signal(0);
        let update = Control::Update(Description {
            direct: false,
            ..description(&[])
        });
        let bytes = self.session.seal_control(&update.emit()).unwrap();
        says(world, &self.key, &bytes);
        let after = world.last_signal(0);
        let Ok(packet) = IntroPacket::parse(&after) else {
            self.moves(world, &[]);
            return false;
        };
        if after == before {
            self.moves(world, &[]);
            return false;
        }
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let opened = Opened::open(&self.key, packet, &mut rng).unwrap();
        let (session, ack) = opened.answer(&description(&[])).unwrap();
        self.session = session;
        says(world, &self.key, &ack);
        true
    }

    /// Asks directly, from what it says is this address.
    fn asks(&mut self, world: &mut World, source: SocketAddr) {
        let probe = Probe {
            kind: ProbeKind::Request,
            tx: 7,
            observed: world.nodes[0].host,
        };
        let bytes = self.session.seal_probe(&probe).unwrap();
        world.feed(
            0,
            Input::Datagram {
                sock: Sock::MAIN,
                source,
                bytes: &bytes,
            },
        );
    }

    fn order(&mut self, world: &mut World, sample: Option<SocketAddr>) {
        let go = Control::Go(PunchOrder { holes: 256, sample });
        let bytes = self.session.seal_control(&go.emit()).unwrap();
        says(world, &self.key, &bytes);
    }

    /// Orders guesses, as often as asked, half a second apart.
    fn orders(&mut self, world: &mut World, times: usize) {
        for _ in 0..times {
            self.order(world, None);
            world.run(ms(500));
        }
    }
}

fn says(world: &mut World, key: &SecretKey, bytes: &[u8]) {
    let (from, attested) = (key.id(), attested());
    let relay = relay();
    world.feed(
        0,
        Input::RelayMessage {
            relay,
            from,
            attested: Some(attested),
            bytes,
        },
    );
}

#[test]
fn a_peer_that_has_ever_other_addresses_gets_few_probes_for_it_and_its_last_list_is_probed() {
    let mut world = World::pair(Home::Public, Home::Public);
    let mut caller = Caller::new(&mut world, 0, NatReport::default(), false);
    world.run(ms(1000));
    let lists = [41000, 42000].map(|first| {
        let port = |at: u16| SocketAddr::new(attested().ip(), first + at);
        (0..16).map(port).collect::<Vec<_>>()
    });
    let mut before = 0;
    for number in 0..60 {
        // What it may call for at once is spent by then.
        if number == 20 {
            before = guesses(&world);
        }
        caller.moves(&mut world, &lists[number % 2]);
        world.run(ms(100));
    }
    // One round a second, of sixteen addresses that get seven probes each in that time.
    let probes = guesses(&world) - before;
    assert!(probes <= 500, "{probes}");
    let last = [SocketAddr::new(attested().ip(), 43000)];
    caller.moves(&mut world, &last);
    world.run(ms(2000));
    assert!(sent(&world, last[0]) > 0);
}

#[test]
fn a_peer_that_refuses_direct_paths_again_and_again_is_called_once_a_second_for_it() {
    let mut world = World::pair(Home::Public, Home::Public);
    let mut caller = Caller::new(&mut world, 0, NatReport::default(), false);
    world.run(ms(1000));
    let mut calls = 0;
    for _ in 0..60 {
        calls += usize::from(caller.refuses(&mut world));
        world.run(ms(100));
    }
    assert!((1..=13).contains(&calls), "{calls}");
}

#[test]
fn what_a_relay_says_is_somebody_elses_does_not_count_as_the_peers() {
    let mut world = World::pair(Home::Public, Home::Public);
    let mut caller = Caller::new(&mut world, 0, NatReport::default(), false);
    world.run(ms(4000));
    let target = victims(1);
    let update = Control::Update(description(&target)).emit();
    let forwarded = caller.session.seal_control(&update).unwrap();
    says(&mut world, &mallory(1), &forwarded);
    world.run(ms(2000));
    assert_eq!(sent(&world, target[0]), 0);
    caller.moves(&mut world, &target);
    world.run(ms(2000));
    assert!(sent(&world, target[0]) > 0);
}

#[test]
fn a_peer_cannot_take_over_the_conversation_of_another() {
    let mut world = World::pair(Home::Public, Home::Public);
    let mut caller = Caller::new(&mut world, 0, NatReport::default(), false);
    world.run(ms(4000));
    introduce(&mut world, &mallory(1), 1000, description(&[]));
    let target = victims(1);
    caller.moves(&mut world, &target);
    world.run(ms(2000));
    assert!(sent(&world, target[0]) > 0);
}

#[test]
fn a_source_that_a_peer_only_writes_on_its_probe_stays_with_the_peer_that_is_there() {
    let mut world = World::pair(Home::Public, Home::Public);
    world.link(0, 1);
    world.run(ms(2000));
    let (friend, there) = (world.nodes[1].id, world.nodes[1].host);
    assert_eq!(world.nodes[0].admitted.get(&there), Some(&friend));
    let mut caller = Caller::new(&mut world, 0, NatReport::default(), false);
    caller.asks(&mut world, there);
    world.run(ms(2000));
    assert_eq!(world.nodes[0].admitted.get(&there), Some(&friend));
    assert!(sent(&world, there) > 0);
}

/// Datagrams that node 0 sends at once to who asks from this address.
fn asked_from(world: &mut World, caller: &mut Caller, source: SocketAddr) -> usize {
    let before = sent(world, source);
    caller.asks(world, source);
    world.run(ms(1));
    sent(world, source) - before
}

#[test]
fn who_asks_from_anothers_address_is_asked_back_a_few_times_and_answered_only_when_that_one_left() {
    let mut world = World::pair(Home::Public, Home::Public);
    let source = victims(1)[0];
    let mut callers =
        [0, 1, 2, 3].map(|at| Caller::new(&mut world, at, NatReport::default(), false));
    let [first, second, third, last] = &mut callers;
    let answer_and_probe = 2;
    assert_eq!(asked_from(&mut world, first, source), answer_and_probe);
    assert_eq!(asked_from(&mut world, second, source), 1, "a probe alone");
    let asked_back: usize = (0..20).map(|_| asked_from(&mut world, third, source)).sum();
    assert!(asked_back <= 10, "{asked_back}");
    let peer = first.key.id();
    world.feed(0, Input::Release { peer });
    assert!(asked_from(&mut world, last, source) >= 1);
    assert_eq!(world.nodes[0].admitted.get(&source), Some(&last.key.id()));
}

#[test]
fn a_peer_whose_nat_counts_up_to_the_port_of_another_service_is_not_met_there() {
    let counting = NatReport {
        allocation: PortAllocation::Sequential { step: 1 },
        ..RANDOM_NAT
    };
    for (port, met) in [(11_211 - 40, false), (1900 - 40, false), (30_000, true)] {
        let mut world = World::pair(Home::Counting, Home::Public);
        let mut caller = Caller::new(&mut world, 0, counting, true);
        let sample = SocketAddr::new(attested().ip(), port);
        caller.order(&mut world, Some(sample));
        world.run(ms(1500));
        let target = SocketAddr::new(attested().ip(), port + 40);
        assert_eq!(sent(&world, target) > 0, met, "{target}");
    }
}

/// Datagrams that node 0 sent to any port of the callers' attested address.
fn guesses(world: &World) -> usize {
    let there = world.nodes[0].sent_to.iter();
    there
        .filter(|(addr, _)| addr.ip() == attested().ip())
        .map(|(_, count)| count)
        .sum()
}

#[test]
fn guesses_go_to_the_attested_address_alone_and_end_a_second_after_the_last_order() {
    let mut world = World::pair(Home::PortRestricted, Home::Public);
    let mut caller = Caller::new(&mut world, 0, RANDOM_NAT, true);
    caller.orders(&mut world, 4);
    let ordered = guesses(&world);
    assert!((300..=420).contains(&ordered), "{ordered}");
    world.run(ms(10_000));
    assert!(guesses(&world) <= ordered + 110, "{}", guesses(&world));
    let elsewhere = |addr: &SocketAddr| addr.ip() != attested().ip();
    assert!(!world.nodes[0].sent_to.keys().any(elsewhere));
}

#[test]
fn a_peer_that_orders_guesses_for_ever_gets_2048_and_then_a_rest() {
    let mut world = World::pair(Home::PortRestricted, Home::Public);
    let mut caller = Caller::new(&mut world, 0, RANDOM_NAT, true);
    caller.orders(&mut world, 80);
    assert!(guesses(&world) <= 2048 + 64, "{}", guesses(&world));
}

#[test]
fn ports_are_guessed_for_one_peer_at_a_time() {
    let mut world = World::pair(Home::PortRestricted, Home::Public);
    let mut first = Caller::new(&mut world, 0, RANDOM_NAT, true);
    let mut second = Caller::new(&mut world, 1, RANDOM_NAT, true);
    first.orders(&mut world, 1);
    let before = guesses(&world);
    first.orders(&mut world, 1);
    second.orders(&mut world, 1);
    let after = guesses(&world);
    assert!(before > 50 && after <= 3 * before, "{before}, {after}");
    let answer = world.last_signal(0);
    let refused = second
        .session
        .open_control(&answer)
        .map(|body| Control::parse(&body));
    assert_eq!(refused, Some(Ok(Control::Stop)));
}

#[test]
fn an_order_that_the_two_nats_do_not_call_for_is_refused() {
    let easy = NatReport {
        mapping: NatBehavior::EndpointIndependent,
        ..RANDOM_NAT
    };
    for (home, nat, guess) in [
        (Home::PortRestricted, easy, true),
        (Home::PortRestricted, RANDOM_NAT, false),
        (Home::Symmetric, RANDOM_NAT, true),
    ] {
        let mut world = World::pair(home, Home::Public);
        let mut caller = Caller::new(&mut world, 0, nat, guess);
        let before = guesses(&world);
        caller.orders(&mut world, 1);
        let answer = world.last_signal(0);
        let refused = caller
            .session
            .open_control(&answer)
            .map(|body| Control::parse(&body));
        assert_eq!(refused, Some(Ok(Control::Stop)), "{home:?} {nat:?}");
        assert!(guesses(&world) <= before + 20, "{home:?} {nat:?}");
    }
}

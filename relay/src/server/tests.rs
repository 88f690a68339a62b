mod access;
mod calls;
mod dht;
mod lane;
mod volume;

use peerway_proto::{
    SecretKey,
    wire::{
        lane::{Channel, HEADER_LEN},
        relay::Payload,
    },
};
use proptest::prelude::*;

use super::*;

/// What a shell does.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Done {
    Send {
        to: ClientId,
        frame: ToClient,
    },
    Close {
        client: ClientId,
        reason: CloseReason,
    },
    Release {
        to: ClientPath,
        datagram: Vec<u8>,
    },
}

/// A server, a clock that only the test moves, and a client per seed at an address of its own.
struct World {
    server: Server,
    start: Instant,
    elapsed: Duration,
}

impl World {
    fn new(limits: Limits) -> Self {
        #[expect(clippy::disallowed_methods, reason = "any instant will do")]
        let start = Instant::now();
        Self {
            server: Server::new(limits),
            start,
            elapsed: Duration::ZERO,
        }
    }

    fn now(&self) -> Now {
        Now {
            instant: self.start + self.elapsed,
            unix_ms: self.elapsed.as_millis() as u64,
        }
    }

    fn wait(&mut self, ms: u64) {
        self.elapsed += Duration::from_millis(ms);
    }

    /// What the shell would do now.
    fn commands(&mut self) -> Vec<Done> {
        let mut done = Vec::new();
        let mut awake = Vec::new();
        while let Some(command) = self.server.poll_command() {
            match command {
                Command::Wake { client } => awake.push(client),
                Command::Close { client, reason } => done.push(Done::Close { client, reason }),
                Command::Release { to, datagram } => done.push(Done::Release { to, datagram }),
                // A test of work asks for it.
                Command::Work => {}
            }
        }
        for to in awake {
            done.extend(self.written(to));
        }
        done
    }

    /// What is written to a client now.
    fn written(&mut self, to: ClientId) -> Vec<Done> {
        let now = self.now().instant;
        let frames = std::iter::from_fn(|| match self.server.poll_frame(now, to) {
            Write::Now(frame) => Some(Done::Send { to, frame }),
            Write::At(_) | Write::Nothing => None,
        });
        frames.collect()
    }

    fn register(&mut self, seed: u8) -> ClientId {
        self.register_at(seed, addr(seed))
    }

    fn register_at(&mut self, seed: u8, remote: SocketAddr) -> ClientId {
        let id = self.server.register(self.now(), key(seed), route(remote));
        self.commands();
        id
    }

    fn signal(&mut self, id: ClientId, from: u8, to: u8) -> Vec<Done> {
        let frame = ToRelay::Signal {
            to: key(to),
            hidden: false,
            payload: payload(),
        };
        self.server.handle_frame(self.now(), id, addr(from), frame);
        self.commands()
    }

    fn lane(&mut self, src: u8, channel: Channel) -> Verdict {
        let now = self.now().instant;
        self.server.lane(now, addr(src), channel, 1200)
    }
}

fn key(seed: u8) -> PeerId {
    SecretKey::from_seed(&[seed; 32]).id()
}

fn addr(seed: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, seed], 1000))
}

fn route(remote: SocketAddr) -> ClientPath {
    ClientPath {
        remote,
        local: None,
    }
}

fn channel(a: u8, b: u8) -> Channel {
    Channel::between(key(a), key(b))
}

fn payload() -> Payload {
    b"hello".to_vec().try_into().unwrap()
}

fn gone(to: ClientId, peer: u8, reason: GoneReason) -> Vec<Done> {
    let frame = ToClient::Gone {
        peer: key(peer),
        reason,
    };
    vec![Done::Send { to, frame }]
}

fn unreached(to: ClientId, peer: u8) -> Done {
    let frame = ToClient::Unreached { peer: key(peer) };
    Done::Send { to, frame }
}

fn deliver(to: ClientId, from: u8, time_ms: u64) -> Vec<Done> {
    let frame = ToClient::Deliver {
        from: key(from),
        time_ms,
        observed: Some(addr(from)),
        payload: payload(),
    };
    vec![Done::Send { to, frame }]
}

#[test]
fn a_client_is_welcomed_with_its_address_in_its_plain_form() {
    let mut world = World::new(Limits::default());
    let mapped = "[::ffff:192.0.2.1]:1000".parse().unwrap();
    let id = world.server.register(world.now(), key(1), route(mapped));
    let frame = ToClient::Welcome {
        version: VERSION,
        time_ms: 0,
        observed: addr(1),
    };
    assert_eq!(world.commands(), [Done::Send { to: id, frame }]);
}

#[test]
fn a_signal_reaches_its_receiver_with_the_attested_address_of_its_sender() {
    let mut world = World::new(Limits::default());
    let (a, b) = (world.register(1), world.register(2));
    world.wait(7);
    assert_eq!(world.signal(a, 1, 2), deliver(b, 1, 7));
    assert_eq!(world.signal(b, 2, 1), deliver(a, 2, 7));
}

#[test]
fn a_signal_to_nobody_comes_back() {
    let mut world = World::new(Limits::default());
    let a = world.register(1);
    assert_eq!(world.signal(a, 1, 2), gone(a, 2, GoneReason::NotRegistered));
    assert_eq!(world.signal(a, 1, 1), gone(a, 1, GoneReason::Refused));
    assert_eq!(world.server.channels(), 0);
}

#[test]
fn the_lane_forwards_both_ways_and_only_between_its_two_ends() {
    let mut world = World::new(Limits::default());
    let a = world.register(1);
    for seed in 2..4 {
        world.register(seed);
    }
    world.signal(a, 1, 2);
    let lane = channel(1, 2);
    assert_eq!(world.lane(1, lane), Verdict::Forward(route(addr(2))));
    assert_eq!(world.lane(2, lane), Verdict::Forward(route(addr(1))));
    assert_eq!(world.lane(3, lane), Verdict::Drop, "another client");
    assert_eq!(world.lane(9, lane), Verdict::Drop, "a stranger");
    assert_eq!(
        world.lane(9, channel(9, 1)),
        Verdict::Drop,
        "a stranger early"
    );
    assert_eq!(world.server.counters().stranger_bytes, 3 * 1200);
}

#[test]
fn the_first_lane_datagrams_wait_for_their_signal() {
    let mut world = World::new(Limits::default());
    let (a, _) = (world.register(1), world.register(2));
    let lane = channel(1, 2);
    let now = world.now().instant;
    for number in 0..20 {
        assert_eq!(world.lane(1, lane), Verdict::Hold(a));
        world.server.hold(now, a, lane, &[number; HEADER_LEN + 1]);
    }
    world
        .server
        .hold(now, a, channel(1, 3), b"another channel's");
    world.wait(249);
    let mut commands = world.signal(a, 1, 2);
    let delivered = commands.split_off(8);
    assert_eq!(delivered.len(), 1, "the signal itself");
    for (number, command) in (0..).zip(commands) {
        let to = route(addr(2));
        let datagram = vec![number; HEADER_LEN + 1];
        assert_eq!(command, Done::Release { to, datagram });
    }
}

#[test]
fn a_lane_datagram_does_not_wait_for_longer_than_its_time() {
    let mut world = World::new(Limits::default());
    let (a, b) = (world.register(1), world.register(2));
    let now = world.now().instant;
    world.server.hold(now, a, channel(1, 2), b"early");
    world.wait(250);
    assert_eq!(world.signal(a, 1, 2), deliver(b, 1, 250));
}

#[test]
fn a_moved_client_is_told_and_served_where_it_registered_until_it_registers_anew() {
    let mut world = World::new(Limits::default());
    let (a, b) = (world.register(1), world.register(2));
    world.signal(a, 1, 2);
    world
        .server
        .handle_frame(world.now(), a, addr(7), ToRelay::KeepAlive);
    let told = [ToClient::Observed { addr: addr(7) }, ToClient::KeepAliveAck];
    assert_eq!(
        world.commands(),
        told.map(|frame| Done::Send { to: a, frame })
    );
    let lane = channel(1, 2);
    assert_eq!(world.lane(7, lane), Verdict::Drop);
    assert_eq!(world.lane(2, lane), Verdict::Forward(route(addr(1))));
    assert_eq!(world.signal(a, 7, 2), deliver(b, 1, 0));

    world.register_at(1, addr(7));
    assert_eq!(world.lane(7, lane), Verdict::Forward(route(addr(2))));
    assert_eq!(world.lane(2, lane), Verdict::Forward(route(addr(7))));
    let on_the_way = world.lane(1, lane);
    assert_eq!(on_the_way, Verdict::Forward(route(addr(2))));
    world.wait(2000);
    assert_eq!(world.lane(1, lane), Verdict::Drop);
    assert_eq!(world.lane(7, lane), Verdict::Forward(route(addr(2))));
}

#[test]
fn the_last_registration_of_a_key_wins_and_the_older_is_told() {
    let mut world = World::new(Limits::default());
    let older = world.register(1);
    let newer = world.server.register(world.now(), key(1), route(addr(7)));
    assert_eq!(
        world.commands()[0],
        Done::Close {
            client: older,
            reason: CloseReason::Replaced
        }
    );
    world.server.unregister(older);
    let b = world.register(2);
    assert_eq!(world.server.clients(), 2);
    assert!(matches!(
        world.signal(b, 2, 1)[..],
        [Done::Send { to, .. }] if to == newer
    ));
}

#[test]
fn the_room_of_many_clients_is_given_back_when_they_left() {
    let mut world = World::new(Limits::default());
    let clients: Vec<_> = (0..200).map(|seed| world.register(seed)).collect();
    assert!(world.server.clients.capacity() >= 200);
    for client in clients {
        world.server.unregister(client);
    }
    let Server {
        clients,
        by_key,
        by_addr,
        ..
    } = world.server;
    let rooms = [clients.capacity(), by_key.capacity(), by_addr.capacity()];
    assert!(rooms.iter().all(|room| *room <= 64), "{rooms:?}");
}

#[test]
fn a_client_that_leaves_takes_its_channels_with_it() {
    let mut world = World::new(Limits::default());
    let (a, b) = (world.register(1), world.register(2));
    world.signal(a, 1, 2);
    world.server.unregister(b);
    assert_eq!(world.server.channels(), 0);
    assert_eq!(world.signal(a, 1, 2), gone(a, 2, GoneReason::NotRegistered));
}

#[test]
fn who_signals_beyond_its_budget_is_told_so_and_recovers() {
    let limits = Limits {
        client_rate: Rate::bytes_per_second(2_000),
        ..Limits::default()
    };
    let mut world = World::new(limits);
    let (a, b) = (world.register(1), world.register(2));
    assert_eq!(world.signal(a, 1, 2).len(), 1);
    while world.signal(a, 1, 2) != gone(a, 2, GoneReason::Busy) {}
    assert_eq!(world.signal(b, 2, 1).len(), 1, "the other has its own");
    world.wait(150);
    assert_eq!(world.signal(a, 1, 2).len(), 1);
}

#[test]
fn the_limits_are_on_by_default() {
    let limits = Limits::default();
    assert_eq!(limits.connections_per_ip, 64);
    assert_eq!(limits.clients, 10_000);
    assert_eq!(limits.channels, 131_072);
    assert_eq!(limits.channels_per_client, 2048);
    assert_eq!(limits.waiting_per_client, 2048);
    assert_eq!(limits.waiting_rate, Rate::bytes_per_second(4096));
    assert_eq!(limits.waiting_rate_in_all, Rate::mib_per_second(2));
    assert_eq!(limits.signals_per_pair, Rate::per_second(10));
    assert_eq!(limits.calls_per_client, Rate::per_second(512));
    assert_eq!(limits.stun_per_network, Rate::per_second(250));
    assert_eq!(limits.client_rate, Rate::mib_per_second(64));
    assert_eq!(limits.pair_rate, Rate::mib_per_second(64));
}

#[derive(Clone, Debug)]
enum Step {
    Register(u8, u8),
    Unregister(usize),
    KeepAlive(usize, u8),
    Hello(usize),
    Signal(usize, u8, u8),
    Lane(u8, u8, u8),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let peer = || 1_u8..6;
    let client = || 0_usize..12;
    prop_oneof![
        (peer(), peer()).prop_map(|(key, at)| Step::Register(key, at)),
        client().prop_map(Step::Unregister),
        (client(), peer()).prop_map(|(id, at)| Step::KeepAlive(id, at)),
        client().prop_map(Step::Hello),
        (client(), peer(), peer()).prop_map(|(id, at, to)| Step::Signal(id, at, to)),
        (peer(), peer(), peer()).prop_map(|(src, a, b)| Step::Lane(src, a, b)),
        (0_u64..100_000).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Nothing is ever sent to where nobody registered from, and nothing is left when all are gone.
    #[test]
    fn no_sequence_of_calls_upsets_the_server(steps in proptest::collection::vec(step(), 0..200)) {
        let limits = Limits {
            lane_rate: Some(Rate::bytes_per_second(100_000)),
            pair_rate: Rate::bytes_per_second(10_000),
            channels: 4,
            channels_per_client: 2,
            waiting_per_client: 2,
            ..Limits::default()
        };
        let mut world = World::new(limits);
        let mut ids = Vec::new();
        let mut addrs = BTreeSet::new();
        for step in steps {
            let now = world.now();
            match step {
                Step::Register(seed, at) => {
                    addrs.insert(addr(at));
                    ids.push(world.server.register(now, key(seed), route(addr(at))));
                }
                Step::Unregister(index) => {
                    if let Some(id) = ids.get(index) {
                        world.server.unregister(*id);
                    }
                }
                Step::KeepAlive(index, at) => {
                    if let Some(id) = ids.get(index) {
                        world.server.handle_frame(now, *id, addr(at + 100), ToRelay::KeepAlive);
                    }
                }
                Step::Hello(index) => {
                    if let Some(id) = ids.get(index) {
                        let hello = ToRelay::Hello { version: VERSION };
                        world.server.handle_frame(now, *id, addr(1), hello);
                    }
                }
                Step::Signal(index, at, to) => {
                    if let Some(id) = ids.get(index) {
                        let frame = ToRelay::Signal { to: key(to), hidden: false, payload: payload() };
                        world.server.handle_frame(now, *id, addr(at), frame);
                    }
                }
                Step::Lane(src, a, b) => {
                    let lane = channel(a, b);
                    match world.server.lane(now.instant, addr(src), lane, 1200) {
                        Verdict::Forward(to) => prop_assert!(addrs.contains(&to.remote)),
                        Verdict::Hold(id) => world.server.hold(now.instant, id, lane, &[0; 40]),
                        Verdict::Wait(id) => {
                            let datagrams = Datagrams { ecn: None, stride: 1200, bytes: vec![0; 1200].into() };
                            world.server.wait(now.instant, id, lane, datagrams);
                        }
                        Verdict::Drop => {}
                    }
                }
                Step::Wait(ms) => world.wait(ms),
            }
            while let Due::Now(to, _) = world.server.poll_lane(world.now().instant) {
                prop_assert!(addrs.contains(&to.remote));
            }
            for command in world.commands() {
                if let Done::Release { to, .. } = command {
                    prop_assert!(addrs.contains(&to.remote));
                }
            }
        }
        for id in ids {
            world.server.unregister(id);
        }
        world.wait(3_600_000);
        prop_assert_eq!(world.server.poll_lane(world.now().instant), Due::Nothing);
        prop_assert!(world.server.backlog.is_empty());
        prop_assert_eq!(world.server.clients(), 0);
        prop_assert_eq!(world.server.channels(), 0);
        prop_assert!(world.server.by_key.is_empty());
        prop_assert!(world.server.by_addr.is_empty());
        prop_assert!(world.server.channels.is_empty());
        prop_assert!(world.server.holds.is_empty());
        prop_assert_eq!(world.server.call_bytes.total(), 0);
    }
}

#[test]
fn a_source_gets_so_many_stun_answers_and_no_more() {
    let mut world = World::new(Limits::default());
    let mut answered = 0;
    for _ in 0..10_000 {
        let now = world.now().instant;
        answered += (0..10)
            .filter(|port| {
                let source = SocketAddr::from(([192, 0, 2, 1], 1000 + port));
                world.server.takes_stun(now, source)
            })
            .count();
        world.wait(1);
    }
    assert!((3_490..=3_510).contains(&answered), "{answered}");
    assert_eq!(
        world.server.counters().stun_dropped,
        100_000 - answered as u64
    );
}

#[test]
fn whoever_signals_to_a_client_that_acknowledges_nothing_is_told_so_once_a_signal() {
    let mut world = World::new(Limits::default());
    let [a, b, c] = [1, 2, 3].map(|seed| world.register(seed));
    assert_eq!(world.signal(a, 1, 3), deliver(c, 1, 0));
    world.server.unheard(c);
    assert_eq!(world.commands(), [unreached(a, 3)]);
    world.server.unheard(c);
    assert_eq!(world.commands(), []);
    assert_eq!(world.signal(b, 2, 3), [unreached(b, 3)]);
    // Once it is heard, it gets what was said meanwhile.
    world.server.heard(c);
    assert_eq!(world.written(c), deliver(c, 2, 0));
    assert_eq!(world.signal(a, 1, 3), deliver(c, 1, 0));
    world.server.heard(c);
    world.server.unheard(c);
    assert_eq!(world.commands(), []);
}

#[test]
fn a_silent_client_that_registers_anew_gets_the_calls_that_waited() {
    let mut world = World::new(Limits::default());
    let (a, old) = (world.register(1), world.register(2));
    world.server.unheard(old);
    assert_eq!(world.signal(a, 1, 2), [unreached(a, 2)]);
    let new = world.server.register(world.now(), key(2), route(addr(9)));
    assert!(world.commands().ends_with(&deliver(new, 1, 0)));
}

#[test]
fn a_frame_of_a_silent_client_shows_that_it_is_back() {
    let mut world = World::new(Limits::default());
    let (a, b) = (world.register(1), world.register(2));
    world.server.unheard(b);
    world
        .server
        .handle_frame(world.now(), b, addr(2), ToRelay::KeepAlive);
    world.commands();
    assert_eq!(world.signal(a, 1, 2), deliver(b, 1, 0));
}

#[test]
fn who_is_let_in_no_more_is_closed_and_told_so() {
    let key = |seed: u8| SecretKey::from_seed(&[seed; 32]).id();
    let mut world = World::new(Limits::default());
    let [a, b, c] = [1, 2, 3].map(|seed| world.register(seed));
    world.commands();
    let forbidden = |client| Done::Close {
        client,
        reason: CloseReason::Forbidden,
    };
    world.server.set_access(Access::new([], [key(2)]));
    assert_eq!(world.commands(), [forbidden(b)]);
    world
        .server
        .set_access(Access::new([key(1), key(2)], [key(2)]));
    assert_eq!(world.commands(), [forbidden(c)]);
    let denied = [1, 2, 3].map(|seed| world.server.is_denied(key(seed)));
    assert_eq!(denied, [false, true, false]);
    world.server.set_access(Access::default());
    assert!(world.commands().is_empty());
    assert!(
        world
            .server
            .is_registered_at(world.server.clients[&a].route.remote)
    );
}

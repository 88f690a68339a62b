//! Many callers: who gets through, and who waits.

use super::*;

/// A client of its own for every number; those with the same `network` share an IPv4 address.
impl World {
    fn join(&mut self, number: u32, network: u16) -> ClientId {
        let remote = at(number, network);
        let id = self
            .server
            .register(self.now(), numbered(number), route(remote));
        self.commands();
        id
    }

    /// Calls `to`, and returns what the relay says to the caller.
    fn call(&mut self, (id, number): (ClientId, u32), to: u32) -> Option<GoneReason> {
        let frame = ToRelay::Signal {
            to: numbered(to),
            hidden: false,
            payload: payload(),
        };
        let from = at(number, 0);
        self.server.handle_frame(self.now(), id, from, frame);
        while self.server.poll_command().is_some() {}
        let said = self.written(id);
        said.into_iter().find_map(|done| {
            let Done::Send { frame, .. } = done else {
                return None;
            };
            let ToClient::Gone { reason, .. } = frame else {
                return None;
            };
            Some(reason)
        })
    }

    /// Who is delivered to `id` within so many milliseconds.
    fn heard(&mut self, id: ClientId, ms: u64) -> Vec<PeerId> {
        let mut heard = Vec::new();
        for _ in 0..ms {
            for done in self.written(id) {
                if let Done::Send {
                    frame: ToClient::Deliver { from, .. },
                    ..
                } = done
                {
                    heard.push(from);
                }
            }
            self.wait(1);
        }
        heard
    }

    /// The lane between two, as the first of them uses it.
    fn open_lane(&mut self, from: (u32, u16), to: u32) -> Verdict {
        let channel = Channel::between(numbered(from.0), numbered(to));
        let now = self.now().instant;
        self.server.lane(now, at(from.0, from.1), channel, 1200)
    }
}

fn numbered(number: u32) -> PeerId {
    let mut seed = [77; 32];
    seed[..4].copy_from_slice(&number.to_be_bytes());
    SecretKey::from_seed(&seed).id()
}

fn at(number: u32, network: u16) -> SocketAddr {
    let [high, low] = network.to_be_bytes();
    SocketAddr::from(([10, 0, high, low], 1000 + number as u16))
}

const CALLEE: u32 = 0;
const CALLEES_NETWORK: u16 = 999;

fn called() -> (World, ClientId) {
    let mut world = World::new(Limits::default());
    let callee = world.join(CALLEE, CALLEES_NETWORK);
    (world, callee)
}

/// So many callers, some to a network, of whom the callee answers every one that it hears of.
fn storm(world: &mut World, callee: ClientId, numbers: std::ops::Range<u32>) -> Vec<u64> {
    let start = world.elapsed;
    let callers = numbers.map(|number| (number, (number / 64) as u16));
    let callers: Vec<_> = callers
        .map(|(number, network)| ((world.join(number, network), number), network))
        .collect();
    for (caller, _) in &callers {
        assert_eq!(world.call(*caller, CALLEE), None);
    }
    let mut answered = Vec::new();
    while answered.len() < callers.len() && world.elapsed < start + Duration::from_secs(60) {
        for from in world.heard(callee, 1) {
            let frame = ToRelay::Signal {
                to: from,
                hidden: false,
                payload: payload(),
            };
            let now = world.now();
            let source = at(CALLEE, CALLEES_NETWORK);
            world.server.handle_frame(now, callee, source, frame);
            answered.push((world.elapsed - start).as_millis() as u64);
        }
    }
    for ((_, number), network) in callers {
        let verdict = world.open_lane((number, network), CALLEE);
        assert!(matches!(verdict, Verdict::Forward(_)), "{number}");
    }
    answered
}

#[test]
fn a_thousand_callers_at_once_all_get_through_and_so_do_the_next_thousand() {
    let (mut world, callee) = called();
    for wave in 0..3 {
        let answered = storm(&mut world, callee, wave * 1000 + 1..wave * 1000 + 1001);
        assert_eq!(answered.len(), 1000);
        let p99 = answered[989];
        assert!(p99 <= 2_500, "{p99} ms");
    }
    assert_eq!(world.server.counters().busy, 0);
}

/// 64 keys at each of five addresses, each with a call and some data every while.
fn siege(
    world: &mut World,
    first: u32,
    networks: std::ops::Range<u16>,
) -> Vec<(ClientId, u32, u16)> {
    let mut number = first;
    let mut hostile = Vec::new();
    for network in networks {
        for _ in 0..64 {
            hostile.push((world.join(number, network), number, network));
            number += 1;
        }
    }
    hostile
}

#[test]
fn hostile_keys_that_keep_their_channels_in_use_do_not_keep_others_out() {
    let limits = Limits {
        waiting_per_client: 256,
        ..Limits::default()
    };
    let mut world = World::new(limits);
    let callee = world.join(CALLEE, CALLEES_NETWORK);
    let hostile = siege(&mut world, 1, 0..5);
    for round in 0..20 {
        for (id, number, _) in &hostile {
            let _ = world.call((*id, *number), CALLEE);
        }
        for (_, number, network) in &hostile {
            world.open_lane((*number, *network), CALLEE);
        }
        let caller = (world.join(5000 + round, 100), 5000 + round);
        assert_eq!(world.call(caller, CALLEE), None, "round {round}");
        let heard = world.heard(callee, 2000);
        assert!(heard.contains(&numbered(caller.1)), "round {round}");
        world.wait(18_000);
    }
}

#[test]
fn who_calls_in_numbers_waits_for_themselves() {
    let (mut world, callee) = called();
    world.heard(callee, 1000);
    let hostile = siege(&mut world, 1, 0..5);
    for _ in 0..40 {
        for (id, number, _) in &hostile {
            let _ = world.call((*id, *number), CALLEE);
        }
    }
    let caller = (world.join(5000, 100), 5000);
    assert_eq!(world.call(caller, CALLEE), None);
    let heard = world.heard(callee, 1000);
    let turn = heard.iter().position(|from| *from == numbered(5000));
    assert!(turn.is_some_and(|turn| turn < 200), "{turn:?}");
    assert!(heard.len() < 700, "{} in the first second", heard.len());
}

#[test]
fn a_pair_signals_ten_times_a_second_and_no_more() {
    let (mut world, callee) = called();
    let caller = (world.join(1, 1), 1);
    let mut heard = 0;
    for _ in 0..200 {
        for _ in 0..31 {
            assert_eq!(world.call(caller, CALLEE), None);
        }
        heard += world.heard(callee, 10).len();
    }
    assert!((55..=65).contains(&heard), "{heard}");
    assert!(world.server.counters().signals_dropped > 6_000);
}

#[test]
fn data_of_a_caller_is_let_through_as_far_as_a_handshake_takes_until_it_is_answered() {
    let (mut world, callee) = called();
    let caller = (world.join(1, 1), 1);
    world.call(caller, CALLEE);
    let send = |world: &mut World| {
        let sent = (0..1000).filter(|_| world.open_lane((1, 1), CALLEE) != Verdict::Drop);
        sent.count()
    };
    let early = send(&mut world);
    assert!((20..40).contains(&early), "{early}");
    let frame = ToRelay::Signal {
        to: numbered(1),
        hidden: false,
        payload: payload(),
    };
    let now = world.now();
    let source = at(CALLEE, CALLEES_NETWORK);
    world.server.handle_frame(now, callee, source, frame);
    assert_eq!(send(&mut world), 1000);
}

#[test]
fn strangers_share_what_of_their_data_reaches_a_client() {
    let (mut world, _) = called();
    let hostile = siege(&mut world, 1, 0..5);
    for (id, number, _) in &hostile {
        world.call((*id, *number), CALLEE);
    }
    let mut passed = 0;
    for _ in 0..50 {
        for (_, number, network) in &hostile {
            passed += usize::from(world.open_lane((*number, *network), CALLEE) != Verdict::Drop);
        }
        world.wait(20);
    }
    let caller = (world.join(5000, 100), 5000);
    world.call(caller, CALLEE);
    for _ in 0..4 {
        let verdict = world.open_lane((5000, 100), CALLEE);
        assert_ne!(verdict, Verdict::Drop, "the honest caller's first flight");
    }
    let mib = (passed * 1200) as f64 / f64::from(1 << 20);
    assert!(mib < 2.8, "{mib:.1} MiB in the first second");
}

#[test]
fn an_answered_channel_never_gives_way_to_callers() {
    let limits = Limits {
        channels: 8,
        waiting_per_client: 4,
        ..Limits::default()
    };
    let mut world = World::new(limits);
    let callee = world.join(CALLEE, CALLEES_NETWORK);
    let friends: Vec<_> = (1..=3)
        .map(|number| (world.join(number, number as u16), number))
        .collect();
    for friend in &friends {
        assert_eq!(world.call(*friend, CALLEE), None);
        let answer = world.call((callee, CALLEE), friend.1);
        assert_eq!(answer, None);
    }
    world.wait(30_000);
    let mut busy = 0;
    for number in 10..40 {
        let caller = (world.join(number, number as u16), number);
        busy += usize::from(world.call(caller, CALLEE) == Some(GoneReason::Busy));
    }
    assert_eq!(busy, 26, "four wait, one of each network");
    for (_, number) in friends {
        let verdict = world.open_lane((number, number as u16), CALLEE);
        assert!(matches!(verdict, Verdict::Forward(_)));
    }
    world.wait(15_000);
    let late = (world.join(99, 99), 99);
    assert_eq!(world.call(late, CALLEE), None, "those who waited are gone");
    assert_eq!(world.server.channels(), 4);
}

#[test]
fn channels_count_against_who_opened_them() {
    let limits = Limits {
        channels_per_client: 2,
        ..Limits::default()
    };
    let mut world = World::new(limits);
    let caller = (world.join(1, 1), 1);
    let others: Vec<_> = (2..9)
        .map(|number| (world.join(number, number as u16), number))
        .collect();
    assert_eq!(world.call(caller, 2), None);
    assert_eq!(world.call(caller, 3), None);
    assert_eq!(world.call(caller, 4), Some(GoneReason::Busy));
    for other in &others[3..] {
        assert_eq!(
            world.call(*other, 1),
            None,
            "it may be called by any number"
        );
    }
    world.wait(15_000);
    assert_eq!(world.call(caller, 4), None, "nobody answered the others");
}

#[test]
fn an_answered_channel_that_is_long_unused_gives_way_and_one_in_use_does_not() {
    let limits = Limits {
        channels_per_client: 2,
        ..Limits::default()
    };
    let mut world = World::new(limits);
    let caller = (world.join(1, 1), 1);
    for number in 2..4 {
        let other = (world.join(number, number as u16), number);
        world.call(caller, number);
        world.call(other, 1);
    }
    world.join(4, 4);
    world.wait(59_000);
    assert!(matches!(world.open_lane((1, 1), 2), Verdict::Forward(_)));
    assert_eq!(world.call(caller, 4), Some(GoneReason::Busy));
    world.wait(1_000);
    assert_eq!(world.call(caller, 4), None);
    assert!(matches!(world.open_lane((1, 1), 2), Verdict::Forward(_)));
    assert!(matches!(world.open_lane((1, 1), 3), Verdict::Hold(_)));
}

#[test]
fn calls_that_wait_survive_a_move_of_the_callee() {
    let (mut world, callee) = called();
    let _ = storm(&mut world, callee, 1..400);
    let caller = (world.join(5000, 100), 5000);
    for number in 6000..6400 {
        let other = (world.join(number, 200), number);
        world.call(other, CALLEE);
    }
    world.call(caller, CALLEE);
    let moved = world.join(CALLEE, 500);
    let heard = world.heard(moved, 2000);
    assert!(heard.contains(&numbered(5000)));
    assert_eq!(world.server.call_bytes.total(), 0);
}

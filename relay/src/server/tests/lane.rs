//! What waits on the lane, and whose turn it is.

use super::*;

/// Datagrams of this length come in batches of ten.
const DATAGRAM: usize = 1_000;
const BATCH: usize = 10 * DATAGRAM;

/// What arrived, and when it had been sent.
struct Arrival {
    to: SocketAddr,
    bytes: usize,
    age: Duration,
}

impl World {
    /// Two clients that have answered each other.
    fn pair(&mut self, a: u8, b: u8) {
        let ids = [a, b].map(|seed| self.register(seed));
        self.signal(ids[0], a, b);
        self.signal(ids[1], b, a);
    }

    /// A batch of `len` bytes comes from `from`; what arrives of it at once.
    fn batch(&mut self, from: u8, to: u8, len: usize) -> Option<Arrival> {
        self.batch_from(addr(from), channel(from, to), len)
    }

    fn batch_from(&mut self, src: SocketAddr, channel: Channel, len: usize) -> Option<Arrival> {
        let now = self.now();
        match self.server.lane(now.instant, src, channel, len) {
            Verdict::Forward(to) => Some(Arrival {
                to: to.remote,
                bytes: len,
                age: Duration::ZERO,
            }),
            Verdict::Wait(client) => {
                let mut bytes = vec![0; len];
                for datagram in bytes.chunks_mut(DATAGRAM) {
                    datagram[..8].copy_from_slice(&now.unix_ms.to_be_bytes());
                }
                let datagrams = Datagrams {
                    ecn: None,
                    stride: DATAGRAM,
                    bytes: bytes.into(),
                };
                self.server.wait(now.instant, client, channel, datagrams);
                None
            }
            Verdict::Hold(_) | Verdict::Drop => None,
        }
    }

    /// What of that which waited arrives now.
    fn arrivals(&mut self) -> Vec<Arrival> {
        let now = self.now();
        let due = std::iter::from_fn(|| match self.server.poll_lane(now.instant) {
            Due::Now(to, datagrams) => {
                let sent = datagrams.bytes[..8].try_into().map(u64::from_be_bytes);
                Some(Arrival {
                    to: to.remote,
                    bytes: datagrams.bytes.len(),
                    age: Duration::from_millis(now.unix_ms - sent.unwrap()),
                })
            }
            Due::At(time) => {
                assert!(time > now.instant, "it would be asked for ever");
                None
            }
            Due::Nothing => None,
        });
        due.collect()
    }

    /// For `ms`, each of these pairs sends so many batches every millisecond. All that arrives.
    fn flood(&mut self, ms: u64, pairs: &[(u8, u8, usize)]) -> Vec<Arrival> {
        let mut arrived = Vec::new();
        for _ in 0..ms {
            for &(from, to, batches) in pairs {
                for _ in 0..batches {
                    arrived.extend(self.batch(from, to, BATCH));
                }
            }
            arrived.extend(self.arrivals());
            self.wait(1);
        }
        arrived
    }
}

fn at(arrived: &[Arrival], seed: u8) -> usize {
    let there = arrived.iter().filter(|it| it.to == addr(seed));
    there.map(|it| it.bytes).sum()
}

fn limits(lane: Option<u64>, client: u64, pair: u64) -> Limits {
    Limits {
        lane_rate: lane.map(Rate::bytes_per_second),
        client_rate: Rate::bytes_per_second(client),
        pair_rate: Rate::bytes_per_second(pair),
        ..Limits::default()
    }
}

#[test]
fn what_is_beyond_a_rate_for_a_moment_arrives_later_and_whole() {
    let slow = 10_000_000;
    for limits in [
        limits(None, slow, u64::MAX),
        limits(None, u64::MAX, slow),
        limits(Some(slow), u64::MAX, u64::MAX),
    ] {
        let mut world = World::new(limits);
        world.pair(1, 2);
        // 600 kB within a millisecond.
        let mut arrived: Vec<_> = (0..60).filter_map(|_| world.batch(1, 2, BATCH)).collect();
        assert!(at(&arrived, 2) <= 120_000, "a burst of 10 ms");
        while at(&arrived, 2) < 60 * BATCH {
            world.wait(1);
            arrived.extend(world.arrivals());
        }
        let took = world.elapsed.as_millis();
        assert!((48..=52).contains(&took), "{took} ms");
        assert_eq!(world.server.counters().over_budget_bytes, 0);
        assert!(world.server.backlog.is_empty());
    }
}

#[test]
fn who_sends_too_much_for_long_gets_its_rate_and_what_arrives_is_young() {
    let mut world = World::new(limits(None, u64::MAX, 10_000_000));
    world.pair(1, 2);
    world.flood(500, &[(1, 2, 3)]);
    let arrived = world.flood(1_000, &[(1, 2, 3)]);
    let bytes = at(&arrived, 2);
    assert!((9_900_000..=10_100_000).contains(&bytes), "{bytes}");
    let oldest = arrived.iter().map(|it| it.age).max().unwrap();
    assert!(oldest <= Duration::from_millis(102), "{oldest:?}");
    assert!(world.server.counters().over_budget_bytes > 25_000_000);
}

#[test]
fn who_fills_the_lane_can_signal_all_the_same() {
    let mut world = World::new(limits(None, 1_000_000, u64::MAX));
    world.pair(1, 2);
    let third = world.register(3);
    world.flood(500, &[(1, 2, 3)]);
    let first = world.server.by_key[&key(1)];
    assert_eq!(world.signal(first, 1, 3), deliver(third, 1, 500));
}

#[test]
fn both_directions_of_a_pair_share_its_rate_and_neither_is_held_up_by_the_other() {
    let mut world = World::new(limits(None, u64::MAX, 10_000_000));
    world.pair(1, 2);
    world.flood(200, &[(1, 2, 3)]);
    // A little back, as of acknowledgements.
    let mut latest = Duration::ZERO;
    for _ in 0..100 {
        let mut back: Vec<_> = world.batch(2, 1, DATAGRAM).into_iter().collect();
        back.extend(world.flood(10, &[(1, 2, 3)]));
        let back = back.iter().filter(|it| it.to == addr(1));
        latest = latest.max(back.map(|it| it.age).max().expect("it arrives"));
    }
    assert!(latest <= Duration::from_millis(4), "{latest:?}");
}

#[test]
fn networks_share_a_short_line_equally_whatever_they_send_and_under_however_many_keys() {
    let mut world = World::new(limits(Some(10_000_000), u64::MAX, u64::MAX));
    // Three keys at one address, the fourth at another.
    let sources =
        [(1, 1), (1, 3), (1, 5), (7, 1)].map(|(seed, port)| (addr(seed).ip(), port).into());
    for (index, src) in sources.into_iter().enumerate() {
        let (from, to) = (index as u8 * 2 + 1, index as u8 * 2 + 2);
        let sender = world.register_at(from, src);
        let receiver = world.register_at(to, addr(100 + to));
        world.signal(sender, from, to);
        world.signal(receiver, to, from);
    }
    let mut arrived = Vec::new();
    for ms in 0..1_200 {
        for (index, src) in sources.into_iter().enumerate() {
            let channel = channel(index as u8 * 2 + 1, index as u8 * 2 + 2);
            arrived.extend((0..1 + index).filter_map(|_| world.batch_from(src, channel, BATCH)));
        }
        arrived.extend(world.arrivals());
        if ms == 200 {
            arrived.clear();
        }
        world.wait(1);
    }
    let parts = [102, 104, 106, 108].map(|seed| at(&arrived, seed) / 10_000);
    let total: usize = parts.iter().sum();
    assert!((980..=1_010).contains(&total), "{total}");
    assert!((480..=520).contains(&parts[3]), "{parts:?}");
    for part in &parts[..3] {
        assert!((150..=180).contains(part), "{parts:?}");
    }
}

#[test]
fn a_pair_that_sends_little_is_not_held_up_by_one_that_floods() {
    let mut world = World::new(limits(Some(10_000_000), u64::MAX, u64::MAX));
    world.pair(1, 2);
    world.pair(3, 4);
    world.flood(200, &[(1, 2, 5)]);
    let arrived = world.flood(1_000, &[(1, 2, 5), (3, 4, 0)]);
    assert!((9_900_000..=10_100_000).contains(&at(&arrived, 2)));
    let mut latest = Duration::ZERO;
    for _ in 0..100 {
        let mut little: Vec<_> = world.batch(3, 4, DATAGRAM).into_iter().collect();
        little.extend(world.flood(10, &[(1, 2, 5)]));
        let little = little.iter().filter(|it| it.to == addr(4));
        latest = latest.max(little.map(|it| it.age).max().expect("it arrives"));
    }
    // A turn of the other's, at this rate.
    assert!(latest <= Duration::from_millis(4), "{latest:?}");
}

#[test]
fn a_rate_that_is_less_than_a_datagram_lets_one_go_after_the_other() {
    let mut world = World::new(limits(None, u64::MAX, 1_000));
    world.pair(1, 2);
    let arrived = world.flood(10_000, &[(1, 2, 1)]);
    assert!((10_000..=40_000).contains(&at(&arrived, 2)));
}

#[test]
fn what_waits_for_somebody_who_left_is_dropped() {
    let mut world = World::new(limits(None, u64::MAX, 10_000));
    world.pair(1, 2);
    world.flood(10, &[(1, 2, 2)]);
    let client = world.server.by_key[&key(2)];
    world.server.unregister(client);
    world.wait(10_000);
    assert!(world.arrivals().is_empty());
    assert!(world.server.backlog.is_empty());
    assert_eq!(world.server.counters().over_budget_bytes, 19 * BATCH as u64);
}

#[test]
fn rates_that_change_hold_at_once_for_who_is_there() {
    let slow = Rate::bytes_per_second(10_000);
    let fast = Rate::mib_per_second(64);
    for (lane, client, pair) in [
        (Some(slow), fast, fast),
        (None, slow, fast),
        (None, fast, slow),
    ] {
        let mut world = World::new(Limits::default());
        world.pair(1, 2);
        let second = |world: &mut World| {
            world.wait(60_000);
            at(&world.flood(1_000, &[(1, 2, 1)]), 2)
        };
        assert_eq!(second(&mut world), 1_000 * BATCH);
        world.server.set_rates(lane, client, pair);
        let slowed = second(&mut world);
        assert!(slowed <= 30_000, "{slowed}");
        world.server.set_rates(None, fast, fast);
        assert!(second(&mut world) >= 990 * BATCH);
    }
}

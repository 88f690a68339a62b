//! What an access line does to packets: loss, a queue before its rate, and delay. The thread that holds them is in
//! [`hop`].

mod hop;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use rand::{Rng as _, rngs::StdRng};

pub(super) use self::hop::{FIRST_IFINDEX, Hop};

/// What a home's access line does to packets, in each direction: first some are lost at random, then they queue for its
/// rate, then they take its delay.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Line {
    /// One-way delay. Two homes with 20 ms each are 80 ms of round trip apart.
    pub delay: Duration,
    /// Share of packets lost at random, from 0 to 1.
    pub loss: f64,
    /// What limits its rate; none for as fast as the computer is.
    pub bottleneck: Option<Bottleneck>,
}

impl Line {
    /// A line without loss or limit.
    pub const fn delayed(delay: Duration) -> Self {
        Self {
            delay,
            loss: 0.0,
            bottleneck: None,
        }
    }
}

/// The slowest link of a line, with a drop-tail queue before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a queue is known by its rate and its length"
)]
pub struct Bottleneck {
    /// Bits per second, IP headers included.
    pub rate: u64,
    /// Bytes that may be in the queue, the packet under way included. One packet always may.
    pub queue: u64,
}

/// What happened to the packets of a line so far. Batches that the kernel made count as the packets they are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// From the home to the internet.
    pub up: Counters,
    /// From the internet to the home.
    pub down: Counters,
}

/// The packets of one direction of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// That were sent into it.
    pub packets: u64,
    /// Of those, the bytes from the IP header on.
    pub bytes: u64,
    /// Of those, lost at random.
    pub lost: u64,
    /// Of those, dropped because the queue was full.
    pub dropped: u64,
}

/// One direction of a line. Time and chance come in, so the same calls give the same fates.
#[derive(Debug, Default)]
struct Direction {
    /// When each packet in the queue will have left it, and its bytes.
    queue: VecDeque<(Instant, u64)>,
    backlog: u64,
    counters: Counters,
}

impl Direction {
    /// A packet enters; `now` never goes back. Says when it reaches the far end, if it does.
    fn enter(
        &mut self,
        line: &Line,
        now: Instant,
        bytes: u64,
        random: &mut StdRng,
    ) -> Option<Instant> {
        self.counters.packets += 1;
        self.counters.bytes += bytes;
        if line.loss > 0.0 && random.random_bool(line.loss.min(1.0)) {
            self.counters.lost += 1;
            return None;
        }
        match line.bottleneck {
            None => Some(now + line.delay),
            Some(bottleneck) => Some(self.queue_for(bottleneck, now, bytes)? + line.delay),
        }
    }

    /// When the packet will have left the queue, unless it is full.
    fn queue_for(&mut self, bottleneck: Bottleneck, now: Instant, bytes: u64) -> Option<Instant> {
        while let Some((left, bytes)) = self.queue.front().copied()
            && left <= now
        {
            self.queue.pop_front();
            self.backlog -= bytes;
        }
        if self.backlog > 0 && self.backlog + bytes > bottleneck.queue {
            self.counters.dropped += 1;
            return None;
        }
        let free = self.queue.back().map_or(now, |(left, _)| *left);
        let on_the_wire = bytes.saturating_mul(8_000_000_000) / bottleneck.rate.max(1);
        let left = free + Duration::from_nanos(on_the_wire);
        self.queue.push_back((left, bytes));
        self.backlog += bytes;
        Some(left)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    /// 1,000 bytes take a millisecond, and three fit.
    const SLOW: Line = Line {
        delay: Duration::from_millis(20),
        loss: 0.0,
        bottleneck: Some(Bottleneck {
            rate: 8_000_000,
            queue: 3_000,
        }),
    };

    #[expect(
        clippy::disallowed_methods,
        reason = "instants have no other beginning; the test only adds to it"
    )]
    fn start() -> Instant {
        Instant::now()
    }

    /// When packets of 1,000 bytes that enter at these milliseconds arrive, in milliseconds.
    fn arrivals(line: &Line, entered: &[u32]) -> Vec<Option<u128>> {
        let (mut direction, mut random) = (Direction::default(), StdRng::seed_from_u64(1));
        let start = start();
        let mut enter = |at: &u32| direction.enter(line, start + *at * MS, 1_000, &mut random);
        let arrive = entered.iter().map(&mut enter);
        arrive
            .map(|at| at.map(|at| (at - start).as_millis()))
            .collect()
    }

    #[test]
    fn without_a_bottleneck_packets_take_the_delay_alone() {
        let line = Line::delayed(20 * MS);
        assert_eq!(arrivals(&line, &[0, 0, 5]), [Some(20), Some(20), Some(25)]);
    }

    #[test]
    fn packets_follow_each_other_at_the_rate_and_a_full_queue_drops_the_last() {
        let (kept, dropped) = ([21, 22, 23].map(Some), None);
        let [first, second, third] = kept;
        // After 2 ms two have left, and two more fit.
        assert_eq!(
            arrivals(&SLOW, &[0, 0, 0, 0, 2, 2, 2]),
            [first, second, third, dropped, Some(24), Some(25), dropped]
        );
    }

    #[test]
    fn a_queue_shorter_than_a_packet_holds_one() {
        let line = Line {
            bottleneck: Some(Bottleneck {
                rate: 8_000_000,
                queue: 10,
            }),
            ..SLOW
        };
        assert_eq!(arrivals(&line, &[0, 0, 1]), [Some(21), None, Some(22)]);
    }

    #[test]
    fn what_waits_leaves_at_the_old_rate_when_the_rate_changes() {
        let (mut direction, mut random) = (Direction::default(), StdRng::seed_from_u64(1));
        let start = start();
        let mut enter = |rate| {
            let bottleneck = Bottleneck { rate, queue: 9_000 };
            let line = Line {
                bottleneck: Some(bottleneck),
                ..Line::default()
            };
            direction.enter(&line, start, 1_000, &mut random)
        };
        assert_eq!(enter(8_000_000), Some(start + MS));
        assert_eq!(enter(800_000), Some(start + 11 * MS));
    }

    #[test]
    fn packets_are_lost_at_the_lines_share_and_all_are_counted() {
        let line = Line {
            loss: 0.25,
            ..Line::default()
        };
        let (mut direction, mut random) = (Direction::default(), StdRng::seed_from_u64(1));
        let start = start();
        let kept =
            (0..10_000).filter(|_| direction.enter(&line, start, 100, &mut random).is_some());
        let lost = 10_000 - kept.count() as u64;
        assert!((2_300..2_700).contains(&lost), "{lost} of 10,000");
        let counters = Counters {
            packets: 10_000,
            bytes: 1_000_000,
            lost,
            dropped: 0,
        };
        assert_eq!(direction.counters, counters);
    }
}

//! What waits to be sent to a peer, flow by flow: bounded, the oldest dropped, none at another's cost.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

/// What a lane may send before the next has its turn: a largest packet.
const TURN: usize = 64 << 10;

/// The lanes of a peer; flows share one where their hashes meet.
#[derive(Debug)]
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    bytes: usize,
    limit: Limit,
    /// Lanes that have something and wait for their turn.
    turns: VecDeque<usize>,
}

#[derive(Debug, Default)]
struct Lane {
    packets: VecDeque<(Instant, Bytes)>,
    bytes: usize,
    /// What it may still send in this turn.
    credit: usize,
    has_turn: bool,
}

/// What may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    /// In all lanes.
    pub(super) bytes: usize,
    /// A packet that is older is dropped, if another waits behind it.
    pub(super) age: Duration,
}

impl Lanes {
    pub(super) fn new(lanes: usize, limit: Limit) -> Self {
        Self {
            lanes: (0..lanes.max(1)).map(|_| Lane::default()).collect(),
            bytes: 0,
            limit,
            turns: VecDeque::new(),
        }
    }

    /// The lane of a flow.
    pub(super) fn lane(&self, flow: u64) -> usize {
        // Fewer lanes than a usize counts.
        (flow % self.lanes.len() as u64) as usize
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Gives how many packets were dropped for it: the oldest of whoever has most waiting.
    pub(super) fn push(&mut self, lane: usize, packet: Bytes, now: Instant) -> u64 {
        let Some(own) = self.lanes.get_mut(lane) else {
            return 1;
        };
        self.bytes += packet.len();
        own.bytes += packet.len();
        own.packets.push_back((now, packet));
        if !own.has_turn {
            own.has_turn = true;
            self.turns.push_back(lane);
        }
        let mut dropped = 0;
        while self.bytes > self.limit.bytes {
            let longest = (0..self.lanes.len()).max_by_key(|at| self.lanes[*at].bytes);
            if longest.and_then(|lane| self.take(lane)).is_none() {
                break;
            }
            dropped += 1;
        }
        dropped
    }

    /// The next packet of a lane, and how many were dropped before it.
    pub(super) fn pop(&mut self, lane: usize, now: Instant) -> (Option<Bytes>, u64) {
        let mut dropped = 0;
        loop {
            let Some((since, packet)) = self.take(lane) else {
                return (None, dropped);
            };
            let is_last = self.lanes[lane].packets.is_empty();
            if is_last || now.duration_since(since) <= self.limit.age {
                return (Some(packet), dropped);
            }
            dropped += 1;
        }
    }

    /// The next packet of the lane whose turn it is, and how many were dropped before it.
    pub(super) fn next(&mut self, now: Instant) -> (Option<Bytes>, u64) {
        let mut dropped = 0;
        while let Some(lane) = self.turns.front().copied() {
            let (packet, late) = self.pop(lane, now);
            dropped += late;
            let own = &mut self.lanes[lane];
            let Some(packet) = packet else {
                (own.has_turn, own.credit) = (false, 0);
                self.turns.pop_front();
                continue;
            };
            if own.credit == 0 {
                own.credit = TURN;
            }
            own.credit = own.credit.saturating_sub(packet.len());
            if own.credit == 0 {
                self.turns.rotate_left(1);
            }
            return (Some(packet), dropped);
        }
        (None, dropped)
    }

    fn take(&mut self, lane: usize) -> Option<(Instant, Bytes)> {
        let own = self.lanes.get_mut(lane)?;
        let (since, packet) = own.packets.pop_front()?;
        own.bytes -= packet.len();
        self.bytes -= packet.len();
        Some((since, packet))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit {
        bytes: 10_000,
        age: Duration::from_millis(100),
    };

    fn packet(byte: u8) -> Bytes {
        vec![byte; 1000].into()
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_of_whoever_has_most_gives_way() {
        let (mut lanes, now) = (Lanes::new(4, LIMIT), Instant::now());
        assert_eq!(lanes.push(1, packet(100), now), 0);
        let dropped: u64 = (0..50).map(|byte| lanes.push(2, packet(byte), now)).sum();
        assert_eq!((dropped, lanes.bytes), (41, 10_000));
        assert_eq!(lanes.pop(1, now).0, Some(packet(100)));
        assert_eq!(lanes.pop(2, now).0, Some(packet(41)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_waited_too_long_is_dropped_unless_it_is_all_there_is() {
        let (mut lanes, now) = (Lanes::new(1, LIMIT), Instant::now());
        lanes.push(0, packet(1), now);
        lanes.push(0, packet(2), now);
        let later = now + LIMIT.age * 2;
        lanes.push(0, packet(3), later);
        assert_eq!(lanes.pop(0, later), (Some(packet(3)), 2));
        lanes.push(0, packet(4), now);
        assert_eq!(lanes.next(later), (Some(packet(4)), 0));
        assert_eq!(lanes.next(later), (None, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_flow_waits_for_one_turn_of_a_large_one_at_most() {
        let limit = Limit {
            bytes: 1 << 20,
            ..LIMIT
        };
        let (mut lanes, now) = (Lanes::new(2, limit), Instant::now());
        for _ in 0..500 {
            lanes.push(0, packet(0), now);
        }
        lanes.next(now);
        lanes.push(1, packet(1), now);
        let before = (0..500)
            .take_while(|_| lanes.next(now).0 != Some(packet(1)))
            .count();
        assert!(before <= TURN / 1000 + 1, "{before}");
    }
}

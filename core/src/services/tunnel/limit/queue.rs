//! Whose turn it is to send at a bounded rate: [`Queue`]. Pure: the time comes in.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    PeerId,
    services::{Rate, bucket::Bucket},
};

/// Peers that want nothing just now, of which is known what they had.
const REMEMBERED: usize = 256;

/// What peers want to send, and who has had least of what there was (start-time fair queueing, by peer): whoever comes begins with as
/// much as the one has had whose turn it is.
#[derive(Debug)]
pub(super) struct Queue {
    bucket: Bucket,
    peers: BTreeMap<PeerId, Peer>,
    /// Those that want something, by what they have had.
    order: BTreeSet<(u64, PeerId)>,
    /// What the one had whose turn it was.
    had: u64,
    next: u64,
}

#[derive(Debug, Default)]
struct Peer {
    had: u64,
    wants: VecDeque<Want>,
}

#[derive(Debug)]
struct Want {
    id: u64,
    len: usize,
}

impl Queue {
    pub(super) fn new(rate: Rate, burst: Duration, now: Instant) -> Self {
        let rate = rate.bytes_per_second();
        let most = (f64::from(rate) * burst.as_secs_f64()) as u32;
        Self {
            bucket: Bucket::new(rate, most, now.into_std()),
            peers: BTreeMap::new(),
            order: BTreeSet::new(),
            had: 0,
            next: 0,
        }
    }

    /// A peer wants to send so much; what its leave will be called.
    pub(super) fn want(&mut self, peer: PeerId, len: usize) -> u64 {
        if self.peers.len() > self.order.len() + REMEMBERED {
            self.peers.retain(|_, peer| !peer.wants.is_empty());
        }
        let id = self.next;
        self.next += 1;
        let wanting = self.peers.entry(peer).or_default();
        if wanting.wants.is_empty() {
            wanting.had = wanting.had.max(self.had);
            self.order.insert((wanting.had, peer));
        }
        wanting.wants.push_back(Want { id, len });
        id
    }

    /// It wants that no more.
    pub(super) fn withdraw(&mut self, peer: PeerId, id: u64) {
        if let Some(wanting) = self.peers.get_mut(&peer) {
            wanting.wants.retain(|want| want.id != id);
            if wanting.wants.is_empty() {
                self.order.remove(&(wanting.had, peer));
            }
        }
    }

    /// Gives leave, in this order.
    pub(super) fn poll(&mut self, now: Instant) -> Vec<u64> {
        let mut leave = Vec::new();
        while self.bucket.wait(now.into_std()).is_zero()
            && let Some((had, peer)) = self.order.pop_first()
        {
            self.had = had;
            let Some(wanting) = self.peers.get_mut(&peer) else {
                continue;
            };
            if let Some(want) = wanting.wants.pop_front() {
                wanting.had += want.len as u64;
                self.bucket.take(want.len, now.into_std());
                leave.push(want.id);
            }
            if !wanting.wants.is_empty() {
                self.order.insert((wanting.had, peer));
            }
        }
        leave
    }

    /// How long until there is more leave; none if nobody wants any.
    pub(super) fn pause(&mut self, now: Instant) -> Option<Duration> {
        let wait = self.bucket.wait(now.into_std());
        (!self.order.is_empty()).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    fn peer(seed: u8) -> PeerId {
        SecretKey::from_seed(&[seed; 32]).id()
    }

    /// Of 1 MB a second, for ten seconds: what peers got that always want so many pieces of a length.
    fn served(peers: &[(usize, usize)]) -> Vec<usize> {
        let start = Instant::now();
        let mut queue = Queue::new("8mbit".parse().unwrap(), Duration::ZERO, start);
        let mut of = BTreeMap::new();
        for (at, (len, wants)) in peers.iter().enumerate() {
            for _ in 0..*wants {
                of.insert(queue.want(peer(at as u8), *len), (at, *len));
            }
        }
        let mut got = vec![0; peers.len()];
        for ms in 0..10_000 {
            for id in queue.poll(start + Duration::from_millis(ms)) {
                let (at, len) = of.remove(&id).unwrap();
                got[at] += len;
                of.insert(queue.want(peer(at as u8), len), (at, len));
            }
        }
        got
    }

    #[tokio::test(start_paused = true)]
    async fn who_wants_more_or_in_larger_pieces_gets_no_more() {
        let got = served(&[(60_000, 1), (1000, 1), (60_000, 40)]);
        let all: usize = got.iter().sum();
        assert!((9_900_000..10_200_000).contains(&all), "{got:?}");
        let (least, most) = (got.iter().min().unwrap(), got.iter().max().unwrap());
        assert!(most - least <= 2 * 60_000, "{got:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_late_has_its_part_at_once_and_makes_up_for_nothing() {
        let start = Instant::now();
        let mut queue = Queue::new("8mbit".parse().unwrap(), Duration::ZERO, start);
        for _ in 0..1000 {
            queue.want(peer(1), 10_000);
        }
        for ms in 0..2000 {
            queue.poll(start + Duration::from_millis(ms));
        }
        let late: BTreeSet<_> = (0..100).map(|_| queue.want(peer(2), 10_000)).collect();
        let leave: Vec<_> = (2000..3000)
            .flat_map(|ms| queue.poll(start + Duration::from_millis(ms)))
            .collect();
        assert!(leave.iter().take(3).any(|id| late.contains(id)));
        let theirs = leave.iter().filter(|id| late.contains(id)).count();
        assert!((48..=52).contains(&theirs), "{theirs} of {}", leave.len());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_withdrawn_takes_nothing_and_nothing_is_kept_of_who_comes_once() {
        let start = Instant::now();
        let mut queue = Queue::new("8kbit".parse().unwrap(), Duration::ZERO, start);
        queue.want(peer(1), 1000);
        assert_eq!(queue.poll(start).len(), 1);
        let id = queue.want(peer(1), 100_000);
        let kept = queue.want(peer(2), 1000);
        queue.withdraw(peer(1), id);
        let second = Duration::from_secs(1);
        assert_eq!(queue.pause(start), Some(second));
        assert_eq!(queue.poll(start + second), [kept]);
        assert_eq!(queue.pause(start + second), None);
        let mut now = start + second;
        for seed in 0..1000_u32 {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&seed.to_be_bytes());
            queue.want(SecretKey::from_seed(&bytes).id(), 1);
            now += second;
            queue.poll(now);
        }
        assert!(queue.peers.len() <= REMEMBERED + 1);
    }
}

//! Kademlia (Maymounkov and Mazières, 2002): a bucket of nodes for each length of the prefix that their ids share with one's own.
//! The Mainline DHT is one, with buckets of 8.

use std::{collections::BTreeSet, ops::Bound, time::Duration};

use rand::{Rng, rngs::StdRng, seq::IteratorRandom};

use super::table::{Answer, Id, Table, Upkeep};

/// Nodes in a bucket, and in an answer.
const K: usize = 20;
/// Nodes that are known besides, to take a lost one's place.
const SPARE: usize = 20;
/// A bucket that nobody was heard of for so long is searched (BEP 5).
const STALE: Duration = Duration::from_secs(15 * 60);

#[derive(Clone, Default)]
struct Bucket {
    /// Who was heard last is at the end.
    nodes: Vec<Id>,
    spare: Vec<Id>,
    stale_at: Duration,
}

pub(crate) struct Kademlia {
    me: Id,
    /// By the bits that their ids share with one's own.
    buckets: Vec<Bucket>,
    has_joined: bool,
}

impl Kademlia {
    fn bucket(&mut self, peer: Id) -> Option<&mut Bucket> {
        let at = (self.me ^ peer).leading_zeros() as usize;
        self.buckets.get_mut(at)
    }

    fn heard(&mut self, peer: Id, now: Duration) {
        let Some(bucket) = self.bucket(peer) else {
            return;
        };
        bucket.stale_at = now + STALE;
        bucket.spare.retain(|it| *it != peer);
        let is_known = bucket.nodes.contains(&peer);
        if is_known || bucket.nodes.len() < K {
            bucket.nodes.retain(|it| *it != peer);
            bucket.nodes.push(peer);
        } else {
            // Who has been there for long stays: it will be there longer than who came just now.
            bucket.spare.push(peer);
            if bucket.spare.len() > SPARE {
                bucket.spare.remove(0);
            }
        }
    }

    /// A key whose nodes belong into this bucket.
    fn key_in(&self, bucket: usize, rng: &mut StdRng) -> Id {
        let flipped = 1 << (63 - bucket);
        let low = rng.random::<u64>() & (flipped - 1);
        (self.me & !(flipped - 1) ^ flipped) | low
    }

    /// Below it there is hardly anybody.
    fn deepest(&self) -> usize {
        let deepest = self.buckets.iter().rposition(|it| !it.nodes.is_empty());
        deepest.unwrap_or(0)
    }
}

impl Table for Kademlia {
    const NAME: &'static str = "Kademlia";
    const WIDTH: usize = 3;
    const ASKED: usize = K;
    const UPKEEP: Duration = Duration::from_secs(60);

    fn goal(nodes: f64) -> f64 {
        nodes.log(16.0) + 2.0
    }

    fn distance(key: Id, node: Id) -> u64 {
        key ^ node
    }

    fn rank(key: Id, node: Id) -> u64 {
        key ^ node
    }

    fn new(me: Id, _: Duration) -> Self {
        Self {
            me,
            buckets: vec![Bucket::default(); 64],
            has_joined: false,
        }
    }

    fn settled(me: Id, all: &BTreeSet<Id>, rng: &mut StdRng) -> Self {
        let mut kademlia = Self::new(me, Duration::ZERO);
        kademlia.has_joined = true;
        for (at, bucket) in kademlia.buckets.iter_mut().enumerate() {
            let width = 1 << (63 - at);
            let first = (me & !(width - 1)) ^ width;
            let range = (Bound::Included(first), Bound::Included(first | (width - 1)));
            bucket.nodes = all.range(range).copied().choose_multiple(rng, K);
            // They were not all filled at once.
            bucket.stale_at = STALE.mul_f64(rng.random());
        }
        kademlia
    }

    fn answer(&self, key: Id, _: Duration) -> Answer {
        let mut closer: Vec<_> = self
            .buckets
            .iter()
            .flat_map(|it| &it.nodes)
            .copied()
            .collect();
        if closer.len() > K {
            closer.select_nth_unstable_by_key(K, |it| it ^ key);
            closer.truncate(K);
        }
        Answer {
            closer,
            around: Vec::new(),
        }
    }

    fn asked_by(&mut self, peer: Id, now: Duration) {
        self.heard(peer, now);
    }

    fn answered(&mut self, peer: Id, _: &Answer, now: Duration) {
        self.heard(peer, now);
    }

    fn lost(&mut self, peer: Id) {
        let Some(bucket) = self.bucket(peer) else {
            return;
        };
        bucket.spare.retain(|it| *it != peer);
        let before = bucket.nodes.len();
        bucket.nodes.retain(|it| *it != peer);
        if bucket.nodes.len() < before
            && let Some(spare) = bucket.spare.pop()
        {
            bucket.nodes.insert(0, spare);
        }
    }

    fn found(&mut self, _: Id, _: Id) {}

    fn upkeep(&mut self, now: Duration, rng: &mut StdRng) -> Vec<Upkeep> {
        let deepest = self.deepest();
        if !self.has_joined {
            if self.len() == 0 {
                return vec![Upkeep::Search(self.me)];
            }
            self.has_joined = true;
            let each = (0..deepest).map(|at| Upkeep::Search(self.key_in(at, rng)));
            return each.collect();
        }
        let stale = (0..=deepest).filter(|at| now >= self.buckets[*at].stale_at);
        let stale: Vec<_> = stale.collect();
        let mut jobs = Vec::new();
        for at in stale {
            self.buckets[at].stale_at = now + STALE;
            jobs.push(Upkeep::Search(self.key_in(at, rng)));
        }
        jobs
    }

    fn len(&self) -> usize {
        self.buckets.iter().map(|it| it.nodes.len()).sum()
    }
}

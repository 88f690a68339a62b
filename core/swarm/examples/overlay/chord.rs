//! Chord (Stoica and others, 2001): a ring on which each node knows those after it, and one at each power of two.

use std::{collections::BTreeSet, time::Duration};

use rand::rngs::StdRng;

use super::table::{Answer, Id, Table, Upkeep};

/// Nodes after it that each node knows: some are left when others die.
const SUCCESSORS: usize = 8;
/// Of the fingers that precede a key so many are told.
const TOLD: usize = 3;
/// The paper's stabilisation, whose answer is also the proof that the one before lives.
const STABILISE: Duration = Duration::from_secs(15);
/// One finger is looked up anew each so many stabilisations.
const FINGER_EACH: u32 = 2;

pub(crate) struct Chord {
    me: Id,
    /// Nearest first.
    successors: Vec<Id>,
    predecessor: Option<(Id, Duration)>,
    /// The first node at `me + 2^i` or after.
    fingers: [Option<Id>; 64],
    next: u32,
    rounds: u32,
}

impl Chord {
    /// From here to there, clockwise.
    fn ahead(&self, node: Id) -> u64 {
        node.wrapping_sub(self.me)
    }

    fn successor(all: &BTreeSet<Id>, key: Id) -> Option<Id> {
        all.range(key..).chain(all.iter()).next().copied()
    }

    /// Whoever has not asked for two rounds is gone.
    fn living_predecessor(&self, now: Duration) -> Option<Id> {
        let (peer, at) = self.predecessor?;
        (now < at + 2 * STABILISE + STABILISE / 2).then_some(peer)
    }

    /// The fingers below the first successor are all that one.
    fn next_finger(&mut self) -> Option<Id> {
        let first = self.ahead(*self.successors.first()?);
        let lowest = 64 - first.leading_zeros();
        if lowest >= 64 {
            return None;
        }
        if self.next < lowest || self.next >= 64 {
            self.next = lowest;
        }
        let target = self.me.wrapping_add(1 << self.next);
        self.next += 1;
        Some(target)
    }
}

impl Table for Chord {
    const NAME: &'static str = "Chord";
    const WIDTH: usize = 1;
    const ASKED: usize = 1;
    const UPKEEP: Duration = STABILISE;

    fn goal(nodes: f64) -> f64 {
        nodes.log2() / 2.0 + 1.0
    }

    fn distance(key: Id, node: Id) -> u64 {
        node.wrapping_sub(key)
    }

    fn rank(key: Id, node: Id) -> u64 {
        key.wrapping_sub(node).wrapping_sub(1)
    }

    fn new(me: Id, _: Duration) -> Self {
        Self {
            me,
            successors: Vec::new(),
            predecessor: None,
            fingers: [None; 64],
            next: 0,
            rounds: 0,
        }
    }

    fn settled(me: Id, all: &BTreeSet<Id>, _: &mut StdRng) -> Self {
        let mut chord = Self::new(me, Duration::ZERO);
        let after = all.range(me + 1..).chain(all.range(..me));
        chord.successors = after.take(SUCCESSORS).copied().collect();
        let before = all.range(..me).rev().chain(all.iter().rev()).next();
        chord.predecessor = before.map(|peer| (*peer, Duration::ZERO));
        for (power, finger) in chord.fingers.iter_mut().enumerate() {
            *finger = Self::successor(all, me.wrapping_add(1 << power)).filter(|it| *it != me);
        }
        chord
    }

    fn answer(&self, key: Id, now: Duration) -> Answer {
        let fingers = self.fingers.iter().flatten().chain(&self.successors);
        let mut closer: Vec<_> = fingers
            .copied()
            .filter(|it| self.ahead(*it).wrapping_sub(1) < self.ahead(key).wrapping_sub(1))
            .collect();
        closer.sort_by_key(|it| Self::rank(key, *it));
        closer.dedup();
        closer.truncate(TOLD);
        let before = self.living_predecessor(now).into_iter();
        let around = before.chain(self.successors.iter().copied()).collect();
        Answer { closer, around }
    }

    fn asked_by(&mut self, peer: Id, now: Duration) {
        let known = self.living_predecessor(now);
        let is_nearer = known.is_none_or(|known| {
            known == peer || peer.wrapping_sub(known) < self.me.wrapping_sub(known)
        });
        if is_nearer && peer != self.me {
            self.predecessor = Some((peer, now));
        }
    }

    fn answered(&mut self, peer: Id, answer: &Answer, _: Duration) {
        // Only the first one's word on those after it is asked for.
        if self.successors.first() != Some(&peer) {
            return;
        }
        let between = answer.around.first().copied();
        let between = between.filter(|it| *it != self.me && self.ahead(*it) < self.ahead(peer));
        let after = answer.around.iter().copied();
        let after = after.filter(|it| *it != self.me && self.ahead(*it) > self.ahead(peer));
        let mut all: Vec<_> = between.into_iter().chain([peer]).chain(after).collect();
        all.sort_by_key(|it| self.ahead(*it));
        all.dedup();
        all.truncate(SUCCESSORS);
        self.successors = all;
    }

    fn lost(&mut self, peer: Id) {
        self.successors.retain(|it| *it != peer);
        for finger in &mut self.fingers {
            finger.take_if(|it| *it == peer);
        }
    }

    fn found(&mut self, key: Id, node: Id) {
        if node == self.me {
            return;
        }
        let power = key.wrapping_sub(self.me);
        if power == 0 {
            self.successors = vec![node];
        } else {
            self.fingers[power.trailing_zeros() as usize] = Some(node);
        }
    }

    fn upkeep(&mut self, _: Duration, _: &mut StdRng) -> Vec<Upkeep> {
        self.rounds += 1;
        let mut jobs = Vec::new();
        match self.successors.first() {
            Some(first) => jobs.push(Upkeep::Ask(*first)),
            // All died at once, or it has not joined yet.
            None => jobs.push(Upkeep::Search(self.me)),
        }
        if self.rounds.is_multiple_of(FINGER_EACH)
            && let Some(key) = self.next_finger()
        {
            jobs.push(Upkeep::Search(key));
        }
        jobs
    }

    fn len(&self) -> usize {
        let all = self.fingers.iter().flatten().chain(&self.successors);
        all.collect::<BTreeSet<_>>().len()
    }
}

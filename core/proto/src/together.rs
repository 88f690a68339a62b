//! Moments at which what is due for many idle peers is done together, so that a node wakes up once for all of them.

use std::{collections::BTreeMap, time::Instant};

use crate::timing::{BATCH, BATCH_GAP, MAX_PEERS, TOGETHER};

/// Who comes together when.
pub(super) struct Together {
    /// When the machine was made.
    origin: Instant,
    /// How many come at each of the next moments, counted in steps from the origin.
    coming: BTreeMap<u128, u32>,
}

impl Together {
    pub(super) fn new(origin: Instant) -> Self {
        let coming = BTreeMap::new();
        Self { origin, coming }
    }

    /// The last such moment up to `at`. Beyond a batch, more come a little earlier: as many questions as there are peers at once
    /// would flood a thin line. Whoever joins again and again moves nobody earlier than that takes.
    pub(super) fn join(&mut self, now: Instant, at: Instant) -> Instant {
        self.coming = self.coming.split_off(&self.step(now));
        let step = self.step(at);
        let before = self.coming.entry(step).or_default();
        let earlier = BATCH_GAP * (*before / BATCH);
        *before = (*before + 1) % (MAX_PEERS as u32);
        let moment = TOGETHER * u32::try_from(step).unwrap_or(u32::MAX);
        self.origin + moment.saturating_sub(earlier)
    }

    fn step(&self, at: Instant) -> u128 {
        at.saturating_duration_since(self.origin).as_nanos() / TOGETHER.as_nanos()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_due_within_a_second_is_done_at_its_beginning() {
        let start = epoch();
        let mut together = Together::new(start);
        for millis in [7000, 7001, 7500, 7999] {
            let at = start + Duration::from_millis(millis);
            assert_eq!(together.join(start, at), start + TOGETHER * 7);
        }
    }

    #[test]
    fn as_many_peers_as_there_may_be_come_in_batches_within_a_second() {
        let start = epoch();
        let mut together = Together::new(start);
        let mut batches = BTreeMap::<Instant, u32>::new();
        for _ in 0..MAX_PEERS {
            let at = together.join(start, start + TOGETHER * 7);
            *batches.entry(at).or_default() += 1;
        }
        assert!(batches.values().all(|size| *size <= BATCH));
        let moments: Vec<&Instant> = batches.keys().collect();
        assert!(moments.is_sorted_by(|one, next| **next >= **one + BATCH_GAP));
        let [first, .., last] = moments[..] else {
            panic!("one batch");
        };
        assert!(*last == start + TOGETHER * 7 && *last < *first + TOGETHER);
    }

    #[test]
    fn whoever_joins_without_end_moves_nobody_by_more_than_a_second() {
        let start = epoch();
        let mut together = Together::new(start);
        for _ in 0..10 * MAX_PEERS {
            let at = together.join(start, start + TOGETHER * 7);
            assert!(at > start + TOGETHER * 6);
        }
    }

    #[test]
    fn moments_that_are_over_are_forgotten() {
        let start = epoch();
        let mut together = Together::new(start);
        for second in 0..1000 {
            let now = start + TOGETHER * second;
            together.join(now, now + TOGETHER * 25);
        }
        assert_eq!(together.coming.len(), 26);
    }

    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    fn epoch() -> Instant {
        Instant::now()
    }
}

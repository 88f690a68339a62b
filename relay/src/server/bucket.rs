//! Budgets by time.

use std::{
    num::NonZeroU64,
    time::{Duration, Instant},
};

/// How far ahead of its rate a sender may be.
const BURST: Duration = Duration::from_millis(250);

/// So many per second: bytes, unless something else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(NonZeroU64);

impl Rate {
    /// A rate; at least one byte per second.
    #[must_use]
    pub fn bytes_per_second(bytes: u64) -> Self {
        Self(NonZeroU64::new(bytes).unwrap_or(NonZeroU64::MIN))
    }

    /// A rate in units of 1,048,576 bytes per second.
    #[must_use]
    pub fn mib_per_second(mib: u64) -> Self {
        Self::bytes_per_second(mib.saturating_mul(1 << 20))
    }

    /// A rate of things that are counted; at least one per second.
    #[must_use]
    pub fn per_second(count: u64) -> Self {
        Self::bytes_per_second(count)
    }

    /// The part of one of so many.
    pub(super) fn shared_by(self, parties: usize) -> Self {
        Self::bytes_per_second(self.0.get() / (parties as u64).max(1))
    }

    pub(super) fn time_for(self, amount: usize) -> Duration {
        Duration::from_nanos((amount as u64).saturating_mul(1_000_000_000) / self.0)
    }
}

/// A token bucket, kept as the time at which it will be full again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket {
    full_at: Option<Instant>,
}

impl Bucket {
    /// Takes `bytes`, unless the sender is ahead of `rate` by [`BURST`]. The last batch may overdraw, so that none is too
    /// large for a small rate.
    pub(super) fn take(&mut self, rate: Rate, now: Instant, bytes: usize) -> bool {
        self.take_within(BURST, rate, now, bytes)
    }

    /// The same with another `burst`.
    pub(super) fn take_within(
        &mut self,
        burst: Duration,
        rate: Rate,
        now: Instant,
        amount: usize,
    ) -> bool {
        if self.ready_at(burst, now) > now {
            return false;
        }
        self.charge(rate, now, amount);
        true
    }

    /// Takes `amount` whether it is there or not.
    pub(super) fn charge(&mut self, rate: Rate, now: Instant, amount: usize) {
        let start = self.full_at.map_or(now, |full_at| full_at.max(now));
        self.full_at = start.checked_add(rate.time_for(amount));
    }

    /// When something can be taken again.
    pub(super) fn ready_at(&self, burst: Duration, now: Instant) -> Instant {
        self.full_at
            .and_then(|full_at| full_at.checked_sub(burst))
            .map_or(now, |ready| ready.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_gets_its_rate_and_one_burst() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do")]
        let start = Instant::now();
        let (rate, mut bucket, mut taken) = (
            Rate::bytes_per_second(1_000_000),
            Bucket::default(),
            0_usize,
        );
        for ms in 0..4_000 {
            for _ in 0..10 {
                if bucket.take(rate, start + Duration::from_millis(ms), 1_000) {
                    taken += 1_000;
                }
            }
        }
        assert!((4_240_000..4_260_000).contains(&taken), "{taken}");
    }

    #[test]
    fn a_batch_larger_than_the_burst_passes_once_and_is_paid_off() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do")]
        let now = Instant::now();
        let (rate, mut bucket) = (Rate::bytes_per_second(1_000), Bucket::default());
        assert!(bucket.take(rate, now, 10_000));
        assert!(!bucket.take(rate, now + Duration::from_secs(9), 1));
        assert!(bucket.take(rate, now + Duration::from_millis(9_750), 1));
    }
}

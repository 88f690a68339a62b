//! How long to wait before the next try.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(10);

/// Pauses between tries: none, then up to 250 ms, 500 ms … 10 s, each drawn at random below its bound so that the clients of
/// a relay that comes back do not come back together.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    tries: u32,
}

impl Backoff {
    /// The pause before the next try; `random` is uniform over its whole range.
    pub(super) fn next(&mut self, random: u32) -> Duration {
        let bound = match self.tries.checked_sub(1) {
            None => Duration::ZERO,
            Some(doublings) => FIRST
                .saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX))
                .min(LONGEST),
        };
        self.tries = self.tries.saturating_add(1);
        bound.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }

    pub(super) fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_ten_seconds() {
        let mut backoff = Backoff::default();
        let bounds: Vec<_> = (0..8).map(|_| backoff.next(u32::MAX).as_millis()).collect();
        assert_eq!(bounds, [0, 250, 500, 1000, 2000, 4000, 8000, 10_000]);
        for _ in 0..100 {
            assert_eq!(backoff.next(u32::MAX), LONGEST);
        }
        assert_eq!(backoff.next(0), Duration::ZERO);
        backoff.reset();
        assert_eq!(backoff.next(u32::MAX), Duration::ZERO);
    }
}

//! Time that passed without us: the computer slept, or the process had no processor.

use std::time::{Duration, Instant};

use crate::timing::{AWAY, INATTENTIVE};

/// Watches over our own wakefulness.
#[derive(Debug)]
pub(super) struct Vigil {
    /// When we last fell asleep, and for how long we meant to.
    rested: Instant,
    planned: Duration,
    /// How long the computer had slept by then, counted from any origin.
    slept: Duration,
    /// Silence before this says nothing.
    attentive_since: Instant,
}

impl Vigil {
    pub(super) fn begin(now: Instant, slept: Duration) -> Self {
        Self {
            rested: now,
            planned: Duration::ZERO,
            slept,
            attentive_since: now,
        }
    }

    /// We go to sleep, for no longer than this.
    pub(super) fn rest(&mut self, now: Instant, planned: Duration) {
        (self.rested, self.planned) = (now, planned);
    }

    /// We woke up. Returns how long we were away, if that was long.
    pub(super) fn wake(&mut self, now: Instant, slept: Duration) -> Option<Duration> {
        let asleep = slept.saturating_sub(std::mem::replace(&mut self.slept, slept));
        let late = now
            .saturating_duration_since(self.rested)
            .saturating_sub(self.planned);
        self.rested = now;
        if late > INATTENTIVE || asleep > INATTENTIVE {
            self.attentive_since = now;
        }
        Some(late.max(asleep)).filter(|away| *away > AWAY)
    }

    /// Since when a path was silent, as far as we can know.
    pub(super) fn silent_since(&self, since: Instant) -> Instant {
        since.max(self.attentive_since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::liveness::tests::origin;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_ordinary_wait_is_no_absence() {
        let (start, slept) = (origin(), 1000 * SECOND);
        let mut vigil = Vigil::begin(start, slept);
        vigil.rest(start, SECOND);
        assert_eq!(vigil.wake(start + SECOND + INATTENTIVE, slept), None);
        assert!(vigil.silent_since(start) <= start + SECOND);
    }

    #[test]
    fn after_a_stall_silence_counts_from_its_end() {
        let (start, slept) = (origin(), 1000 * SECOND);
        let mut vigil = Vigil::begin(start, slept);
        vigil.rest(start, SECOND / 20);
        let end = start + 2 * SECOND;
        assert_eq!(vigil.wake(end, slept), None, "too short to matter more");
        assert_eq!(vigil.silent_since(start), end);
        assert_eq!(vigil.silent_since(end + SECOND), end + SECOND);
    }

    #[test]
    fn a_computer_that_slept_and_a_process_that_was_stopped_were_away() {
        let (start, slept) = (origin(), 1000 * SECOND);
        let mut vigil = Vigil::begin(start, slept);
        vigil.rest(start, SECOND);
        let asleep = vigil.wake(start + SECOND / 2, slept + 60 * SECOND);
        assert_eq!(asleep, Some(60 * SECOND));
        assert_eq!(vigil.silent_since(start), start + SECOND / 2);
        vigil.rest(start + SECOND, SECOND);
        let stopped = vigil.wake(start + 12 * SECOND, slept + 60 * SECOND);
        assert_eq!(stopped, Some(10 * SECOND));
    }
}

//! Lifetimes of mappings (RFC 4787 section 4.3) that end at a regular age, however much is sent on them.
//!
//! Two deaths at the same age make a third likely: shortly before it is due, the relay is given everything too.

use std::time::{Duration, Instant};

use crate::timing::{REGULAR_FROM, REGULAR_WITHIN};

/// How old the peer's mappings became.
#[derive(Default)]
pub(super) struct Lifetimes {
    last: Option<Duration>,
    /// When the path in use is expected to die.
    expected: Option<Instant>,
}

impl Lifetimes {
    /// When to be careful.
    pub(super) fn next(&self) -> Option<Instant> {
        Some(self.expected? - REGULAR_WITHIN)
    }

    /// The peer was found at another port after this time, and the path there begins.
    pub(super) fn moved(&mut self, now: Instant, age: Duration) {
        let again = self
            .last
            .replace(age)
            .is_some_and(|last| last.abs_diff(age) <= REGULAR_WITHIN);
        self.expected = (again && age >= REGULAR_FROM).then(|| now + age);
    }

    /// Whether the path in use is about to die; says so once.
    pub(super) fn take_due(&mut self, now: Instant) -> bool {
        let is_due = self.next().is_some_and(|at| at <= now);
        if is_due {
            self.expected = None;
        }
        is_due
    }

    /// The path in use came about in another way, or is gone.
    pub(super) fn interrupted(&mut self) {
        self.expected = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Duration = Duration::from_secs(120);
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn only_two_deaths_at_the_same_age_announce_a_third() {
        let now = epoch();
        let mut ages = Lifetimes::default();
        ages.moved(now, AGE);
        assert_eq!(ages.next(), None);
        ages.moved(now, AGE + SECOND / 2);
        assert_eq!(ages.next(), Some(now + AGE + SECOND / 2 - REGULAR_WITHIN));
        ages.moved(now, AGE * 2);
        assert_eq!(ages.next(), None, "not at all regular");
        ages.moved(now, AGE * 2);
        ages.interrupted();
        assert_eq!(ages.next(), None);
    }

    #[test]
    fn paths_that_die_young_are_no_matter_of_mappings() {
        let now = epoch();
        let mut ages = Lifetimes::default();
        for _ in 0..3 {
            ages.moved(now, REGULAR_FROM - SECOND);
            assert_eq!(ages.next(), None);
        }
    }

    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    fn epoch() -> Instant {
        Instant::now()
    }
}

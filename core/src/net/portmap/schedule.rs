//! When the router is asked: at half the life of what it granted, sooner and sooner doubled after a failure, and soon after any
//! sign that what it said is no longer so. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// A router that had nothing to give is asked again so much later, doubled each time up to the second.
const RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(600));
/// Whatever raises doubts, forgers included, has the router asked no more often.
const DOUBT_GAP: Duration = Duration::from_secs(5);

/// When to ask next.
#[derive(Debug)]
pub(super) struct Schedule {
    asked: Instant,
    next: Instant,
    failures: u32,
    doubted: bool,
}

impl Schedule {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            asked: now,
            next: now,
            failures: 0,
            doubted: false,
        }
    }

    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Whether something says that what is held has ended.
    pub(super) fn doubted(&self) -> bool {
        self.doubted
    }

    /// The router is being asked.
    pub(super) fn asks(&mut self, now: Instant) {
        self.asked = now;
    }

    /// It granted what is to be renewed after `renewal`.
    pub(super) fn granted(&mut self, now: Instant, renewal: Duration) {
        (self.failures, self.doubted) = (0, false);
        self.next = now + renewal;
    }

    /// It refused or did not answer.
    pub(super) fn failed(&mut self, now: Instant) {
        let (first, most) = RETRY;
        self.next = now + (first * 2_u32.saturating_pow(self.failures.min(7))).min(most);
        self.failures += 1;
        self.doubted = false;
    }

    /// The relay is back, our address is another, a path fell silent, or the router announced that it began anew.
    pub(super) fn doubt(&mut self) {
        (self.failures, self.doubted) = (0, true);
        self.next = self.next.min(self.asked + DOUBT_GAP);
    }
}

/// What a router's clock showed when it granted something: it begins anew when the router has forgotten its mappings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Epoch {
    pub(super) seconds: u32,
    pub(super) at: Instant,
}

impl Epoch {
    /// Whether a router that shows `seconds` now has remembered since (RFC 6887 section 8.5).
    pub(super) fn goes_on(self, seconds: u32, now: Instant) -> bool {
        let ours = now.saturating_duration_since(self.at).as_secs();
        if seconds.saturating_add(1) < self.seconds {
            return false;
        }
        let theirs = u64::from(seconds.saturating_sub(self.seconds));
        ours + 2 >= theirs - theirs / 16 && theirs + 2 >= ours - ours / 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_flood_of_doubts_has_the_router_asked_once_in_five_seconds() {
        let mut now = Instant::now();
        let (end, mut schedule, mut questions) = (now + 60 * SECOND, Schedule::new(now), 0);
        while now < end {
            schedule.doubt();
            if schedule.next() <= now {
                questions += 1;
                schedule.asks(now);
                schedule.granted(now, 3600 * SECOND);
            }
            now += SECOND / 100;
        }
        assert_eq!(questions, 12);
    }

    #[test]
    fn a_router_that_has_nothing_is_asked_less_and_less_until_something_happens() {
        let now = Instant::now();
        let mut schedule = Schedule::new(now);
        let waits = [5, 10, 20, 40, 80, 160, 320, 600, 600];
        for wait in waits {
            schedule.asks(now);
            schedule.failed(now);
            assert_eq!(schedule.next() - now, wait * SECOND);
        }
        schedule.doubt();
        assert_eq!(schedule.next() - now, 5 * SECOND);
    }

    #[test]
    fn a_clock_that_goes_back_or_elsewhere_tells_of_a_restart() {
        let at = Instant::now();
        let epoch = Epoch { seconds: 1000, at };
        let after = |seconds| at + seconds * SECOND;
        assert!(epoch.goes_on(1000, at));
        assert!(epoch.goes_on(1600, after(600)));
        assert!(epoch.goes_on(1630, after(600)));
        assert!(epoch.goes_on(999, at));
        assert!(!epoch.goes_on(0, after(1)));
        assert!(!epoch.goes_on(999, after(8)), "it began anew 999 s ago");
        assert!(!epoch.goes_on(1000, after(600)));
        assert!(!epoch.goes_on(9000, after(600)));
    }
}

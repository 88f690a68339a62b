//! Time that passed without us: the computer slept, or the process had no processor.

use std::time::{Duration, Instant};

use super::{Driver, SAMPLE, WATCH_TICK, now};
use crate::{EventKind, proto::io::Input};

/// After this long away, nothing that was known of the network counts.
const AWAY: Duration = Duration::from_secs(5);
/// Waking up this much later than planned, we have not looked for what came in.
const LATE: Duration = Duration::from_millis(150);

/// Watches over the loop's own wakefulness.
pub(super) struct Vigil {
    /// When the loop last fell asleep, and for how long it meant to.
    rested: Instant,
    planned: Duration,
    /// How long the computer had slept by then, counted from any origin.
    slept: Duration,
    /// Silence before this says nothing.
    attentive_since: Instant,
}

impl Vigil {
    pub(super) fn begin() -> Self {
        Self {
            rested: now(),
            planned: Duration::ZERO,
            slept: time_asleep(),
            attentive_since: now(),
        }
    }

    /// The loop goes to sleep, for no longer than this.
    fn rest(&mut self, now: Instant, planned: Duration) {
        (self.rested, self.planned) = (now, planned);
    }

    /// The loop woke up. Returns how long it was away, if that was long.
    fn wake(&mut self, now: Instant, slept: Duration) -> Option<Duration> {
        let asleep = slept.saturating_sub(std::mem::replace(&mut self.slept, slept));
        let late = now
            .saturating_duration_since(self.rested)
            .saturating_sub(self.planned);
        self.rested = now;
        if late > LATE || asleep > LATE {
            self.attentive_since = now;
        }
        Some(late.max(asleep)).filter(|away| *away > AWAY)
    }

    /// Since when a path was silent, as far as we can know.
    pub(super) fn silent_since(&self, since: Instant) -> Instant {
        since.max(self.attentive_since)
    }
}

impl Driver {
    pub(super) fn rest(&mut self) {
        let planned = if self.watched.is_empty() {
            SAMPLE
        } else {
            WATCH_TICK
        };
        self.vigil.rest(now(), planned);
    }

    pub(super) fn wake(&mut self) {
        let Some(away) = self.vigil.wake(now(), time_asleep()) else {
            return;
        };
        self.network_changed();
        self.feed(Input::Resumed);
        self.tell(EventKind::NetworkChanged {
            what: format!("woke up after {} s", away.as_secs()),
        });
    }
}

/// How long the computer has been asleep since it was started: CLOCK_MONOTONIC stands still meanwhile.
#[cfg(target_os = "linux")]
fn time_asleep() -> Duration {
    use nix::time::{ClockId, clock_gettime};
    let read = |clock| clock_gettime(clock).map(Duration::from);
    match (
        read(ClockId::CLOCK_BOOTTIME),
        read(ClockId::CLOCK_MONOTONIC),
    ) {
        (Ok(all), Ok(awake)) => all.saturating_sub(awake),
        _ => Duration::ZERO,
    }
}

/// Elsewhere `Instant` goes on during sleep, so that the loop only seems to wake up late.
#[cfg(not(target_os = "linux"))]
fn time_asleep() -> Duration {
    Duration::ZERO
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_ordinary_wait_is_no_absence() {
        let mut vigil = Vigil::begin();
        let start = now();
        let slept = vigil.slept;
        vigil.rest(start, SECOND);
        assert_eq!(vigil.wake(start + SECOND + LATE, slept), None);
        assert!(vigil.silent_since(start) <= start + SECOND);
    }

    #[test]
    fn after_a_stall_silence_counts_from_its_end() {
        let mut vigil = Vigil::begin();
        let start = now();
        let slept = vigil.slept;
        vigil.rest(start, WATCH_TICK);
        let end = start + 2 * SECOND;
        assert_eq!(vigil.wake(end, slept), None, "too short to matter more");
        assert_eq!(vigil.silent_since(start), end);
        assert_eq!(vigil.silent_since(end + SECOND), end + SECOND);
    }

    #[test]
    fn a_computer_that_slept_and_a_process_that_was_stopped_were_away() {
        let mut vigil = Vigil::begin();
        let start = now();
        let slept = vigil.slept;
        vigil.rest(start, SECOND);
        let asleep = vigil.wake(start + SECOND / 2, slept + 60 * SECOND);
        assert_eq!(asleep, Some(60 * SECOND));
        vigil.rest(start + SECOND, SECOND);
        let stopped = vigil.wake(start + 12 * SECOND, slept + 60 * SECOND);
        assert_eq!(stopped, Some(10 * SECOND));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn time_asleep_stands_still_while_we_are_awake() {
        let before = time_asleep();
        assert!(time_asleep().saturating_sub(before) < SECOND);
    }
}

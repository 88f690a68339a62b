//! When to draw: only when something changed, and at most 30 times a second.

use std::time::Duration;

/// The shortest time between two frames.
const FRAME: Duration = Duration::from_millis(33);

#[derive(Debug, Default)]
pub(super) struct Pace {
    next: Duration,
}

impl Pace {
    /// Whether to draw now; if so, the next frame waits its time.
    pub(super) fn take(&mut self, dirty: bool, now: Duration) -> bool {
        let due = dirty && now >= self.next;
        if due {
            self.next = now + FRAME;
        }
        due
    }

    /// When the next frame may be drawn.
    pub(super) fn next(&self) -> Duration {
        self.next
    }
}

//! Triggered checks (RFC 8445 section 7.3.1.4): rounds that the peer calls for. Each lets it have us send much more than it sent, so it gets no more than one in a while.

use std::time::Instant;

use crate::timing::ROUND_SPACING;

/// Rounds that a peer may call for at once: whoever moves loses and finds its addresses one by one.
const AT_ONCE: u32 = 6;

/// What the peer called for.
#[derive(Default)]
pub(super) struct Triggered {
    /// When the rounds so far are paid for, at one in [`ROUND_SPACING`].
    paid: Option<Instant>,
    /// When the one that has to wait begins, and whether the peer opened its NATs for it.
    waiting: Option<(Instant, bool)>,
}

impl Triggered {
    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting.map(|(at, _)| at)
    }

    /// Takes the round that had to wait and may begin now: whether the peer opened its NATs for it.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<bool> {
        let due = self.waiting.take_if(|(at, _)| *at <= now);
        due.map(|(_, opened)| opened)
    }

    /// No round is to come. What was paid for counts all the same, as the peer may have brought this about.
    pub(super) fn drop_waiting(&mut self) {
        self.waiting = None;
    }

    /// Whether a round may begin now; else it waits.
    pub(super) fn begin(&mut self, now: Instant, opened: bool) -> bool {
        let paid = self.paid.map_or(now, |paid| paid.max(now)) + ROUND_SPACING;
        let from = now + ROUND_SPACING * AT_ONCE;
        self.waiting = (paid > from).then(|| (now + (paid - from), opened));
        if self.waiting.is_none() {
            self.paid = Some(paid);
        }
        self.waiting.is_none()
    }
}

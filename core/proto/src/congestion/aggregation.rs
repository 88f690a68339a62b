//! How much more than expected acknowledgements bring at once (draft-ietf-ccwg-bbr section 5.5.9).

use std::time::{Duration, Instant};

/// The largest excess of the last 5 to 10 rounds counts.
const SLOT_ROUNDS: u64 = 5;

/// What is more than expected for longer than this is the rate, not a train. Twice the time that QUIC lets an acknowledgement
/// wait (RFC 9000 section 18.2).
const LONGEST_TRAIN: Duration = Duration::from_millis(50);

#[derive(Clone, Debug)]
pub(super) struct Aggregation {
    began_at: Instant,
    acked: u64,
    slots: [u64; 2],
}

impl Aggregation {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            began_at: now,
            acked: 0,
            slots: [0; 2],
        }
    }

    /// Bytes that must be in flight on top for acknowledgements that are late together.
    pub(super) fn extra(&self) -> u64 {
        self.slots[0].max(self.slots[1])
    }

    pub(super) fn observe(&mut self, now: Instant, acked: u64, rate: f64, limit: u64) {
        let elapsed = now.saturating_duration_since(self.began_at);
        let mut expected = rate * elapsed.as_secs_f64();
        if self.acked as f64 <= expected || elapsed > LONGEST_TRAIN {
            self.acked = 0;
            self.began_at = now;
            expected = 0.0;
        }
        self.acked = self.acked.saturating_add(acked);
        let excess = (self.acked as f64 - expected).max(0.0) as u64;
        self.slots[1] = self.slots[1].max(excess.min(limit));
    }

    /// Nor is it a train what goes on for a round trip.
    pub(super) fn end_of_round(&mut self, count: u64) {
        self.acked = 0;
        if count.is_multiple_of(SLOT_ROUNDS) {
            self.slots = [self.slots[1], 0];
        }
    }
}

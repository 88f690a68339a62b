//! Round trips, counted by what was delivered (draft-ietf-ccwg-bbr section 5.5.1).

use std::time::Duration;

/// What a round trip showed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    /// Bytes.
    pub(super) delivered: u64,
    /// Bytes.
    pub(super) lost: u64,
    /// The shortest round-trip time.
    pub(super) rtt: Duration,
    /// Whether a router marked packets instead of dropping them (RFC 3168).
    pub(super) marked: bool,
}

impl Round {
    const START: Self = Self {
        delivered: 0,
        lost: 0,
        rtt: Duration::MAX,
        marked: false,
    };

    /// The share of its bytes that was lost.
    pub(super) fn loss(&self) -> f64 {
        share(self.lost, self.delivered)
    }
}

/// `lost` of all bytes whose fate is known.
pub(super) fn share(lost: u64, delivered: u64) -> f64 {
    lost as f64 / lost.saturating_add(delivered).max(1) as f64
}

#[derive(Clone, Debug)]
pub(super) struct Rounds {
    count: u64,
    /// A packet that left when so much was delivered ends the round.
    ends_at: u64,
    current: Round,
}

impl Rounds {
    pub(super) fn new() -> Self {
        Self {
            count: 0,
            ends_at: 0,
            current: Round::START,
        }
    }

    /// Rounds that have ended.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The round under way.
    pub(super) fn current(&self) -> &Round {
        &self.current
    }

    pub(super) fn lost(&mut self, bytes: u64) {
        self.current.lost = self.current.lost.saturating_add(bytes);
    }

    pub(super) fn marked(&mut self) {
        self.current.marked = true;
    }

    pub(super) fn acked(&mut self, bytes: u64, rtt: Duration) {
        self.current.delivered = self.current.delivered.saturating_add(bytes);
        self.current.rtt = self.current.rtt.min(rtt);
    }

    /// Whether a packet that left when so much was delivered ends the round.
    pub(super) fn ends_with(&self, delivered_before: u64) -> bool {
        delivered_before >= self.ends_at
    }

    /// Ends the round with so much delivered.
    pub(super) fn end(&mut self, delivered: u64) -> Round {
        self.count += 1;
        self.ends_at = delivered;
        std::mem::replace(&mut self.current, Round::START)
    }
}

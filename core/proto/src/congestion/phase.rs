//! The phases that a path's model goes through.

use std::time::{Duration, Instant};

use super::loss::Tally;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PhaseKind {
    /// Doubles the window each round until the rate no longer follows.
    Startup,
    /// Sends less than the path carries: queues empty, others get room, and what is lost now is lost anyway.
    Down {
        /// Whether to stay long enough to learn how much is lost.
        measure: bool,
        /// The window before, if this is to show whose queue stands: if it stays without us, it is another's.
        whose: Option<u64>,
    },
    /// Sends what the path carries.
    Cruise,
    /// Fills the path before more is tried.
    Refill,
    /// Tries whether the path carries more.
    Up,
    /// Empties the queue for a fresh round-trip time.
    ProbeRtt {
        /// When there has been next to nothing in flight long enough.
        until: Option<Instant>,
    },
}

/// A phase under way.
#[derive(Clone, Debug)]
pub(super) struct Phase {
    pub(super) kind: PhaseKind,
    pub(super) began_at: Instant,
    /// Rounds that have ended in it.
    pub(super) rounds: u64,
    /// Rounds in a row in which a long queue stood.
    pub(super) queued: u64,
    /// Rounds in which the rate did not grow.
    pub(super) flat: u64,
    /// The rate that growth is measured from, bytes per second.
    pub(super) base_bw: f64,
    /// What became of packets since the window of this phase has its effect.
    pub(super) tally: Tally,
    /// Since when, and how much had been delivered.
    measured_from: Option<(Instant, u64)>,
}

/// A window shows its effect after as many rounds.
const SETTLED: u64 = 2;

impl Phase {
    pub(super) fn new(kind: PhaseKind, now: Instant, bw: f64) -> Self {
        Self {
            kind,
            began_at: now,
            rounds: 0,
            queued: 0,
            flat: 0,
            base_bw: bw,
            tally: Tally::default(),
            measured_from: None,
        }
    }

    pub(super) fn end_of_round(&mut self, now: Instant, delivered: u64, queue: bool) {
        self.rounds += 1;
        self.queued = if queue { self.queued + 1 } else { 0 };
        if self.rounds == SETTLED {
            self.measured_from = Some((now, delivered));
        }
    }

    pub(super) fn acked(&mut self, bytes: u64) {
        if self.measured_from.is_some() {
            self.tally.delivered = self.tally.delivered.saturating_add(bytes);
        }
    }

    pub(super) fn lost(&mut self, sent_at: Instant, bytes: u64) {
        if self.measured_from.is_some() && sent_at >= self.began_at {
            self.tally.lost = self.tally.lost.saturating_add(bytes);
        }
    }

    /// The mean delivery rate since the window has its effect, bytes per second; none before `shortest`.
    pub(super) fn mean_bw(&self, now: Instant, delivered: u64, shortest: Duration) -> Option<f64> {
        let (since, before) = self.measured_from?;
        let elapsed = now.saturating_duration_since(since);
        let is_long = elapsed >= shortest && !elapsed.is_zero();
        is_long.then(|| delivered.saturating_sub(before) as f64 / elapsed.as_secs_f64())
    }

    /// Whether the rate has stopped growing by `step` a round for as many `rounds`.
    pub(super) fn is_flat(&mut self, bw: f64, step: f64, rounds: u64) -> bool {
        if bw >= self.base_bw * step {
            self.base_bw = bw;
            self.flat = 0;
        } else {
            self.flat += 1;
        }
        self.flat >= rounds
    }
}

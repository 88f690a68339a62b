//! A bounded rate.

use std::time::{Duration, Instant};

/// Bytes that may go at once, and so many a second after that. What is let through whole may leave a debt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    rate: u32,
    most: u32,
    level: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn new(rate: u32, most: u32, now: Instant) -> Self {
        Self {
            rate,
            most,
            level: f64::from(most),
            at: now,
        }
    }

    pub(super) fn take(&mut self, bytes: usize, now: Instant) {
        self.fill(now);
        self.level -= bytes as f64;
    }

    /// How long until there is no debt.
    pub(super) fn wait(&mut self, now: Instant) -> Duration {
        self.fill(now);
        Duration::from_secs_f64((-self.level).max(0.0) / f64::from(self.rate))
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        let level = self.level + passed * f64::from(self.rate);
        self.level = level.min(f64::from(self.most));
    }
}

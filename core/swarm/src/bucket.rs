//! So much a second, and some at once.

use std::time::Duration;

/// Tokens that come back with time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    tokens: f64,
    at: Duration,
    rate: f64,
    burst: f64,
}

impl Bucket {
    /// `rate` a second, `burst` at once.
    pub(crate) fn new(rate: f64, burst: f64, now: Duration) -> Self {
        Self {
            tokens: burst,
            at: now,
            rate,
            burst,
        }
    }

    pub(crate) fn take(&mut self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.rate).min(self.burst);
        self.at = now;
        let has = self.tokens >= 1.0;
        if has {
            self.tokens -= 1.0;
        }
        has
    }

    /// Whether it is not full.
    pub(crate) fn is_in_use(&self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.tokens + passed * self.rate < self.burst
    }
}

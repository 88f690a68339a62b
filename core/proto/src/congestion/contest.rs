//! Against flows that keep a queue standing: a window that grows and shrinks as theirs does, by CUBIC (RFC 9438).
//!
//! A path's rate times its empty round-trip time is too little in a queue that others fill; who keeps to it is left next to
//! nothing.

use std::time::{Duration, Instant};

/// RFC 9438 section 4.1.
const C: f64 = 0.4;
const BETA: f64 = 0.7;
/// RFC 9438 section 4.3: the growth per round trip that is as fast as Reno's.
const ALPHA: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);

#[derive(Clone, Debug)]
pub(super) struct Contest {
    /// Packets.
    window: f64,
    max: f64,
    /// The window at the last reduction's end, and when that was.
    begun: f64,
    since: Instant,
    reno: f64,
    /// The round in which the last reduction was made.
    reduced_in: u64,
}

impl Contest {
    pub(super) fn new(now: Instant, packets: f64) -> Self {
        Self {
            window: packets,
            max: packets,
            begun: packets,
            since: now,
            reno: packets,
            reduced_in: 0,
        }
    }

    /// Packets.
    pub(super) fn window(&self) -> f64 {
        self.window
    }

    /// Growth of one round trip.
    pub(super) fn grow(&mut self, now: Instant, rtt: Duration) {
        let t = now.saturating_duration_since(self.since) + rtt;
        let k = ((self.max - self.begun) / C).max(0.0).cbrt();
        self.reno += ALPHA;
        let cubic = C * (t.as_secs_f64() - k).powi(3) + self.max;
        let most = self.window * 1.5;
        self.window = cubic.max(self.reno).clamp(self.window, most);
    }

    /// Packets were lost in a round; what the round before it lost was answered.
    pub(super) fn shrink(&mut self, now: Instant, round: u64) {
        if round <= self.reduced_in + 1 {
            return;
        }
        self.reduced_in = round;
        self.max = if self.window < self.max {
            self.window * (1.0 + BETA) / 2.0
        } else {
            self.window
        };
        self.window *= BETA;
        self.reno = self.window;
        self.begun = self.window;
        self.since = now;
    }
}

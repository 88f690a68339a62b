//! The round-trip time of the path without a queue (draft-ietf-ccwg-bbr section 5.5.7).

use std::time::{Duration, Instant};

/// An estimate that nothing near it confirmed for this long gives way to the next sample.
const MEMORY: Duration = Duration::from_secs(10);
/// After so long without confirmation the queue is emptied to look.
const PROBE_AFTER: Duration = Duration::from_secs(5);

/// A queue that others keep standing hides the shortest round trip for no longer than this.
const CONTEST_MEMORY: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
pub(super) struct MinRtt {
    min: Option<Duration>,
    confirmed_at: Instant,
    /// The shortest of a longer time, and when it was seen. Others' queues are judged by it.
    base: Option<(Duration, Instant)>,
    /// The shortest since the probe began.
    probed: Option<Duration>,
}

impl MinRtt {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            min: None,
            confirmed_at: now,
            base: None,
            probed: None,
        }
    }

    pub(super) fn get(&self) -> Option<Duration> {
        self.min
    }

    /// The shortest of half a minute.
    pub(super) fn base(&self) -> Option<Duration> {
        self.base.map(|(base, _)| base)
    }

    pub(super) fn observe(&mut self, now: Instant, rtt: Duration) {
        let is_base = |(base, seen_at): (Duration, Instant)| {
            rtt > base && now.saturating_duration_since(seen_at) <= CONTEST_MEMORY
        };
        if !self.base.is_some_and(is_base) {
            self.base = Some((rtt, now));
        }
        self.probed = self.probed.map(|probed| probed.min(rtt));
        let age = now.saturating_duration_since(self.confirmed_at);
        match self.min {
            Some(min) if rtt > min && age <= MEMORY => {
                if rtt <= min + min / 16 {
                    self.confirmed_at = now;
                }
            }
            _ => {
                self.min = Some(rtt);
                self.confirmed_at = now;
            }
        }
    }

    /// Whether it is time to look again.
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.confirmed_at) > PROBE_AFTER
    }

    pub(super) fn begin_probe(&mut self) {
        self.probed = Some(Duration::MAX);
    }

    /// What the probe showed holds, be it more than before.
    pub(super) fn end_probe(&mut self, now: Instant) {
        if let Some(probed) = self.probed.take().filter(|probed| *probed != Duration::MAX) {
            self.min = Some(probed);
            self.confirmed_at = now;
        }
    }

    /// Forgets what may have changed while the path was not used.
    pub(super) fn resume(&mut self, now: Instant) {
        self.probed = None;
        if now.saturating_duration_since(self.confirmed_at) > MEMORY {
            self.min = None;
        }
    }
}

//! What time it is, as far as relays and our own clock can be believed.

use std::time::Instant;

/// Wall time: our own until a relay tells us a better one, so that both sides of a handshake agree.
pub(super) struct Clock {
    pub(super) origin: Instant,
    pub(super) unix_ms: u64,
    pub(super) synced: bool,
}

impl Clock {
    pub(super) fn unix_ms(&self, now: Instant) -> u64 {
        self.unix_ms
            .saturating_add(now.saturating_duration_since(self.origin).as_millis() as u64)
    }

    /// Takes a relay's time, but no nonsense from outside this and the next century. Among relays the one nearest to our own
    /// clock is believed: a stranger's must not take us away from the time of all others.
    pub(super) fn set(&mut self, now: Instant, unix_ms: u64, own_ms: u64) {
        const SANE: std::ops::Range<u64> = 1_600_000_000_000..6_000_000_000_000;
        let off = |ms: u64| ms.abs_diff(own_ms);
        let worse = self.synced && off(unix_ms) > off(self.unix_ms(now));
        if SANE.contains(&unix_ms) && !worse {
            *self = Self {
                origin: now,
                unix_ms,
                synced: true,
            };
        }
    }
}

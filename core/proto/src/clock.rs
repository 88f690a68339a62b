//! What time it is, as far as relays and our own clock can be believed.

use std::{ops::Range, time::Instant};

/// Wall times that a relay may have: of this and the next century.
const SANE: Range<u64> = 1_600_000_000_000..6_000_000_000_000;

/// Wall time: our own until a relay tells us a better one, so that both sides of a handshake agree.
pub(super) struct Clock {
    origin: Instant,
    unix_ms: u64,
    synced: bool,
}

impl Clock {
    pub(super) fn new(origin: Instant, unix_ms: u64) -> Self {
        let synced = false;
        Self {
            origin,
            unix_ms,
            synced,
        }
    }

    pub(super) fn unix_ms(&self, now: Instant) -> u64 {
        self.unix_ms
            .saturating_add(now.saturating_duration_since(self.origin).as_millis() as u64)
    }

    /// Whether a relay told us the time.
    pub(super) fn is_synced(&self) -> bool {
        self.synced
    }

    /// Takes a relay's time, but no nonsense. Among relays the one nearest to our own clock is believed: a stranger's must not
    /// take us away from the time of all others.
    pub(super) fn set(&mut self, now: Instant, unix_ms: u64, own_ms: u64) {
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

    /// We slept, and the time that we count stood still meanwhile.
    pub(super) fn stood_still(&mut self) {
        self.synced = false;
    }
}

//! Whether a stream is somebody's typing or a bulk transfer: [`Pace`].

use std::time::Duration;

use tokio::time::Instant;

/// Somebody who types, and what a screen shows of it, takes no more than this for long, and a page of it at once.
const RATE: u64 = 64 << 10;
const BURST: u64 = 128 << 10;

/// Priority of what is not bulk, which QUIC sends first.
const FIRST: i32 = 1;
const BULK: i32 = 0;

/// What a stream sent lately.
#[derive(Debug)]
pub(super) struct Pace {
    left: u64,
    at: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            left: BURST,
            at: now,
        }
    }

    /// The priority of a stream that sends `len` bytes now.
    pub(super) fn priority(&mut self, len: usize, now: Instant) -> i32 {
        let since = now.saturating_duration_since(self.at);
        let earned =
            since.min(Duration::from_secs(BURST / RATE)).as_micros() as u64 * RATE / 1_000_000;
        if earned > 0 {
            self.at = now;
        }
        let have = (self.left + earned).min(BURST);
        let len = len as u64;
        self.left = have.saturating_sub(len);
        if len <= have { FIRST } else { BULK }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn typing_comes_first_and_a_transfer_after_it_until_it_pauses() {
        let mut now = Instant::now();
        let (mut typing, mut transfer) = (Pace::new(now), Pace::new(now));
        let mut last = 0;
        for _ in 0..200 {
            now += Duration::from_millis(20);
            assert_eq!(typing.priority(100, now), FIRST);
            last = transfer.priority(64 << 10, now);
        }
        assert_eq!(last, BULK);
        now += Duration::from_secs(2);
        assert_eq!(transfer.priority(1000, now), FIRST);
    }
}

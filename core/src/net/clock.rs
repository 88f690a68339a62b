//! The clocks: nobody else reads them.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::time::{Interval, MissedTickBehavior, interval, sleep_until};

#[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

/// Ticks that far apart; after a late one the next is as far off.
pub(crate) fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Waits for this time; for ever if there is none.
pub(crate) async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

/// How long the computer has been asleep since it was started: CLOCK_MONOTONIC stands still meanwhile.
#[cfg(target_os = "linux")]
pub(crate) fn time_asleep() -> Duration {
    use nix::time::{ClockId, clock_gettime};
    let read = |clock| clock_gettime(clock).map(Duration::from);
    match (
        read(ClockId::CLOCK_BOOTTIME),
        read(ClockId::CLOCK_MONOTONIC),
    ) {
        (Ok(all), Ok(awake)) => all.saturating_sub(awake),
        _ => Duration::ZERO,
    }
}

/// Elsewhere `Instant` goes on during sleep, so that we only seem to wake up late.
#[cfg(not(target_os = "linux"))]
pub(crate) fn time_asleep() -> Duration {
    Duration::ZERO
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    #[test]
    fn time_asleep_stands_still_while_we_are_awake() {
        use super::{Duration, time_asleep};
        let before = time_asleep();
        assert!(time_asleep().saturating_sub(before) < Duration::from_secs(1));
    }
}

//! How fast a recording is played, and how far it has come by that.

use std::{fmt, time::Duration};

/// How fast a recording is played: as it was, or faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speed(u32);

/// Where a recording is while it is played.
#[derive(Debug)]
pub struct Played {
    /// So far it was at some moment.
    at: Duration,
    /// That moment, since the beginning.
    since: Duration,
    speed: Speed,
}

/// Which way the speed changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Slower,
    Faster,
}

const SPEEDS: [u32; 7] = [1, 2, 3, 5, 10, 30, 60];

impl Default for Speed {
    fn default() -> Self {
        Self(1)
    }
}

impl Speed {
    /// The next one in that direction, as far as there is one.
    pub(super) fn changed(self, way: Turn) -> Self {
        let mut speeds = SPEEDS.into_iter();
        let next = match way {
            Turn::Faster => speeds.find(|speed| *speed > self.0),
            Turn::Slower => speeds.rfind(|speed| *speed < self.0),
        };
        next.map_or(self, Self)
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Played {
    /// From its beginning.
    #[must_use]
    pub fn begin() -> Self {
        Self {
            at: Duration::ZERO,
            since: Duration::ZERO,
            speed: Speed::default(),
        }
    }

    /// When something of the recording is due.
    #[must_use]
    pub fn due(&self, at: Duration) -> Duration {
        let rest = at.saturating_sub(self.at);
        self.since.saturating_add(rest / self.speed.0)
    }

    /// Goes on at this speed from now on.
    pub fn turn(&mut self, now: Duration, speed: Speed) {
        let passed = now.saturating_sub(self.since);
        self.at = self.at.saturating_add(passed.saturating_mul(self.speed.0));
        (self.since, self.speed) = (now, speed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_speed_changes_in_steps_that_have_an_end_both_ways() {
        let up = |count: usize| (0..count).fold(Speed::default(), |it, _| it.changed(Turn::Faster));
        assert_eq!([0, 1, 2, 6, 9].map(up), [1, 2, 3, 60, 60].map(Speed));
        assert_eq!(up(2).changed(Turn::Slower), Speed(2));
        assert_eq!(up(0).changed(Turn::Slower), Speed(1));
    }

    #[test]
    fn what_was_played_stays_played_when_the_speed_changes() {
        let mut played = Played::begin();
        assert_eq!(played.due(s(40)), s(40));
        played.turn(s(10), Speed(3));
        assert_eq!(played.due(s(40)), s(20));
        played.turn(s(15), Speed(1));
        assert_eq!(played.due(s(40)), s(30));
        // What is over is due at once.
        assert_eq!(played.due(s(5)), s(15));
    }
}

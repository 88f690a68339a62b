//! How long something took, many times.

use std::{fmt, time::Duration};

pub(super) struct Times(Vec<Duration>);

impl Times {
    pub(super) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The least that this part of all is no longer than; zero if there are none.
    pub(super) fn quantile(&self, part: f64) -> Duration {
        let rank = (self.0.len() as f64 * part).ceil() as usize;
        let found = self.0.get(rank.saturating_sub(1)).copied();
        found.unwrap_or_default()
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |part| 1e3 * self.quantile(part).as_secs_f64();
        let (median, p99, most) = (ms(0.5), ms(0.99), ms(1.0));
        write!(f, "median {median:.1} ms, p99 {p99:.1}, most {most:.1}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_hundred_times_one_is_longer_than_the_99th_percentile() {
        let times = Times::of((1..=100).rev().map(Duration::from_millis).collect());
        let ms = [0.5, 0.99, 1.0].map(|part| times.quantile(part).as_millis());
        assert_eq!(ms, [50, 99, 100]);
        assert_eq!(Times::of(Vec::new()).quantile(0.99), Duration::ZERO);
    }
}

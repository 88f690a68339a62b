//! Medians that say how sure they are.

use std::fmt;

/// A median and its confidence interval of at least 95 %, by order statistics: no distribution is assumed.
#[derive(Debug, PartialEq)]
pub(crate) struct Estimate {
    median: f64,
    low: f64,
    high: f64,
}

impl Estimate {
    /// Of at least one sample.
    pub(crate) fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        let n = samples.len();
        let at = |i: usize| samples.get(i).copied().unwrap_or(f64::NAN);
        let rank = lower_rank(n);
        Self {
            median: (at(n.saturating_sub(1) / 2) + at(n / 2)) / 2.0,
            low: at(rank),
            high: at(n.saturating_sub(1 + rank)),
        }
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { median, low, high } = self;
        write!(f, "median {median:.3}  95 % CI {low:.3} to {high:.3}")
    }
}

/// How many of the `n` smallest samples can be left out so that the median is below the rest with 97.5 % certainty.
/// How many fall below it is binomial with p = 1/2.
fn lower_rank(n: usize) -> usize {
    let mut probability = 0.5_f64.powi(i32::try_from(n).unwrap_or(i32::MAX));
    let mut below = 0.0;
    for k in 0..n {
        below += probability;
        if below > 0.025 {
            return k.saturating_sub(1);
        }
        probability *= (n - k) as f64 / (k + 1) as f64;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_samples_leave_out_nine_on_each_side() {
        let samples = (1..=30).map(f64::from).rev().collect();
        let expected = Estimate {
            median: 15.5,
            low: 10.0,
            high: 21.0,
        };
        assert_eq!(Estimate::of(samples), expected);
    }

    #[test]
    fn few_samples_keep_their_whole_range() {
        let expected = Estimate {
            median: 2.0,
            low: 1.0,
            high: 3.0,
        };
        assert_eq!(Estimate::of(vec![3.0, 1.0, 2.0]), expected);
    }
}

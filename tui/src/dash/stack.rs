//! What the throughput chart stacks: the busiest peers, their samples in columns, and the cells these fill.

use std::cmp::Reverse;

use peerway::PeerId;

use super::{
    history::{History, Rate, Track},
    window::Window,
};

/// Peers with a shade of their own; all others share one.
const NAMED: usize = 4;

/// One layer of the stack.
pub(super) struct Series {
    /// None for all others together.
    pub(super) peer: Option<PeerId>,
    pub(super) columns: Vec<Rate>,
    pub(super) now: Rate,
}

/// The peers with the most traffic in the window, then all others together.
pub(super) fn series(history: &History, window: Window, width: usize) -> Vec<Series> {
    let mut ranked: Vec<(u64, PeerId, &Track)> = history
        .peers()
        .map(|(id, track)| (track.volume(window.seconds()), *id, track))
        .filter(|(volume, ..)| *volume > 0)
        .collect();
    ranked.sort_by_key(|(volume, id, _)| (Reverse(*volume), *id));
    let columns = |track| stretched(history, track, window, width);
    let mut series: Vec<Series> = ranked
        .iter()
        .take(NAMED)
        .map(|(_, id, track)| Series {
            peer: Some(*id),
            columns: columns(track),
            now: track.latest(),
        })
        .collect();
    if ranked.len() > NAMED {
        let mut others = vec![Rate::default(); width];
        let mut now = Rate::default();
        for (_, _, track) in ranked.iter().skip(NAMED) {
            now = now + track.latest();
            for (sum, rate) in others.iter_mut().zip(columns(track)) {
                *sum = *sum + rate;
            }
        }
        series.push(Series {
            peer: None,
            columns: others,
            now,
        });
    }
    series
}

/// The window's samples spread over the columns, whether there are more of them or fewer.
pub(super) fn stretched(
    history: &History,
    track: &Track,
    window: Window,
    width: usize,
) -> Vec<Rate> {
    let seconds = window.seconds().div_ceil(width.max(1));
    let bins = window.seconds() / seconds;
    let averages = history.averages(track, seconds, bins);
    (0..width)
        .map(|column| {
            averages
                .get(column * bins / width)
                .copied()
                .unwrap_or_default()
        })
        .collect()
}

/// The highest sum of a column.
pub(super) fn peak(series: &[Series], value: impl Fn(Rate) -> u64) -> u64 {
    let columns = series
        .iter()
        .map(|one| one.columns.len())
        .max()
        .unwrap_or(0);
    (0..columns)
        .map(|column| {
            series
                .iter()
                .filter_map(|one| one.columns.get(column))
                .map(|rate| value(*rate))
                .fold(0, u64::saturating_add)
        })
        .max()
        .unwrap_or_default()
}

/// One scale for two charts that share `rows`, so that equal rates are equally high in both: what a row stands for, and the
/// rows of the second one. Each has at least one.
pub(super) fn shared_scale(first: u64, second: u64, rows: u16) -> (u64, u16) {
    let rows = u64::from(rows.max(2));
    let needed = |peak: u64, unit: u64| peak.div_ceil(unit).max(1);
    let fits = |unit: u64| needed(first, unit).saturating_add(needed(second, unit)) <= rows;
    let mut unit = round_up(first.max(second).max(LEAST_SCALE) / rows);
    while !fits(unit) && unit < u64::MAX / 2 {
        unit = round_up(unit + 1);
    }
    (unit, needed(second, unit).min(rows - 1) as u16)
}

/// The least round number that is not below `value`.
pub(super) fn round_up(value: u64) -> u64 {
    const TENTHS: [u64; 9] = [10, 15, 20, 25, 30, 40, 50, 60, 80];
    let power = 10_u64.saturating_pow(value.max(1).ilog10());
    let round = |tenths: u64| power.saturating_mul(tenths) / 10;
    let found = TENTHS.into_iter().map(round).find(|it| *it >= value);
    found.unwrap_or_else(|| power.saturating_mul(10))
}

/// Where less than this goes through, the charts look idle.
pub(super) const LEAST_SCALE: u64 = 1000;

/// How high what is charted stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Scale {
    #[default]
    Linear,
    /// By its logarithm, which shows little beside much.
    Log,
}

impl Scale {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Linear => Self::Log,
            Self::Log => Self::Linear,
        }
    }

    /// What titles say of it, after `before`.
    pub(super) fn name(self, before: &str) -> String {
        match self {
            Self::Linear => String::new(),
            Self::Log => format!("{before}log"),
        }
    }

    /// How high a value stands, as a part of `full`; what is less than `least` is next to nothing.
    pub(super) fn part(self, value: f64, full: f64, least: f64) -> f64 {
        let part = match self {
            Self::Linear => value / full,
            Self::Log => (value / least).ln_1p() / (full / least).ln_1p(),
        };
        part.clamp(0.0, 1.0)
    }

    /// What stands so high.
    pub(super) fn at(self, part: f64, full: f64, least: f64) -> f64 {
        match self {
            Self::Linear => full * part,
            Self::Log => least * ((full / least).ln_1p() * part).exp_m1(),
        }
    }

    /// The rate that stands as high on a chart that is linear.
    pub(super) fn flat(self, rate: u64, full: u64) -> u64 {
        match self {
            Self::Linear => rate,
            Self::Log => {
                let (rate, full) = (rate as f64, full as f64);
                // Nothing but 0 is nothing.
                (self.part(rate, full, LEAST_SCALE as f64) * full).ceil() as u64
            }
        }
    }

    /// The same of all that is stacked in a column: each has its part of the height of all.
    pub(super) fn flat_column(self, rates: &[u64], full: u64) -> Vec<u64> {
        let sum = rates.iter().copied().fold(0, u64::saturating_add);
        let height = self.flat(sum, full);
        let part = |rate: u64| u128::from(rate) * u128::from(height) / u128::from(sum.max(1));
        let each = rates.iter().map(|rate| part(*rate));
        each.map(|part| u64::try_from(part).unwrap_or(u64::MAX))
            .collect()
    }
}

/// How far a cell is filled, in eighths, and by which series most of all.
pub(super) type Filling = Option<(u64, usize)>;

/// One column of the stack, from the axis outward.
pub(super) fn stack(values: &[u64], scale: u64, rows: u16) -> Vec<Filling> {
    let eighths = u64::from(rows) * 8;
    let mut edges = Vec::with_capacity(values.len());
    let mut sum = 0_u64;
    for value in values {
        sum = sum.saturating_add(*value);
        let edge = u128::from(sum) * u128::from(eighths) / u128::from(scale.max(1));
        let least = u64::from(sum > 0);
        edges.push(
            u64::try_from(edge)
                .unwrap_or(eighths)
                .max(least)
                .min(eighths),
        );
    }
    (0..u64::from(rows))
        .map(|row| {
            let (bottom, top) = (row * 8, row * 8 + 8);
            let mut below = 0;
            let mut most: Filling = None;
            for (index, edge) in edges.iter().enumerate() {
                let inside = (*edge).clamp(bottom, top) - below.clamp(bottom, top);
                if inside > most.map_or(0, |(inside, _)| inside) {
                    most = Some((inside, index));
                }
                below = *edge;
            }
            most.map(|(_, index)| (below.clamp(bottom, top) - bottom, index))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_numbers_are_the_next_ones_and_have_at_most_two_digits() {
        let rounded: Vec<_> = [1, 10, 11, 16, 2001, 14_300_000, 99_000_000]
            .map(round_up)
            .into();
        assert_eq!(rounded, [1, 10, 15, 20, 2500, 15_000_000, 100_000_000]);
        assert!(round_up(u64::MAX) > u64::MAX / 2);
    }

    #[test]
    fn two_charts_share_one_scale_and_all_the_rows_they_need() {
        for (down, up) in [
            (14_200_000, 1_100_000),
            (1_100_000, 14_200_000),
            (5_000_000, 5_000_000),
            (0, 0),
            (1, u64::MAX),
        ] {
            for rows in 2..30 {
                let (unit, up_rows) = shared_scale(down, up, rows);
                let down_rows = rows - up_rows;
                assert!(up_rows >= 1 && down_rows >= 1);
                if up < u64::MAX {
                    assert!(down <= unit * u64::from(down_rows), "{down} {up} {rows}");
                    assert!(up <= unit * u64::from(up_rows), "{down} {up} {rows}");
                }
            }
        }
        assert_eq!(shared_scale(14_200_000, 1_100_000, 8), (2_500_000, 1));
        assert_eq!(shared_scale(3_000_000, 3_000_000, 8), (800_000, 4));
    }

    #[test]
    fn a_logarithm_lifts_what_is_little_and_leaves_both_ends_where_they_are() {
        let full = 15_000_000;
        for scale in [Scale::Linear, Scale::Log] {
            assert_eq!((scale.flat(0, full), scale.flat(full, full)), (0, full));
            let steps = (0..1000).map(|step| scale.flat(step * full / 1000, full));
            assert!(steps.is_sorted());
            for part in [0.0, 0.25, 0.5, 1.0] {
                let back = scale.part(scale.at(part, 9e6, 1e3), 9e6, 1e3);
                assert!((back - part).abs() < 1e-9, "{back} {part}");
            }
        }
        assert_eq!(Scale::Linear.flat(150_000, full), 150_000);
        let little = Scale::Log.flat(150_000, full);
        assert!((full / 2..full * 6 / 10).contains(&little), "{little}");
        let column = Scale::Log.flat_column(&[100_000, 50_000], full);
        assert_eq!(column[0] / 2, column[1]);
        assert!(column.iter().sum::<u64>().abs_diff(little) <= 2);
        assert_eq!(Scale::Log.flat_column(&[0, 0], full), [0, 0]);
    }

    #[test]
    fn a_cell_belongs_to_the_series_that_fills_most_of_it() {
        assert_eq!(stack(&[12, 4], 16, 2), [Some((8, 0)), Some((8, 0))]);
        assert_eq!(stack(&[8, 2], 16, 2), [Some((8, 0)), Some((2, 1))]);
        assert_eq!(stack(&[0, 0], 16, 2), [None, None]);
    }

    #[test]
    fn the_least_traffic_is_seen_and_the_most_stays_inside() {
        assert_eq!(stack(&[1], 1_000_000, 2), [Some((1, 0)), None]);
        assert_eq!(stack(&[u64::MAX, u64::MAX], 1, 1), [Some((8, 0))]);
        assert_eq!(stack(&[5], 10, 0), []);
    }
}

//! What the throughput chart stacks: the busiest peers, their samples in columns, and the cells these fill.

use std::cmp::Reverse;

use peerway::PeerId;

use super::{
    history::{History, Rate, Track},
    model::Window,
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

/// The least of 1, 2, 5 times a power of ten that no column exceeds.
pub(super) fn scale(series: &[Series], value: impl Fn(Rate) -> u64) -> u64 {
    let columns = series
        .iter()
        .map(|one| one.columns.len())
        .max()
        .unwrap_or(0);
    let peak = (0..columns)
        .map(|column| {
            series
                .iter()
                .filter_map(|one| one.columns.get(column))
                .map(|rate| value(*rate))
                .sum::<u64>()
        })
        .max()
        .unwrap_or_default();
    let mut scale = 1000_u64;
    for factor in [2, 5, 10].into_iter().cycle() {
        let Some(next) = power_of_ten(scale).checked_mul(factor) else {
            break;
        };
        if scale >= peak {
            break;
        }
        scale = next;
    }
    scale
}

fn power_of_ten(value: u64) -> u64 {
    10_u64.saturating_pow(value.checked_ilog10().unwrap_or(0))
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
        edges.push(u64::try_from(edge).unwrap_or(eighths).clamp(least, eighths));
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
    fn the_scale_is_the_next_round_number() {
        let of = |down| {
            let columns = vec![Rate { down, up: 0 }];
            let one = Series {
                peer: None,
                columns,
                now: Rate::default(),
            };
            scale(&[one], |rate| rate.down)
        };
        let scales: Vec<_> = [0, 1000, 1001, 2001, 14_300_000, 99_000_000].map(of).into();
        assert_eq!(scales, [1000, 1000, 2000, 5000, 20_000_000, 100_000_000]);
        assert!(of(u64::MAX) > u64::MAX / 2);
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
    }
}

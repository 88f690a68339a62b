//! What the charts remember: one sample per second and peer.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use peerway::{NodeSnapshot, PeerId, Traffic};

use super::words::Standing;

/// Seconds of traffic that are kept: the widest window of the chart.
pub(super) const KEPT_RATES: usize = 600;
/// Seconds of round-trip times that are kept.
pub(super) const KEPT_RTTS: usize = 60;

/// Bytes per second, down and up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) down: u64,
    pub(super) up: u64,
}

impl std::ops::Add for Rate {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            down: self.down + other.down,
            up: self.up + other.up,
        }
    }
}

/// The samples of the node and of each of its peers, all ending in the same second.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    last_s: Option<u64>,
    total: Track,
    peers: BTreeMap<PeerId, Track>,
}

impl History {
    /// Takes a snapshot in; of several in one second the last counts, seconds without any count as silent.
    pub(super) fn record(&mut self, snapshot: &NodeSnapshot) {
        let now_s = snapshot.at_ms / 1000;
        let steps = self.last_s.map_or(1, |last| now_s.saturating_sub(last));
        let steps = usize::try_from(steps).map_or(KEPT_RATES, |steps| steps.min(KEPT_RATES));
        self.last_s = self.last_s.max(Some(now_s));
        self.total.record(steps, snapshot.traffic, None);
        let present: BTreeSet<_> = snapshot.peers.iter().map(|peer| peer.id).collect();
        self.peers.retain(|id, _| present.contains(id));
        for peer in &snapshot.peers {
            self.peers.entry(peer.id).or_default().record(
                steps,
                peer.traffic,
                peer.rtt.filter(|_| Standing::of(peer).is_reached()),
            );
        }
    }

    pub(super) fn total(&self) -> &Track {
        &self.total
    }

    pub(super) fn peer(&self, id: &PeerId) -> Option<&Track> {
        self.peers.get(id)
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = (&PeerId, &Track)> {
        self.peers.iter()
    }

    /// Averages over `seconds` each, the newest last. They begin at multiples of `seconds`, so that what was drawn moves
    /// but does not change.
    pub(super) fn averages(&self, track: &Track, seconds: usize, columns: usize) -> Vec<Rate> {
        let seconds = seconds.max(1);
        let last_s = self.last_s.unwrap_or_default();
        let mut filled = usize::try_from(last_s % seconds as u64).unwrap_or(0) + 1;
        let mut newest_first = track.rates.iter().rev();
        let mut columns: Vec<_> = (0..columns)
            .map(|_| {
                let (mut sum, mut count) = (Rate::default(), 0);
                for rate in newest_first.by_ref().take(filled).map(widened) {
                    sum = sum + rate;
                    count += 1;
                }
                filled = seconds;
                Rate {
                    down: sum.down / count.max(1),
                    up: sum.up / count.max(1),
                }
            })
            .collect();
        columns.reverse();
        columns
    }
}

/// The samples of one peer, or of all together.
#[derive(Clone, Debug, Default)]
pub(super) struct Track {
    rates: VecDeque<(u32, u32)>,
    rtts: VecDeque<Option<f32>>,
}

impl Track {
    fn record(&mut self, steps: usize, traffic: Traffic, rtt: Option<Duration>) {
        if steps == 0 {
            self.rates.pop_back();
            self.rtts.pop_back();
        }
        for _ in 1..steps {
            push(&mut self.rates, (0, 0), KEPT_RATES);
            push(&mut self.rtts, None, KEPT_RTTS);
        }
        let narrow = |rate| u32::try_from(rate).unwrap_or(u32::MAX);
        let rates = (narrow(traffic.rx_rate), narrow(traffic.tx_rate));
        push(&mut self.rates, rates, KEPT_RATES);
        push(
            &mut self.rtts,
            rtt.map(|rtt| rtt.as_secs_f32() * 1e3),
            KEPT_RTTS,
        );
    }

    pub(super) fn latest(&self) -> Rate {
        self.rates.back().map(widened).unwrap_or_default()
    }

    /// The highest rates of the last `seconds`, each for itself.
    pub(super) fn peak(&self, seconds: usize) -> Rate {
        let recent = self.rates.iter().rev().take(seconds).map(widened);
        recent.fold(Rate::default(), |peak, rate| Rate {
            down: peak.down.max(rate.down),
            up: peak.up.max(rate.up),
        })
    }

    /// Bytes in the last `seconds`, both ways.
    pub(super) fn volume(&self, seconds: usize) -> u64 {
        self.rates
            .iter()
            .rev()
            .take(seconds)
            .map(widened)
            .map(|rate| rate.down + rate.up)
            .sum()
    }

    /// The last minute of round-trip times in `columns` groups, the newest last: the mean of each, if any was measured.
    pub(super) fn rtts(&self, columns: usize) -> Vec<Option<f32>> {
        let group = (KEPT_RTTS / columns.max(1)).max(1);
        let mut newest_first = self.rtts.iter().rev();
        let mut means: Vec<_> = (0..columns)
            .map(|_| {
                let measured: Vec<f32> = newest_first
                    .by_ref()
                    .take(group)
                    .flatten()
                    .copied()
                    .collect();
                (!measured.is_empty()).then(|| measured.iter().sum::<f32>() / measured.len() as f32)
            })
            .collect();
        means.reverse();
        means
    }
}

fn widened((down, up): &(u32, u32)) -> Rate {
    Rate {
        down: u64::from(*down),
        up: u64::from(*up),
    }
}

fn push<T>(ring: &mut VecDeque<T>, value: T, kept: usize) {
    if ring.len() == kept {
        ring.pop_front();
    }
    ring.push_back(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(history: &mut History, rates: &[u64]) -> Track {
        let mut track = Track::default();
        for rate in rates {
            let mut traffic = Traffic::default();
            traffic.rx_rate = *rate;
            track.record(1, traffic, Some(Duration::from_millis(10)));
            history.last_s = Some(history.last_s.map_or(0, |last| last + 1));
        }
        track
    }

    #[test]
    fn averages_begin_at_multiples_of_their_length() {
        let mut history = History::default();
        let down = |history: &History, track: &Track| -> Vec<u64> {
            let averages = history.averages(track, 2, 3);
            averages.iter().map(|rate| rate.down).collect()
        };
        let five = track(&mut history, &[2, 4, 10, 20, 7]);
        assert_eq!(down(&history, &five), [3, 15, 7]);
        let mut history = History::default();
        let six = track(&mut history, &[2, 4, 10, 20, 7, 9]);
        assert_eq!(down(&history, &six), [3, 15, 8]);
    }

    #[test]
    fn missed_seconds_are_silent_and_a_second_sample_replaces_the_first() {
        let mut history = History::default();
        let mut track = track(&mut history, &[5]);
        let mut traffic = Traffic::default();
        traffic.rx_rate = 8;
        track.record(3, traffic, Some(Duration::from_millis(20)));
        track.record(0, traffic, Some(Duration::from_millis(30)));
        let kept: Vec<_> = track.rates.iter().map(|(down, _)| *down).collect();
        assert_eq!(kept, [5, 0, 0, 8]);
        assert_eq!(track.rtts(60)[56..], [Some(10.0), None, None, Some(30.0)]);
    }
}

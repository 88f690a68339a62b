//! What the charts remember: one sample per second and peer.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use peerway::{NodeSnapshot, PeerId, RelayUrl, Traffic};

use super::words::Standing;

/// Seconds of traffic that are kept one by one.
const KEPT_RATES: usize = 600;
/// Minutes of traffic that are kept: the widest window of the chart.
const KEPT_MINUTES: usize = 60;
const MINUTE: usize = 60;
/// Seconds of round-trip times that are kept.
pub(super) const KEPT_RTTS: usize = 120;
/// Stands for a second in which no round trip was measured.
const UNMEASURED: u16 = u16::MAX;

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
    relays: BTreeMap<RelayUrl, Rtts>,
}

impl History {
    /// Takes a snapshot in; of several in one second the last counts, seconds without any count as silent.
    pub(super) fn record(&mut self, snapshot: &NodeSnapshot) {
        let now_s = snapshot.at_ms / 1000;
        let steps = self.last_s.map_or(1, |last| now_s.saturating_sub(last));
        let steps = usize::try_from(steps).map_or(KEPT_MINUTES * MINUTE, |steps| {
            steps.min(KEPT_MINUTES * MINUTE)
        });
        self.last_s = self.last_s.max(Some(now_s));
        self.total.record(steps, snapshot.traffic, None);
        for peer in &snapshot.peers {
            self.peers.entry(peer.id).or_default().record(
                steps,
                peer.traffic,
                peer.rtt.filter(|_| Standing::of(peer).is_reached()),
            );
        }
        if self.peers.len() > snapshot.peers.len() {
            self.peers.retain(|id, _| snapshot.peer(*id).is_some());
        }
        self.relays
            .retain(|url, _| snapshot.relays.iter().any(|relay| relay.url == *url));
        for relay in &snapshot.relays {
            let rtts = self.relays.entry(relay.url.clone()).or_default();
            rtts.record(steps, relay.rtt);
        }
    }

    /// The round-trip times to a relay.
    pub(super) fn relay(&self, url: &RelayUrl) -> Option<&Rtts> {
        self.relays.get(url)
    }

    pub(super) fn total(&self) -> &Track {
        &self.total
    }

    pub(super) fn peer(&self, id: &PeerId) -> Option<&Track> {
        self.peers.get(id)
    }

    /// The round trip to a peer at such a time, milliseconds since the Unix epoch, as long as it is kept.
    pub(super) fn rtt_at(&self, id: &PeerId, at_ms: u64) -> Option<Duration> {
        let ago = self.last_s?.checked_sub(at_ms / 1000)?;
        self.peer(id)?.rtts.ago(usize::try_from(ago).ok()?)
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = (&PeerId, &Track)> {
        self.peers.iter()
    }

    /// Averages over `seconds` each, the newest last. They begin at multiples of `seconds`, so that what was drawn moves
    /// but does not change.
    pub(super) fn averages(&self, track: &Track, seconds: usize, columns: usize) -> Vec<Rate> {
        let seconds = seconds.max(1);
        let last_s = self.last_s.unwrap_or_default();
        // Seconds of the newest column until now.
        let filled = usize::try_from(last_s % seconds as u64).unwrap_or(0) + 1;
        let begin = |column: usize| match column {
            0 => 0,
            column => filled + (column - 1) * seconds,
        };
        let mut averages = vec![Rate::default(); columns];
        for (age, rate) in track.busy_seconds() {
            let column = age.checked_sub(filled).map_or(0, |age| 1 + age / seconds);
            let Some(sum) = averages.get_mut(column) else {
                break;
            };
            *sum = *sum + rate;
        }
        let known = track.samples.min(KEPT_MINUTES * MINUTE);
        for (column, sum) in averages.iter_mut().enumerate() {
            let [from, to] = [begin(column), begin(column + 1)].map(|age| age.min(known));
            let count = (to - from).max(1) as u64;
            *sum = Rate {
                down: sum.down / count,
                up: sum.up / count,
            };
        }
        averages.reverse();
        averages
    }
}

/// The samples of one peer, or of all together.
#[derive(Clone, Debug, Default)]
pub(super) struct Track {
    /// How many samples there were.
    samples: usize,
    /// Those that are kept and not 0, each with its number: most of thousands of peers are silent most of the time.
    rates: VecDeque<Sample>,
    /// What went through in the minutes before, where anything did.
    minutes: VecDeque<Minute>,
    rtts: Rtts,
}

/// The number of a sample, from 0, and the bytes per second then.
#[derive(Clone, Copy, Debug)]
struct Sample {
    number: usize,
    down: u32,
    up: u32,
}

/// Bytes in a minute, as far as its seconds are not kept one by one any more. The first has number 0.
#[derive(Clone, Copy, Debug)]
struct Minute {
    number: usize,
    sum: Rate,
}

impl Track {
    fn record(&mut self, steps: usize, traffic: Traffic, rtt: Option<Duration>) {
        self.samples = (self.samples + steps).max(1);
        let number = self.samples - 1;
        if self.rates.back().is_some_and(|last| last.number == number) {
            self.rates.pop_back();
        }
        let narrow = |rate| u32::try_from(rate).unwrap_or(u32::MAX);
        let [down, up] = [traffic.rx_rate, traffic.tx_rate].map(narrow);
        if (down, up) != (0, 0) {
            self.rates.push_back(Sample { number, down, up });
        }
        let samples = self.samples;
        let is_old = |it: &Sample| it.number + KEPT_RATES < samples;
        while self.rates.front().is_some_and(is_old) {
            if let Some(old) = self.rates.pop_front() {
                self.sum_up(old);
            }
        }
        if self.rates.is_empty() {
            self.rates.shrink_to_fit();
        }
        let kept = KEPT_MINUTES * MINUTE;
        let is_old = |it: &Minute| (it.number + 1) * MINUTE + kept <= samples;
        while self.minutes.front().is_some_and(is_old) {
            self.minutes.pop_front();
        }
        if self.minutes.is_empty() {
            self.minutes.shrink_to_fit();
        }
        self.rtts.record(steps, rtt);
    }

    /// Adds a second to its minute.
    fn sum_up(&mut self, old: Sample) {
        let (number, rate) = (old.number / MINUTE, widened(&old));
        match self.minutes.back_mut() {
            Some(last) if last.number == number => last.sum = last.sum + rate,
            _ => self.minutes.push_back(Minute { number, sum: rate }),
        }
    }

    /// Each second in which something went through, with how many there were since, the newest first; those of which only the minute
    /// is kept are all alike.
    fn busy_seconds(&self) -> impl Iterator<Item = (usize, Rate)> {
        let age = |number: usize| self.samples.saturating_sub(number + 1);
        let single = self.rates.iter().rev();
        let single = single.map(move |it| (age(it.number), widened(it)));
        // Seconds before this one are in their minutes.
        let bound = self.samples.saturating_sub(KEPT_RATES);
        let minutes = self.minutes.iter().rev().flat_map(move |minute| {
            let from = minute.number * MINUTE;
            let to = (from + MINUTE).min(bound);
            let count = to.saturating_sub(from).max(1) as u64;
            let rate = Rate {
                down: minute.sum.down / count,
                up: minute.sum.up / count,
            };
            (from..to).rev().map(move |number| (age(number), rate))
        });
        single.chain(minutes)
    }

    /// A rate for each sample that is kept by itself.
    fn newest_first(&self) -> impl Iterator<Item = Rate> {
        let mut busy = self.rates.iter().rev().peekable();
        let numbers = (0..self.samples).rev().take(KEPT_RATES);
        numbers.map(move |number| {
            let rate = busy.next_if(|it| it.number == number).map(widened);
            rate.unwrap_or_default()
        })
    }

    /// Those of the last `seconds` that are not 0.
    fn busy(&self, seconds: usize) -> impl Iterator<Item = Rate> {
        let busy = self.busy_seconds();
        busy.take_while(move |(age, _)| *age < seconds)
            .map(|(_, rate)| rate)
    }

    pub(super) fn rtts(&self) -> &Rtts {
        &self.rtts
    }

    pub(super) fn latest(&self) -> Rate {
        self.newest_first().next().unwrap_or_default()
    }

    /// The highest rates of the last `seconds`, each for itself.
    pub(super) fn peak(&self, seconds: usize) -> Rate {
        self.busy(seconds).fold(Rate::default(), |peak, rate| Rate {
            down: peak.down.max(rate.down),
            up: peak.up.max(rate.up),
        })
    }

    /// Bytes in the last `seconds`, both ways.
    pub(super) fn volume(&self, seconds: usize) -> u64 {
        self.busy(seconds).map(|rate| rate.down + rate.up).sum()
    }
}

/// Round-trip times, one a second, the newest last, in tenths of a millisecond, as thousands of peers may be kept: up to 6.5 s.
#[derive(Clone, Debug, Default)]
pub(super) struct Rtts(VecDeque<u16>);

/// What round-trip times were like, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) least: f32,
    pub(super) median: f32,
    /// What one in twenty exceeds.
    pub(super) p95: f32,
    pub(super) most: f32,
    /// The mean difference of one to the next (as in RFC 3550, without its smoothing).
    pub(super) jitter: f32,
}

impl Rtts {
    fn record(&mut self, steps: usize, rtt: Option<Duration>) {
        if steps == 0 {
            self.0.pop_back();
        }
        for _ in 1..steps {
            push(&mut self.0, UNMEASURED, KEPT_RTTS);
        }
        // A cast of a number with a fraction stays within its bounds.
        let tenths = |rtt: Duration| (rtt.as_secs_f32() * 1e4).round() as u16;
        let tenths = rtt.map_or(UNMEASURED, |rtt| tenths(rtt).min(UNMEASURED - 1));
        push(&mut self.0, tenths, KEPT_RTTS);
    }

    /// In milliseconds.
    fn measured(tenths: u16) -> Option<f32> {
        (tenths != UNMEASURED).then(|| f32::from(tenths) / 10.0)
    }

    /// What was measured so many seconds before the newest.
    fn ago(&self, seconds: usize) -> Option<Duration> {
        let at = self.0.len().checked_sub(seconds.checked_add(1)?)?;
        let ms = self.0.get(at).copied().and_then(Self::measured)?;
        Some(Duration::from_secs_f32(ms / 1e3))
    }

    /// The last `seconds` in `columns`, the newest last: the mean of each, if any was measured.
    pub(super) fn means(&self, seconds: usize, columns: usize) -> Vec<Option<f32>> {
        let at = |age: usize| {
            let index = self.0.len().checked_sub(age + 1)?;
            self.0.get(index).copied().and_then(Self::measured)
        };
        let mean = |column: usize| {
            let from = column * seconds / columns.max(1);
            let to = ((column + 1) * seconds / columns.max(1)).max(from + 1);
            let (mut sum, mut count) = (0.0, 0.0);
            for ms in (from..to).filter_map(at) {
                sum += ms;
                count += 1.0;
            }
            (count > 0.0).then_some(sum / count)
        };
        (0..columns).rev().map(mean).collect()
    }

    /// None before anything was measured.
    pub(super) fn spread(&self) -> Option<Spread> {
        let measured: Vec<f32> = self.0.iter().copied().filter_map(Self::measured).collect();
        let mut sorted = measured.clone();
        sorted.sort_by(f32::total_cmp);
        let at = |percent: usize| sorted.get((sorted.len().saturating_sub(1)) * percent / 100);
        let steps = measured.windows(2).filter_map(|pair| match pair {
            [before, after] => Some((after - before).abs()),
            _ => None,
        });
        let jitter = steps.fold(0.0, |sum, step| sum + step)
            / measured.len().saturating_sub(1).max(1) as f32;
        Some(Spread {
            least: *sorted.first()?,
            median: *at(50)?,
            p95: *at(95)?,
            most: *sorted.last()?,
            jitter,
        })
    }
}

fn widened(sample: &Sample) -> Rate {
    Rate {
        down: u64::from(sample.down),
        up: u64::from(sample.up),
    }
}

/// Grows by steps instead of doubling, and never beyond what is kept: with thousands of peers that is what a window's memory is.
fn push<T>(ring: &mut VecDeque<T>, value: T, kept: usize) {
    const STEP: usize = 60;
    if ring.len() == kept {
        ring.pop_front();
    }
    if ring.len() == ring.capacity() {
        ring.reserve_exact(STEP.min(kept - ring.len()));
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
        let mut kept: Vec<_> = track.newest_first().map(|rate| rate.down).collect();
        kept.reverse();
        assert_eq!(kept, [5, 0, 0, 8]);
        assert_eq!([1, 3, 4].map(|seconds| track.volume(seconds)), [8, 8, 13]);
        let means = track.rtts().means(60, 60);
        assert_eq!(means[56..], [Some(10.0), None, None, Some(30.0)]);
    }

    #[test]
    fn round_trips_are_averaged_into_columns_and_summed_up() {
        let mut rtts = Rtts::default();
        for ms in [10, 20, 30, 50] {
            rtts.record(1, Some(Duration::from_millis(ms)));
        }
        assert_eq!(rtts.means(4, 2), [Some(15.0), Some(40.0)]);
        assert_eq!(rtts.means(2, 4), [30.0, 30.0, 50.0, 50.0].map(Some));
        assert_eq!(rtts.means(8, 2), [None, Some(27.5)]);
        let spread = rtts.spread().unwrap();
        assert_eq!(
            (spread.least, spread.median, spread.most),
            (10.0, 20.0, 50.0)
        );
        assert!((spread.jitter - 40.0 / 3.0).abs() < 1e-4);
        assert_eq!(Rtts::default().spread(), None);
    }

    #[test]
    fn ten_minutes_of_samples_take_no_more_room_than_they_need() {
        let mut history = History::default();
        let track = track(&mut history, &[7; 2 * KEPT_RATES]);
        assert_eq!(track.rates.len(), KEPT_RATES);
        assert_eq!(track.newest_first().count(), KEPT_RATES);
        assert_eq!(track.rtts.0.capacity(), KEPT_RTTS);
        let silent = self::track(&mut history, &[0; 2 * KEPT_RATES]);
        assert_eq!(silent.rates.capacity(), 0);
        assert_eq!(silent.newest_first().count(), KEPT_RATES);
    }

    #[test]
    fn an_hour_is_kept_by_the_minute_where_it_is_not_by_the_second() {
        let mut history = History::default();
        let rates: Vec<u64> = (0..2 * 3600).map(|second| second / 60).collect();
        let track = track(&mut history, &rates);
        assert!(track.minutes.len() <= KEPT_MINUTES, "{track:?}");
        let hour = history.averages(&track, 60, 60);
        let down: Vec<u64> = hour.iter().map(|rate| rate.down).collect();
        assert_eq!(down, (60..120).collect::<Vec<_>>());
        // Also in columns of half a minute, none of which is left empty.
        let halves = history.averages(&track, 30, 120);
        let down: Vec<u64> = halves.iter().map(|rate| rate.down).collect();
        assert_eq!(down, (120..240).map(|half| half / 2).collect::<Vec<_>>());
        assert_eq!(track.peak(3600).down, 119);
        assert_eq!(track.volume(3600), (60..120).sum::<u64>() * 60);
        assert_eq!(track.volume(60), 119 * 60);
        let silent = self::track(&mut history, &[0; 2 * 3600]);
        assert_eq!(silent.minutes.capacity(), 0);
    }
}

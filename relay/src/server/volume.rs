//! What was sent through the relay in a month, by key and in all, and whether that is as much as may be.
//!
//! Months are those of UTC, by the system's clock, which may be wrong and be put right. So the counts of the months that it was
//! in last are kept: a clock that comes back finds them again, whichever way it had jumped.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike, NaiveDate};
use peerway_proto::{PeerId, wire::relay::CloseReason};

/// Months whose counts are kept: the present one, and those that the clock was in before.
const MONTHS: usize = 3;
/// Keys that are counted in a month. Where there are more, those that sent least are forgotten.
const KEYS: usize = 65_536;

/// A month of UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month(u32);

impl Month {
    /// The month of so many milliseconds since the Unix epoch.
    #[must_use]
    pub fn of(unix_ms: u64) -> Self {
        let ms = i64::try_from(unix_ms).ok();
        let time = ms
            .and_then(DateTime::from_timestamp_millis)
            .unwrap_or_default();
        let year = u32::try_from(time.year()).unwrap_or_default();
        Self(year.saturating_mul(12).saturating_add(time.month0()))
    }

    /// The month of a number that [`Self::number`] gave.
    #[must_use]
    pub fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// Its number: later months have higher ones.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }

    /// The day after it, as in 2026-12-01.
    #[must_use]
    pub fn next_begins(self) -> String {
        let next = self.0.saturating_add(1);
        let year = i32::try_from(next / 12).unwrap_or(i32::MAX);
        let day = NaiveDate::from_ymd_opt(year, next % 12 + 1, 1);
        day.unwrap_or_default().to_string()
    }
}

/// What may be sent in a month, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VolumeLimits {
    /// By each client.
    pub client: Option<u64>,
    /// By all together.
    pub relay: Option<u64>,
}

/// What was sent in one month.
#[derive(Debug, Default)]
struct Sent {
    in_all: u64,
    by_key: BTreeMap<PeerId, u64>,
}

#[derive(Debug, Default)]
pub(super) struct Volumes {
    limits: VolumeLimits,
    month: Month,
    /// The months, that of the clock last.
    sent: Vec<(Month, Sent)>,
    /// What is to be written down; none for all keys together.
    changed: BTreeSet<(Month, Option<PeerId>)>,
}

impl Volumes {
    pub(super) fn new(limits: VolumeLimits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    pub(super) fn set_limits(&mut self, limits: VolumeLimits) {
        self.limits = limits;
    }

    /// The clock says this month now.
    pub(super) fn enter(&mut self, month: Month) {
        self.month = month;
        self.sent(month);
    }

    /// Counts bytes of one who pays for them.
    pub(super) fn add(&mut self, key: PeerId, bytes: u64) {
        let month = self.month;
        let by_key = &mut self.sent(month).by_key;
        if by_key.len() >= KEYS && !by_key.contains_key(&key) {
            forget_least(by_key);
        }
        let sent = by_key.entry(key).or_default();
        *sent = sent.saturating_add(bytes);
        self.changed.insert((month, Some(key)));
    }

    /// Counts bytes of anybody.
    pub(super) fn add_in_all(&mut self, bytes: u64) {
        if bytes > 0 {
            let month = self.month;
            let in_all = &mut self.sent(month).in_all;
            *in_all = in_all.saturating_add(bytes);
            self.changed.insert((month, None));
        }
    }

    /// What somebody sent this month.
    pub(super) fn of(&self, key: PeerId) -> u64 {
        let sent = self.sent.last();
        sent.map_or(0, |(_, sent)| sent.by_key.get(&key).copied().unwrap_or(0))
    }

    /// What all sent this month.
    pub(super) fn in_all(&self) -> u64 {
        self.sent.last().map_or(0, |(_, sent)| sent.in_all)
    }

    /// Why somebody may send nothing any more this month.
    pub(super) fn used_up(&self, key: PeerId) -> Option<CloseReason> {
        if self.is_used_up() {
            return Some(CloseReason::RelayVolumeUsedUp);
        }
        let limit = self.limits.client?;
        (self.of(key) >= limit).then_some(CloseReason::VolumeUsedUp)
    }

    /// Whether nobody may.
    pub(super) fn is_used_up(&self) -> bool {
        self.limits
            .relay
            .is_some_and(|limit| self.in_all() >= limit)
    }

    /// What an earlier life of the relay counted. It knew more than we do of the time before.
    pub(super) fn restore(&mut self, month: Month, key: Option<PeerId>, bytes: u64) {
        let present = self.month;
        let sent = self.sent(month);
        let count = match key {
            Some(key) => sent.by_key.entry(key).or_default(),
            None => &mut sent.in_all,
        };
        *count = count.saturating_add(bytes);
        self.sent(present);
    }

    /// The months that are kept; what was written down of others may go.
    pub(super) fn months(&self) -> Vec<Month> {
        self.sent.iter().map(|(month, _)| *month).collect()
    }

    /// What changed since the last call.
    pub(super) fn take_changes(&mut self) -> Vec<(Month, Option<PeerId>, u64)> {
        let changed = std::mem::take(&mut self.changed);
        let count = |(month, key): (Month, Option<PeerId>)| {
            let (_, sent) = self.sent.iter().find(|(it, _)| *it == month)?;
            let bytes = match key {
                Some(key) => *sent.by_key.get(&key)?,
                None => sent.in_all,
            };
            Some((month, key, bytes))
        };
        changed.into_iter().filter_map(count).collect()
    }

    /// The counts of a month, which becomes the last.
    fn sent(&mut self, month: Month) -> &mut Sent {
        match self.sent.iter().position(|(it, _)| *it == month) {
            Some(at) if at + 1 < self.sent.len() => {
                let found = self.sent.remove(at);
                self.sent.push(found);
            }
            Some(_) => {}
            None => {
                if self.sent.len() >= MONTHS {
                    self.sent.remove(0);
                }
                self.sent.push((month, Sent::default()));
            }
        }
        let last = self.sent.len() - 1;
        &mut self.sent[last].1
    }
}

/// Forgets the half that sent less, so that this is seldom done.
fn forget_least(by_key: &mut BTreeMap<PeerId, u64>) {
    let mut counts: Vec<_> = by_key.values().copied().collect();
    counts.sort_unstable();
    let middle = counts.get(counts.len() / 2).copied().unwrap_or_default();
    let mut spare = by_key.len() / 2;
    by_key.retain(|_, bytes| {
        let goes = *bytes <= middle && spare > 0;
        spare -= usize::from(goes);
        !goes
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerway_proto::SecretKey;

    const NOVEMBER: u64 = 1_793_500_000_000;
    const DAY: u64 = 24 * 3_600_000;

    fn key(seed: u8) -> PeerId {
        SecretKey::from_seed(&[seed; 32]).id()
    }

    fn volumes(client: u64, relay: u64) -> Volumes {
        let mut volumes = Volumes::new(VolumeLimits {
            client: Some(client),
            relay: Some(relay),
        });
        volumes.enter(Month::of(NOVEMBER));
        volumes
    }

    #[test]
    fn a_month_ends_at_midnight_of_utc_and_the_next_day_is_named() {
        let last_ms = 1_796_083_199_999;
        assert_eq!(Month::of(last_ms).next_begins(), "2026-12-01");
        assert_eq!(Month::of(last_ms + 1).next_begins(), "2027-01-01");
        assert_eq!(Month::of(0).next_begins(), "1970-02-01");
        assert!(!Month::of(u64::MAX).next_begins().is_empty());
    }

    #[test]
    fn whoever_used_theirs_up_has_to_wait_and_the_others_have_not() {
        let mut volumes = volumes(100, 1000);
        volumes.add(key(1), 99);
        assert_eq!(volumes.used_up(key(1)), None);
        volumes.add(key(1), 1);
        assert_eq!(volumes.used_up(key(1)), Some(CloseReason::VolumeUsedUp));
        assert_eq!(volumes.used_up(key(2)), None);
        volumes.add_in_all(1000);
        assert_eq!(
            volumes.used_up(key(2)),
            Some(CloseReason::RelayVolumeUsedUp)
        );
        volumes.enter(Month::of(NOVEMBER + 31 * DAY));
        assert_eq!((volumes.used_up(key(1)), volumes.in_all()), (None, 0));
    }

    #[test]
    fn a_clock_that_jumps_and_comes_back_finds_what_was_counted() {
        for elsewhere in [0, NOVEMBER - 400 * DAY, NOVEMBER + 4000 * DAY, u64::MAX] {
            let mut volumes = volumes(100, 1000);
            volumes.add(key(1), 100);
            volumes.enter(Month::of(elsewhere));
            assert_eq!(volumes.used_up(key(1)), None);
            volumes.add(key(1), 5);
            volumes.enter(Month::of(NOVEMBER));
            assert_eq!(volumes.of(key(1)), 100, "{elsewhere}");
        }
        let mut volumes = volumes(100, 1000);
        for month in 0..100 {
            volumes.enter(Month::of(NOVEMBER + month * 40 * DAY));
        }
        assert_eq!(volumes.months().len(), MONTHS);
    }

    #[test]
    fn what_changed_is_written_down_and_read_again() {
        let mut first = volumes(100, 1000);
        first.add(key(1), 60);
        first.add_in_all(60);
        let written = first.take_changes();
        assert_eq!(written.len(), 2);
        assert_eq!(first.take_changes(), []);
        let mut second = volumes(100, 1000);
        for (month, key, bytes) in written {
            second.restore(month, key, bytes);
        }
        second.restore(Month::of(0), Some(key(2)), 500);
        second.add(key(1), 40);
        assert_eq!(second.used_up(key(1)), Some(CloseReason::VolumeUsedUp));
        assert_eq!((second.in_all(), second.of(key(2))), (60, 0));
    }

    #[test]
    fn keys_without_end_are_forgotten_but_for_those_that_sent_most() {
        let mut by_key: BTreeMap<_, _> =
            (0..100).map(|seed| (key(seed), u64::from(seed))).collect();
        forget_least(&mut by_key);
        assert_eq!(by_key.len(), 50);
        assert_eq!(by_key.get(&key(99)), Some(&99));
    }
}

//! When a folder that changes is shared anew, and what of it rests: [`Settling`]. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use crate::store::file::Stamp;

/// How soon after the first sign of a change is looked.
const SOON: Duration = Duration::from_millis(250);
/// How long a file has to stay the same before it is taken for written, and between two looks where something changes all the time.
pub(super) const QUIET: Duration = Duration::from_secs(2);
/// How long what rests waits for what does not.
const LONGEST: Duration = Duration::from_secs(30);
/// How often is looked although nothing tells of a change: network file systems do not.
pub(super) const RESCAN: Duration = Duration::from_secs(600);
/// The same where the system tells of none.
pub(super) const UNTOLD: Duration = Duration::from_secs(30);
/// How often is looked whether a folder is there again, and a failed sharing tried anew.
const RETRY: Duration = Duration::from_secs(10);
/// Reading for hashes takes no more than a fifth of the time, whatever changes how often.
const REST_FACTOR: u32 = 4;

/// What is in a folder: a stamp of each file, none of a folder.
pub(super) type Found = BTreeMap<PathBuf, Option<Stamp>>;

/// A file or folder, as it was seen last.
#[derive(Clone, Copy, Debug)]
struct Seen {
    stamp: Option<Stamp>,
    /// Since when it is so.
    since: Duration,
    /// Whether it is known to rest.
    rests: bool,
    /// Whether it is given out as it is.
    given: bool,
}

/// What was seen of a folder, and when it is looked at next. Times are since any moment that stays the same.
#[derive(Debug)]
pub(super) struct Settling {
    known: BTreeMap<PathBuf, Stamp>,
    seen: BTreeMap<PathBuf, Seen>,
    /// Something is given out that is not so any more.
    is_stale: bool,
    differs_since: Option<Duration>,
    looked: Option<Duration>,
    rest_until: Duration,
    rescan: Duration,
    due: Duration,
}

impl Settling {
    /// Of a folder whose files, where they are as in `known`, were read before and rest. It is looked at at once.
    pub(super) fn new(known: BTreeMap<PathBuf, Stamp>) -> Self {
        Self {
            known,
            seen: BTreeMap::new(),
            is_stale: true,
            differs_since: None,
            looked: None,
            rest_until: Duration::ZERO,
            rescan: UNTOLD,
            due: Duration::ZERO,
        }
    }

    /// When to look next.
    pub(super) fn due(&self) -> Duration {
        self.due
    }

    /// Whether the system tells of changes from now on.
    pub(super) fn is_told(&mut self, is_told: bool) {
        self.rescan = if is_told { RESCAN } else { UNTOLD };
    }

    /// Something may have changed.
    pub(super) fn noticed(&mut self, now: Duration) {
        let pause = self.looked.map_or(now, |looked| looked + QUIET);
        self.due = self.due.min(pause.max(now + SOON));
    }

    /// The folder is so. If it is to be shared now: what to leave out of it, as it does not rest.
    pub(super) fn look(&mut self, found: &Found, now: Duration) -> Option<BTreeSet<PathBuf>> {
        self.looked = Some(now);
        self.compare(found, now);
        let resting = |it: &Seen| it.rests || it.given;
        for seen in self.seen.values_mut().filter(|seen| !resting(seen)) {
            seen.rests = seen.stamp.is_none() || now >= seen.since + QUIET;
        }
        self.due = now + self.rescan;
        let differs = self.is_stale || self.seen.values().any(|seen| !seen.given);
        if !differs {
            self.differs_since = None;
            return None;
        }
        let since = *self.differs_since.get_or_insert(now);
        let restless = self.seen.iter().filter(|(_, seen)| !resting(seen));
        let soonest = restless.clone().map(|(_, seen)| seen.since + QUIET).min();
        let has_news = self.is_stale || self.seen.values().any(|it| it.rests && !it.given);
        let is_due = soonest.is_none() || now >= since + LONGEST;
        if has_news && is_due && now >= self.rest_until {
            return Some(restless.map(|(path, _)| path.clone()).collect());
        }
        let next = match soonest {
            Some(soonest) if has_news => soonest.min(since + LONGEST),
            Some(soonest) => soonest,
            None => self.rest_until,
        };
        self.due = self.due.min(next.max(self.rest_until).max(now + SOON));
        None
    }

    fn compare(&mut self, found: &Found, now: Duration) {
        for (path, stamp) in found {
            let before = self.seen.get(path).copied();
            if before.is_some_and(|it| it.stamp == *stamp) {
                continue;
            }
            self.is_stale |= before.is_some_and(|it| it.given);
            let known = self.known.remove(path);
            let seen = Seen {
                stamp: *stamp,
                since: now,
                rests: known.is_some() && known == *stamp,
                given: false,
            };
            self.seen.insert(path.clone(), seen);
        }
        let is_stale = &mut self.is_stale;
        self.seen.retain(|path, seen| {
            let is_there = found.contains_key(path);
            *is_stale |= seen.given && !is_there;
            is_there
        });
        self.known.clear();
    }

    /// All that rests is given out but for these, which changed while they were read.
    pub(super) fn shared(&mut self, restless: &BTreeSet<PathBuf>, took: Duration, now: Duration) {
        for (path, seen) in &mut self.seen {
            if restless.contains(path) {
                (seen.since, seen.rests) = (now, false);
            } else if seen.rests {
                seen.given = true;
            }
        }
        self.is_stale = false;
        self.differs_since = None;
        self.rest_until = now + QUIET.max(took * REST_FACTOR);
        // What changed meanwhile is seen then.
        self.due = self.due.min(self.rest_until);
    }

    /// It is not there, or could not be shared, and is tried again in a while.
    pub(super) fn failed(&mut self, now: Duration) {
        self.is_stale = true;
        self.rest_until = now + RETRY;
        self.due = now + RETRY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(size: u64) -> Option<Stamp> {
        Some(Stamp {
            size,
            modified: 1,
            inode: 1,
        })
    }

    fn found(files: &[(&str, u64)]) -> Found {
        let files = files.iter();
        files
            .map(|(path, size)| (path.into(), stamp(*size)))
            .collect()
    }

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// A folder as it is at each time, with signs of what changes: when what was shared, files that were left out behind a `-`.
    fn played(steps: &[(f64, Found)], end: f64) -> Vec<(f64, String)> {
        let mut settling = Settling::new(BTreeMap::new());
        settling.is_told(true);
        let (mut shared, mut steps, mut is) = (Vec::new(), steps.iter().peekable(), Found::new());
        loop {
            let step = steps.peek().map_or(f64::MAX, |(at, _)| *at);
            let due = settling.due().as_secs_f64();
            if step.min(due) > end {
                return shared;
            }
            if let Some((at, new)) = steps.next_if(|_| step <= due) {
                is.clone_from(new);
                settling.noticed(seconds(*at));
                continue;
            }
            let now = settling.due();
            let Some(out) = settling.look(&is, now) else {
                assert!(settling.due() > now, "it looks and looks");
                continue;
            };
            let names = is.keys().map(|path| {
                let minus = if out.contains(path) { "-" } else { "" };
                format!("{minus}{}", path.display())
            });
            shared.push((now.as_secs_f64(), names.collect::<Vec<_>>().join(" ")));
            settling.shared(&BTreeSet::new(), seconds(0.1), now);
        }
    }

    #[test]
    fn a_file_is_shared_soon_after_it_was_written_and_once() {
        let shared = played(&[(0.0, found(&[])), (100.0, found(&[("a", 1)]))], 5000.0);
        let names: Vec<_> = shared.iter().map(|(_, names)| names.as_str()).collect();
        assert_eq!(names, ["", "a"], "{shared:?}");
        let (at, _) = shared[1];
        assert!((102.0..103.0).contains(&at), "{at}");
    }

    #[test]
    fn what_is_written_for_long_is_shared_when_it_rests_and_keeps_others_waiting_half_a_minute() {
        let steps: Vec<_> = (0..120u32)
            .map(|second| {
                (
                    f64::from(second) + 0.5,
                    found(&[("a", 7), ("film", second.into())]),
                )
            })
            .collect();
        let shared = played(&steps, 5000.0);
        let names: Vec<_> = shared.iter().map(|(_, names)| names.as_str()).collect();
        assert_eq!(names, ["", "a -film", "a film"], "{shared:?}");
        assert!((30.0..35.0).contains(&shared[1].0), "{shared:?}");
        assert!((121.0..125.0).contains(&shared[2].0), "{shared:?}");
    }

    #[test]
    fn what_goes_is_given_out_no_more_and_what_stays_the_same_is_not_read_again() {
        let steps = [
            (0.0, found(&[("a", 1), ("b", 1)])),
            (50.0, found(&[("b", 1)])),
            (60.0, found(&[("b", 1)])),
        ];
        let shared = played(&steps, 5000.0);
        let names: Vec<_> = shared.iter().map(|(_, names)| names.as_str()).collect();
        assert_eq!(names, ["a b", "b"], "{shared:?}");
    }

    #[test]
    fn a_thousand_changes_at_once_are_one_sharing() {
        let steps: Vec<_> = (0..1000u32)
            .map(|at| (f64::from(at) / 1000.0, found(&[("a", at.into())])))
            .collect();
        assert_eq!(played(&steps, 5000.0).len(), 1);
    }

    #[test]
    fn reading_takes_a_fifth_of_the_time_at_most_and_what_changed_meanwhile_is_read_once_more() {
        let mut settling = Settling::new(BTreeMap::new());
        settling.is_told(true);
        let one = found(&[("a", 1)]);
        assert_eq!(settling.look(&one, seconds(0.0)), None);
        assert!(settling.look(&one, seconds(2.0)).is_some());
        let changed = BTreeSet::from(["a".into()]);
        settling.shared(&changed, seconds(10.0), seconds(12.0));
        settling.noticed(seconds(13.0));
        assert_eq!(settling.look(&one, seconds(13.5)), None);
        assert_eq!(settling.look(&one, seconds(15.0)), None);
        assert_eq!(settling.due(), seconds(52.0));
        assert_eq!(settling.look(&one, seconds(52.0)), Some(BTreeSet::new()));
    }

    #[test]
    fn what_was_read_before_the_node_began_is_shared_at_once() {
        let known = BTreeMap::from([("a".into(), stamp(1).unwrap())]);
        let mut settling = Settling::new(known.clone());
        let shared = settling.look(&found(&[("a", 1)]), seconds(0.0));
        assert_eq!(shared, Some(BTreeSet::new()));
        let mut settling = Settling::new(known);
        assert_eq!(settling.look(&found(&[("a", 2)]), seconds(0.0)), None);
    }

    #[test]
    fn a_folder_that_cannot_be_shared_is_tried_again_and_not_at_once() {
        let mut settling = Settling::new(BTreeMap::new());
        assert!(settling.look(&found(&[]), seconds(0.0)).is_some());
        settling.failed(seconds(1.0));
        assert_eq!(settling.due(), seconds(11.0));
        settling.noticed(seconds(1.0));
        assert_eq!(settling.look(&found(&[]), seconds(3.0)), None);
        assert!(settling.look(&found(&[]), settling.due()).is_some());
    }
}

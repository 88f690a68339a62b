//! How a peer was reached over time, as cells of equal time and as shares.

use std::collections::BTreeMap;

use peerway::{PathInfo, RelayUrl};

use super::{
    trail::{Phase, Trail},
    words::Standing,
};

/// What a strip spans: the least of these that has all that is known.
const SPANS_MS: [u64; 4] = [120_000, 600_000, 3_600_000, 21_600_000];

/// A way to reach a peer, as a strip tells them apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Way {
    pub(super) kind: Standing,
    pub(super) relay: Option<RelayUrl>,
}

/// Where to in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scrub {
    Earlier,
    Later,
}

/// The last part of a peer's trail.
#[derive(Debug)]
pub(super) struct Strip<'a> {
    phases: Vec<(&'a Phase, u64)>,
    pub(super) from_ms: u64,
    pub(super) to_ms: u64,
}

impl Way {
    fn of(phase: &Phase) -> Self {
        let relay = match &phase.path {
            Some(PathInfo::Relay { remote }) if phase.kind == Standing::Relay => {
                Some(remote.clone())
            }
            Some(PathInfo::Relay { .. } | PathInfo::Direct { .. } | PathInfo::Unknown | _)
            | None => None,
        };
        Self {
            kind: phase.kind,
            relay,
        }
    }

    /// What carries the data, if anything does. A path that falls silent and answers again is still the same.
    fn carrier(self) -> Option<Self> {
        match self.kind {
            Standing::Direct | Standing::Relay => Some(self),
            Standing::Suspect => Some(Self {
                kind: Standing::Direct,
                ..self
            }),
            Standing::Connecting | Standing::Idle | Standing::Unreachable => None,
        }
    }
}

impl<'a> Strip<'a> {
    pub(super) fn of(trail: &'a Trail, now_ms: u64) -> Self {
        let phases: Vec<(&Phase, u64)> = trail
            .phases()
            .map(|(phase, end)| (phase, end.unwrap_or(now_ms)))
            .collect();
        let first = phases.first().map_or(now_ms, |(phase, _)| phase.since_ms);
        let known = now_ms.saturating_sub(first);
        let [.., longest] = SPANS_MS;
        let span = SPANS_MS.into_iter().find(|span| *span >= known);
        Self {
            phases,
            from_ms: now_ms.saturating_sub(span.unwrap_or(longest)),
            to_ms: now_ms,
        }
    }

    /// When a cell of so many begins.
    fn begin(&self, column: usize, columns: usize) -> u64 {
        let span = self.to_ms.saturating_sub(self.from_ms);
        self.from_ms + span * column as u64 / columns.max(1) as u64
    }

    /// The cell of so many in which a moment is.
    pub(super) fn cell_of(&self, at_ms: u64, columns: usize) -> usize {
        let begun = |column: &usize| self.begin(*column, columns) <= at_ms;
        (0..columns).rev().find(begun).unwrap_or_default()
    }

    /// The moment that a cell of so many shows.
    pub(super) fn moment_of(&self, column: usize, columns: usize) -> u64 {
        let (from, to) = (self.begin(column, columns), self.begin(column + 1, columns));
        let began = self.phases.iter().map(|(phase, _)| phase.since_ms);
        began
            .rev()
            .find(|at| (from..to).contains(at))
            .unwrap_or(from)
            .max(self.first_ms())
    }

    /// How the peer was reached at a moment, and when that ended; none for what goes on.
    pub(super) fn phase_at(&self, at_ms: u64) -> Option<(&'a Phase, Option<u64>)> {
        let begun = self
            .phases
            .iter()
            .rposition(|(phase, _)| phase.since_ms <= at_ms);
        let at = begun.unwrap_or_default();
        let (phase, end) = self.phases.get(at)?;
        Some((phase, (at + 1 < self.phases.len()).then_some(*end)))
    }

    /// A cell of so many on from a moment, or less where a phase begins before that: none is left out, however short it was. None is now.
    pub(super) fn step(&self, at_ms: Option<u64>, way: Scrub, columns: usize) -> Option<u64> {
        let span = self.to_ms.saturating_sub(self.from_ms);
        let cell = (span / columns.max(1) as u64).max(1);
        let mut began = self.phases.iter().map(|(phase, _)| phase.since_ms);
        match way {
            Scrub::Earlier => {
                let from = at_ms.unwrap_or(self.to_ms);
                match began.rev().find(|at| *at < from) {
                    Some(last) => Some(from.saturating_sub(cell).max(last).max(self.first_ms())),
                    None => at_ms,
                }
            }
            Scrub::Later => {
                let from = at_ms?;
                let next = began.find(|at| *at > from).unwrap_or(u64::MAX);
                Some(next.min(from.saturating_add(cell))).filter(|at| *at < self.to_ms)
            }
        }
    }

    /// The first moment of which it is known how the peer was reached.
    pub(super) fn first_ms(&self) -> u64 {
        let first = self.phases.first().map(|(phase, _)| phase.since_ms);
        first.unwrap_or(self.from_ms).max(self.from_ms)
    }

    /// The way of each of so many cells; a phase that began in a cell is seen there, however short it was.
    pub(super) fn cells(&self, columns: usize) -> Vec<Option<Way>> {
        let at = |column: usize| self.begin(column, columns);
        (0..columns)
            .map(|column| {
                let (from, to) = (at(column), at(column + 1));
                let within = |(phase, _): &&(&Phase, u64)| {
                    (from..to).contains(&phase.since_ms)
                        || column + 1 == columns && phase.since_ms == to
                };
                // The rarest is what one looks for: the last that began, unless one that can be used began before it.
                let began = self.phases.iter().rev().find(within);
                let covers = |(phase, end): &&(&Phase, u64)| phase.since_ms <= from && *end > from;
                let found = began.or_else(|| self.phases.iter().find(covers));
                found.map(|(phase, _)| Way::of(phase))
            })
            .collect()
    }

    /// The ways with their time, milliseconds, and how often the data took another path, both of what the strip spans.
    pub(super) fn shares(&self) -> (BTreeMap<Way, u64>, usize) {
        let spanned = |(_, end): &&(&Phase, u64)| *end > self.from_ms || *end == self.to_ms;
        let phases = || self.phases.iter().filter(spanned);
        let mut shares = BTreeMap::new();
        for (phase, end) in phases() {
            let time = end.saturating_sub(phase.since_ms.max(self.from_ms));
            *shares.entry(Way::of(phase)).or_default() += time;
        }
        let carriers: Vec<Way> = phases()
            .filter_map(|(phase, _)| Way::of(phase).carrier())
            .collect();
        let switches = carriers.windows(2).filter(|pair| match pair {
            [before, after] => before != after,
            _ => false,
        });
        (shares, switches.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dash::{
        tests::fixtures::{Row, id, node, snapshot},
        trail::Trails,
    };

    #[test]
    fn a_switch_is_another_path_within_the_strip() {
        let mut trails = Trails::default();
        let ams = "relay ams2.example.org";
        // Seven hours ago, longer than the longest strip, and within the last minute.
        let phases = [
            (0, "direct", "192.0.2.9:5000"),
            (60, "relayed", ams),
            (120, "direct", "192.0.2.9:5000"),
            (25_200, "relayed", ams),
            (25_210, "direct", "192.0.2.9:5000"),
            (25_220, "suspect", "192.0.2.9:5000"),
            (25_230, "direct", "192.0.2.9:5000"),
        ];
        let mut now_ms = 0;
        for (at_s, state, path) in phases {
            let row = Row {
                state,
                path: Some(path),
                age_s: 0,
                ..Row::OFFLINE
            };
            let mut node = (*snapshot(&node(vec![row.to_value()]))).clone();
            now_ms = 1_000_000_000 + at_s * 1000;
            node.at_ms = now_ms;
            trails.record(&node);
        }
        let strip = Strip::of(trails.peer(&id(1)).unwrap(), now_ms + 10_000);
        let (shares, switches) = strip.shares();
        assert_eq!(switches, 2, "{strip:?}");
        let suspect = shares.iter().find(|(way, _)| way.kind == Standing::Suspect);
        assert_eq!(suspect.map(|(_, time)| *time), Some(10_000));
    }
}

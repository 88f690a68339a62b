//! What was done for a direct path, and what it took.

use std::time::{Duration, Instant};

use super::guess::Method;
use crate::{
    Guessing, Kinds, Tried,
    times::whole,
    wire::candidate::{Candidate, CandidateKind},
};

/// What was done for a direct path since the dial or, if there was one, since it died.
#[derive(Default)]
pub(super) struct Effort {
    since: Option<Instant>,
    /// What it took until the path was there; whatever is tried later is for a better one.
    cost: Option<Cost>,
    pub(super) hellos: u32,
    pub(super) rounds: u32,
    probed: Kinds,
    forbidden: u32,
    pub(super) sent: u32,
    pub(super) answered: u32,
    /// Requests of the peer that came in.
    pub(super) heard: u32,
    /// Round trip of a direct path that was not taken because the relay is faster.
    pub(super) held_back: Option<Duration>,
    /// How the path was found, if by guessing.
    pub(super) found: Option<Method>,
}

/// What a direct path has cost.
#[derive(Clone, Copy)]
struct Cost {
    took: Duration,
    hellos: u32,
    rounds: u32,
    sent: u32,
    answered: u32,
}

impl Effort {
    /// An attempt at a direct path begins.
    pub(super) fn begin(&mut self, now: Instant) {
        *self = Self {
            since: Some(now),
            ..Self::default()
        };
    }

    /// Notes which of the peer's candidates are going to be probed.
    pub(super) fn plan(&mut self, named: &[Candidate], targets: &[Candidate]) {
        self.probed = kinds(targets);
        self.forbidden = named.len().saturating_sub(targets.len()) as u32;
    }

    /// There is a direct path.
    pub(super) fn done(&mut self, now: Instant) {
        self.held_back = None;
        let so_far = self.so_far(now);
        self.cost.get_or_insert(so_far);
    }

    /// There is a path, but one that was only the next best: what is tried for a better one belongs to it.
    pub(super) fn go_on(&mut self) {
        self.cost = None;
    }

    /// What was tried, but for what is known elsewhere.
    pub(super) fn tried(&self, now: Instant, guessing: Guessing) -> Tried {
        let cost = self.cost.unwrap_or_else(|| self.so_far(now));
        Tried {
            took: whole(cost.took),
            hellos: cost.hellos,
            rounds: cost.rounds,
            probed: self.probed,
            forbidden: self.forbidden,
            sent: cost.sent,
            answered: cost.answered,
            guessing,
            relay_rtt: None,
            direct_rtt: self.held_back.map(whole),
        }
    }

    fn so_far(&self, now: Instant) -> Cost {
        let since = self.since.unwrap_or(now);
        Cost {
            took: now.saturating_duration_since(since),
            hellos: self.hellos,
            rounds: self.rounds,
            sent: self.sent,
            answered: self.answered,
        }
    }
}

/// How many there are of each kind.
pub(super) fn kinds(candidates: &[Candidate]) -> Kinds {
    let of = |kind| {
        let same = candidates.iter().filter(|candidate| candidate.kind == kind);
        same.count() as u32
    };
    Kinds {
        host: of(CandidateKind::Host),
        mapped: of(CandidateKind::Mapped),
        reflexive: of(CandidateKind::Reflexive),
    }
}

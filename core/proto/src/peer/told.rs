//! What was last told of the link, here and to the peer: only what is different is told again.

use std::time::Instant;

use crate::{PathInfo, PeerState, local::Reach, wire::candidate::Candidate};

pub(super) struct Told {
    /// The state that was last told of in an event, and since when.
    state: PeerState,
    since: Instant,
    /// The path that was last told of in an event.
    path: Option<PathInfo>,
    /// The candidates that the peer was last told.
    candidates: Vec<Candidate>,
    /// What this link last told of our own network.
    reach: Reach,
}

impl Told {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            state: PeerState::Idle,
            since: now,
            path: None,
            candidates: Vec::new(),
            reach: Reach::default(),
        }
    }

    /// Since when the link is in the state that was told.
    pub(super) fn since(&self) -> Instant {
        self.since
    }

    pub(super) fn reach(&self) -> Reach {
        self.reach
    }

    pub(super) fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// Returns the state that was told before, if this is another.
    pub(super) fn tell_state(&mut self, now: Instant, state: PeerState) -> Option<PeerState> {
        if self.state == state {
            return None;
        }
        self.since = now;
        Some(std::mem::replace(&mut self.state, state))
    }

    /// Whether this is another path than was told before.
    pub(super) fn tell_path(&mut self, path: Option<&PathInfo>) -> bool {
        let is_news = self.path.as_ref() != path;
        if is_news {
            self.path = path.cloned();
        }
        is_news
    }

    /// Returns what was told before.
    pub(super) fn tell_reach(&mut self, reach: Reach) -> Reach {
        std::mem::replace(&mut self.reach, reach)
    }

    pub(super) fn tell_candidates(&mut self, candidates: Vec<Candidate>) {
        self.candidates = candidates;
    }

    #[cfg(any(test, feature = "_fuzzing"))]
    pub(super) fn footprint(&self) -> usize {
        let relay = match &self.path {
            Some(PathInfo::Relay { remote }) => remote.host().len(),
            Some(PathInfo::Direct { .. } | PathInfo::Unknown) | None => 0,
        };
        super::footprint::of(&self.candidates) + relay
    }
}

//! What a screen shows of the node, which may stand still.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use peerway::{Event, NodeSnapshot, SwarmSnapshot};

use crate::{
    Commons,
    dash::{
        changes::Changes, contents::Meters, diagnoses::Jump, history::History, model::Model, scrub,
        trail::Trails, words::Twins,
    },
};

/// What a screen shows of the node: all of it stands still while frozen.
#[derive(Clone, Debug)]
pub(in crate::dash) struct Data {
    pub(in crate::dash) snapshot: Arc<NodeSnapshot>,
    pub(in crate::dash) swarm: Arc<SwarmSnapshot>,
    /// None of a node that does not tell.
    pub(in crate::dash) commons: Option<Arc<Commons>>,
    pub(in crate::dash) meters: Meters,
    pub(in crate::dash) history: History,
    pub(in crate::dash) changes: Changes,
    pub(in crate::dash) trails: Trails,
    pub(in crate::dash) twins: Twins,
    pub(in crate::dash) events: VecDeque<Event>,
    /// When the clock was last set.
    pub(in crate::dash) jump: Option<Jump>,
    /// The time of the first snapshot: what happened before is told, but no news.
    pub(super) began_ms: u64,
    /// Warnings that came while the events were not on the screen, or stood still there.
    pub(in crate::dash) unread: usize,
}

/// What was when the screen was frozen.
#[derive(Debug)]
pub(super) struct Still {
    data: Data,
    since: Duration,
    /// For so many seconds, as the screen says.
    shown_s: u64,
}

impl Data {
    pub(super) fn begin(first: Arc<NodeSnapshot>) -> Self {
        let (mut history, mut trails) = (History::default(), Trails::default());
        history.record(&first);
        trails.record(&first);
        Self {
            began_ms: first.at_ms,
            twins: Twins::of(&first),
            snapshot: first,
            swarm: Arc::default(),
            commons: None,
            meters: Meters::default(),
            history,
            changes: Changes::default(),
            trails,
            events: VecDeque::new(),
            jump: None,
            unread: 0,
        }
    }
}

impl Model {
    /// What is shown: the present, or what was when the screen was frozen.
    pub(in crate::dash) fn data(&self) -> &Data {
        self.still.as_ref().map_or(&self.live, |still| &still.data)
    }

    pub(in crate::dash) fn is_frozen(&self) -> bool {
        self.still.is_some()
    }

    /// For how long the screen has stood still.
    pub(in crate::dash) fn frozen_for(&self) -> Option<Duration> {
        let still = self.still.as_ref()?;
        Some(Duration::from_secs(still.shown_s))
    }

    /// When that is to be said anew.
    pub(in crate::dash) fn next_second(&self) -> Option<Duration> {
        let still = self.still.as_ref()?;
        Some(still.since + Duration::from_secs(still.shown_s + 1))
    }

    /// Time has passed, of which a screen that stands still tells no more than how long it has.
    pub(in crate::dash) fn pass(&mut self, now: Duration) {
        self.dirty |= self.pings.pass(now);
        let Some(still) = &mut self.still else { return };
        let shown_s = now.saturating_sub(still.since).as_secs();
        self.dirty |= shown_s != still.shown_s;
        still.shown_s = shown_s;
    }

    pub(in crate::dash) fn toggle_frozen(&mut self, now: Duration) {
        self.still = match self.still {
            Some(_) => None,
            None => Some(Still {
                data: self.live.clone(),
                since: now,
                shown_s: 0,
            }),
        };
        // Others may have happened meanwhile.
        if self.still.is_none() {
            scrub::mark(self);
        }
    }
}

//! Which of the peer's pairs the user wants used.

use std::time::Instant;

use crate::{io::Pair, timing::FORCED_LOOK};

/// What was said of single pairs; it lasts as long as the link.
#[derive(Default)]
pub(super) struct Choice {
    forced: Option<Forced>,
}

/// The pair that the data is to go by.
struct Forced {
    pair: Pair,
    step: Step,
}

enum Step {
    /// It has to answer until then.
    Awaited(Instant),
    /// It carries the data, and is looked at then: what the peer sends may come by another way, so that nothing else tells that ours
    /// gets lost.
    Used(Instant),
}

/// What is due with the pair that is forced.
pub(super) enum Due {
    /// It did not answer in time, and is released by that.
    Unanswered(Pair),
    /// It is to be asked.
    Look,
}

impl Choice {
    /// When a pair that has not answered is given up, or one that carries the data is looked at.
    pub(super) fn next(&self) -> Option<Instant> {
        let (Step::Awaited(at) | Step::Used(at)) = &self.forced.as_ref()?.step;
        Some(*at)
    }

    pub(super) fn is_forced(&self, pair: Pair) -> bool {
        self.forced
            .as_ref()
            .is_some_and(|forced| forced.pair == pair)
    }

    /// Data is to go by this pair, which has to answer until then.
    pub(super) fn force(&mut self, pair: Pair, until: Instant) {
        let step = Step::Awaited(until);
        self.forced = Some(Forced { pair, step });
    }

    /// The best pair is wanted again.
    pub(super) fn release(&mut self) {
        self.forced = None;
    }

    /// The pair carries the data.
    pub(super) fn took(&mut self, now: Instant, pair: Pair) {
        let forced = self.forced.as_mut().filter(|forced| forced.pair == pair);
        if let Some(forced) = forced {
            forced.step = Step::Used(now + FORCED_LOOK);
        }
    }

    /// Whether a pair that answered is to be taken, whatever else speaks for it or against; none if the user has no say in it.
    pub(super) fn rules(&self, used: Option<Pair>, pair: Pair) -> Option<bool> {
        let forced = self.forced.as_ref()?.pair;
        if pair == forced {
            Some(used != Some(pair))
        } else {
            (used == Some(forced)).then_some(false)
        }
    }

    /// The pair died. Returns whether it was the one that was forced, which is released by that.
    pub(super) fn died(&mut self, pair: Pair) -> bool {
        let was_forced = self.is_forced(pair);
        if was_forced {
            self.release();
        }
        was_forced
    }

    /// What is due now.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Due> {
        self.next().filter(|at| *at <= now)?;
        let forced = self.forced.as_mut()?;
        match forced.step {
            Step::Awaited(_) => {
                let pair = forced.pair;
                self.release();
                Some(Due::Unanswered(pair))
            }
            Step::Used(_) => {
                forced.step = Step::Used(now + FORCED_LOOK);
                Some(Due::Look)
            }
        }
    }
}

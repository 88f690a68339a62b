//! Which of the peer's pairs the user wants used.

use std::{net::SocketAddr, time::Instant};

use crate::{PairKind, io::Pair, timing::FORCED_LOOK};

/// What was said of single pairs; it lasts as long as the link.
#[derive(Default)]
pub(super) struct Choice {
    forced: Option<Forced>,
    dropped: Vec<Dropped>,
}

/// Addresses that are remembered as dropped; the oldest gives way.
const MAX_DROPPED: usize = 16;

/// An address that is neither used nor probed, whatever the socket, over TCP or not.
#[derive(Clone, Copy)]
pub(super) struct Dropped {
    pub(super) addr: SocketAddr,
    pub(super) tcp: bool,
    /// How it was learnt.
    pub(super) kind: PairKind,
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
        if self.is_dropped(pair) {
            return Some(false);
        }
        let forced = self.forced.as_ref()?.pair;
        if pair == forced {
            Some(used != Some(pair))
        } else {
            (used == Some(forced)).then_some(false)
        }
    }

    pub(super) fn dropped(&self) -> &[Dropped] {
        &self.dropped
    }

    pub(super) fn is_dropped(&self, pair: Pair) -> bool {
        self.dropped.iter().any(|dropped| dropped.is(pair))
    }

    /// The address is to be left alone.
    pub(super) fn drop_pair(&mut self, dropped: Dropped) {
        if self.forced.as_ref().is_some_and(|it| dropped.is(it.pair)) {
            self.release();
        }
        self.restore(Some((dropped.addr, dropped.tcp)));
        if self.dropped.len() >= MAX_DROPPED {
            self.dropped.remove(0);
        }
        self.dropped.push(dropped);
    }

    /// This address, or any if none is named, is no longer to be left alone. Returns those that were.
    pub(super) fn restore(&mut self, named: Option<(SocketAddr, bool)>) -> Vec<Dropped> {
        let is_meant = |it: &mut Dropped| named.is_none_or(|named| named == (it.addr, it.tcp));
        self.dropped.extract_if(.., is_meant).collect()
    }

    #[cfg(any(test, feature = "_fuzzing"))]
    pub(super) fn footprint(&self) -> usize {
        super::footprint::of(&self.dropped)
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

impl Dropped {
    fn is(&self, pair: Pair) -> bool {
        (self.addr, self.tcp) == (pair.addr, pair.sock.is_tcp())
    }
}

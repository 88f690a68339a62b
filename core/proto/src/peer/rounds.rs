//! When the next attempt at a direct path is made, and the relay is asked to bind the lane again.

use std::time::{Duration, Instant};

use rand::Rng;

use super::Context;
use crate::{
    PeerId,
    timing::{LINGER, REBIND, RETRY, ROUND_GAPS, ROUND_LATER, ROUND_SPACING, ROUND_TRAFFIC},
};

/// When what is tried again.
#[derive(Default)]
pub(super) struct Rounds {
    /// The next round while relayed, or the next dial after a failure.
    next: Option<Instant>,
    /// When the relay is asked to bind the lane again.
    rebind: Option<Instant>,
    rebind_wait: Option<Duration>,
    /// When the last round began.
    last: Option<Instant>,
    /// Rounds, or dials, since there was a direct path.
    count: usize,
    /// Whether the peer was asked since then if it is there at all.
    asked: bool,
    /// When data last flowed.
    traffic: Option<Instant>,
}

impl Rounds {
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    pub(super) fn next_rebind(&self) -> Option<Instant> {
        self.rebind
    }

    /// Data flows.
    pub(super) fn note_traffic(&mut self, now: Instant) {
        self.traffic = Some(now);
    }

    /// When data last flowed.
    pub(super) fn traffic(&self) -> Option<Instant> {
        self.traffic
    }

    /// Plans the next round of a link that the relay carries.
    pub(super) fn schedule(&mut self, ctx: &mut Context<'_>, peer: PeerId, lost: bool) {
        // The first round after a direct path died starts at once.
        let first_at_once = lost && self.count == 0;
        let gap = match self.count {
            _ if first_at_once => Duration::ZERO,
            count => ROUND_GAPS
                .get(count)
                .copied()
                .unwrap_or_else(|| jittered(ctx, ROUND_LATER)),
        };
        // Both sides count their own rounds; the larger id leaves the first move to the other.
        let courtesy = if ctx.local.id < peer {
            Duration::ZERO
        } else {
            ROUND_SPACING
        };
        self.next = Some(ctx.now + gap + courtesy);
    }

    /// There are to be no more rounds.
    pub(super) fn cancel(&mut self) {
        self.next = None;
    }

    /// Plans the next dial after a failure; or, where nobody wants it, the end.
    pub(super) fn retry(&mut self, ctx: &mut Context<'_>, wanted: bool) {
        let (first, longest) = RETRY;
        let wait = (first * 2u32.saturating_pow(self.count as u32)).min(longest);
        self.count += 1;
        let half = wait / 2;
        let wait = if wanted {
            half + half.mul_f64(ctx.rng.random())
        } else {
            LINGER
        };
        self.next = Some(ctx.now + wait);
    }

    /// Something changed that makes another round worth while.
    pub(super) fn soon(&mut self, now: Instant) {
        let last = self.last;
        let soonest = last.map_or(now, |last| (last + ROUND_SPACING).max(now));
        self.next = Some(self.next.map_or(soonest, |next| next.min(soonest)));
    }

    /// What was tried before does not count any more.
    pub(super) fn begin_anew(&mut self) {
        (self.last, self.count) = (None, 0);
    }

    /// Whether it is time for what was planned.
    pub(super) fn take_due(&mut self, now: Instant) -> bool {
        self.next.take_if(|at| *at <= now).is_some()
    }

    /// A round begins.
    pub(super) fn begin(&mut self, now: Instant) {
        self.count += 1;
        self.last = Some(now);
    }

    /// Whether a peer is to be asked if it is there at all, whose path died while nobody used it: says so once.
    pub(super) fn take_question(&mut self, now: Instant) -> bool {
        let asks = !std::mem::replace(&mut self.asked, true) && !self.in_use(now);
        if asks {
            self.last = Some(now);
        }
        asks
    }

    /// Whether it is time to ask the relay to bind the lane.
    pub(super) fn take_rebind(&mut self, now: Instant) -> bool {
        self.rebind.take_if(|at| *at <= now).is_some()
    }

    /// The relay forgot that we and the peer belong together, or the peer is not back yet: asks again, ever more rarely.
    pub(super) fn rebind_later(&mut self, now: Instant, wanted: bool) {
        let wait = self
            .rebind_wait
            .map_or(REBIND, |wait| (wait * 2).min(ROUND_LATER));
        self.rebind_wait = Some(wait);
        if wanted {
            self.rebind = Some(now + wait);
        }
    }

    /// There is a direct path: what was tried before does not count any more.
    pub(super) fn direct(&mut self) {
        self.next = None;
        self.count = 0;
        self.asked = false;
    }

    /// When the next attempt starts, from now; none if nothing is due or the link carries no data.
    pub(super) fn next_in(&self, is_failed: bool, now: Instant) -> Option<Duration> {
        let idle = !is_failed && !self.in_use(now);
        self.next
            .filter(|_| !idle)
            .map(|at| at.saturating_duration_since(now))
    }

    /// Asks the relay at once to bind the lane; later tries begin with the shortest wait again.
    pub(super) fn rebind_now(&mut self, now: Instant) {
        (self.rebind, self.rebind_wait) = (Some(now), None);
    }

    /// Whether data flowed not long ago.
    pub(super) fn in_use(&self, now: Instant) -> bool {
        self.traffic
            .is_some_and(|at| now.saturating_duration_since(at) < ROUND_TRAFFIC)
    }
}

fn jittered(ctx: &mut Context<'_>, time: Duration) -> Duration {
    time.mul_f64(ctx.rng.random_range(0.8..1.2))
}

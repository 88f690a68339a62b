//! Life on the relay: when the next attempt at a direct path is made.

use std::time::{Duration, Instant};

use rand::Rng;

use super::{Context, Peer, path::Doubt};
use crate::{
    PeerState,
    local::Local,
    timing::{LINGER, REBIND, RETRY, ROUND_GAPS, ROUND_LATER, ROUND_SPACING, ROUND_TRAFFIC},
};

/// When what is tried again.
#[derive(Default)]
pub(super) struct Rounds {
    /// The next round while relayed, or the next dial after a failure.
    pub(super) next: Option<Instant>,
    /// When the relay is asked to bind the lane again.
    pub(super) rebind: Option<Instant>,
    rebind_wait: Option<Duration>,
    /// When the last round began.
    last: Option<Instant>,
    /// Rounds, or dials, since there was a direct path.
    count: usize,
    /// Whether the peer was asked since then if it is there at all.
    asked: bool,
    /// When data last flowed.
    pub(super) traffic: Option<Instant>,
}

impl Rounds {
    /// There is a direct path: what was tried before does not count any more.
    pub(super) fn direct(&mut self) {
        self.next = None;
        self.count = 0;
        self.asked = false;
    }

    /// When the next attempt starts, in milliseconds; none if nothing is due or the link carries no data.
    pub(super) fn next_ms(&self, state: PeerState, now: Instant) -> Option<u64> {
        let idle = state != PeerState::Failed && !self.in_use(now);
        self.next
            .filter(|_| !idle)
            .map(|at| at.saturating_duration_since(now).as_millis() as u64)
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

impl Peer {
    /// The relay carries the data from now on; another round follows.
    pub(super) fn relayed(&mut self, ctx: &mut Context<'_>) {
        if self.contact.live_via(ctx.local).is_none() && self.contact.via().is_none() {
            return self.dial(ctx);
        }
        self.become_(ctx, PeerState::Relayed);
        self.announce_route(ctx);
        self.announce_path(ctx);
        self.schedule_round(ctx);
    }

    /// Whether the relay carries the data, nothing is being probed, and nobody has planned what comes next.
    pub(super) fn round_is_over(&self) -> bool {
        let planned = self.state == PeerState::Relayed && self.rounds.next.is_some();
        let on_relay = matches!(self.state, PeerState::Punch | PeerState::Relayed);
        on_relay && !planned && !self.is_probing()
    }

    /// A round of ours found nobody at the relay.
    pub(super) fn round_unanswered(&mut self, ctx: &mut Context<'_>) {
        if self.state == PeerState::Punch {
            self.relayed(ctx);
        } else if self.seeks_more() {
            self.schedule_round(ctx);
        }
    }

    /// Whether rounds are worth while: datagrams have no direct path, or the peer told nothing of itself yet. A probe can make
    /// the path direct before the answer to the hello is here, which then may be lost.
    fn seeks_more(&self) -> bool {
        let unknown = self.state == PeerState::Direct && !self.sessions.stand();
        unknown || self.state == PeerState::Relayed || self.on_stream()
    }

    /// Whether a direct path is allowed, as far as we know.
    fn may_be_direct(&self, local: &Local) -> bool {
        self.consents(local) || self.remote.is_none() && !local.relay_only
    }

    pub(super) fn schedule_round(&mut self, ctx: &mut Context<'_>) {
        if !self.may_be_direct(ctx.local) || !self.demand.is_wanted() {
            self.rounds.next = None;
            return;
        }
        // The first round after a direct path died starts at once.
        let first_at_once = self.history.is_lost() && self.rounds.count == 0;
        let gap = match self.rounds.count {
            _ if first_at_once => Duration::ZERO,
            count => ROUND_GAPS
                .get(count)
                .copied()
                .unwrap_or_else(|| jittered(ctx, ROUND_LATER)),
        };
        // Both sides count their own rounds; the larger id leaves the first move to the other.
        let courtesy = if ctx.local.id < self.id {
            Duration::ZERO
        } else {
            ROUND_SPACING
        };
        self.rounds.next = Some(ctx.now + gap + courtesy);
    }

    pub(super) fn schedule_retry(&mut self, ctx: &mut Context<'_>) {
        let (first, longest) = RETRY;
        let wait = (first * 2u32.saturating_pow(self.rounds.count as u32)).min(longest);
        self.rounds.count += 1;
        let half = wait / 2;
        let wait = if self.demand.is_wanted() {
            half + half.mul_f64(ctx.rng.random())
        } else {
            LINGER
        };
        self.rounds.next = Some(ctx.now + wait);
    }

    pub(super) fn rounds_timeout(&mut self, ctx: &mut Context<'_>) {
        if self.rounds.rebind.is_some_and(|at| at <= ctx.now) {
            self.rounds.rebind = None;
            self.send_update(ctx, Vec::new());
        }
        if self.rounds.next.is_none_or(|at| at > ctx.now) {
            return;
        }
        self.rounds.next = None;
        // Whether a direct path died alone, or the peer with it, an idle link wants to know too, once.
        let died = self.state == PeerState::Relayed && self.history.is_lost();
        let asks = died && !std::mem::replace(&mut self.rounds.asked, died);
        match self.state {
            PeerState::Failed if self.demand.is_wanted() => self.dial(ctx),
            PeerState::Failed => self.end(ctx),
            PeerState::Relayed if asks && !self.rounds.in_use(ctx.now) => {
                self.rounds.last = Some(ctx.now);
                self.call(ctx);
            }
            PeerState::Relayed | PeerState::Punch | PeerState::Direct
                if self.rounds.in_use(ctx.now)
                    && (self.state == PeerState::Punch || self.seeks_more()) =>
            {
                self.rounds.count += 1;
                self.rounds.last = Some(ctx.now);
                self.call(ctx);
            }
            PeerState::Idle
            | PeerState::Intro
            | PeerState::Punch
            | PeerState::Direct
            | PeerState::Suspect
            | PeerState::Relayed
            | PeerState::Unknown => {}
        }
    }

    /// Data flows: a relayed link that was idle, or that nobody wanted, is worth another round.
    pub(crate) fn on_traffic(&mut self, ctx: &mut Context<'_>, heard: bool) {
        self.rounds.traffic = Some(ctx.now);
        if heard {
            self.presence.heard(ctx.now);
        }
        let idle = !self.sessions.is_calling() && !self.is_probing();
        if self.seeks_more() && idle && self.rounds.next.is_none() {
            self.schedule_round(ctx);
        }
    }

    /// What we can offer changed. The peer is told at once, and both look for the best path anew.
    pub(crate) fn on_local_change(&mut self, ctx: &mut Context<'_>) {
        match self.state {
            PeerState::Direct | PeerState::Suspect => {
                let offer = ctx.local.candidates(
                    self.id,
                    self.demand.is_dialled(),
                    self.contact.attested(),
                );
                if offer != self.told.candidates() && self.contact.live_via(ctx.local).is_some() {
                    let opened = self.opening(ctx);
                    self.send_update(ctx, opened);
                    self.begin_checks(ctx, false);
                }
            }
            PeerState::Relayed | PeerState::Punch => self.round_soon(ctx),
            PeerState::Idle | PeerState::Intro | PeerState::Failed | PeerState::Unknown => {}
        }
    }

    /// Our packets leave elsewhere now: where they go is to be found out anew.
    pub(crate) fn on_moved(&mut self, ctx: &mut Context<'_>) {
        self.forget_paths();
        self.doubt_all(ctx);
    }

    /// We are elsewhere now: nothing that was learnt of paths holds.
    pub(crate) fn forget_paths(&mut self) {
        self.hold.forget();
        if self.history.forget() {
            self.guess.rested();
        }
    }

    /// We were away for a while, and may be elsewhere now.
    pub(crate) fn on_resumed(&mut self, ctx: &mut Context<'_>) {
        self.doubt_all(ctx);
        if matches!(self.state, PeerState::Relayed | PeerState::Punch) {
            self.round_soon(ctx);
        }
    }

    fn doubt_all(&mut self, ctx: &mut Context<'_>) {
        if matches!(self.state, PeerState::Direct | PeerState::Suspect) {
            self.suspect(ctx, Doubt::Moved);
        }
    }

    /// Something changed that makes another round worth while.
    pub(super) fn round_soon(&mut self, ctx: &mut Context<'_>) {
        if self.demand.is_wanted() && self.may_be_direct(ctx.local) {
            let last = self.rounds.last;
            let soonest = last.map_or(ctx.now, |last| (last + ROUND_SPACING).max(ctx.now));
            self.rounds.next = Some(self.rounds.next.map_or(soonest, |next| next.min(soonest)));
        }
    }

    /// The relay forgot that we and the peer belong together, or the peer is not back yet: asks again, ever more rarely.
    pub(super) fn rebind_later(&mut self, ctx: &mut Context<'_>) {
        let wait = self
            .rounds
            .rebind_wait
            .map_or(REBIND, |wait| (wait * 2).min(ROUND_LATER));
        self.rounds.rebind_wait = Some(wait);
        if self.demand.is_wanted() {
            self.rounds.rebind = Some(ctx.now + wait);
        }
    }
}

fn jittered(ctx: &mut Context<'_>, time: Duration) -> Duration {
    time.mul_f64(ctx.rng.random_range(0.8..1.2))
}

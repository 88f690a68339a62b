//! Life on the relay, and the rounds that are to end it.

use super::{Context, Peer, direct::DirectPath, guess::End, keepalive::Keepalive, state::State};
use crate::{io::Failure, local::Local};

impl Peer {
    /// The relay carries the data from now on; another round follows.
    pub(super) fn relayed(&mut self, ctx: &mut Context<'_>) {
        if self.contact.live_via(ctx.local).is_none() && self.contact.via().is_none() {
            return self.dial(ctx);
        }
        self.become_(ctx, State::Relayed);
        self.announce_route(ctx);
        self.announce_path(ctx);
        self.schedule_round(ctx);
        if self.demand.shuns_relays() && self.demand.is_awaited() {
            self.dial_failed(ctx, Failure::Policy);
        }
    }

    /// Lets go of the direct path, and of all that looks for one: it is not wanted any more, here or by the peer. What was learnt
    /// of paths that died holds, as this one did not.
    pub(super) fn let_go_of_direct(&mut self, ctx: &mut Context<'_>) {
        if self.state.take_path().is_some() {
            self.history.lifetimes.interrupted();
            self.keepalive = Keepalive::default();
            self.effort.begin(ctx.now);
        }
        self.demand.choice.release();
        self.checks.clear();
        self.triggered.drop_waiting();
        self.tcp_pairs.close_all(ctx);
        self.guess.end(ctx, self.id, End::Dropped);
        self.fresh_port.end();
        self.release_sockets(ctx);
    }

    /// Whether the relay carries the data, nothing is being probed, and nobody has planned what comes next.
    pub(super) fn round_is_over(&self) -> bool {
        let planned = self.state.is_relayed() && self.rounds.next().is_some();
        let on_relay = self.state.lacks_path();
        on_relay && !planned && !self.checks.is_on()
    }

    /// A round of ours found nobody at the relay.
    pub(super) fn round_unanswered(&mut self, ctx: &mut Context<'_>) {
        if self.state.is_probing() {
            self.relayed(ctx);
        } else if self.seeks_more() {
            self.schedule_round(ctx);
        }
    }

    /// Whether rounds are worth while: datagrams have no direct path, or the peer told nothing of itself yet. A probe can make
    /// the path direct before the answer to the hello is here, which then may be lost.
    fn seeks_more(&self) -> bool {
        let unknown = self.state.is_direct() && !self.sessions.stand();
        unknown
            || self.state.is_relayed()
            || self.state.path().is_some_and(DirectPath::is_next_best)
    }

    /// Whether a direct path is allowed, as far as we know.
    fn may_be_direct(&self, local: &Local) -> bool {
        self.consents(local) || self.remote.is_none() && !self.demand.keeps_to_relays(local)
    }

    /// Plans the next round, if any is worth while.
    pub(super) fn schedule_round(&mut self, ctx: &mut Context<'_>) {
        if self.may_be_direct(ctx.local) && self.demand.is_wanted() {
            self.rounds.schedule(ctx, self.id, self.history.is_lost());
        } else {
            self.rounds.cancel();
        }
    }

    /// Does what was planned. Returns whether the link is over.
    pub(super) fn rounds_timeout(&mut self, ctx: &mut Context<'_>) -> bool {
        if self.rounds.take_rebind(ctx.now) {
            self.send_update(ctx, Vec::new());
        }
        if !self.rounds.take_due(ctx.now) {
            return false;
        }
        // Whether a direct path died alone, or the peer with it, an idle link wants to know too, once.
        let died = self.state.is_relayed() && self.history.is_lost();
        let asks = died && self.rounds.take_question(ctx.now);
        // Who takes nothing but a direct path sends nothing until there is one.
        let is_wanted = self.rounds.in_use(ctx.now) || self.demand.shuns_relays();
        let is_worth_it = is_wanted && (self.state.is_probing() || self.seeks_more());
        match self.state {
            State::Failed(_) if self.demand.is_wanted() => self.dial(ctx),
            State::Failed(_) => return true,
            State::Relayed if asks => self.call(ctx),
            State::Relayed | State::Probing | State::Direct(_) if is_worth_it => {
                self.rounds.begin(ctx.now);
                self.call(ctx);
            }
            State::Idle
            | State::Greeting(_)
            | State::Probing
            | State::Relayed
            | State::Direct(_) => {}
        }
        false
    }

    /// Data flows: a relayed link that was idle, or that nobody wanted, is worth another round.
    pub(crate) fn on_traffic(&mut self, ctx: &mut Context<'_>, heard: bool) {
        self.rounds.note_traffic(ctx.now);
        if heard {
            self.presence.heard(ctx.now);
        }
        let idle = !self.sessions.is_calling() && !self.checks.is_on();
        if self.seeks_more() && idle && self.rounds.next().is_none() {
            self.schedule_round(ctx);
        }
    }

    /// Somebody wants another attempt now, who has the link in use by that.
    pub(crate) fn retry(&mut self, ctx: &mut Context<'_>) {
        let is_open = self.state.is_failed() || self.state.lacks_path();
        if is_open && !self.sessions.is_calling() && !self.checks.is_on() {
            self.rounds.note_traffic(ctx.now);
            if self.state.is_failed() && self.demand.is_wanted() {
                // Also by a relay alone.
                self.rounds.soon(ctx.now);
            } else {
                self.round_soon(ctx);
            }
        }
    }

    /// Something changed that makes another round worth while.
    pub(super) fn round_soon(&mut self, ctx: &mut Context<'_>) {
        if self.demand.is_wanted() && self.may_be_direct(ctx.local) {
            self.rounds.soon(ctx.now);
        }
    }
}

//! What is heard of where the peer is: from relays, from our own network, and with its hellos.

use std::{net::SocketAddr, time::Duration};

use rand::Rng;

use super::{Context, Peer, contact::TurnedAway, state::State};
use crate::{PathPolicy, RelayUrl, timing::BUSY_SPREAD};

impl Peer {
    /// We are registered with a relay, again or for the first time.
    pub(crate) fn on_relay_up(&mut self, ctx: &mut Context<'_>, relay: &RelayUrl) {
        if !self.contact.concerns(relay) {
            return;
        }
        match self.state {
            State::Idle => {}
            State::Failed(_) if self.demand.is_wanted() => self.dial(ctx),
            State::Failed(_) => {}
            State::Greeting(_) if self.contact.via().is_none() => {
                let number = self.sessions.attempt_number();
                self.attempt(ctx, number.unwrap_or(1));
            }
            State::Greeting(_) => self.send_intro(ctx, true),
            // The relay may have been restarted, or replaced by another: the lane has to be bound again.
            State::Probing | State::Direct(_) | State::Relayed => {
                if self.contact.live_via(ctx.local).is_none() {
                    self.contact.go_via(relay);
                }
                self.rounds.rebind_now(ctx.now);
                self.announce_route(ctx);
                if self.state.is_relayed() {
                    self.round_soon(ctx);
                }
                if let Some(stops) = self.contact.via_that_stops(ctx.local) {
                    self.on_relay_unsure(ctx, &stops);
                }
            }
        }
    }

    /// A relay names another one in its place.
    pub(crate) fn on_relay_moved(&mut self, relay: &RelayUrl, to: &RelayUrl) {
        self.contact.follow(relay, to);
    }

    /// A relay is about to stop, or may have: calls the peer by another one that we are registered with. The data stays where it is
    /// until the peer is heard from there.
    pub(crate) fn on_relay_unsure(&mut self, ctx: &mut Context<'_>, relay: &RelayUrl) {
        let needless = self.state.is_idle() || self.state.is_failed() || self.state.is_direct();
        let moves = self.contact.is_via(relay) && !needless && self.demand.is_wanted();
        if moves && self.contact.has_lasting_relay(ctx.local) {
            self.contact.begin_to_leave();
            self.call(ctx);
        }
    }

    /// A relay does not carry this link any more: moves it to another one that we are registered with.
    pub(crate) fn on_relay_down(&mut self, ctx: &mut Context<'_>, relay: &RelayUrl) {
        if self.contact.has_left(relay) && self.state.lacks_path() {
            self.announce_route(ctx);
        }
        let has_other = self.contact.has_live_relay(ctx.local);
        let needless = self.state.is_idle() || self.state.is_failed() || self.state.is_direct();
        let is_used = self.contact.is_via(relay) && !needless;
        if is_used && has_other && self.demand.is_wanted() {
            self.call(ctx);
        }
    }

    /// The relay does not know the peer, which may be about to register, or be at another relay.
    pub(crate) fn on_gone(&mut self, ctx: &mut Context<'_>, relay: &RelayUrl) {
        if !self.contact.is_via(relay) {
            return;
        }
        self.presence.is_gone();
        if !self.turned_away(ctx, Duration::ZERO, TurnedAway::Absent) && self.sessions.stand() {
            self.rounds.rebind_later(ctx.now, self.demand.is_wanted());
        }
    }

    /// The relay lets no more calls through to the peer now: it may soon, or another one may.
    pub(crate) fn on_busy(&mut self, ctx: &mut Context<'_>, relay: &RelayUrl) {
        if self.contact.is_via(relay) && self.state.is_greeting() {
            // Those who were turned away together are not to come back together.
            let apart = BUSY_SPREAD.mul_f64(ctx.rng.random());
            self.turned_away(ctx, apart, TurnedAway::Busy);
        }
    }

    /// The peer is registered with the relay, but hears nothing from it: it is waited for.
    pub(crate) fn on_unheard(&mut self, ctx: &mut Context<'_>, relay: &RelayUrl) {
        if self.sessions.is_call_sent() && self.contact.is_via(relay) {
            self.presence.unreached(ctx.now);
        }
    }

    /// The relay of this link did not pass our hello on. Asks again, later by `more` than usual, then at the other relays, and
    /// gives up after the last. False if no hello was under way.
    fn turned_away(&mut self, ctx: &mut Context<'_>, more: Duration, why: TurnedAway) -> bool {
        let calls = self.state.is_greeting() || self.state.is_relayed();
        let attempt = self.sessions.attempt.as_mut();
        let Some(attempt) = attempt.filter(|attempt| calls && attempt.is_sent()) else {
            return false;
        };
        let number = attempt.number();
        if attempt.turn_away(ctx.now, more, why) {
            return true;
        }
        if self.contact.turn_away(why) {
            self.contact.leave_relay();
            self.attempt(ctx, number);
        } else if !self.contact.has_addrs(ctx.local)
            && let Some(reason) = self.contact.turned_away_by()
        {
            self.fail(ctx, reason);
        }
        true
    }

    /// The peer was found on our network, at these addresses and nowhere else; none if it left.
    pub(crate) fn on_found(&mut self, ctx: &mut Context<'_>, addrs: Vec<SocketAddr>) {
        let is_news = self.contact.find_at(ctx.local, addrs);
        if !is_news || !self.demand.is_wanted() {
            return;
        }
        match self.state {
            State::Greeting(_) => self.greet_soon(ctx),
            State::Failed(_) => self.dial(ctx),
            State::Probing | State::Relayed => self.round_soon(ctx),
            State::Idle | State::Direct(_) => {}
        }
    }

    /// Whether to look for the peer: we dialled it, and no direct path leads to it.
    pub(crate) fn is_missed(&self) -> bool {
        let direct = self.state.path().is_some();
        let looks = self.demand.policy() != PathPolicy::RelayOnly;
        looks && self.demand.is_wanted() && self.demand.is_dialled() && !direct
    }
}

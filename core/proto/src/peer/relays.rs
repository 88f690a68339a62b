//! The relays at which a peer may be met, and the one that carries the link.

use std::time::Duration;

use rand::Rng;

use super::{Attempt, Context, Peer, Source};
use crate::{
    PeerState, RelayUrl,
    proto::{
        io::{Failure, Output},
        local::Local,
        timing::{BUSY_SPREAD, GONE_RETRIES},
    },
};

/// Relays that are remembered per peer.
const MAX_RELAYS: usize = 4;

impl Peer {
    /// We are registered with a relay, again or for the first time.
    pub(crate) fn on_relay_up(&mut self, ctx: &mut Context<'_>, relay: &RelayUrl) {
        if !self.relays.contains(relay) && self.via.as_ref() != Some(relay) {
            return;
        }
        match self.state {
            PeerState::Idle => {}
            PeerState::Failed if self.wanted => self.dial(ctx),
            PeerState::Failed => {}
            PeerState::Intro if self.via.is_none() => {
                let number = self.attempt.as_ref().map_or(1, |attempt| attempt.number);
                self.attempt(ctx, number);
            }
            PeerState::Intro => self.send_intro(ctx, true),
            // The relay may have been restarted, or replaced by another: the lane has to be bound again.
            PeerState::Punch | PeerState::Direct | PeerState::Suspect | PeerState::Relayed => {
                if self.live_via(ctx.local).is_none() {
                    self.via = Some(relay.clone());
                }
                self.rounds.rebind_now(ctx.now);
                self.announce_route(ctx);
                if self.state == PeerState::Relayed {
                    self.round_soon(ctx);
                }
            }
        }
    }

    /// A relay does not carry this link any more: moves it to another one that we are registered with.
    pub(crate) fn on_relay_down(&mut self, ctx: &mut Context<'_>, relay: &RelayUrl) {
        let has_other = self
            .relays
            .iter()
            .any(|other| ctx.local.relays.contains_key(other));
        let depends = matches!(
            self.state,
            PeerState::Intro | PeerState::Punch | PeerState::Suspect | PeerState::Relayed
        );
        if self.via.as_ref() == Some(relay) && depends && has_other && self.wanted {
            self.call(ctx);
        }
    }

    /// The relay does not know the peer, which may be about to register, or be at another relay.
    pub(crate) fn on_gone(&mut self, ctx: &mut Context<'_>, relay: &RelayUrl) {
        self.absent |= self.via.as_ref() == Some(relay);
        if self.via.as_ref() == Some(relay)
            && !self.turned_away(ctx, Duration::ZERO, |peer| &mut peer.absent_at)
            && self.session.is_some()
        {
            self.rebind_later(ctx);
        }
    }

    /// The relay lets no more calls through to the peer now: it may soon, or another one may.
    pub(crate) fn on_busy(&mut self, ctx: &mut Context<'_>, relay: &RelayUrl) {
        if self.via.as_ref() == Some(relay) && self.state == PeerState::Intro {
            // Those who were turned away together are not to come back together.
            let apart = BUSY_SPREAD.mul_f64(ctx.rng.random());
            self.turned_away(ctx, apart, |peer| &mut peer.busy_at);
        }
    }

    /// The peer is registered with the relay, but hears nothing from it: it is waited for.
    pub(crate) fn on_unheard(&mut self, ctx: &mut Context<'_>, relay: &RelayUrl) {
        let calls = self.attempt.as_ref().is_some_and(Attempt::is_sent);
        if calls && self.via.as_ref() == Some(relay) {
            self.unreached = Some(ctx.now);
        }
    }

    /// The relay of this link did not pass our hello on. Asks again, later by `more` than usual, then at the other relays, and
    /// gives up after the last. False if no hello was under way.
    fn turned_away(
        &mut self,
        ctx: &mut Context<'_>,
        more: Duration,
        by: impl FnOnce(&mut Self) -> &mut Vec<RelayUrl>,
    ) -> bool {
        let calls = matches!(self.state, PeerState::Intro | PeerState::Relayed);
        let attempt = self
            .attempt
            .as_mut()
            .filter(|attempt| calls && attempt.initiation.is_some());
        let Some(attempt) = attempt else {
            return false;
        };
        if attempt.ask_again {
            return true;
        }
        if let Some(wait) = GONE_RETRIES.get(attempt.gone) {
            attempt.gone += 1;
            attempt.ask_again = true;
            attempt.next = ctx.now + *wait + more;
            attempt.sent = ctx.now;
            return true;
        }
        let number = attempt.number;
        let relay = self.via.clone();
        by(self).extend(relay);
        if self.relays_left().next().is_some() {
            self.via = None;
            self.attempt(ctx, number);
        } else if !self.has_direct_addrs()
            && let Some(reason) = self.turned_away_by()
        {
            self.fail(ctx, reason);
        }
        true
    }

    /// Why relays did not pass the hello on, if any did not. One where the peer is says more than those where it is not.
    pub(super) fn turned_away_by(&self) -> Option<Failure> {
        let busy = self.busy_at.first().cloned().map(Failure::Busy);
        busy.or_else(|| self.absent_at.first().cloned().map(Failure::Offline))
    }

    /// Takes the first relay at which the peer may be and that we are registered with; asks for them if there is none.
    pub(super) fn choose_relay(&mut self, ctx: &mut Context<'_>) {
        if self.live_via(ctx.local).is_some() {
            return;
        }
        let live = self
            .relays_left()
            .find(|relay| ctx.local.relays.contains_key(*relay));
        if live.is_none() {
            let needed = self.relays_left().take(2).cloned();
            ctx.out
                .extend(needed.map(|relay| Output::NeedRelay { relay }));
        }
        self.via = live.cloned();
    }

    /// The peer's relays that did not turn us away.
    fn relays_left(&self) -> impl Iterator<Item = &RelayUrl> {
        let is_left =
            |relay: &&RelayUrl| !self.absent_at.contains(relay) && !self.busy_at.contains(relay);
        self.relays.iter().filter(is_left)
    }

    pub(super) fn note_source(&mut self, ctx: &Context<'_>, source: &Source) {
        self.note_attested(ctx.local, source);
        match source {
            Source::Relay { relay, .. } => {
                self.meet_at(vec![relay.clone()]);
                if self.live_via(ctx.local).is_none() || self.path.is_none() {
                    self.via = Some(relay.clone());
                }
            }
            Source::Direct(pair) => self.claimed = Some(pair.addr.ip()),
        }
    }

    /// Remembers where a relay sees the peer, if it can be there.
    pub(super) fn note_attested(&mut self, local: &Local, source: &Source) {
        if let Source::Relay { relay, attested } = source
            && local.is_plausible(relay, *attested)
        {
            self.attested = Some(*attested);
            self.attested_by = Some(relay.clone());
        }
    }

    pub(super) fn meet_at(&mut self, relays: Vec<RelayUrl>) {
        for relay in relays.into_iter().rev() {
            self.relays.retain(|known| *known != relay);
            self.relays.insert(0, relay);
        }
        self.relays.truncate(MAX_RELAYS);
    }

    /// The relay of this link, if we are registered there.
    pub(super) fn live_via(&self, local: &Local) -> Option<RelayUrl> {
        self.via
            .clone()
            .filter(|relay| local.relays.contains_key(relay))
    }
}

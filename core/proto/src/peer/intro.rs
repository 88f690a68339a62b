//! Saying hello: INTRO, and how often it is said.

use std::net::SocketAddr;

use rand::Rng;

use super::{Context, Peer, attempt::Attempt, contact::TurnedAway, messages::send, state::State};
use crate::{
    handshake::{HandshakeError, Initiation},
    io::{Failure, Output, Pair},
    timing::{INTRO_ATTEMPTS, UNREACHED_ATTEMPTS},
    wire::intro::IntroBody,
};

/// Nobody answered a hello that was said where the link stands all the same.
pub(super) struct Unanswered {
    /// The relay says that the peer does not hear it.
    pub(super) out_of_reach: bool,
}

impl Peer {
    /// Starts to say hello, again if that failed before.
    pub(super) fn dial(&mut self, ctx: &mut Context<'_>) {
        let failure = self.state.failure().cloned();
        self.dial_after(ctx, failure);
    }

    /// Starts to say hello, for somebody here.
    pub(super) fn dial_anew(&mut self, ctx: &mut Context<'_>) {
        self.dial_after(ctx, None);
    }

    fn dial_after(&mut self, ctx: &mut Context<'_>, failure: Option<Failure>) {
        self.effort.begin(ctx.now);
        let looks = ctx.local.lan && !self.demand.keeps_to_relays(ctx.local);
        if !self.contact.is_placed(ctx.local) && !looks {
            let nowhere = self.contact.nowhere();
            return self.fail(ctx, nowhere);
        }
        self.become_(ctx, State::Greeting(failure));
        self.call(ctx);
    }

    /// Says hello, and asks relays again that turned it away.
    pub(super) fn call(&mut self, ctx: &mut Context<'_>) {
        self.presence.forget_unreached();
        self.contact.ask_all();
        self.attempt(ctx, 1);
    }

    /// Sends an INTRO by all ways there are. Where no relay is up yet, they are asked for, and the INTRO follows.
    pub(super) fn attempt(&mut self, ctx: &mut Context<'_>, number: u32) {
        self.sessions.drop_attempt(ctx.session_indices);
        let needed = self.contact.choose_relay(ctx.local).into_iter();
        ctx.out
            .extend(needed.map(|relay| Output::NeedRelay { relay }));
        let mut initiation = None;
        if self.contact.live_via(ctx.local).is_some()
            || self.contact.has_addrs(ctx.local)
            || self.state.path().is_some()
            || !self.tcp_pairs.open().is_empty()
        {
            let opened = self.opening(ctx.local);
            match self.initiate(ctx, opened) {
                Ok(built) => initiation = Some(built),
                Err(error) => tracing::debug!(%error, "cannot build an INTRO"),
            }
        }
        self.sessions.attempt = Some(Attempt::new(ctx.now, number, initiation));
        self.send_intro(ctx, true);
        self.begin_early_checks(ctx);
        self.tcp_pairs.plan(ctx, self.state.path());
        if self.state.path().is_none() {
            self.announce_route(ctx);
        }
    }

    fn initiate(
        &mut self,
        ctx: &mut Context<'_>,
        opened: Vec<SocketAddr>,
    ) -> Result<Initiation, HandshakeError> {
        let timestamp_ms = self
            .sessions
            .next_timestamp(ctx.now, ctx.unix_ms, ctx.window_ms);
        let mut session_index = ctx.rng.random();
        while ctx.session_indices.contains_key(&session_index) {
            session_index = ctx.rng.random();
        }
        let body = IntroBody {
            id: ctx.key.id(),
            timestamp_ms,
            session_index,
            probe_secret: ctx.rng.random(),
            description: self.description(ctx.local, opened),
        };
        let initiation = Initiation::new(ctx.key, self.id, &body, ctx.rng)?;
        ctx.session_indices.insert(session_index, self.id);
        Ok(initiation)
    }

    pub(super) fn send_intro(&mut self, ctx: &mut Context<'_>, by_relay: bool) {
        let live = self.contact.live_via(ctx.local);
        let via = live.clone().filter(|_| by_relay);
        let mut addrs = self.contact.addrs(ctx.local);
        let has_addrs = !addrs.is_empty();
        let Some(attempt) = &mut self.sessions.attempt else {
            return;
        };
        attempt.plan(has_addrs);
        let Some(initiation) = &attempt.initiation else {
            return;
        };
        // Through the NATs between, a hello can come before the peer has opened its own, and spoil the port there. The relay
        // gets one through as fast; so the addresses are for when it does not.
        if live.is_some() && !attempt.is_repeated() {
            addrs.retain(|addr| ctx.local.is_neighbour(*addr));
        }
        self.effort.hellos += u32::from(via.is_some()) + addrs.len() as u32;
        if let Some(relay) = via {
            ctx.out.push_back(Output::SendRelay {
                relay,
                to: self.id,
                hidden: self.demand.keeps_to_relays(ctx.local),
                bytes: initiation.packet.clone(),
            });
        }
        for addr in &addrs {
            send(ctx, Pair::main(*addr), None, initiation.packet.clone());
        }
        let proven = self.state.path().map(|path| &path.pair);
        let proven = proven.filter(|pair| !pair.sock.is_tcp() && !addrs.contains(&pair.addr));
        for pair in self.tcp_pairs.open().iter().chain(proven) {
            send(ctx, *pair, None, initiation.packet.clone());
        }
    }

    /// Says hello again, or gives up.
    pub(super) fn attempt_timeout(&mut self, ctx: &mut Context<'_>) -> Option<Unanswered> {
        let attempt = self.sessions.attempt.as_mut();
        let attempt = attempt.filter(|attempt| attempt.next() <= ctx.now)?;
        if let Some(by_relay) = attempt.repeat(ctx.now) {
            self.send_intro(ctx, by_relay);
            return None;
        }
        let number = attempt.number();
        self.presence.unreached_since(attempt.sent());
        let unanswered = self.state.is_greeting() || !self.sessions.stand();
        let out_of_reach = self.presence.is_unreached() && (unanswered || self.demand.is_awaited());
        if self.state.is_greeting() && !self.contact.is_placed(ctx.local) {
            let nowhere = self.contact.nowhere();
            self.fail(ctx, nowhere);
        } else if unanswered && number < INTRO_ATTEMPTS
            || out_of_reach && number < UNREACHED_ATTEMPTS
        {
            self.attempt(ctx, number + 1);
        } else if self.state.is_greeting() {
            let reached =
                self.contact.live_via(ctx.local).is_some() || self.contact.has_addrs(ctx.local);
            let unreached = self.contact.via().cloned().filter(|_| out_of_reach);
            let reason = match (self.contact.turned_away_by(), unreached) {
                (Some(reason), _) => reason,
                (None, Some(relay)) => Failure::Unreached(relay),
                (None, None) if reached => Failure::Silent,
                (None, None) => Failure::NoRelay,
            };
            self.fail(ctx, reason);
        } else {
            let was_said = self.sessions.is_call_sent();
            if was_said && self.contact.live_via(ctx.local).is_some() {
                self.presence.asked_in_vain();
            }
            self.sessions.drop_attempt(ctx.session_indices);
            return Some(Unanswered { out_of_reach });
        }
        None
    }

    /// New addresses are known while saying hello: uses them, by an early repetition of which there are not more than else.
    pub(super) fn greet_soon(&mut self, ctx: &mut Context<'_>) {
        match &mut self.sessions.attempt {
            Some(attempt) if attempt.is_sent() => attempt.hurry(ctx.now),
            _ => {
                let number = self.sessions.attempt_number();
                self.attempt(ctx, number.unwrap_or(1));
            }
        }
    }

    /// Says hello at a relay of which we have just heard, as the one that was asked did not pass it on.
    pub(super) fn greet_elsewhere(&mut self, ctx: &mut Context<'_>, why: TurnedAway) {
        self.contact.turn_away(why);
        self.contact.leave_relay();
        let number = self.sessions.attempt_number();
        self.attempt(ctx, number.unwrap_or(1));
    }

    /// The peer lets us in, but its clock is not ours: says hello again by its clock, once each attempt.
    pub(crate) fn on_stale(&mut self, ctx: &mut Context<'_>, datagram: &[u8]) {
        let attempt = self.sessions.attempt.as_ref();
        let told =
            attempt.and_then(|attempt| Some((attempt.number(), attempt.told_time(datagram)?)));
        let Some((number, time_ms)) = told else {
            return;
        };
        let off_ms = time_ms.abs_diff(ctx.unix_ms);
        tracing::info!(peer = %self.id.short(), off_ms, "the peer's clock is not ours");
        self.sessions.set_their_time(ctx.now, time_ms);
        self.attempt(ctx, number);
        if let Some(attempt) = &mut self.sessions.attempt {
            attempt.correct();
        }
    }

    /// There is no way to the peer now.
    pub(super) fn fail(&mut self, ctx: &mut Context<'_>, reason: Failure) {
        self.sessions.drop_attempt(ctx.session_indices);
        self.tcp_pairs.close_all(ctx);
        self.dial_failed(ctx, reason.clone());
        self.become_(ctx, State::Failed(reason));
        self.rounds.retry(ctx, self.demand.is_wanted());
    }
}

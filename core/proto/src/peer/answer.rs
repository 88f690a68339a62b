//! Hellos of the peer, and its answers to ours.

use std::time::{Duration, Instant};

use rand::Rng;

use super::{Context, Peer, contact::Source, direct::Doubt, sessions::credible, state::State};
use crate::{
    handshake::{Initiation, Opened},
    io::{Output, Route},
    session::Session,
    sources::Title,
    stale,
    wire::intro::{AckPacket, Description, IntroBody, PACKET_LEN},
};

/// The peer was met: a round begins.
pub(super) struct Met {
    /// It has opened its NATs for us.
    pub(super) opened: bool,
}

impl Peer {
    /// Somebody proved to be this peer and says hello: answers, unless ours counts or this one is old.
    pub(super) fn answer_intro(
        &mut self,
        ctx: &mut Context<'_>,
        opened: Opened,
        source: &Source,
    ) -> Option<Met> {
        let body = &opened.body;
        let newest = credible(ctx.window_ms, ctx.unix_ms, self.sessions.newest_intro_ms());
        let off = body.timestamp_ms.abs_diff(ctx.unix_ms);
        let is_known =
            body.timestamp_ms == newest || ctx.session_indices.contains_key(&body.session_index);
        if is_known || self.ours_wins(ctx) {
            return None;
        }
        if body.timestamp_ms < newest || off > ctx.window_ms {
            tracing::debug!(peer = %self.id.short(), off_ms = off, "stale INTRO");
            self.tell_time(ctx, body, newest, source);
            return None;
        }
        if self.state.is_idle() || self.state.is_failed() {
            self.effort.begin(ctx.now);
        }
        self.sessions.note_intro(body.timestamp_ms);
        self.earn_handshake(source);
        self.contact
            .note_source(ctx.local, source, self.state.path().is_some());
        self.sessions.drop_attempt(ctx.session_indices);
        self.learn(ctx, body.description.clone());
        if let rtt @ 1.. = body.description.relay_rtt_ms {
            self.contact.told_rtt(Duration::from_millis(rtt.into()));
        }
        let has_opened = !opened.body.description.opened.is_empty();
        let opening = self.opening(ctx.local);
        let description = self.description(ctx.local, opening);
        let (session, packet) = match opened.answer(&description) {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(%error, "cannot answer an INTRO");
                return None;
            }
        };
        self.adopt(ctx, session);
        if let Source::Direct(pair) = source {
            // What the peer sends at once must not come to strangers.
            self.admit(ctx, *pair, Title::Claimed);
        }
        self.reply(ctx, source, packet);
        // It left about then.
        let left = self
            .contact
            .relay_rtt()
            .and_then(|rtt| ctx.now.checked_sub(rtt));
        self.enter_round(ctx, source, left);
        Some(Met { opened: has_opened })
    }

    /// Has the peer say hello again with a time that we take. Nothing is kept of it: a recorded hello brings whoever sends it again
    /// a few bytes that only the peer can read.
    fn tell_time(&self, ctx: &mut Context<'_>, body: &IntroBody, newest: u64, source: &Source) {
        let time_ms = ctx.unix_ms.max(newest.saturating_add(1));
        let random = ctx.rng.random();
        if let Some(bytes) = stale::seal(body.session_index, &body.probe_secret, random, time_ms) {
            self.reply(ctx, source, bytes);
        }
    }

    /// Both sides said hello at the same time: the smaller id's hello counts, unless it has been waiting for too long.
    fn ours_wins(&self, ctx: &Context<'_>) -> bool {
        let attempt = self.sessions.attempt.as_ref();
        let fresh = attempt.is_some_and(|attempt| attempt.is_fresh(ctx.now));
        fresh && ctx.local.id < self.id
    }

    /// The peer answered our hello.
    pub(super) fn take_ack(
        &mut self,
        ctx: &mut Context<'_>,
        packet: AckPacket<'_>,
        source: &Source,
    ) -> Option<Met> {
        let (initiation, sent) = self.sessions.hello(packet.session_index())?;
        let read = initiation.read(ctx.key, packet);
        let description = read
            .inspect_err(|error| tracing::debug!(%error, "INTRO_ACK refused"))
            .ok()?;
        let initiation = self.sessions.take_hello(sent.is_some());
        let session = initiation.map(Initiation::into_session)?.ok()?;
        self.earn_handshake(source);
        self.contact
            .note_source(ctx.local, source, self.state.path().is_some());
        if let (Source::Relay { .. }, Some(sent)) = (source, sent) {
            self.contact
                .measured(ctx.now.saturating_duration_since(sent));
        }
        self.learn(ctx, description);
        self.adopt(ctx, session);
        self.enter_round(ctx, source, sent);
        // Something may have been learnt since the hello left.
        self.tell_offer(ctx);
        Some(Met { opened: true })
    }

    fn earn_handshake(&mut self, source: &Source) {
        self.earned.earn(PACKET_LEN);
        if let Source::Direct(pair) = source {
            self.earned.note_handshake(pair.addr);
        }
    }

    /// What the peer says of itself. What it took to be direct does not count while the peer did not want that.
    fn learn(&mut self, ctx: &Context<'_>, description: Description) {
        let refused = self.remote.as_ref().is_some_and(|before| !before.direct);
        if refused && description.direct && self.state.path().is_none() {
            self.effort.begin(ctx.now);
        }
        self.remote = Some(description);
    }

    fn adopt(&mut self, ctx: &mut Context<'_>, session: Session) {
        self.sessions.adopt(ctx.session_indices, self.id, session);
        self.presence.met(ctx.now);
    }

    /// From hello to probing. An address that worked before the hello left has to prove itself again: the peer may have been
    /// restarted.
    fn enter_round(&mut self, ctx: &mut Context<'_>, source: &Source, left: Option<Instant>) {
        self.demand.linger_if_unwanted(ctx.now);
        self.effort.rounds += 1;
        match (self.state.path(), source) {
            (Some(path), _) if path.is_next_best() => {}
            (Some(path), _) if left.is_some_and(|left| path.since >= left) => {}
            (Some(_), _) => self.suspect(ctx, Doubt::Told),
            (None, Source::Direct(pair)) if self.contact.live_via(ctx.local).is_none() => {
                // Nothing else leads to the peer. QUIC itself sends no more than it received until the handshake is done.
                self.admit(ctx, *pair, Title::Claimed);
                ctx.out.push_back(Output::Route {
                    peer: self.id,
                    route: Route::Direct(*pair),
                });
                self.become_(ctx, State::Probing);
            }
            (None, _) => {
                self.announce_route(ctx);
                // A link that lives on the relay does so until there is something better, however often that is tried.
                if !self.state.is_relayed() {
                    self.become_(ctx, State::Probing);
                }
                self.announce_path(ctx);
            }
        }
    }
}

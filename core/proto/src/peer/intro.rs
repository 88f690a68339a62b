//! Saying hello: INTRO and its answer, from both sides.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use rand::Rng;

use super::{Context, Doubt, Peer, send, sessions::credible};
use crate::{
    PeerState, RelayUrl,
    handshake::{Initiation, Opened},
    io::{Failure, Output, Pair, Route},
    session::Session,
    sources::Title,
    stale,
    timing::{INTRO_ATTEMPTS, INTRO_REPEATS, INTRO_TIMEOUT, SIMULTANEOUS, UNREACHED_ATTEMPTS},
    wire::intro::{AckPacket, IntroBody, PACKET_LEN},
};

/// An INTRO of ours that waits for its answer, or for a relay to send it through.
pub(crate) struct Attempt {
    /// None while no relay is up that could carry it.
    pub(super) initiation: Option<Initiation>,
    pub(super) sent: Instant,
    /// Repeats on direct addresses so far.
    repeats: usize,
    /// When something is to be done next.
    pub(super) next: Instant,
    /// Which try of the dial this is, from 1.
    pub(super) number: u32,
    /// How often the relay turned the hello away, and whether to ask it once more.
    pub(super) gone: usize,
    pub(super) ask_again: bool,
    /// Whether its time is the one that the peer asked for.
    corrected: bool,
}

impl Attempt {
    /// Whether there was a way to send it.
    pub(super) fn is_sent(&self) -> bool {
        self.initiation.is_some()
    }
}

/// Where a message of the handshake came from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// Through a relay, which sees the sender at this address.
    Relay {
        relay: RelayUrl,
        attested: SocketAddr,
    },
    /// Directly, on this pair.
    Direct(Pair),
}

impl Peer {
    /// Starts to say hello.
    pub(super) fn dial(&mut self, ctx: &mut Context<'_>) {
        self.begin_effort(ctx.now);
        if !self.contact.is_placed() && !ctx.local.lan {
            return self.fail(ctx, Failure::NoAddress);
        }
        self.become_(ctx, PeerState::Intro);
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
        self.sessions.drop_attempt(ctx.convs);
        self.choose_relay(ctx);
        let mut attempt = Attempt {
            initiation: None,
            sent: ctx.now,
            repeats: 0,
            next: ctx.now + INTRO_TIMEOUT,
            number,
            gone: 0,
            ask_again: false,
            corrected: false,
        };
        if self.contact.live_via(ctx.local).is_some()
            || self.contact.has_addrs()
            || self.path.is_some()
            || !self.streams.open().is_empty()
        {
            let opened = self.opening(ctx);
            match self.initiate(ctx, opened) {
                Ok(initiation) => attempt.initiation = Some(initiation),
                Err(error) => tracing::debug!(%error, "cannot build an INTRO"),
            }
        }
        self.sessions.attempt = Some(attempt);
        self.send_intro(ctx, true);
        self.begin_early_checks(ctx);
        self.plan_streams(ctx);
        if self.path.is_none() {
            self.announce_route(ctx);
        }
    }

    fn initiate(
        &mut self,
        ctx: &mut Context<'_>,
        opened: Vec<SocketAddr>,
    ) -> Result<Initiation, crate::handshake::HandshakeError> {
        let timestamp_ms = self
            .sessions
            .next_timestamp(ctx.now, ctx.unix_ms, ctx.window_ms);
        let mut conv = ctx.rng.random();
        while ctx.convs.contains_key(&conv) {
            conv = ctx.rng.random();
        }
        let body = IntroBody {
            id: ctx.key.id(),
            timestamp_ms,
            conv,
            probe_secret: ctx.rng.random(),
            description: self.description(ctx.local, opened),
        };
        let initiation = Initiation::new(ctx.key, self.id, &body, ctx.rng)?;
        ctx.convs.insert(conv, self.id);
        Ok(initiation)
    }

    pub(super) fn send_intro(&mut self, ctx: &mut Context<'_>, by_relay: bool) {
        let live = self.contact.live_via(ctx.local);
        let via = live.clone().filter(|_| by_relay);
        let mut addrs = self.contact.addrs();
        let has_addrs = !addrs.is_empty();
        let Some(attempt) = &mut self.sessions.attempt else {
            return;
        };
        attempt.next = attempt.sent + INTRO_TIMEOUT;
        let Some(initiation) = &attempt.initiation else {
            return;
        };
        // Through the NATs between, a hello can come before the peer has opened its own, and spoil the port there. The relay
        // gets one through as fast; so the addresses are for when it does not.
        if live.is_some() && attempt.repeats == 0 {
            addrs.retain(|addr| ctx.local.is_neighbour(*addr));
        }
        self.effort.hellos += u32::from(via.is_some()) + addrs.len() as u32;
        if let Some(relay) = via {
            ctx.out.push_back(Output::SendRelay {
                relay,
                to: self.id,
                bytes: initiation.packet.clone(),
            });
        }
        for addr in &addrs {
            send(ctx, Pair::main(*addr), None, initiation.packet.clone());
        }
        let proven = self.path.as_ref().map(|path| &path.pair);
        let proven = proven.filter(|pair| !pair.sock.is_stream() && !addrs.contains(&pair.addr));
        for pair in self.streams.open().iter().chain(proven) {
            send(ctx, *pair, None, initiation.packet.clone());
        }
        if has_addrs && let Some(gap) = INTRO_REPEATS.get(attempt.repeats) {
            attempt.next = attempt.sent + *gap;
        }
    }

    pub(super) fn attempt_timeout(&mut self, ctx: &mut Context<'_>) {
        let Some(attempt) = &mut self.sessions.attempt else {
            return;
        };
        if attempt.next > ctx.now {
            return;
        }
        if ctx.now < attempt.sent + INTRO_TIMEOUT {
            let by_relay = std::mem::take(&mut attempt.ask_again);
            if by_relay {
                attempt.sent = ctx.now;
            } else {
                attempt.repeats += 1;
            }
            return self.send_intro(ctx, by_relay);
        }
        let number = attempt.number;
        self.presence.unreached_since(attempt.sent);
        let unanswered = self.state == PeerState::Intro || !self.sessions.stand();
        let out_of_reach = self.presence.is_unreached() && (unanswered || self.demand.is_awaited());
        if self.state == PeerState::Intro && !self.contact.is_placed() {
            self.fail(ctx, Failure::NoAddress);
        } else if unanswered && number < INTRO_ATTEMPTS
            || out_of_reach && number < UNREACHED_ATTEMPTS
        {
            self.attempt(ctx, number + 1);
        } else if self.state == PeerState::Intro {
            let reached = self.contact.live_via(ctx.local).is_some() || self.contact.has_addrs();
            let unreached = self.contact.via().cloned().filter(|_| out_of_reach);
            let reason = match (self.contact.turned_away_by(), unreached) {
                (Some(reason), _) => reason,
                (None, Some(relay)) => Failure::Unreached(relay),
                (None, None) if reached => Failure::Silent,
                (None, None) => Failure::NoRelay,
            };
            self.fail(ctx, reason);
        } else {
            let was_said = self.sessions.attempt.as_ref().is_some_and(Attempt::is_sent);
            if was_said && self.contact.live_via(ctx.local).is_some() {
                self.presence.asked_in_vain();
            }
            self.sessions.drop_attempt(ctx.convs);
            self.round_unanswered(ctx);
            let failed = out_of_reach && self.demand.is_awaited();
            if let Some(relay) = self.contact.via().cloned().filter(|_| failed) {
                self.dial_failed(ctx, Failure::Unreached(relay));
            }
        }
    }

    /// New addresses are known while saying hello: uses them, by an early repetition of which there are not more than else.
    pub(super) fn greet_soon(&mut self, ctx: &mut Context<'_>) {
        match &mut self.sessions.attempt {
            Some(attempt) if attempt.initiation.is_some() => {
                if attempt.repeats < INTRO_REPEATS.len() {
                    attempt.next = ctx.now;
                }
            }
            Some(attempt) => {
                let number = attempt.number;
                self.attempt(ctx, number);
            }
            None => self.attempt(ctx, 1),
        }
    }

    /// Somebody proved to be this peer and says hello. Returns whether it was answered.
    pub(crate) fn on_intro(
        &mut self,
        ctx: &mut Context<'_>,
        opened: Opened,
        source: &Source,
    ) -> bool {
        let body = &opened.body;
        let newest = credible(ctx.window_ms, ctx.unix_ms, self.sessions.newest_intro_ms());
        let off = body.timestamp_ms.abs_diff(ctx.unix_ms);
        let is_known = body.timestamp_ms == newest || ctx.convs.contains_key(&body.conv);
        if is_known || self.ours_wins(ctx) {
            return false;
        }
        if body.timestamp_ms < newest || off > ctx.window_ms {
            tracing::debug!(peer = %self.id.short(), off_ms = off, "stale INTRO");
            self.tell_time(ctx, body, newest, source);
            return false;
        }
        if matches!(self.state, PeerState::Idle | PeerState::Failed) {
            self.begin_effort(ctx.now);
        }
        self.sessions.note_intro(body.timestamp_ms);
        self.earned.earn(PACKET_LEN);
        self.note_source(ctx, source);
        self.sessions.drop_attempt(ctx.convs);
        self.remote = Some(body.description.clone());
        if let rtt @ 1.. = body.description.relay_rtt_ms {
            self.contact.told_rtt(Duration::from_millis(rtt.into()));
        }
        let theirs = opened.body.description.opened.clone();
        let opening = self.opening(ctx);
        let description = self.description(ctx.local, opening);
        let (session, packet) = match opened.answer(&description) {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(%error, "cannot answer an INTRO");
                return false;
            }
        };
        self.adopt(ctx, session);
        if let Source::Direct(pair) = source {
            // What the peer sends at once must not come to strangers.
            self.admit(ctx, *pair, Title::Claimed);
        }
        self.reply(ctx, source, packet);
        self.enter_round(ctx, source);
        self.begin_checks(ctx, !theirs.is_empty());
        if let Source::Direct(pair) = source {
            self.check_back(ctx, *pair);
        }
        true
    }

    /// Has the peer say hello again with a time that we take. Nothing is kept of it: a recorded hello brings whoever sends it again
    /// a few bytes that only the peer can read.
    fn tell_time(&self, ctx: &mut Context<'_>, body: &IntroBody, newest: u64, source: &Source) {
        let time_ms = ctx.unix_ms.max(newest.saturating_add(1));
        let random = ctx.rng.random();
        if let Some(bytes) = stale::seal(body.conv, &body.probe_secret, random, time_ms) {
            self.reply(ctx, source, bytes);
        }
    }

    /// The peer lets us in, but its clock is not ours: says hello again by its clock, once each attempt.
    pub(crate) fn on_stale(&mut self, ctx: &mut Context<'_>, datagram: &[u8]) {
        let Some(attempt) = self
            .sessions
            .attempt
            .as_ref()
            .filter(|attempt| !attempt.corrected)
        else {
            return;
        };
        let pending = attempt.initiation.as_ref();
        let told = pending.and_then(|pending| stale::open(&pending.secret, datagram));
        let Some(time_ms) = told else { return };
        let (number, off_ms) = (attempt.number, time_ms.abs_diff(ctx.unix_ms));
        tracing::info!(peer = %self.id.short(), off_ms, "the peer's clock is not ours");
        self.sessions.set_their_time(ctx.now, time_ms);
        self.attempt(ctx, number);
        if let Some(attempt) = &mut self.sessions.attempt {
            attempt.corrected = true;
        }
    }

    /// Both sides said hello at the same time: the smaller id's hello counts, unless it has been waiting for too long.
    fn ours_wins(&self, ctx: &Context<'_>) -> bool {
        let fresh = self.sessions.attempt.as_ref().is_some_and(|attempt| {
            attempt.initiation.is_some()
                && ctx.now.saturating_duration_since(attempt.sent) < SIMULTANEOUS
        });
        fresh && ctx.local.id < self.id
    }

    fn reply(&self, ctx: &mut Context<'_>, source: &Source, bytes: Vec<u8>) {
        match source {
            Source::Relay { relay, .. } => ctx.out.push_back(Output::SendRelay {
                relay: relay.clone(),
                to: self.id,
                bytes,
            }),
            Source::Direct(pair) => send(ctx, *pair, None, bytes),
        }
    }

    /// The peer answered our hello.
    pub(crate) fn on_ack(&mut self, ctx: &mut Context<'_>, packet: AckPacket<'_>, source: &Source) {
        let conv = packet.conv();
        let Some((initiation, sent)) = self.sessions.hello(conv) else {
            return;
        };
        let description = match initiation.read(ctx.key, packet) {
            Ok(description) => description,
            Err(error) => return tracing::debug!(%error, "INTRO_ACK refused"),
        };
        let initiation = self.sessions.take_hello(sent.is_some());
        let Some(Ok(session)) = initiation.map(Initiation::into_session) else {
            return;
        };
        self.earned.earn(PACKET_LEN);
        self.note_source(ctx, source);
        if let (Source::Relay { .. }, Some(sent)) = (source, sent) {
            self.contact
                .measured(ctx.now.saturating_duration_since(sent));
        }
        self.remote = Some(description);
        self.adopt(ctx, session);
        self.enter_round(ctx, source);
        self.begin_checks(ctx, true);
        if let Source::Direct(pair) = source {
            // Proves the peer, but not the address: the INTRO may have reached it by another way.
            self.check_back(ctx, *pair);
        }
    }

    fn adopt(&mut self, ctx: &mut Context<'_>, session: Session) {
        self.sessions.adopt(ctx.convs, self.id, session);
        self.failure = None;
        self.presence.met(ctx.now);
    }

    /// From hello to probing. An address that worked so far has to prove itself again: the peer may have been restarted.
    fn enter_round(&mut self, ctx: &mut Context<'_>, source: &Source) {
        self.demand.linger_if_unwanted(ctx.now);
        self.effort.rounds += 1;
        match (&self.path, source) {
            (Some(_), _) if self.on_stream() => {}
            (Some(_), _) => self.suspect(ctx, Doubt::Told),
            (None, Source::Direct(pair)) if self.contact.live_via(ctx.local).is_none() => {
                // Nothing else leads to the peer. QUIC itself sends no more than it received until the handshake is done.
                self.admit(ctx, *pair, Title::Claimed);
                ctx.out.push_back(Output::Route {
                    peer: self.id,
                    route: Route::Direct(*pair),
                });
                self.become_(ctx, PeerState::Punch);
            }
            (None, _) => {
                self.announce_route(ctx);
                // A link that lives on the relay does so until there is something better, however often that is tried.
                if self.state != PeerState::Relayed {
                    self.become_(ctx, PeerState::Punch);
                }
                self.announce_path(ctx);
            }
        }
    }
}

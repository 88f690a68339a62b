//! The link to one peer: hello, probing, the choice of a path, and holding it.
//!
//! ```text
//!            Connect / INTRO            both know candidates          a probe answered
//!   Idle ───────────────────► Intro ──────────────────────► Punch ────────────────────► Direct
//!                               │                             │                         │   ▲
//!                     no answer │                  no answer  │                 silence │   │ answer
//!                               ▼                             ▼        dead             ▼   │
//!                             Failed                       Relayed ◄───────────────── Suspect
//! ```
//!
//! A round is one INTRO, its answer, and the probes that follow. While relayed, rounds are repeated; each has fresh keys, so a
//! peer that was restarted in between is met again by the same means.

// The parts: each owns its data.
mod attempt;
mod checks;
mod choice;
mod contact;
mod demand;
mod direct;
mod earned;
mod effort;
#[cfg(any(test, feature = "_fuzzing"))]
mod footprint;
mod fresh_port;
mod guess;
mod history;
mod keepalive;
mod lifetimes;
mod presence;
mod probation;
mod rounds;
mod sessions;
mod state;
mod targets;
mod tcp_pairs;
mod told;
mod triggered;

// What they do together; none of these files call each other in a circle.
mod announce;
mod answer;
mod choosing;
mod control;
mod evidence;
mod guessing;
mod intro;
mod keeping;
mod messages;
mod mobility;
mod pairs;
mod path;
mod policy;
mod probes;
mod probing;
mod relayed;
mod relays;
mod renewing;
mod seek;
mod sockets;
mod tcp;

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Instant,
};

use rand_chacha::ChaCha20Rng;

pub(crate) use self::contact::Source;
pub use self::contact::Whereabouts;
use self::{
    answer::Met,
    checks::Checks,
    contact::Contact,
    demand::Demand,
    direct::DirectPath,
    earned::Earned,
    effort::Effort,
    fresh_port::FreshPort,
    guess::{End, Guess},
    history::History,
    intro::Unanswered,
    keepalive::Keepalive,
    messages::send,
    presence::Presence,
    probation::Death,
    rounds::Rounds,
    sessions::Sessions,
    state::State,
    tcp_pairs::TcpPairs,
    told::Told,
    triggered::Triggered,
};
use super::{
    budget::Budget,
    handshake::Opened,
    io::{Deadline, Failure, Output, Pair},
    local::Local,
    sources::Sources,
    timing::SHOWN,
    together::Together,
};
use crate::{
    PairAction, PeerId, RelayUrl, SecretKey,
    wire::{
        intro::{AckPacket, Description},
        sealed::Control,
    },
};

/// What a peer needs of its endpoint while it handles something.
pub(crate) struct Context<'a> {
    pub(crate) now: Instant,
    pub(crate) together: &'a mut Together,
    /// Whether we have many peers.
    pub(crate) is_crowded: bool,
    pub(crate) unix_ms: u64,
    /// How far an INTRO's timestamp may be off, milliseconds.
    pub(crate) window_ms: u64,
    pub(crate) key: &'a SecretKey,
    pub(crate) local: &'a Local,
    pub(crate) rng: &'a mut ChaCha20Rng,
    pub(crate) budget: &'a mut Budget,
    /// Which peer a conversation belongs to.
    pub(crate) session_indices: &'a mut BTreeMap<u64, PeerId>,
    pub(crate) sources: &'a mut Sources,
    pub(crate) out: &'a mut VecDeque<Output>,
}

/// One peer.
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    state: State,
    demand: Demand,
    contact: Contact,
    presence: Presence,
    sessions: Sessions,
    /// What the peer said of itself.
    remote: Option<Description>,
    earned: Earned,
    checks: Checks,
    triggered: Triggered,
    keepalive: Keepalive,
    history: History,
    rounds: Rounds,
    guess: Guess,
    fresh_port: FreshPort,
    tcp_pairs: TcpPairs,
    effort: Effort,
    told: Told,
}

impl Peer {
    /// `newest_intro_ms` is what [`Peer::newest_intro_ms`] was when the peer was last forgotten.
    pub(crate) fn new(id: PeerId, now: Instant, newest_intro_ms: u64) -> Self {
        Self {
            id,
            state: State::default(),
            demand: Demand::default(),
            contact: Contact::default(),
            presence: Presence::default(),
            sessions: Sessions::new(newest_intro_ms),
            remote: None,
            earned: Earned::default(),
            checks: Checks::default(),
            triggered: Triggered::default(),
            keepalive: Keepalive::default(),
            history: History::default(),
            rounds: Rounds::default(),
            guess: Guess::default(),
            fresh_port: FreshPort::default(),
            tcp_pairs: TcpPairs::default(),
            effort: Effort::default(),
            told: Told::new(now),
        }
    }

    /// Somebody wants the link. Relays and addresses add to those that are known.
    pub(crate) fn connect(
        &mut self,
        ctx: &mut Context<'_>,
        relays: Vec<RelayUrl>,
        addrs: Vec<SocketAddr>,
    ) {
        self.demand.dial();
        let was_placed = self.contact.is_placed(ctx.local);
        let has_news = relays.iter().any(|relay| !self.contact.concerns(relay));
        self.contact.meet_at(relays);
        self.contact.dial_at(addrs);
        let is_found = !was_placed && self.contact.is_placed(ctx.local);
        let is_calling = self.sessions.is_calling();
        let turned_away = self.sessions.turned_away().filter(|_| has_news);
        match (&self.state, turned_away) {
            (State::Idle | State::Failed(_), _) => self.dial_anew(ctx),
            (State::Greeting(failure), _) if !is_calling || failure.is_some() => {
                self.dial_anew(ctx);
            }
            (State::Greeting(_), _) if is_found => self.greet_soon(ctx),
            (State::Greeting(_), Some(why)) => self.greet_elsewhere(ctx, why),
            _ if self.presence.has_left() => self.look_again(ctx),
            // The relay's lane tells nothing of the peer's health: it may have been restarted since it last said hello.
            (State::Relayed, _) if !is_calling && !self.checks.is_on() => self.call(ctx),
            (State::Greeting(_) | State::Probing | State::Direct(_) | State::Relayed, _) => {
                self.announce_route(ctx);
            }
        }
    }

    /// The peer asks to be said hello to, at these addresses, which nobody here dialled.
    pub(crate) fn call_back(&mut self, ctx: &mut Context<'_>, addrs: Vec<SocketAddr>) {
        if self.demand.keeps_to_relays(ctx.local) {
            return;
        }
        match &self.state {
            State::Idle | State::Failed(_) => {
                self.contact.dial_at(addrs);
                self.demand.linger_if_unwanted(ctx.now);
                self.dial_anew(ctx);
            }
            State::Greeting(_) => {
                self.contact.dial_at(addrs);
                self.greet_soon(ctx);
            }
            State::Probing | State::Direct(_) | State::Relayed => {}
        }
    }

    /// Somebody wants a peer that said goodbye: it is not where it was.
    fn look_again(&mut self, ctx: &mut Context<'_>) {
        self.presence.set_left(false);
        self.dead(ctx);
        if !self.sessions.is_calling() {
            self.call(ctx);
        }
    }

    /// A connection to the peer stands: the link is to be kept as good as can be.
    pub(crate) fn on_connected(&mut self) {
        self.demand.on_connected();
    }

    /// Nobody wants the link any more; it lingers, as the next connection may be about to come.
    pub(crate) fn release(&mut self, ctx: &mut Context<'_>) {
        self.demand.release();
        if self.presence.has_left() {
            self.end(ctx);
        } else {
            self.demand.linger(ctx.now);
            ctx.sources.leave(self.id);
        }
    }

    /// The peer is not let in any more.
    pub(crate) fn expel(&mut self, ctx: &mut Context<'_>) {
        self.demand.release();
        self.shut(ctx);
    }

    /// Says goodbye and forgets the link, but not what was learnt of the peer.
    pub(crate) fn shut(&mut self, ctx: &mut Context<'_>) {
        if let Some(bytes) = self.sessions.seal_control(&Control::Bye) {
            match (self.state.path(), self.contact.live_via(ctx.local)) {
                (Some(path), _) => send(ctx, path.pair, None, bytes),
                (None, Some(relay)) => self.send_relay(ctx, relay, bytes),
                (None, None) => {}
            }
        }
        self.end(ctx);
    }

    fn end(&mut self, ctx: &mut Context<'_>) {
        self.sessions.end(ctx.session_indices);
        self.checks.clear();
        self.tcp_pairs.close_all(ctx);
        self.state = State::Idle;
        self.keepalive = Keepalive::default();
        self.history.end();
        self.guess.end(ctx, self.id, End::Dropped);
        self.release_sockets(ctx);
        self.end_fresh_port(ctx);
        self.rounds = Rounds::default();
        self.demand.end();
        self.contact.leave_all_relays();
        self.presence = Presence::default();
        ctx.sources.forget(self.id);
        ctx.out.push_back(Output::Forget { peer: self.id });
        self.announce_state(ctx);
        self.announce_path(ctx);
    }

    /// The direct path is no more: goes back to the relay, or looks for another.
    fn dead(&mut self, ctx: &mut Context<'_>) {
        let Some(path) = self.state.take_path() else {
            return;
        };
        self.history.lifetimes.interrupted();
        let narrow = path.narrow();
        if narrow.is_some() {
            self.guess.rest_longest(ctx.now);
        }
        if path.pair.sock.is_tcp() {
            self.drop_tcp(ctx, path.pair);
        }
        let death = Death {
            pair: path.pair,
            held: ctx.now.saturating_duration_since(path.since),
            rtt: path.rtt,
            narrow: narrow.is_some(),
        };
        self.history.died(ctx.now, death, narrow);
        let was_forced = self.demand.choice.died(path.pair);
        self.checks.settle();
        self.release_sockets(ctx);
        self.fall_back(ctx);
        if was_forced {
            self.tell_released(ctx, path.pair);
        }
    }

    /// There is no direct path any more.
    fn fall_back(&mut self, ctx: &mut Context<'_>) {
        self.effort.begin(ctx.now);
        if self.contact.live_via(ctx.local).is_some() {
            self.relayed(ctx);
        } else if self.demand.is_wanted() {
            self.dial(ctx);
        } else {
            self.end(ctx);
        }
    }

    /// The user wants something done with one of the pairs, which is named as snapshots name it.
    pub(crate) fn on_choice(
        &mut self,
        ctx: &mut Context<'_>,
        named: (SocketAddr, bool),
        action: PairAction,
    ) {
        let is_asked = matches!(action, PairAction::Probe | PairAction::Force);
        if is_asked && self.restore(ctx, Some(named)) {
            self.meet_again(ctx);
        }
        if self.choose(ctx, named, action) {
            self.checks.settle();
            self.release_sockets(ctx);
            // Has the peer, whose data still comes from there, ask and be left without an answer.
            self.send_update(ctx, vec![named.0]);
            self.fall_back(ctx);
        }
    }

    /// Somebody wants a direct path looked for now, whatever was dropped.
    pub(crate) fn on_retry(&mut self, ctx: &mut Context<'_>) {
        if self.restore(ctx, None) {
            self.meet_again(ctx);
        }
        self.retry(ctx);
    }

    /// Addresses are probed again for which the peer has yet to open its NATs, though there is a path.
    fn meet_again(&mut self, ctx: &mut Context<'_>) {
        if self.state.is_direct() && !self.sessions.is_calling() {
            self.call(ctx);
        }
    }

    /// Somebody proved to be this peer and says hello. Returns whether it was answered.
    pub(crate) fn on_intro(
        &mut self,
        ctx: &mut Context<'_>,
        opened: Opened,
        source: &Source,
    ) -> bool {
        if self.takes_not(ctx, source) {
            return false;
        }
        let met = self.answer_intro(ctx, opened, source);
        let answered = met.is_some();
        self.meet(ctx, met, source);
        answered
    }

    /// The peer answered our hello.
    pub(crate) fn on_ack(&mut self, ctx: &mut Context<'_>, packet: AckPacket<'_>, source: &Source) {
        if !self.takes_not(ctx, source) {
            let met = self.take_ack(ctx, packet, source);
            self.meet(ctx, met, source);
        }
    }

    /// Whether nothing is to be heard from there, which would be answered there.
    fn takes_not(&self, ctx: &Context<'_>, source: &Source) -> bool {
        let Source::Direct(pair) = source else {
            return false;
        };
        self.demand.keeps_to_relays(ctx.local) || self.demand.choice.is_dropped(*pair)
    }

    fn meet(&mut self, ctx: &mut Context<'_>, met: Option<Met>, source: &Source) {
        let Some(Met { opened }) = met else { return };
        self.seek(ctx, opened);
        if let Source::Direct(pair) = source {
            // A hello proves the peer, but not the address: it may have gone by another way.
            self.check_back(ctx, *pair);
        }
    }

    /// A control message of an established session.
    pub(crate) fn on_news(&mut self, ctx: &mut Context<'_>, datagram: &[u8], source: &Source) {
        match self.open_control(ctx, datagram) {
            Some(Control::Update(description)) => {
                self.contact.note_attested(ctx.local, source);
                let by_relay = matches!(source, Source::Relay { .. });
                if by_relay && !description.direct && self.contact.live_via(ctx.local).is_none() {
                    // The two may have met without it.
                    let has_path = self.state.path().is_some();
                    self.contact.note_source(ctx.local, source, has_path);
                }
                self.on_update(ctx, description);
                self.reconsider_guessing(ctx);
            }
            Some(Control::Bye) if self.demand.is_awaited() => self.look_again(ctx),
            Some(Control::Bye) if self.demand.is_wanted() => self.presence.set_left(true),
            Some(Control::Bye) => self.end(ctx),
            Some(Control::Go(order)) => self.on_go(ctx, &order),
            Some(Control::Stop) => self.on_stop(ctx),
            None => {}
        }
    }

    /// A TCP connection broke, or was closed from the other side.
    pub(crate) fn on_tcp_down(&mut self, ctx: &mut Context<'_>, pair: Pair) {
        if !self.has_tcp(pair) {
            return;
        }
        if self.state.path().is_some_and(|path| path.pair == pair) {
            self.dead(ctx);
        } else {
            self.drop_tcp(ctx, pair);
        }
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, ctx: &mut Context<'_>) {
        self.call_timeout(ctx);
        if let Some(opened) = self.triggered.take_due(ctx.now) {
            self.called_for(ctx, opened);
        }
        self.checks_timeout(ctx);
        self.choice_timeout(ctx);
        self.guess_timeout(ctx);
        self.fresh_port_timeout(ctx);
        self.tcp_timeout(ctx);
        self.ask_width(ctx);
        if self.inquire(ctx) {
            self.dead(ctx);
        }
        self.keepalive_timeout(ctx);
        self.probations_timeout(ctx);
        if self.rounds_timeout(ctx) {
            self.end(ctx);
        }
        if self.demand.next().is_some_and(|at| at <= ctx.now) {
            self.shut(ctx);
        }
    }

    fn call_timeout(&mut self, ctx: &mut Context<'_>) {
        let Some(Unanswered { out_of_reach }) = self.attempt_timeout(ctx) else {
            return;
        };
        self.round_unanswered(ctx);
        let failed = out_of_reach && self.demand.is_awaited();
        if let Some(relay) = self.contact.via().cloned().filter(|_| failed) {
            self.dial_failed(ctx, Failure::Unreached(relay));
        }
    }

    fn checks_timeout(&mut self, ctx: &mut Context<'_>) {
        if self.state.path().is_none() {
            self.checks.make_up(ctx.now);
        }
        self.send_checks(ctx);
        let Some(answered) = self.checks.take_end(ctx.now) else {
            return;
        };
        if !answered {
            self.effort.held_back = None;
        }
        match self.state.path() {
            None if !self.guess.is_on() => {
                self.try_fresh_port(ctx);
                self.relayed(ctx);
            }
            Some(path) if path.is_next_best() => self.schedule_round(ctx),
            Some(_) | None => {}
        }
    }

    /// The next thing that will be due, and what it is.
    pub(crate) fn poll_timeout(&self) -> Option<(Instant, Deadline)> {
        self.deadlines().min()
    }

    /// What will be due, the next of each kind.
    pub(crate) fn deadlines(&self) -> impl Iterator<Item = (Instant, Deadline)> + use<> {
        [
            self.sessions
                .attempt
                .as_ref()
                .map(|attempt| (attempt.next(), Deadline::Intro)),
            self.checks.next().map(|at| (at, Deadline::Probe)),
            self.triggered.next().map(|at| (at, Deadline::Probe)),
            self.checks.end().map(|at| (at, Deadline::RoundEnd)),
            self.guess.next().map(|at| (at, Deadline::Guess)),
            self.fresh_port.next().map(|at| (at, Deadline::FreshPort)),
            self.state
                .path()
                .and_then(DirectPath::next_probe)
                .map(|at| (at, Deadline::Suspect)),
            self.keepalive.next().map(|at| (at, Deadline::KeepAlive)),
            self.history
                .lifetimes
                .next()
                .map(|at| (at, Deadline::Suspect)),
            self.history
                .probations
                .next()
                .map(|at| (at, Deadline::Probation)),
            self.rounds.next().map(|at| {
                let failed = self.state.is_failed();
                (
                    at,
                    if failed {
                        Deadline::Retry
                    } else {
                        Deadline::NextRound
                    },
                )
            }),
            self.rounds.next_rebind().map(|at| (at, Deadline::Rebind)),
            self.demand.choice.next().map(|at| (at, Deadline::Suspect)),
            self.tcp_pairs.next().map(|at| (at, Deadline::Tcp)),
            self.demand.next().map(|at| (at, Deadline::Linger)),
            self.forgotten_at().map(|at| (at, Deadline::Forget)),
        ]
        .into_iter()
        .flatten()
    }

    /// Whether there is anything to this peer that would be missed.
    pub(crate) fn is_idle(&self) -> bool {
        self.state.is_idle() && !self.demand.is_wanted() && self.tcp_pairs.open().is_empty()
    }

    /// When nothing of the peer is of use any more, but [`Peer::newest_intro_ms`]: whom we looked for ourselves we may look for
    /// again, and are faster with what we know.
    pub(crate) fn forgotten_at(&self) -> Option<Instant> {
        let knows = self.demand.is_dialled() || self.contact.was_found();
        (self.is_idle() && !knows).then(|| self.told.since() + SHOWN)
    }

    /// Timestamp of the newest INTRO from the peer: older ones are replayed.
    pub(crate) fn newest_intro_ms(&self) -> u64 {
        self.sessions.newest_intro_ms()
    }

    /// Whether others may have its place: it came by itself and has no connection.
    pub(crate) fn yields(&self) -> bool {
        !self.demand.is_wanted() && !self.demand.is_dialled()
    }

    pub(crate) fn since(&self) -> Instant {
        self.told.since()
    }

    /// Where the peer is, by the best evidence there is.
    pub(crate) fn whereabouts(&self) -> Option<Whereabouts> {
        let proven = self.state.path().map(|path| path.pair.addr.ip());
        self.contact.whereabouts(proven)
    }

    pub(crate) fn probes(&self) -> (u32, u32) {
        self.checks.counts()
    }
}

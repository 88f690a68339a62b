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

mod ages;
mod called;
mod checks;
mod contact;
mod demand;
mod earned;
mod evidence;
#[cfg(any(test, feature = "_fuzzing"))]
mod footprint;
mod guess;
mod history;
mod hold;
mod intro;
mod news;
mod path;
mod presence;
mod probes;
mod relays;
mod reroll;
mod rounds;
mod sessions;
mod streams;
mod told;
mod trial;

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use rand_chacha::ChaCha20Rng;

pub use self::contact::Whereabouts;
use self::{
    called::Called,
    checks::Checks,
    contact::Contact,
    demand::Demand,
    earned::Earned,
    evidence::Effort,
    guess::{End, Guess},
    history::History,
    hold::Hold,
    path::DirectPath,
    presence::Presence,
    reroll::Reroll,
    rounds::Rounds,
    sessions::Sessions,
    streams::Streams,
    told::Told,
};
pub(crate) use self::{
    evidence::Reach,
    intro::Source,
    path::{Doubt, Narrow},
};
use super::{
    budget::Budget,
    io::{Deadline, Failure, Output, Pair, Route},
    local::Local,
    sources::{Grant, Sources, Title},
    timing::{SHOWN, TOGETHER},
};
use crate::{
    EventKind, PathInfo, PeerId, PeerState, RelayUrl, SecretKey,
    wire::{intro::Description, sealed::News},
};

/// What a peer needs of its endpoint while it handles something.
pub(crate) struct Context<'a> {
    pub(crate) now: Instant,
    /// When the machine was made.
    pub(crate) started: Instant,
    pub(crate) unix_ms: u64,
    /// How far an INTRO's timestamp may be off, milliseconds.
    pub(crate) window_ms: u64,
    pub(crate) key: &'a SecretKey,
    pub(crate) local: &'a Local,
    pub(crate) rng: &'a mut ChaCha20Rng,
    pub(crate) budget: &'a mut Budget,
    /// Which peer a conversation belongs to.
    pub(crate) convs: &'a mut BTreeMap<u64, PeerId>,
    pub(crate) sources: &'a mut Sources,
    pub(crate) out: &'a mut VecDeque<Output>,
}

impl Context<'_> {
    /// The last of the moments up to `at` for what nobody waits for: what is due for many idle peers is done in one go, so that
    /// a node with thousands of them wakes up no more often than with a few.
    fn together(&self, at: Instant) -> Instant {
        let steps = at.saturating_duration_since(self.started).as_nanos() / TOGETHER.as_nanos();
        self.started + TOGETHER * u32::try_from(steps).unwrap_or(u32::MAX)
    }
}

/// One peer.
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    state: PeerState,
    /// How the last dial failed; none if it was begun anew for somebody here, or answered.
    failure: Option<Failure>,
    demand: Demand,
    contact: Contact,
    presence: Presence,
    sessions: Sessions,
    /// What the peer said of itself.
    remote: Option<Description>,
    earned: Earned,
    checks: Checks,
    called: Called,
    path: Option<DirectPath>,
    hold: Hold,
    history: History,
    rounds: Rounds,
    guess: Guess,
    reroll: Reroll,
    streams: Streams,
    effort: Effort,
    told: Told,
}

impl Peer {
    /// `newest_intro_ms` is what [`Peer::newest_intro_ms`] was when the peer was last forgotten.
    pub(crate) fn new(id: PeerId, now: Instant, newest_intro_ms: u64) -> Self {
        Self {
            id,
            state: PeerState::Idle,
            failure: None,
            demand: Demand::default(),
            contact: Contact::default(),
            presence: Presence::default(),
            sessions: Sessions::new(newest_intro_ms),
            remote: None,
            earned: Earned::default(),
            checks: Checks::default(),
            called: Called::default(),
            path: None,
            hold: Hold::default(),
            history: History::default(),
            rounds: Rounds::default(),
            guess: Guess::default(),
            reroll: Reroll::default(),
            streams: Streams::default(),
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
        self.contact.meet_at(relays);
        self.contact.dial_at(addrs);
        match self.state {
            PeerState::Idle | PeerState::Failed => self.dial_anew(ctx),
            PeerState::Intro if !self.sessions.is_calling() || self.failure.is_some() => {
                self.dial_anew(ctx);
            }
            _ if self.presence.has_left() => self.look_again(ctx),
            // The relay's lane tells nothing of the peer's health: it may have been restarted since it last said hello.
            PeerState::Relayed if !self.sessions.is_calling() && !self.is_probing() => {
                self.call(ctx);
            }
            PeerState::Intro
            | PeerState::Punch
            | PeerState::Direct
            | PeerState::Suspect
            | PeerState::Relayed
            | PeerState::Unknown => self.announce_route(ctx),
        }
    }

    fn dial_anew(&mut self, ctx: &mut Context<'_>) {
        self.failure = None;
        self.dial(ctx);
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
    pub(crate) fn hold(&mut self) {
        self.demand.hold();
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
        if let Some(bytes) = self.sessions.seal_news(&News::Bye) {
            match (&self.path, self.contact.live_via(ctx.local)) {
                (Some(path), _) => send(ctx, path.pair, None, bytes),
                (None, Some(relay)) => ctx.out.push_back(Output::SendRelay {
                    relay,
                    to: self.id,
                    bytes,
                }),
                (None, None) => {}
            }
        }
        self.end(ctx);
    }

    fn end(&mut self, ctx: &mut Context<'_>) {
        self.sessions.end(ctx.convs);
        self.checks.clear();
        self.close_streams(ctx);
        self.path = None;
        self.hold = Hold::default();
        self.history.end();
        self.end_guessing(ctx, End::Dropped);
        self.end_reroll(ctx);
        self.rounds = Rounds::default();
        self.demand.end();
        self.contact.leave_relay();
        self.presence = Presence::default();
        self.failure = None;
        ctx.sources.forget(self.id);
        ctx.out.push_back(Output::Forget { peer: self.id });
        self.become_(ctx, PeerState::Idle);
        self.announce_path(ctx);
    }

    fn consents(&self, local: &Local) -> bool {
        !local.relay_only && self.remote.as_ref().is_some_and(|remote| remote.direct)
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, ctx: &mut Context<'_>) {
        self.attempt_timeout(ctx);
        if let Some(opened) = self.called.take_due(ctx.now) {
            self.called_for(ctx, opened);
        }
        self.checks_timeout(ctx);
        self.guess_timeout(ctx);
        self.reroll_timeout(ctx);
        self.streams_timeout(ctx);
        self.suspect_timeout(ctx);
        self.hold_timeout(ctx);
        if self.history.ages.take_due(ctx.now)
            && self.state == PeerState::Direct
            && self.rounds.in_use(ctx.now)
        {
            self.suspect(ctx, Doubt::Expected);
        }
        self.trials_timeout(ctx);
        self.rounds_timeout(ctx);
        if self.demand.next().is_some_and(|at| at <= ctx.now) {
            self.shut(ctx);
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
                .map(|attempt| (attempt.next, Deadline::Intro)),
            self.checks.next().map(|at| (at, Deadline::Probe)),
            self.called.next().map(|at| (at, Deadline::Probe)),
            self.checks.end.map(|at| (at, Deadline::RoundEnd)),
            self.guess.next().map(|at| (at, Deadline::Guess)),
            self.reroll.next().map(|at| (at, Deadline::Reroll)),
            self.path
                .as_ref()
                .and_then(DirectPath::next_probe)
                .map(|at| (at, Deadline::Suspect)),
            self.hold.next().map(|at| (at, Deadline::KeepAlive)),
            self.history.ages.next().map(|at| (at, Deadline::Suspect)),
            self.history.trials.next().map(|at| (at, Deadline::Trial)),
            self.rounds.next.map(|at| {
                let failed = self.state == PeerState::Failed;
                (
                    at,
                    if failed {
                        Deadline::Retry
                    } else {
                        Deadline::NextRound
                    },
                )
            }),
            self.rounds.rebind.map(|at| (at, Deadline::Rebind)),
            self.streams.dial.map(|at| (at, Deadline::Stream)),
            self.demand.next().map(|at| (at, Deadline::Linger)),
            self.forgotten_at().map(|at| (at, Deadline::Forget)),
        ]
        .into_iter()
        .flatten()
    }

    fn become_(&mut self, ctx: &mut Context<'_>, state: PeerState) {
        self.state = state;
        let state = self.state();
        let Some(from) = self.told.tell_state(ctx.now, state) else {
            return;
        };
        tracing::debug!(peer = %self.id.short(), ?from, to = ?state, "link");
        let why = self.explain(ctx.local, ctx.now).map(Box::new);
        ctx.out.push_back(Output::Event(EventKind::PeerState {
            peer: self.id,
            from,
            to: state,
            why,
        }));
    }

    fn fail(&mut self, ctx: &mut Context<'_>, reason: Failure) {
        self.failure = Some(reason.clone());
        self.sessions.drop_attempt(ctx.convs);
        self.close_streams(ctx);
        self.dial_failed(ctx, reason);
        self.become_(ctx, PeerState::Failed);
        self.schedule_retry(ctx);
    }

    /// Tells those who wait for a connection that there will be none.
    fn dial_failed(&mut self, ctx: &mut Context<'_>, reason: Failure) {
        self.demand.disappoint();
        self.presence.forget_unreached();
        ctx.out.push_back(Output::Failed {
            peer: self.id,
            reason,
        });
    }

    /// Whether there is anything to this peer that would be missed.
    pub(crate) fn is_idle(&self) -> bool {
        self.state == PeerState::Idle && !self.demand.is_wanted() && self.streams.open().is_empty()
    }

    /// When nothing of the peer is of use any more, but [`Peer::newest_intro_ms`]: whom we looked for ourselves we may look for
    /// again, and are faster with what we know.
    pub(crate) fn forgotten_at(&self) -> Option<Instant> {
        let knows = self.demand.is_dialled() || self.contact.is_found();
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

    /// The state as others see it: who could not be reached is unreachable until it answers, however often it is called.
    pub(crate) fn state(&self) -> PeerState {
        if self.state == PeerState::Intro && self.failure.is_some() {
            PeerState::Failed
        } else {
            self.state
        }
    }

    pub(crate) fn since(&self) -> Instant {
        self.told.since()
    }

    /// Where the peer is, by the best evidence there is.
    pub(crate) fn whereabouts(&self) -> Option<Whereabouts> {
        let proven = self.path.as_ref().map(|path| path.pair.addr.ip());
        self.contact.whereabouts(proven)
    }

    pub(crate) fn probes(&self) -> (u32, u32) {
        (self.checks.sent, self.checks.answered)
    }

    /// The path that carries the data, and its round trip as probes measured it.
    pub(crate) fn path_info(&self, local: &Local) -> Option<(PathInfo, Option<Duration>)> {
        match (&self.path, self.state) {
            (Some(path), PeerState::Direct | PeerState::Suspect) => {
                let info = PathInfo::Direct {
                    remote: path.pair.addr,
                    lan: local.is_lan(path.pair.addr),
                    tcp: path.pair.sock.is_stream(),
                };
                Some((info, Some(path.rtt)))
            }
            (_, PeerState::Idle | PeerState::Failed) => None,
            _ => Some((
                PathInfo::Relay {
                    remote: self.contact.via().cloned()?,
                },
                self.contact.relay_rtt(),
            )),
        }
    }

    fn announce_route(&self, ctx: &mut Context<'_>) {
        let live = self.contact.live_via(ctx.local);
        let via = live.or_else(|| self.contact.via().cloned());
        let route = match (&self.path, self.state, via) {
            (Some(path), state, Some(relay))
                if state == PeerState::Suspect || path.is_untested() =>
            {
                Route::Both(path.pair, relay)
            }
            (Some(path), _, _) => Route::Direct(path.pair),
            (None, _, Some(relay)) => Route::Relay(relay),
            (None, _, None) => return,
        };
        ctx.out.push_back(Output::Route {
            peer: self.id,
            route,
        });
    }

    fn announce_path(&mut self, ctx: &mut Context<'_>) {
        let info = self.path_info(ctx.local);
        let rtt_ms = info
            .as_ref()
            .and_then(|(_, rtt)| *rtt)
            .map(|rtt| rtt.as_secs_f64() * 1e3);
        let path = info.map(|(path, _)| path);
        if !self.told.tell_path(path.as_ref()) {
            return;
        }
        ctx.out.push_back(Output::Event(EventKind::PathChanged {
            peer: self.id,
            path,
            rtt_ms,
        }));
    }

    /// Has the peer's QUIC packets from this pair taken; false if they are another's. A stream is the peer's from the start; as the
    /// source of a datagram it can write any address, until an answer from there proves it.
    fn admit(&self, ctx: &mut Context<'_>, pair: Pair, title: Title) -> bool {
        if pair.sock.is_stream() {
            return true;
        }
        let (peer, addr) = (self.id, pair.addr);
        let grant = ctx.sources.ask(peer, addr, title);
        if let Grant::New { given_up } = grant {
            let expel = |addr| Output::Expel { peer, addr };
            ctx.out.extend(given_up.map(expel));
            ctx.out.push_back(Output::Admit { peer, addr });
        }
        grant != Grant::Refused
    }

    /// The session that an authentic message came in is the one that the peer knows.
    fn spoke_in(&mut self, now: Instant, conv: u64) {
        self.sessions.spoke_in(conv);
        self.presence.spoke(now);
    }
}

fn send(ctx: &mut Context<'_>, pair: Pair, ttl: Option<u8>, bytes: Vec<u8>) {
    let Pair { sock, addr: to } = pair;
    ctx.out.push_back(Output::SendDatagram {
        sock,
        to,
        ttl,
        bytes,
    });
}

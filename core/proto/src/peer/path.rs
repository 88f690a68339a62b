//! The direct path: chosen when an answer proves it, suspected when it falls silent, trusted when it answers.

use std::time::{Duration, Instant};

use rand::Rng;

use super::{
    Context, Peer,
    direct::{DirectPath, Doubt, Inquiry, PathEvent, Silence, Width},
    guess::End,
    keepalive::Measured,
    state::State,
};
use crate::{
    io::Pair,
    local::Local,
    sources::Title,
    wire::probe::{PACKET_LEN, ProbeKind},
};

/// Lengths of probes that tell how much a path carries that is too narrow: packets of 108, 576, 1,000 and 1,200 bytes in IPv4.
const SHORTER: [usize; 4] = [PACKET_LEN, 548, 972, 1172];

/// What makes one direct path better than another, best first: derived order is the policy.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tier {
    Lan,
    Internet,
    Stream,
}

impl Tier {
    pub(super) fn of(pair: Pair, local: &Local) -> Self {
        if pair.sock.is_tcp() {
            Self::Stream
        } else if local.is_lan(pair.addr) {
            Self::Lan
        } else {
            Self::Internet
        }
    }
}

impl Peer {
    /// An answer came back from this address: it belongs to the peer and carries packets both ways.
    pub(super) fn proven(&mut self, ctx: &mut Context<'_>, pair: Pair, rtt: Duration, full: bool) {
        self.admit(ctx, pair, Title::Proven);
        let passes = self.history.probations.passes(ctx.now, pair, rtt, full);
        let used = self.state.path().map(|path| path.pair);
        match self.demand.choice.rules(used, pair) {
            Some(true) => {
                self.demand.choice.took(ctx.now, pair);
                return self.select(ctx, pair, rtt);
            }
            Some(false) => return self.still_alive(ctx),
            None if !passes => return self.still_alive(ctx),
            None => {}
        }
        let tier = |pair| Tier::of(pair, ctx.local);
        let take = match self.state.path() {
            None => self
                .contact
                .relay_rtt()
                .is_none_or(|relay| rtt <= relay * 2 + Duration::from_millis(50)),
            Some(path) if path.pair == pair => false,
            // Where one path is too narrow, a small answer does not make another better.
            Some(path) if path.is_suspect() => full || !path.is_untested(),
            Some(path) if tier(pair) != tier(path.pair) => tier(pair) < tier(path.pair),
            Some(path) => {
                let used = Measured {
                    pair: path.pair,
                    rtt: path.rtt,
                };
                let chooses = ctx.local.id < self.id;
                let other = Measured { pair, rtt };
                self.keepalive
                    .is_worth_it(ctx.now, (used, path.since), other, chooses)
            }
        };
        if take {
            self.select(ctx, pair, rtt);
        } else if self.state.path().is_none() {
            self.effort.held_back = Some(rtt);
            self.checks.measure_again(ctx.now, pair);
        }
    }

    /// The peer's data comes from there, and it is the peer who chooses between good paths.
    pub(super) fn follow(&mut self, ctx: &mut Context<'_>, pair: Pair) {
        let tier = |pair| Tier::of(pair, ctx.local);
        let fits = self.state.path().is_some_and(|path| {
            let is_free = self.demand.choice.rules(Some(path.pair), pair).is_none();
            is_free && path.pair != pair && !path.is_suspect() && tier(pair) <= tier(path.pair)
        });
        let Some(rtt) = self.checks.rtt(pair).filter(|_| fits) else {
            return;
        };
        if self.id < ctx.local.id && self.history.probations.passes(ctx.now, pair, rtt, false) {
            self.select(ctx, pair, rtt);
        }
    }

    pub(super) fn select(&mut self, ctx: &mut Context<'_>, pair: Pair, rtt: Duration) {
        self.note_age(ctx.now, pair);
        let before = self.state.path();
        if before.is_some_and(DirectPath::is_next_best) && !pair.sock.is_tcp() {
            self.effort.go_on();
        }
        self.state = State::Direct(DirectPath::new(ctx.now, pair, rtt));
        self.rounds.direct();
        self.tcp_pairs.dial_no_more();
        self.effort.done(ctx.now);
        self.keepalive.begin(ctx);
        if let Some(run) = self.guess.end(ctx, self.id, End::Found) {
            self.effort.found = run.found(pair);
        }
        self.release_sockets(ctx);
        self.history.found();
        self.announce_state(ctx);
        self.announce_route(ctx);
        self.announce_path(ctx);
        if pair.sock.is_tcp() {
            if ctx.local.id < self.id {
                self.ask(ctx, ProbeKind::Nominated);
            }
            self.schedule_round(ctx);
        }
        self.ask_width(ctx);
    }

    /// Asks a new path whether it carries QUIC's packets; one that does not is suspect.
    pub(super) fn ask_width(&mut self, ctx: &mut Context<'_>) {
        let path = self.state.path_mut();
        match path.and_then(|path| path.ask_width(ctx.now)) {
            None => {}
            Some(Width::Missing) => self.suspect(ctx, Doubt::Silent),
            Some(Width::Asked) => {
                let chooses = ctx.local.id < self.id;
                let kind = if chooses {
                    ProbeKind::Nominated
                } else {
                    ProbeKind::Request
                };
                self.ask(ctx, kind);
            }
        }
    }

    /// The present path is given up for this one. Learns from it, if it is the peer's mapping that changed.
    fn note_age(&mut self, now: Instant, pair: Pair) {
        let moved = self.state.path().filter(|path| {
            path.is_suspect()
                && path.pair.sock == pair.sock
                && path.pair.addr.ip() == pair.addr.ip()
        });
        match moved {
            Some(path) => self
                .history
                .lifetimes
                .moved(now, now.saturating_duration_since(path.since)),
            None => self.history.lifetimes.interrupted(),
        }
    }

    /// When the path in use was last seen to answer.
    pub(crate) fn direct_heard(&self) -> Option<Instant> {
        self.state.path().map(|path| path.heard)
    }

    /// QUIC got nothing back on the direct path since `since`, though it sent until `sent`. Asks first, then suspects.
    pub(crate) fn on_silence(
        &mut self,
        ctx: &mut Context<'_>,
        since: Instant,
        sent: Instant,
        rtt: Duration,
    ) {
        let is_expected = self.demand.is_wanted() && !self.presence.has_left();
        let path = self.state.path_mut();
        let Some(path) = path.filter(|path| is_expected && !path.is_suspect() && sent > path.heard)
        else {
            return;
        };
        match path.on_silence(ctx.now, since, rtt) {
            None => {}
            Some(Silence::Asked) => self.ask(ctx, ProbeKind::Nominated),
            Some(Silence::Lasts) => self.suspect(ctx, Doubt::Silent),
        }
    }

    /// QUIC misses packets on the direct path: asks whether it still carries those of their length.
    pub(crate) fn on_losses(&mut self, ctx: &mut Context<'_>) {
        let path = self.state.path_mut();
        if path.is_some_and(|path| !path.is_suspect() && path.doubt_width(ctx.now)) {
            self.ask_width(ctx);
        }
    }

    /// Asks whether the path in use works.
    pub(super) fn ask(&mut self, ctx: &mut Context<'_>, kind: ProbeKind) {
        let Some(path) = self.state.path() else {
            return;
        };
        // A peer that chooses takes a pair that it has not chosen for a sign of trouble.
        let is_odd = self.demand.choice.is_forced(path.pair) && self.id < ctx.local.id;
        let kind = if is_odd && kind == ProbeKind::Nominated {
            ProbeKind::Request
        } else {
            kind
        };
        let question = (path.pair, path.question_len());
        self.ask_of(ctx, question, kind);
    }

    /// Asks how long packets may be where full ones may not get through, which tells a narrow path from a dead one.
    fn ask_shorter(&mut self, ctx: &mut Context<'_>) {
        let pair = self.state.path().map(|path| path.pair);
        let Some(pair) = pair.filter(|pair| !pair.sock.is_tcp()) else {
            return;
        };
        for len in SHORTER {
            self.ask_of(ctx, (pair, len), ProbeKind::Request);
        }
    }

    fn ask_of(&mut self, ctx: &mut Context<'_>, (pair, len): (Pair, usize), kind: ProbeKind) {
        let tx = ctx.rng.random();
        let Some(path) = self.state.path_mut() else {
            return;
        };
        path.note_question(ctx.now, tx, len);
        self.question_of(ctx, (pair, len), None, kind, tx);
    }

    /// Has every packet take the relay as well, and asks whether the path still works.
    pub(crate) fn suspect(&mut self, ctx: &mut Context<'_>, doubt: Doubt) {
        let Some(path) = self.state.path_mut() else {
            return;
        };
        path.suspect(ctx.now, doubt);
        let addr = path.pair.addr;
        self.checks.wake_proven(ctx.now);
        self.announce_state(ctx);
        if doubt == Doubt::Silent {
            // The peer may be out of earshot; and the relay sees whether our own address changed.
            self.send_update(ctx, vec![addr]);
        }
        self.announce_route(ctx);
        self.ask_width(ctx);
        // An inquiry that has just begun does not find it dead.
        self.inquire(ctx);
    }

    /// Goes on with the inquiry into a suspect path, when that is due. Returns whether the path is dead.
    pub(super) fn inquire(&mut self, ctx: &mut Context<'_>) -> bool {
        let path = self.state.path_mut();
        match path.and_then(|path| path.inquire(ctx.now)) {
            None => {}
            Some(Inquiry::Dead) => return true,
            Some(Inquiry::Silent) => self.suspect(ctx, Doubt::Silent),
            Some(Inquiry::Over) => self.trust(ctx),
            Some(Inquiry::Ask { kind, lasts }) => {
                self.ask(ctx, kind);
                if lasts {
                    self.ask_shorter(ctx);
                    // Where datagrams are dropped from now on, the relay is as silent.
                    self.tcp_pairs.plan(ctx, self.state.path());
                }
            }
        }
        false
    }

    /// Whether this answers a probe of the path in use, which ends most suspicions: it works both ways.
    pub(super) fn path_answered(
        &mut self,
        ctx: &mut Context<'_>,
        source: Pair,
        tx: u64,
        full: bool,
    ) -> bool {
        let Some(path) = self.state.path_mut().filter(|path| path.pair == source) else {
            return false;
        };
        match path.on_answer(ctx.now, tx, full) {
            None => return false,
            Some(PathEvent::Short) => {}
            Some(PathEvent::Works { widened, trusted }) => {
                if widened {
                    self.announce_route(ctx);
                }
                self.keepalive.answered(ctx);
                if trusted {
                    self.trust(ctx);
                }
            }
        }
        true
    }

    fn trust(&mut self, ctx: &mut Context<'_>) {
        let Some(path) = self.state.path_mut() else {
            return;
        };
        path.trust();
        self.keepalive.watch(ctx);
        self.announce_state(ctx);
        self.announce_route(ctx);
    }

    /// The peer is heard of again, though not yet on a path that is trusted: whatever waits is worth sending now.
    fn still_alive(&self, ctx: &mut Context<'_>) {
        if self.state.path().is_none() {
            self.announce_route(ctx);
        }
    }
}

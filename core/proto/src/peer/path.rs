//! The direct path: chosen when an answer proves it, suspected when it falls silent, given up when it stays so.

use std::time::{Duration, Instant};

use rand::Rng;

use super::{
    Context, Peer,
    guess::End,
    hold::{Care, Measured},
    send,
    trial::Death,
};
use crate::{
    PeerState,
    proto::{
        io::Pair,
        local::Local,
        sources::Title,
        timing::{
            DEAD_AFTER, DEAF_FOR, EXPECTED_GAP, LATE, REGULAR_WITHIN, STREAM_DEAD_AFTER,
            SUSPECT_AFTER, SUSPECT_GAPS,
        },
    },
    wire::probe::{FULL_LEN, PACKET_LEN, Probe, ProbeKind},
};

/// Length of a question that shows that QUIC's packets get through. A stream carries any.
pub(super) fn full_len(pair: Pair) -> usize {
    if pair.sock.is_stream() {
        PACKET_LEN
    } else {
        FULL_LEN
    }
}

/// The direct path that carries the data, or did until just now.
pub(super) struct DirectPath {
    pub(super) pair: Pair,
    /// Smoothed round trip of probes.
    pub(super) rtt: Duration,
    /// When it was chosen.
    pub(super) since: Instant,
    /// When a probe was last answered.
    pub(super) heard: Instant,
    /// When the peer last asked on it.
    pub(super) asked: Instant,
    /// When the peer last said that it hears nothing.
    pub(super) deaf: Option<Instant>,
    /// Probes whose answers are still worth something.
    pending: Vec<Pending>,
    /// Whether it is known to carry QUIC's packets both ways; until then the relay carries them too.
    wide: bool,
    /// When that is asked again, and how often it was.
    width: Option<(Instant, u32)>,
    /// When a shorter probe was answered while full ones are what counts, and the longest such probe.
    short: Option<(Instant, usize)>,
    /// When a probe left because QUIC had been waiting for a while: mostly it has merely nothing more to say.
    inquiry: Option<Instant>,
    suspicion: Option<Suspicion>,
}

/// Probes of the path in use that are waited for at a time.
const MAX_PENDING: usize = 16;
/// Lengths of probes that tell how much a path carries that is too narrow: packets of 108, 576, 1,000 and 1,200 bytes in IPv4.
const SHORTER: [usize; 4] = [PACKET_LEN, 548, 972, 1172];
/// Full-size questions to a new path before it is suspect.
const WIDTH_QUESTIONS: u32 = 4;

/// What a path carries that is too narrow for QUIC, in bytes of its packets with all headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Narrow {
    /// The longest that got through.
    pub(crate) carries: u16,
    /// The shortest that QUIC needs.
    pub(crate) needs: u16,
}

impl Narrow {
    fn of(pair: Pair, longest: usize) -> Self {
        let headers = if pair.addr.is_ipv6() { 48 } else { 28 };
        Self {
            carries: (longest + headers) as u16,
            needs: (FULL_LEN + headers) as u16,
        }
    }
}

/// A question that waits for an answer.
struct Pending {
    tx: u64,
    sent: Instant,
    len: usize,
}

/// An inquiry into whether the path still works.
struct Suspicion {
    since: Instant,
    doubt: Doubt,
    next: Instant,
    step: usize,
}

/// Why a path is suspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// We hear nothing on it.
    Silent,
    /// We moved, or slept: what was sent before tells nothing.
    Moved,
    /// The peer hears nothing, or begins anew.
    Told,
    /// It works, but the peer's mapping is about to die.
    Expected,
}

impl DirectPath {
    pub(super) fn next_probe(&self) -> Option<Instant> {
        let width = self.width.map(|(at, _)| at);
        self.suspicion
            .as_ref()
            .map_or(width, |suspicion| Some(suspicion.next))
    }

    /// Whether it is yet unknown if QUIC's packets get through.
    pub(super) fn is_untested(&self) -> bool {
        !self.wide
    }

    /// How long the next question is: as long as QUIC's packets while it is about these.
    fn question_len(&self) -> usize {
        let doubted = self
            .suspicion
            .as_ref()
            .is_some_and(|suspicion| suspicion.doubt != Doubt::Expected);
        if self.wide && self.width.is_none() && self.inquiry.is_none() && !doubted {
            PACKET_LEN
        } else {
            full_len(self.pair)
        }
    }

    pub(super) fn is_suspect(&self) -> bool {
        self.suspicion.is_some()
    }

    #[cfg(any(test, feature = "_fuzzing"))]
    pub(super) fn footprint(&self) -> usize {
        super::footprint::of(&self.pending)
    }
}

/// What makes one direct path better than another, best first: derived order is the policy.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tier {
    Lan,
    Internet,
    Stream,
}

impl Tier {
    fn of(pair: Pair, local: &Local) -> Self {
        if pair.sock.is_stream() {
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
        if !self.history.trials.passes(ctx.now, pair, rtt, full) {
            return self.still_alive(ctx);
        }
        let tier = |pair| Tier::of(pair, ctx.local);
        let take = match &self.path {
            None => self
                .contact
                .relay_rtt()
                .is_none_or(|relay| rtt <= relay * 2 + Duration::from_millis(50)),
            Some(path) if path.pair == pair => false,
            // Where one path is too narrow, a small answer does not make another better.
            Some(path) if path.is_suspect() => full || path.wide,
            Some(path) if tier(pair) != tier(path.pair) => tier(pair) < tier(path.pair),
            Some(path) => {
                let used = Measured {
                    pair: path.pair,
                    rtt: path.rtt,
                };
                let chooses = ctx.local.id < self.id;
                let other = Measured { pair, rtt };
                self.hold
                    .is_worth_it(ctx.now, (used, path.since), other, chooses)
            }
        };
        if take {
            self.select(ctx, pair, rtt);
        } else if self.path.is_none() {
            self.effort.held_back = Some(rtt);
            self.measure_again(ctx, pair);
        }
    }

    /// The peer's data comes from there, and it is the peer who chooses between good paths.
    pub(super) fn follow(&mut self, ctx: &mut Context<'_>, pair: Pair) {
        let tier = |pair| Tier::of(pair, ctx.local);
        let fits = self.path.as_ref().is_some_and(|path| {
            path.pair != pair && !path.is_suspect() && tier(pair) <= tier(path.pair)
        });
        let Some(rtt) = self.checks.rtt(pair).filter(|_| fits) else {
            return;
        };
        if self.id < ctx.local.id && self.history.trials.passes(ctx.now, pair, rtt, false) {
            self.select(ctx, pair, rtt);
        }
    }

    fn select(&mut self, ctx: &mut Context<'_>, pair: Pair, rtt: Duration) {
        self.note_age(ctx.now, pair);
        if self.on_stream() && !pair.sock.is_stream() {
            self.effort.go_on();
        }
        self.path = Some(DirectPath {
            pair,
            rtt,
            since: ctx.now,
            heard: ctx.now,
            asked: ctx.now,
            deaf: None,
            pending: Vec::new(),
            wide: pair.sock.is_stream(),
            width: (!pair.sock.is_stream()).then_some((ctx.now, 0)),
            short: None,
            inquiry: None,
            suspicion: None,
        });
        self.rounds.direct();
        self.streams.dial = None;
        self.effort.done(ctx.now);
        self.hold.begin(ctx);
        self.end_guessing(ctx, End::Found);
        self.history.found();
        self.become_(ctx, PeerState::Direct);
        self.announce_route(ctx);
        self.announce_path(ctx);
        if self.on_stream() {
            if ctx.local.id < self.id {
                self.ask(ctx, ProbeKind::InUse);
            }
            self.schedule_round(ctx);
        }
        self.ask_width(ctx);
    }

    /// Asks a new path whether it carries QUIC's packets; one that does not is suspect.
    fn ask_width(&mut self, ctx: &mut Context<'_>) {
        let Some(path) = &mut self.path else { return };
        let Some((at, asked)) = path.width.filter(|(at, _)| *at <= ctx.now) else {
            return;
        };
        if path.is_suspect() {
            path.width = None;
        } else if asked >= WIDTH_QUESTIONS && ctx.now <= at + LATE {
            path.width = None;
            self.suspect(ctx, Doubt::Silent);
        } else {
            path.width = Some((ctx.now + (SUSPECT_AFTER / 2).max(path.rtt * 2), asked + 1));
            let chooses = ctx.local.id < self.id;
            let kind = if chooses {
                ProbeKind::InUse
            } else {
                ProbeKind::Request
            };
            self.ask(ctx, kind);
        }
    }

    /// The present path is given up for this one. Learns from it, if it is the peer's mapping that changed.
    fn note_age(&mut self, now: Instant, pair: Pair) {
        let moved = self.path.as_ref().filter(|path| {
            path.is_suspect()
                && path.pair.sock == pair.sock
                && path.pair.addr.ip() == pair.addr.ip()
        });
        match moved {
            Some(path) => self
                .history
                .ages
                .moved(now, now.saturating_duration_since(path.since)),
            None => self.history.ages.interrupted(),
        }
    }

    /// When the path in use was last seen to answer.
    pub(crate) fn direct_heard(&self) -> Option<Instant> {
        self.path.as_ref().map(|path| path.heard)
    }

    /// QUIC got nothing back on the direct path since `since`, though it sent until `sent`. Asks first, then suspects.
    pub(crate) fn on_silence(
        &mut self,
        ctx: &mut Context<'_>,
        since: Instant,
        sent: Instant,
        rtt: Duration,
    ) {
        let Some(path) = self.path.as_mut().filter(|path| {
            self.state == PeerState::Direct
                && self.demand.is_wanted()
                && !self.presence.has_left()
                && sent > path.heard
        }) else {
            return;
        };
        let since = since.max(path.heard);
        let patience = SUSPECT_AFTER.max(path.rtt.max(rtt) * 3);
        let silence = ctx.now.saturating_duration_since(since);
        match path.inquiry.filter(|asked| *asked >= since) {
            // Not before the answer had its time: we may have been too busy to look for it.
            Some(asked) if ctx.now.saturating_duration_since(asked) >= patience / 2 => {
                self.suspect(ctx, Doubt::Silent);
            }
            None if silence >= patience / 2 => {
                path.inquiry = Some(ctx.now);
                self.ask(ctx, ProbeKind::InUse);
            }
            _ => {}
        }
    }

    /// QUIC misses packets on the direct path: asks whether it still carries those of their length.
    pub(crate) fn on_losses(&mut self, ctx: &mut Context<'_>) {
        let Some(path) = &mut self.path else { return };
        if self.state == PeerState::Direct && path.width.is_none() && !path.pair.sock.is_stream() {
            path.width = Some((ctx.now, 0));
            self.ask_width(ctx);
        }
    }

    /// Asks whether the path in use works.
    pub(super) fn ask(&mut self, ctx: &mut Context<'_>, kind: ProbeKind) {
        let Some(path) = &self.path else { return };
        let question = (path.pair, path.question_len());
        self.ask_of(ctx, question, kind);
    }

    pub(super) fn hold_timeout(&mut self, ctx: &mut Context<'_>) {
        let held = self.path.as_ref();
        let held = held.filter(|_| self.state == PeerState::Direct);
        match self.hold.handle_timeout(ctx, held, self.rounds.traffic) {
            Some(Care::Ask) => self.ask(ctx, ProbeKind::InUse),
            Some(Care::Suspect) => self.suspect(ctx, Doubt::Silent),
            None => {}
        }
        if self.hold.take_spare(ctx) {
            self.ask_spare(ctx);
        }
    }

    /// Asks the best of the paths that are not in use, and the one that is, to compare them.
    fn ask_spare(&mut self, ctx: &mut Context<'_>) {
        let Some(path) = &self.path else { return };
        let used = path.pair;
        if self.checks.ask_spare(ctx.now, used, |pair, rtt| {
            (!ctx.local.is_lan(pair.addr), Measured { pair, rtt }.cost())
        }) {
            self.ask(ctx, ProbeKind::InUse);
            self.checks_timeout(ctx);
        }
    }

    /// Asks addresses that died, and tries a fresh port when their time is over.
    pub(super) fn trials_timeout(&mut self, ctx: &mut Context<'_>) {
        let wanted = self.demand.is_wanted() && self.consents(ctx.local);
        let wanted = wanted && self.rounds.in_use(ctx.now);
        let due = self.history.trials.handle_timeout(ctx, wanted);
        for (pair, tx) in due.questions {
            let len = full_len(pair);
            self.question_of(ctx, (pair, len), None, ProbeKind::Request, tx);
        }
        if due.over {
            self.release_sockets(ctx);
            if wanted && self.state == PeerState::Relayed {
                self.reroll(ctx);
            }
        }
    }

    /// Asks how long packets may be where full ones may not get through, which tells a narrow path from a dead one.
    fn ask_shorter(&mut self, ctx: &mut Context<'_>) {
        let Some(pair) = self.path.as_ref().map(|path| path.pair) else {
            return;
        };
        for len in SHORTER {
            self.ask_of(ctx, (pair, len), ProbeKind::Request);
        }
    }

    fn ask_of(&mut self, ctx: &mut Context<'_>, (pair, len): (Pair, usize), kind: ProbeKind) {
        let tx = ctx.rng.random();
        let Some(path) = &mut self.path else { return };
        if path.pending.len() >= MAX_PENDING {
            path.pending.remove(0);
        }
        let sent = ctx.now;
        path.pending.push(Pending { tx, sent, len });
        self.question_of(ctx, (pair, len), None, kind, tx);
    }

    /// Sends a probe that wants an answer.
    pub(super) fn question(
        &mut self,
        ctx: &mut Context<'_>,
        pair: Pair,
        ttl: Option<u8>,
        kind: ProbeKind,
        tx: u64,
    ) {
        self.question_of(ctx, (pair, PACKET_LEN), ttl, kind, tx);
    }

    /// Sends a probe of this length that wants an answer.
    pub(super) fn question_of(
        &mut self,
        ctx: &mut Context<'_>,
        (pair, len): (Pair, usize),
        ttl: Option<u8>,
        kind: ProbeKind,
        tx: u64,
    ) {
        let probe = Probe {
            kind,
            tx,
            observed: pair.addr,
        };
        if let Some(bytes) = self.sessions.seal_question(&probe, len) {
            send(ctx, pair, ttl, bytes);
        }
    }

    /// Has every packet take the relay as well, and asks whether the path still works.
    pub(crate) fn suspect(&mut self, ctx: &mut Context<'_>, doubt: Doubt) {
        let Some(path) = &mut self.path else { return };
        if doubt == Doubt::Moved {
            path.pending.clear();
        }
        path.suspicion = Some(Suspicion {
            since: ctx.now,
            doubt,
            next: ctx.now,
            step: 0,
        });
        let addr = path.pair.addr;
        self.checks.wake_proven(ctx.now);
        self.become_(ctx, PeerState::Suspect);
        if doubt == Doubt::Silent {
            // The peer may be out of earshot; and the relay sees whether our own address changed.
            self.send_update(ctx, vec![addr]);
        }
        self.announce_route(ctx);
        self.suspect_timeout(ctx);
    }

    pub(super) fn suspect_timeout(&mut self, ctx: &mut Context<'_>) {
        self.ask_width(ctx);
        let Some(path) = &mut self.path else { return };
        let Some(suspicion) = path
            .suspicion
            .as_mut()
            .filter(|suspicion| suspicion.next <= ctx.now)
        else {
            return;
        };
        if suspicion.doubt == Doubt::Expected {
            return self.expect_death(ctx);
        }
        let late = ctx.now > suspicion.next + LATE;
        let dead_after = if path.pair.sock.is_stream() {
            STREAM_DEAD_AFTER
        } else {
            DEAD_AFTER
        };
        let dead_at = suspicion.since + dead_after.max(path.rtt * 2);
        if suspicion.step > SUSPECT_GAPS.len() && ctx.now >= dead_at && !late {
            return self.dead(ctx);
        }
        suspicion.next = match SUSPECT_GAPS.get(suspicion.step) {
            Some(gap) => ctx.now + *gap,
            None if late => ctx.now + SUSPECT_AFTER.max(path.rtt * 3),
            None => dead_at.max(ctx.now),
        };
        suspicion.step += 1;
        let lasts = suspicion.step == SUSPECT_GAPS.len();
        let kind = match suspicion.doubt {
            Doubt::Silent | Doubt::Moved | Doubt::Expected => ProbeKind::Deaf,
            Doubt::Told => ProbeKind::InUse,
        };
        let is_stream = path.pair.sock.is_stream();
        self.ask(ctx, kind);
        if lasts && !is_stream {
            self.ask_shorter(ctx);
        }
        if lasts {
            // Where datagrams are dropped from now on, the relay is as silent.
            self.plan_streams(ctx);
        }
    }

    /// Asks a path that is about to die, all the time until that is over.
    fn expect_death(&mut self, ctx: &mut Context<'_>) {
        let Some(path) = &mut self.path else { return };
        let Some(suspicion) = &mut path.suspicion else {
            return;
        };
        let heard = path.heard.max(suspicion.since);
        if ctx.now.saturating_duration_since(heard) >= SUSPECT_AFTER.max(path.rtt * 3) {
            return self.suspect(ctx, Doubt::Silent);
        }
        if ctx.now.saturating_duration_since(suspicion.since) >= REGULAR_WITHIN * 2 {
            return self.trust(ctx);
        }
        suspicion.next = ctx.now + EXPECTED_GAP;
        // Has the peer give everything to the relay too.
        self.ask(ctx, ProbeKind::Deaf);
    }

    /// Whether this answers a probe of the path in use, which ends most suspicions: it works both ways.
    pub(super) fn path_answered(
        &mut self,
        ctx: &mut Context<'_>,
        source: Pair,
        tx: u64,
        full: bool,
    ) -> bool {
        let Some(path) = self.path.as_mut().filter(|path| path.pair == source) else {
            return false;
        };
        let Some(found) = path.pending.iter().position(|pending| pending.tx == tx) else {
            return false;
        };
        let Pending { sent, len, .. } = path.pending.swap_remove(found);
        let full = full && len == FULL_LEN || path.pair.sock.is_stream();
        let rtt = ctx.now.saturating_duration_since(sent);
        if !full && path.question_len() == FULL_LEN {
            let longest = path.short.map_or(len, |(_, longest)| longest.max(len));
            path.short = Some((ctx.now, longest));
            return true;
        }
        if full {
            path.width = None;
            if !std::mem::replace(&mut path.wide, true) {
                self.announce_route(ctx);
            }
        }
        let Some(path) = &mut self.path else {
            return true;
        };
        path.rtt = (path.rtt * 7 + rtt) / 8;
        path.heard = ctx.now;
        path.inquiry = None;
        self.hold.answered(ctx);
        let is_deaf = path.deaf.is_some_and(|at| ctx.now < at + DEAF_FOR);
        match &mut path.suspicion {
            None => {}
            Some(suspicion) if suspicion.doubt == Doubt::Expected => {}
            Some(suspicion) if is_deaf && suspicion.doubt == Doubt::Told => {
                (suspicion.since, suspicion.next) = (ctx.now, ctx.now + EXPECTED_GAP);
                suspicion.step = suspicion.step.min(1);
            }
            Some(_) => self.trust(ctx),
        }
        true
    }

    fn trust(&mut self, ctx: &mut Context<'_>) {
        let Some(path) = &mut self.path else { return };
        path.suspicion = None;
        self.hold.watch(ctx);
        self.become_(ctx, PeerState::Direct);
        self.announce_route(ctx);
    }

    /// The peer is heard of again, though not yet on a path that is trusted: whatever waits is worth sending now.
    fn still_alive(&self, ctx: &mut Context<'_>) {
        if self.path.is_none() {
            self.announce_route(ctx);
        }
    }

    pub(super) fn dead(&mut self, ctx: &mut Context<'_>) {
        let Some(path) = self.path.take() else { return };
        self.history.ages.interrupted();
        let held = ctx.now.saturating_duration_since(path.since);
        let doubted = path.suspicion.as_ref().map(|suspicion| suspicion.since);
        let narrow = path
            .short
            .filter(|(at, _)| Some(*at) > doubted)
            .map(|(_, longest)| Narrow::of(path.pair, longest));
        if narrow.is_some() {
            self.guess.rest_longest(ctx.now);
        }
        if path.pair.sock.is_stream() {
            self.drop_stream(ctx, path.pair);
        }
        let death = Death {
            pair: path.pair,
            held,
            rtt: path.rtt,
            narrow: narrow.is_some(),
        };
        self.history.died(ctx.now, death, narrow);
        self.checks.settle();
        self.release_sockets(ctx);
        self.begin_effort(ctx.now);
        if self.contact.live_via(ctx.local).is_some() {
            self.relayed(ctx);
        } else if self.demand.is_wanted() {
            self.dial(ctx);
        } else {
            self.end(ctx);
        }
    }
}

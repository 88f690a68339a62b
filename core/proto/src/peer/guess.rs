//! Guessing ports: the way through a NAT that gives every destination another port (docs/traversal.md, 4).
//!
//! The side behind such a NAT opens many holes in it, from as many sockets, towards the one address at which the peer can be
//! found; packets that get no further than its own NATs are enough for that. It says PUNCH_GO, and the other side probes ports
//! until it meets a hole. Where both NATs count their ports, each side aims all its sockets at the one port that the other is
//! about to use. All of it goes to addresses that a relay attests, to peers that agreed, and for one peer at a time.

mod opener;
mod prober;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use self::{
    opener::{Opener, There},
    prober::Prober,
};
use super::{Context, Peer};
use crate::{
    Guessing, PeerState, PortAllocation,
    io::{Output, Pair, Sock},
    plan::{Plan, plan},
    timing::{GUESS_GRACE, GUESS_LONGEST, GUESS_REST, GUESS_REST_MAX, GUESS_SPACING, GUESS_TIME},
    wire::{
        probe::ProbeKind,
        sealed::{News, PunchOrder},
    },
};

/// What is going on about guesses, and what came of them.
#[derive(Default)]
pub(super) struct Guess {
    run: Option<Run>,
    /// When a run is to begin.
    start: Option<Instant>,
    /// The sockets that were opened for this peer.
    socks: Vec<Sock>,
    /// Not again before then, after a failure, and how long that time was.
    rest: Option<(Instant, Duration)>,
    /// Ports guessed in the current or last run.
    pub(super) sent: u32,
    pub(super) last: Option<End>,
    /// How the last path was found, if by guessing.
    pub(super) found: Option<Method>,
    /// Where guessing has worked: from this public address of ours no time is lost with waiting for easier ways.
    worked_from: Option<std::net::IpAddr>,
}

/// A part that is being played.
struct Run {
    until: Instant,
    method: Method,
    part: Part,
}

impl Run {
    /// By which method this run led to the pair, if it did.
    fn found(&self, pair: Pair) -> Option<Method> {
        let guessed = match &self.part {
            Part::Open(_) => pair.sock != Sock::MAIN,
            Part::Probe(prober) => prober.has_guessed(pair.addr),
        };
        guessed.then_some(self.method)
    }
}

enum Part {
    Open(Opener),
    Probe(Prober),
}

/// What is to be done for a part that is being played.
enum Act {
    Put(Output),
    /// These sockets were opened for it.
    Own(Vec<Sock>),
    /// Open a hole; with a TTL if the packet is not meant to arrive.
    Open {
        pair: Pair,
        ttl: Option<u8>,
        tx: u64,
    },
    /// Probe a port that was guessed.
    Guess {
        pair: Pair,
        tx: u64,
    },
    /// Tell the peer through the relay.
    Tell(News),
    /// Close the sockets that were of no use.
    Release,
    End(End),
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A direct path was found.
    Found,
    /// No guess hit a hole.
    Missed,
    /// The peer is not in a position to take part: it guesses for somebody else, or rests.
    Declined,
    /// The system gave us no sockets.
    NoSockets,
    /// The link ended before.
    Dropped,
}

/// How a port was guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// From the port that a counting NAT used before.
    Predicted,
    /// At random, among many holes: the birthday paradox.
    Birthday,
}

impl Guess {
    pub(super) fn next(&self) -> Option<Instant> {
        let run = self.run.as_ref().map(|run| {
            let next = match &run.part {
                Part::Open(opener) => opener.next(),
                Part::Probe(prober) => prober.next,
            };
            next.map_or(run.until, |next| next.min(run.until))
        });
        [run, self.start].into_iter().flatten().min()
    }

    /// Where it stands, for explaining.
    pub(super) fn standing(&self) -> Guessing {
        let guesses = self.sent;
        match (&self.run, self.found, self.last) {
            (Some(_), ..) => Guessing::Running { guesses },
            (None, Some(method), _) => Guessing::Hit {
                guesses,
                predicted: method == Method::Predicted,
            },
            (None, None, Some(End::Missed | End::NoSockets)) => Guessing::Failed { guesses },
            (None, None, Some(End::Declined)) => Guessing::Waiting,
            (None, None, Some(End::Found | End::Dropped) | None) => Guessing::NotTried,
        }
    }

    /// What would be found is of no use.
    pub(super) fn rest_longest(&mut self, now: Instant) {
        self.rest = Some((now + GUESS_REST_MAX, GUESS_REST_MAX));
    }

    /// May begin at once.
    pub(super) fn rested(&mut self) {
        self.rest = None;
    }

    /// How much longer it rests after a failure.
    pub(super) fn rest_left(&self, now: Instant) -> Option<Duration> {
        let (until, _) = self.rest?;
        Some(until.saturating_duration_since(now))
    }

    /// Whether ports are being guessed.
    pub(super) fn is_on(&self) -> bool {
        self.run.is_some()
    }

    fn opener(&mut self) -> Option<&mut Opener> {
        match &mut self.run.as_mut()?.part {
            Part::Open(opener) => Some(opener),
            Part::Probe(_) => None,
        }
    }

    fn prober(&self) -> Option<&Prober> {
        match &self.run.as_ref()?.part {
            Part::Open(_) => None,
            Part::Probe(prober) => Some(prober),
        }
    }

    #[cfg(any(test, feature = "_fuzzing"))]
    pub(super) fn footprint(&self) -> usize {
        let part = self.run.as_ref().map_or(0, |run| match &run.part {
            Part::Open(opener) => opener.footprint(),
            Part::Probe(prober) => prober.footprint(),
        });
        super::footprint::of(&self.socks) + part
    }
}

impl Peer {
    /// Our part, as the two NATs have it.
    pub(super) fn plan(&self, ctx: &Context<'_>) -> Plan {
        self.remote.as_ref().map_or(Plan::Punch, |remote| {
            plan(ctx.local.nat, remote.nat, ctx.local.id < self.id)
        })
    }

    /// Begins to open holes if that is our part and the time has come; after a moment, if there may be an easier way.
    pub(super) fn consider_guessing(&mut self, ctx: &mut Context<'_>) {
        let ours = matches!(self.plan(ctx), Plan::Open | Plan::Meet);
        if !ours || self.path.is_some() || self.guess.run.is_some() || !self.may_guess(ctx) {
            return;
        }
        let worked = self.guess.worked_from.is_some()
            && self.guess.worked_from == ctx.local.public(true).map(|addr| addr.ip());
        let grace = if !worked && self.has_easier_way(ctx) {
            GUESS_GRACE
        } else {
            Duration::ZERO
        };
        self.guess.start = Some(ctx.now + grace);
        self.guess_timeout(ctx);
    }

    /// As [`Self::consider_guessing`], when more is known of either NAT than at the start of the round.
    pub(super) fn reconsider_guessing(&mut self, ctx: &mut Context<'_>) {
        if matches!(self.state, PeerState::Punch | PeerState::Relayed) && self.guess.last.is_none()
        {
            self.consider_guessing(ctx);
        }
    }

    /// Whether both sides want it, a relay tells where the peer is, and the last failure is long enough ago.
    fn may_guess(&self, ctx: &Context<'_>) -> bool {
        let rested = self.guess.rest.is_none_or(|(until, _)| until <= ctx.now);
        let attested = self.contact.attested().is_some_and(|addr| addr.is_ipv4());
        let agreed = self.remote.as_ref().is_some_and(|remote| remote.guess);
        rested && attested && agreed && ctx.local.guess_ports && self.consents(ctx.local)
    }

    /// Whether a candidate of either side lets everybody in, or both have IPv6.
    fn has_easier_way(&self, ctx: &Context<'_>) -> bool {
        let ours = ctx
            .local
            .candidates(self.id, self.demand.is_dialled(), self.contact.attested());
        let theirs = self.remote.iter().flat_map(|remote| &remote.candidates);
        let (mut open, mut v6) = (false, (false, false));
        for candidate in &ours {
            open |= candidate.open;
            v6.0 |= candidate.addr.is_ipv6();
        }
        for candidate in theirs {
            open |= candidate.open;
            v6.1 |= candidate.addr.is_ipv6();
        }
        open || v6 == (true, true)
    }

    pub(super) fn guess_timeout(&mut self, ctx: &mut Context<'_>) {
        if self.guess.start.is_some_and(|at| at <= ctx.now) {
            self.guess.start = None;
            if self.path.is_none() && matches!(self.state, PeerState::Punch | PeerState::Relayed) {
                self.start_opening(ctx);
            }
        }
        let Some(run) = &mut self.guess.run else {
            return;
        };
        if run.until <= ctx.now {
            return self.end_guessing(ctx, End::Missed);
        }
        match run.part {
            Part::Open(_) => self.play_opener(ctx, Opener::handle_timeout),
            Part::Probe(_) => self.play_prober(ctx),
        }
    }

    /// Opens holes, to be guessed or met.
    fn start_opening(&mut self, ctx: &mut Context<'_>) {
        let opener = Opener::begin(ctx, self.plan(ctx) == Plan::Meet);
        if self.take_part(ctx, Part::Open(opener)) {
            self.play_opener(ctx, |opener, ctx, _, acts| {
                opener.ask_for_sockets(ctx, acts)
            });
        }
    }

    /// The peer has holes open: guesses where.
    fn start_probing(&mut self, ctx: &mut Context<'_>, order: &PunchOrder) {
        let (Some(attested), Some(remote)) = (self.contact.attested(), self.remote.as_ref()) else {
            return;
        };
        let prober = Prober::begin(ctx, attested, remote, order);
        if prober.is_some_and(|prober| self.take_part(ctx, Part::Probe(prober))) {
            self.play_prober(ctx);
        } else {
            self.send_news(ctx, &News::Stop);
        }
    }

    /// The sockets for holes are there, or some of them. Returns whether it was this link that asked for these.
    pub(crate) fn on_holes(&mut self, ctx: &mut Context<'_>, first: Sock, count: u16) -> bool {
        let awaited = self
            .guess
            .opener()
            .is_some_and(|opener| opener.awaits(first));
        if awaited {
            let socks = (0..u32::from(count)).map(|offset| Sock(first.0 + offset));
            self.play_opener(ctx, |opener, ctx, there, acts| {
                opener.on_sockets(ctx, there, socks, acts);
            });
        }
        awaited
    }

    /// A relay sees one of our sockets there, which tells where the NAT's count stands.
    pub(crate) fn on_count(&mut self, ctx: &mut Context<'_>, sock: Sock, addr: SocketAddr) {
        self.play_opener(ctx, |opener, ctx, there, acts| {
            opener.on_count(ctx, there, (sock, addr), acts);
        });
    }

    /// Whether this answers a guess, which then is a direct path.
    pub(super) fn guess_answered(&mut self, ctx: &mut Context<'_>, source: Pair, tx: u64) -> bool {
        let prober = self.guess.prober();
        let Some(sent) = prober.and_then(|prober| prober.guess(source.addr, tx)) else {
            return false;
        };
        let rtt = ctx.now.saturating_duration_since(sent);
        self.checks.answered += 1;
        self.proven(ctx, source, rtt, false);
        true
    }

    /// Lets the opener play, if holes are being opened.
    fn play_opener(
        &mut self,
        ctx: &mut Context<'_>,
        play: impl FnOnce(&mut Opener, &mut Context<'_>, &There, &mut Vec<Act>),
    ) {
        let there = There {
            relay: self.contact.live_via(ctx.local),
            attested: self.contact.attested(),
            nat: self.remote.as_ref().map(|remote| remote.nat),
        };
        let mut acts = Vec::new();
        if let Some(opener) = self.guess.opener() {
            play(opener, ctx, &there, &mut acts);
        }
        self.act(ctx, acts);
    }

    fn play_prober(&mut self, ctx: &mut Context<'_>) {
        let mut acts = Vec::new();
        if let Some(Run {
            part: Part::Probe(prober),
            ..
        }) = &mut self.guess.run
        {
            prober.handle_timeout(ctx, &mut acts);
        }
        self.act(ctx, acts);
    }

    fn act(&mut self, ctx: &mut Context<'_>, acts: Vec<Act>) {
        for act in acts {
            match act {
                Act::Put(output) => ctx.out.push_back(output),
                Act::Own(socks) => self.own_sockets(&socks),
                Act::Open { pair, ttl, tx } => {
                    self.effort.sent += 1;
                    self.question(ctx, pair, ttl, ProbeKind::Request, tx);
                }
                Act::Guess { pair, tx } => {
                    self.guess.sent += 1;
                    self.question(ctx, pair, None, ProbeKind::Request, tx);
                }
                Act::Tell(news) => self.send_news(ctx, &news),
                Act::Release => self.close_idle_sockets(ctx),
                Act::End(end) => self.end_guessing(ctx, end),
            }
        }
    }

    /// Takes the turn to guess; none of it while another peer has it.
    fn take_part(&mut self, ctx: &mut Context<'_>, part: Part) -> bool {
        if let Err(free) = ctx.budget.take_turn(ctx.now, self.id) {
            self.guess.last = Some(End::Declined);
            if matches!(part, Part::Open(_)) {
                self.guess.start = Some(free);
            }
            return false;
        }
        let opens = match part {
            Part::Open(_) => Some(ctx.local.nat),
            Part::Probe(_) => self.remote.as_ref().map(|remote| remote.nat),
        };
        let method = match opens.map(|nat| nat.allocation) {
            Some(PortAllocation::Sequential { .. }) => Method::Predicted,
            Some(PortAllocation::Random { .. } | PortAllocation::Unknown) | None => {
                Method::Birthday
            }
        };
        self.guess.sent = 0;
        self.guess.run = Some(Run {
            until: ctx.now + GUESS_LONGEST,
            method,
            part,
        });
        true
    }

    pub(super) fn on_go(&mut self, ctx: &mut Context<'_>, order: &PunchOrder) {
        let plan = self.plan(ctx);
        if self.guess.run.is_none() && plan == Plan::Meet && self.may_guess(ctx) {
            self.start_opening(ctx);
        }
        let able = self.may_guess(ctx);
        match &mut self.guess.run {
            _ if self.path.is_some() => {}
            Some(Run {
                part: Part::Probe(prober),
                ..
            }) => prober.go_on(ctx.now),
            Some(Run {
                part: Part::Open(opener),
                ..
            }) => {
                opener.meet(ctx.now, order.sample);
                self.play_opener(ctx, Opener::handle_timeout);
            }
            None if plan == Plan::Guess && able => self.start_probing(ctx, order),
            None => self.send_news(ctx, &News::Stop),
        }
    }

    pub(super) fn on_stop(&mut self, ctx: &mut Context<'_>) {
        let Some(run) = &self.guess.run else { return };
        // Whoever stops late took part, and made all its guesses.
        let took_part = run.until <= ctx.now + (GUESS_LONGEST - GUESS_TIME / 2);
        let end = if took_part {
            End::Missed
        } else {
            End::Declined
        };
        self.end_guessing(ctx, end);
    }

    /// Ends a run, closes the sockets that no path needs, and rests if it was in vain.
    pub(super) fn end_guessing(&mut self, ctx: &mut Context<'_>, end: End) {
        self.guess.start = None;
        if let Some(run) = self.guess.run.take() {
            ctx.budget.end_turn(ctx.now, self.id);
            if matches!((&run.part, end), (Part::Probe(_), End::Missed)) {
                self.send_news(ctx, &News::Stop);
            }
            self.guess.last = Some(end);
            self.guess.rest = match end {
                End::Missed => Some(self.rest_after(ctx.now, &run.part)),
                End::Declined | End::NoSockets => Some((ctx.now + GUESS_SPACING, GUESS_REST)),
                End::Found | End::Dropped => None,
            };
            if end == End::Found {
                self.guess.found = self.path.as_ref().and_then(|path| run.found(path.pair));
                self.guess.worked_from = ctx.local.public(true).map(|addr| addr.ip());
            } else if end != End::Dropped && self.round_is_over() {
                self.relayed(ctx);
            }
            tracing::debug!(peer = %self.id.short(), guesses = self.guess.sent, ?end, "guessing");
        }
        self.release_sockets(ctx);
    }

    fn rest_after(&self, now: Instant, part: &Part) -> (Instant, Duration) {
        let before = self.guess.rest.map(|(_, time)| time * 2);
        let time = before.map_or(GUESS_REST, |time| time.min(GUESS_REST_MAX));
        // The one who is asked is ready a little before the other asks again.
        let slack = match part {
            Part::Open(_) => Duration::ZERO,
            Part::Probe(_) => time / 4,
        };
        (now + time - slack, time)
    }

    /// These sockets were opened for this peer.
    pub(super) fn own_sockets(&mut self, socks: &[Sock]) {
        self.guess.socks.extend_from_slice(socks);
        self.guess.socks.sort_unstable();
        self.guess.socks.dedup();
    }

    /// Closes the sockets that neither a run nor the path needs.
    pub(super) fn release_sockets(&mut self, ctx: &mut Context<'_>) {
        if self.guess.run.is_none() {
            self.close_idle_sockets(ctx);
        }
    }

    /// Closes the sockets that the path does not need.
    fn close_idle_sockets(&mut self, ctx: &mut Context<'_>) {
        let used = self.path.as_ref().map(|path| path.pair.sock);
        let (kept, mut idle): (Vec<Sock>, Vec<Sock>) = std::mem::take(&mut self.guess.socks)
            .into_iter()
            .partition(|sock| {
                Some(*sock) == used || self.history.trials.needs(*sock) || self.reroll.needs(*sock)
            });
        self.guess.socks = kept;
        self.checks.forget(&idle);
        idle.sort_unstable();
        for run in idle.chunk_by(|a, b| a.0 + 1 == b.0) {
            ctx.out.push_back(Output::CloseSockets {
                first: run[0],
                count: run.len() as u16,
            });
        }
    }

    /// Tells the peer something through the relay.
    fn send_news(&mut self, ctx: &mut Context<'_>, news: &News) {
        let Some(relay) = self.contact.live_via(ctx.local) else {
            return;
        };
        if let Some(bytes) = self.sessions.seal_news(news) {
            ctx.out.push_back(Output::SendRelay {
                relay,
                to: self.id,
                bytes,
            });
        }
    }
}

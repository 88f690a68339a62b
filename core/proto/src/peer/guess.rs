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

pub(super) use self::opener::There;
use self::{opener::Opener, prober::Prober};
use super::Context;
use crate::{
    Guessing, NatReport, PeerId, PortAllocation,
    io::{Output, Pair, Sock},
    local::Local,
    timing::{GUESS_GRACE, GUESS_LONGEST, GUESS_REST, GUESS_REST_MAX, GUESS_SPACING, GUESS_TIME},
    wire::{
        intro::Description,
        sealed::{Control, PunchOrder},
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
    sent: u32,
    last: Option<End>,
    /// Where guessing has worked: from this public address of ours no time is lost with waiting for easier ways.
    worked_from: Option<std::net::IpAddr>,
}

/// A part that is being played.
pub(super) struct Run {
    until: Instant,
    method: Method,
    part: Part,
}

impl Run {
    /// By which method this run led to the pair, if it did.
    pub(super) fn found(&self, pair: Pair) -> Option<Method> {
        let guessed = match &self.part {
            Part::Open(_) => pair.sock != Sock::MAIN,
            Part::Probe(prober) => prober.has_guessed(pair.addr),
        };
        guessed.then_some(self.method)
    }

    /// Whether it is we who guess.
    pub(super) fn is_ours(&self) -> bool {
        matches!(self.part, Part::Probe(_))
    }
}

enum Part {
    Open(Opener),
    Probe(Prober),
}

/// What is to be done for a part that is being played.
pub(super) enum Act {
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
    Tell(Control),
    /// Close the sockets that were of no use.
    Release,
    End(End),
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
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
pub(super) enum Method {
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

    /// Where it stands, for explaining; the last path was `found` by guessing, or in another way.
    pub(super) fn standing(&self, found: Option<Method>) -> Guessing {
        let guesses = self.sent;
        match (&self.run, found, self.last) {
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

    /// Whether there was no run since the machine began.
    pub(super) fn is_untried(&self) -> bool {
        self.last.is_none()
    }

    /// Whether the last failure is long enough ago.
    pub(super) fn is_rested(&self, now: Instant) -> bool {
        self.rest.is_none_or(|(until, _)| until <= now)
    }

    /// Begins to open holes soon, or after a moment if there may be an easier way than one that has never worked.
    pub(super) fn plan(&mut self, now: Instant, local: &Local, easier: bool) {
        let here = local.public(true).map(|addr| addr.ip());
        let worked = here.is_some() && self.worked_from == here;
        let grace = if easier && !worked {
            GUESS_GRACE
        } else {
            Duration::ZERO
        };
        self.start = Some(now + grace);
    }

    /// Whether it is time to begin.
    pub(super) fn take_start(&mut self, now: Instant) -> bool {
        self.start.take_if(|at| *at <= now).is_some()
    }

    /// Opens holes, to be guessed or met, if it is this peer's turn.
    pub(super) fn open(&mut self, ctx: &mut Context<'_>, peer: PeerId, meets: bool) -> Vec<Act> {
        let opener = Opener::begin(ctx, meets);
        let mut acts = Vec::new();
        if self.take_part(ctx, peer, ctx.local.nat, Part::Open(opener))
            && let Some(opener) = self.opener()
        {
            opener.ask_for_sockets(ctx, &mut acts);
        }
        acts
    }

    /// The peer has holes open: guesses where they are. None if that is not to be.
    pub(super) fn probe(
        &mut self,
        ctx: &mut Context<'_>,
        peer: PeerId,
        (there, remote): (&There, &Description),
        order: &PunchOrder,
    ) -> Option<Vec<Act>> {
        let prober = Prober::begin(ctx, there.attested?, remote, order)?;
        self.take_part(ctx, peer, remote.nat, Part::Probe(prober))
            .then(|| self.play(ctx, there))
    }

    /// The sockets for holes are there, or some of them. None if it was not this link that asked for these.
    pub(super) fn on_sockets(
        &mut self,
        ctx: &mut Context<'_>,
        there: &There,
        (first, count): (Sock, u16),
    ) -> Option<Vec<Act>> {
        let opener = self.opener().filter(|opener| opener.awaits(first))?;
        let socks = (0..u32::from(count)).map(|offset| Sock(first.0 + offset));
        let mut acts = Vec::new();
        opener.on_sockets(ctx, there, socks, &mut acts);
        Some(acts)
    }

    /// A relay sees one of our sockets there, which tells where the NAT's count stands.
    pub(super) fn on_count(
        &mut self,
        ctx: &mut Context<'_>,
        there: &There,
        seen: (Sock, SocketAddr),
    ) -> Vec<Act> {
        let mut acts = Vec::new();
        if let Some(opener) = self.opener() {
            opener.on_count(ctx, there, seen, &mut acts);
        }
        acts
    }

    /// The peer wants us to go on. None if there is no run.
    pub(super) fn go_on(
        &mut self,
        ctx: &mut Context<'_>,
        there: &There,
        order: &PunchOrder,
    ) -> Option<Vec<Act>> {
        let mut acts = Vec::new();
        match &mut self.run.as_mut()?.part {
            Part::Probe(prober) => prober.go_on(ctx.now),
            Part::Open(opener) => {
                opener.meet(ctx.now, order.sample);
                opener.handle_timeout(ctx, there, &mut acts);
            }
        }
        Some(acts)
    }

    /// The peer has stopped. Whoever stops late took part, and made all its guesses.
    pub(super) fn on_stop(&self, now: Instant) -> Option<End> {
        let took_part = self.run.as_ref()?.until <= now + (GUESS_LONGEST - GUESS_TIME / 2);
        Some(if took_part {
            End::Missed
        } else {
            End::Declined
        })
    }

    /// Goes on with the part that is being played.
    pub(super) fn handle_timeout(&mut self, ctx: &mut Context<'_>, there: &There) -> Vec<Act> {
        match &self.run {
            None => Vec::new(),
            Some(run) if run.until <= ctx.now => vec![Act::End(End::Missed)],
            Some(_) => self.play(ctx, there),
        }
    }

    /// The round trip, if this answers a guess, which then is a direct path.
    pub(super) fn answered(&self, now: Instant, source: Pair, tx: u64) -> Option<Duration> {
        let Part::Probe(prober) = &self.run.as_ref()?.part else {
            return None;
        };
        let sent = prober.guess(source.addr, tx)?;
        Some(now.saturating_duration_since(sent))
    }

    /// A port was guessed.
    pub(super) fn note_guess(&mut self) {
        self.sent += 1;
    }

    /// Ends the run, if there is one, and rests if it was in vain.
    pub(super) fn end(&mut self, ctx: &mut Context<'_>, peer: PeerId, end: End) -> Option<Run> {
        self.start = None;
        let run = self.run.take()?;
        ctx.budget.end_turn(ctx.now, peer);
        self.last = Some(end);
        self.rest = match end {
            End::Missed => Some(self.rest_after(ctx.now, &run)),
            End::Declined | End::NoSockets => Some((ctx.now + GUESS_SPACING, GUESS_REST)),
            End::Found | End::Dropped => None,
        };
        if end == End::Found {
            self.worked_from = ctx.local.public(true).map(|addr| addr.ip());
        }
        tracing::debug!(peer = %peer.short(), guesses = self.sent, ?end, "guessing");
        Some(run)
    }

    /// These sockets were opened for this peer.
    pub(super) fn own(&mut self, socks: &[Sock]) {
        self.socks.extend_from_slice(socks);
        self.socks.sort_unstable();
        self.socks.dedup();
    }

    /// Takes the sockets out that nobody needs.
    pub(super) fn take_idle(&mut self, is_needed: impl Fn(Sock) -> bool) -> Vec<Sock> {
        let socks = std::mem::take(&mut self.socks);
        let (kept, idle) = socks.into_iter().partition(|sock| is_needed(*sock));
        self.socks = kept;
        idle
    }

    /// Takes the turn to guess, and to play this part; none of it while another peer has it.
    fn take_part(
        &mut self,
        ctx: &mut Context<'_>,
        peer: PeerId,
        opens: NatReport,
        part: Part,
    ) -> bool {
        if let Err(free) = ctx.budget.take_turn(ctx.now, peer) {
            self.last = Some(End::Declined);
            if matches!(part, Part::Open(_)) {
                self.start = Some(free);
            }
            return false;
        }
        let method = match opens.allocation {
            PortAllocation::Sequential { .. } => Method::Predicted,
            PortAllocation::Random { .. } | PortAllocation::Unknown => Method::Birthday,
        };
        self.sent = 0;
        self.run = Some(Run {
            until: ctx.now + GUESS_LONGEST,
            method,
            part,
        });
        true
    }

    fn play(&mut self, ctx: &mut Context<'_>, there: &There) -> Vec<Act> {
        let mut acts = Vec::new();
        match self.run.as_mut().map(|run| &mut run.part) {
            Some(Part::Open(opener)) => opener.handle_timeout(ctx, there, &mut acts),
            Some(Part::Probe(prober)) => prober.handle_timeout(ctx, &mut acts),
            None => {}
        }
        acts
    }

    fn rest_after(&self, now: Instant, run: &Run) -> (Instant, Duration) {
        let before = self.rest.map(|(_, time)| time * 2);
        let time = before.map_or(GUESS_REST, |time| time.min(GUESS_REST_MAX));
        // The one who is asked is ready a little before the other asks again.
        let slack = if run.is_ours() {
            time / 4
        } else {
            Duration::ZERO
        };
        (now + time - slack, time)
    }

    fn opener(&mut self) -> Option<&mut Opener> {
        match &mut self.run.as_mut()?.part {
            Part::Open(opener) => Some(opener),
            Part::Probe(_) => None,
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

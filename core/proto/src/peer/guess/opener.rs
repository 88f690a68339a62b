//! The side whose ports are guessed: it opens holes, and says when to guess.

use std::{net::SocketAddr, time::Instant};

use rand::Rng;

use super::{End, Part, Run};
use crate::{
    PortAllocation,
    proto::{
        io::{Output, Pair, Sock},
        peer::{Context, Peer},
        plan::Plan,
        timing::{
            GO_EVERY, GUESS_TIME, HOLES, HOLES_BLOCK, HOLES_COUNTED, HOLES_MEET, MEET_OFFSET,
            MEET_SECOND_PASS, MEET_TIME, MEET_TRIES, OPEN_BURST, OPEN_GAP, SAMPLE_TRIES,
            WIDEN_AFTER,
        },
    },
    wire::{
        probe::ProbeKind,
        sealed::{News, PunchOrder},
    },
};

/// Ports in a range that is small enough to need fewer holes.
const BLOCK: u16 = 4096;

/// Holes that are being opened, or are open.
pub(super) struct Opener {
    step: Step,
    /// Whether the peer opens holes at the same time, to be met at a port that either side predicts.
    meets: Option<Meeting>,
    started: Instant,
    /// The sockets that were asked for last.
    awaited: Option<Sock>,
    /// The socket whose port tells where the NAT's count stands, if it counts.
    sampler: Option<Sock>,
    sample: Option<SocketAddr>,
    /// The sockets with a hole each, and how many of them have sent their opening packet.
    holes: Vec<Sock>,
    opened: usize,
    /// When the peer is told again to go on.
    go: Option<Instant>,
    /// When more holes are opened, if none of the first is found.
    widen: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Waits for sockets.
    Sockets,
    /// Asks the relay where the NAT's count stands.
    Sampling { tries: usize, next: Instant },
    /// Waits for the peer's sample.
    Waiting,
    /// Opens holes.
    Opening { next: Instant },
    /// Holds them.
    Holding,
}

/// Both NATs count.
#[derive(Default)]
struct Meeting {
    tries: u32,
    /// Where the peer's count stands, and where it stood in the try before.
    sample: Option<SocketAddr>,
    stale: Option<SocketAddr>,
    /// The first packets only open our own NAT; once the peer has done the same, they are sent again to arrive.
    second_pass: bool,
}

impl Opener {
    pub(super) fn next(&self) -> Option<Instant> {
        let step = match self.step {
            Step::Sampling { next, .. } | Step::Opening { next } => Some(next),
            Step::Sockets | Step::Waiting | Step::Holding => None,
        };
        let retry = self.meets.as_ref().map(|_| self.started + MEET_TIME);
        [step, self.go, self.widen, retry]
            .into_iter()
            .flatten()
            .min()
    }

    #[cfg(any(test, feature = "_fuzzing"))]
    pub(super) fn footprint(&self) -> usize {
        crate::proto::peer::footprint::of(&self.holes)
    }

    /// The peer tells where its NAT's count stands.
    pub(super) fn meet(&mut self, now: Instant, sample: Option<SocketAddr>) {
        let Some(meeting) = &mut self.meets else {
            return;
        };
        if sample.is_none() || sample == meeting.stale || meeting.sample.is_some() {
            return;
        }
        meeting.sample = sample;
        if self.step == Step::Waiting {
            self.step = Step::Opening { next: now };
        }
    }
}

impl Peer {
    /// Opens holes, to be guessed or met.
    pub(super) fn start_opening(&mut self, ctx: &mut Context<'_>) {
        let meeting = self.plan(ctx) == Plan::Meet;
        let meets = meeting.then(Meeting::default);
        let counts = matches!(ctx.local.nat.allocation, PortAllocation::Sequential { .. });
        let opener = Opener {
            step: Step::Sockets,
            meets,
            started: ctx.now,
            awaited: None,
            sampler: None,
            sample: None,
            holes: Vec::new(),
            opened: 0,
            go: None,
            widen: (counts && !meeting).then(|| ctx.now + WIDEN_AFTER),
        };
        if self.take_part(ctx, Part::Open(opener)) {
            self.ask_for_sockets(ctx);
        }
    }

    fn opener(&mut self) -> Option<&mut Opener> {
        match &mut self.guess.run {
            Some(Run {
                part: Part::Open(opener),
                ..
            }) => Some(opener),
            _ => None,
        }
    }

    fn ask_for_sockets(&mut self, ctx: &mut Context<'_>) {
        let allocation = ctx.local.nat.allocation;
        let Some(opener) = self.opener() else { return };
        let count = match allocation {
            PortAllocation::Sequential { .. } if opener.meets.is_some() => HOLES_MEET + 1,
            PortAllocation::Sequential { .. } => HOLES_COUNTED + 1,
            PortAllocation::Random { first, last } if last - first < BLOCK => HOLES_BLOCK,
            PortAllocation::Random { .. } | PortAllocation::Unknown => HOLES,
        };
        let first = ctx.budget.name_sockets(count);
        opener.awaited = Some(first);
        ctx.out.push_back(Output::OpenSockets { first, count });
    }

    /// The sockets for holes are there, or some of them. Returns whether it was this link that asked for these.
    pub(crate) fn on_holes(&mut self, ctx: &mut Context<'_>, first: Sock, count: u16) -> bool {
        let counts = matches!(ctx.local.nat.allocation, PortAllocation::Sequential { .. });
        let Some(opener) = self.opener().filter(|opener| opener.awaited == Some(first)) else {
            return false;
        };
        opener.awaited = None;
        let mut socks = (0..u32::from(count)).map(|offset| Sock(first.0 + offset));
        if counts && opener.sampler.is_none() {
            opener.sampler = socks.next();
        }
        opener.holes.extend(socks);
        let all = opener
            .sampler
            .into_iter()
            .chain(opener.holes.iter().copied());
        let all: Vec<Sock> = all.collect();
        if opener.holes.is_empty() {
            self.own_sockets(&all);
            self.end_guessing(ctx, End::NoSockets);
            return true;
        }
        opener.step = match opener.sampler {
            Some(_) if opener.sample.is_none() => Step::Sampling {
                tries: 0,
                next: ctx.now,
            },
            _ => Step::Opening { next: ctx.now },
        };
        self.own_sockets(&all);
        self.opener_timeout(ctx);
        true
    }

    /// A relay sees one of our sockets there, which tells where the NAT's count stands.
    pub(crate) fn on_count(&mut self, ctx: &mut Context<'_>, sock: Sock, addr: SocketAddr) {
        let Some(opener) = self.opener() else { return };
        let asked = matches!(opener.step, Step::Sampling { .. }) && opener.sampler == Some(sock);
        if !asked || !addr.is_ipv4() {
            return;
        }
        opener.sample = Some(addr);
        self.sampled(ctx);
    }

    /// Goes on with the sample, or without one if the relay does not answer.
    fn sampled(&mut self, ctx: &mut Context<'_>) {
        let Some(opener) = self.opener() else { return };
        opener.step = match &opener.meets {
            Some(meeting) if meeting.sample.is_none() => Step::Waiting,
            _ => Step::Opening { next: ctx.now },
        };
        if opener.meets.is_some() {
            self.send_go(ctx);
        }
        self.opener_timeout(ctx);
    }

    pub(super) fn opener_timeout(&mut self, ctx: &mut Context<'_>) {
        let Some(opener) = self.opener() else { return };
        if opener.meets.is_some() && opener.started + MEET_TIME <= ctx.now {
            return self.meet_again(ctx);
        }
        if opener.widen.is_some_and(|at| at <= ctx.now) {
            opener.widen = None;
            let count = HOLES.saturating_sub(opener.holes.len() as u16);
            let first = ctx.budget.name_sockets(count);
            opener.awaited = Some(first);
            ctx.out.push_back(Output::OpenSockets { first, count });
        }
        let Some(opener) = self.opener() else { return };
        if opener.go.is_some_and(|at| at <= ctx.now) {
            self.send_go(ctx);
        }
        let Some(opener) = self.opener() else { return };
        match opener.step {
            Step::Sampling { tries, next } if next <= ctx.now => self.ask_for_sample(ctx, tries),
            Step::Opening { next } if next <= ctx.now => self.open_some(ctx),
            Step::Sockets
            | Step::Sampling { .. }
            | Step::Waiting
            | Step::Opening { .. }
            | Step::Holding => {}
        }
    }

    fn ask_for_sample(&mut self, ctx: &mut Context<'_>, tries: usize) {
        let relay = self.contact.live_via(ctx.local);
        let Some(opener) = self.opener() else { return };
        let (Some(wait), Some(sock), Some(relay)) =
            (SAMPLE_TRIES.get(tries), opener.sampler, relay)
        else {
            return self.sampled(ctx);
        };
        opener.step = Step::Sampling {
            tries: tries + 1,
            next: ctx.now + *wait,
        };
        ctx.out.push_back(Output::SampleMapping { sock, relay });
    }

    /// Opens the next few holes. When the first are opened, the peer is told to go.
    fn open_some(&mut self, ctx: &mut Context<'_>) {
        let attested = self.contact.attested_ips();
        let allowed = |target: &SocketAddr| ctx.local.may_probe(*target, &attested);
        let Some(target) = self.aim().filter(allowed) else {
            return self.end_guessing(ctx, End::Missed);
        };
        let low = ctx.local.low_ttl(target);
        let Some(opener) = self.opener() else { return };
        let second_pass = opener
            .meets
            .as_ref()
            .is_some_and(|meeting| meeting.second_pass);
        let batch: Vec<Sock> = opener
            .holes
            .iter()
            .skip(opener.opened)
            .take(OPEN_BURST)
            .copied()
            .collect();
        opener.opened += batch.len();
        let more = opener.opened < opener.holes.len();
        opener.step = match &mut opener.meets {
            _ if more => Step::Opening {
                next: ctx.now + OPEN_GAP,
            },
            Some(meeting) if !meeting.second_pass => {
                meeting.second_pass = true;
                opener.opened = 0;
                Step::Opening {
                    next: ctx.now + MEET_SECOND_PASS,
                }
            }
            _ => Step::Holding,
        };
        let tell = opener.go.is_none() && opener.meets.is_none();
        let ttl = (!second_pass).then_some(low);
        for sock in batch {
            let (pair, tx) = (Pair { sock, addr: target }, ctx.rng.random());
            self.effort.sent += 1;
            self.question(ctx, pair, ttl, ProbeKind::Request, tx);
        }
        if tell {
            self.send_go(ctx);
        }
    }

    /// Where the holes lead to: the peer's address, or the port that its NAT is about to use.
    fn aim(&mut self) -> Option<SocketAddr> {
        let (attested, nat) = (self.contact.attested()?, self.remote.as_ref()?.nat);
        let opener = self.opener()?;
        let Some(meeting) = &opener.meets else {
            return Some(attested);
        };
        let PortAllocation::Sequential { step } = nat.allocation else {
            return None;
        };
        let port = meeting
            .sample?
            .port()
            .wrapping_add_signed(i16::from(step) * MEET_OFFSET);
        Some(SocketAddr::new(attested.ip(), port))
    }

    fn send_go(&mut self, ctx: &mut Context<'_>) {
        let Some(opener) = self.opener() else { return };
        let order = PunchOrder {
            holes: opener.holes.len() as u16,
            sample: opener.sample,
        };
        opener.go = opener.meets.is_none().then(|| ctx.now + GO_EVERY);
        self.send_news(ctx, &News::Go(order));
    }

    /// The counts were not where they were believed to be: once more with new sockets and samples.
    fn meet_again(&mut self, ctx: &mut Context<'_>) {
        let Some(opener) = self.opener() else { return };
        let Some(meeting) = opener
            .meets
            .as_ref()
            .filter(|meeting| meeting.tries + 1 < MEET_TRIES)
        else {
            return self.end_guessing(ctx, End::Missed);
        };
        let meets = Some(Meeting {
            tries: meeting.tries + 1,
            stale: meeting.sample,
            ..Meeting::default()
        });
        *opener = Opener {
            step: Step::Sockets,
            meets,
            started: ctx.now,
            awaited: None,
            sampler: None,
            sample: None,
            holes: Vec::new(),
            opened: 0,
            go: None,
            widen: None,
        };
        let run = self.guess.run.take();
        self.release_sockets(ctx);
        self.guess.run = run;
        self.ask_for_sockets(ctx);
    }
}

/// A run takes at least as long as all its tries.
const _: () = assert!(MEET_TIME.as_millis() * (MEET_TRIES as u128) < GUESS_TIME.as_millis());

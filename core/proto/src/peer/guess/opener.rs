//! The side whose ports are guessed: it opens holes, and says when to guess.

use std::{net::SocketAddr, time::Instant};

use rand::Rng;

use super::{Act, End};
use crate::{
    NatReport, PortAllocation, RelayUrl,
    io::{Output, Pair, Sock},
    peer::Context,
    timing::{
        GO_EVERY, GUESS_TIME, HOLES, HOLES_BLOCK, HOLES_COUNTED, HOLES_MEET, MEET_OFFSET,
        MEET_SECOND_PASS, MEET_TIME, MEET_TRIES, OPEN_BURST, OPEN_GAP, SAMPLE_TRIES, WIDEN_AFTER,
    },
    wire::sealed::{Control, PunchOrder},
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

/// What is known of the peer that the holes are for.
pub(in crate::peer) struct There {
    /// The relay of the link, if we are registered there.
    pub(in crate::peer) relay: Option<RelayUrl>,
    /// Where it sees the peer.
    pub(in crate::peer) attested: Option<SocketAddr>,
    pub(in crate::peer) nat: Option<NatReport>,
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
        crate::peer::footprint::of(&self.holes)
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

impl Opener {
    /// Opens holes, to be guessed or met.
    pub(super) fn begin(ctx: &Context<'_>, meets: bool) -> Self {
        let counts = matches!(ctx.local.nat.allocation, PortAllocation::Sequential { .. });
        Self {
            widen: (counts && !meets).then(|| ctx.now + WIDEN_AFTER),
            ..Self::new(ctx.now, meets.then(Meeting::default))
        }
    }

    fn new(now: Instant, meets: Option<Meeting>) -> Self {
        Self {
            step: Step::Sockets,
            meets,
            started: now,
            awaited: None,
            sampler: None,
            sample: None,
            holes: Vec::new(),
            opened: 0,
            go: None,
            widen: None,
        }
    }

    /// Asks for the first sockets.
    pub(super) fn ask_for_sockets(&mut self, ctx: &mut Context<'_>, acts: &mut Vec<Act>) {
        let count = match ctx.local.nat.allocation {
            PortAllocation::Sequential { .. } if self.meets.is_some() => HOLES_MEET + 1,
            PortAllocation::Sequential { .. } => HOLES_COUNTED + 1,
            PortAllocation::Random { first, last } if last - first < BLOCK => HOLES_BLOCK,
            PortAllocation::Random { .. } | PortAllocation::Unknown => HOLES,
        };
        self.ask_for(ctx, count, acts);
    }

    fn ask_for(&mut self, ctx: &mut Context<'_>, count: u16, acts: &mut Vec<Act>) {
        let first = ctx.budget.name_sockets(count);
        self.awaited = Some(first);
        acts.push(Act::Put(Output::OpenSockets { first, count }));
    }

    /// Whether it waits for the sockets from this one on.
    pub(super) fn awaits(&self, first: Sock) -> bool {
        self.awaited == Some(first)
    }

    /// The sockets for holes are there, or some of them.
    pub(super) fn on_sockets(
        &mut self,
        ctx: &mut Context<'_>,
        there: &There,
        socks: impl Iterator<Item = Sock>,
        acts: &mut Vec<Act>,
    ) {
        let counts = matches!(ctx.local.nat.allocation, PortAllocation::Sequential { .. });
        self.awaited = None;
        let mut socks = socks;
        if counts && self.sampler.is_none() {
            self.sampler = socks.next();
        }
        self.holes.extend(socks);
        let all = self.sampler.iter().chain(&self.holes);
        acts.push(Act::Own(all.copied().collect()));
        if self.holes.is_empty() {
            return acts.push(Act::End(End::NoSockets));
        }
        self.step = match self.sampler {
            Some(_) if self.sample.is_none() => Step::Sampling {
                tries: 0,
                next: ctx.now,
            },
            _ => Step::Opening { next: ctx.now },
        };
        self.handle_timeout(ctx, there, acts);
    }

    /// A relay sees one of our sockets there, which tells where the NAT's count stands.
    pub(super) fn on_count(
        &mut self,
        ctx: &mut Context<'_>,
        there: &There,
        (sock, addr): (Sock, SocketAddr),
        acts: &mut Vec<Act>,
    ) {
        let asked = matches!(self.step, Step::Sampling { .. }) && self.sampler == Some(sock);
        if asked && addr.is_ipv4() {
            self.sample = Some(addr);
            self.sampled(ctx, there, acts);
        }
    }

    /// Goes on with the sample, or without one if the relay does not answer.
    fn sampled(&mut self, ctx: &mut Context<'_>, there: &There, acts: &mut Vec<Act>) {
        self.step = match &self.meets {
            Some(meeting) if meeting.sample.is_none() => Step::Waiting,
            _ => Step::Opening { next: ctx.now },
        };
        if self.meets.is_some() {
            self.tell_go(ctx.now, acts);
        }
        self.handle_timeout(ctx, there, acts);
    }

    pub(super) fn handle_timeout(
        &mut self,
        ctx: &mut Context<'_>,
        there: &There,
        acts: &mut Vec<Act>,
    ) {
        if self.meets.is_some() && self.started + MEET_TIME <= ctx.now {
            return self.meet_again(ctx, acts);
        }
        if self.widen.is_some_and(|at| at <= ctx.now) {
            self.widen = None;
            let count = HOLES.saturating_sub(self.holes.len() as u16);
            self.ask_for(ctx, count, acts);
        }
        if self.go.is_some_and(|at| at <= ctx.now) {
            self.tell_go(ctx.now, acts);
        }
        match self.step {
            Step::Sampling { tries, next } if next <= ctx.now => {
                self.ask_for_sample(ctx, there, tries, acts);
            }
            Step::Opening { next } if next <= ctx.now => self.open_some(ctx, there, acts),
            Step::Sockets
            | Step::Sampling { .. }
            | Step::Waiting
            | Step::Opening { .. }
            | Step::Holding => {}
        }
    }

    fn ask_for_sample(
        &mut self,
        ctx: &mut Context<'_>,
        there: &There,
        tries: usize,
        acts: &mut Vec<Act>,
    ) {
        let (Some(wait), Some(sock), Some(relay)) =
            (SAMPLE_TRIES.get(tries), self.sampler, there.relay.clone())
        else {
            return self.sampled(ctx, there, acts);
        };
        self.step = Step::Sampling {
            tries: tries + 1,
            next: ctx.now + *wait,
        };
        acts.push(Act::Put(Output::SampleMapping { sock, relay }));
    }

    /// Opens the next few holes. When the first are opened, the peer is told to go.
    fn open_some(&mut self, ctx: &mut Context<'_>, there: &There, acts: &mut Vec<Act>) {
        let allowed = |target: &SocketAddr| ctx.local.may_probe(*target, &[target.ip()]);
        let Some(target) = self.aim(there).filter(allowed) else {
            return acts.push(Act::End(End::Missed));
        };
        let low = ctx.local.low_ttl(target);
        let meeting = self.meets.as_ref();
        let second_pass = meeting.is_some_and(|meeting| meeting.second_pass);
        let left = self.holes.iter().skip(self.opened);
        let batch: Vec<Sock> = left.take(OPEN_BURST).copied().collect();
        self.opened += batch.len();
        let more = self.opened < self.holes.len();
        self.step = match &mut self.meets {
            _ if more => Step::Opening {
                next: ctx.now + OPEN_GAP,
            },
            Some(meeting) if !meeting.second_pass => {
                meeting.second_pass = true;
                self.opened = 0;
                Step::Opening {
                    next: ctx.now + MEET_SECOND_PASS,
                }
            }
            _ => Step::Holding,
        };
        let ttl = (!second_pass).then_some(low);
        for sock in batch {
            let (pair, tx) = (Pair { sock, addr: target }, ctx.rng.random());
            acts.push(Act::Open { pair, ttl, tx });
        }
        if self.go.is_none() && self.meets.is_none() {
            self.tell_go(ctx.now, acts);
        }
    }

    /// Where the holes lead to: the peer's address, or the port that its NAT is about to use.
    fn aim(&self, there: &There) -> Option<SocketAddr> {
        let (attested, nat) = (there.attested?, there.nat?);
        let Some(meeting) = &self.meets else {
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

    fn tell_go(&mut self, now: Instant, acts: &mut Vec<Act>) {
        self.go = self.meets.is_none().then(|| now + GO_EVERY);
        acts.push(Act::Tell(Control::Go(PunchOrder {
            holes: self.holes.len() as u16,
            sample: self.sample,
        })));
    }

    /// The counts were not where they were believed to be: once more with new sockets and samples.
    fn meet_again(&mut self, ctx: &mut Context<'_>, acts: &mut Vec<Act>) {
        let meeting = self.meets.as_ref();
        let Some(meeting) = meeting.filter(|meeting| meeting.tries + 1 < MEET_TRIES) else {
            return acts.push(Act::End(End::Missed));
        };
        let meets = Some(Meeting {
            tries: meeting.tries + 1,
            stale: meeting.sample,
            ..Meeting::default()
        });
        *self = Self::new(ctx.now, meets);
        acts.push(Act::Release);
        self.ask_for_sockets(ctx, acts);
    }
}

/// A run takes at least as long as all its tries.
const _: () = assert!(MEET_TIME.as_millis() * (MEET_TRIES as u128) < GUESS_TIME.as_millis());

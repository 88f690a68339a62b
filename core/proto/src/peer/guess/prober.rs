//! The side that guesses: it probes ports of the peer's address, the likeliest first.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use rand::{Rng, seq::index};

use super::{End, Part, Run};
use crate::{
    NatReport, PortAllocation,
    proto::{
        io::Pair,
        peer::{Context, Peer},
        timing::{
            GO_TIMEOUT, GUESS_BURST, GUESS_PACE, GUESS_TICK, GUESSES, LATE, NEIGHBOURS, PREDICTED,
        },
    },
    wire::{
        probe::ProbeKind,
        sealed::{News, PunchOrder},
    },
};

/// Guesses that are being made.
pub(super) struct Prober {
    ip: IpAddr,
    /// The ports to try, likeliest first; from the start again when all were tried.
    ports: Vec<u16>,
    /// When each guess was sent; its number and the base make up its transaction id.
    sent: Vec<Instant>,
    base: u64,
    /// Up to when guesses were sent at their pace.
    paced: Instant,
    /// When the next guesses are made; none while the peer does not say to go on.
    pub(super) next: Option<Instant>,
    /// When the peer last said to go on.
    heard: Instant,
}

impl Prober {
    #[cfg(any(test, feature = "_fuzzing"))]
    pub(super) fn footprint(&self) -> usize {
        use crate::proto::peer::footprint::of;
        of(&self.ports) + of(&self.sent)
    }

    /// The peer says to go on.
    pub(super) fn go_on(&mut self, now: Instant) {
        self.heard = now;
        self.next.get_or_insert(now);
    }

    pub(super) fn has_guessed(&self, addr: SocketAddr) -> bool {
        let tried = self.ports.iter().take(self.sent.len());
        addr.ip() == self.ip && tried.into_iter().any(|port| *port == addr.port())
    }

    /// When the guess was sent that this transaction id belongs to, if it went to that address.
    fn guess(&self, addr: SocketAddr, tx: u64) -> Option<Instant> {
        let number = usize::try_from(tx.wrapping_sub(self.base)).ok()?;
        let sent = *self.sent.get(number)?;
        let port = self.ports[number % self.ports.len()];
        (addr == SocketAddr::new(self.ip, port)).then_some(sent)
    }
}

impl Peer {
    /// The peer has holes open: guesses where.
    pub(super) fn start_probing(&mut self, ctx: &mut Context<'_>, order: &PunchOrder) {
        let (Some(attested), Some(remote)) = (self.contact.attested(), self.remote.as_ref()) else {
            return;
        };
        let known: Vec<u16> = remote
            .candidates
            .iter()
            .filter(|candidate| candidate.addr.ip() == attested.ip())
            .map(|candidate| candidate.addr.port())
            .collect();
        let ip = attested.ip();
        let mut ports = likeliest(ctx, remote.nat, order.sample, &known);
        ports.retain(|port| ctx.local.may_probe(SocketAddr::new(ip, *port), &[ip]));
        let able = !ports.is_empty();
        let prober = Prober {
            ip,
            ports,
            sent: Vec::new(),
            base: ctx.rng.random(),
            paced: ctx.now,
            next: Some(ctx.now),
            heard: ctx.now,
        };
        if able && self.take_part(ctx, Part::Probe(prober)) {
            self.prober_timeout(ctx);
        } else {
            self.send_news(ctx, &News::Stop);
        }
    }

    pub(super) fn prober_timeout(&mut self, ctx: &mut Context<'_>) {
        let Some(prober) = self.prober() else { return };
        let Some(due) = prober.next.filter(|at| *at <= ctx.now) else {
            return;
        };
        if prober.sent.len() >= GUESSES {
            return self.end_guessing(ctx, End::Missed);
        }
        if ctx.now > due + LATE {
            // Whoever had no time to guess had none to listen.
            prober.heard = ctx.now;
        }
        if prober.heard + GO_TIMEOUT <= ctx.now {
            prober.next = None;
            return;
        }
        prober.next = Some(ctx.now + GUESS_TICK);
        let passed = ctx.now + GUESS_TICK - prober.paced;
        let left = GUESSES - prober.sent.len();
        let due = (passed.as_nanos() / GUESS_PACE.as_nanos()).min(GUESS_BURST.into());
        let due = due.min(left as u128);
        prober.paced = ctx.now + GUESS_TICK;
        for _ in 0..due {
            if !ctx.budget.take(ctx.now) {
                return;
            }
            self.guess_once(ctx);
        }
    }

    fn prober(&mut self) -> Option<&mut Prober> {
        match &mut self.guess.run {
            Some(Run {
                part: Part::Probe(prober),
                ..
            }) => Some(prober),
            _ => None,
        }
    }

    fn guess_once(&mut self, ctx: &mut Context<'_>) {
        let Some(prober) = self.prober() else { return };
        let number = prober.sent.len();
        prober.sent.push(ctx.now);
        let port = prober.ports[number % prober.ports.len()];
        let tx = prober.base.wrapping_add(number as u64);
        let pair = Pair::main(SocketAddr::new(prober.ip, port));
        self.guess.sent += 1;
        self.question(ctx, pair, None, ProbeKind::Request, tx);
    }

    /// Whether this answers a guess, which then is a direct path.
    pub(in crate::peer) fn guess_answered(
        &mut self,
        ctx: &mut Context<'_>,
        source: Pair,
        tx: u64,
    ) -> bool {
        let Some(sent) = self
            .prober()
            .and_then(|prober| prober.guess(source.addr, tx))
        else {
            return false;
        };
        let rtt = ctx.now.saturating_duration_since(sent);
        self.checks.answered += 1;
        self.proven(ctx, source, rtt, false);
        true
    }
}

/// The ports that the peer's NAT is likely to have given to its holes, likeliest first, each once.
fn likeliest(
    ctx: &mut Context<'_>,
    nat: NatReport,
    sample: Option<SocketAddr>,
    known: &[u16],
) -> Vec<u16> {
    let mut first: Vec<u16> = Vec::new();
    let (low, high) = match nat.allocation {
        PortAllocation::Random { first, last } => (first, last),
        PortAllocation::Sequential { step } => {
            let base = sample.map(|sample| sample.port());
            first.extend(base.into_iter().flat_map(|base| {
                (1..=PREDICTED)
                    .map(move |count| base.wrapping_add_signed(i16::from(step).wrapping_mul(count)))
            }));
            (1024, u16::MAX)
        }
        PortAllocation::Unknown => {
            first.extend(known.iter().flat_map(|port| {
                let from = port.saturating_sub(NEIGHBOURS);
                from..=port.saturating_add(NEIGHBOURS)
            }));
            (1024, u16::MAX)
        }
    };
    let range = usize::from(high - low) + 1;
    let rest = index::sample(ctx.rng, range, range.min(GUESSES));
    first.extend(rest.into_iter().map(|offset| low + offset as u16));
    let mut seen = BTreeSet::new();
    first.retain(|port| seen.insert(*port));
    first.truncate(GUESSES);
    first
}

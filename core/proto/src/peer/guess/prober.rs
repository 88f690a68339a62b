//! The side that guesses: it probes ports of the peer's address, the likeliest first.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use rand::{Rng, seq::index};

use super::{Act, End};
use crate::{
    NatReport, PortAllocation,
    io::Pair,
    peer::Context,
    timing::{
        GO_TIMEOUT, GUESS_BURST, GUESS_PACE, GUESS_TICK, GUESSES, LATE, NEIGHBOURS, PREDICTED,
    },
    wire::{intro::Description, sealed::PunchOrder},
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
        use crate::peer::footprint::of;
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
    pub(super) fn guess(&self, addr: SocketAddr, tx: u64) -> Option<Instant> {
        let number = usize::try_from(tx.wrapping_sub(self.base)).ok()?;
        let sent = *self.sent.get(number)?;
        let port = self.ports[number % self.ports.len()];
        (addr == SocketAddr::new(self.ip, port)).then_some(sent)
    }
}

impl Prober {
    /// The peer has holes open: guesses where. None where no port may be probed.
    pub(super) fn begin(
        ctx: &mut Context<'_>,
        attested: SocketAddr,
        remote: &Description,
        order: &PunchOrder,
    ) -> Option<Self> {
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
        let prober = Self {
            ip,
            ports,
            sent: Vec::new(),
            base: ctx.rng.random(),
            paced: ctx.now,
            next: Some(ctx.now),
            heard: ctx.now,
        };
        able.then_some(prober)
    }

    pub(super) fn handle_timeout(&mut self, ctx: &mut Context<'_>, acts: &mut Vec<Act>) {
        let Some(due) = self.next.filter(|at| *at <= ctx.now) else {
            return;
        };
        if self.sent.len() >= GUESSES {
            return acts.push(Act::End(End::Missed));
        }
        if ctx.now > due + LATE {
            // Whoever had no time to guess had none to listen.
            self.heard = ctx.now;
        }
        if self.heard + GO_TIMEOUT <= ctx.now {
            self.next = None;
            return;
        }
        self.next = Some(ctx.now + GUESS_TICK);
        let passed = ctx.now + GUESS_TICK - self.paced;
        let left = GUESSES - self.sent.len();
        let due = (passed.as_nanos() / GUESS_PACE.as_nanos()).min(GUESS_BURST.into());
        let due = due.min(left as u128);
        self.paced = ctx.now + GUESS_TICK;
        for _ in 0..due {
            if !ctx.budget.take(ctx.now) {
                return;
            }
            acts.push(self.guess_once(ctx.now));
        }
    }

    fn guess_once(&mut self, now: Instant) -> Act {
        let number = self.sent.len();
        self.sent.push(now);
        let port = self.ports[number % self.ports.len()];
        let tx = self.base.wrapping_add(number as u64);
        let pair = Pair::main(SocketAddr::new(self.ip, port));
        Act::Guess { pair, tx }
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

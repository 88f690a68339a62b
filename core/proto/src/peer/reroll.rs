//! A fresh port, when two NATs that keep their ports let nothing through all the same (docs/traversal.md, 3).
//!
//! A router that takes in packets for itself remembers a probe that came before ours left. From then on our packets to that
//! address leave by another port, which the peer does not know, until the router forgets. From a fresh socket nothing is
//! spoilt; and the peer hears of it only when its port has been opened.

use std::{net::SocketAddr, time::Instant};

use rand::Rng;

use super::{Context, Peer};
use crate::{
    NatBehavior, NatReport,
    io::{Output, Pair, Sock},
    timing::{REROLL_REST, ROUND, SAMPLE_TRIES},
    wire::{
        candidate::{Candidate, CandidateKind},
        probe::ProbeKind,
    },
};

/// The fresh socket of this link, if one is being tried.
#[derive(Default)]
pub(super) struct Reroll {
    fresh: Option<Fresh>,
    /// Not again before then.
    rest: Option<Instant>,
}

struct Fresh {
    sock: Sock,
    step: Step,
}

#[derive(Clone, Copy)]
enum Step {
    /// Waits for the socket.
    Socket,
    /// Asks the relay where it sees the socket.
    Sampling { tries: usize, next: Instant },
    /// The peer knows of it.
    Offered { seen: Candidate, until: Instant },
}

impl Reroll {
    pub(super) fn next(&self) -> Option<Instant> {
        match self.fresh.as_ref()?.step {
            Step::Socket => None,
            Step::Sampling { next, .. } => Some(next),
            Step::Offered { until, .. } => Some(until),
        }
    }

    /// Whether this socket is being tried.
    pub(super) fn needs(&self, sock: Sock) -> bool {
        self.fresh.as_ref().is_some_and(|fresh| fresh.sock == sock)
    }

    /// Where the peer may find it.
    pub(super) fn candidate(&self) -> Option<Candidate> {
        match self.fresh.as_ref()?.step {
            Step::Offered { seen, .. } => Some(seen),
            Step::Socket | Step::Sampling { .. } => None,
        }
    }
}

impl Peer {
    /// All was in vain. If it should not have been, one side tries another port; that is enough for both. Addresses that
    /// died, and may only have been cut off for a while, have their time to answer first.
    pub(super) fn reroll(&mut self, ctx: &mut Context<'_>) {
        let keeps = |nat: NatReport| nat.mapping == NatBehavior::EndpointIndependent;
        let should_work = keeps(ctx.local.nat)
            && self.remote.as_ref().is_some_and(|remote| keeps(remote.nat))
            && self.fresh_targets(ctx).next().is_some();
        let rests = self.reroll.rest.is_some_and(|until| ctx.now < until);
        let waits = rests || self.reroll.fresh.is_some() || self.history.trials.next().is_some();
        let futile = self.history.narrow().is_some() || !should_work;
        if ctx.local.id > self.id || !self.demand.is_wanted() || futile || waits {
            return;
        }
        let sock = ctx.budget.name_sockets(1);
        let step = Step::Socket;
        self.reroll.fresh = Some(Fresh { sock, step });
        self.reroll.rest = Some(ctx.now + REROLL_REST);
        ctx.out.push_back(Output::OpenSockets {
            first: sock,
            count: 1,
        });
    }

    /// The peer's addresses that a fresh port can help with: those that a relay attests, where NATs are between.
    fn fresh_targets(&self, ctx: &Context<'_>) -> impl Iterator<Item = Pair> + use<> {
        let attested = self.contact.attested_ips();
        let targets = self.opening(ctx).into_iter();
        targets
            .filter(move |addr| addr.is_ipv4() && attested.contains(&addr.ip()))
            .map(Pair::main)
    }

    /// The socket that was asked for is there, or the system refused it. Returns whether it was this link that asked.
    pub(crate) fn on_fresh_socket(
        &mut self,
        ctx: &mut Context<'_>,
        sock: Sock,
        count: u16,
    ) -> bool {
        let asked = |fresh: &&mut Fresh| fresh.sock == sock && matches!(fresh.step, Step::Socket);
        let Some(fresh) = self.reroll.fresh.as_mut().filter(asked) else {
            return false;
        };
        if count == 0 {
            self.reroll.fresh = None;
            return true;
        }
        let (tries, next) = (0, ctx.now);
        fresh.step = Step::Sampling { tries, next };
        self.own_sockets(&[sock]);
        self.reroll_timeout(ctx);
        true
    }

    /// A relay sees one of our sockets there. Opens it for the peer, and then says where it is.
    pub(crate) fn on_fresh_sample(&mut self, ctx: &mut Context<'_>, sock: Sock, addr: SocketAddr) {
        let asked =
            |fresh: &&mut Fresh| fresh.sock == sock && matches!(fresh.step, Step::Sampling { .. });
        let Some(fresh) = self.reroll.fresh.as_mut().filter(asked) else {
            return;
        };
        let seen = Candidate {
            addr,
            kind: CandidateKind::Reflexive,
            open: false,
        };
        let until = ctx.now + ROUND;
        fresh.step = Step::Offered { seen, until };
        let targets: Vec<Pair> = self.fresh_targets(ctx).collect();
        for pair in &targets {
            let (pair, tx) = (Pair { sock, ..*pair }, ctx.rng.random());
            let low = ctx.local.low_ttl(pair.addr);
            self.effort.sent += 1;
            self.question(ctx, pair, Some(low), ProbeKind::Request, tx);
        }
        self.send_update(ctx, targets.iter().map(|pair| pair.addr).collect());
    }

    pub(super) fn reroll_timeout(&mut self, ctx: &mut Context<'_>) {
        if self.reroll.next().is_none_or(|at| at > ctx.now) {
            return;
        }
        let relay = self.contact.live_via(ctx.local);
        if let (Some(relay), Some(fresh)) = (relay, &mut self.reroll.fresh)
            && let Step::Sampling { tries, next } = &mut fresh.step
            && let Some(wait) = SAMPLE_TRIES.get(*tries)
        {
            (*tries, *next) = (*tries + 1, ctx.now + *wait);
            let sock = fresh.sock;
            return ctx.out.push_back(Output::SampleMapping { sock, relay });
        }
        self.end_reroll(ctx);
    }

    /// Lets go of the fresh socket, unless the path needs it.
    pub(super) fn end_reroll(&mut self, ctx: &mut Context<'_>) {
        if self.reroll.fresh.take().is_some() {
            self.release_sockets(ctx);
        }
    }
}

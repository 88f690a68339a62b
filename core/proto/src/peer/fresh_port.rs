//! A fresh port, when two NATs that keep their ports let nothing through all the same (docs/traversal.md, 3).
//!
//! A router that takes in packets for itself remembers a probe that came before ours left. From then on our packets to that
//! address leave by another port, which the peer does not know, until the router forgets. From a fresh socket nothing is
//! spoilt; and the peer hears of it only when its port has been opened.

use std::{net::SocketAddr, time::Instant};

use super::Context;
use crate::{
    RelayUrl,
    io::{Output, Sock},
    timing::{FRESH_PORT_REST, ROUND, SAMPLE_TRIES},
    wire::candidate::{Candidate, CandidateKind},
};

/// The fresh socket of this link, if one is being tried.
#[derive(Default)]
pub(super) struct FreshPort {
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

impl FreshPort {
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

    /// Whether it is too early for another one.
    pub(super) fn is_resting(&self, now: Instant) -> bool {
        self.fresh.is_some() || self.rest.is_some_and(|until| now < until)
    }

    /// Asks for a socket.
    pub(super) fn begin(&mut self, ctx: &mut Context<'_>) {
        let sock = ctx.budget.name_sockets(1);
        let step = Step::Socket;
        self.fresh = Some(Fresh { sock, step });
        self.rest = Some(ctx.now + FRESH_PORT_REST);
        ctx.out.push_back(Output::OpenSockets {
            first: sock,
            count: 1,
        });
    }

    /// The socket is there, or the system refused it. Returns whether it was this link that asked.
    pub(super) fn on_socket(&mut self, now: Instant, sock: Sock, is_there: bool) -> bool {
        let asked = |fresh: &&mut Fresh| fresh.sock == sock && matches!(fresh.step, Step::Socket);
        let Some(fresh) = self.fresh.as_mut().filter(asked) else {
            return false;
        };
        let (tries, next) = (0, now);
        fresh.step = Step::Sampling { tries, next };
        if !is_there {
            self.fresh = None;
        }
        true
    }

    /// A relay sees one of our sockets there. Returns whether it is this one, which then is offered to the peer.
    pub(super) fn on_sample(&mut self, now: Instant, sock: Sock, addr: SocketAddr) -> bool {
        let asked =
            |fresh: &&mut Fresh| fresh.sock == sock && matches!(fresh.step, Step::Sampling { .. });
        let Some(fresh) = self.fresh.as_mut().filter(asked) else {
            return false;
        };
        let seen = Candidate {
            addr,
            kind: CandidateKind::Reflexive,
            open: false,
        };
        fresh.step = Step::Offered {
            seen,
            until: now + ROUND,
        };
        true
    }

    /// Asks the relay where it sees the socket. Returns whether its time is over.
    pub(super) fn handle_timeout(
        &mut self,
        ctx: &mut Context<'_>,
        relay: Option<RelayUrl>,
    ) -> bool {
        if self.next().is_none_or(|at| at > ctx.now) {
            return false;
        }
        if let (Some(relay), Some(fresh)) = (relay, &mut self.fresh)
            && let Step::Sampling { tries, next } = &mut fresh.step
            && let Some(wait) = SAMPLE_TRIES.get(*tries)
        {
            (*tries, *next) = (*tries + 1, ctx.now + *wait);
            let sock = fresh.sock;
            ctx.out.push_back(Output::SampleMapping { sock, relay });
            return false;
        }
        true
    }

    /// Lets go of the socket. Returns whether there was one.
    pub(super) fn end(&mut self) -> bool {
        self.fresh.take().is_some()
    }
}

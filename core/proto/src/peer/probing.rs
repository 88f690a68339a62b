//! Sending the checks that are due.

use std::time::Instant;

use super::{
    Context, Peer,
    checks::{Means, Question},
    messages::send,
};
use crate::{
    io::Pair,
    sources::Title,
    timing::{LOW_TTL_FOR, ROUND, TIMED_PROBES},
    wire::probe::{Probe, ProbeKind},
};

impl Peer {
    /// Before the peer has answered, but with its candidates at hand from an earlier round: opens our NAT at once, and probes
    /// when the peer should just have opened its own.
    pub(super) fn begin_early_checks(&mut self, ctx: &mut Context<'_>) {
        if self.sessions.is_call_sent() {
            let peer_opens = self
                .contact
                .relay_rtt()
                .map(|rtt| ctx.now + rtt / 2 + TIMED_PROBES[0]);
            self.fill_checks(ctx, peer_opens.unwrap_or(ctx.now + LOW_TTL_FOR));
        }
    }

    /// Probes all candidates from now on. The peer has opened its NATs for us, or will have by then.
    pub(super) fn fill_checks(&mut self, ctx: &mut Context<'_>, full_ttl_from: Instant) {
        let targets = self.targets(ctx.local);
        let named = self.remote.as_ref().map(|remote| &remote.candidates[..]);
        self.effort.plan(named.unwrap_or_default(), &targets);
        self.earned.begin_round(ctx.now);
        let patience = self.contact.relay_rtt().map_or(ROUND, |rtt| rtt * 2);
        let attested = self.contact.attested_ips();
        self.checks
            .fill(ctx.now, &targets, &attested, (full_ttl_from, patience));
        self.send_checks(ctx);
    }

    pub(super) fn send_checks(&mut self, ctx: &mut Context<'_>) {
        let mut means = Means {
            peer: self.id,
            earned: &mut self.earned,
            attested: self.contact.attested_ips(),
            is_calling: self.sessions.is_calling(),
        };
        for question in self.checks.ask_due(ctx, &mut means) {
            self.send_check(ctx, &question);
        }
    }

    /// Probes an address that an authentic message came from, unless that is being done.
    pub(super) fn check_back(&mut self, ctx: &mut Context<'_>, source: Pair) {
        if self.demand.choice.is_dropped(source) {
            return;
        }
        let attested = self.contact.attested_ips();
        let used = self.state.path().map(|path| path.pair);
        if !self.checks.note_source(ctx.now, source, used, &attested) {
            return;
        }
        self.admit(ctx, source, Title::Claimed);
        let mut means = Means {
            peer: self.id,
            earned: &mut self.earned,
            attested,
            is_calling: self.sessions.is_calling(),
        };
        if let Some(question) = self.checks.ask_back(ctx, &mut means, source, used) {
            self.send_check(ctx, &question);
        }
    }

    fn send_check(&mut self, ctx: &mut Context<'_>, question: &Question) {
        self.effort.sent += 1;
        let probe = Probe {
            kind: ProbeKind::Request,
            tx: question.tx,
            observed: question.pair.addr,
        };
        if let Some(bytes) = self.sessions.seal_check(&probe) {
            send(ctx, question.pair, question.ttl, bytes);
        }
    }
}

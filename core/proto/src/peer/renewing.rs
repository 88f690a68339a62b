//! What is tried when all was in vain: addresses that died, and a fresh port.

use std::net::SocketAddr;

use rand::Rng;

use super::{Context, Peer, direct::full_len};
use crate::{
    NatBehavior, NatReport,
    io::{Pair, Sock},
    wire::probe::ProbeKind,
};

impl Peer {
    /// All was in vain. If it should not have been, one side tries another port; that is enough for both. Addresses that
    /// died, and may only have been cut off for a while, have their time to answer first.
    pub(super) fn try_fresh_port(&mut self, ctx: &mut Context<'_>) {
        let keeps = |nat: NatReport| nat.mapping == NatBehavior::EndpointIndependent;
        let should_work = keeps(ctx.local.nat)
            && self.remote.as_ref().is_some_and(|remote| keeps(remote.nat))
            && self.fresh_targets(ctx).next().is_some();
        let futile = self.history.narrow().is_some() || !should_work;
        let waits = self.fresh_port.is_resting(ctx.now) || self.history.probations.next().is_some();
        if ctx.local.id < self.id && self.demand.is_wanted() && !futile && !waits {
            self.fresh_port.begin(ctx);
        }
    }

    /// The peer's addresses that a fresh port can help with: those that a relay attests, where NATs are between.
    fn fresh_targets(&self, ctx: &Context<'_>) -> impl Iterator<Item = Pair> + use<> {
        let attested = self.contact.attested_ips();
        let targets = self.opening(ctx.local).into_iter();
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
        let asked = self.fresh_port.on_socket(ctx.now, sock, count > 0);
        if asked && count > 0 {
            self.guess.own(&[sock]);
            self.fresh_port_timeout(ctx);
        }
        asked
    }

    /// A relay sees one of our sockets there. Opens it for the peer, and then says where it is.
    pub(crate) fn on_fresh_sample(&mut self, ctx: &mut Context<'_>, sock: Sock, addr: SocketAddr) {
        if !self.fresh_port.on_sample(ctx.now, sock, addr) {
            return;
        }
        let targets: Vec<Pair> = self.fresh_targets(ctx).collect();
        for pair in &targets {
            let (pair, tx) = (Pair { sock, ..*pair }, ctx.rng.random());
            let low = ctx.local.low_ttl(pair.addr);
            self.effort.sent += 1;
            self.question(ctx, pair, Some(low), ProbeKind::Request, tx);
        }
        self.send_update(ctx, targets.iter().map(|pair| pair.addr).collect());
    }

    pub(super) fn fresh_port_timeout(&mut self, ctx: &mut Context<'_>) {
        let relay = self.contact.live_via(ctx.local);
        if self.fresh_port.handle_timeout(ctx, relay) {
            self.end_fresh_port(ctx);
        }
    }

    /// Lets go of the fresh socket, unless the path needs it.
    pub(super) fn end_fresh_port(&mut self, ctx: &mut Context<'_>) {
        if self.fresh_port.end() {
            self.release_sockets(ctx);
        }
    }

    /// Asks addresses that died, and tries a fresh port when their time is over.
    pub(super) fn probations_timeout(&mut self, ctx: &mut Context<'_>) {
        let wanted = self.demand.is_wanted() && self.consents(ctx.local);
        let wanted = wanted && self.rounds.in_use(ctx.now);
        let due = self.history.probations.handle_timeout(ctx, wanted);
        for (pair, tx) in due.questions {
            let len = full_len(pair);
            self.question_of(ctx, (pair, len), None, ProbeKind::Request, tx);
        }
        if due.over {
            self.release_sockets(ctx);
            if wanted && self.state.is_relayed() {
                self.try_fresh_port(ctx);
            }
        }
    }
}

//! TCP connections that come up and are dialled, where datagrams do not get through.

use std::net::SocketAddr;

use super::{Context, Peer, direct::DirectPath, tcp_pairs::close};
use crate::{
    io::{Output, Pair},
    wire::candidate::CandidateKind,
};

/// Addresses that one try dials.
const MAX_DIALLED: usize = 4;

impl Peer {
    /// Whether this is an open connection to the peer.
    pub(crate) fn has_tcp(&self, pair: Pair) -> bool {
        self.tcp_pairs.open().contains(&pair)
    }

    /// A TCP connection stands whose other end holds the peer's key, and which may be used.
    pub(crate) fn on_tcp_up(&mut self, ctx: &mut Context<'_>, pair: Pair, dialled: bool) {
        let has_datagrams = self.state.path().is_some_and(DirectPath::has_datagrams);
        let is_refused =
            self.demand.keeps_to_relays(ctx.local) || self.demand.choice.is_dropped(pair);
        if is_refused || dialled && (self.state.is_idle() || has_datagrams) {
            return close(ctx, pair.sock);
        }
        let used = self.state.path().map(|path| path.pair);
        if let Some(surplus) = self.tcp_pairs.surplus(used) {
            self.drop_tcp(ctx, surplus);
        }
        self.tcp_pairs.add(pair);
        ctx.out.push_back(Output::TakeTcp {
            peer: self.id,
            sock: pair.sock,
        });
        if self.state.is_idle() {
            self.demand.linger(ctx.now);
        }
        if self.sessions.stand() {
            self.check_back(ctx, pair);
        }
        // An answer to what was said by other ways may never come.
        if let Some(number) = self.sessions.attempt_number() {
            self.attempt(ctx, number);
        }
    }

    pub(super) fn drop_tcp(&mut self, ctx: &mut Context<'_>, pair: Pair) {
        self.tcp_pairs.close(ctx, pair);
        self.checks.remove(pair);
    }

    pub(super) fn tcp_timeout(&mut self, ctx: &mut Context<'_>) {
        if !self.tcp_pairs.take_due(ctx.now, self.state.path()) {
            return;
        }
        for addr in self.tcp_targets(ctx) {
            if ctx.budget.take_tcp(ctx.now, self.id, addr) {
                ctx.out.push_back(Output::DialTcp {
                    peer: self.id,
                    addr,
                });
            }
        }
    }

    /// What our own user dialled, and what the peer named where a relay sees it: TCP is aimed at nobody on the word of a peer.
    fn tcp_targets(&self, ctx: &Context<'_>) -> Vec<SocketAddr> {
        let attested = self.contact.attested_ips();
        let remote = self.remote.iter().filter(|_| self.consents(ctx.local));
        let named = remote
            .flat_map(|remote| &remote.candidates)
            .filter(|candidate| candidate.kind == CandidateKind::Stream)
            .map(|candidate| candidate.addr)
            .filter(|addr| attested.contains(&addr.ip()));
        let mut targets: Vec<SocketAddr> = Vec::new();
        for addr in self.contact.dialled_addrs().iter().copied().chain(named) {
            let is_dropped = self.demand.choice.dropped().iter();
            let is_dropped = is_dropped.clone().any(|it| it.tcp && it.addr == addr);
            if !targets.contains(&addr) && ctx.local.may_dial(addr) && !is_dropped {
                targets.push(addr);
            }
        }
        targets.truncate(MAX_DIALLED);
        targets
    }
}

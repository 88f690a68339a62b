//! Streams that come up and are dialled, where datagrams do not get through.

use std::net::SocketAddr;

use super::{Context, Peer, direct::DirectPath, streams::close};
use crate::{
    io::{Output, Pair},
    wire::candidate::CandidateKind,
};

/// Addresses that one try dials.
const MAX_DIALLED: usize = 4;

impl Peer {
    /// Whether this is an open stream to the peer.
    pub(crate) fn has_stream(&self, pair: Pair) -> bool {
        self.streams.open().contains(&pair)
    }

    /// A stream stands whose other end holds the peer's key, and which may be used.
    pub(crate) fn on_stream_up(&mut self, ctx: &mut Context<'_>, pair: Pair, dialled: bool) {
        let has_datagrams = self.state.path().is_some_and(DirectPath::has_datagrams);
        if dialled && (self.state.is_idle() || has_datagrams) {
            return close(ctx, pair.sock);
        }
        let used = self.state.path().map(|path| path.pair);
        if let Some(surplus) = self.streams.surplus(used) {
            self.drop_stream(ctx, surplus);
        }
        self.streams.add(pair);
        ctx.out.push_back(Output::TakeStream {
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

    pub(super) fn drop_stream(&mut self, ctx: &mut Context<'_>, pair: Pair) {
        self.streams.close(ctx, pair);
        self.checks.remove(pair);
    }

    pub(super) fn streams_timeout(&mut self, ctx: &mut Context<'_>) {
        if !self.streams.take_due(ctx.now, self.state.path()) {
            return;
        }
        for addr in self.stream_targets(ctx) {
            if ctx.budget.take_stream(ctx.now, self.id, addr) {
                ctx.out.push_back(Output::DialStream {
                    peer: self.id,
                    addr,
                });
            }
        }
    }

    /// What our own user dialled, and what the peer named where a relay sees it: TCP is aimed at nobody on the word of a peer.
    fn stream_targets(&self, ctx: &Context<'_>) -> Vec<SocketAddr> {
        let attested = self.contact.attested_ips();
        let remote = self.remote.iter().filter(|_| self.consents(ctx.local));
        let named = remote
            .flat_map(|remote| &remote.candidates)
            .filter(|candidate| candidate.kind == CandidateKind::Stream)
            .map(|candidate| candidate.addr)
            .filter(|addr| attested.contains(&addr.ip()));
        let mut targets: Vec<SocketAddr> = Vec::new();
        for addr in self.contact.dialled_addrs().iter().copied().chain(named) {
            if !targets.contains(&addr) && ctx.local.may_dial(addr) {
                targets.push(addr);
            }
        }
        targets.truncate(MAX_DIALLED);
        targets
    }
}

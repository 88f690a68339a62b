//! Streams to the peer: TLS over TCP, for networks that drop datagrams.
//!
//! A stream counts as a socket of ours that reaches one address. TLS has proved the peer on it, so it costs no credit to probe,
//! and the kernel keeps it alive and tells when it breaks. It is dialled only when no datagram was answered for a while, and
//! any path for datagrams is preferred to it.

use std::{net::SocketAddr, time::Instant};

use super::{Context, Peer, PeerState};
use crate::{
    io::{Output, Pair, Sock},
    timing::STREAM_AFTER,
    wire::candidate::CandidateKind,
};

/// The streams of one peer.
#[derive(Default)]
pub(super) struct Streams {
    open: Vec<Pair>,
    /// When they are dialled, unless there is a path by then.
    pub(super) dial: Option<Instant>,
}

/// Streams of one peer at a time, and addresses that one try dials: both sides may dial at once.
const MAX_STREAMS: usize = 2;
const MAX_DIALLED: usize = 4;

impl Streams {
    pub(super) fn open(&self) -> &[Pair] {
        &self.open
    }

    #[cfg(any(test, feature = "_fuzzing"))]
    pub(super) fn footprint(&self) -> usize {
        super::footprint::of(&self.open)
    }
}

impl Peer {
    /// Whether this is an open stream to the peer.
    pub(crate) fn has_stream(&self, pair: Pair) -> bool {
        self.streams.open.contains(&pair)
    }

    /// A stream stands whose other end holds the peer's key, and which may be used.
    pub(crate) fn on_stream_up(&mut self, ctx: &mut Context<'_>, pair: Pair, dialled: bool) {
        let needless = self.state == PeerState::Idle || self.has_datagrams();
        if dialled && needless {
            return close(ctx, pair.sock);
        }
        if self.streams.open.len() >= MAX_STREAMS {
            let in_use = self.path.as_ref().map(|path| path.pair);
            let at = usize::from(self.streams.open.first().copied() == in_use);
            let oldest = self.streams.open[at];
            self.drop_stream(ctx, oldest);
        }
        self.streams.open.push(pair);
        ctx.out.push_back(Output::TakeStream {
            peer: self.id,
            sock: pair.sock,
        });
        if self.state == PeerState::Idle {
            self.demand.linger(ctx.now);
        }
        if self.sessions.stand() {
            self.check_back(ctx, pair);
        }
        // An answer to what was said by other ways may never come.
        if let Some(number) = self.sessions.attempt.as_ref().map(|attempt| attempt.number) {
            self.attempt(ctx, number);
        }
    }

    /// A stream broke, or was closed from the other side.
    pub(crate) fn on_stream_down(&mut self, ctx: &mut Context<'_>, pair: Pair) {
        if !self.has_stream(pair) {
            return;
        }
        if self.path.as_ref().is_some_and(|path| path.pair == pair) {
            self.dead(ctx);
        } else {
            self.drop_stream(ctx, pair);
        }
    }

    pub(super) fn drop_stream(&mut self, ctx: &mut Context<'_>, pair: Pair) {
        self.streams.open.retain(|open| *open != pair);
        self.checks.remove(pair);
        close(ctx, pair.sock);
    }

    /// Dials streams in a while, if there is no path for datagrams by then.
    pub(super) fn plan_streams(&mut self, ctx: &Context<'_>) {
        let lacking = self.streams.open.is_empty() && !self.has_datagrams();
        if ctx.local.streams && lacking && self.streams.dial.is_none() {
            self.streams.dial = Some(ctx.now + STREAM_AFTER);
        }
    }

    pub(super) fn streams_timeout(&mut self, ctx: &mut Context<'_>) {
        if self.streams.dial.is_none_or(|at| at > ctx.now) {
            return;
        }
        self.streams.dial = None;
        if self.has_datagrams() || !self.streams.open.is_empty() {
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

    pub(super) fn close_streams(&mut self, ctx: &mut Context<'_>) {
        self.streams.dial = None;
        for pair in self.streams.open.drain(..) {
            close(ctx, pair.sock);
        }
    }

    /// Whether the data goes by a stream, and datagrams are still to be tried for.
    pub(super) fn on_stream(&self) -> bool {
        let by_stream = self.path.as_ref().map(|path| path.pair.sock.is_stream());
        self.state == PeerState::Direct && by_stream == Some(true)
    }

    /// Whether a direct path carries datagrams, as far as we know.
    fn has_datagrams(&self) -> bool {
        let by_stream = self.path.as_ref().map(|path| path.pair.sock.is_stream());
        self.state == PeerState::Direct && by_stream == Some(false)
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

fn close(ctx: &mut Context<'_>, sock: Sock) {
    ctx.out.push_back(Output::CloseStream { sock });
}

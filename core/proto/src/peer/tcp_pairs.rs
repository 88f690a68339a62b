//! TCP connections to the peer: TLS over TCP, for networks that drop datagrams.
//!
//! A TCP connection counts as a socket of ours that reaches one address. TLS has proved the peer on it, so it costs no credit to probe,
//! and the kernel keeps it alive and tells when it breaks. It is dialled only when no datagram was answered for a while, and
//! any path for datagrams is preferred to it.

use std::time::Instant;

use super::{Context, direct::DirectPath};
use crate::{
    io::{Output, Pair, Sock},
    timing::TCP_AFTER,
};

/// The TCP connections of one peer.
#[derive(Default)]
pub(super) struct TcpPairs {
    open: Vec<Pair>,
    /// When they are dialled, unless there is a path by then.
    dial: Option<Instant>,
}

/// TCP connections of one peer at a time: both sides may dial at once.
const MAX_TCP_PAIRS: usize = 2;

impl TcpPairs {
    pub(super) fn next(&self) -> Option<Instant> {
        self.dial
    }

    pub(super) fn open(&self) -> &[Pair] {
        &self.open
    }

    /// Dials TCP connections in a while, if there is no path for datagrams by then.
    pub(super) fn plan(&mut self, ctx: &Context<'_>, path: Option<&DirectPath>) {
        if ctx.local.tcp && self.dial.is_none() && self.is_lacking(path) {
            self.dial = Some(ctx.now + TCP_AFTER);
        }
    }

    /// Whether they are to be dialled now.
    pub(super) fn take_due(&mut self, now: Instant, path: Option<&DirectPath>) -> bool {
        let due = self.dial.take_if(|at| *at <= now);
        due.is_some() && self.is_lacking(path)
    }

    /// There is a path.
    pub(super) fn dial_no_more(&mut self) {
        self.dial = None;
    }

    fn is_lacking(&self, path: Option<&DirectPath>) -> bool {
        self.open.is_empty() && !path.is_some_and(DirectPath::has_datagrams)
    }

    /// The one that gives way to another: the oldest that is not in use.
    pub(super) fn surplus(&self, used: Option<Pair>) -> Option<Pair> {
        let is_full = self.open.len() >= MAX_TCP_PAIRS;
        let mut idle = self.open.iter().filter(|open| Some(**open) != used);
        idle.next().copied().filter(|_| is_full)
    }

    pub(super) fn add(&mut self, pair: Pair) {
        self.open.push(pair);
    }

    pub(super) fn close(&mut self, ctx: &mut Context<'_>, pair: Pair) {
        self.open.retain(|open| *open != pair);
        close(ctx, pair.sock);
    }

    pub(super) fn close_all(&mut self, ctx: &mut Context<'_>) {
        self.dial = None;
        for pair in self.open.drain(..) {
            close(ctx, pair.sock);
        }
    }

    #[cfg(any(test, feature = "_fuzzing"))]
    pub(super) fn footprint(&self) -> usize {
        super::footprint::of(&self.open)
    }
}

pub(super) fn close(ctx: &mut Context<'_>, sock: Sock) {
    ctx.out.push_back(Output::CloseTcp { sock });
}

//! Looking for a direct path: all candidates are probed, and what else may lead to the peer is got ready.

use super::{Context, Peer};
use crate::timing::LOW_TTL_FOR;

impl Peer {
    /// Begins a round. The peer has opened its NATs for us, or has yet to do it.
    pub(super) fn seek(&mut self, ctx: &mut Context<'_>, peer_opened: bool) {
        if !self.consents(ctx.local) {
            if self.is_refused() && self.state.path().is_some() {
                self.let_go_of_direct(ctx);
            }
            if self.state.path().is_none() {
                self.relayed(ctx);
            }
            return;
        }
        let wait = LOW_TTL_FOR.max(self.contact.relay_rtt().unwrap_or_default());
        self.fill_checks(ctx, if peer_opened { ctx.now } else { ctx.now + wait });
        self.checks.begin_round(ctx.now);
        self.consider_guessing(ctx);
        self.tcp_pairs.plan(ctx, self.state.path());
    }

    /// Whether the peer wants no direct path.
    pub(super) fn is_refused(&self) -> bool {
        self.remote.as_ref().is_some_and(|remote| !remote.direct)
    }
}

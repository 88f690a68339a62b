//! Closing the sockets that were opened for one peer.

use super::{Context, Peer};
use crate::io::Output;

impl Peer {
    /// Closes the sockets that neither a run of guesses nor the path needs.
    pub(super) fn release_sockets(&mut self, ctx: &mut Context<'_>) {
        if !self.guess.is_on() {
            self.close_idle_sockets(ctx);
        }
    }

    /// Closes the sockets that the path does not need.
    pub(super) fn close_idle_sockets(&mut self, ctx: &mut Context<'_>) {
        let used = self.state.path().map(|path| path.pair.sock);
        let mut idle = self.guess.take_idle(|sock| {
            Some(sock) == used || self.history.probations.needs(sock) || self.fresh_port.needs(sock)
        });
        self.checks.forget(&idle);
        idle.sort_unstable();
        for run in idle.chunk_by(|a, b| a.0 + 1 == b.0) {
            ctx.out.push_back(Output::CloseSockets {
                first: run[0],
                count: run.len() as u16,
            });
        }
    }
}

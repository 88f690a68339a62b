//! Holding the direct path while nothing happens on it.

use super::{
    Context, Peer,
    direct::Doubt,
    keepalive::{Care, Measured},
};
use crate::wire::probe::ProbeKind;

impl Peer {
    /// Asks the path in use, and a spare one, and expects mappings to die that did so regularly.
    pub(super) fn keepalive_timeout(&mut self, ctx: &mut Context<'_>) {
        let held = self.state.path().filter(|path| !path.is_suspect());
        match self
            .keepalive
            .handle_timeout(ctx, held, self.rounds.traffic())
        {
            Some(Care::Ask) => self.ask(ctx, ProbeKind::Nominated),
            Some(Care::Suspect) => self.suspect(ctx, Doubt::Silent),
            None => {}
        }
        if self.keepalive.take_spare(ctx) {
            self.ask_spare(ctx);
        }
        let is_in_use = self.rounds.in_use(ctx.now);
        if self.history.lifetimes.take_due(ctx.now) && self.state.is_direct() && is_in_use {
            self.suspect(ctx, Doubt::Expected);
        }
    }

    /// Asks the best of the paths that are not in use, and the one that is, to compare them.
    fn ask_spare(&mut self, ctx: &mut Context<'_>) {
        let Some(path) = self.state.path() else {
            return;
        };
        let used = path.pair;
        if self.checks.ask_spare(ctx.now, used, |pair, rtt| {
            (!ctx.local.is_lan(pair.addr), Measured { pair, rtt }.cost())
        }) {
            self.ask(ctx, ProbeKind::Nominated);
            self.send_checks(ctx);
        }
    }
}

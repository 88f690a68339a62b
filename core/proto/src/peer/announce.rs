//! What is told of a link: its state and its path to those who watch, its route to whoever sends.

use super::{Context, Peer, state::State};
use crate::{
    EventKind,
    io::{Failure, Output, Route},
};

impl Peer {
    pub(super) fn become_(&mut self, ctx: &mut Context<'_>, state: State) {
        self.state = state;
        self.announce_state(ctx);
    }

    pub(super) fn announce_state(&mut self, ctx: &mut Context<'_>) {
        let state = self.state();
        let Some(from) = self.told.tell_state(ctx.now, state) else {
            return;
        };
        tracing::debug!(peer = %self.id.short(), ?from, to = ?state, "link");
        let why = self.explain(ctx.local, ctx.now).map(Box::new);
        ctx.out.push_back(Output::Event(EventKind::PeerState {
            peer: self.id,
            from,
            to: state,
            why,
        }));
    }

    /// Tells those who wait for a connection that there will be none.
    pub(super) fn dial_failed(&mut self, ctx: &mut Context<'_>, reason: Failure) {
        self.demand.disappoint();
        self.presence.forget_unreached();
        ctx.out.push_back(Output::Failed {
            peer: self.id,
            reason,
        });
    }

    pub(super) fn announce_route(&self, ctx: &mut Context<'_>) {
        let via = self.carrier().cloned();
        let route = match (self.state.path(), via) {
            (Some(path), Some(relay)) if path.is_suspect() || path.is_untested() => {
                Route::Both(path.pair, relay)
            }
            (Some(path), _) => Route::Direct(path.pair),
            (None, Some(relay)) => Route::Relay(relay),
            (None, None) if self.demand.shuns_relays() => Route::Nowhere,
            (None, None) => return,
        };
        ctx.out.push_back(Output::Route {
            peer: self.id,
            route,
        });
    }

    pub(super) fn announce_path(&mut self, ctx: &mut Context<'_>) {
        let info = self.path_info(ctx.local);
        let rtt = info.as_ref().and_then(|(_, rtt)| *rtt);
        let path = info.map(|(path, _)| path);
        if !self.told.tell_path(path.as_ref()) {
            return;
        }
        ctx.out.push_back(Output::Event(EventKind::PathChanged {
            peer: self.id,
            path,
            rtt,
        }));
    }
}

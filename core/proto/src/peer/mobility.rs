//! We are elsewhere, or can be met elsewhere.

use super::{Context, Peer, direct::Doubt, state::State};

impl Peer {
    /// What we can offer changed. The peer is told at once, and both look for the best path anew. Where it is just being met, it is
    /// told as soon as it answers.
    pub(crate) fn on_local_change(&mut self, ctx: &mut Context<'_>) {
        match self.state {
            State::Direct(_) | State::Probing => {
                if self.tell_offer(ctx) {
                    self.seek(ctx, false);
                }
            }
            State::Relayed => self.round_soon(ctx),
            State::Idle | State::Greeting(_) | State::Failed(_) => {}
        }
    }

    /// Tells the peer what we can offer, if that is not what it was told last and there is a way to tell it.
    pub(super) fn tell_offer(&mut self, ctx: &mut Context<'_>) -> bool {
        let offer = self.offer(ctx.local);
        let tells = offer != self.told.candidates() && self.contact.live_via(ctx.local).is_some();
        if tells {
            let opened = self.opening(ctx.local);
            self.send_update(ctx, opened);
        }
        tells
    }

    /// Our packets leave elsewhere now: where they go is to be found out anew.
    pub(crate) fn on_moved(&mut self, ctx: &mut Context<'_>) {
        self.forget_paths();
        self.doubt_all(ctx);
    }

    /// We are elsewhere now: nothing that was learnt of paths holds.
    pub(crate) fn forget_paths(&mut self) {
        self.keepalive.forget();
        self.demand.choice.restore(None);
        if self.history.forget() {
            self.guess.rested();
        }
    }

    /// We were away for a while, and may be elsewhere now.
    pub(crate) fn on_resumed(&mut self, ctx: &mut Context<'_>) {
        self.doubt_all(ctx);
        if self.state.lacks_path() {
            self.round_soon(ctx);
        }
    }

    fn doubt_all(&mut self, ctx: &mut Context<'_>) {
        if self.state.path().is_some() {
            self.suspect(ctx, Doubt::Moved);
        }
    }
}

//! Other paths are wanted than before.

use super::{Context, Peer, messages::send, state::State};
use crate::{
    PathPolicy,
    io::{Output, Route},
    wire::sealed::Control,
};

impl Peer {
    /// Which paths may carry the peer's data from now on.
    pub(crate) fn set_policy(&mut self, ctx: &mut Context<'_>, policy: PathPolicy) {
        if !self.demand.set_policy(policy) {
            return;
        }
        let by_relays_alone = policy == PathPolicy::RelayOnly;
        self.contact.use_addrs(!by_relays_alone);
        if by_relays_alone {
            self.go_to_the_relay(ctx);
        } else {
            self.look_for_all(ctx);
        }
        self.announce_state(ctx);
        self.announce_path(ctx);
    }

    /// Everything direct ends. Where no relay leads to the peer, it is called by those at which it may be.
    fn go_to_the_relay(&mut self, ctx: &mut Context<'_>) {
        let was_direct = self.state.path().is_some();
        self.tell_on_the_path(ctx);
        self.let_go_of_direct(ctx);
        match self.state {
            State::Idle | State::Failed(_) => {}
            State::Greeting(_) => self.dial(ctx),
            State::Probing | State::Relayed if self.contact.live_via(ctx.local).is_some() => {
                // Tells the peer, and binds the lane.
                self.send_update(ctx, Vec::new());
                self.relayed(ctx);
            }
            State::Probing | State::Relayed => {
                if was_direct || self.contact.carrier().is_none() {
                    let (peer, route) = (self.id, Route::Nowhere);
                    ctx.out.push_back(Output::Route { peer, route });
                }
                self.dial(ctx);
            }
            State::Direct(_) => {}
        }
    }

    /// Where no relay would tell the peer, the path does so that is being left: it calls by a relay then, if it knows one.
    fn tell_on_the_path(&mut self, ctx: &mut Context<'_>) {
        let pair = self.state.path().map(|path| path.pair);
        let Some(pair) = pair.filter(|_| self.contact.live_via(ctx.local).is_none()) else {
            return;
        };
        let news = Control::Update(self.description(ctx.local, Vec::new()));
        if let Some(bytes) = self.sessions.seal_control(&news) {
            send(ctx, pair, None, bytes);
        }
    }

    /// Direct paths are looked for at once, if there is none.
    fn look_for_all(&mut self, ctx: &mut Context<'_>) {
        match self.state {
            State::Idle => {}
            State::Failed(_) if self.demand.is_wanted() => self.dial(ctx),
            State::Failed(_) => {}
            State::Greeting(_) => self.dial(ctx),
            State::Direct(_) => self.announce_route(ctx),
            State::Probing | State::Relayed => {
                self.announce_route(ctx);
                // What it took to be direct does not count while that was not wanted.
                self.effort.begin(ctx.now);
                if self.demand.is_wanted() && self.consents(ctx.local) {
                    self.rounds.begin_anew();
                    self.retry(ctx);
                } else {
                    // The peer may look for one when it wants to.
                    self.send_update(ctx, Vec::new());
                }
            }
        }
    }
}

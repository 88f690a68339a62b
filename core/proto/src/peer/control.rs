//! What peers tell each other of themselves once they have met.

use std::net::IpAddr;

use super::{Context, Peer, direct::Doubt, state::State};
use crate::wire::{
    candidate::Candidate,
    intro::Description,
    sealed::{Control, SealedPacket},
};

impl Peer {
    /// Opens a control message of an established session.
    pub(super) fn open_control(&mut self, ctx: &Context<'_>, datagram: &[u8]) -> Option<Control> {
        let session_index = SealedPacket::parse(datagram).ok()?.session_index;
        let body = self.sessions.of(session_index)?.open_control(datagram)?;
        self.sessions.spoke_in(session_index);
        self.presence.spoke(ctx.now);
        self.earned.earn(datagram.len());
        Control::parse(&body).ok()
    }

    /// The peer's situation changed, or it hears nothing of us. If it is no longer where our data goes, the relay gets it too
    /// until it is found again.
    pub(super) fn on_update(&mut self, ctx: &mut Context<'_>, description: Description) {
        let opened = !description.opened.is_empty();
        let candidates = description.candidates.clone();
        let refuses = !description.direct;
        let before = self.remote.replace(description);
        if refuses && before.as_ref().is_some_and(|before| before.direct) {
            return self.refused(ctx);
        }
        if !refuses && before.as_ref().is_some_and(|before| !before.direct) {
            self.allowed_again(ctx);
        }
        let before = before.map_or_else(Vec::new, |before| before.candidates);
        if before == candidates {
            if opened && self.state.is_direct() {
                self.suspect(ctx, Doubt::Told);
            }
            return;
        }
        let at = |list: &[Candidate], ip: IpAddr| list.iter().any(|one| one.addr.ip() == ip);
        let used = self.state.path().map(|path| path.pair.addr.ip());
        let left = used.is_some_and(|ip| at(&before, ip) && !at(&candidates, ip));
        if left && self.state.is_direct() {
            self.suspect(ctx, Doubt::Told);
        }
        self.called_for(ctx, opened);
    }

    /// The peer named other candidates, or wants to be met at the relay alone: probes them or calls it there, or soon if it does so
    /// all the time.
    pub(super) fn called_for(&mut self, ctx: &mut Context<'_>, opened: bool) {
        match self.state {
            State::Relayed | State::Probing | State::Direct(_) => {
                if self.triggered.begin(ctx.now, opened) {
                    if !self.is_refused() || !self.state.is_relayed() {
                        self.seek(ctx, opened);
                    } else if !self.sessions.is_calling() {
                        // Either side may not have been at the relay so far.
                        self.call(ctx);
                    }
                }
            }
            State::Idle | State::Greeting(_) | State::Failed(_) => {}
        }
    }

    /// The peer wants direct paths again. What it took to be direct does not count while that was not wanted.
    fn allowed_again(&mut self, ctx: &Context<'_>) {
        if self.state.path().is_none() {
            self.effort.begin(ctx.now);
        }
    }

    /// The peer wants no direct path any more.
    fn refused(&mut self, ctx: &mut Context<'_>) {
        match self.state {
            State::Direct(_) | State::Probing | State::Relayed => {
                self.let_go_of_direct(ctx);
                self.relayed(ctx);
                self.called_for(ctx, false);
            }
            State::Idle | State::Greeting(_) | State::Failed(_) => {}
        }
    }
}

//! What peers tell each other of themselves once they have met.

use std::net::{IpAddr, SocketAddr};

use super::{Context, Doubt, Peer, Source};
use crate::{
    PeerState,
    io::Output,
    local::Local,
    wire::{
        candidate::{Candidate, MAX_CANDIDATES},
        intro::Description,
        sealed::{News, SealedPacket},
    },
};

impl Peer {
    /// News of an established session.
    pub(crate) fn on_news(&mut self, ctx: &mut Context<'_>, datagram: &[u8], source: &Source) {
        let Ok(conv) = SealedPacket::parse(datagram).map(|packet| packet.conv) else {
            return;
        };
        let Some(body) = self
            .sessions
            .of(conv)
            .and_then(|session| session.open_news(datagram))
        else {
            return;
        };
        self.spoke_in(ctx.now, conv);
        self.earned.earn(datagram.len());
        match News::parse(&body) {
            Ok(News::Update(description)) => {
                self.contact.note_attested(ctx.local, source);
                self.on_update(ctx, description);
                self.reconsider_guessing(ctx);
            }
            Ok(News::Bye) if self.demand.is_awaited() => self.look_again(ctx),
            Ok(News::Bye) if self.demand.is_wanted() => self.presence.set_left(true),
            Ok(News::Bye) => self.end(ctx),
            Ok(News::Go(order)) => self.on_go(ctx, &order),
            Ok(News::Stop) => self.on_stop(ctx),
            Err(_) => {}
        }
    }

    /// The peer's situation changed, or it hears nothing of us. If it is no longer where our data goes, the relay gets it too
    /// until it is found again.
    fn on_update(&mut self, ctx: &mut Context<'_>, description: Description) {
        let opened = !description.opened.is_empty();
        let candidates = description.candidates.clone();
        let before = self.remote.replace(description);
        let before = before.map_or_else(Vec::new, |before| before.candidates);
        if before == candidates {
            if opened && self.state == PeerState::Direct {
                self.suspect(ctx, Doubt::Told);
            }
            return;
        }
        let at = |list: &[Candidate], ip: IpAddr| list.iter().any(|one| one.addr.ip() == ip);
        let used = self.path.as_ref().map(|path| path.pair.addr.ip());
        let left = used.is_some_and(|ip| at(&before, ip) && !at(&candidates, ip));
        if left && self.state == PeerState::Direct {
            self.suspect(ctx, Doubt::Told);
        }
        self.called_for(ctx, opened);
    }

    /// Tells the peer what it can know of us now and what we are about to probe, through the relay, which binds the lane
    /// thereby.
    pub(super) fn send_update(&mut self, ctx: &mut Context<'_>, opened: Vec<SocketAddr>) {
        let Some(relay) = self.contact.live_via(ctx.local) else {
            return;
        };
        let description = self.description(ctx.local, opened);
        if let Some(bytes) = self.sessions.seal_news(&News::Update(description)) {
            ctx.out.push_back(Output::SendRelay {
                relay,
                to: self.id,
                bytes,
            });
        }
    }

    /// Our NAT was measured: the peer wants to know what it is up against.
    pub(crate) fn on_nat(&mut self, ctx: &mut Context<'_>) {
        if self.state != PeerState::Idle {
            self.send_update(ctx, Vec::new());
            self.reconsider_guessing(ctx);
        }
    }

    pub(super) fn description(&mut self, local: &Local, opened: Vec<SocketAddr>) -> Description {
        let mut candidates =
            local.candidates(self.id, self.demand.is_dialled(), self.contact.attested());
        self.told.tell_candidates(candidates.clone());
        if let Some(fresh) = self.reroll.candidate() {
            candidates.truncate(MAX_CANDIDATES - 1);
            candidates.push(fresh);
        }
        Description {
            nat: local.nat,
            direct: !local.relay_only,
            guess: local.guess_ports && !local.relay_only,
            relay_rtt_ms: self
                .contact
                .relay_rtt()
                .map_or(0, |rtt| rtt.as_millis().min(u128::from(u16::MAX)) as u16),
            heard: self.effort.heard.min(u16::MAX.into()) as u16,
            candidates,
            opened,
        }
    }
}

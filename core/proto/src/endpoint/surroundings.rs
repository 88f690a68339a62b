//! What concerns all peers: who we are to be reached by, and from where.

use std::{net::SocketAddr, time::Instant};

use super::Machine;
use crate::{
    Access, EventKind, NatReport, PeerId, RelayUrl,
    addr::LocalAddr,
    io::{Output, Sock},
    local::{Local, RelayView},
    peer::{Context, Peer},
    wire::candidate::Candidate,
};

impl Machine {
    pub(super) fn on_relay_up(
        &mut self,
        now: Instant,
        relay: RelayUrl,
        addr: SocketAddr,
        observed: SocketAddr,
    ) {
        let before = self.local.candidates(self.local.id, true, None);
        let also = self.local.relays.get(&relay).and_then(|view| view.also);
        let view = RelayView {
            addr,
            observed,
            also,
            is_draining: false,
            is_silent: false,
        };
        self.local.relays.insert(relay.clone(), view);
        self.each(now, |peer, ctx| peer.on_relay_up(ctx, &relay));
        self.if_changed(now, before);
    }

    pub(super) fn on_relay_moved(&mut self, now: Instant, relay: &RelayUrl, to: &RelayUrl) {
        self.each(now, |peer, _| peer.on_relay_moved(relay, to));
    }

    pub(super) fn on_relay_draining(&mut self, now: Instant, relay: &RelayUrl) {
        if let Some(view) = self.local.relays.get_mut(relay) {
            view.is_draining = true;
            self.each(now, |peer, ctx| peer.on_relay_unsure(ctx, relay));
        }
    }

    pub(super) fn on_relay_silent(&mut self, now: Instant, relay: &RelayUrl, silent: bool) {
        if let Some(view) = self.local.relays.get_mut(relay) {
            view.is_silent = silent;
            if silent {
                self.each(now, |peer, ctx| peer.on_relay_unsure(ctx, relay));
            }
        }
    }

    pub(super) fn on_relay_down(&mut self, now: Instant, relay: &RelayUrl) {
        self.local.relays.remove(relay);
        self.each(now, |peer, ctx| peer.on_relay_down(ctx, relay));
    }

    pub(super) fn on_observed(&mut self, now: Instant, relay: &RelayUrl, addr: SocketAddr) {
        let before = self.local.candidates(self.local.id, true, None);
        if let Some(view) = self.local.relays.get_mut(relay) {
            view.observed = addr;
            self.out
                .push_back(Output::Event(EventKind::PublicAddress { addr }));
        }
        self.if_changed(now, before);
    }

    pub(super) fn on_interfaces(&mut self, now: Instant, addrs: Vec<LocalAddr>, lost_route: bool) {
        let before = self.local.candidates(self.local.id, true, None);
        let lost_addr = self
            .local
            .interfaces
            .iter()
            .any(|known| !addrs.contains(known));
        let gained_addr = addrs
            .iter()
            .any(|addr| !self.local.interfaces.contains(addr));
        self.local.interfaces = addrs;
        if lost_route || lost_addr {
            // What relays saw before tells nothing; where they see us now, they say when they hear us again.
            for relay in self.local.relays.values_mut() {
                relay.also = None;
            }
            self.each(now, Peer::on_moved);
        } else if gained_addr {
            self.each(now, |peer, _| peer.forget_paths());
        }
        self.if_changed(now, before);
    }

    pub(super) fn on_resumed(&mut self, now: Instant) {
        self.clock.stood_still();
        self.each(now, Peer::on_resumed);
    }

    pub(super) fn on_nat(&mut self, now: Instant, report: NatReport) {
        if std::mem::replace(&mut self.local.nat, report) != report {
            self.each(now, Peer::on_nat);
        }
    }

    /// Takes in something about ourselves, and tells the peers if we have something else to offer by that.
    pub(super) fn learn(&mut self, now: Instant, change: impl FnOnce(&mut Local)) {
        let before = self.local.candidates(self.local.id, true, None);
        change(&mut self.local);
        self.if_changed(now, before);
    }

    /// Tells the peers if what we can offer is no longer what it was.
    fn if_changed(&mut self, now: Instant, before: Vec<Candidate>) {
        if self.local.candidates(self.local.id, true, None) != before {
            self.each(now, Peer::on_local_change);
        }
    }

    /// Whoever asked for these sockets gets them, unless it has no use for them any more.
    pub(super) fn on_sockets(&mut self, now: Instant, first: Sock, count: u16) {
        let mut taken = false;
        self.each(now, |peer, ctx| {
            taken |= peer.on_holes(ctx, first, count) || peer.on_fresh_socket(ctx, first, count);
        });
        if !taken && count > 0 {
            self.out.push_back(Output::CloseSockets { first, count });
        }
    }

    /// A relay sees one of our sockets there.
    pub(super) fn on_sampled(&mut self, now: Instant, sock: Sock, addr: SocketAddr) {
        self.each(now, |peer, ctx| {
            peer.on_count(ctx, sock, addr);
            peer.on_fresh_sample(ctx, sock, addr);
        });
    }

    pub(super) fn set_access(&mut self, now: Instant, access: Access, dialled: &[PeerId]) {
        self.local.access = access;
        let local = &self.local;
        self.turned_away.forget_if(|id| local.lets_in(id));
        let unwelcome = |id: &&PeerId| !local.lets_in(**id) && !dialled.contains(id);
        let unwelcome: Vec<PeerId> = self.peers.keys().filter(unwelcome).copied().collect();
        for id in unwelcome {
            self.with(now, id, Peer::expel);
        }
    }

    pub(super) fn shut(&mut self, now: Instant) {
        self.each(now, Peer::shut);
        self.stopped = true;
    }

    pub(super) fn each(&mut self, now: Instant, mut f: impl FnMut(&mut Peer, &mut Context<'_>)) {
        let ids: Vec<PeerId> = self.peers.keys().copied().collect();
        for id in ids {
            self.with(now, id, &mut f);
        }
    }
}

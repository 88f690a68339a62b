//! What is learnt about our surroundings: interfaces, forwarded ports, peers on our network.

use std::net::SocketAddr;

use super::{Driver, now};
use crate::{EventKind, PeerId, PortMapping, net::gathering::Gathered, proto::io::Input};

impl Driver {
    pub(super) fn on_gathered(&mut self, news: Gathered) {
        match news {
            Gathered::Interfaces(change) => {
                let what = change.what();
                self.network_changed();
                self.gathering.interfaces = change.now.clone();
                self.take_interfaces(change.now, change.rerouted);
                self.tell(EventKind::NetworkChanged {
                    what: what.to_owned(),
                });
            }
            Gathered::Mapping(mapping) => {
                let before = std::mem::replace(&mut self.gathering.mapping, mapping);
                self.view.touch();
                // That it is granted for another time is no news.
                let what = |mapping: PortMapping| (mapping.protocol, mapping.external);
                if before.map(what) != mapping.map(what) {
                    self.feed(Input::PortMapped(mapping.map(|mapping| mapping.external)));
                    self.tell(EventKind::PortMapped { mapping });
                }
            }
            Gathered::Pinhole(pinhole) => {
                self.feed(Input::Pinhole(pinhole.map(|pinhole| pinhole.external)));
            }
            Gathered::Sighting(sighting) => {
                let peers = self.links.iter().map(|(peer, _)| peer);
                if let Some((peer, addrs)) = self.gathering.who(sighting, peers) {
                    self.found(peer, addrs);
                }
            }
        }
    }

    /// Announces on our networks where we are, if we accept connections.
    pub(super) fn announce(&mut self) {
        let hosts = || self.machine.local().hosts();
        let addrs = (self.calls.are_taken()).then(hosts).unwrap_or_default();
        self.gathering.announce(addrs);
    }

    /// Looks for a peer on our network.
    pub(super) fn look_for(&mut self, peer: PeerId) {
        let addrs = self.gathering.look_for(peer);
        if !addrs.is_empty() {
            self.found(peer, addrs);
        }
    }

    fn found(&mut self, peer: PeerId, addrs: Vec<SocketAddr>) {
        tracing::debug!(peer = %peer.short(), addresses = addrs.len(), "seen on our network");
        self.link(peer).has_addrs |= !addrs.is_empty();
        self.feed(Input::Found { peer, addrs });
    }

    /// Looks for the dialled peers that are not reached directly; for nobody once there is none.
    pub(super) fn look_for_the_missed(&mut self) {
        if self.machine.misses_peers() {
            self.gathering.search();
        } else {
            self.gathering.rest();
        }
    }

    /// Has everybody who talks to the network begin anew.
    pub(super) fn network_changed(&mut self) {
        self.mux.refresh();
        self.registrations.network_changed();
        self.gathering.network_changed();
        self.nat.schedule.on_network_changed(now());
        self.nat.observers.on_network_changed(now());
    }
}

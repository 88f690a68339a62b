//! What the node shows of itself: snapshots and rates.

use std::sync::Arc;

use super::{Driver, links::PeerLink, now, unix_ms};
use crate::{
    Carrier, NetworkSnapshot, PeerSnapshot, PeerState, RelaySnapshot, RelayState, Ticket,
    addr::Scope,
    net::mux::Link,
    proto::{endpoint::PeerView, io::Input, liveness::is_use, relays::Over},
};

impl Driver {
    /// Takes the second's samples and shows them.
    pub(super) fn sample(&mut self) {
        let (mut used, mut lossy) = (Vec::new(), Vec::new());
        self.active.retain(|handle| {
            let peer = self.handles.get(handle).copied();
            let Some((peer, link)) = peer.and_then(|peer| Some((peer, self.links.get_mut(&peer)?)))
            else {
                return false;
            };
            let total = total(&link.link);
            let rates = (total.0 - link.sampled.0, total.1 - link.sampled.1);
            if rates != link.rates || rates != (0, 0) {
                self.changed.insert(peer);
            }
            (link.sampled, link.rates) = (total, rates);
            if is_use(rates.0, rates.1) {
                used.push((peer, rates.0 > 0));
            }
            let lost = packets(link).1;
            if lost > std::mem::replace(&mut link.lost, lost) {
                lossy.push(peer);
            }
            rates != (0, 0) || self.liveness.is_watched(peer)
        });
        for (peer, heard) in used {
            self.feed(Input::Traffic { peer, heard });
        }
        for peer in lossy {
            self.feed(Input::Losses { peer });
        }
        // Why a link is not direct changes with time alone.
        let shown = self.outlets.snapshot.borrow().clone();
        let unsettled = shown.peers.iter().filter(|peer| !is_settled(peer.state));
        self.changed.extend(unsettled.map(|peer| peer.id));
        self.dirty = true;
    }

    /// Shows the node as it is. Only peers to which something happened are looked at.
    pub(super) fn publish(&mut self) {
        let now = now();
        self.changed.append(&mut self.machine.take_touched());
        let mut changed = Vec::new();
        for id in std::mem::take(&mut self.changed) {
            let view = self.machine.peer(id, now);
            if let Some(view) = &view {
                self.update_status(view);
            }
            changed.push((id, view.map(|view| self.peer_snapshot(view))));
        }
        let uptime = now.saturating_duration_since(self.started);
        let ticket = Ticket::new(
            self.key.id(),
            self.relays.home().to_vec(),
            self.direct_addrs(),
        );
        let (network, relays) = (self.network_snapshot(), self.relay_snapshots());
        self.outlets.snapshot.send_modify(|shown| {
            let shown = Arc::make_mut(shown);
            for peer in &mut shown.peers {
                peer.state_age += uptime.saturating_sub(shown.uptime);
            }
            for (id, peer) in changed {
                let place = shown.peers.binary_search_by_key(&id, |peer| peer.id);
                match (place, peer) {
                    (Ok(at), Some(peer)) => shown.peers[at] = peer,
                    (Err(at), Some(peer)) => shown.peers.insert(at, peer),
                    (Ok(at), None) => drop(shown.peers.remove(at)),
                    (Err(_), None) => {}
                }
            }
            (shown.at_ms, shown.uptime) = (unix_ms(), uptime);
            (shown.ticket, shown.network, shown.relays) = (ticket, network, relays);
            shown.traffic = shown.peers.iter().map(|peer| peer.traffic).sum();
            shown.strangers = self.mux.strangers();
        });
        self.published = now;
    }

    /// Addresses for the ticket: none where a relay tells them to those who are meant to know.
    fn direct_addrs(&self) -> Vec<std::net::SocketAddr> {
        if !self.relays.home().is_empty() {
            return Vec::new();
        }
        let mut addrs = self.machine.local().hosts();
        // A ticket has room for a few.
        addrs.sort_by_key(|addr| Scope::of(addr.ip()) != Scope::Global);
        addrs
    }

    fn network_snapshot(&self) -> NetworkSnapshot {
        let local = self.machine.local();
        let mut network = NetworkSnapshot::default();
        network.local = local.hosts();
        network.public_v4 = local.public(true);
        network.public_v6 = local.public(false);
        network.nat = local.nat;
        network.nat_evidence = self.nat.schedule.evidence().clone();
        network.nat64 = local.nat64.is_some();
        network.port_mapping = self.gathering.mapping;
        network.port_refusal = self.gathering.refusal();
        network.interfaces_unread = self.gathering.interfaces.unread;
        network.lan_trouble = self.gathering.lan_trouble();
        network.checked_at_ms = self.nat.checked_at_ms;
        network
    }

    fn relay_snapshots(&self) -> Vec<RelaySnapshot> {
        let mut relays: Vec<RelaySnapshot> = self
            .relays
            .iter()
            .map(|(url, relay)| {
                let mut snapshot = RelaySnapshot::new(url.clone(), relay.state);
                snapshot.rtt = relay.rtt;
                snapshot.home = relay.home;
                let error = self.registrations.get(url).and_then(|it| it.error.as_ref());
                snapshot.error = error.map(ToString::to_string);
                snapshot.impostor = relay.impostor;
                if relay.state == RelayState::Up {
                    match &relay.over {
                        Over::Tcp { port, proxy, .. } => {
                            snapshot.carrier = Some(Carrier::Tcp);
                            (snapshot.tcp_port, snapshot.proxy) = (Some(*port), proxy.clone());
                        }
                        Over::Udp | _ => snapshot.carrier = Some(Carrier::Udp),
                    }
                }
                snapshot
            })
            .collect();
        relays.sort_by_key(|relay| !relay.home);
        relays
    }

    fn peer_snapshot(&self, view: PeerView) -> PeerSnapshot {
        let mut snapshot = PeerSnapshot::from(view);
        let Some(link) = self.links.get(&snapshot.id) else {
            return snapshot;
        };
        if let Some(open) = link.connections.first() {
            snapshot.rtt = Some(open.quic.rtt());
        }
        let (sent, lost) = packets(link);
        if sent > 0 {
            snapshot.loss = lost as f64 / sent as f64;
        }
        snapshot.connections = link.connections.len() as u32;
        (snapshot.traffic.rx_bytes, snapshot.traffic.tx_bytes) = total(&link.link);
        (snapshot.traffic.rx_rate, snapshot.traffic.tx_rate) = link.rates;
        snapshot
    }
}

/// Whether a link stays as it is until something happens.
fn is_settled(state: PeerState) -> bool {
    matches!(state, PeerState::Direct | PeerState::Idle)
}

/// Packets that QUIC sent, and of those it lost, over all connections.
fn packets(link: &PeerLink) -> (u64, u64) {
    let stats = link.connections.iter().map(|open| open.quic.stats().path);
    stats.fold((0, 0), |(sent, lost), path| {
        (sent + path.sent_packets, lost + path.lost_packets)
    })
}

/// Bytes received and sent over all paths.
fn total(link: &Link) -> (u64, u64) {
    let (direct, lane) = (link.direct(), link.lane());
    (
        direct.received_bytes + lane.received_bytes,
        direct.sent_bytes + lane.sent_bytes,
    )
}

//! What the node shows of itself: snapshots and rates.

use std::sync::Arc;

use super::{Driver, links::PeerLink, now, unix_ms};
use crate::{
    NetworkSnapshot, PeerSnapshot, PeerState, RelaySnapshot, Ticket, Traffic,
    addr::Scope,
    net::mux::Link,
    proto::{endpoint::PeerView, io::Input},
};

/// Less than this in a second is keep-alive, not use.
const IN_USE: u64 = 256;

impl Driver {
    /// Takes the second's samples and shows them.
    pub(super) fn sample(&mut self) {
        self.leave_unused_relays();
        self.look_for_the_missed();
        self.ask_for_echoes();
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
            if rates.0 + rates.1 > IN_USE {
                used.push((peer, rates.0 > 0));
            }
            let lost = packets(link).1;
            if lost > std::mem::replace(&mut link.lost, lost) {
                lossy.push(peer);
            }
            rates != (0, 0) || self.watched.contains_key(handle)
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
        let uptime_ms = now.saturating_duration_since(self.started).as_millis() as u64;
        let ticket = Ticket::new(self.key.id(), self.home_relays.clone(), self.direct_addrs());
        let (network, relays) = (self.network_snapshot(), self.relay_snapshots());
        self.outlets.snapshot.send_modify(|shown| {
            let shown = Arc::make_mut(shown);
            for peer in &mut shown.peers {
                peer.state_age_ms += uptime_ms - shown.uptime_ms;
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
            (shown.at_ms, shown.uptime_ms) = (unix_ms(), uptime_ms);
            (shown.ticket, shown.network, shown.relays) = (ticket, network, relays);
            shown.traffic = shown.peers.iter().map(|peer| peer.traffic).sum();
            shown.strangers = self.mux.strangers();
        });
        self.published = now;
    }

    /// Addresses for the ticket: none where a relay tells them to those who are meant to know.
    fn direct_addrs(&self) -> Vec<std::net::SocketAddr> {
        if !self.home_relays.is_empty() {
            return Vec::new();
        }
        let mut addrs = self.machine.local().hosts();
        // A ticket has room for a few.
        addrs.sort_by_key(|addr| Scope::of(addr.ip()) != Scope::Global);
        addrs
    }

    fn network_snapshot(&self) -> NetworkSnapshot {
        let local = self.machine.local();
        NetworkSnapshot {
            local: local.hosts(),
            public_v4: local.public(true),
            public_v6: local.public(false),
            nat: local.nat,
            nat_evidence: self.gathering.nat_evidence.clone(),
            nat64: local.nat64.is_some(),
            port_mapping: self.gathering.mapping,
            port_refusal: self.gathering.refusal(),
            interfaces_unread: self.gathering.interfaces.unread,
            lan_trouble: self.gathering.lan_trouble(),
            checked_at_ms: self.gathering.checked_at_ms,
        }
    }

    fn relay_snapshots(&self) -> Vec<RelaySnapshot> {
        let mut relays: Vec<RelaySnapshot> = self
            .relays
            .iter()
            .map(|(url, relay)| RelaySnapshot {
                url: url.clone(),
                state: relay.state,
                rtt_ms: relay.rtt_ms,
                home: relay.home,
                error: relay.error.clone(),
                impostor: relay.impostor,
            })
            .collect();
        relays.sort_by_key(|relay| !relay.home);
        relays
    }

    fn peer_snapshot(&self, view: PeerView) -> PeerSnapshot {
        let link = self.links.get(&view.id);
        let (sent, lost) = link.map(packets).unwrap_or_default();
        let first = link.and_then(|link| link.connections.first());
        let rtt = first.map(|open| open.quic.rtt()).or(view.rtt);
        let (rx_bytes, tx_bytes) = link.map(|link| total(&link.link)).unwrap_or_default();
        let (rx_rate, tx_rate) = link.map(|link| link.rates).unwrap_or_default();
        PeerSnapshot {
            id: view.id,
            state: view.state,
            path: view.path,
            why: view.why,
            state_age_ms: view.age.as_millis() as u64,
            rtt_ms: rtt.map(|rtt| rtt.as_secs_f64() * 1e3),
            loss: if sent == 0 {
                0.0
            } else {
                lost as f64 / sent as f64
            },
            connections: link.map_or(0, |link| link.connections.len()) as u32,
            traffic: Traffic {
                rx_bytes,
                tx_bytes,
                rx_rate,
                tx_rate,
            },
            probes_sent: view.probes_sent,
            probes_answered: view.probes_answered,
        }
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

//! The relays a node is, or wants to be, registered with.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Instant};

use super::{Done, Driver, links::PeerLink, now};
use crate::{
    ConnectError, EventKind, PeerId, RelayState, RelayUrl,
    net::{
        hops::hops_to,
        mux::{Dest, Link, Route, virtual_addr},
        relay::{self, RelayEvent, RelayHandle},
    },
    proto::io::Input,
    wire::relay::Payload,
};

/// A relay and our registration with it.
pub(super) struct RelayEntry {
    link: Arc<Link>,
    handle: RelayHandle,
    /// Where it is, once resolved.
    pub(super) addr: Option<SocketAddr>,
    pub(super) state: RelayState,
    pub(super) rtt_ms: Option<f64>,
    pub(super) error: Option<String>,
    pub(super) home: bool,
    /// When a peer last needed it, for those that are not our own.
    used: Instant,
}

/// Messages to a relay that is not up are dropped; the machine repeats what matters.
impl Driver {
    /// Registers with a relay, unless that is under way already.
    pub(super) fn need_relay(&mut self, url: RelayUrl) {
        if let Some(entry) = self.relays.get_mut(&url) {
            entry.used = now();
            return;
        }
        let events = self.relay_sender.clone();
        let handle = match relay::spawn(self.quic.clone(), url.clone(), &self.key, events) {
            Ok(handle) => handle,
            Err(error) => return tracing::error!(%error, "cannot register with a relay"),
        };
        let link = self.mux.add_link();
        let home = self.home_relays.contains(&url);
        let entry = RelayEntry {
            link,
            handle,
            addr: None,
            state: RelayState::Connecting,
            rtt_ms: None,
            error: None,
            home,
            used: now(),
        };
        self.relays.insert(url, entry);
        self.dirty = true;
    }

    pub(super) fn signal(&mut self, relay: &RelayUrl, to: PeerId, bytes: Vec<u8>) {
        let Some(entry) = self.relays.get_mut(relay) else {
            return;
        };
        entry.used = now();
        match Payload::try_from(bytes) {
            Ok(payload) => entry.handle.signal(to, payload),
            Err(error) => return tracing::error!(%error, "a signal is too long"),
        }
        // Whoever we talk to through a relay may use its lane.
        if let Some(addr) = entry.addr {
            self.admit_lane(to, addr);
        }
    }

    pub(super) fn on_relay_event(&mut self, url: RelayUrl, event: RelayEvent) {
        let Some(entry) = self.relays.get_mut(&url) else {
            return;
        };
        match event {
            RelayEvent::Resolved(addr) => {
                if let Some(old) = entry.addr.replace(addr).filter(|old| *old != addr) {
                    self.mux.expel(old);
                }
                self.mux.admit_relay(addr, &entry.link);
                let switch = entry.state == RelayState::Up;
                self.mux.set_route(
                    &entry.link,
                    Route {
                        dests: vec![Dest::Direct(addr)],
                    },
                    0,
                    switch,
                );
                entry.handle.dial(virtual_addr(entry.link.handle()));
            }
            RelayEvent::Up {
                rtt,
                observed,
                relay_time_ms: unix_ms,
            } => {
                let rtt_ms = rtt.as_secs_f64() * 1e3;
                (entry.state, entry.rtt_ms, entry.error) = (RelayState::Up, Some(rtt_ms), None);
                let Some(addr) = entry.addr else { return };
                let home = entry.home;
                self.feed(Input::RelayUp {
                    relay: url.clone(),
                    addr,
                    observed,
                    unix_ms,
                });
                self.tell(EventKind::PublicAddress { addr: observed });
                self.tell(EventKind::RelayUp { relay: url, rtt_ms });
                if home {
                    self.outlets.online.send_replace(true);
                }
                self.pending
                    .push(Box::pin(async move { Done::Hops(hops_to(addr).await) }));
                self.classify();
            }
            RelayEvent::Observed(addr) => self.feed(Input::Observed { relay: url, addr }),
            RelayEvent::Deliver {
                from,
                attested,
                payload,
                ..
            } => {
                self.feed(Input::RelayMessage {
                    relay: url,
                    from,
                    attested,
                    bytes: &payload,
                });
            }
            RelayEvent::Gone { peer, .. } => self.feed(Input::RelayGone { relay: url, peer }),
            RelayEvent::Down { reason, .. } => {
                (entry.state, entry.error) = (RelayState::Down, Some(reason.clone()));
                self.feed(Input::RelayDown { relay: url.clone() });
                self.tell(EventKind::RelayDown { relay: url, reason });
            }
        }
    }

    /// Checks the relays whose lanes are silent: a relay that was restarted knows neither us nor the lane.
    pub(super) fn check_silent_relays(&mut self) {
        let silent: BTreeSet<RelayUrl> = self
            .links
            .values_mut()
            .filter_map(PeerLink::silent_relay)
            .collect();
        for relay in &silent {
            self.check_relay(relay);
        }
    }

    pub(super) fn check_relay(&self, relay: &RelayUrl) {
        if let Some(entry) = self.relays.get(relay) {
            entry.handle.keepalive();
        }
    }

    /// Why no relay could be used, for a dialler.
    pub(super) fn relay_trouble(&self) -> ConnectError {
        let broken = self
            .relays
            .iter()
            .find_map(|(url, entry)| Some((url, entry.error.clone()?)));
        broken.map_or(ConnectError::NoAddress, |(relay, reason)| {
            ConnectError::Relay {
                relay: relay.clone(),
                reason,
            }
        })
    }

    pub(super) fn relays_network_changed(&self) {
        for entry in self.relays.values() {
            entry.handle.network_changed();
        }
    }
}

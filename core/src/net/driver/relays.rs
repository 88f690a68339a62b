//! Registrations with relays: their tasks and the ways to them. Which there are is for [`Relays`](crate::proto::relays::Relays).

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::sleep};

use super::{Done, Driver, now};
use crate::{
    ConnectError, PeerId, RelayState, RelayUrl,
    net::{
        hops::hops_to,
        mux::{Dest, Destinations, Link, LinkHandle, virtual_addr},
        relay::{self, RelayError, RelayEvent, RelayHandle},
        stun,
    },
    proto::{
        io::{Input, Pair},
        relays::{Order, Relay},
    },
    wire::relay::{GoneReason, Payload},
};

/// A registration with a relay, or the tries to get one.
pub(super) struct Registration {
    /// Relays at one address, of which one at most is what it is said to be, share it; quinn tells them apart.
    link: Arc<Link>,
    handle: RelayHandle,
    pub(super) error: Option<RelayError>,
}

/// The time for our goodbye to leave, before the way there is closed.
const GOODBYE: Duration = Duration::from_secs(1);

/// Messages to a relay that is not up are dropped; the machine repeats what matters.
impl Driver {
    /// Does what is to be done about relays.
    pub(super) fn drive_relays(&mut self) {
        while let Some(order) = self.relays.poll_order() {
            self.dirty = true;
            match order {
                Order::Register { relay } => self.register(relay),
                Order::Deregister { relay } => self.deregister(relay),
                Order::Dial {
                    relay,
                    addr,
                    before,
                } => self.dial_relay(&relay, addr, before),
                Order::AskStun { to, tx } => {
                    self.send_message(Pair::main(to), None, &stun::binding_request(tx, false));
                }
                Order::Measure { through } => self.nat.schedule.on_relay(now(), through),
                Order::Distrust { addr } => self.nat.schedule.on_distrust(now(), addr),
                Order::DoubtMappings => self.doubt_mappings(),
                Order::Event(event) => self.tell(event),
            }
        }
    }

    fn register(&mut self, url: RelayUrl) {
        let events = self.relay_sender.clone();
        let streams = self.relay_streams.clone();
        let is_home = !self.visits && self.relays.get(&url).is_some_and(|relay| relay.home);
        let quic = self.quic.clone();
        let spawned = relay::spawn_with(quic, url.clone(), &self.key, events, streams, is_home);
        let handle = match spawned {
            Ok(handle) => handle,
            Err(error) => return tracing::error!(%error, "cannot register with a relay"),
        };
        let registration = Registration {
            link: self.mux.add_link(),
            handle,
            error: None,
        };
        self.registrations.insert(url, registration);
    }

    fn deregister(&mut self, url: RelayUrl) {
        tracing::debug!(relay = %url.key().short(), "left: no link needs it");
        if let Some(registration) = self.registrations.remove(&url) {
            let link = registration.link.handle();
            self.pending.push(Box::pin(async move {
                sleep(GOODBYE).await;
                Done::RelayLeft(link)
            }));
        }
        self.feed(Input::RelayDown { relay: url });
    }

    pub(super) fn signal(&mut self, relay: &RelayUrl, to: PeerId, bytes: Vec<u8>) {
        let Some(registration) = self.registrations.get(relay) else {
            return;
        };
        match Payload::try_from(bytes) {
            Ok(payload) => registration.handle.signal(to, payload),
            Err(error) => return tracing::error!(%error, "a signal is too long"),
        }
        self.link(to);
        self.relays.on_link_needs(to, relay);
        // Whoever we talk to through a relay may use its lane.
        if let Some(addr) = self.lane_addr(relay) {
            self.admit_lane(to, addr);
        }
    }

    /// Where the relay is.
    pub(super) fn relay_addr(&self, relay: &RelayUrl) -> Option<SocketAddr> {
        self.relays.get(relay)?.addr
    }

    /// Where lanes by the relay begin: there, or at what stands for the stream to it.
    pub(super) fn lane_addr(&self, relay: &RelayUrl) -> Option<SocketAddr> {
        self.relays.get(relay)?.lane_addr()
    }

    pub(super) fn on_relay_event(&mut self, url: RelayUrl, event: RelayEvent) {
        let Some(registration) = self.registrations.get_mut(&url) else {
            return;
        };
        match event {
            RelayEvent::Resolved { addr, other } => {
                let addr = self.mux.inward(addr);
                let other = other.map(|other| self.mux.inward(other));
                let local = self.machine.local();
                self.relays.on_resolved(now(), &url, addr, other, local);
            }
            RelayEvent::Up {
                rtt,
                observed,
                relay_time_ms: unix_ms,
                over,
            } => {
                registration.error = None;
                let Some(addr) = self.relays.on_up(&url, rtt, observed, over) else {
                    return;
                };
                self.feed(Input::RelayUp {
                    relay: url,
                    addr,
                    observed,
                    unix_ms,
                    own_ms: super::unix_ms(),
                });
                self.pending
                    .push(Box::pin(async move { Done::Hops(hops_to(addr).await) }));
            }
            RelayEvent::Observed(addr) => {
                self.relays.on_observed(&url, addr);
                self.feed(Input::Observed { relay: url, addr });
            }
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
            RelayEvent::Gone {
                peer,
                reason: GoneReason::NotRegistered,
                ..
            } => self.feed(Input::RelayGone { relay: url, peer }),
            RelayEvent::Gone {
                peer,
                reason: GoneReason::Busy,
                ..
            } => self.feed(Input::RelayBusy { relay: url, peer }),
            RelayEvent::Unreached { peer } => {
                self.feed(Input::RelayUnreached { relay: url, peer });
            }
            // It may be there all the same: the hello is repeated when its time is up.
            RelayEvent::Gone { peer, reason, .. } => {
                tracing::debug!(peer = %peer.short(), ?reason, "a relay did not pass a message on");
            }
            RelayEvent::Down { error, .. } => {
                let is_impostor = matches!(error, RelayError::IdentityMismatch);
                let reason = error.to_string();
                registration.error = Some(error);
                self.relays.on_down(now(), &url, reason, is_impostor);
                self.feed(Input::RelayDown { relay: url });
                self.drive_relays();
                self.refuse_impostors();
            }
        }
        self.drive_relays();
    }

    fn dial_relay(&mut self, url: &RelayUrl, addr: SocketAddr, before: Option<SocketAddr>) {
        self.place_relay(url, addr, before);
        let Some(registration) = self.registrations.get(url) else {
            return;
        };
        self.mux.admit_relay(addr, &registration.link);
        let route = Destinations {
            dests: vec![Dest::Direct(Pair::main(addr))],
        };
        let is_up = |relay: &Relay| relay.state == RelayState::Up;
        let switch = self.relays.get(url).is_some_and(is_up);
        self.mux.set_route(&registration.link, route, 0, switch);
        let at = virtual_addr(registration.link.handle());
        registration.handle.dial_at(at, self.mux.outward(addr));
    }

    /// Gives a relay the link of its address: another relay's that has the same one, or else one of its own.
    fn place_relay(&mut self, url: &RelayUrl, addr: SocketAddr, before: Option<SocketAddr>) {
        let Some(old) = self.registrations.get(url).map(|it| it.link.clone()) else {
            return;
        };
        let others = || self.registrations.iter().filter(|(other, _)| *other != url);
        let at = |addr| others().find(|(other, _)| self.relay_addr(other) == Some(addr));
        let is_left = before.is_some_and(|before| before != addr && at(before).is_none());
        let is_shared = others().any(|(_, other)| other.link.handle() == old.handle());
        let link = match at(addr) {
            Some((_, other)) => other.link.clone(),
            None if is_shared => self.mux.add_link(),
            None => old.clone(),
        };
        if let Some(before) = before.filter(|_| is_left) {
            self.mux.expel(before, old.handle());
        }
        if let Some(registration) = self.registrations.get_mut(url) {
            registration.link = link;
        }
        self.drop_relay_link(old.handle());
    }

    /// Forgets a relay's link unless one of our relays has it.
    pub(super) fn drop_relay_link(&self, link: LinkHandle) {
        let has_it = |relay: &Registration| relay.link.handle() == link;
        if !self.registrations.values().any(has_it) {
            self.mux.remove_link(link);
        }
    }

    /// Why no relay of the peer could be used, for a dialler.
    pub(super) fn relay_trouble(&self, peer: PeerId) -> ConnectError {
        if let Some(error) = self.wrong_relay(peer) {
            return error;
        }
        let trouble =
            |url: &RelayUrl| Some((url.clone(), self.registrations.get(url)?.error.clone()?));
        let broken = self.relays.of_link(peer).find_map(trouble);
        broken.map_or(ConnectError::NoAddress, |(relay, source)| {
            ConnectError::Relay { relay, source }
        })
    }

    /// That somebody else answers in the place of a relay of the peer, if so.
    pub(super) fn wrong_relay(&self, peer: PeerId) -> Option<ConnectError> {
        let relay = self.relays.impostor_of_link(peer)?.clone();
        Some(ConnectError::WrongRelay { relay })
    }

    /// Ends the dials that can only go through relays in whose place somebody else answers.
    pub(super) fn refuse_impostors(&mut self) {
        let hopeless: Vec<PeerId> = self
            .links
            .iter()
            .filter(|(peer, link)| link.waits_for_relay() && self.relays.is_hopeless(**peer))
            .map(|(peer, _)| *peer)
            .collect();
        for peer in hopeless {
            let error = self.relay_trouble(peer);
            self.fail_with(peer, &error);
        }
    }

    /// Has the relays of a peer's link prove that they are still there.
    pub(super) fn check_relays(&self, peer: PeerId) {
        let relays = self.relays.of_link(peer);
        for registration in relays.filter_map(|url| self.registrations.get(url)) {
            registration.handle.keepalive();
        }
    }

    /// Has the relays' tasks pass on what they were given, and waits until they have ended.
    pub(super) async fn leave_relays(&mut self) {
        self.registrations.clear();
        // Theirs are all that is left, then.
        (self.relay_sender, _) = mpsc::channel(1);
        while self.relay_events.recv().await.is_some() {}
    }

    pub(super) fn relays_network_changed(&self) {
        for registration in self.registrations.values() {
            registration.handle.network_changed();
        }
    }
}

//! The relays a node is, or wants to be, registered with.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, time::sleep};

use super::{Done, Driver, families::Echo, now, told::Told};
use crate::{
    ConnectError, EventKind, PeerId, RelayState, RelayUrl,
    net::{
        hops::hops_to,
        mux::{Dest, Link, LinkHandle, Route, virtual_addr},
        relay::{self, RelayError, RelayEvent, RelayHandle},
    },
    proto::io::{Input, Pair},
    wire::relay::{GoneReason, Payload},
};

/// A relay and our registration with it.
pub(super) struct RelayEntry {
    /// Relays at one address, of which one at most is what it is said to be, share it; quinn tells them apart.
    link: Arc<Link>,
    handle: RelayHandle,
    /// Where it is, once resolved.
    pub(super) addr: Option<SocketAddr>,
    pub(super) echo: Option<Echo>,
    pub(super) state: RelayState,
    pub(super) rtt: Option<Duration>,
    pub(super) error: Option<RelayError>,
    told: Told,
    /// Where it sees us.
    observed: Option<SocketAddr>,
    /// Whether it has proved since it was dialled there that it is the relay that its URL names.
    proven: bool,
    /// Whether somebody without its key answered in its place.
    pub(super) impostor: bool,
    pub(super) home: bool,
    /// When a link last needed it.
    used: Instant,
}

/// How long we stay registered with a relay that is not ours after the last link that needed it is gone.
const UNUSED: Duration = Duration::from_secs(60);
/// The time for our goodbye to leave, before the way there is closed.
const GOODBYE: Duration = Duration::from_secs(1);

/// Messages to a relay that is not up are dropped; the machine repeats what matters.
impl Driver {
    /// The name by which we know a relay already: another one for the same would have it replace our registration again and
    /// again. Of a relay that is not ours and does not answer, another name may be the right one.
    pub(super) fn known_relay<'a>(&'a self, url: &'a RelayUrl) -> &'a RelayUrl {
        let known = self.relays.iter().find(|(known, entry)| {
            known.key() == url.key() && (entry.home || entry.state != RelayState::Down)
        });
        known.map_or(url, |(known, _)| known)
    }

    /// Registers with the relays that are ours from now on. The others are left when no link needs them any more.
    pub(super) fn set_home_relays(&mut self, relays: Vec<RelayUrl>) {
        self.home_relays = relays;
        for (url, entry) in &mut self.relays {
            entry.home = self.home_relays.contains(url);
        }
        for relay in self.home_relays.clone() {
            self.need_relay(relay);
        }
        self.dirty = true;
    }

    /// Registers with a relay, unless that is under way already.
    pub(super) fn need_relay(&mut self, url: RelayUrl) {
        if self.relays.contains_key(&url) || *self.known_relay(&url) != url {
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
            echo: None,
            state: RelayState::Connecting,
            rtt: None,
            error: None,
            told: Told::default(),
            observed: None,
            proven: false,
            impostor: false,
            home,
            used: now(),
        };
        self.relays.insert(url, entry);
        self.dirty = true;
    }

    pub(super) fn signal(&mut self, relay: &RelayUrl, to: PeerId, bytes: Vec<u8>) {
        let Some(entry) = self.relays.get(relay) else {
            return;
        };
        match Payload::try_from(bytes) {
            Ok(payload) => entry.handle.signal(to, payload),
            Err(error) => return tracing::error!(%error, "a signal is too long"),
        }
        let addr = entry.addr;
        self.link(to).relays.insert(relay.clone());
        // Whoever we talk to through a relay may use its lane.
        if let Some(addr) = addr {
            self.admit_lane(to, addr);
        }
    }

    pub(super) fn on_relay_event(&mut self, url: RelayUrl, event: RelayEvent) {
        let Some(entry) = self.relays.get_mut(&url) else {
            return;
        };
        match event {
            RelayEvent::Resolved { addr, other } => self.dial_relay(&url, addr, other),
            RelayEvent::Up {
                rtt,
                observed,
                relay_time_ms: unix_ms,
            } => {
                let returns = entry.state == RelayState::Down;
                (entry.state, entry.rtt, entry.error) = (RelayState::Up, Some(rtt), None);
                entry.impostor = false;
                entry.proven = true;
                entry.told = Told::default();
                let Some(addr) = entry.addr else { return };
                let is_news = !self.is_observed(observed);
                if returns {
                    self.doubt_mappings();
                }
                self.feed(Input::RelayUp {
                    relay: url.clone(),
                    addr,
                    observed,
                    unix_ms,
                    own_ms: super::unix_ms(),
                });
                self.ask_for_echoes();
                if let Some(entry) = self.relays.get_mut(&url) {
                    entry.observed = Some(observed);
                }
                if is_news {
                    self.tell(EventKind::PublicAddress { addr: observed });
                }
                self.tell(EventKind::RelayUp { relay: url, rtt });
                self.pending
                    .push(Box::pin(async move { Done::Hops(hops_to(addr).await) }));
                self.classify_through(addr);
            }
            RelayEvent::Observed(addr) => self.observed(url, addr),
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
            RelayEvent::Down { error, .. } => self.relay_lost(url, error),
        }
    }

    /// The last try to register failed.
    fn relay_lost(&mut self, url: RelayUrl, error: RelayError) {
        let Some(entry) = self.relays.get_mut(&url) else {
            return;
        };
        let reason = error.to_string();
        entry.impostor = matches!(error, RelayError::IdentityMismatch);
        (entry.state, entry.error) = (RelayState::Down, Some(error));
        let is_news = entry.told.is_news(now(), &reason);
        let unproven = entry.addr.filter(|_| !entry.proven);
        self.feed(Input::RelayDown { relay: url.clone() });
        if is_news {
            self.tell(EventKind::RelayDown { relay: url, reason });
        }
        if let Some(addr) = unproven {
            self.forget_measured_by(addr);
        }
        self.refuse_impostors();
    }

    /// Whether a relay sees us there already.
    fn is_observed(&self, addr: SocketAddr) -> bool {
        let seen = |relay: &RelayEntry| relay.observed == Some(addr);
        self.relays.values().any(seen)
    }

    /// A relay sees us there; that it saw us elsewhere before is a sign that our router began anew.
    fn observed(&mut self, relay: RelayUrl, addr: SocketAddr) {
        let view = self.machine.local().relays.get(&relay);
        if view.is_some_and(|view| view.observed != addr) {
            self.doubt_mappings();
        }
        self.feed(Input::Observed { relay, addr });
    }

    /// A relay's name stands for this address and, maybe, one of the other family: dials where a route leads. A translator to
    /// IPv4 turns their order round.
    fn dial_relay(&mut self, url: &RelayUrl, addr: SocketAddr, other: Option<SocketAddr>) {
        let mut addr = self.mux.inward(addr);
        let other = other.map(|other| self.mux.inward(other));
        let mut other = other.filter(|other| other.is_ipv4() != addr.is_ipv4());
        let local = self.machine.local();
        if let Some(other) = &mut other
            && (local.nat64.is_some() || !local.reaches(addr))
            && local.reaches(*other)
        {
            std::mem::swap(other, &mut addr);
        }
        self.place_relay(url, addr);
        let Some(entry) = self.relays.get_mut(url) else {
            return;
        };
        entry.echo = other.map(Echo::new);
        self.mux.admit_relay(addr, &entry.link);
        let route = Route {
            dests: vec![Dest::Direct(Pair::main(addr))],
        };
        let switch = entry.state == RelayState::Up;
        self.mux.set_route(&entry.link, route, 0, switch);
        let at = virtual_addr(entry.link.handle());
        entry.handle.dial_at(at, self.mux.outward(addr));
        if entry.state == RelayState::Connecting {
            // It answers before we are registered, so that the first INTRO can say how our NAT behaves.
            self.classify_through(addr);
        }
    }

    /// Gives a relay the link of its address: another relay's that has the same one, or else one of its own.
    fn place_relay(&mut self, url: &RelayUrl, addr: SocketAddr) {
        let Some(entry) = self.relays.get(url) else {
            return;
        };
        let others = || self.relays.iter().filter(|(other, _)| *other != url);
        let others_at = |addr| others().find(|(_, other)| other.addr == Some(addr));
        let (old, old_link) = (entry.addr, entry.link.clone());
        let is_left = old.is_some_and(|old| old != addr && others_at(old).is_none());
        let is_shared = others().any(|(_, other)| other.link.handle() == old_link.handle());
        let link = match others_at(addr) {
            Some((_, other)) => other.link.clone(),
            None if is_shared => self.mux.add_link(),
            None => old_link.clone(),
        };
        if let Some(old) = old.filter(|_| is_left) {
            self.mux.expel(old, old_link.handle());
        }
        if let Some(entry) = self.relays.get_mut(url) {
            (entry.addr, entry.link) = (Some(addr), link);
            entry.proven &= old == Some(addr);
        }
        self.drop_relay_link(old_link.handle());
    }

    /// Forgets a relay's link unless one of our relays has it.
    pub(super) fn drop_relay_link(&self, link: LinkHandle) {
        let has_it = |relay: &RelayEntry| relay.link.handle() == link;
        if !self.relays.values().any(has_it) {
            self.mux.remove_link(link);
        }
    }

    /// Why no relay of the peer could be used, for a dialler.
    pub(super) fn relay_trouble(&self, peer: PeerId) -> ConnectError {
        if let Some(error) = self.wrong_relay(peer) {
            return error;
        }
        let broken = self.links.get(&peer).and_then(|link| {
            let trouble =
                |url: &RelayUrl| Some((url.clone(), self.relays.get(url)?.error.clone()?));
            link.relays.iter().find_map(trouble)
        });
        broken.map_or(ConnectError::NoAddress, |(relay, source)| {
            ConnectError::Relay { relay, source }
        })
    }

    /// That somebody else answers in the place of a relay of the peer, if so.
    pub(super) fn wrong_relay(&self, peer: PeerId) -> Option<ConnectError> {
        let relays = &self.links.get(&peer)?.relays;
        let relay = relays.iter().find(|url| self.is_impostor(url))?.clone();
        Some(ConnectError::WrongRelay { relay })
    }

    fn is_impostor(&self, url: &RelayUrl) -> bool {
        self.relays.get(url).is_some_and(|relay| relay.impostor)
    }

    /// Ends the dials that can only go through relays in whose place somebody else answers: waiting will not mend that.
    pub(super) fn refuse_impostors(&mut self) {
        let is_impostor = |url| self.is_impostor(url);
        let hopeless: Vec<PeerId> = self
            .links
            .iter()
            .filter(|(_, link)| link.waits_for_relay() && link.relays.iter().all(is_impostor))
            .map(|(peer, _)| *peer)
            .collect();
        for peer in hopeless {
            let error = self.relay_trouble(peer);
            self.fail_with(peer, &error);
        }
    }

    /// Has the relays of a peer's link prove that they are still there.
    pub(super) fn check_relays(&self, peer: PeerId) {
        let relays = self
            .links
            .get(&peer)
            .into_iter()
            .flat_map(|link| &link.relays);
        for entry in relays.filter_map(|url| self.relays.get(url)) {
            entry.handle.keepalive();
        }
    }

    /// Leaves the relays that no link has needed for a while.
    pub(super) fn leave_unused_relays(&mut self) {
        let now = now();
        let mut unused = Vec::new();
        for (url, entry) in &mut self.relays {
            if entry.home || self.links.values().any(|link| link.relays.contains(url)) {
                entry.used = now;
            } else if now.saturating_duration_since(entry.used) >= UNUSED {
                unused.push(url.clone());
            }
        }
        for url in unused {
            tracing::debug!(relay = %url.key().short(), "left: no link needs it");
            if let Some(entry) = self.relays.remove(&url) {
                let link = entry.link.handle();
                self.pending.push(Box::pin(async move {
                    sleep(GOODBYE).await;
                    Done::RelayLeft(link)
                }));
            }
            self.feed(Input::RelayDown { relay: url });
        }
    }

    /// Has the relays' tasks pass on what they were given, and waits until they have ended.
    pub(super) async fn leave_relays(&mut self) {
        self.relays.clear();
        // Theirs are all that is left, then.
        (self.relay_sender, _) = mpsc::channel(1);
        while self.relay_events.recv().await.is_some() {}
    }

    pub(super) fn relays_network_changed(&self) {
        for entry in self.relays.values() {
            entry.handle.network_changed();
        }
    }
}

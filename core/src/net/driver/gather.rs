//! Learning about our surroundings: interfaces, the NAT's behaviour, a forwarded port.

use std::{
    collections::{BTreeSet, VecDeque},
    net::{IpAddr, SocketAddr},
    num::NonZeroU16,
    time::{Duration, Instant},
};

use futures_util::future::{OptionFuture, join_all};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha20Rng;
use tokio::sync::mpsc;

use super::{Driver, now};
use crate::{
    EventKind, NatEvidence, NatReport, PeerId, PeerState, PortMapping, PortRefusal, RelayUrl,
    net::{
        interfaces::{Change, Interfaces},
        lan::{Lan, LanError, Sighting},
        portmap::PortMapper,
        stun,
    },
    proto::{
        io::{Input, Pair, Sock},
        local::Ports,
        nat::{self, Classifier, StunResponse},
    },
};

/// The NAT is measured again after this long.
const CLASSIFY_EVERY: Duration = Duration::from_secs(300);
/// Changes of the network come in bursts.
const CLASSIFY_SOON: Duration = Duration::from_millis(50);
/// A relay that was asked less than this long ago would tell the same.
const FRESH: Duration = Duration::from_secs(10);
/// Samples that may be under way at once; an answer to an older one counts as lost.
const MAX_SAMPLES: usize = 64;

/// What is learnt, and when it is learnt anew.
pub(super) struct Gathering {
    pub(super) interfaces: Interfaces,
    changes: mpsc::Receiver<Change>,
    mapper: Option<PortMapper>,
    mappings: mpsc::Receiver<Option<PortMapping>>,
    pinholer: Option<PortMapper>,
    pinholes: mpsc::Receiver<Option<PortMapping>>,
    pub(super) mapping: Option<PortMapping>,
    lan: Option<Lan>,
    /// Why there is none though there should be.
    lan_error: Option<LanError>,
    classifier: Option<Classifier>,
    classify_at: Option<Instant>,
    /// When the latest measurement began, and through which relays it goes.
    began: Option<Instant>,
    asked: Vec<SocketAddr>,
    /// Who answered.
    answered: BTreeSet<IpAddr>,
    /// What the machine knows of the NAT.
    nat: NatReport,
    /// What that was concluded from.
    pub(super) nat_evidence: NatEvidence,
    pub(super) checked_at_ms: Option<u64>,
    /// Questions of the machine where a relay sees a socket.
    samples: VecDeque<Sample>,
}

/// A STUN request that was sent to a relay for the machine.
struct Sample {
    tx: [u8; 12],
    to: Pair,
}

/// Something was learnt.
pub(super) enum News {
    Interfaces(Change),
    Mapping(Option<PortMapping>),
    Pinhole(Option<PortMapping>),
    Sighting(Sighting),
}

impl Gathering {
    /// Asks routers for these ports, unless they are 0; by `secret` they know us again.
    pub(super) async fn start(
        ports: Ports,
        lan: Result<Option<Lan>, LanError>,
        secret: [u8; 32],
    ) -> Self {
        let (interfaces, changes) = Interfaces::watch().await;
        let (sender, mappings) = mpsc::channel(4);
        let (v6_sender, pinholes) = mpsc::channel(4);
        let [v4, v6] = [ports.v4, ports.v6].map(NonZeroU16::new);
        let (lan, lan_error) = match lan {
            Ok(lan) => (lan, None),
            Err(error) => (None, Some(error)),
        };
        Self {
            interfaces,
            changes,
            mapper: v4.map(|port| PortMapper::spawn(port, secret, sender)),
            mappings,
            pinholer: v6.map(|port| PortMapper::spawn_v6(port, secret, v6_sender)),
            pinholes,
            mapping: None,
            lan,
            lan_error,
            classifier: None,
            classify_at: None,
            began: None,
            asked: Vec::new(),
            answered: BTreeSet::new(),
            nat: NatReport::default(),
            nat_evidence: NatEvidence::default(),
            checked_at_ms: None,
            samples: VecDeque::new(),
        }
    }

    /// The next news; none when there will be no more.
    pub(super) async fn next(&mut self) -> Option<News> {
        tokio::select! {
            Some(change) = self.changes.recv() => Some(News::Interfaces(change)),
            Some(mapping) = self.mappings.recv() => Some(News::Mapping(mapping)),
            Some(pinhole) = self.pinholes.recv() => Some(News::Pinhole(pinhole)),
            sighting = sighted(&mut self.lan) => Some(News::Sighting(sighting)),
        }
    }

    /// Why nobody is found on the local network, though that is wanted.
    pub(super) fn lan_trouble(&self) -> Option<String> {
        if let Some(error) = &self.lan_error {
            return Some(error.to_string());
        }
        let is_blind = self.lan.is_some() && self.interfaces.unread;
        is_blind.then(|| "the system does not list this computer's network interfaces".to_owned())
    }

    /// Why the local network was not searched, if it was not.
    pub(super) fn unsearched(&self) -> Option<String> {
        let is_off = || {
            self.lan
                .is_none()
                .then(|| "this node is not to look there".to_owned())
        };
        self.lan_trouble().or_else(is_off)
    }

    /// What the IPv4 router answered that forwards no port.
    pub(super) fn refusal(&self) -> Option<PortRefusal> {
        self.mapper.as_ref().and_then(PortMapper::refusal)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let measuring = self.classifier.as_ref().and_then(Classifier::poll_timeout);
        [measuring, self.classify_at].into_iter().flatten().min()
    }

    pub(super) async fn close(&mut self) {
        let mappers = [self.mapper.take(), self.pinholer.take()];
        let mappings = join_all(mappers.into_iter().flatten().map(PortMapper::close));
        let announcement = OptionFuture::from(self.lan.take().map(Lan::close));
        tokio::join!(mappings, announcement);
    }
}

/// The next change of what was found on our network.
async fn sighted(lan: &mut Option<Lan>) -> Sighting {
    match lan {
        Some(lan) => lan.next().await,
        None => std::future::pending().await,
    }
}

impl Driver {
    pub(super) fn on_gathered(&mut self, news: News) {
        match news {
            News::Interfaces(change) => {
                let what = if change.now.sources.is_empty() {
                    "there is no route to the internet"
                } else if change.rerouted {
                    "the route to the internet is another"
                } else {
                    "addresses changed"
                };
                self.network_changed();
                self.gathering.interfaces = change.now.clone();
                self.take_interfaces(change.now, change.rerouted);
                self.tell(EventKind::NetworkChanged {
                    what: what.to_owned(),
                });
            }
            News::Mapping(mapping) => {
                let before = std::mem::replace(&mut self.gathering.mapping, mapping);
                self.dirty = true;
                // That it is granted for another time is no news.
                let what = |mapping: PortMapping| (mapping.protocol, mapping.external);
                if before.map(what) != mapping.map(what) {
                    self.feed(Input::PortMapped(mapping.map(|mapping| mapping.external)));
                    self.tell(EventKind::PortMapped { mapping });
                }
            }
            News::Pinhole(pinhole) => {
                self.feed(Input::Pinhole(pinhole.map(|pinhole| pinhole.external)));
            }
            News::Sighting(sighting) => {
                let peers = self.links.keys().copied();
                let seen = self
                    .gathering
                    .lan
                    .as_mut()
                    .and_then(|lan| lan.who(sighting, peers));
                if let Some((peer, addrs)) = seen {
                    self.found(peer, addrs);
                }
            }
        }
    }

    /// Announces on our networks, which may be new, where we are, if we accept connections.
    pub(super) fn announce(&mut self) {
        let Some(lan) = &mut self.gathering.lan else {
            return;
        };
        lan.network_changed(&self.gathering.interfaces.secluded);
        let mut addrs = self.machine.local().hosts();
        let accepts = !self.alpns.borrow().is_empty();
        addrs.retain(|addr| accepts && !addr.ip().is_loopback());
        if let Err(error) = lan.announce(&addrs) {
            tracing::debug!(%error, "not announced");
        }
    }

    /// Looks for a peer on our network.
    pub(super) fn look_for(&mut self, peer: PeerId) {
        let Some(lan) = &mut self.gathering.lan else {
            return;
        };
        if let Err(error) = lan.search() {
            tracing::debug!(%error, "not looked for");
        }
        let addrs = lan.find(peer);
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
        let Some(lan) = &mut self.gathering.lan else {
            return;
        };
        if !self.machine.misses_peers() {
            lan.rest();
        } else if let Err(error) = lan.search() {
            tracing::debug!(%error, "not looked for");
        }
    }

    /// Has everybody who talks to the network begin anew.
    pub(super) fn network_changed(&mut self) {
        self.mux.refresh();
        self.relays_network_changed();
        let mappers = [&self.gathering.mapper, &self.gathering.pinholer];
        for mapper in mappers.into_iter().flatten() {
            mapper.network_changed();
        }
        self.classify();
    }

    /// Something says that routers may have forgotten what they granted, or moved.
    pub(super) fn doubt_mappings(&self) {
        let mappers = [&self.gathering.mapper, &self.gathering.pinholer];
        for mapper in mappers.into_iter().flatten() {
            mapper.doubt();
        }
    }

    /// Has the NAT measured soon: the network changed.
    fn classify(&mut self) {
        self.gathering.classify_at = Some(now() + CLASSIFY_SOON);
    }

    /// A relay can be asked about the NAT: the measurement that is under way goes through it too, or a new one begins.
    pub(super) fn classify_through(&mut self, relay: SocketAddr) {
        let now = now();
        let trusted = self.relays.trusted_with_nat().contains(&relay);
        let gathering = &mut self.gathering;
        let fresh = gathering
            .began
            .is_some_and(|at| now.saturating_duration_since(at) < FRESH);
        if !trusted || (fresh && gathering.asked.contains(&relay)) {
            return;
        }
        match &mut gathering.classifier {
            Some(classifier) => {
                classifier.add_relay(now, relay);
                gathering.asked.push(relay);
            }
            None => gathering.classify_at = Some(now),
        }
    }

    /// Starts, continues and ends measurements of the NAT.
    pub(super) fn drive_classifier(&mut self, now: Instant) {
        if self.gathering.classify_at.is_some_and(|at| at <= now) {
            self.begin_classifying(now);
        }
        let Some(classifier) = &mut self.gathering.classifier else {
            return;
        };
        if classifier.poll_timeout().is_some_and(|at| at <= now) {
            classifier.handle_timeout(now);
        }
        while let Some(request) = classifier.poll_transmit() {
            if request.to.sock != Sock::MAIN {
                self.mux.open_sockets(request.to.sock, 1);
            }
            let bytes = stun::binding_request(request.tx, request.change_port);
            if let Err(error) = self.mux.send_message(request.to, None, &bytes) {
                tracing::trace!(to = ?request.to, %error, "cannot ask");
            }
        }
        let nat = classifier.report(self.gathering.nat);
        let over = classifier.is_over();
        if over {
            self.gathering.nat_evidence = classifier.evidence();
            self.gathering.classifier = None;
            self.mux.close_sockets(nat::FIRST_SOCKET, nat::SOCKETS);
            self.gathering.checked_at_ms = Some(super::unix_ms());
            tracing::debug!(?nat, "NAT measured");
        }
        if over || nat != self.gathering.nat {
            self.gathering.nat = nat;
            self.feed(Input::Nat(nat));
            self.dirty = true;
        }
    }

    /// Measures through what relays we have.
    fn begin_classifying(&mut self, now: Instant) {
        self.gathering.classify_at = Some(now + CLASSIFY_EVERY);
        self.mux.close_sockets(nat::FIRST_SOCKET, nat::SOCKETS);
        let local = self.gathering.interfaces.addresses.iter();
        let local = local.map(|local| local.ip).collect();
        let mut classifier = Classifier::new(local, ChaCha20Rng::from_os_rng());
        let relays = self.relays.trusted_with_nat();
        for addr in &relays {
            classifier.add_relay(now, *addr);
        }
        self.gathering.classifier = (!relays.is_empty()).then_some(classifier);
        self.gathering.asked = relays;
        self.gathering.answered.clear();
        self.gathering.began = Some(now);
    }

    /// Whoever answers at this address is not known to be the relay that it was taken for: what it said of our NAT may be false.
    pub(super) fn forget_measured_by(&mut self, relay: SocketAddr) {
        let gathering = &mut self.gathering;
        if !gathering.answered.contains(&relay.ip()) {
            return;
        }
        gathering.classifier = None;
        gathering.nat = NatReport::default();
        gathering.nat_evidence = NatEvidence::default();
        gathering.checked_at_ms = None;
        self.mux.close_sockets(nat::FIRST_SOCKET, nat::SOCKETS);
        self.feed(Input::Nat(NatReport::default()));
        self.dirty = true;
        // Through the others, if there are any.
        self.begin_classifying(now());
    }

    /// Asks a relay where it sees one of our sockets.
    pub(super) fn sample_mapping(&mut self, sock: Sock, relay: &RelayUrl) {
        let Some(addr) = self.relay_addr(relay) else {
            return;
        };
        let (mut tx, to) = ([0; 12], Pair { sock, addr });
        ChaCha20Rng::from_os_rng().fill_bytes(&mut tx);
        if self.gathering.samples.len() >= MAX_SAMPLES {
            self.gathering.samples.pop_front();
        }
        self.gathering.samples.push_back(Sample { tx, to });
        self.send_message(to, None, &stun::binding_request(tx, false));
    }

    pub(super) fn on_stun(&mut self, sock: Sock, source: SocketAddr, bytes: &[u8]) {
        let response = match stun::parse_response(bytes) {
            Ok(response) => response,
            Err(error) => return tracing::trace!(%error, "STUN"),
        };
        if sock == Sock::MAIN && self.on_echo(source, &response) {
            return;
        }
        let from = Pair { sock, addr: source };
        let samples = &mut self.gathering.samples;
        let asked = |sample: &Sample| sample.tx == response.tx && sample.to == from;
        if let Some(position) = samples.iter().position(asked) {
            samples.remove(position);
            let addr = response.mapped;
            self.feed(Input::Sampled { sock, addr });
        } else if let Some(classifier) = &mut self.gathering.classifier {
            let response = StunResponse {
                from,
                tx: response.tx,
                mapped: response.mapped,
                other_address: response.other_address,
            };
            if classifier.handle_response(now(), &response) {
                self.gathering.answered.insert(source.ip());
            }
        }
    }
}

/// Whether what happened says that a router may have forgotten what it granted. That packets are unanswered for a moment does not:
/// the machine asks before it doubts a path, and the peer may tell it that it hears nothing.
pub(super) fn makes_mappings_doubtful(event: &EventKind) -> bool {
    matches!(
        event,
        EventKind::PeerState {
            to: PeerState::Suspect,
            ..
        }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    #[test]
    fn a_path_in_doubt_makes_mappings_doubtful_and_other_changes_do_not() {
        let becomes = |to| EventKind::PeerState {
            peer: SecretKey::from_seed(&[1; 32]).id(),
            from: PeerState::Direct,
            to,
            why: None,
        };
        assert!(makes_mappings_doubtful(&becomes(PeerState::Suspect)));
        assert!(!makes_mappings_doubtful(&becomes(PeerState::Relayed)));
        assert!(!makes_mappings_doubtful(&becomes(PeerState::Idle)));
    }
}

//! Links to peers: their route in the mux, their connections, and who waits for them.

use std::{net::SocketAddr, sync::Arc};

use tokio::sync::watch;

use super::{Done, Driver, dial::Dial, now};
use crate::{
    Access, ConnectError, Connection, EventKind, Explanation, LinkStatus, PeerId, PeerState,
    net::{
        flow::{Flow, LinkMemory},
        mux::{Dest, Destinations, Link},
        transport::transport_config,
    },
    proto::{
        admission::CallId,
        endpoint::PeerView,
        io::{Failure, Input, Route},
        liveness::has_stalled,
        outbound,
        timing::CONNECT_TIMEOUT,
    },
    quic::close,
    wire::lane::Channel,
};

/// A peer that quinn has an address for.
pub(super) struct PeerLink {
    pub(super) link: Arc<Link>,
    pub(super) memory: LinkMemory,
    pub(super) status: watch::Sender<LinkStatus>,
    pub(super) connections: Vec<Open>,
    /// Where the packets go first; a change of it is a change of path.
    first: Option<Dest>,
    pub(super) dials: Vec<Dial>,
    pub(super) sampled: (u64, u64),
    pub(super) rates: (u64, u64),
    /// Packets that QUIC had lost when that was last looked at.
    pub(super) lost: u64,
    /// Whether it was also dialled at addresses, and so does not need a relay.
    pub(super) has_addrs: bool,
}

/// A QUIC connection of a link.
pub(super) struct Open {
    pub(super) quic: quinn::Connection,
    flow: Arc<Flow>,
    alpn: String,
    /// None if we dialled it.
    call: Option<CallId>,
}

impl Open {
    fn is_outgoing(&self) -> bool {
        self.call.is_none()
    }
}

impl PeerLink {
    /// Gives each connection its part, where so many peers have any.
    fn share_out(&self, peers: usize) {
        let window = outbound::send_window(peers, self.connections.len());
        for open in &self.connections {
            open.quic.set_send_window(window);
        }
    }

    /// The settings of a new connection, on this side of it.
    pub(super) fn transport(&self, side: quinn::Side) -> Arc<quinn::TransportConfig> {
        Arc::new(transport_config(self.link.epoch().clone(), side))
    }

    /// Whether we dialled the peer, or are about to.
    fn is_dialled(&self) -> bool {
        !self.dials.is_empty() || self.connections.iter().any(|open| open.is_outgoing())
    }

    fn is_unused(&self) -> bool {
        self.dials.is_empty() && self.connections.is_empty()
    }

    /// Whether somebody waits for a path that only a relay can give.
    pub(super) fn waits_for_relay(&self) -> bool {
        let waits = self.dials.iter().any(Dial::waits_for_route) && self.first.is_none();
        waits && !self.has_addrs
    }
}

impl Driver {
    /// The peer's link, made if there is none.
    pub(super) fn link(&mut self, peer: PeerId) -> &mut PeerLink {
        self.links.entry(peer).or_insert_with(|| {
            let link = self.mux.add_link();
            self.handles.insert(link.handle(), peer);
            self.relays.on_link(peer);
            let status = LinkStatus {
                state: PeerState::Idle,
                path: None,
                why: None,
            };
            PeerLink {
                memory: self.memory.link(),
                link,
                status: watch::Sender::new(status),
                connections: Vec::new(),
                first: None,
                dials: Vec::new(),
                sampled: (0, 0),
                rates: (0, 0),
                lost: 0,
                has_addrs: false,
            }
        })
    }

    pub(super) fn admit(&mut self, peer: PeerId, addr: SocketAddr) {
        let link = self.link(peer).link.clone();
        self.mux.admit(addr, &link);
    }

    pub(super) fn expel(&self, peer: PeerId, addr: SocketAddr) {
        if let Some(link) = self.links.get(&peer) {
            self.mux.expel(addr, link.link.handle());
        }
    }

    /// Takes the peer's packets from this relay's lane, those included that came too early.
    pub(super) fn admit_lane(&mut self, peer: PeerId, relay: SocketAddr) {
        let channel = Channel::between(self.key.id(), peer);
        let link = self.link(peer).link.clone();
        self.mux.admit_channel(relay, channel, &link);
        for packet in self.early.take(relay, channel) {
            self.mux.inject(link.handle(), packet);
        }
    }

    pub(super) fn set_route(&mut self, peer: PeerId, route: Route) {
        let lane = |driver: &Self, relay| {
            let addr = driver.lane_addr(relay)?;
            Some(Dest::Lane {
                relay: addr,
                channel: Channel::between(driver.key.id(), peer),
            })
        };
        let dests: Vec<Dest> = match &route {
            Route::Direct(pair) => vec![Dest::Direct(*pair)],
            Route::Relay(relay) => lane(self, relay).into_iter().collect(),
            Route::Both(pair, relay) => [Some(Dest::Direct(*pair)), lane(self, relay)]
                .into_iter()
                .flatten()
                .collect(),
        };
        if matches!(route, Route::Both(..)) {
            self.check_relays(peer);
        }
        if let Route::Relay(relay) | Route::Both(_, relay) = &route
            && let Some(addr) = self.lane_addr(relay)
        {
            self.admit_lane(peer, addr);
        }
        let mux = self.mux.clone();
        let link = self.link(peer);
        let first = dests.first().copied();
        let silent_since = match first {
            Some(Dest::Lane { .. }) => link.link.lane_silent_since(),
            Some(Dest::Direct(_)) => link.link.silent_since(),
            None => None,
        };
        let stalled = has_stalled(now(), silent_since);
        // A window full of what was lost in an outage would keep the first packet after it from leaving.
        let switch = first.is_some() && (first != link.first || stalled);
        let route = Destinations { dests };
        if switch || *link.link.route() != route {
            mux.set_route(&link.link, route, first.map_or(0, path_key), switch);
            for open in &link.connections {
                open.flow.nudge();
            }
        }
        link.first = first;
        if first.is_some() {
            link.dials.iter().for_each(Dial::has_route);
        }
        self.dirty = true;
    }

    /// The link is over.
    pub(super) fn forget(&mut self, peer: PeerId) {
        let Some(link) = self.links.get(&peer).filter(|link| link.is_unused()) else {
            return;
        };
        let handle = link.link.handle();
        self.mux.remove_link(handle);
        self.handles.remove(&handle);
        self.liveness.forget(peer);
        self.active.remove(&handle);
        self.links.remove(&peer);
        self.relays.on_link_over(now(), peer);
        self.dirty = true;
    }

    pub(super) fn fail(&mut self, peer: PeerId, reason: &Failure) {
        let error = match reason {
            Failure::Offline(relay) => ConnectError::Offline {
                relay: relay.clone(),
            },
            Failure::Busy(_) => ConnectError::Busy,
            Failure::Unreached(relay) => ConnectError::Unreached {
                relay: relay.clone(),
            },
            Failure::NoAddress => match self.gathering.unsearched() {
                Some(reason) => ConnectError::NotSearched { reason },
                None => ConnectError::NoAddress,
            },
            Failure::Silent => self.wrong_relay(peer).unwrap_or(ConnectError::Timeout {
                after: CONNECT_TIMEOUT,
            }),
            Failure::NoRelay => self.relay_trouble(peer),
        };
        self.fail_with(peer, &error);
    }

    /// Tells everybody who waits for the peer why it was in vain.
    pub(super) fn fail_with(&mut self, peer: PeerId, error: &ConnectError) {
        let link = self.links.get(&peer);
        for dial in link.into_iter().flat_map(|link| &link.dials) {
            dial.fail(error);
        }
        self.release_unused(peer);
    }

    /// A dial or a connection is over; without others nobody needs the link.
    pub(super) fn release_unused(&mut self, peer: PeerId) {
        if self.links.get(&peer).is_none_or(PeerLink::is_unused) {
            self.feed(Input::Release { peer });
        }
    }

    /// Closes all connections with a peer.
    pub(super) fn hang_up(&self, peer: PeerId, code: u32, reason: &[u8]) {
        let links = self.links.get(&peer).into_iter();
        for open in links.flat_map(|link| &link.connections) {
            open.quic.close(code.into(), reason);
        }
    }

    /// Lets in others than before. What the others had opened ends at once.
    pub(super) fn set_access(&mut self, access: Access) {
        let unwelcome = |peer: &PeerId| !access.lets_in(*peer);
        for (_, link) in self.links.iter().filter(|(peer, _)| unwelcome(peer)) {
            for open in link.connections.iter().filter(|open| !open.is_outgoing()) {
                open.quic
                    .close(close::NOT_LET_IN.into(), b"not let in any more");
            }
        }
        let dialled = self.links.iter().filter(|(_, link)| link.is_dialled());
        let dialled = dialled.map(|(peer, _)| *peer).collect();
        self.feed(Input::Access { access, dialled });
    }

    /// Whether there is a link to the peer: if not, it was never let in, or is not any more.
    pub(super) fn is_linked(&self, peer: PeerId) -> bool {
        let state = self.machine.peer(peer, now()).map(|peer| peer.state);
        !matches!(state, None | Some(PeerState::Idle))
    }

    /// A connection stands; `call` names it unless we dialled it.
    pub(super) fn adopt(&mut self, connection: Connection, call: Option<CallId>) {
        let peer = connection.peer();
        let alpn = String::from_utf8_lossy(connection.alpn()).into_owned();
        let (quic, flow) = (connection.quic, Arc::clone(&connection.flow));
        let closed = quic.clone();
        self.pending.push(Box::pin(async move {
            let reason = closed.closed().await.to_string();
            Done::Closed {
                peer,
                id: closed.stable_id(),
                reason,
            }
        }));
        self.link(peer).connections.push(Open {
            quic,
            flow,
            alpn: alpn.clone(),
            call,
        });
        self.share_out(peer);
        self.feed(Input::Hold { peer });
        self.tell(EventKind::Connected {
            peer,
            alpn,
            outgoing: call.is_none(),
        });
    }

    pub(super) fn on_closed(&mut self, peer: PeerId, id: usize, reason: String) {
        let Some(link) = self.links.get_mut(&peer) else {
            return;
        };
        let Some(at) = link
            .connections
            .iter()
            .position(|open| open.quic.stable_id() == id)
        else {
            return;
        };
        let open = link.connections.swap_remove(at);
        self.share_out(peer);
        self.changed.insert(peer);
        if let Some(call) = open.call {
            self.calls.end(call);
            self.outlets.accepted.remove(id);
        }
        self.release_unused(peer);
        self.tell(EventKind::Disconnected {
            peer,
            alpn: open.alpn,
            reason,
        });
    }

    /// Divides anew what may be kept unacknowledged: among the connections of a peer that has one more or less, or of all if
    /// the number of peers makes that necessary.
    fn share_out(&mut self, peer: PeerId) {
        let Some(link) = self.links.get(&peer) else {
            return;
        };
        if link.connections.is_empty() {
            self.connected.remove(&peer);
        } else {
            self.connected.insert(peer);
        }
        let (peers, whole) = (
            self.connected.len(),
            outbound::send_window(self.connected.len(), 1),
        );
        if std::mem::replace(&mut self.peer_share, whole) == whole {
            return link.share_out(peers);
        }
        for link in self
            .connected
            .iter()
            .filter_map(|peer| self.links.get(peer))
        {
            link.share_out(peers);
        }
    }

    pub(super) fn update_status(&mut self, view: &PeerView) {
        let Some(link) = self.links.get(&view.id) else {
            return;
        };
        let cause = |why: &Option<Explanation>| why.as_ref().map(|why| why.cause);
        let mut explained = None;
        link.status.send_if_modified(|known| {
            let same_state = known.state == view.state;
            let same_cause = cause(&known.why) == cause(&view.why);
            if !same_cause {
                explained = view.why.as_ref().map(|why| (why, same_state));
            }
            let changed = !(same_state && same_cause && known.path == view.path);
            if changed {
                *known = LinkStatus {
                    state: view.state,
                    path: view.path.clone(),
                    why: view.why.clone(),
                };
            }
            changed
        });
        if let Some((why, same_state)) = explained {
            tracing::info!(peer = %view.id.short(), state = ?view.state, why = why.line(), "link");
            if same_state {
                let (peer, why) = (view.id, Box::new(why.clone()));
                self.send_event(EventKind::Explained { peer, why });
            }
        }
    }
}

/// Tells paths apart for the congestion controllers that are kept per path.
fn path_key(dest: Dest) -> u32 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    match dest {
        Dest::Lane { relay, .. } => relay.hash(&mut hasher),
        Dest::Direct(pair) => pair.hash(&mut hasher),
    }
    hasher.finish() as u32
}

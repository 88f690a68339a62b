//! Links to peers: their route in the mux, their connections, who waits for them, and what they carry.

mod peer;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

pub(super) use self::peer::{Open, PeerLink};
use super::{
    dial::{Dialled, Reply},
    flow::NodeMemory,
    mux::{Dest, Destinations, LinkHandle, Mux},
};
use crate::{
    Access, ConnectError, Connection, Explanation, PeerId, PeerSnapshot,
    proto::{
        admission::CallId,
        endpoint::PeerView,
        io::Pair,
        liveness::{Event, Liveness, has_stalled},
        outbound,
    },
    quic::close,
};

/// Less than this in a second is keep-alive, not use.
const IN_USE: u64 = 256;

/// All links of a node.
pub(super) struct Links {
    mux: Arc<Mux>,
    memory: NodeMemory,
    by_peer: BTreeMap<PeerId, PeerLink>,
    handles: BTreeMap<LinkHandle, PeerId>,
    /// Peers with connections, and what each of them may leave unacknowledged.
    connected: BTreeSet<PeerId>,
    peer_share: u64,
    /// Links whose rates are sampled: the others' are zero.
    active: BTreeSet<LinkHandle>,
    /// Dials so far.
    dials: u64,
    /// Which of them hear nothing back.
    pub(super) liveness: Liveness,
}

/// A connection ended.
pub(super) struct Closed {
    pub(super) peer: PeerId,
    id: usize,
    pub(super) reason: String,
}

/// What a second has shown.
#[derive(Default)]
pub(super) struct Sampled {
    /// Whose figures are others than before.
    pub(super) changed: Vec<PeerId>,
    /// Who is in use, and whether they were heard.
    pub(super) used: Vec<(PeerId, bool)>,
    /// To whom QUIC lost packets.
    pub(super) lossy: Vec<PeerId>,
}

impl Links {
    pub(super) fn new(mux: Arc<Mux>, liveness: Liveness) -> Self {
        Self {
            mux,
            memory: NodeMemory::default(),
            by_peer: BTreeMap::new(),
            handles: BTreeMap::new(),
            connected: BTreeSet::new(),
            peer_share: 0,
            active: BTreeSet::new(),
            dials: 0,
            liveness,
        }
    }

    pub(super) fn get(&self, peer: PeerId) -> Option<&PeerLink> {
        self.by_peer.get(&peer)
    }

    /// The peer's link, made if there is none.
    pub(super) fn of(&mut self, peer: PeerId) -> &mut PeerLink {
        self.by_peer.entry(peer).or_insert_with(|| {
            let link = self.mux.add_link();
            self.handles.insert(link.handle(), peer);
            PeerLink::new(link, self.memory.link())
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (PeerId, &PeerLink)> {
        self.by_peer.iter().map(|(peer, link)| (*peer, link))
    }

    /// Whose link this is.
    pub(super) fn peer_of(&self, handle: LinkHandle) -> Option<PeerId> {
        self.handles.get(&handle).copied()
    }

    /// Whether nobody needs a link to the peer.
    pub(super) fn is_unused(&self, peer: PeerId) -> bool {
        self.get(peer).is_none_or(PeerLink::is_unused)
    }

    /// Takes what comes from this address as the peer's.
    pub(super) fn admit(&mut self, peer: PeerId, addr: SocketAddr) {
        let link = Arc::clone(&self.of(peer).link);
        self.mux.admit(addr, &link);
    }

    /// Takes it as the peer's no longer.
    pub(super) fn expel(&self, peer: PeerId, addr: SocketAddr) {
        if let Some(link) = self.get(peer) {
            self.mux.expel(addr, link.link.handle());
        }
    }

    /// The peer's packets go there from now on: directly, by a lane, or both.
    pub(super) fn set_route(
        &mut self,
        now: Instant,
        peer: PeerId,
        direct: Option<Pair>,
        lane: Option<Dest>,
    ) {
        let mux = Arc::clone(&self.mux);
        let link = self.of(peer);
        let dests: Vec<_> = direct.map(Dest::Direct).into_iter().chain(lane).collect();
        let first = dests.first().copied();
        let silent_since = match first {
            Some(Dest::Lane { .. }) => link.link.lane_silent_since(),
            Some(Dest::Direct(_)) => link.link.silent_since(),
            None => None,
        };
        let stalled = has_stalled(now, silent_since);
        // A window full of what was lost in an outage would keep the first packet after it from leaving.
        let switch = first.is_some() && (first != link.first || stalled);
        let route = Destinations { dests };
        if switch || *link.link.route() != route {
            mux.set_route(&link.link, route, first.map_or(0, path_key), switch);
        }
        // Also by the same way: a peer that was started anew resets what was open to the one that it was, once it is asked.
        link.connections.iter().for_each(Open::nudge);
        link.first = first;
        if first.is_some() {
            link.dials.has_route();
        }
    }

    /// Begins to dial.
    pub(super) fn dial(
        &mut self,
        peer: PeerId,
        quic: quinn::Endpoint,
        crypto: Arc<dyn quinn::crypto::ClientConfig>,
        reply: Reply,
    ) -> impl Future<Output = Dialled> + Send + 'static {
        self.dials += 1;
        let number = self.dials;
        self.of(peer).dial(number, peer, quic, crypto, reply)
    }

    /// The peer's dials may take until then, where they may not take longer already.
    pub(super) fn be_patient(&self, peer: PeerId, until: Instant) {
        if let Some(link) = self.get(peer) {
            link.dials.be_patient(until);
        }
    }

    /// The peer that is dialled is looked for where it was not before.
    pub(super) fn look_elsewhere(&self, peer: PeerId) {
        if let Some(link) = self.get(peer) {
            link.dials.look_elsewhere();
        }
    }

    /// A dial is over. Whether it was the peer's last.
    pub(super) fn end_dial(&mut self, peer: PeerId, number: u64) -> bool {
        let link = self.by_peer.get_mut(&peer);
        link.is_none_or(|link| {
            link.dials.remove(number);
            link.dials.is_empty()
        })
    }

    /// Tells everybody who waits for the peer why it was in vain.
    pub(super) fn fail(&self, peer: PeerId, error: &ConnectError) {
        if let Some(link) = self.get(peer) {
            link.dials.fail(error);
        }
    }

    /// The link is over; false if there is none, or it is used.
    pub(super) fn forget(&mut self, peer: PeerId) -> bool {
        let Some(link) = self.get(peer).filter(|link| link.is_unused()) else {
            return false;
        };
        let handle = link.link.handle();
        self.mux.remove_link(handle);
        self.handles.remove(&handle);
        self.active.remove(&handle);
        self.liveness.forget(peer);
        self.by_peer.remove(&peer);
        true
    }

    /// Closes all connections with a peer.
    pub(super) fn hang_up(&self, peer: PeerId, code: u32, reason: &[u8]) {
        for open in self.get(peer).into_iter().flat_map(|it| &it.connections) {
            open.quic.close(code.into(), reason);
        }
    }

    /// Closes all connections.
    /// The longest round trip of one that was open, if one was.
    pub(super) fn close(&self, code: u32, reason: &[u8]) -> Option<Duration> {
        let open = self.by_peer.values().flat_map(|it| &it.connections);
        open.map(|open| {
            open.quic.close(code.into(), reason);
            open.quic.rtt()
        })
        .max()
    }

    /// Ends what peers opened that are not let in any more. The peers that we dialled.
    pub(super) fn set_access(&self, access: &Access) -> Vec<PeerId> {
        for (_, link) in self.iter().filter(|(peer, _)| !access.lets_in(*peer)) {
            for open in link.connections.iter().filter(|open| !open.is_outgoing()) {
                let code = close::NOT_LET_IN.into();
                open.quic.close(code, b"not let in any more");
            }
        }
        let dialled = self.iter().filter(|(_, link)| link.is_dialled());
        dialled.map(|(peer, _)| peer).collect()
    }

    /// A connection stands; `call` names it unless we dialled it. The future ends with it.
    pub(super) fn adopt(
        &mut self,
        connection: Connection,
        call: Option<CallId>,
        now: Instant,
    ) -> impl Future<Output = Closed> + Send + 'static {
        let peer = connection.peer();
        let closed = connection.quic.clone();
        self.of(peer)
            .connections
            .push(Open::new(connection, call, now));
        self.share_out(peer);
        async move {
            let reason = closed.closed().await.to_string();
            Closed {
                peer,
                id: closed.stable_id(),
                reason,
            }
        }
    }

    /// Takes out a connection that ended.
    pub(super) fn on_closed(&mut self, closed: &Closed) -> Option<Open> {
        let connections = &mut self.by_peer.get_mut(&closed.peer)?.connections;
        let at = connections.iter().position(|it| it.id() == closed.id)?;
        let open = connections.swap_remove(at);
        self.share_out(closed.peer);
        Some(open)
    }

    /// Divides anew what may be kept unacknowledged: among the connections of a peer that has one more or less, or of all if
    /// the number of peers makes that necessary.
    fn share_out(&mut self, peer: PeerId) {
        let Some(link) = self.by_peer.get(&peer) else {
            return;
        };
        if link.connections.is_empty() {
            self.connected.remove(&peer);
        } else {
            self.connected.insert(peer);
        }
        let peers = self.connected.len();
        let whole = outbound::send_window(peers, 1);
        if std::mem::replace(&mut self.peer_share, whole) == whole {
            return link.share_out(peers);
        }
        for peer in &self.connected {
            if let Some(link) = self.get(*peer) {
                link.share_out(peers);
            }
        }
    }

    /// Shows how a link stands to those who watch it; why it stands so, if only that is another than before.
    pub(super) fn update_status(&self, view: &PeerView) -> Option<Explanation> {
        self.get(view.id)?.update_status(view)
    }

    /// A peer with what its link knows of it.
    pub(super) fn show(&self, view: PeerView, now: Instant) -> PeerSnapshot {
        let mut snapshot = PeerSnapshot::from(view);
        if let Some(link) = self.get(snapshot.id) {
            link.show(&mut snapshot, now);
        }
        snapshot
    }

    /// These links begin to send; `direct_heard` tells when a peer was last heard directly.
    pub(super) fn on_activity(
        &mut self,
        now: Instant,
        links: Vec<LinkHandle>,
        direct_heard: impl Fn(PeerId) -> Option<Instant>,
    ) {
        for handle in links {
            self.active.insert(handle);
            let peer = self.peer_of(handle);
            if let Some((peer, link)) = peer.and_then(|it| Some((it, self.by_peer.get(&it)?))) {
                let seen = link.seen(direct_heard(peer));
                self.liveness.on_activity(now, peer, &seen);
            }
        }
    }

    /// Looks at links that are due. What that shows to be necessary for others to do.
    pub(super) fn look(
        &mut self,
        now: Instant,
        direct_heard: impl Fn(PeerId) -> Option<Instant>,
    ) -> Vec<Event> {
        let mut shown = Vec::new();
        self.liveness.handle_timeout(now);
        while let Some(event) = self.liveness.poll_event() {
            match event {
                Event::Look { peer } => {
                    if let Some(link) = self.by_peer.get(&peer) {
                        let seen = link.seen(direct_heard(peer));
                        self.liveness.on_seen(now, peer, &seen);
                    }
                }
                Event::Unwatch { peer } => {
                    if let Some(link) = self.by_peer.get(&peer) {
                        link.link.unwatch();
                    }
                }
                Event::Silence { .. } | Event::CheckRelays { .. } => shown.push(event),
            }
        }
        shown
    }

    /// Takes the samples of a second. Links that stopped are sampled no more unless they are watched.
    pub(super) fn sample(&mut self, now: Instant) -> Sampled {
        let mut sampled = Sampled::default();
        self.active.retain(|handle| {
            let peer = self.handles.get(handle).copied();
            let Some((peer, link)) = peer.and_then(|it| Some((it, self.by_peer.get_mut(&it)?)))
            else {
                return false;
            };
            let before = link.rates;
            let (received, sent) = link.take_rates(now);
            if link.rates != before || link.rates != (0, 0) {
                sampled.changed.push(peer);
            }
            if received + sent > IN_USE {
                sampled.used.push((peer, received > 0));
            }
            if link.has_lost_more() {
                sampled.lossy.push(peer);
            }
            link.rates != (0, 0) || self.liveness.is_watched(peer)
        });
        sampled
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

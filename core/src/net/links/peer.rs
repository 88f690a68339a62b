//! One link: a peer that quinn has an address for.

use std::{sync::Arc, time::Instant};

use tokio::sync::watch;

use crate::{
    Connection, Explanation, FlowSnapshot, LinkStatus, PeerId, PeerSnapshot, PeerState,
    net::{
        dial::{Dialled, Dials, Means, Reply},
        flow::{Flow, LinkMemory},
        mux::{Dest, Link, virtual_addr},
        transport::transport_config,
    },
    proto::{
        admission::CallId,
        endpoint::PeerView,
        liveness::{Seen, Sent},
        outbound,
    },
};

/// See the [module](self).
pub(crate) struct PeerLink {
    pub(in crate::net) link: Arc<Link>,
    pub(in crate::net) memory: LinkMemory,
    pub(in crate::net) status: watch::Sender<LinkStatus>,
    pub(super) connections: Vec<Open>,
    /// Where the packets go first; a change of it is a change of path.
    pub(super) first: Option<Dest>,
    pub(super) dials: Dials,
    /// Bytes received and sent when that was last looked at, and in the second before.
    sampled: (u64, u64),
    pub(super) rates: (u64, u64),
    /// Packets that QUIC had lost when that was last looked at.
    lost: u64,
    /// Whether it was also dialled at addresses, and so does not need a relay.
    pub(in crate::net) has_addrs: bool,
}

/// Connections that are shown of a peer.
const SHOWN_FLOWS: usize = 16;

/// A QUIC connection of a link.
pub(crate) struct Open {
    pub(super) quic: quinn::Connection,
    flow: Arc<Flow>,
    pub(in crate::net) alpn: String,
    /// None if we dialled it.
    pub(in crate::net) call: Option<CallId>,
    since: Instant,
    /// Bytes received and sent when that was last looked at, and in the second before.
    sampled: (u64, u64),
    rates: (u64, u64),
    /// Acknowledgements that had come when that was last looked at, and when there was a new one.
    acks: u64,
    measured: Instant,
}

impl Open {
    pub(super) fn new(connection: Connection, call: Option<CallId>, now: Instant) -> Self {
        Self {
            alpn: String::from_utf8_lossy(connection.alpn()).into_owned(),
            flow: Arc::clone(&connection.flow),
            quic: connection.quic,
            call,
            since: now,
            sampled: (0, 0),
            rates: (0, 0),
            // By the handshake.
            acks: 0,
            measured: now,
        }
    }

    fn take_rates(&mut self, now: Instant) {
        let stats = self.quic.stats();
        if std::mem::replace(&mut self.acks, stats.frame_rx.acks) != stats.frame_rx.acks {
            self.measured = now;
        }
        let total = (stats.udp_rx.bytes, stats.udp_tx.bytes);
        self.rates = (total.0 - self.sampled.0, total.1 - self.sampled.1);
        self.sampled = total;
    }

    fn show(&self, now: Instant) -> FlowSnapshot {
        let stats = self.quic.stats();
        let mut flow = FlowSnapshot::new(self.alpn.clone(), self.is_outgoing());
        flow.age = now.saturating_duration_since(self.since);
        flow.streams = self.flow.sending();
        flow.datagrams = (stats.frame_rx.datagram, stats.frame_tx.datagram);
        (flow.traffic.rx_bytes, flow.traffic.tx_bytes) = (stats.udp_rx.bytes, stats.udp_tx.bytes);
        (flow.traffic.rx_rate, flow.traffic.tx_rate) = self.rates;
        flow
    }

    pub(in crate::net) fn id(&self) -> usize {
        self.quic.stable_id()
    }

    pub(super) fn is_outgoing(&self) -> bool {
        self.call.is_none()
    }

    pub(super) fn nudge(&self) {
        self.flow.nudge();
    }
}

impl PeerLink {
    pub(super) fn new(link: Arc<Link>, memory: LinkMemory) -> Self {
        let status = LinkStatus {
            state: PeerState::Idle,
            path: None,
            why: None,
        };
        Self {
            link,
            memory,
            status: watch::Sender::new(status),
            connections: Vec::new(),
            first: None,
            dials: Dials::default(),
            sampled: (0, 0),
            rates: (0, 0),
            lost: 0,
            has_addrs: false,
        }
    }

    /// Gives each connection its part, where so many peers have any.
    pub(super) fn share_out(&self, peers: usize) {
        let window = outbound::send_window(peers, self.connections.len());
        for open in &self.connections {
            open.quic.set_send_window(window);
        }
    }

    /// The settings of a new connection, on this side of it.
    pub(in crate::net) fn transport(&self, side: quinn::Side) -> Arc<quinn::TransportConfig> {
        Arc::new(transport_config(self.link.epoch().clone(), side))
    }

    pub(super) fn dial(
        &mut self,
        number: u64,
        peer: PeerId,
        quic: quinn::Endpoint,
        crypto: Arc<dyn quinn::crypto::ClientConfig>,
        reply: Reply,
    ) -> impl Future<Output = Dialled> + Send + use<> {
        let mut config = quinn::ClientConfig::new(crypto);
        config.transport_config(self.transport(quinn::Side::Client));
        let means = Means {
            peer,
            quic,
            config,
            addr: virtual_addr(self.link.handle()),
            memory: self.memory.clone(),
            status: self.status.subscribe(),
        };
        self.dials.begin(number, means, reply)
    }

    /// Whether we dialled the peer, or are about to.
    pub(super) fn is_dialled(&self) -> bool {
        !self.dials.is_empty() || self.connections.iter().any(Open::is_outgoing)
    }

    pub(super) fn is_unused(&self) -> bool {
        self.dials.is_empty() && self.connections.is_empty()
    }

    /// Whether somebody waits for a path that only a relay can give.
    pub(in crate::net) fn waits_for_relay(&self) -> bool {
        self.dials.wait_for_route() && self.first.is_none() && !self.has_addrs
    }

    /// See [`Links::update_status`](super::Links::update_status).
    pub(super) fn update_status(&self, view: &PeerView) -> Option<Explanation> {
        let cause = |why: &Option<Explanation>| why.as_ref().map(|why| why.cause);
        let mut explained = None;
        self.status.send_if_modified(|known| {
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
        let (why, same_state) = explained?;
        tracing::info!(peer = %view.id.short(), state = ?view.state, why = why.line(), "link");
        same_state.then(|| why.clone())
    }

    pub(super) fn seen(&self, direct_heard: Option<Instant>) -> Seen {
        let (direct, lane) = (self.link.direct(), self.link.lane());
        let quic = self.connections.first().map(|open| &open.quic);
        Seen {
            direct: Sent {
                bytes: direct.sent_bytes,
                silent_since: self.link.silent_since(),
            },
            lane: Sent {
                bytes: lane.sent_bytes,
                silent_since: self.link.lane_silent_since(),
            },
            direct_heard,
            rtt: quic.map(quinn::Connection::rtt).unwrap_or_default(),
        }
    }

    /// Bytes received and sent since the last time.
    pub(super) fn take_rates(&mut self, now: Instant) -> (u64, u64) {
        let total = self.total();
        self.rates = (total.0 - self.sampled.0, total.1 - self.sampled.1);
        self.sampled = total;
        for open in &mut self.connections {
            open.take_rates(now);
        }
        self.rates
    }

    /// Whether QUIC lost packets since the last time.
    pub(super) fn has_lost_more(&mut self) -> bool {
        let (_, lost) = self.packets();
        lost > std::mem::replace(&mut self.lost, lost)
    }

    /// What is known here of the peer, for its snapshot.
    pub(in crate::net) fn show(&self, snapshot: &mut PeerSnapshot, now: Instant) {
        // On an idle link the machine's own questions are mostly the later ones.
        if let Some(open) = self.connections.iter().max_by_key(|open| open.measured)
            && let age = now.saturating_duration_since(open.measured)
            && snapshot.rtt_age.is_none_or(|probed| age <= probed)
        {
            snapshot.rtt = Some(open.quic.rtt());
            snapshot.rtt_age = Some(age);
        }
        let (sent, lost) = self.packets();
        if sent > 0 {
            snapshot.loss = lost as f64 / sent as f64;
        }
        let shown = self.connections.iter().take(SHOWN_FLOWS);
        snapshot.flows = shown.map(|open| open.show(now)).collect();
        snapshot.connections = self.connections.len() as u32;
        (snapshot.traffic.rx_bytes, snapshot.traffic.tx_bytes) = self.total();
        (snapshot.traffic.rx_rate, snapshot.traffic.tx_rate) = self.rates;
    }

    /// Packets that QUIC sent, and of those it lost, over all connections.
    fn packets(&self) -> (u64, u64) {
        let stats = self.connections.iter().map(|open| open.quic.stats().path);
        stats.fold((0, 0), |(sent, lost), path| {
            (sent + path.sent_packets, lost + path.lost_packets)
        })
    }

    /// Bytes received and sent over all paths.
    fn total(&self) -> (u64, u64) {
        let (direct, lane) = (self.link.direct(), self.link.lane());
        (
            direct.received_bytes + lane.received_bytes,
            direct.sent_bytes + lane.sent_bytes,
        )
    }
}

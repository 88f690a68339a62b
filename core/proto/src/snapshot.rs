//! What a node shows of itself: the one vocabulary of commands, JSON, logs and the dashboard.
//!
//! Everything here is plain data. Times of day are milliseconds since the Unix epoch, and other
//! times in JSON are milliseconds too, round trips with a fraction. Rates are bytes per
//! second over the last second, computed by the node from byte counters, so that viewers only have to keep samples.
//!
//! A program reads what newer versions write: whatever it does not know comes out as the `Unknown` of its enum.

mod changes;
mod link;
mod network;
mod swarm;

use std::{fmt, net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    Explanation, PathPolicy, PeerId, RelayUrl, Ticket,
    times::{fine_millis, millis},
};

pub use changes::{NodeChanges, PeerChanges};
pub use link::{CandidatePair, FlowSnapshot, PairKind, PairState};
pub use network::{
    MappingProtocol, NatBehavior, NatEvidence, NatReport, NetworkSnapshot, Observed,
    PortAllocation, PortMapping, PortRefusal, RefusalReason,
};
pub use swarm::{
    GroupSnapshot, LinkReport, MemberSnapshot, MemberStatus, PairSnapshot, PathKind, Presence,
    Refused, SwarmSnapshot,
};

/// One consistent view of a node, taken by `Endpoint::snapshot`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NodeSnapshot {
    /// When it was taken, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Time since the node was started.
    #[serde(rename = "uptime_ms", with = "millis")]
    pub uptime: Duration,
    /// The node's own id.
    pub id: PeerId,
    /// A ticket that peers can dial.
    pub ticket: Ticket,
    /// What is known of the network the node is in.
    pub network: NetworkSnapshot,
    /// The relays this node is or wants to be registered with, home relays first.
    pub relays: Vec<RelaySnapshot>,
    /// All peers with any state, ordered by id.
    pub peers: Vec<PeerSnapshot>,
    /// Traffic of all peers together.
    pub traffic: Traffic,
    /// Datagrams of strangers that were dropped without an answer.
    pub strangers: u64,
    /// Who proved an id, asked to be let in and was not, within the last hour, the latest first; a few of each network, 64 at
    /// most.
    #[serde(default)]
    pub turned_away: Vec<Caller>,
}

impl NodeSnapshot {
    /// A node that has not looked around yet.
    #[doc(hidden)]
    #[must_use]
    pub fn empty(id: PeerId) -> Self {
        Self {
            at_ms: 0,
            uptime: Duration::ZERO,
            id,
            ticket: Ticket::from(id),
            network: NetworkSnapshot::default(),
            relays: Vec::new(),
            peers: Vec::new(),
            traffic: Traffic::default(),
            strangers: 0,
            turned_away: Vec::new(),
        }
    }

    /// What is known of a peer, if anything is.
    #[must_use]
    pub fn peer(&self, id: PeerId) -> Option<&PeerSnapshot> {
        let place = self.peers.binary_search_by_key(&id, |peer| peer.id).ok()?;
        self.peers.get(place)
    }
}

/// Somebody whom [`Access`](crate::Access) does not let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Caller {
    /// Who.
    pub id: PeerId,
    /// When it called first, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// One relay as this node sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RelaySnapshot {
    /// Its address and key.
    pub url: RelayUrl,
    /// Whether the node is registered with it.
    pub state: RelayState,
    /// Round-trip time to it, once measured.
    #[serde(default, rename = "rtt_ms", with = "fine_millis::option")]
    pub rtt: Option<Duration>,
    /// Whether it is one of ours, and in our ticket.
    pub home: bool,
    /// What it is to the node that is registered with it; none if it is a peer's.
    #[serde(default)]
    pub role: Option<RelayRole>,
    /// Why it is the home relay, if it is.
    #[serde(default)]
    pub home_reason: Option<HomeReason>,
    /// Whether it said that it is about to stop; it carries on until then.
    #[serde(default)]
    pub draining: bool,
    /// The relay of ours in whose place it is, as the operator of that one said, for as long as the node runs.
    #[serde(default)]
    pub in_place_of: Option<RelayUrl>,
    /// Why it is down, if it is.
    pub error: Option<String>,
    /// Whether that is because whoever answers in its place does not hold its key.
    #[serde(default)]
    pub impostor: bool,
    /// By what it is reached; none if the node is not registered with it.
    #[serde(default)]
    pub carrier: Option<Carrier>,
    /// The relay's TCP port, if it is reached by TCP.
    #[serde(default)]
    pub tcp_port: Option<u16>,
    /// The proxy on the way to it, without passwords, if there is one.
    #[serde(default)]
    pub proxy: Option<String>,
}

impl RelaySnapshot {
    /// A relay of which nothing else is known.
    #[doc(hidden)]
    #[must_use]
    pub fn new(url: RelayUrl, state: RelayState) -> Self {
        Self {
            url,
            state,
            rtt: None,
            home: false,
            role: None,
            home_reason: None,
            draining: false,
            in_place_of: None,
            error: None,
            impostor: false,
            carrier: None,
            tcp_port: None,
            proxy: None,
        }
    }
}

/// By what a relay is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Carrier {
    /// UDP, which is what it is built for.
    Udp,
    /// TLS over TCP, as UDP does not get through.
    Tcp,
    /// Something that newer versions know.
    #[serde(other)]
    Unknown,
}

/// Registration with a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RelayState {
    /// Dialling, or waiting for the next try.
    Connecting,
    /// Registered: peers reach us through it.
    Up,
    /// The last try failed; another follows.
    Down,
    /// Something that newer versions know.
    #[serde(other)]
    Unknown,
}

/// What a relay of the node's own, with which it is registered, is to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RelayRole {
    /// The home relay: named first to others, who call by it.
    Home,
    /// Takes over when the home relay dies; named after it.
    Standby,
    /// Something that newer versions know.
    #[serde(other)]
    Unknown,
}

/// Why a relay is the home relay. Words for it come from its `Display`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HomeReason {
    /// It was chosen by hand.
    Preferred,
    /// No other relay of the node's own is up.
    Only,
    /// It has the shortest round trip.
    Nearest,
    /// None is nearer by 10 ms and a third.
    NearEnough,
    /// Another one is, but it changed less than five minutes ago.
    ChangedLately,
    /// Something that newer versions know.
    #[serde(other)]
    Unknown,
}

impl fmt::Display for HomeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Preferred => "preferred",
            Self::Only => "the only one up",
            Self::Nearest => "the nearest",
            Self::NearEnough => "none is clearly nearer",
            Self::ChangedLately => "changed in the last five minutes",
            Self::Unknown => "for a reason that this version does not know",
        })
    }
}

/// One peer as this node sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PeerSnapshot {
    /// The peer's id.
    pub id: PeerId,
    /// Where the link to it stands.
    pub state: PeerState,
    /// The path that carries data now, if any.
    pub path: Option<PathInfo>,
    /// Why the link stands as it does, and what is done about it; absent when nothing is wanted from the peer.
    pub why: Option<Explanation>,
    /// For how long the link has been in this state.
    #[serde(rename = "state_age_ms", with = "millis")]
    pub state_age: Duration,
    /// Smoothed round-trip time of the current path.
    #[serde(default, rename = "rtt_ms", with = "fine_millis::option")]
    pub rtt: Option<Duration>,
    /// How long ago the latest answer came that round trip and losses were concluded from, where that is known.
    #[serde(
        default,
        rename = "rtt_age_ms",
        skip_serializing_if = "Option::is_none",
        with = "millis::option"
    )]
    pub rtt_age: Option<Duration>,
    /// Share of lost packets over all connections to this peer, 0 to 1.
    pub loss: f64,
    /// Open QUIC connections.
    pub connections: u32,
    /// Its traffic.
    pub traffic: Traffic,
    /// Probes sent in the current or last round.
    pub probes_sent: u32,
    /// Of those, the answered ones.
    pub probes_answered: u32,
    /// Which paths may carry its data; absent where all may.
    #[serde(default, skip_serializing_if = "PathPolicy::is_auto")]
    pub policy: PathPolicy,
    /// Whether it was asked by other means than a link to say hello to us, which may take it a minute.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub called: bool,
    /// Whether its last connection has ended: the link is kept for ten seconds more, in case somebody wants it again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ending: bool,
    /// The addresses of the peer's that are or were probed, the one in use first; 16 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<CandidatePair>,
    /// The open QUIC connections, 16 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flows: Vec<FlowSnapshot>,
}

impl PeerSnapshot {
    /// A peer of which nothing else is known.
    #[doc(hidden)]
    #[must_use]
    pub fn new(id: PeerId, state: PeerState) -> Self {
        Self {
            id,
            state,
            path: None,
            why: None,
            state_age: Duration::ZERO,
            rtt: None,
            rtt_age: None,
            loss: 0.0,
            connections: 0,
            traffic: Traffic::default(),
            probes_sent: 0,
            probes_answered: 0,
            policy: PathPolicy::Auto,
            called: false,
            ending: false,
            pairs: Vec::new(),
            flows: Vec::new(),
        }
    }
}

/// Bytes of UDP payload, all paths together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Traffic {
    /// Received since the start.
    pub rx_bytes: u64,
    /// Sent since the start.
    pub tx_bytes: u64,
    /// Received in the last second, bytes per second.
    pub rx_rate: u64,
    /// Sent in the last second, bytes per second.
    pub tx_rate: u64,
}

impl std::iter::Sum for Traffic {
    fn sum<I: Iterator<Item = Self>>(traffic: I) -> Self {
        traffic.fold(Self::default(), |sum, one| Self {
            rx_bytes: sum.rx_bytes + one.rx_bytes,
            tx_bytes: sum.tx_bytes + one.tx_bytes,
            rx_rate: sum.rx_rate + one.rx_rate,
            tx_rate: sum.tx_rate + one.tx_rate,
        })
    }
}

/// The states of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PeerState {
    /// A direct path carries the data.
    Direct,
    /// The direct path fell silent: data goes both ways while it is probed.
    Suspect,
    /// The relay carries the data.
    Relayed,
    /// Both sides know each other's candidates and probe them, for the first time since the dial.
    Punch,
    /// Saying hello through the relay or directly.
    Intro,
    /// No answer, however often it was tried until now; tried again later.
    Failed,
    /// Nothing wanted from this peer.
    Idle,
    /// Something that newer versions know.
    #[serde(other)]
    Unknown,
}

impl fmt::Display for PeerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Suspect => "direct path silent, sending both ways",
            Self::Relayed => "relayed",
            Self::Punch => "probing direct paths",
            Self::Intro => "saying hello",
            Self::Failed => "unreachable",
            Self::Idle => "idle",
            Self::Unknown => "in a state that only newer versions know",
        })
    }
}

/// A path that carries data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum PathInfo {
    /// Straight to the peer.
    Direct {
        /// The peer's address as we send to it.
        remote: SocketAddr,
        /// Whether that is an address of a network we share.
        lan: bool,
        /// Whether TLS over TCP carries it, because datagrams do not get through.
        tcp: bool,
    },
    /// Through a relay.
    Relay {
        /// The relay's address and key.
        remote: RelayUrl,
    },
    /// Something that newer versions know.
    #[serde(other)]
    Unknown,
}

impl fmt::Display for PathInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct {
                remote, tcp: true, ..
            } => write!(f, "direct over TCP, {remote}"),
            Self::Direct {
                remote, lan: true, ..
            } => write!(f, "direct, {remote} on this network"),
            Self::Direct { remote, .. } => write!(f, "direct, {remote}"),
            Self::Relay { remote } => write!(f, "relay {}", remote.place()),
            Self::Unknown => f.write_str("in a way that only newer versions know"),
        }
    }
}

//! What a node shows of itself: the one vocabulary of commands, JSON, logs and the dashboard.
//!
//! Everything here is plain data. Times are milliseconds; `*_ms` fields that may be fractional are `f64`. Rates are bytes per
//! second over the last second, computed by the node from byte counters, so that viewers only have to keep samples.

use std::{fmt, net::SocketAddr};

use serde::{Deserialize, Serialize};

use crate::{Explanation, PeerId, RelayUrl, Ticket};

/// One consistent view of a node, taken by `Endpoint::snapshot`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NodeSnapshot {
    /// When it was taken, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Time since the node was started, milliseconds.
    pub uptime_ms: u64,
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
}

impl NodeSnapshot {
    /// A node that has not looked around yet.
    #[doc(hidden)]
    #[must_use]
    pub fn empty(id: PeerId) -> Self {
        Self {
            at_ms: 0,
            uptime_ms: 0,
            id,
            ticket: Ticket::from(id),
            network: NetworkSnapshot::default(),
            relays: Vec::new(),
            peers: Vec::new(),
            traffic: Traffic::default(),
            strangers: 0,
        }
    }
}

/// What is known of the network the node is in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NetworkSnapshot {
    /// Addresses of this computer's interfaces that are offered to peers, with the socket's port.
    pub local: Vec<SocketAddr>,
    /// Our IPv4 address as a relay sees it.
    pub public_v4: Option<SocketAddr>,
    /// Our IPv6 address as a relay sees it.
    pub public_v6: Option<SocketAddr>,
    /// How the router in front of us behaves (RFC 4787).
    pub nat: NatReport,
    /// What that was concluded from.
    #[serde(default)]
    pub nat_evidence: NatEvidence,
    /// Whether a translator leads from IPv6 to IPv4 (NAT64, RFC 6146).
    #[serde(default)]
    pub nat64: bool,
    /// A port that the router forwards to us.
    pub port_mapping: Option<PortMapping>,
    /// What the router answered that forwards none; none if it did not answer.
    #[serde(default)]
    pub port_refusal: Option<PortRefusal>,
    /// Whether the system refused to list the interfaces: only the addresses are known that packets to the internet leave from, and
    /// no router is asked for a port.
    #[serde(default)]
    pub interfaces_unread: bool,
    /// Why peers on the local network are not found by their id, nor find this node so, though they are meant to; in words.
    #[serde(default)]
    pub lan_trouble: Option<String>,
    /// When the report was last brought up to date, milliseconds since the Unix epoch.
    pub checked_at_ms: Option<u64>,
}

/// A NAT in the terms of RFC 4787.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::exhaustive_structs,
    reason = "RFC 4787 knows these two axes; programs make such reports to show them"
)]
pub struct NatReport {
    /// Section 4.1: whether the public port depends on the destination.
    pub mapping: NatBehavior,
    /// Section 5: whose packets are let in.
    pub filtering: NatBehavior,
    /// Section 4.2: which port a new mapping gets, where the mapping depends on the destination.
    #[serde(default)]
    pub allocation: PortAllocation,
}

/// What a [`NatReport`] was concluded from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NatEvidence {
    /// Relays that were asked by STUN (RFC 8489) where they see this node.
    pub asked: u32,
    /// Of those, the ones that answered.
    pub answered: u32,
    /// Of those, the ones that could be asked at two ports, as RFC 5780 wants it.
    pub two_ports: u32,
    /// The public ports that fresh sockets got, in the order in which they asked.
    pub ports: Vec<u16>,
}

/// How a NAT whose mapping depends on the destination chooses the public port of a new mapping (RFC 4787 section 4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[expect(
    clippy::exhaustive_enums,
    reason = "there is no third way to choose a port that could be made use of"
)]
pub enum PortAllocation {
    /// Not measured, inconclusive, or of no interest because the port is the same for every destination.
    #[default]
    Unknown,
    /// Each new mapping takes the port this many above the one before.
    Sequential {
        /// The distance, negative if ports count down; never 0.
        step: i8,
    },
    /// At random between two ports, both included; of some thousand ports at most, it is a block (RFC 7753).
    Random {
        /// The lowest port.
        first: u16,
        /// The highest port.
        last: u16,
    },
}

/// One axis of RFC 4787's classification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(
    clippy::exhaustive_enums,
    reason = "RFC 4787 names three behaviours and no more"
)]
pub enum NatBehavior {
    /// The same for every destination.
    EndpointIndependent,
    /// Depends on the destination's address.
    AddressDependent,
    /// Depends on the destination's address and port.
    AddressAndPortDependent,
    /// Not measured, or the measurement was inconclusive.
    #[default]
    Unknown,
}

/// A port that the router forwards to this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PortMapping {
    /// The protocol by which the router was asked.
    pub protocol: MappingProtocol,
    /// The address on the router's outside.
    pub external: SocketAddr,
    /// Remaining lifetime, seconds, if it ends at all.
    pub expires_in_s: Option<u32>,
}

impl PortMapping {
    /// A mapping as a router granted it.
    #[must_use]
    pub fn new(protocol: MappingProtocol, external: SocketAddr, expires_in_s: Option<u32>) -> Self {
        Self {
            protocol,
            external,
            expires_in_s,
        }
    }
}

/// A router's refusal to forward a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PortRefusal {
    /// The protocol by which it was asked.
    pub protocol: MappingProtocol,
    /// Its answer: a result code of PCP (RFC 6887 section 7.4) or NAT-PMP (RFC 6886 section 3.5), or an error code of UPnP.
    pub code: u16,
    /// What that means.
    pub reason: RefusalReason,
}

impl PortRefusal {
    /// The router said `code`, which means `reason`.
    #[doc(hidden)]
    #[must_use]
    pub fn new(protocol: MappingProtocol, code: u16, reason: RefusalReason) -> Self {
        Self {
            protocol,
            code,
            reason,
        }
    }
}

/// What a router's refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RefusalReason {
    /// It has no public address itself: its line is down, or another router or the provider's stands before it.
    NoPublicAddress,
    /// This computer may not have ports.
    Forbidden,
    /// No port, or none of those that it may give away, is left.
    NoFreePort,
    /// Something else, or it does not say.
    Other,
}

/// How a router is asked to forward a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum MappingProtocol {
    /// UPnP Internet Gateway Device.
    Upnp,
    /// Port Control Protocol, RFC 6887.
    Pcp,
    /// NAT Port Mapping Protocol, RFC 6886.
    NatPmp,
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
    pub rtt_ms: Option<f64>,
    /// Whether it is in our ticket.
    pub home: bool,
    /// Why it is down, if it is.
    pub error: Option<String>,
    /// Whether that is because whoever answers in its place does not hold its key.
    #[serde(default)]
    pub impostor: bool,
}

impl RelaySnapshot {
    /// A relay of which nothing else is known.
    #[doc(hidden)]
    #[must_use]
    pub fn new(url: RelayUrl, state: RelayState) -> Self {
        Self {
            url,
            state,
            rtt_ms: None,
            home: false,
            error: None,
            impostor: false,
        }
    }
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
    /// Since when the link has been in this state, milliseconds.
    pub state_age_ms: u64,
    /// Smoothed round-trip time of the current path.
    pub rtt_ms: Option<f64>,
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
}

impl fmt::Display for PeerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Suspect => "direct path silent",
            Self::Relayed => "relayed",
            Self::Punch => "trying directly",
            Self::Intro => "saying hello",
            Self::Failed => "unreachable",
            Self::Idle => "idle",
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
        }
    }
}

/// Something that happened on the node, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

impl Event {
    /// An event at the given time, milliseconds since the Unix epoch.
    #[must_use]
    pub fn new(at_ms: u64, kind: EventKind) -> Self {
        Self { at_ms, kind }
    }
}

/// The kinds of [`Event`]; in JSON the tag is `event`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// Registered with a relay.
    RelayUp {
        /// Which.
        relay: RelayUrl,
        /// Round-trip time to it.
        rtt_ms: f64,
    },
    /// A relay was lost or refused us; the node tries again by itself.
    RelayDown {
        /// Which.
        relay: RelayUrl,
        /// Why, in words.
        reason: String,
    },
    /// Our address as relays see it changed.
    PublicAddress {
        /// The new one.
        addr: SocketAddr,
    },
    /// The router forwards a port to us, or no longer does.
    PortMapped {
        /// The mapping, or none when it was lost.
        mapping: Option<PortMapping>,
    },
    /// Interfaces or routes of this computer changed.
    NetworkChanged {
        /// What changed, in words.
        what: String,
    },
    /// The state of the link to a peer changed.
    PeerState {
        /// Which peer.
        peer: PeerId,
        /// Before.
        from: PeerState,
        /// After.
        to: PeerState,
        /// Why it is so; absent when nothing is wanted from the peer.
        why: Option<Box<Explanation>>,
    },
    /// The link to a peer is in the same state as before, but for another reason.
    Explained {
        /// Which peer.
        peer: PeerId,
        /// The reason.
        why: Box<Explanation>,
    },
    /// Another path carries the data to a peer.
    PathChanged {
        /// Which peer.
        peer: PeerId,
        /// The path now, or none when there is no path left.
        path: Option<PathInfo>,
        /// Its round-trip time, once measured.
        rtt_ms: Option<f64>,
    },
    /// A QUIC connection was established.
    Connected {
        /// With whom.
        peer: PeerId,
        /// The application protocol.
        alpn: String,
        /// Whether we dialled.
        outgoing: bool,
    },
    /// A QUIC connection ended.
    Disconnected {
        /// With whom.
        peer: PeerId,
        /// The application protocol.
        alpn: String,
        /// Why, in words.
        reason: String,
    },
}

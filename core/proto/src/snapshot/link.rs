//! What a link is made of: the addresses that were probed, and the connections that it carries.

use std::{fmt, net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

use super::Traffic;
use crate::times::{fine_millis, millis};

/// A candidate pair (RFC 8445): one address of the peer's, from this node's socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CandidatePair {
    /// The address of the peer's.
    pub remote: SocketAddr,
    /// How it was learnt.
    pub kind: PairKind,
    /// What it is good for now.
    pub state: PairState,
    /// Round-trip time, once a probe was answered.
    #[serde(default, rename = "rtt_ms", with = "fine_millis::option")]
    pub rtt: Option<Duration>,
    /// Probes sent there in the current or last round.
    pub sent: u32,
    /// Of those, the answered ones; absent if there are none.
    #[serde(default, skip_serializing_if = "is_none")]
    pub answered: u32,
    /// Probes of the peer's that came from there.
    pub heard: u32,
    /// When the next probe leaves, if one does.
    #[serde(default, rename = "next_ms", with = "millis::option")]
    pub next: Option<Duration>,
    /// How long ago the last probe left, if one did.
    #[serde(
        default,
        rename = "last_ms",
        skip_serializing_if = "Option::is_none",
        with = "millis::option"
    )]
    pub last: Option<Duration>,
    /// Its place among those that answer, the best of which has 1: by kind (local network, internet, TCP), then by round trip, with
    /// an allowance for IPv6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<u32>,
    /// This node's end, where that is known: its address in the network of `remote`, or else where relays see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<SocketAddr>,
    /// What kind of address that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_kind: Option<PairKind>,
    /// Whether the user wants the data to go by it, and not by the best there is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forced: bool,
}

impl CandidatePair {
    /// An address of which nothing else is known.
    #[doc(hidden)]
    #[must_use]
    pub fn new(remote: SocketAddr, kind: PairKind, state: PairState) -> Self {
        Self {
            remote,
            kind,
            state,
            rtt: None,
            sent: 0,
            answered: 0,
            heard: 0,
            next: None,
            last: None,
            rank: None,
            local: None,
            local_kind: None,
            forced: false,
        }
    }

    /// Whether it is a connection of TLS over TCP: of UDP there may be a pair of the same address.
    #[must_use]
    pub fn is_tcp(&self) -> bool {
        self.kind == PairKind::Tcp
    }
}

fn is_none(count: &u32) -> bool {
    *count == 0
}

/// How an address of a peer's was learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PairKind {
    /// The peer named it as one of an interface.
    Host,
    /// The peer named it as a port that its router forwards.
    Mapped,
    /// The peer named it as what a relay sees.
    Reflexive,
    /// Nobody named it: a probe of the peer's came from there.
    PeerReflexive,
    /// A connection of TLS over TCP.
    Tcp,
    /// It was dialled, as in a ticket.
    Named,
    /// Something that newer versions know.
    #[serde(other)]
    Unknown,
}

impl fmt::Display for PairKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::Mapped => "mapped",
            Self::Reflexive => "srflx",
            Self::PeerReflexive => "prflx",
            Self::Tcp => "tcp",
            Self::Named => "named",
            Self::Unknown => "unknown",
        })
    }
}

/// What a pair is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PairState {
    /// It carries the data.
    Used,
    /// It answered, and is there if the one in use dies.
    Standby,
    /// Probes are on their way.
    Probing,
    /// Probes were sent, and none was answered.
    Silent,
    /// Nothing was sent there yet.
    Waiting,
    /// The user [dropped](crate::PairAction::Drop) it.
    Dropped,
    /// Something that newer versions know.
    #[serde(other)]
    Unknown,
}

impl fmt::Display for PairState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Used => "in use",
            Self::Standby => "standby",
            Self::Probing => "probing",
            Self::Silent => "silent",
            Self::Waiting => "waiting",
            Self::Dropped => "dropped",
            Self::Unknown => "unknown",
        })
    }
}

/// A QUIC connection of a link, and what it carries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FlowSnapshot {
    /// The application protocol that both sides agreed on.
    pub alpn: String,
    /// Whether this node dialled.
    pub outgoing: bool,
    /// For how long it has been open.
    #[serde(rename = "age_ms", with = "millis")]
    pub age: Duration,
    /// Streams that this node may still send on.
    pub streams: u32,
    /// Datagrams (RFC 9221) received and sent.
    pub datagrams: (u64, u64),
    /// Bytes of its packets.
    pub traffic: Traffic,
}

impl FlowSnapshot {
    /// A connection that has carried nothing yet.
    #[doc(hidden)]
    #[must_use]
    pub fn new(alpn: String, outgoing: bool) -> Self {
        Self {
            alpn,
            outgoing,
            age: Duration::ZERO,
            streams: 0,
            datagrams: (0, 0),
            traffic: Traffic::default(),
        }
    }
}

//! What a node knows of its groups by what their members tell each other.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::NatReport;
use crate::{
    Cause, PeerId,
    times::{fine_millis, millis},
};

/// The groups whose members tell each other how they are linked, as this node knows them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SwarmSnapshot {
    /// When it was taken, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// In the order of their names; none if the node shares nothing.
    pub groups: Vec<GroupSnapshot>,
    /// What others sent that was not taken, since the start.
    #[serde(default)]
    pub refused: Refused,
    /// Bytes of statuses since the start, with their frames.
    #[serde(default)]
    pub sent_bytes: u64,
    /// The same for what was received.
    #[serde(default)]
    pub received_bytes: u64,
}

/// One group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GroupSnapshot {
    /// What it is called here, and at all whose statuses are taken.
    pub name: String,
    /// This node and all other members, ordered by id.
    pub members: Vec<MemberSnapshot>,
    /// All pairs of them of which at least one says something, ordered by ids.
    pub pairs: Vec<PairSnapshot>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MemberSnapshot {
    /// Its id.
    pub id: PeerId,
    /// Whether what is known of it holds.
    pub presence: Presence,
    /// How long ago its latest status was heard or, if others handed it on, made; none if there is none.
    #[serde(default, rename = "age_ms", with = "millis::option")]
    pub age: Option<Duration>,
    /// Who handed on that status, if it did not come from the member itself.
    #[serde(default)]
    pub via: Option<PeerId>,
    /// What it says of itself, unless that is too old.
    #[serde(default)]
    pub status: Option<MemberStatus>,
    /// Pairs of it that are linked directly.
    pub direct: u32,
    /// Pairs of it whose data goes by a relay.
    pub relayed: u32,
}

impl MemberSnapshot {
    /// A member of whom nothing was heard.
    #[doc(hidden)]
    #[must_use]
    pub fn silent(id: PeerId) -> Self {
        Self {
            id,
            presence: Presence::Silent,
            age: None,
            via: None,
            status: None,
            direct: 0,
            relayed: 0,
        }
    }
}

/// Whether what is known of a member holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Presence {
    /// It is this node itself.
    Here,
    /// It was heard lately.
    Fresh,
    /// It has missed one of its statuses or more, or its link to this node ended and nothing newer was heard of it.
    Stale,
    /// It said that it shares no more.
    Left,
    /// Nothing was heard of it, or nothing for so long that it was forgotten.
    Silent,
    /// Something that newer versions know.
    #[serde(other)]
    Unknown,
}

impl fmt::Display for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Here => "here",
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Left => "left",
            Self::Silent => "not heard",
            Self::Unknown => "unknown",
        })
    }
}

/// What a member says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MemberStatus {
    /// Its version of Peerway.
    pub version: String,
    /// For how long its node runs, in whole seconds.
    #[serde(rename = "uptime_ms", with = "millis")]
    pub uptime: Duration,
    /// The NAT in front of it.
    pub nat: NatReport,
    /// What it receives from all its peers, bytes per second, down to an eighth too low.
    pub rx_rate: u64,
    /// What it sends to them.
    pub tx_rate: u64,
}

/// Two members, the one with the smaller id first, and how each says that they are linked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PairSnapshot {
    /// The one.
    pub a: PeerId,
    /// The other.
    pub b: PeerId,
    /// What the one says, if it was heard and knows of a link.
    pub a_says: Option<LinkReport>,
    /// What the other says.
    pub b_says: Option<LinkReport>,
}

impl PairSnapshot {
    /// A pair of which nobody has said anything.
    #[doc(hidden)]
    #[must_use]
    pub fn new(a: PeerId, b: PeerId) -> Self {
        Self {
            a,
            b,
            a_says: None,
            b_says: None,
        }
    }

    /// Who says most, and what: of two that differ, the one whose path is worse, as either end may hold data back there.
    #[must_use]
    pub fn report(&self) -> Option<(PeerId, &LinkReport)> {
        let a = self.a_says.as_ref().map(|says| (self.a, says));
        let b = self.b_says.as_ref().map(|says| (self.b, says));
        let both = a.into_iter().chain(b);
        both.reduce(|a, b| if b.1.path > a.1.path { b } else { a })
    }

    /// Whether the pair's data goes by a relay, as far as anybody says.
    #[must_use]
    pub fn is_relayed(&self) -> bool {
        self.report()
            .is_some_and(|(_, says)| says.path == PathKind::Relay)
    }

    /// Whether it goes straight.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.report().is_some_and(|(_, says)| says.path.is_direct())
    }

    /// The one that is not `id`.
    #[must_use]
    pub fn other(&self, id: PeerId) -> PeerId {
        if id == self.a { self.b } else { self.a }
    }
}

/// How a member says that it is linked to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LinkReport {
    /// What carries the data. No addresses are told.
    pub path: PathKind,
    /// The first 8 letters of the key of the relay that carries it, if one does.
    #[serde(default)]
    pub relay: Option<String>,
    /// Why it is so; *here* is the member that says it. Sizes of packets are 0.
    #[serde(default)]
    pub why: Option<Cause>,
    /// Smoothed round-trip time, in tenths of a millisecond, at most 6.5 s.
    #[serde(default, rename = "rtt_ms", with = "fine_millis::option")]
    pub rtt: Option<Duration>,
    /// What the member receives on it, bytes per second, down to an eighth too low.
    pub rx_rate: u64,
    /// What it sends.
    pub tx_rate: u64,
    /// Whether statuses go over it.
    pub shares: bool,
}

impl LinkReport {
    /// A link of which nothing else is known.
    #[doc(hidden)]
    #[must_use]
    pub fn new(path: PathKind) -> Self {
        Self {
            path,
            relay: None,
            why: None,
            rtt: None,
            rx_rate: 0,
            tx_rate: 0,
            shares: false,
        }
    }
}

/// What carries the data of a link, from better to worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PathKind {
    /// Straight to an address of a network that both share.
    Lan,
    /// Straight over IPv6.
    DirectV6,
    /// Straight over IPv4.
    DirectV4,
    /// Straight, by TLS over TCP.
    Tcp,
    /// By a relay.
    Relay,
    /// Nothing: it is being tried, or was in vain.
    None,
    /// Something that newer versions know.
    #[serde(other)]
    Unknown,
}

impl PathKind {
    /// Whether no relay is between the two.
    #[must_use]
    pub fn is_direct(self) -> bool {
        match self {
            Self::Lan | Self::DirectV6 | Self::DirectV4 | Self::Tcp => true,
            Self::Relay | Self::None | Self::Unknown => false,
        }
    }
}

impl fmt::Display for PathKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Lan => "direct lan",
            Self::DirectV6 => "direct v6",
            Self::DirectV4 => "direct v4",
            Self::Tcp => "direct tcp",
            Self::Relay => "relay",
            Self::None => "no path",
            Self::Unknown => "unknown",
        })
    }
}

/// Statuses that were not taken, by the reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Refused {
    /// No status at all, or one that is too long. Whoever sends one is heard no more for an hour, as also for a forged one.
    pub malformed: u64,
    /// Not signed by whom it is about.
    pub forged: u64,
    /// Not newer than what is known of the same member, and not the same either.
    pub replayed: u64,
    /// Older than ten minutes by our clock.
    pub old: u64,
    /// More than two minutes ahead of our clock.
    pub future: u64,
    /// Of somebody who is no member here.
    pub strangers: u64,
    /// Of a group that is not shared here, or for others of it only.
    pub others: u64,
}

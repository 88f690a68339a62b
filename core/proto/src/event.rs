//! What happens on a node, one event after the other.

mod words;

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{Explanation, PathInfo, PeerId, PeerState, PortMapping, RelayUrl, times::fine_millis};

pub use words::Names;

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
        #[serde(rename = "rtt_ms", with = "fine_millis")]
        rtt: Duration,
    },
    /// A relay was lost or refused us; the node tries again by itself.
    RelayDown {
        /// Which.
        relay: RelayUrl,
        /// Why, in words.
        reason: String,
    },
    /// A relay of ours is taken out of service, and its operator names another one, which takes its place as soon as we are
    /// registered there, for as long as the node runs. Name that one in its place from now on.
    RelayMoved {
        /// Which is.
        relay: RelayUrl,
        /// The other one.
        to: RelayUrl,
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
        #[serde(default, rename = "rtt_ms", with = "fine_millis::option")]
        rtt: Option<Duration>,
    },
    /// A pair that was [forced](crate::PairAction::Force) does not answer: the best path is used again.
    PairReleased {
        /// Which peer.
        peer: PeerId,
        /// The pair's address.
        remote: SocketAddr,
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
    /// Somebody proved an id, asked to be let in and was not; told once an hour of each at most.
    TurnedAway {
        /// Who.
        peer: PeerId,
    },
    /// Files came from a peer.
    Received {
        /// From whom.
        peer: PeerId,
        /// What came.
        #[serde(flatten)]
        what: Transferred,
    },
    /// Files went to a peer, which has them.
    Sent {
        /// To whom.
        peer: PeerId,
        /// What went.
        #[serde(flatten)]
        what: Transferred,
    },
    /// Something that newer versions know.
    #[serde(other)]
    Unknown,
}

/// Files of one transfer, which has come to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::exhaustive_structs,
    reason = "whoever transfers files makes it"
)]
pub struct Transferred {
    /// The name of the first file or folder that was selected, as its sender chose it: to be made harmless before it is shown. None
    /// for who may know only that files were transferred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The folder that they are in; none of what was sent, and likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// Files that arrived.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that did not arrive.
    #[serde(default)]
    pub missing: u64,
}

//! What the public API and a node's [driver](super::driver) say to each other.

use std::{net::SocketAddr, sync::Arc};

use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::{
    backlog::BacklogSender,
    dial::Reply,
    relay::{Answer, Question, RelayError},
    search::Search,
};
use crate::{Access, Event, NodeSnapshot, PairAction, PathPolicy, PeerId, RelayUrl, Ticket};

/// What the public API asks of the driver.
pub(crate) enum Command {
    /// A connection to a peer, with this application protocol. Whoever drops the other end of `reply` gives the dial up.
    Connect {
        target: Ticket,
        alpn: Vec<u8>,
        reply: Reply,
    },
    /// Who is let in from now on.
    Access { access: Access },
    /// Where to be registered from now on, best first.
    Relays { relays: Vec<RelayUrl> },
    /// Which of them is the home relay whenever it is up, by its key; the nearest if none is named.
    PreferHome { relay: Option<PeerId> },
    /// Why we are not registered with a relay; none if we are, or it is none of ours.
    RelayError {
        relay: RelayUrl,
        reply: oneshot::Sender<Option<RelayError>>,
    },
    /// Something that a relay is to do in the Mainline DHT.
    AskRelay {
        question: Question,
        reply: mpsc::Sender<Answer>,
    },
    /// A program that is told of each peer that is dialled.
    Search { program: mpsc::Sender<Search> },
    /// How it goes with publishing where we are.
    Publishing { words: String },
    /// Who may be asked where they see us.
    Observers { nodes: Vec<SocketAddr> },
    /// A peer asks by other means that we say hello to it.
    CallBack {
        peer: PeerId,
        addrs: Vec<SocketAddr>,
    },
    /// The network may be another one than the system has told.
    NetworkChanged,
    /// Find out anew what the NAT does.
    MeasureNat,
    /// Have routers asked anew for what they forward.
    RenewMappings,
    /// Look for a direct path to a peer now.
    Retry { peer: PeerId },
    /// Which paths may carry a peer's data from now on.
    Policy { peer: PeerId, policy: PathPolicy },
    /// Which those are.
    PolicyOf {
        peer: PeerId,
        reply: oneshot::Sender<PathPolicy>,
    },
    /// What is to be done with one of the peer's pairs.
    Pair {
        peer: PeerId,
        remote: SocketAddr,
        tcp: bool,
        action: PairAction,
    },
    /// Close all connections with a peer.
    HangUp {
        peer: PeerId,
        code: u32,
        reason: Vec<u8>,
    },
    /// Say goodbye and end.
    Shutdown { done: oneshot::Sender<()> },
}

/// What the driver shows to the public API.
pub(crate) struct Outlets {
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) snapshot: watch::Sender<Arc<NodeSnapshot>>,
    pub(crate) accepted: BacklogSender,
}

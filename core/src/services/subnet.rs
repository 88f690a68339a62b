//! Networks joined at layer 3: a TUN device whose packets go to the peers that have what they are sent to. Linux only.
//!
//! A [`Subnet`] gives the node an IPv4 and an IPv6 address that follow from its key, links it with the peers that are named, and
//! lets each of them reach those addresses and what the node *advertises*. What a peer advertises is reached where it is
//! *accepted*; if there is such a range here too, another one of the same size stands for it. Both sides have to name each other.
//! Needs CAP_NET_ADMIN.
//!
//! ```no_run
//! # async fn example(nas: peerway::Ticket) -> Result<(), Box<dyn std::error::Error>> {
//! use peerway::{Endpoint, Router, services::subnet::{self, Offer, Subnet}};
//!
//! let endpoint = Endpoint::builder().bind().await?;
//! let offer = Offer { advertised: vec!["192.168.7.0/24".parse()?], accepted: vec![] };
//! let subnet = Subnet::open(endpoint.clone(), [nas], offer).await?;
//! let served = subnet.clone();
//! let router = Router::new(endpoint).accept(subnet::ALPN, move |connection| served.clone().serve(connection));
//! tokio::join!(router.run(), subnet.run());
//! # Ok(())
//! # }
//! ```
//!
//! On the stream that the dialler opens each side says its addresses and ranges. TCP goes by one of a few streams, chosen by flow, so
//! that none waits for another's losses, and as large as the kernel made it (GSO); what is lost on the way is sent again
//! before the TCP inside notices. Everything else goes in datagrams, which leave before what waits on streams; what is too large for
//! one goes by streams of its own kind.

mod device;
mod error;
mod forwarding;
mod frame;
mod hello;

mod packet;
mod plan;
mod ranges;
mod session;
mod shared;
mod status;
mod table;
mod uplink;

pub use error::SubnetError;
pub use ipnet::IpNet;
pub use plan::Refusal;
pub use status::{LinkState, Status};
pub use table::{Dropped, Route};

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use self::shared::Shared;
use crate::{
    ConnectError, Connection, Endpoint, PeerId, Ticket,
    quic::{ConnectionError, close},
};

/// The application protocol.
pub const ALPN: &[u8] = b"peerway/subnet/1";

/// Peers of one node.
pub const MAX_PEERS: usize = 64;

/// Between two dials of a peer that is not linked.
const RETRY: Duration = Duration::from_secs(5);
/// How long the one of two that is to be dialled waits before it dials: the other is about to.
const PRECEDENCE: Duration = Duration::from_secs(2);
/// How long a dial may take.
const DIAL_PATIENCE: Duration = Duration::from_secs(40);

/// What a node lets its peers reach, and what it wants of theirs.
#[derive(Clone, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "programs write it")]
pub struct Offer {
    /// Networks of this home that every linked peer may reach; 32 at most.
    pub advertised: Vec<IpNet>,
    /// What is reached of that which peers advertise: these ranges and all that lies in them.
    pub accepted: Vec<IpNet>,
}

/// This node's side of its links; clones share it. The device and the routes are there until the last is dropped.
#[derive(Clone)]
pub struct Subnet {
    shared: Arc<Shared>,
    peers: Arc<BTreeMap<PeerId, Ticket>>,
}

impl Subnet {
    /// Makes the device, for links with `peers` and nobody else.
    ///
    /// # Errors
    /// See [`SubnetError`].
    pub async fn open(
        endpoint: Endpoint,
        peers: impl IntoIterator<Item = Ticket>,
        offer: Offer,
    ) -> Result<Self, SubnetError> {
        let peers = peers.into_iter().map(|ticket| (ticket.id(), ticket));
        let peers: BTreeMap<_, _> = peers.collect();
        if peers.len() > MAX_PEERS {
            return Err(SubnetError::ManyPeers);
        }
        let shared = Shared::open(endpoint, offer).await?;
        for peer in peers.keys() {
            shared.name(*peer);
        }
        Ok(Self {
            shared: Arc::new(shared),
            peers: Arc::new(peers),
        })
    }

    /// How the links are, to read or to wait on for changes. Packets that were dropped are counted in it now and then, and
    /// [`dropped`](Self::dropped) says them at once.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.shared.watch()
    }

    /// Packets that did not pass so far.
    #[must_use]
    pub fn dropped(&self) -> Dropped {
        self.shared.dropped()
    }

    /// Carries packets over a connection that a peer opened, until it ends: a handler for a [`Router`](crate::Router).
    pub async fn serve(self, connection: Connection) {
        if self.peers.contains_key(&connection.peer()) {
            let trouble = session::run(&self.shared, &connection, session::Side::Dialled).await;
            if let Some(trouble) = trouble {
                self.shared.trouble(connection.peer(), trouble);
            }
        } else {
            connection.close(close::NOT_LET_IN, b"no link with this peer is wanted");
        }
    }

    /// Carries packets, and dials peers that are not linked, until the node is closed.
    pub async fn run(self) {
        // On threads of the runtime's own, where one task wakes the next without waking a thread.
        let mut tasks = JoinSet::new();
        let shared = self.shared.clone();
        tasks.spawn(async move { shared.read_device().await });
        for peer in self.peers.values() {
            let (subnet, peer) = (self.clone(), peer.clone());
            tasks.spawn(async move { subnet.keep(&peer).await });
        }
        tokio::select! {
            () = self.shared.endpoint().closed() => {}
            () = async { while tasks.join_next().await.is_some() {} } => {}
        }
    }

    /// Dials a peer whenever it is not linked.
    async fn keep(&self, peer: &Ticket) {
        let waits = self.shared.endpoint().id() > peer.id();
        loop {
            self.shared.until_unlinked(peer.id()).await;
            if waits {
                sleep(PRECEDENCE).await;
                self.shared.until_unlinked(peer.id()).await;
            }
            let dial = self.shared.endpoint().connect(peer.clone(), ALPN);
            let trouble = match timeout(DIAL_PATIENCE, dial).await {
                Ok(Ok(connection)) => {
                    let trouble =
                        session::run(&self.shared, &connection, session::Side::Dialler).await;
                    ended(&connection).or(trouble)
                }
                Ok(Err(ConnectError::NoSuchService)) => Some(NOBODY_LINKS.to_owned()),
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("the dial takes too long".to_owned()),
            };
            if let Some(trouble) = trouble {
                self.shared.trouble(peer.id(), trouble);
            }
            sleep(RETRY).await;
        }
    }
}

const NOBODY_LINKS: &str =
    "the peer does not link with this computer: `peerway link` there, with this computer's name";

/// Why a connection ended, if that is worth a word.
fn ended(connection: &Connection) -> Option<String> {
    let reason = connection.close_reason()?;
    if let ConnectionError::ApplicationClosed(frame) = &reason
        && frame.error_code.into_inner() == u64::from(close::NOT_LET_IN)
    {
        return Some(NOBODY_LINKS.to_owned());
    }
    (reason != ConnectionError::LocallyClosed).then(|| reason.to_string())
}

impl std::fmt::Debug for Subnet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subnet")
            .field("peers", &self.peers)
            .finish_non_exhaustive()
    }
}

/// Whether a range can be linked at all.
///
/// # Errors
/// See [`Refusal`].
pub fn check(net: IpNet) -> Result<(), Refusal> {
    plan::check(net)
}

/// The range that an address alone is.
#[must_use]
pub fn host(addr: IpAddr) -> IpNet {
    addr.into()
}

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
mod members;
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

use std::{
    collections::BTreeMap, convert::Infallible, future::pending, net::IpAddr, sync::Arc,
    time::Duration,
};

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use self::{members::Member, shared::Shared};
use crate::{
    ConnectError, Connection, Endpoint, PeerId, Ticket,
    quic::{ConnectionError, close},
};

/// The application protocol.
pub const ALPN: &[u8] = b"peerway/subnet/1";

/// Peers of one node.
pub const MAX_PEERS: usize = 64;

/// Between two dials of a peer that is not linked; each time twice as long as before, up to the second: a peer that begins to link
/// dials, too.
const RETRY: Duration = Duration::from_secs(5);
const MAX_RETRY: Duration = Duration::from_secs(60);
/// How long the one of two that is to be dialled waits before it dials: the other is about to.
const PRECEDENCE: Duration = Duration::from_secs(2);
/// How long a dial may take.
const DIAL_PATIENCE: Duration = Duration::from_secs(40);

/// What a node lets a peer reach, and what it wants of that peer's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "programs write it")]
pub struct Offer {
    /// Networks of this home that the peer may reach; 32 at most.
    pub advertised: Vec<IpNet>,
    /// What is reached of that which the peer advertises: these ranges and all that lies in them.
    pub accepted: Vec<IpNet>,
}

/// This node's side of its links; clones share it. The device and the routes are there until the last is dropped.
#[derive(Clone)]
pub struct Subnet {
    shared: Arc<Shared>,
}

impl Subnet {
    /// Makes the device, for links with `peers`, each on these terms, and with whom is [linked](Self::link) later.
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
        members::check_offer(&offer)?;
        let shared = Arc::new(Shared::open(endpoint).await?);
        for (peer, ticket) in peers {
            shared.members().insert(ticket, offer.clone())?;
            shared.name(peer);
        }
        shared.adapt().await;
        Ok(Self { shared })
    }

    /// Links with one more peer. Other links stay as they are.
    ///
    /// # Errors
    /// [`SubnetError::Linked`], [`SubnetError::Range`], [`SubnetError::ManyRanges`] or [`SubnetError::ManyPeers`].
    pub async fn link(&self, peer: Ticket, offer: Offer) -> Result<(), SubnetError> {
        let id = peer.id();
        self.shared.members().insert(peer, offer)?;
        self.shared.name(id);
        self.shared.adapt().await;
        Ok(())
    }

    /// Links with a peer no more: [`run`](Self::run) takes its routes away and ends its connection. False if it was not linked with.
    /// Other links stay as they are.
    pub fn unlink(&self, peer: PeerId) -> bool {
        self.shared.members().remove(peer)
    }

    /// Dials a peer by this ticket from now on, if it is linked with. A link that is up stays.
    pub fn readdress(&self, ticket: &Ticket) {
        self.shared.members().readdress(ticket);
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
        let peer = connection.peer();
        let Some(member) = self.shared.members().get(peer) else {
            connection.close(close::NOT_LET_IN, shared::UNWANTED);
            return;
        };
        let side = session::Side::Dialled;
        if let Some(trouble) = session::run(&self.shared, &member, &connection, side).await {
            self.shared.trouble(peer, trouble);
        }
    }

    /// Carries packets, and dials peers that are not linked, until the node is closed or somebody removes the device.
    pub async fn run(self) {
        // On threads of the runtime's own, where one task wakes the next without waking a thread.
        let mut reading = JoinSet::new();
        let shared = self.shared.clone();
        reading.spawn(async move { shared.read_device().await });
        tokio::select! {
            () = self.shared.endpoint().closed() => {}
            _ = reading.join_next() => {}
            never = self.tend() => match never {},
        }
    }

    /// Keeps those who are linked with, from one change to the next.
    async fn tend(&self) -> Infallible {
        let mut changes = self.shared.members().watch();
        let mut kept = BTreeMap::<PeerId, (Arc<Member>, JoinSet<()>)>::new();
        loop {
            let meant = changes.borrow_and_update().clone();
            let stays = |peer: &PeerId, member: &Arc<Member>| {
                meant.get(peer).is_some_and(|it| Arc::ptr_eq(it, member))
            };
            // Also who came, and was linked with no more, between two looks.
            let mut gone = self.shared.carrying();
            gone.retain(|(peer, member)| !stays(peer, member));
            kept.retain(|peer, (member, _)| {
                let stays = stays(peer, member);
                if !stays && !gone.iter().any(|(_, it)| Arc::ptr_eq(it, member)) {
                    gone.push((*peer, member.clone()));
                }
                stays
            });
            for (peer, member) in &gone {
                self.shared.forget(*peer, member).await;
            }
            if !gone.is_empty() {
                self.shared.adapt().await;
            }
            for (peer, member) in meant {
                kept.entry(peer).or_insert_with(|| {
                    self.shared.name(peer);
                    let (subnet, of) = (self.clone(), member.clone());
                    let mut task = JoinSet::new();
                    task.spawn(async move { subnet.keep(peer, &of).await });
                    (member, task)
                });
            }
            if changes.changed().await.is_err() {
                return pending().await;
            }
        }
    }

    /// Dials a peer whenever it is not linked.
    async fn keep(&self, peer: PeerId, member: &Arc<Member>) {
        let waits = self.shared.endpoint().id() > peer;
        let mut pause = RETRY;
        loop {
            if self.shared.is_linked(peer) {
                pause = RETRY;
            }
            self.shared.until_unlinked(peer).await;
            if waits {
                sleep(PRECEDENCE).await;
                self.shared.until_unlinked(peer).await;
            }
            let dial = self.shared.endpoint().connect(member.ticket(), ALPN);
            let trouble = match timeout(DIAL_PATIENCE, dial).await {
                Ok(Ok(connection)) => {
                    let side = session::Side::Dialler;
                    let trouble = session::run(&self.shared, member, &connection, side).await;
                    if trouble.is_none() {
                        pause = RETRY;
                    }
                    ended(&connection).or(trouble)
                }
                Ok(Err(ConnectError::NoSuchService)) => Some(NOBODY_LINKS.to_owned()),
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("the dial takes too long".to_owned()),
            };
            if let Some(trouble) = trouble {
                self.shared.trouble(peer, trouble);
            }
            sleep(pause).await;
            pause = (pause * 2).min(MAX_RETRY);
        }
    }
}

const NOBODY_LINKS: &str = "the peer does not link with this computer: `peerway link` or `peerway link add` there, with this computer's name";

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
            .field("members", self.shared.members())
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

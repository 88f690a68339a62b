//! Links that a node was asked to make, and keeps.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::pending,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use peerway::{
    CandidatePair, ConnectError, Connection, Endpoint, PairAction, PairState, PathPolicy, PeerId,
    PeerState, Ticket,
    services::ping::{self, PingError},
};
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};

use crate::book::Book;

/// The links of one node; clones share them.
#[derive(Clone, Debug)]
pub struct Links {
    endpoint: Endpoint,
    kept: Arc<Mutex<BTreeMap<PeerId, Connection>>>,
    book: watch::Receiver<Arc<Book>>,
    reread: Arc<Notify>,
}

/// Why a link was not made.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It is so by the user's own will.
    #[error("{name} is blocked in the address book: `peerway allow {quoted}` first")]
    Blocked {
        /// What the peer is called there.
        name: String,
        /// As a shell takes it.
        quoted: String,
    },
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Of all that the peer answers to, this is the least.
    #[error("the peer did not answer the ping")]
    Mute,
    #[error("the dial takes too long")]
    Slow,
    #[error(transparent)]
    Ping(#[from] PingError),
    /// Nothing is to be retried.
    #[error("the link is direct already")]
    IsDirect,
    /// Nothing direct would be tried.
    #[error(
        "it is kept to relays, so nothing direct is tried: have it reached by the best path again with `peerway policy PEER auto`"
    )]
    KeptToRelays,
    #[error("there is no link to it: connect first")]
    NoLink,
    #[error(
        "the node probes no such address of the peer now: `peerway pairs PEER` lists those that it does"
    )]
    NoPair,
}

/// How long a dial may take: as the library says of the slowest that still comes about, and a bit.
pub(crate) const DIAL_PATIENCE: Duration = Duration::from_secs(40);
/// How long a ping waits for its answer.
const PING_PATIENCE: Duration = Duration::from_secs(5);

impl Links {
    /// None yet, and to everybody.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        let (_, book) = watch::channel(Arc::default());
        Self::of(endpoint, book, Arc::default())
    }

    /// None yet, and to nobody whom the book blocks; `reread` has it read anew.
    pub(crate) fn of(
        endpoint: Endpoint,
        book: watch::Receiver<Arc<Book>>,
        reread: Arc<Notify>,
    ) -> Self {
        Self {
            endpoint,
            kept: Arc::default(),
            book,
            reread,
        }
    }

    /// The node whose links these are.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Dials a peer and keeps the link until it is dropped or the node ends.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn connect(&self, ticket: Ticket) -> Result<(), LinkError> {
        self.check(ticket.id())?;
        let connection = self.endpoint.connect(ticket, ping::ALPN).await?;
        let mut kept = self.kept();
        kept.retain(|_, connection| connection.close_reason().is_none());
        kept.insert(connection.peer(), connection);
        Ok(())
    }

    /// Whether a peer may be dialled.
    ///
    /// # Errors
    /// [`LinkError::Blocked`].
    pub fn check(&self, peer: PeerId) -> Result<(), LinkError> {
        let book = self.book.borrow();
        match book.blocked(peer) {
            Some(name) => Err(LinkError::Blocked {
                name: name.to_string(),
                quoted: name.quoted(),
            }),
            None => Ok(()),
        }
    }

    /// Ready when the book bars a peer, which may be at once.
    pub(crate) async fn until_barred(&self, peer: PeerId) -> LinkError {
        let mut book = self.book();
        loop {
            book.mark_unchanged();
            if let Err(error) = self.check(peer) {
                return error;
            }
            if book.changed().await.is_err() {
                return pending().await;
            }
        }
    }

    /// What is known of peers, each time that it has changed.
    pub(crate) fn book(&self) -> watch::Receiver<Arc<Book>> {
        self.book.clone()
    }

    /// Has the book read now, and not when its change is noticed.
    pub(crate) fn reread_book(&self) {
        self.reread.notify_one();
    }

    /// Lets go of whom the book blocks from now on.
    pub(crate) async fn heed_book(&self) -> Infallible {
        let mut book = self.book.clone();
        while book.changed().await.is_ok() {
            let book = Arc::clone(&book.borrow_and_update());
            self.kept().retain(|peer, _| book.blocked(*peer).is_none());
        }
        pending().await
    }

    /// Lets go of the link to a peer; false if none was asked for here.
    pub fn release(&self, peer: PeerId) -> bool {
        self.kept().remove(&peer).is_some()
    }

    /// One round trip over the link that there is, or over one that is made for it.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn ping(&self, peer: PeerId) -> Result<ping::Reply, LinkError> {
        self.check(peer)?;
        let dial = timeout(DIAL_PATIENCE, self.endpoint.connect(peer, ping::ALPN));
        let connection = dial.await.map_err(|_| LinkError::Slow)??;
        let reply = ping::ping(&connection, 1, PING_PATIENCE).await?;
        reply.ok_or(LinkError::Mute)
    }

    /// Has a direct path looked for now, or pairs that were dropped probed again.
    ///
    /// # Errors
    /// [`LinkError::IsDirect`], [`LinkError::KeptToRelays`] or [`LinkError::NoLink`].
    pub async fn retry(&self, peer: PeerId) -> Result<(), LinkError> {
        let snapshot = self.endpoint.snapshot();
        let known = snapshot.peer(peer);
        let is_dropped = |pair: &CandidatePair| pair.state == PairState::Dropped;
        let lacks_pairs = known.is_some_and(|known| known.pairs.iter().any(is_dropped));
        match known.map(|known| known.state) {
            None | Some(PeerState::Idle) => Err(LinkError::NoLink),
            Some(PeerState::Direct) if !lacks_pairs => Err(LinkError::IsDirect),
            Some(_) if known.is_some_and(|known| known.policy == PathPolicy::RelayOnly) => {
                Err(LinkError::KeptToRelays)
            }
            Some(_) => {
                self.endpoint.retry(peer).await;
                Ok(())
            }
        }
    }

    /// Does something with the pair of this address, over TCP or not.
    ///
    /// # Errors
    /// [`LinkError::NoLink`], or [`LinkError::NoPair`].
    pub async fn choose_pair(
        &self,
        peer: PeerId,
        (remote, tcp): (SocketAddr, bool),
        action: PairAction,
    ) -> Result<(), LinkError> {
        let snapshot = self.endpoint.snapshot();
        let known = snapshot.peer(peer).ok_or(LinkError::NoLink)?;
        let mut pairs = known.pairs.iter();
        let pair = pairs.find(|pair| pair.remote == remote && pair.is_tcp() == tcp);
        let pair = pair.ok_or(LinkError::NoPair)?;
        self.endpoint.choose_pair(peer, pair, action).await;
        Ok(())
    }

    /// Ends all connections with a peer, whoever asked for them.
    pub async fn disconnect(&self, peer: PeerId) {
        self.release(peer);
        self.endpoint
            .hang_up(peer, 0, b"disconnected by hand")
            .await;
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<PeerId, Connection>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

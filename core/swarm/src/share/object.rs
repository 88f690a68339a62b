//! Content that this node has, or has some of.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use peerway::{Connection, PeerId, Ticket};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::{Hash, Outline, Suggester, Units, wire::MAX_HOLDERS};
use crate::store::{catalog::Stored, file::SharedFile, part::Part};

/// Peers that are remembered as holders of one object.
const MAX_FOLLOWERS: usize = 64;
/// How long one is remembered that fetches no more.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Shares with the same content for which that is counted.
const MAX_ROOTS: usize = 16;
/// Peers that others named as holders of one object.
const MAX_INTRODUCED: usize = 256;

/// Where the content is.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    File(SharedFile),
    Part(Arc<Part>),
    Bytes(Arc<[u8]>),
    /// It was withdrawn.
    Gone,
}

/// How it came to be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It is shared as long as the program runs.
    Shared,
    /// The catalogue has it, and it can be looked up anew.
    Catalog,
    /// It was fetched, and is served besides.
    Fetched,
}

impl From<Stored> for Source {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::File(file) => Self::File(file),
            Stored::Bytes(bytes) => Self::Bytes(bytes.into()),
        }
    }
}

/// A peer that fetches, or did.
#[derive(Debug)]
struct Follower {
    ticket: Ticket,
    /// When it asked no more: it has probably all of it, and may go on serving that.
    left: Option<Instant>,
}

/// Content that is served.
#[derive(Debug)]
pub(crate) struct Object {
    outline: Arc<Outline>,
    public: bool,
    source: Mutex<Source>,
    /// Told when there is more of it, or of who has it, or nothing any more.
    changed: watch::Sender<()>,
    followers: Mutex<BTreeMap<PeerId, Follower>>,
    introduced: Mutex<BTreeSet<PeerId>>,
    suggester: Mutex<Suggester>,
    origin: Origin,
    /// The shares that it is a part of, for what is told of them.
    roots: Vec<Hash>,
    /// Who fetches this object here hears of peers that do too.
    arrivals: Option<mpsc::Sender<Connection>>,
}

impl Object {
    pub(crate) fn new(outline: Arc<Outline>, public: bool, source: Source) -> Self {
        Self {
            suggester: Mutex::new(Suggester::new(outline.units())),
            outline,
            public,
            source: Mutex::new(source),
            changed: watch::Sender::new(()),
            followers: Mutex::default(),
            introduced: Mutex::default(),
            origin: Origin::Shared,
            roots: Vec::new(),
            arrivals: None,
        }
    }

    /// The same, which came from elsewhere.
    pub(crate) fn with_origin(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }

    /// The same, which these shares have.
    pub(crate) fn part_of(self, roots: impl IntoIterator<Item = Hash>) -> Self {
        let roots = roots.into_iter().take(MAX_ROOTS).collect();
        Self { roots, ..self }
    }

    pub(crate) fn roots(&self) -> &[Hash] {
        &self.roots
    }

    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    /// The same, of which more is fetched.
    pub(crate) fn fetched(self, arrivals: mpsc::Sender<Connection>) -> Self {
        Self {
            arrivals: Some(arrivals),
            origin: Origin::Fetched,
            ..self
        }
    }

    pub(crate) fn hash(&self) -> Hash {
        self.outline.hash()
    }

    pub(crate) fn outline(&self) -> &Arc<Outline> {
        &self.outline
    }

    pub(crate) fn is_public(&self) -> bool {
        self.public
    }

    pub(crate) fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(crate) fn is_gone(&self) -> bool {
        matches!(*lock(&self.source), Source::Gone)
    }

    /// Which units there are; none if all.
    pub(crate) fn held(&self) -> Option<Units> {
        match &*lock(&self.source) {
            Source::Part(part) => Some(part.held()).filter(|held| !held.is_full()),
            Source::File(_) | Source::Bytes(_) => None,
            Source::Gone => Some(Units::none(self.outline.units())),
        }
    }

    /// Whether it is what the store has of it, and not a file elsewhere.
    pub(crate) fn is_of_store(&self) -> bool {
        match &*lock(&self.source) {
            Source::File(file) => file.path().ends_with(self.hash().to_string()),
            Source::Part(_) | Source::Bytes(_) => self.origin != Origin::Shared,
            Source::Gone => false,
        }
    }

    pub(crate) fn put(&self, source: Source) {
        *lock(&self.source) = source;
        self.changed.send_replace(());
    }

    /// There is more of it.
    pub(crate) fn grew(&self) {
        self.changed.send_replace(());
    }

    /// A unit, if it is there. A file that has changed is withdrawn. Blocks.
    pub(crate) fn unit(&self, unit: u32) -> Option<Vec<u8>> {
        let source = lock(&self.source).clone();
        match source {
            Source::Gone => None,
            Source::Bytes(bytes) => {
                let len = self.outline.len(unit)?;
                let offset = self.outline.offset(unit) as usize;
                bytes.get(offset..offset + len).map(<[u8]>::to_vec)
            }
            Source::Part(part) => part.read(unit).ok().flatten(),
            Source::File(file) => match file.unit(&self.outline, unit) {
                Ok(data) => Some(data),
                Err(error) => {
                    tracing::warn!(hash = %self.hash(), %error, "content is shared no more");
                    if error.is_lasting() {
                        self.put(Source::Gone);
                    }
                    None
                }
            },
        }
    }

    /// A peer fetches it too, over this connection, and may be reached at a ticket.
    pub(crate) fn followed(&self, connection: &Connection, ticket: Option<Ticket>) {
        lock(&self.suggester).come(connection.peer());
        if let Some(ticket) = ticket.filter(|ticket| ticket.id() == connection.peer()) {
            let mut followers = lock(&self.followers);
            followers.retain(|_, it| it.left.is_none_or(|left| left.elapsed() < REMEMBERED));
            if followers.len() < MAX_FOLLOWERS || followers.contains_key(&ticket.id()) {
                let left = None;
                followers.insert(ticket.id(), Follower { ticket, left });
                drop(followers);
                self.changed.send_replace(());
            }
        }
        if let Some(arrivals) = &self.arrivals {
            // One that is full has more holders than it needs.
            let _ = arrivals.try_send(connection.clone());
        }
    }

    /// A peer was sent a unit.
    pub(crate) fn sent(&self, peer: PeerId, unit: u32) {
        if lock(&self.suggester).sent(peer, unit) {
            self.changed.send_replace(());
        }
    }

    /// What to suggest to a peer that fetches it, if all of it is here.
    pub(crate) fn suggest(&self, peer: PeerId) -> Vec<u32> {
        if self.held().is_some() {
            return Vec::new();
        }
        lock(&self.suggester).suggest(peer)
    }

    pub(crate) fn left(&self, peer: PeerId) {
        lock(&self.suggester).gone(peer);
        if let Some(follower) = lock(&self.followers).get_mut(&peer) {
            follower.left = Some(Instant::now());
        }
    }

    /// Who else fetches it, for one who does; those behind `peer` in the order of ids, so that not all hear of the same.
    pub(crate) fn holders(&self, peer: PeerId) -> Vec<Ticket> {
        let followers = lock(&self.followers);
        let behind = followers.range(peer..).chain(followers.range(..peer));
        let others = behind.filter(|(id, _)| **id != peer);
        let tickets = others.map(|(_, it)| it.ticket.clone());
        tickets.take(MAX_HOLDERS).collect()
    }

    /// Somebody whom this object is fetched from names these as others who do: they may have what is here of it.
    pub(crate) fn introduce(&self, peers: impl IntoIterator<Item = PeerId>) {
        let mut introduced = lock(&self.introduced);
        for peer in peers {
            if introduced.len() < MAX_INTRODUCED {
                introduced.insert(peer);
            }
        }
    }

    pub(crate) fn knows(&self, peer: PeerId) -> bool {
        lock(&self.introduced).contains(&peer)
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

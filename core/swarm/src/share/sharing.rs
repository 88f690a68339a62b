//! A node's shared content: [`Sharing`].

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use peerway::{
    Connection, Endpoint, PeerId,
    services::{Rate, files::Progress},
};
use tokio::{
    sync::{Semaphore, broadcast},
    task::spawn_blocking,
    time::Instant,
};

use serde::{Deserialize, Serialize};

use super::{
    GetError, Got, Hash, Kind, Liars, Link, Outline, ShareError, Target,
    contents::Contents,
    get,
    object::{Object, Origin, Source, lock},
    scan, serve,
    session::Session,
    stream::Streams,
    turnstile::Turnstile,
};
use crate::Shunned;
use crate::store::catalog::{Catalog, CatalogError, Stored};
use crate::unix_seconds;

/// Objects in memory before those of the catalogue that nobody uses are looked up anew, and those that were fetched are served no more.
const MAX_CACHED: usize = 1024;
const MAX_OBJECTS: usize = 1 << 17;

/// Content that this node shares, and fetches. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sharing(Arc<Inner>);

struct Inner {
    endpoint: Endpoint,
    may: Box<dyn Fn(PeerId) -> bool + Send + Sync>,
    origin: Instant,
    objects: Mutex<BTreeMap<Hash, Arc<Object>>>,
    sessions: Mutex<BTreeMap<PeerId, Weak<Session>>>,
    liars: Mutex<Liars>,
    turnstile: Turnstile,
    /// Places for what is read before its turn to be sent.
    read_ahead: Arc<Semaphore>,
    sent: AtomicU64,
    notices: broadcast::Sender<Notice>,
    catalog: Option<Arc<Catalog>>,
    shunned: Shunned,
    streams: Streams,
    /// What of the store was used, and when, until that is noted there.
    touched: Mutex<BTreeMap<Hash, u64>>,
    contents: Contents,
}

/// How a node shares.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// Bytes a second that are sent to all peers together, at most; none for no limit.
    pub limit: Option<u64>,
    /// Where is noted what is shared whenever the node runs.
    pub catalog: Option<Catalog>,
    /// Peers from which nothing is fetched and which are not searched, whoever names them.
    pub shunned: Shunned,
}

/// What happens to content, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Nothing is fetched for now, as nothing can be written; it goes on by itself.
    Paused {
        /// What the link names that is fetched.
        hash: Hash,
        /// Why nothing can be written.
        reason: String,
    },
    /// It goes on.
    Resumed {
        /// What the link names that is fetched.
        hash: Hash,
    },
    /// Nobody who is connected has what is missing; it goes on when somebody comes.
    Waiting {
        /// What the link names that is fetched.
        hash: Hash,
    },
    /// A peer sent what is not the content: nothing is fetched from it for an hour.
    Lied {
        /// What the link names that is fetched.
        hash: Hash,
        /// Which.
        peer: PeerId,
    },
}

impl Notice {
    /// What the link names whose fetching this is about.
    #[must_use]
    pub fn hash(&self) -> Hash {
        match self {
            Self::Paused { hash, .. }
            | Self::Resumed { hash }
            | Self::Waiting { hash }
            | Self::Lied { hash, .. } => *hash,
        }
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sharing").finish_non_exhaustive()
    }
}

/// What was shared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Shared {
    /// Its name.
    pub hash: Hash,
    /// Bytes; of a folder, of the list of what is in it.
    pub size: u64,
    /// What it is.
    pub kind: Kind,
    /// What it is called.
    pub name: String,
    /// Whether whoever has the link may have it.
    pub public: bool,
    /// Files in it.
    pub files: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Where it is.
    pub path: PathBuf,
    /// What was left out of a folder, and why.
    pub skipped: Vec<String>,
}

impl Shared {
    pub(crate) fn new(hash: Hash, size: u64, kind: Kind, name: &str, public: bool) -> Self {
        Self {
            hash,
            size,
            kind,
            name: name.to_owned(),
            public,
            files: 0,
            bytes: 0,
            path: PathBuf::new(),
            skipped: Vec::new(),
        }
    }
}

impl Sharing {
    /// For a node. What is not public is for those of whom `may` says so; it is asked for each unit.
    #[must_use]
    pub fn new(endpoint: Endpoint, may: impl Fn(PeerId) -> bool + Send + Sync + 'static) -> Self {
        Self::with(endpoint, may, Options::default())
    }

    /// The same, with options.
    #[must_use]
    pub fn with(
        endpoint: Endpoint,
        may: impl Fn(PeerId) -> bool + Send + Sync + 'static,
        options: Options,
    ) -> Self {
        Self(Arc::new(Inner {
            endpoint,
            may: Box::new(may),
            origin: Instant::now(),
            objects: Mutex::default(),
            sessions: Mutex::default(),
            liars: Mutex::default(),
            turnstile: Turnstile::new(options.limit),
            read_ahead: Arc::new(Semaphore::new(serve::READ_AHEAD)),
            sent: AtomicU64::new(0),
            notices: broadcast::Sender::new(64),
            catalog: options.catalog.map(Arc::new),
            shunned: options.shunned,
            streams: Streams::default(),
            touched: Mutex::default(),
            contents: Contents::default(),
        }))
    }

    /// Shares a file, or a folder with all that is in it, where it is. It is read once for its hash. If it is `public`, whoever has the
    /// link and is let in by the node may have it.
    ///
    /// # Errors
    /// See [`ShareError`].
    pub async fn share(&self, path: &Path, public: bool) -> Result<Shared, ShareError> {
        let path = path.to_owned();
        let read = spawn_blocking(move || scan::read(&path, public)).await;
        let (shared, contents) = read.map_err(|_| ShareError::Ended)??;
        let mut objects = lock(&self.0.objects);
        for (outline, stored) in contents {
            let object = Object::new(Arc::new(outline), public, stored.into());
            let object = object.part_of([shared.hash]);
            objects.insert(object.hash(), Arc::new(object));
        }
        drop(objects);
        self.0.contents.offer(&shared);
        Ok(shared)
    }

    /// The same, and also after the node was started anew, until it is [stopped](Self::stop).
    ///
    /// # Errors
    /// See [`ShareError`].
    pub async fn keep(&self, path: &Path, public: bool) -> Result<Shared, ShareError> {
        let path = path.to_owned();
        let kept = self.in_catalog(move |catalog| {
            let (shared, contents) = scan::read(&path, public)?;
            catalog.add(&shared, &contents)?;
            let hashes = contents.iter().map(|(outline, _)| outline.hash());
            Ok((shared, hashes.collect::<Vec<_>>()))
        });
        let (shared, hashes) = kept.await?;
        self.serve_kept(&hashes);
        Ok(shared)
    }

    /// This is in the catalogue now. What was fetched, or is shared for now, is served as it is kept from now on.
    pub(crate) fn serve_kept(&self, hashes: &[Hash]) {
        self.forget_cached();
        self.0.contents.changed();
        let mut objects = lock(&self.0.objects);
        for hash in hashes {
            objects.remove(hash);
        }
    }

    /// Shares what is kept by this hash no more; whether it was.
    ///
    /// # Errors
    /// See [`ShareError`].
    pub async fn stop(&self, share: Hash) -> Result<bool, ShareError> {
        let removed = self.in_catalog(move |catalog| Ok(catalog.remove(share)?));
        let removed = removed.await?;
        self.forget_cached();
        self.0.contents.changed();
        Ok(removed)
    }

    /// What is kept.
    ///
    /// # Errors
    /// See [`ShareError`].
    pub async fn shares(&self) -> Result<Vec<Shared>, ShareError> {
        self.in_catalog(|catalog| Ok(catalog.shares()?)).await
    }

    /// Of what is kept, how many files of each are not what was shared any more, so that nobody gets them; nothing of one of which all are.
    ///
    /// # Errors
    /// See [`ShareError`].
    pub async fn changed(&self) -> Result<BTreeMap<Hash, u64>, ShareError> {
        self.in_catalog(|catalog| Ok(catalog.changed()?)).await
    }

    pub(super) async fn in_catalog<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Catalog) -> Result<T, ShareError> + Send + 'static,
    ) -> Result<T, ShareError> {
        let catalog = self.0.catalog.clone().ok_or(ShareError::NoCatalog)?;
        let done = spawn_blocking(move || work(&catalog)).await;
        done.map_err(|_| ShareError::Ended)?
    }

    /// What was looked up in the catalogue is looked up again; who follows any of it asks again too.
    fn forget_cached(&self) {
        lock(&self.0.objects).retain(|_, object| {
            if object.origin() == Origin::Catalog {
                object.put(Source::Gone);
            }
            object.origin() != Origin::Catalog
        });
    }

    /// What to hand to others so that they can fetch it, from this node for now.
    #[must_use]
    pub fn link(&self, shared: &Shared) -> Link {
        Link::new(shared.hash, shared.size, shared.kind, &shared.name)
            .public(shared.public)
            .from_providers(vec![self.0.endpoint.ticket()])
    }

    /// Fetches what a link names, from all who have some of it, and puts it where it is to be. What was fetched before, by whatever
    /// try, is not fetched again.
    ///
    /// # Errors
    /// See [`GetError`].
    pub async fn get(
        &self,
        link: &Link,
        target: &Target,
        progress: &Progress,
    ) -> Result<Got, GetError> {
        get::get(self, link, target, progress).await
    }

    /// Answers a peer that connected by [`ALPN`](super::ALPN): a handler for a [`Router`](peerway::Router).
    pub async fn serve(self, connection: Connection) {
        serve::answer(self, connection).await;
    }

    /// Sends no more than this of content to all peers together from now on; none for no limit.
    pub fn limit_to(&self, limit: Option<Rate>) {
        let limit = limit.map(|rate| u64::from(rate.bytes_per_second()));
        self.0.turnstile.limit_to(limit);
    }

    /// Bytes of content that were sent to peers since the node began.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        self.0.sent.load(Relaxed)
    }

    /// What happens to content from now on.
    #[must_use]
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.0.notices.subscribe()
    }

    pub(super) fn notice(&self, notice: Notice) {
        self.0.contents.notice(&notice);
        // Nobody may be interested.
        let _ = self.0.notices.send(notice);
    }

    pub(super) fn shown(&self) -> &Contents {
        &self.0.contents
    }

    /// Whether the file of this content is known to be another now.
    pub(super) fn is_changed(&self, hash: Hash) -> bool {
        let objects = lock(&self.0.objects);
        objects.get(&hash).is_some_and(|object| object.is_gone())
    }

    /// Whether nothing is fetched from this peer, and it is asked for nothing.
    pub(crate) fn shuns(&self, peer: PeerId) -> bool {
        self.0.shunned.contains(peer)
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    pub(super) fn turnstile(&self) -> &Turnstile {
        &self.0.turnstile
    }

    pub(super) fn read_ahead(&self) -> &Arc<Semaphore> {
        &self.0.read_ahead
    }

    pub(crate) fn catalog(&self) -> Option<Arc<Catalog>> {
        self.0.catalog.clone()
    }

    pub(super) fn streams(&self) -> &Streams {
        &self.0.streams
    }

    /// Something of the store, if it is that, is used.
    pub(super) fn touch(&self, hash: Hash) {
        lock(&self.0.touched).insert(hash, unix_seconds());
    }

    /// What was used since this was asked last.
    pub(super) fn touched(&self) -> BTreeMap<Hash, u64> {
        std::mem::take(&mut *lock(&self.0.touched))
    }

    /// Whether some content is fetched, read or followed just now.
    pub(super) fn is_in_use(&self, hash: Hash) -> bool {
        let objects = lock(&self.0.objects);
        let object = objects.get(&hash);
        self.0.streams.is_used(hash) || object.is_some_and(|it| Arc::strong_count(it) > 1)
    }

    /// Some content is kept no more; who follows it is told so.
    pub(super) fn forget(&self, hash: Hash) {
        let mut objects = lock(&self.0.objects);
        if objects.get(&hash).is_some_and(|it| it.is_of_store()) {
            objects.remove(&hash).inspect(|it| it.put(Source::Gone));
        }
    }

    /// Serves some content from now on, unless all of it is served already.
    pub(super) async fn put(&self, object: Arc<Object>) {
        // So that what is kept is among the objects.
        let _ = self.own(object.hash()).await;
        let mut objects = lock(&self.0.objects);
        if objects.len() >= MAX_OBJECTS {
            drop_unused(&mut objects, Origin::Fetched);
        }
        let there = objects.get(&object.hash());
        if there.is_none_or(|there| there.held().is_some()) {
            objects.insert(object.hash(), object);
        }
    }

    /// The content, if the peer may have it.
    pub(super) async fn find(&self, hash: Hash, peer: PeerId) -> Option<Arc<Object>> {
        let object = self.own(hash).await?;
        let may = object.is_public() || object.knows(peer) || (self.0.may)(peer);
        if may && object.origin() != Origin::Shared {
            self.touch(hash);
        }
        may.then_some(object)
    }

    pub(super) async fn own(&self, hash: Hash) -> Option<Arc<Object>> {
        let there = lock(&self.0.objects).get(&hash).cloned();
        if let Some(object) = there {
            // Of what was fetched elsewhere and is there no more the store may have some.
            if !object.is_gone() {
                return Some(object);
            }
            if object.origin() != Origin::Fetched {
                return None;
            }
            lock(&self.0.objects).remove(&hash);
        }
        let catalog = self.0.catalog.clone()?;
        let found = spawn_blocking(move || kept(&catalog, hash)).await.ok()??;
        self.touch(hash);
        let mut objects = lock(&self.0.objects);
        if objects.len() >= MAX_CACHED {
            drop_unused(&mut objects, Origin::Catalog);
        }
        Some(objects.entry(hash).or_insert(found).clone())
    }

    /// The session over a connection, or the one with its peer that there is.
    pub(super) fn session(&self, connection: Connection) -> Arc<Session> {
        let mut sessions = lock(&self.0.sessions);
        sessions.retain(|_, session| session.strong_count() > 0);
        let there = sessions.get(&connection.peer()).and_then(Weak::upgrade);
        if let Some(session) = there.filter(|session| !session.is_over()) {
            return session;
        }
        let session = Arc::new(Session::new(connection));
        sessions.insert(session.peer(), Arc::downgrade(&session));
        session
    }

    pub(super) fn lied(&self, hash: Hash, peer: PeerId) {
        tracing::warn!(%peer, "a peer sent what is not the content: nothing is fetched from it for an hour");
        self.notice(Notice::Lied { hash, peer });
        lock(&self.0.liars).note(peer, self.now());
    }

    pub(crate) fn is_liar(&self, peer: PeerId) -> bool {
        lock(&self.0.liars).is_one(peer, self.now())
    }

    pub(super) fn sent(&self, bytes: u64) {
        self.0.sent.fetch_add(bytes, Relaxed);
    }

    pub(super) fn now(&self) -> Duration {
        Instant::now().saturating_duration_since(self.0.origin)
    }
}

/// Forgets objects that came so and that nobody uses.
fn drop_unused(objects: &mut BTreeMap<Hash, Arc<Object>>, origin: Origin) {
    objects.retain(|_, object| object.origin() != origin || Arc::strong_count(object) > 1);
}

/// What is kept, unless its file is another now. Blocks.
pub(super) fn kept(catalog: &Catalog, hash: Hash) -> Option<Arc<Object>> {
    let log = |error: &CatalogError| tracing::warn!(%error, "what is shared cannot be looked up");
    let is_there = |(_, stored, _): &(Outline, Stored, bool)| match stored {
        Stored::File(file) => {
            let changed = file
                .check()
                .inspect_err(|error| tracing::debug!(%hash, %error, "what is kept is not there"));
            changed.is_ok()
        }
        Stored::Bytes(_) => true,
    };
    let shared = catalog.find(hash).inspect_err(log).ok().flatten();
    let found = match shared.filter(is_there) {
        Some(shared) => Some(shared),
        None => catalog.find_kept(hash).inspect_err(log).ok()?,
    };
    let (outline, stored, public) = found.filter(is_there)?;
    let roots = catalog.roots(hash).inspect_err(log).unwrap_or_default();
    let object = Object::new(Arc::new(outline), public, stored.into()).part_of(roots);
    Some(Arc::new(object.with_origin(Origin::Catalog)))
}

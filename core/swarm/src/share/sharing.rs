//! A node's shared content: [`Sharing`].

use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use peerway::{
    Connection, Endpoint, PeerId,
    services::files::{Progress, Selection},
};
use tokio::{sync::broadcast, task::spawn_blocking, time::Instant};

use super::{
    GetError, Got, Hash, Kind, Liars, Link, Outline, ShareError, Target,
    collection::{self, Entry},
    get,
    object::{Object, Source, lock},
    serve,
    session::Session,
    turnstile::Turnstile,
};
use crate::store::file::SharedFile;

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
    sent: Mutex<BTreeMap<PeerId, u64>>,
    notices: broadcast::Sender<Notice>,
}

/// What happens to content, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Nothing is fetched for now, as nothing can be written; it goes on by itself.
    Paused {
        /// What is fetched.
        hash: Hash,
        /// Why nothing can be written.
        reason: String,
    },
    /// It goes on.
    Resumed {
        /// What is fetched.
        hash: Hash,
    },
    /// Nobody who is connected has what is missing; it goes on when somebody comes.
    Waiting {
        /// What is fetched.
        hash: Hash,
    },
    /// A peer sent what is not the content: nothing is fetched from it for an hour.
    Lied {
        /// Which.
        peer: PeerId,
    },
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sharing").finish_non_exhaustive()
    }
}

/// What was shared.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// What was left out of a folder, and why.
    pub skipped: Vec<String>,
}

impl Sharing {
    /// For a node. What is not public is for those of whom `may` says so; it is asked for each unit.
    #[must_use]
    pub fn new(endpoint: Endpoint, may: impl Fn(PeerId) -> bool + Send + Sync + 'static) -> Self {
        Self::limited(endpoint, may, None)
    }

    /// The same, sending at most so many bytes a second to all peers together.
    #[must_use]
    pub fn limited(
        endpoint: Endpoint,
        may: impl Fn(PeerId) -> bool + Send + Sync + 'static,
        limit: Option<u64>,
    ) -> Self {
        Self(Arc::new(Inner {
            endpoint,
            may: Box::new(may),
            origin: Instant::now(),
            objects: Mutex::default(),
            sessions: Mutex::default(),
            liars: Mutex::default(),
            turnstile: Turnstile::new(limit),
            sent: Mutex::default(),
            notices: broadcast::Sender::new(64),
        }))
    }

    /// Shares a file, or a folder with all that is in it, where it is. It is read once for its hash. If it is `public`, whoever has the
    /// link and is let in by the node may have it.
    ///
    /// # Errors
    /// See [`ShareError`].
    pub async fn share(&self, path: &Path, public: bool) -> Result<Shared, ShareError> {
        let path = path.to_owned();
        let read = spawn_blocking(move || read(&path)).await;
        let (shared, contents) = read.map_err(|_| ShareError::Ended)??;
        let shared = Shared { public, ..shared };
        let mut objects = lock(&self.0.objects);
        for (outline, source) in contents {
            let object = Object::new(Arc::new(outline), public, source);
            objects.insert(object.hash(), Arc::new(object));
        }
        Ok(shared)
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

    /// Peers that sent something wrong within the last hour, from which nothing is fetched.
    #[must_use]
    pub fn liars(&self) -> Vec<PeerId> {
        lock(&self.0.liars).each(self.now()).collect()
    }

    /// Bytes of content that were sent to peers since the node began.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        lock(&self.0.sent).values().sum()
    }

    /// What happens to content from now on.
    #[must_use]
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.0.notices.subscribe()
    }

    pub(super) fn notice(&self, notice: Notice) {
        // Nobody may be interested.
        let _ = self.0.notices.send(notice);
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    pub(super) fn turnstile(&self) -> &Turnstile {
        &self.0.turnstile
    }

    /// Serves some content from now on, unless all of it is served already.
    pub(super) fn put(&self, object: Arc<Object>) {
        let mut objects = lock(&self.0.objects);
        let there = objects.get(&object.hash());
        if there.is_none_or(|there| there.held().is_some()) {
            objects.insert(object.hash(), object);
        }
    }

    /// The content, if the peer may have it.
    pub(super) fn find(&self, hash: Hash, peer: PeerId) -> Option<Arc<Object>> {
        let object = self.own(hash)?;
        let may = object.is_public() || object.knows(peer) || (self.0.may)(peer);
        may.then_some(object)
    }

    pub(super) fn own(&self, hash: Hash) -> Option<Arc<Object>> {
        let object = lock(&self.0.objects).get(&hash).cloned()?;
        (!object.is_gone()).then_some(object)
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

    pub(super) fn lied(&self, peer: PeerId) {
        tracing::warn!(%peer, "a peer sent what is not the content: nothing is fetched from it for an hour");
        self.notice(Notice::Lied { peer });
        lock(&self.0.liars).note(peer, self.now());
    }

    pub(super) fn is_liar(&self, peer: PeerId) -> bool {
        lock(&self.0.liars).is_one(peer, self.now())
    }

    pub(super) fn sent(&self, peer: PeerId, bytes: u64) {
        let mut sent = lock(&self.0.sent);
        if sent.len() > 4096 {
            sent.clear();
        }
        *sent.entry(peer).or_default() += bytes;
    }

    pub(super) fn now(&self) -> Duration {
        Instant::now().saturating_duration_since(self.0.origin)
    }
}

/// Reads what is shared for its hashes. Blocks.
fn read(path: &Path) -> Result<(Shared, Vec<(Outline, Source)>), ShareError> {
    let selection = Selection::of(&[path.to_owned()])?;
    let skipped = selection.skipped().iter();
    let skipped = skipped.map(|it| format!("{}: {}", it.path.display(), it.reason));
    let skipped = skipped.collect();
    let top = selection.each().next().map_or("", |(name, _)| name);
    let mut shared = Shared {
        hash: Hash::of(b""),
        size: 0,
        kind: Kind::File,
        name: top.to_owned(),
        public: false,
        files: 0,
        bytes: 0,
        skipped,
    };
    if selection.each().count() > collection::MAX_FILES as usize {
        return Err(ShareError::Many);
    }
    let (mut contents, mut entries) = (Vec::new(), Vec::new());
    for (name, place) in selection.each() {
        let below = name.get(top.len() + 1..).unwrap_or_default();
        let Some(place) = place else {
            shared.kind = Kind::Folder;
            if !below.is_empty() {
                entries.push(Entry::new(below.to_owned(), None));
            }
            continue;
        };
        let (file, outline) = SharedFile::read(place)?;
        shared.files += 1;
        shared.bytes += outline.size();
        (shared.hash, shared.size) = (outline.hash(), outline.size());
        let described = collection::File::new(shared.hash, shared.size, file.is_executable());
        entries.push(Entry::new(below.to_owned(), Some(described)));
        contents.push((outline, Source::File(file)));
    }
    if shared.kind == Kind::Folder {
        let listed = collection::write(&mut entries).map_err(|_| ShareError::Many)?;
        for page in listed.1 {
            let (hash, size) = (Hash::of(&page), page.len() as u64);
            let outline = Outline::of_small(hash, size).ok_or(ShareError::Many)?;
            contents.push((outline, Source::Bytes(page.into())));
            // The root is the last.
            (shared.hash, shared.size) = (hash, size);
        }
    }
    Ok((shared, contents))
}

//! Content that is fetched into the store while others read it: tasks around [`Readers`].

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, Weak},
};

use peerway::services::files::{Place, Progress, sanitise};
use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
};

use super::{
    GetError, Hash, KeepError, Link, Sharing, Units,
    collection::File,
    contents::Shown,
    get::{Get, blocking},
    object::{Object, lock},
    readers::{Readers, Wanted},
    sources::Sources,
};
use crate::{
    store::{
        catalog::{Catalog, Kept, Stored},
        file::SharedFile,
    },
    unix_seconds,
};

/// Those who read some content, and whoever fetches it for them.
#[derive(Debug, Default)]
pub(super) struct Reading {
    readers: Mutex<Readers>,
    news: Notify,
}

impl Reading {
    pub(super) fn wanted(&self, held: &Units) -> Wanted {
        lock(&self.readers).wanted(held)
    }

    /// Something else may be wanted; never where there is nobody who reads.
    pub(super) async fn changed(reading: Option<&Self>) {
        match reading {
            Some(reading) => reading.news.notified().await,
            None => std::future::pending().await,
        }
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Readers) -> T) -> T {
        let changed = change(&mut lock(&self.readers));
        self.news.notify_one();
        changed
    }
}

/// How far the fetching of some content is.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// It is not known yet what its units are checked against.
    Opening,
    /// Some of it may be there.
    Open(Arc<Object>),
    /// All of it is there, and kept.
    Whole,
    Failed(KeepError),
}

/// What whoever fetches tells those who read.
#[derive(Debug)]
pub(super) struct Opened {
    reading: Arc<Reading>,
    state: watch::Sender<State>,
}

impl Opened {
    pub(super) fn begins(&self, object: &Arc<Object>) {
        self.state.send_replace(State::Open(object.clone()));
    }

    pub(super) fn reading(&self) -> Arc<Reading> {
        self.reading.clone()
    }
}

/// Content that is fetched as long as somebody has this.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) reading: Arc<Reading>,
    pub(super) state: watch::Receiver<State>,
    task: AbortHandle,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// All that is fetched into the store.
#[derive(Debug, Default)]
pub(super) struct Streams {
    streams: Mutex<BTreeMap<Hash, Weak<Stream>>>,
    sources: Mutex<BTreeMap<Hash, Weak<Finding>>>,
}

/// Those who have what a link names, who are dialled as long as somebody has this.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) sources: Arc<Sources>,
    task: AbortHandle,
    _shown: Shown,
}

impl Drop for Finding {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Streams {
    pub(super) fn is_used(&self, hash: Hash) -> bool {
        let streams = lock(&self.streams);
        streams.get(&hash).is_some_and(|it| it.strong_count() > 0)
    }
}

impl Sharing {
    /// Those who have what a link names.
    pub(super) fn finding(&self, link: &Link, progress: &Progress) -> Arc<Finding> {
        let mut all = lock(&self.streams().sources);
        all.retain(|_, it| it.strong_count() > 0);
        if let Some(there) = all.get(&link.hash).and_then(Weak::upgrade) {
            there.sources.learn(&link.providers);
            return there;
        }
        let shown = self.show(link, PathBuf::new(), progress);
        let sources = Arc::new(Sources::new(self, link, shown.fetching().clone()));
        let dialling = sources.clone();
        #[expect(clippy::disallowed_methods, reason = "the shell")]
        let task = tokio::spawn(async move { dialling.run().await });
        let task = task.abort_handle();
        let finding = Arc::new(Finding {
            sources,
            task,
            _shown: shown,
        });
        all.insert(link.hash, Arc::downgrade(&finding));
        finding
    }

    /// The fetching of a file, which is a part of what a link names; it begins unless it has.
    pub(super) fn stream(&self, link: &Link, file: File, progress: &Progress) -> Arc<Stream> {
        let finding = self.finding(link, progress);
        let mut all = lock(&self.streams().streams);
        all.retain(|_, it| it.strong_count() > 0);
        let there = all.get(&file.hash).and_then(Weak::upgrade);
        if let Some(there) = there.filter(|it| !matches!(*it.state.borrow(), State::Failed(_))) {
            return there;
        }
        let reading = Arc::new(Reading::default());
        let (tell, state) = watch::channel(State::Opening);
        let opened = Opened {
            reading: reading.clone(),
            state: tell,
        };
        let fetching = Fetching {
            sharing: self.clone(),
            finding,
            public: link.public,
            file,
            progress: progress.clone(),
            opened,
        };
        #[expect(clippy::disallowed_methods, reason = "the shell")]
        let task = tokio::spawn(fetching.run()).abort_handle();
        let stream = Arc::new(Stream {
            reading,
            state,
            task,
        });
        all.insert(file.hash, Arc::downgrade(&stream));
        stream
    }
}

struct Fetching {
    sharing: Sharing,
    finding: Arc<Finding>,
    public: bool,
    file: File,
    progress: Progress,
    opened: Opened,
}

impl Fetching {
    async fn run(self) {
        let fetched = tokio::select! {
            fetched = self.fetch() => fetched,
            () = self.sharing.endpoint().closed() => Err(GetError::Ended.into()),
        };
        if fetched.is_err() {
            let hash = self.file.hash;
            let release = move |catalog: &Catalog| catalog.release(&[hash], |_| false);
            if let Err(error) = self.sharing.in_store(release).await {
                tracing::warn!(%hash, %error, "what did not come still counts as kept");
            }
        }
        self.opened.state.send_replace(match fetched {
            Ok(()) => State::Whole,
            Err(error) => State::Failed(error),
        });
    }

    async fn fetch(&self) -> Result<(), KeepError> {
        let File { hash, size, .. } = self.file;
        let new = Kept {
            size,
            used: unix_seconds(),
            public: self.public,
            whole: None,
            providers: self.finding.sources.tickets(),
        };
        self.sharing.admit(vec![(hash, new)]).await?;
        let folder = self.sharing.in_store(|catalog| catalog.open_folder());
        let folder = folder.await?;
        let opened = folder.clone();
        let place = blocking(&folder, move || Place::open(&opened, true)).await?;
        let get = Get {
            sharing: &self.sharing,
            sources: &self.finding.sources,
            place: Arc::new(place),
            folder: folder.clone(),
            id: hash.to_string(),
            public: self.public,
            progress: &self.progress,
            opened: Some(&self.opened),
        };
        let name = sanitise(&hash.to_string());
        let name = name.map_err(|error| GetError::NoList(error.to_string()))?;
        let path = get.one(File::new(hash, size, false), name).await?;
        get.clear().await;
        let State::Open(object) = self.opened.state.borrow().clone() else {
            return Err(GetError::Ended.into());
        };
        let whole = move || {
            let file = SharedFile::written(&path);
            Ok(file.ok().map(Stored::File))
        };
        let whole = blocking(&folder, whole).await?;
        let outline = object.outline().clone();
        let noted = move |catalog: &Catalog| Ok(catalog.finish(&outline, whole)?);
        self.sharing.in_store(noted).await
    }
}

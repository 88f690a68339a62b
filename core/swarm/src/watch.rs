//! Folders whose content is shared anew whenever it changes: [`Watches`].
//!
//! `settling` decides in virtual time when a folder is looked at and shared, and what of it is not yet written and stays out;
//! `notices` are the system's, `pass` reads. A file that stayed the same is not read again. What the folder was before is shared no
//! more: whoever has that link is told so, and whoever lists or searches what is shared finds the new one.

mod notices;
mod pass;
mod settling;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    future::Future,
    path::PathBuf,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
};

use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant, sleep_until},
};

use self::{
    notices::Notices,
    pass::{Known, Pass, Passed, Walked, aside},
    settling::{Settling, UNTOLD},
};
use crate::{
    search::Search,
    share::{Hash, ShareError, Shared, Sharing, lock},
    store::catalog::Catalog,
};

/// A folder that is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Watch {
    /// Where it is.
    pub folder: PathBuf,
    /// Whether whoever has a link may have what is in it.
    pub public: bool,
    /// Whether those who may have it find it by its names.
    pub searchable: bool,
}

impl Watch {
    /// For those whom the node knows, who do not find it.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            public: false,
            searchable: false,
        }
    }
}

/// How a watched folder fares.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Watched {
    /// It is shared as it is, or was when all in it rested.
    Shared {
        /// As what.
        shared: Shared,
        /// Why changes are seen late, if they are.
        trouble: Option<String>,
    },
    /// It is not shared as it is, and tried again.
    Failed {
        /// Why.
        reason: String,
    },
}

/// Why a folder cannot be watched, or is not shared as it is.
#[derive(Debug, thiserror::Error)]
enum WatchError {
    #[error(transparent)]
    Share(#[from] ShareError),
    #[error(
        "the node's own files are in it, and its secret key among them: watch a folder below it"
    )]
    Own,
    #[error("the system starts no thread in which it could be read")]
    Thread,
    /// By whoever began it.
    #[error("it is watched no more")]
    Over,
}

/// The watched folders of a node. One is read at a time, and when nothing else wants the processor. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Watches {
    sharing: Sharing,
    search: Search,
    turn: Arc<Semaphore>,
    /// What each is shared as.
    newest: Arc<Mutex<BTreeMap<PathBuf, Hash>>>,
}

impl Watches {
    /// Of a node whose [`Sharing`] has a catalogue.
    #[must_use]
    pub fn new(sharing: Sharing, search: Search) -> Self {
        Self {
            sharing,
            search,
            turn: Arc::new(Semaphore::new(1)),
            newest: Arc::default(),
        }
    }

    /// Shares a folder from one change to the next and tells how it fares, until `end`. What it was last stays shared then.
    pub async fn follow(
        &self,
        watch: Watch,
        tell: impl FnMut(Watched) + Send,
        end: impl Future<Output = ()> + Send,
    ) {
        let Some(catalog) = self.sharing.catalog() else {
            return end.await;
        };
        let folder = watch.folder.clone();
        let following = Following {
            watches: self,
            known: Arc::default(),
            settling: Settling::new(BTreeMap::new()),
            news: Arc::default(),
            notices: None,
            begun: Instant::now(),
            catalog,
            trouble: None,
            watch,
            tell,
        };
        self.sharing.watches(&folder, true);
        following.run(pin!(end)).await;
        self.sharing.watches(&folder, false);
    }

    /// What it was before is shared no more.
    async fn replace(&self, watch: &Watch, passed: &mut Passed) -> Result<(), ShareError> {
        let (sharing, search) = (&self.sharing, &self.search);
        sharing.serve_kept(&passed.contents);
        let left_out = search.keep(&passed.shared, watch.searchable).await?;
        if left_out > 0 {
            let names = format!("{left_out} names, which are not found: there are too many");
            passed.shared.skipped.push(names);
        }
        let new = passed.shared.hash;
        let others = {
            let mut newest = lock(&self.newest);
            newest.insert(watch.folder.clone(), new);
            newest.values().copied().collect::<Vec<_>>()
        };
        for old in sharing.shares().await? {
            if old.path == watch.folder && !others.contains(&old.hash) {
                search.withdraw(old.hash);
                sharing.stop(old.hash).await?;
            }
        }
        Ok(())
    }
}

struct Following<'a, T> {
    watches: &'a Watches,
    catalog: Arc<Catalog>,
    watch: Watch,
    tell: T,
    settling: Settling,
    known: Arc<Known>,
    news: Arc<Notify>,
    notices: Option<Notices>,
    begun: Instant,
    /// Why changes are seen late.
    trouble: Option<String>,
}

/// A look at a folder, and who tells of what changes after it.
struct Walk {
    notices: Option<Notices>,
    trouble: Option<String>,
    walked: Result<Walked, WatchError>,
}

impl<T: FnMut(Watched)> Following<'_, T> {
    async fn run(mut self, mut end: Pin<&mut impl Future<Output = ()>>) {
        tokio::select! {
            () = &mut end => return,
            () = self.remember() => {}
        }
        loop {
            tokio::select! {
                () = &mut end => break,
                () = self.news.notified() => {
                    self.settling.noticed(self.begun.elapsed());
                    continue;
                }
                () = sleep_until(self.begun + self.settling.due()) => {}
            }
            match self.look(&mut end).await {
                Ok(()) => {}
                Err(WatchError::Over) => break,
                Err(error) => {
                    self.settling.failed(self.begun.elapsed());
                    let reason = error.to_string();
                    (self.tell)(Watched::Failed { reason });
                }
            }
        }
        lock(&self.watches.newest).remove(&self.watch.folder);
    }

    /// What was read before the node began is not read again.
    async fn remember(&mut self) {
        let (catalog, folder) = (self.catalog.clone(), self.watch.folder.clone());
        let known = aside(move || {
            let shares = catalog.shares().unwrap_or_default();
            let of_it = shares.iter().filter(|it| it.path == folder);
            let files = of_it.flat_map(|it| catalog.files_of(it.hash).unwrap_or_default());
            files
                .map(|(hash, file)| (file.path().to_owned(), (file, hash)))
                .collect::<Known>()
        });
        self.known = Arc::new(known.await.unwrap_or_default());
        let stamps = self.known.iter();
        let stamps = stamps.map(|(path, (file, _))| (path.clone(), file.stamp()));
        self.settling = Settling::new(stamps.collect());
    }

    /// Looks at it, and shares it if that is due.
    async fn look(
        &mut self,
        end: &mut Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(), WatchError> {
        let walking = self.walk();
        let Walk {
            notices,
            trouble,
            walked,
        } = tokio::select! {
            () = end.as_mut() => return Err(WatchError::Over),
            walked = walking => walked.ok_or(WatchError::Thread)?,
        };
        self.notices = notices;
        self.trouble = trouble;
        self.settling.is_told(self.notices.is_some());
        let walked = walked?;
        let now = self.begun.elapsed();
        let Some(restless) = self.settling.look(&walked.found, now) else {
            return Ok(());
        };
        let turn = self.watches.turn.clone();
        let _turn = tokio::select! {
            () = end.as_mut() => return Err(WatchError::Over),
            turn = turn.acquire_owned() => turn.map_err(|_| WatchError::Over)?,
        };
        let began = self.begun.elapsed();
        let folder = (self.watch.folder.clone(), self.watch.public);
        let known = self.known.clone();
        let (pass, going) = Pass::new(self.catalog.clone(), folder, walked, restless, known);
        let mut passing = pin!(aside(move || pass.run()));
        let passed = tokio::select! {
            passed = &mut passing => passed,
            () = end.as_mut() => {
                // Whoever ends it is to see all that comes of it.
                drop(going);
                passing.await;
                return Err(WatchError::Over);
            }
        };
        let mut passed = passed.ok_or(WatchError::Thread)??;
        self.watches.replace(&self.watch, &mut passed).await?;
        self.known = Arc::new(passed.known);
        let now = self.begun.elapsed();
        self.settling.shared(&passed.changed, now - began, now);
        let trouble = self.trouble.clone();
        let shared = passed.shared;
        (self.tell)(Watched::Shared { shared, trouble });
        Ok(())
    }

    /// What is in it, after the system was asked to tell of changes from now on, so that none is between them.
    fn walk(&mut self) -> impl Future<Output = Option<Walk>> + use<T> {
        let (folder, news) = (self.watch.folder.clone(), self.news.clone());
        let (notices, own) = (self.notices.take(), self.catalog.path().to_owned());
        aside(move || {
            let real = std::fs::canonicalize(&folder).unwrap_or_else(|_| folder.clone());
            if std::fs::canonicalize(&own)
                .unwrap_or(own)
                .starts_with(&real)
            {
                return Walk {
                    notices: None,
                    trouble: None,
                    walked: Err(WatchError::Own),
                };
            }
            let notices = match notices.filter(|it| it.are_of(&real)) {
                Some(notices) => Ok(notices),
                None => Notices::of(&real, news),
            };
            let (notices, trouble) = match notices {
                Ok(notices) => (Some(notices), None),
                Err(error) => (None, Some(late(&error))),
            };
            let walked = Walked::through(&folder).map_err(WatchError::from);
            Walk {
                notices,
                trouble,
                walked,
            }
        })
    }
}

fn late(error: &notify::Error) -> String {
    let every = UNTOLD.as_secs();
    let mut text = format!("changes are seen within {every} s, as the system tells of none: ");
    match error.kind {
        notify::ErrorKind::MaxFilesWatch => {
            text.push_str("raise fs.inotify.max_user_watches");
        }
        notify::ErrorKind::Generic(_)
        | notify::ErrorKind::Io(_)
        | notify::ErrorKind::PathNotFound
        | notify::ErrorKind::WatchNotFound
        | notify::ErrorKind::InvalidConfig(_) => text.push_str(&error.to_string()),
    }
    text
}

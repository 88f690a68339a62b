//! What was fetched and is kept: pins, and what goes when there is too much.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use peerway::services::files::{Progress, tree::MIN_UNIT};
use tokio::{
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use super::{
    GetError, Hash, Kind, Link, Sharing,
    collection::{File, Root},
    get::{FILES, Listed, SMALL_FILES, listed, read_lists},
    sharing::kept,
    stream::{State, Stream},
};
use crate::{
    store::{
        Pin, Room, StoreError, Swept, User,
        catalog::{Catalog, Kept, Stored},
        check_name,
        sweep::Extent,
    },
    unix_seconds,
};

/// How often is looked what may go.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);

/// Why nothing is kept or read. Clones are of the same failure.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeepError {
    /// The store does not take it.
    #[error(transparent)]
    Store(Arc<StoreError>),
    /// It was not fetched.
    #[error(transparent)]
    Get(Arc<GetError>),
    /// A node that keeps nothing: a program gives [`Sharing`] a catalogue for that.
    #[error("this node keeps nothing of what it fetches")]
    NoStore,
    /// There is no file of that name in the folder.
    #[error("there is no file of that name in the folder")]
    NoFile,
    /// It is neither here nor is known who has it.
    #[error("this is not here, and who has it is not known: use a link that names somebody")]
    Unknown,
    /// It was there, and was taken away or changed.
    #[error("it is not there any more")]
    Gone,
    /// Nobody sends it.
    #[error("nothing of it came for a minute: whoever has it may have left")]
    Slow,
}

impl From<StoreError> for KeepError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl From<GetError> for KeepError {
    fn from(error: GetError) -> Self {
        Self::Get(Arc::new(error))
    }
}

impl User for Sharing {
    fn uses(&self, hash: Hash) -> bool {
        self.is_in_use(hash)
    }

    fn loses(&self, hash: Hash) {
        self.forget(hash);
    }
}

/// Wants all of some content as long as it is there.
struct All<'a>(&'a Stream);

impl<'a> All<'a> {
    fn of(stream: &'a Stream) -> Self {
        stream.reading.change(super::readers::Readers::want_all);
        Self(stream)
    }
}

impl Drop for All<'_> {
    fn drop(&mut self) {
        let reading = &self.0.reading;
        reading.change(super::readers::Readers::want_all_no_more);
    }
}

impl Sharing {
    /// Fetches what a link names into the store and keeps it, under a name and until a time in seconds since 1970, or until it is
    /// [taken away](Self::unpin). What is there is not fetched again, and what is shared in place is kept where it is.
    ///
    /// # Errors
    /// See [`KeepError`]. The pin stays, and the same once more goes on; one that is new and has no room is none. What did not come takes no
    /// room.
    pub async fn pin(
        &self,
        link: &Link,
        name: &str,
        until: Option<u64>,
        progress: &Progress,
    ) -> Result<Pin, KeepError> {
        check_name(name)?;
        let new = Pin::new(link, name, until);
        let noted = self.in_store(move |catalog| {
            let pins = catalog.pins()?;
            let is_new = pins.iter().all(|it| it.name != new.name);
            Ok((catalog.pin(new)?, is_new))
        });
        let (pin, is_new) = noted.await?;
        let kept = self.keep_all(link, pin.clone(), progress).await;
        let has_no_room = |error: &KeepError| matches!(error, KeepError::Store(error) if matches!(**error, StoreError::NoRoom { .. }));
        if is_new && kept.as_ref().is_err_and(has_no_room) {
            self.in_store(move |catalog| catalog.refuse(&pin)).await?;
        }
        kept
    }

    async fn keep_all(
        &self,
        link: &Link,
        mut pin: Pin,
        progress: &Progress,
    ) -> Result<Pin, KeepError> {
        let files = match link.kind {
            Kind::File => vec![File::new(link.hash, link.size, false)],
            Kind::Folder => self.keep_lists(link).await?,
        };
        pin.files = files.len() as u64;
        pin.bytes = files.iter().map(|file| file.size).sum();
        progress.begin(pin.files, pin.bytes);
        let hashes: Vec<_> = files.iter().map(|file| file.hash).collect();
        if let Err(error) = self.keep_each(link, files, progress).await {
            let sharing = self.clone();
            let release =
                move |catalog: &Catalog| catalog.release(&hashes, |hash| sharing.is_in_use(hash));
            self.in_store(release).await?;
            return Err(error);
        }
        pin.whole = true;
        self.in_store(move |catalog| catalog.pin(pin)).await
    }

    /// Takes pins away by their name, or by eight digits of the hash or more; those that were there.
    ///
    /// # Errors
    /// See [`KeepError`].
    pub async fn unpin(&self, which: &str) -> Result<Vec<Pin>, KeepError> {
        let which = which.to_owned();
        let unpin = move |catalog: &Catalog| catalog.unpin(&which);
        self.in_store(unpin).await
    }

    /// All pins that have not expired, and what the store has and may have.
    ///
    /// # Errors
    /// See [`KeepError`].
    pub async fn pins(&self) -> Result<(Vec<Pin>, Room), KeepError> {
        self.in_store(|catalog| {
            let room = catalog.room(unix_seconds())?;
            Ok((catalog.pins()?, room))
        })
        .await
    }

    /// Frees what may go, and keeps so many bytes at most from now on, if that is given.
    ///
    /// # Errors
    /// See [`KeepError`].
    pub async fn sweep(&self, extent: Extent, quota: Option<u64>) -> Result<Swept, KeepError> {
        let sharing = self.clone();
        self.in_store(move |catalog| {
            if let Some(quota) = quota {
                catalog.keep_at_most(quota)?;
            }
            catalog.touch(&sharing.touched())?;
            catalog.sweep_for(extent, &sharing, unix_seconds())
        })
        .await
    }

    /// Frees what may go, every hour.
    pub async fn tend(&self) -> Infallible {
        let mut hours = interval(SWEEP_EVERY);
        hours.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            hours.tick().await;
            match self.sweep(Extent::Tidy, None).await {
                Err(KeepError::NoStore) => std::future::pending().await,
                Err(error) => tracing::warn!(%error, "the store is not looked after"),
                Ok(swept) if swept.contents > 0 => {
                    tracing::info!(
                        contents = swept.contents,
                        bytes = swept.bytes,
                        "content was not used and is kept no more"
                    );
                }
                Ok(_) => {}
            }
        }
    }

    /// Notes that this is about to be kept, once there is room for what is not noted yet.
    pub(super) async fn admit(&self, new: Vec<(Hash, Kept)>) -> Result<(), KeepError> {
        let sharing = self.clone();
        self.in_store(move |catalog| {
            let now = unix_seconds();
            catalog.touch(&sharing.touched())?;
            catalog.admit(&new, &sharing, now)
        })
        .await
    }

    /// The lists of a folder are kept, and which files are in it.
    async fn keep_lists(&self, link: &Link) -> Result<Vec<File>, KeepError> {
        let Listed { layout, lists, .. } = self.listed(link).await?;
        let mut files: BTreeMap<Hash, File> = BTreeMap::new();
        for (_, file) in layout.files {
            files.insert(file.hash, file);
        }
        let now = unix_seconds();
        let kept = |size, whole| Kept {
            size,
            used: now,
            public: link.public,
            whole,
            providers: Vec::new(),
        };
        let mut new: Vec<_> = lists
            .into_iter()
            .map(|list| {
                let (hash, size) = (Hash::of(&list), list.len() as u64);
                (hash, kept(size, Some(Stored::Bytes(list))))
            })
            .collect();
        let mut members: BTreeSet<_> = new.iter().map(|(hash, _)| *hash).collect();
        members.extend(files.keys());
        let root = link.hash;
        let pinned = move |catalog: &Catalog| catalog.pin_members(root, &members);
        self.in_store(pinned).await?;
        for file in files.values() {
            // What is shared in place takes no room.
            if !self.lasts(file.hash).await {
                new.push((file.hash, kept(file.size, None)));
            }
        }
        self.admit(new).await?;
        Ok(files.into_values().collect())
    }

    async fn keep_each(
        &self,
        link: &Link,
        files: Vec<File>,
        progress: &Progress,
    ) -> Result<(), KeepError> {
        let is_small = |file: &File| file.size <= MIN_UNIT;
        let (small, large): (Vec<_>, Vec<_>) = files.into_iter().partition(is_small);
        for (files, at_once) in [(small, SMALL_FILES), (large, FILES)] {
            let each = stream::iter(files).map(|file| self.keep_file(link, file, progress));
            let mut each = each.buffer_unordered(at_once);
            while let Some(kept) = each.next().await {
                kept?;
            }
        }
        Ok(())
    }

    /// Waits until all of a file is there.
    async fn keep_file(
        &self,
        link: &Link,
        file: File,
        progress: &Progress,
    ) -> Result<(), KeepError> {
        if self.lasts(file.hash).await {
            progress.held(file.size);
            progress.file_done();
            return Ok(());
        }
        if link.providers.is_empty() {
            return Err(GetError::NoProvider.into());
        }
        let stream = self.stream(link, file, progress);
        let _all = All::of(&stream);
        let mut state = stream.state.clone();
        let is_over = |state: &State| matches!(state, State::Whole | State::Failed(_));
        let over = state.wait_for(is_over).await;
        match &*over.map_err(|_| GetError::Ended)? {
            State::Failed(error) => Err(error.clone()),
            State::Opening | State::Open(_) | State::Whole => Ok(()),
        }
    }

    /// Whether all of some content is here also when this node has ended: kept, or shared in place. What was fetched to anywhere else is
    /// its owner's.
    async fn lasts(&self, hash: Hash) -> bool {
        let own = self.own(hash).await;
        let (true, Some(catalog)) = (own.is_some_and(|own| own.held().is_none()), self.catalog())
        else {
            return false;
        };
        let noted = spawn_blocking(move || kept(&catalog, hash).is_some());
        noted.await.unwrap_or(false)
    }

    /// What is in a folder, from here or from whom the link names.
    pub(super) async fn listed(&self, link: &Link) -> Result<Listed, KeepError> {
        if let Some(listed) = self.own_lists(link.hash).await {
            return Ok(listed);
        }
        if link.providers.is_empty() {
            return Err(KeepError::Unknown);
        }
        let finding = self.finding(link, &Progress::default());
        tokio::select! {
            listed = listed(&finding.sources, link) => Ok(listed?),
            () = self.endpoint().closed() => Err(GetError::Ended.into()),
        }
    }

    async fn own_lists(&self, hash: Hash) -> Option<Listed> {
        let root = self.list(hash).await?;
        let mut pages = Vec::new();
        for (hash, _) in Root::read(&root).ok()?.pages {
            pages.push(self.list(hash).await?);
        }
        let read = spawn_blocking(move || read_lists(pages, root));
        read.await.ok()?.ok()
    }

    pub(super) async fn in_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Catalog) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, KeepError> {
        let catalog = self.catalog().ok_or(KeepError::NoStore)?;
        let done = spawn_blocking(move || work(&catalog)).await;
        Ok(done.map_err(|_| GetError::Ended)??)
    }
}

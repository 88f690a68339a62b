//! Content that is read while it is fetched: [`Reader`].

use std::{ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use peerway::services::files::{Progress, tree::unit_len};
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep, timeout_at},
};

use super::{
    GetError, Hash, KeepError, Kind, Link, Sharing,
    collection::{File, Root},
    object::Object,
    stream::{State, Stream},
};

/// How long a reader waits for its next unit.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the connections for a reader outlive it: players leave and come back at another place.
const LINGER: Duration = Duration::from_secs(10);

/// Some of the bytes of a file, one after the other. What is not here is fetched, what is needed next before everything else, and a few
/// mebibytes ahead; when this is dropped nothing more is.
#[derive(Debug)]
pub struct Reader {
    sharing: Sharing,
    object: Arc<Object>,
    left: Range<u64>,
    fetched: Option<Fetched>,
}

impl Reader {
    /// The next bytes, at most a unit; none behind the last.
    ///
    /// # Errors
    /// See [`KeepError`]: nobody sends it, or it cannot be written.
    pub async fn next(&mut self) -> Result<Option<Bytes>, KeepError> {
        if self.left.is_empty() {
            return Ok(None);
        }
        let size = self.object.outline().size();
        let unit = (self.left.start / unit_len(size)) as u32;
        let data = self.unit(unit).await?;
        let begin = self.left.start - self.object.outline().offset(unit);
        let end = (data.len() as u64).min(begin + self.left.end - self.left.start);
        if begin >= end {
            return Err(KeepError::Gone);
        }
        self.left.start += end - begin;
        if let Some(fetched) = &self.fetched {
            let reader = fetched.reader;
            let read = |it: &mut super::readers::Readers| it.read(reader, unit + 1, unit_len(size));
            fetched.stream.reading.change(read);
        }
        Ok(Some(data.slice(begin as usize..end as usize)))
    }

    async fn unit(&mut self, unit: u32) -> Result<Bytes, KeepError> {
        let until = Instant::now() + PATIENCE;
        let mut changed = self.object.watch();
        let mut is_looked_up = false;
        loop {
            let object = self.object.clone();
            let read = spawn_blocking(move || object.unit(unit)).await;
            if let Some(data) = read.map_err(|_| GetError::Ended)? {
                return Ok(data.into());
            }
            let Some(fetched) = &mut self.fetched else {
                // It may be kept elsewhere by now.
                let now = self.sharing.own(self.object.hash()).await;
                let now = now.filter(|now| now.held().is_none() && !is_looked_up);
                self.object = now.ok_or(KeepError::Gone)?;
                is_looked_up = true;
                continue;
            };
            if let State::Failed(error) = &*fetched.state.borrow_and_update() {
                return Err(error.clone());
            }
            let waited = async {
                tokio::select! {
                    _ = changed.changed() => {}
                    _ = fetched.state.changed() => {}
                }
            };
            timeout_at(until, waited)
                .await
                .map_err(|_| KeepError::Slow)?;
        }
    }
}

/// The stream that a reader reads of, and its number there.
#[derive(Debug)]
struct Fetched {
    stream: Arc<Stream>,
    state: tokio::sync::watch::Receiver<State>,
    reader: u64,
}

impl Drop for Fetched {
    fn drop(&mut self) {
        let reader = self.reader;
        self.stream.reading.change(|it| it.end(reader));
        let stream = self.stream.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                sleep(LINGER).await;
                drop(stream);
            });
        }
    }
}

impl Sharing {
    /// What is known here of some content by its hash alone: what it is, how large, and who has it.
    ///
    /// # Errors
    /// See [`KeepError`].
    pub async fn known(&self, hash: Hash) -> Result<Link, KeepError> {
        let own = self.own(hash).await.map(|own| own.outline().size());
        let found = self.in_store(move |catalog| {
            let shared = catalog.shares()?.into_iter().find(|it| it.hash == hash);
            let pin = catalog.pins()?.into_iter().find(|it| it.hash == hash);
            let named = pin.map(|pin| pin.link(None));
            let named =
                named.or_else(|| shared.map(|it| Link::new(hash, it.size, it.kind, &it.name)));
            let kept = catalog.kept(hash)?;
            Ok((named, kept.map(|kept| kept.link(hash))))
        });
        let (named, kept) = match found.await {
            Ok(found) => found,
            Err(KeepError::NoStore) => (None, None),
            Err(error) => return Err(error),
        };
        let own = own.map(|size| Link::new(hash, size, Kind::File, ""));
        named.or(kept).or(own).ok_or(KeepError::Unknown)
    }

    /// The files of a folder: what each is called in it, parts divided by `/`, and its content, to be had from those who have the folder.
    ///
    /// # Errors
    /// See [`KeepError`].
    pub async fn files(&self, folder: &Link) -> Result<Vec<(String, Link)>, KeepError> {
        let listed = self.listed(folder).await?;
        for list in listed.lists {
            super::get::keep_list(self, list, folder.public, folder.hash).await;
        }
        let files = listed.layout.files.into_iter().map(|(path, file)| {
            let path = path.to_text();
            let name = path.rsplit('/').next().unwrap_or(&path);
            let link = Link::new(file.hash, file.size, Kind::File, name);
            let link = link.public(folder.public);
            let link = link.from_providers(folder.providers.clone());
            (path, link)
        });
        Ok(files.collect())
    }

    /// A list of a folder that is not here, and how long it is; none if all are, or if what is here is no list.
    pub async fn missing_list(&self, folder: &Link) -> Option<(Hash, u64)> {
        let Some(root) = self.list(folder.hash).await else {
            return Some((folder.hash, folder.size));
        };
        for (hash, size) in Root::read(&root).ok()?.pages {
            if self.list(hash).await.is_none() {
                return Some((hash, size));
            }
        }
        None
    }

    /// Bytes of a file, as it is known here or else as its link says.
    pub async fn size(&self, file: &Link) -> u64 {
        let own = self.own(file.hash).await;
        own.map_or(file.size, |own| own.outline().size())
    }

    /// Reads some bytes of a file, which is fetched into the store as far as it is read. `root` is the link by which it was found: its own
    /// or that of the folder.
    ///
    /// # Errors
    /// See [`KeepError`].
    pub async fn read(
        &self,
        root: &Link,
        file: &Link,
        bytes: Range<u64>,
    ) -> Result<Reader, KeepError> {
        let hash = file.hash;
        if let Some(object) = self.own(hash).await.filter(|own| own.held().is_none()) {
            self.touch(hash);
            let sharing = self.clone();
            return Ok(Reader {
                sharing,
                object,
                left: bytes,
                fetched: None,
            });
        }
        if root.providers.is_empty() {
            return Err(KeepError::Unknown);
        }
        let content = File::new(hash, file.size, false);
        let stream = self.stream(root, content, &Progress::default());
        let unit = unit_len(file.size);
        let units = (bytes.start / unit) as u32..bytes.end.div_ceil(unit) as u32;
        let reader = stream.reading.change(|it| it.begin(units));
        let mut fetched = Fetched {
            state: stream.state.clone(),
            stream,
            reader,
        };
        let object = opened(self, &mut fetched, hash).await?;
        Ok(Reader {
            sharing: self.clone(),
            object,
            left: bytes,
            fetched: Some(fetched),
        })
    }
}

async fn opened(
    sharing: &Sharing,
    fetched: &mut Fetched,
    hash: Hash,
) -> Result<Arc<Object>, KeepError> {
    let is_open = |state: &State| !matches!(state, State::Opening);
    let opened = timeout_at(Instant::now() + PATIENCE, fetched.state.wait_for(is_open));
    let opened = opened.await.map_err(|_| KeepError::Slow)?;
    let state = opened.map_err(|_| GetError::Ended)?.clone();
    match state {
        State::Open(object) => Ok(object),
        State::Failed(error) => Err(error),
        State::Whole | State::Opening => sharing.own(hash).await.ok_or(KeepError::Gone),
    }
}

//! What a link names is fetched and put where it is to be.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use cap_std::fs::Dir;
use futures_util::{StreamExt, stream};
use peerway::services::files::{
    self, Place, Progress, SafePath, open_part, sanitise, tree::MIN_UNIT,
};
use tokio::{
    sync::mpsc,
    task::spawn_blocking,
    time::{Instant, sleep},
};

use super::{
    GetError, Hash, Kind, Link, Notice, Outline, Sharing,
    collection::{self, Root},
    fetch::{self, DISK_PAUSE, Fetch},
    layout::{Layout, layout},
    object::{Object, Origin, Source},
    small::put,
    sources::Sources,
    stream::Opened,
    way::{self, Below},
};
use crate::store::{
    file::SharedFile,
    part::{Part, alone},
};

/// Files of a folder that are fetched at once: large ones, and into the store those of one unit.
pub(super) const FILES: usize = 4;
pub(super) const SMALL_FILES: usize = 48;
/// How long another who fetches the same into the same folder is waited for, and how often is looked.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

/// Where content is put.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// The folder, which is there.
    pub folder: PathBuf,
    /// What it is called there; none for what the link says.
    pub name: Option<String>,
    /// Whether what is there of that name gives way; it gets another name otherwise.
    pub overwrite: bool,
}

impl Target {
    /// Into a folder, under the name that the link says.
    #[must_use]
    pub fn folder(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            name: None,
            overwrite: false,
        }
    }

    /// Into `path` if that is a folder, else under its name.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        if path.is_dir() {
            return Self::folder(path);
        }
        let above = path.parent().filter(|above| !above.as_os_str().is_empty());
        let name = path.file_name();
        Self {
            folder: above.unwrap_or_else(|| Path::new(".")).to_owned(),
            name: name.map(|name| name.to_string_lossy().into_owned()),
            overwrite: false,
        }
    }
}

/// What was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Got {
    /// Where it is.
    pub path: PathBuf,
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of these that were there, from an earlier try or in an equal file.
    pub resumed: u64,
}

impl Got {
    /// What a node says that it fetched.
    #[must_use]
    pub fn new(path: PathBuf, files: u64, bytes: u64, resumed: u64) -> Self {
        Self {
            path,
            files,
            bytes,
            resumed,
        }
    }
}

pub(super) async fn get(
    sharing: &Sharing,
    link: &Link,
    target: &Target,
    progress: &Progress,
) -> Result<Got, GetError> {
    if link.providers.is_empty() {
        return Err(GetError::NoProvider);
    }
    let called = target.name.as_ref().unwrap_or(&link.name);
    let shown = sharing.show(link, target.folder.join(called), progress);
    let sources = Sources::new(sharing, link, shown.fetching().clone());
    let wanted = name(link, target);
    let (folder, overwrite) = (target.folder.clone(), target.overwrite);
    let place = blocking(&target.folder, move || Place::open(&folder, overwrite)).await?;
    let get = Get {
        sharing,
        sources: &sources,
        place: Arc::new(place),
        folder: target.folder.clone(),
        id: link.hash.to_string(),
        public: link.public,
        progress,
        opened: None,
    };
    let getting = async {
        match link.kind {
            Kind::File => get.file(link, wanted).await,
            Kind::Folder => get.all(link, wanted).await,
        }
    };
    tokio::select! {
        got = getting => got.inspect(|got| shown.got(got)),
        never = sources.run() => match never {},
        () = progress.valve().cancelled() => Err(GetError::Cancelled),
        () = sharing.endpoint().closed() => Err(GetError::Ended),
    }
}

/// What it is to be called: one name that is harmless.
fn name(link: &Link, target: &Target) -> SafePath {
    let wanted = target.name.as_ref().unwrap_or(&link.name).replace('/', "_");
    let hash = link.hash.short();
    let safe = sanitise(&wanted).or_else(|_| sanitise(&hash));
    safe.unwrap_or_else(|_| unreachable!("a hash is a name"))
}

pub(super) struct Get<'a> {
    pub(super) sharing: &'a Sharing,
    pub(super) sources: &'a Sources,
    pub(super) place: Arc<Place>,
    pub(super) folder: PathBuf,
    /// The name of the folder for what is not whole yet.
    pub(super) id: String,
    pub(super) public: bool,
    pub(super) progress: &'a Progress,
    /// Who reads it meanwhile.
    pub(super) opened: Option<&'a Opened>,
}

impl Get<'_> {
    async fn file(&self, link: &Link, name: SafePath) -> Result<Got, GetError> {
        let (place, own) = (self.place.clone(), name.to_path());
        let is_barred = self.blocking(move || Ok(place.bars_file(&own))).await?;
        if is_barred {
            return Err(self.barred([name.to_path()]));
        }
        self.progress.begin(1, link.size);
        let file = collection::File::new(link.hash, link.size, false);
        let _alone = self.alone().await?;
        let path = self.one(file, name).await?;
        self.clear().await;
        Ok(self.got(path, 1, link.size))
    }

    fn barred(&self, paths: impl IntoIterator<Item = PathBuf>) -> GetError {
        let paths = paths.into_iter();
        GetError::InTheWay(paths.map(|path| self.folder.join(path)).collect())
    }

    /// A folder with all that is in it.
    async fn all(&self, link: &Link, name: SafePath) -> Result<Got, GetError> {
        let (place, own) = (self.place.clone(), name.to_text());
        let is_barred = self.blocking(move || Ok(place.bars_top(&own))).await?;
        if is_barred {
            return Err(self.barred([name.to_path()]));
        }
        let Listed {
            layout: Layout { folders, files },
            lists,
            bytes,
        } = listed(self.sources, link).await?;
        // Others may have the list from here too.
        for list in lists {
            keep_list(self.sharing, list, self.public, self.sources.wanted()).await;
        }
        let count = files.len() as u64;
        self.progress.begin(count, bytes);
        let _alone = self.alone().await?;
        let top = self.top(&name).await?;
        let below = |path: &SafePath| sanitise(&format!("{top}/{}", path.to_text()));
        let bad = |error: files::BadName| GetError::NoList(error.to_string());
        let files = files.iter();
        let files = files.map(|(path, file)| below(path).map(|path| (path, *file)));
        let below = Arc::new(Below {
            folders: folders
                .iter()
                .map(below)
                .collect::<Result<_, _>>()
                .map_err(bad)?,
            files: files.collect::<Result<_, _>>().map_err(bad)?,
        });
        let place = self.place.clone();
        let cleared = self.blocking(move || way::clear(&place, &below)).await?;
        self.each(cleared.files).await?;
        self.clear().await;
        if !cleared.barred.is_empty() {
            return Err(self.barred(cleared.barred));
        }
        let path = self.folder.join(&top);
        Ok(self.got(path, count, bytes))
    }

    /// All files of a folder: each content once, what is equal to it then from there.
    async fn each(&self, files: Vec<(SafePath, collection::File)>) -> Result<(), GetError> {
        let (mut small, mut large, mut equal) = (Vec::new(), Vec::new(), Vec::new());
        let mut first = BTreeMap::new();
        for (path, file) in files {
            let is_first = first.insert(file.hash, PathBuf::new()).is_none();
            let of_its_kind = match (is_first, file.size <= MIN_UNIT) {
                (false, _) => &mut equal,
                (true, true) => &mut small,
                (true, false) => &mut large,
            };
            of_its_kind.push((path, file));
        }
        first.extend(self.small(&small).await?);
        let each = stream::iter(large).map(|(path, file)| async move {
            let path = self.one_of_many(file, path, None).await;
            path.map(|path| (file.hash, path))
        });
        let mut each = each.buffer_unordered(FILES);
        while let Some(done) = each.next().await {
            first.extend([done?]);
        }
        for (path, file) in equal {
            let first = first.get(&file.hash).cloned();
            self.one_of_many(file, path, first).await?;
        }
        Ok(())
    }

    /// The folder that it goes into: the one of an earlier try, or a new one.
    async fn top(&self, name: &SafePath) -> Result<String, GetError> {
        let (place, id, name) = (self.place.clone(), self.id.clone(), name.to_text());
        self.blocking(move || {
            let work = place.work(&id)?;
            let before = work.read_to_string("top").ok();
            let before = before.filter(|top| place.is_folder(top));
            if let Some(top) =
                before.filter(|top| sanitise(top).is_ok_and(|it| it.to_text() == *top))
            {
                return Ok(top);
            }
            let top = place.new_top(&name)?;
            work.write("top", &top)?;
            Ok(top)
        })
        .await
    }

    /// A file of a folder, unless it is there; where it is. It is copied from one that is equal.
    async fn one_of_many(
        &self,
        file: collection::File,
        path: SafePath,
        equal: Option<PathBuf>,
    ) -> Result<PathBuf, GetError> {
        let there = self.folder.join(path.to_path());
        let found = spawn_blocking(move || {
            let is_there = there.symlink_metadata().ok()?;
            let is_like = is_there.is_file() && is_there.len() == file.size;
            is_like.then(|| SharedFile::read(&there).ok()).flatten()
        });
        let found = found.await.ok().flatten();
        if let Some((found, outline)) = found.filter(|(_, it)| it.hash() == file.hash) {
            self.progress.held(file.size);
            self.progress.file_done();
            let there = found.path().to_owned();
            let object = Object::new(Arc::new(outline), self.public, Source::File(found))
                .with_origin(Origin::Fetched)
                .part_of(self.roots());
            self.sharing.put(Arc::new(object)).await;
            return Ok(there);
        }
        if let Some(equal) = equal {
            self.copy(file.hash, equal).await?;
        }
        self.one(file, path).await
    }

    /// Copies a file to where it is fetched: what of it is not right is fetched all the same.
    async fn copy(&self, hash: Hash, from: PathBuf) -> Result<(), GetError> {
        let (place, id) = (self.place.clone(), self.id.clone());
        let copied = self.blocking(move || {
            let mut part = open_part(&place.work(&id)?, &Part::file_name(hash), true)?;
            io::copy(&mut File::open(&from)?, &mut part)
        });
        match copied.await {
            Err(GetError::Ended) => Err(GetError::Ended),
            // It may be there no more.
            _ => Ok(()),
        }
    }

    /// Fetches a file, and puts it where it is to be, or under a name near that; where that is.
    pub(super) async fn one(
        &self,
        file: collection::File,
        path: SafePath,
    ) -> Result<PathBuf, GetError> {
        let (place, id) = (self.place.clone(), self.id.clone());
        let work = self.blocking(move || place.work(&id)).await?;
        let work = Arc::new(work);
        let object = self.content(&work, file).await?;
        let place = self.place.clone();
        let named = self
            .blocking(move || {
                let named = put(&place, &work, &path, file.hash)?;
                let outline = format!("{}.outline", file.hash);
                // Small content has none.
                let _ = work.remove_file(outline);
                Ok(named)
            })
            .await?;
        let path = self.folder.join(named.to_path());
        if let Ok(whole) = SharedFile::written(&path) {
            object.put(Source::File(whole));
        }
        self.progress.file_done();
        Ok(path)
    }

    /// The content of a file, whole and on the disk, in the folder for what is not whole yet.
    async fn content(
        &self,
        work: &Arc<Dir>,
        file: collection::File,
    ) -> Result<Arc<Object>, GetError> {
        let collection::File { hash, size, .. } = file;
        let dir = work.clone();
        let kept = self
            .blocking(move || Ok(Part::outline(&dir, hash, size)))
            .await?;
        let own = self
            .sharing
            .own(hash)
            .await
            .map(|own| own.outline().clone());
        let outline = match (kept, own.filter(|own| own.size() == size)) {
            (Some(outline), _) => Arc::new(outline),
            (None, Some(own)) => own,
            (None, None) => Arc::new(fetch::outline(self.sources, hash, size).await?),
        };
        let (dir, checked) = (work.clone(), outline.clone());
        let part = self
            .blocking(move || {
                if checked.units() > 1 {
                    Part::keep_outline(&dir, &checked)?;
                }
                Part::open(&dir, checked.clone())
            })
            .await?;
        let part = Arc::new(part);
        let held = part.held();
        let lens = held.iter().filter_map(|unit| outline.len(unit));
        self.progress.held(lens.map(|len| len as u64).sum());
        let (arrive, arrivals) = mpsc::channel(16);
        let object = Object::new(outline.clone(), self.public, Source::Part(part.clone()));
        let object = Arc::new(object.fetched(arrive).part_of(self.roots()));
        self.sharing.put(object.clone()).await;
        if let Some(opened) = self.opened {
            opened.begins(&object);
        }
        if outline.units() == 1 && held.is_empty() {
            let data = fetch::small(self.sources, hash, size).await?;
            self.progress.moved(data.len() as u64);
            let part = part.clone();
            self.blocking(move || part.write(0, &data)).await?;
            object.grew();
        } else {
            let fetch = Fetch {
                sources: self.sources,
                object: object.clone(),
                part: part.clone(),
                arrivals,
                progress: self.progress,
                reading: self.opened.map(Opened::reading),
            };
            fetch.run().await?;
        }
        self.blocking(move || {
            if file.executable {
                part.make_executable()?;
            }
            part.sync()
        })
        .await?;
        Ok(object)
    }

    /// Waits until nobody else fetches the same into the same folder; then nobody does until what is returned is dropped.
    async fn alone(&self) -> Result<File, GetError> {
        let until = Instant::now() + PATIENCE;
        loop {
            let (place, id) = (self.place.clone(), self.id.clone());
            if let Some(lock) = self.blocking(move || alone(&place, &id)).await? {
                return Ok(lock);
            }
            if Instant::now() >= until {
                let reason = "the same is fetched into this folder already: wait for that, or take another folder";
                return Err(GetError::Write {
                    path: self.folder.clone(),
                    source: io::Error::new(io::ErrorKind::ResourceBusy, reason),
                });
            }
            sleep(LOOK).await;
        }
    }

    /// Does something in the folder that may take its time, again and again while the disk is full.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl Fn() -> io::Result<T> + Clone + Send + 'static,
    ) -> Result<T, GetError> {
        let hash = self.sources.wanted();
        let mut is_paused = false;
        loop {
            let done = blocking(&self.folder, work.clone()).await;
            if let Err(GetError::Write { source, .. }) = &done
                && is_full(source)
            {
                if !is_paused {
                    let reason = source.to_string();
                    self.sharing.notice(Notice::Paused { hash, reason });
                }
                is_paused = true;
                sleep(DISK_PAUSE).await;
                continue;
            }
            if is_paused && done.is_ok() {
                self.sharing.notice(Notice::Resumed { hash });
            }
            return done;
        }
    }

    /// What all that is fetched is a part of.
    pub(super) fn roots(&self) -> [Hash; 1] {
        [self.sources.wanted()]
    }

    pub(super) async fn clear(&self) {
        let (place, id) = (self.place.clone(), self.id.clone());
        // What is left there is found by the next try.
        let _ = spawn_blocking(move || place.clear(&id)).await;
    }

    fn got(&self, path: PathBuf, files: u64, bytes: u64) -> Got {
        let resumed = self.progress.bytes_held();
        Got {
            path,
            files,
            bytes,
            resumed,
        }
    }
}

/// What is in a folder, and the lists that say so, the root last.
pub(super) struct Listed {
    pub(super) layout: Layout,
    pub(super) lists: Vec<Vec<u8>>,
    pub(super) bytes: u64,
}

/// Fetches the lists of a folder.
pub(super) async fn listed(sources: &Sources, link: &Link) -> Result<Listed, GetError> {
    let root = fetch::small(sources, link.hash, link.size).await?;
    let no_list = |error: collection::NoCollection| GetError::NoList(error.to_string());
    let pages = Root::read(&root).map_err(no_list)?.pages;
    let fetched = stream::iter(pages).map(|(hash, size)| fetch::small(sources, hash, size));
    let pages: Vec<_> = fetched.buffered(FILES).collect().await;
    let pages = pages.into_iter().collect::<Result<Vec<_>, _>>()?;
    let read = spawn_blocking(move || read_lists(pages, root));
    read.await.map_err(|_| GetError::Ended)?
}

/// What lists say. Blocks.
pub(super) fn read_lists(mut pages: Vec<Vec<u8>>, root: Vec<u8>) -> Result<Listed, GetError> {
    let no_list = |error: collection::NoCollection| GetError::NoList(error.to_string());
    let listed = Root::read(&root).map_err(no_list)?;
    let entries = listed.entries(&pages).map_err(no_list)?;
    let layout = layout(&entries).map_err(|error| GetError::NoList(error.to_string()))?;
    pages.push(root);
    Ok(Listed {
        layout,
        lists: pages,
        bytes: listed.bytes,
    })
}

/// Others may have a list from here too.
pub(super) async fn keep_list(sharing: &Sharing, list: Vec<u8>, public: bool, root: Hash) {
    let (hash, size) = (Hash::of(&list), list.len() as u64);
    if let Some(outline) = Outline::of_small(hash, size) {
        let object = Object::new(Arc::new(outline), public, Source::Bytes(list.into()));
        let object = object.with_origin(Origin::Fetched).part_of([root]);
        sharing.put(Arc::new(object)).await;
    }
}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

/// Does something in a folder that may take its time.
pub(super) async fn blocking<T: Send + 'static>(
    folder: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, GetError> {
    let done = spawn_blocking(work).await.map_err(|_| GetError::Ended)?;
    done.map_err(|source| GetError::Write {
        path: folder.to_owned(),
        source,
    })
}

//! The small files of a folder, of which there may be tens of thousands: many are fetched, put onto the disk at once, and named then.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use cap_std::fs::{Dir, OpenOptions};
use futures_util::{
    StreamExt,
    stream::{self, FuturesUnordered},
};
use peerway::services::files::{Place, SafePath, make_executable, open_part};
use tokio::time::{Instant, sleep_until};

use super::{
    GetError, Hash, Outline,
    collection::File,
    fetch,
    get::Get,
    object::{Object, Origin, Source, lock},
};
use crate::store::{file::SharedFile, part::Part};

/// Files that are put onto the disk at once at most, which takes about as long for one as for all of them.
const BATCH: usize = 1_000;
/// Files that are fetched at once: with what a session asks for ahead a far line is busy, and they are 32 MiB in memory at most.
const AT_ONCE: usize = 128;

/// How soon what came is put onto the disk though more is to come, and served to others.
const SOON: Duration = Duration::from_secs(1);

type Wanted = (SafePath, File);

/// What there is of a file before it is fetched.
enum Found {
    /// All, where it is to be.
    There(SharedFile),
    /// All, in the folder for what is not whole yet.
    Part,
    Nothing,
}

/// A file in its place.
struct Named {
    hash: Hash,
    size: u64,
    path: PathBuf,
    /// Unless it was gone at once.
    file: Option<SharedFile>,
}

/// The folder for what is not whole yet.
#[derive(Clone)]
struct Work {
    dir: Arc<Dir>,
    /// Whether the system puts the files of a whole disk onto it at once.
    syncs_all: bool,
}

impl Get<'_> {
    /// Fetches files of one unit each, no two of the same content, unless they are there; where the content of each is.
    pub(super) async fn small(&self, files: &[Wanted]) -> Result<Vec<(Hash, PathBuf)>, GetError> {
        let (place, id, folder) = (self.place.clone(), self.id.clone(), self.folder.clone());
        let opened = self.blocking(move || Ok((place.work(&id)?, syncs_all(&folder))));
        let (dir, syncs_all) = opened.await?;
        let dir = Arc::new(dir);
        let work = Work { dir, syncs_all };
        let mut all = Vec::new();
        for some in files.chunks(BATCH) {
            all.extend(self.batch(&work, some).await?);
        }
        Ok(all)
    }

    async fn batch(&self, work: &Work, files: &[Wanted]) -> Result<Vec<(Hash, PathBuf)>, GetError> {
        let (mut all, mut parts, mut lacking) = (Vec::new(), Vec::new(), Vec::new());
        let found = self.found(work, files).await?;
        for (wanted, found) in files.iter().cloned().zip(found) {
            let File { hash, size, .. } = wanted.1;
            match found {
                Found::Nothing => {
                    lacking.push(wanted);
                    continue;
                }
                Found::Part => parts.push(wanted),
                Found::There(file) => {
                    let path = file.path().to_owned();
                    let file = Some(file);
                    let named = Named {
                        hash,
                        size,
                        path,
                        file,
                    };
                    all.push(self.serve(named).await);
                    self.progress.file_done();
                }
            }
            self.progress.held(size);
        }
        let writing = &AtomicUsize::new(0);
        let fetching = stream::iter(lacking).map(|wanted| async move {
            self.part(work, wanted.1, writing).await?;
            Ok(wanted)
        });
        let mut fetching = fetching.buffer_unordered(AT_ONCE);
        let (mut naming, mut name_at) = (FuturesUnordered::new(), Instant::now() + SOON);
        let mut failed = None;
        // Where one does not come, those that did are written first.
        while failed.is_none() || writing.load(Relaxed) > 0 {
            let is_some_left = naming.is_empty() && !parts.is_empty();
            tokio::select! {
                fetched = fetching.next() => match fetched {
                    Some(Ok(wanted)) => parts.push(wanted),
                    Some(Err(error)) => {
                        failed.get_or_insert(error);
                    }
                    None => break,
                },
                Some(named) = naming.next(), if !naming.is_empty() => {
                    all.extend(named?);
                    name_at = Instant::now() + SOON;
                }
                () = sleep_until(name_at), if is_some_left => {
                    naming.push(self.named(work, std::mem::take(&mut parts)));
                }
            }
        }
        drop(fetching);
        // Those that came are in their places also where others do not come.
        naming.push(self.named(work, parts));
        while let Some(named) = naming.next().await {
            all.extend(named?);
        }
        failed.map_or(Ok(all), Err)
    }

    async fn found(&self, work: &Work, files: &[Wanted]) -> Result<Vec<Found>, GetError> {
        let (work, folder) = (work.clone(), self.folder.clone());
        let files: Arc<[Wanted]> = files.into();
        self.blocking(move || {
            let each = files.iter();
            Ok(each.map(|wanted| found(&work, &folder, wanted)).collect())
        })
        .await
    }

    /// Fetches a file into the folder for what is not whole yet.
    async fn part(&self, work: &Work, file: File, writing: &AtomicUsize) -> Result<(), GetError> {
        let File { hash, size, .. } = file;
        let data: Arc<[u8]> = fetch::small(self.sources, hash, size).await?.into();
        self.progress.moved(size);
        let work = work.clone();
        writing.fetch_add(1, Relaxed);
        let written = self.blocking(move || {
            let mut part = open_part(&work.dir, &Part::file_name(hash), true)?;
            part.write_all(&data)?;
            if !work.syncs_all {
                part.sync_all()?;
            }
            Ok(())
        });
        let written = written.await;
        writing.fetch_sub(1, Relaxed);
        written
    }

    /// Puts parts onto the disk, and where they are to be, or under names near that; from there others may have them too.
    async fn named(
        &self,
        work: &Work,
        parts: Vec<Wanted>,
    ) -> Result<Vec<(Hash, PathBuf)>, GetError> {
        if parts.is_empty() {
            return Ok(Vec::new());
        }
        let (place, work, folder) = (self.place.clone(), work.clone(), self.folder.clone());
        let left = Arc::new(Mutex::new((parts, Vec::new())));
        let named = self.blocking(move || {
            // Where the disk is full, what is left is tried again.
            let mut left = lock(&left);
            let (parts, named) = &mut *left;
            for (_, file) in parts.iter().filter(|(_, file)| file.executable) {
                mark(&work, file.hash)?;
            }
            if work.syncs_all {
                sync_all(&folder)?;
            }
            while let Some((path, file)) = parts.last() {
                let name = put(&place, &work.dir, path, file.hash)?;
                let path = folder.join(name.to_path());
                named.push(Named {
                    hash: file.hash,
                    size: file.size,
                    file: SharedFile::written(&path).ok(),
                    path,
                });
                parts.pop();
            }
            Ok(std::mem::take(named))
        });
        let mut all = Vec::new();
        for named in named.await? {
            all.push(self.serve(named).await);
            self.progress.file_done();
        }
        Ok(all)
    }

    /// Others may have it from here too; where its content is.
    async fn serve(&self, named: Named) -> (Hash, PathBuf) {
        let outline = Outline::of_small(named.hash, named.size);
        if let (Some(outline), Some(file)) = (outline, named.file) {
            let object = Object::new(Arc::new(outline), self.public, Source::File(file));
            let object = object.with_origin(Origin::Fetched).part_of(self.roots());
            self.sharing.put(Arc::new(object)).await;
        }
        (named.hash, named.path)
    }
}

/// Makes a part a program, whenever it came.
fn mark(work: &Work, hash: Hash) -> io::Result<()> {
    let part = open(work, hash)?;
    make_executable(&part)?;
    if !work.syncs_all {
        part.sync_all()?;
    }
    Ok(())
}

/// A part that is there.
fn open(work: &Work, hash: Hash) -> io::Result<std::fs::File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    let part = work.dir.open_with(Part::file_name(hash), &options)?;
    Ok(part.into_std())
}

fn found(work: &Work, folder: &Path, (path, file): &Wanted) -> Found {
    let there = folder.join(path.to_path());
    let is_there = there.symlink_metadata();
    if is_there.is_ok_and(|it| it.is_file() && it.len() == file.size)
        && let Ok((found, outline)) = SharedFile::read(&there)
        && outline.hash() == file.hash
    {
        return Found::There(found);
    }
    let part = Part::file_name(file.hash);
    let is_begun = work.dir.symlink_metadata(&part);
    if is_begun.is_ok_and(|it| it.is_file() && it.len() == file.size)
        && let Ok(data) = work.dir.read(&part)
        && Hash::of(&data) == file.hash
        && (work.syncs_all || open(work, file.hash).is_ok_and(|it| it.sync_all().is_ok()))
    {
        return Found::Part;
    }
    Found::Nothing
}

/// Gives a part its name, or one near to that.
pub(super) fn put(place: &Place, work: &Dir, path: &SafePath, hash: Hash) -> io::Result<SafePath> {
    loop {
        let free = place.free(path)?;
        let put = place.put(work, &Part::file_name(hash), &free);
        if put.map_err(|error| named(&free, error))? {
            return Ok(free);
        }
    }
}

/// The same error, with what it is about.
pub(super) fn named(path: &SafePath, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.to_text()))
}

/// Whether the system puts all that was written in a folder onto the disk at once.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn syncs_all(folder: &Path) -> bool {
    // What is FUSE does nothing then, and says that it is done.
    const FUSE: u32 = 0x6573_5546;
    rustix::fs::statfs(folder).is_ok_and(|it| it.f_type as u32 != FUSE)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn sync_all(folder: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(std::fs::File::open(folder)?)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn syncs_all(_: &Path) -> bool {
    false
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn sync_all(_: &Path) -> io::Result<()> {
    Ok(())
}

//! The small files of a folder, of which there may be tens of thousands: many are fetched, put onto the disk at once, and named then.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use cap_std::fs::Dir;
use futures_util::{StreamExt, stream};
use peerway::services::files::{Place, SafePath, make_executable, open_part};

use super::{
    GetError, Hash, Outline,
    collection::File,
    fetch,
    get::Get,
    object::{Object, Origin, Source, lock},
};
use crate::store::{file::SharedFile, part::Part};

/// Files that are put onto the disk at once, which takes about as long for one as for all of them.
const BATCH: usize = 1_000;
/// Files that are fetched at once: with what a session asks for ahead a far line is busy, and they are 32 MiB in memory at most.
const AT_ONCE: usize = 128;

/// Whether the system puts the files of a whole disk onto it at once.
const SYNCS_ALL: bool = cfg!(any(target_os = "linux", target_os = "android"));

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

impl Get<'_> {
    /// Fetches files of one unit each, no two of the same content, unless they are there; where the content of each is.
    pub(super) async fn small(&self, files: &[Wanted]) -> Result<Vec<(Hash, PathBuf)>, GetError> {
        let (place, id) = (self.place.clone(), self.id.clone());
        let work = self.blocking(move || place.work(&id)).await?;
        let work = Arc::new(work);
        let mut all = Vec::new();
        for some in files.chunks(BATCH) {
            for named in self.batch(&work, some).await? {
                all.push((named.hash, named.path.clone()));
                self.serve(named).await;
            }
        }
        Ok(all)
    }

    async fn batch(&self, work: &Arc<Dir>, files: &[Wanted]) -> Result<Vec<Named>, GetError> {
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
                    all.push(Named {
                        hash,
                        size,
                        path,
                        file,
                    });
                    self.progress.file_done();
                }
            }
            self.progress.held(size);
        }
        let fetching = stream::iter(lacking).map(|wanted| async move {
            self.part(work, wanted.1).await?;
            Ok(wanted)
        });
        let mut fetching = fetching.buffer_unordered(AT_ONCE);
        let mut failed = None;
        while let Some(fetched) = fetching.next().await {
            match fetched {
                Ok(wanted) => parts.push(wanted),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        drop(fetching);
        // Those that came are in their places also where others do not come.
        all.extend(self.named(work, parts).await?);
        failed.map_or(Ok(all), Err)
    }

    async fn found(&self, work: &Arc<Dir>, files: &[Wanted]) -> Result<Vec<Found>, GetError> {
        let (work, folder) = (work.clone(), self.folder.clone());
        let files: Arc<[Wanted]> = files.into();
        self.blocking(move || {
            let each = files.iter();
            Ok(each.map(|wanted| found(&work, &folder, wanted)).collect())
        })
        .await
    }

    /// Fetches a file into the folder for what is not whole yet.
    async fn part(&self, work: &Arc<Dir>, file: File) -> Result<(), GetError> {
        let File { hash, size, .. } = file;
        let data: Arc<[u8]> = fetch::small(self.sources, hash, size).await?.into();
        self.progress.moved(size);
        let work = work.clone();
        self.blocking(move || {
            let mut part = open_part(&work, &Part::file_name(hash), true)?;
            part.write_all(&data)?;
            if file.executable {
                make_executable(&part)?;
            }
            if !SYNCS_ALL {
                part.sync_all()?;
            }
            Ok(())
        })
        .await
    }

    /// Puts parts onto the disk, and where they are to be, or under names near that.
    async fn named(&self, work: &Arc<Dir>, parts: Vec<Wanted>) -> Result<Vec<Named>, GetError> {
        if parts.is_empty() {
            return Ok(Vec::new());
        }
        let count = parts.len();
        let (place, work, folder) = (self.place.clone(), work.clone(), self.folder.clone());
        let left = Arc::new(Mutex::new((parts, Vec::new())));
        let named = self.blocking(move || {
            sync_all(&folder)?;
            // Where the disk is full, what is left is tried again.
            let mut left = lock(&left);
            let (parts, named) = &mut *left;
            while let Some((path, file)) = parts.last() {
                let name = put(&place, &work, path, file.hash)?;
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
        let named = named.await?;
        (0..count).for_each(|_| self.progress.file_done());
        Ok(named)
    }

    /// Others may have it from here too.
    async fn serve(&self, named: Named) {
        let outline = Outline::of_small(named.hash, named.size);
        if let (Some(outline), Some(file)) = (outline, named.file) {
            let object = Object::new(Arc::new(outline), self.public, Source::File(file));
            let object = object.with_origin(Origin::Fetched).part_of(self.roots());
            self.sharing.put(Arc::new(object)).await;
        }
    }
}

fn found(work: &Dir, folder: &Path, (path, file): &Wanted) -> Found {
    let there = folder.join(path.to_path());
    let is_there = there.symlink_metadata();
    if is_there.is_ok_and(|it| it.is_file() && it.len() == file.size)
        && let Ok((found, outline)) = SharedFile::read(&there)
        && outline.hash() == file.hash
    {
        return Found::There(found);
    }
    let part = Part::file_name(file.hash);
    let is_begun = work.symlink_metadata(&part);
    if is_begun.is_ok_and(|it| it.is_file() && it.len() == file.size)
        && let Ok(data) = work.read(&part)
        && Hash::of(&data) == file.hash
    {
        return Found::Part;
    }
    Found::Nothing
}

/// Gives a part its name, or one near to that.
pub(super) fn put(place: &Place, work: &Dir, path: &SafePath, hash: Hash) -> io::Result<SafePath> {
    loop {
        let free = place.free(path)?;
        if place.put(work, &Part::file_name(hash), &free)? {
            return Ok(free);
        }
    }
}

/// Puts all that was written in a folder onto the disk at once, where the system can.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn sync_all(folder: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(std::fs::File::open(folder)?)?)
}

/// Each file was, when it was written.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn sync_all(_: &Path) -> io::Result<()> {
    Ok(())
}

//! One reading of a watched folder: what is in it, and that shared. Blocks, as file systems do.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use peerway::services::files::Selection;

use super::settling::Found;
use crate::{
    share::{
        Hash, Outline, ShareError, Shared,
        scan::{Taken, described},
    },
    store::{
        catalog::Catalog,
        file::{FileError, SharedFile, Stamp},
    },
};

const IS_WRITTEN: &str = "it is being written";

/// What there is in a folder now.
pub(super) struct Walked {
    /// The folder itself, behind symbolic links.
    pub(super) folder: PathBuf,
    pub(super) found: Found,
    selection: Selection,
}

impl Walked {
    pub(super) fn through(folder: &Path) -> Result<Self, ShareError> {
        let unreadable = |source| FileError::Read {
            path: folder.to_owned(),
            source,
        };
        let real = fs::canonicalize(folder).map_err(unreadable)?;
        if !real.is_dir() {
            return Err(unreadable(io::ErrorKind::NotADirectory.into()).into());
        }
        let selection = Selection::of(std::slice::from_ref(&real))?;
        let mut found = Found::new();
        for (name, place) in selection.each() {
            match place {
                // A folder is nowhere, so it goes by its name, which no file has that is everywhere below the root.
                None => found.insert(name.into(), None),
                Some(place) => {
                    let stamp = fs::symlink_metadata(place).ok();
                    found.insert(place.to_owned(), stamp.map(|it| Stamp::of(&it)))
                }
            };
        }
        Ok(Self {
            folder: real,
            found,
            selection,
        })
    }
}

/// Files that were read, and what they were then.
pub(super) type Known = BTreeMap<PathBuf, (SharedFile, Hash)>;

/// A reading that goes on until it is done or this is dropped.
#[derive(Debug, Default)]
pub(super) struct Going(Arc<AtomicBool>);

impl Drop for Going {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

pub(super) struct Pass {
    pub(super) catalog: Arc<Catalog>,
    /// As it was named.
    pub(super) folder: PathBuf,
    pub(super) public: bool,
    pub(super) walked: Walked,
    /// What is left out.
    pub(super) restless: BTreeSet<PathBuf>,
    pub(super) known: Arc<Known>,
    over: Arc<AtomicBool>,
    changed: BTreeSet<PathBuf>,
    now_known: Known,
}

/// What came of it.
pub(super) struct Passed {
    pub(super) shared: Shared,
    pub(super) contents: Vec<Hash>,
    pub(super) known: Known,
    /// Files that changed as they were read.
    pub(super) changed: BTreeSet<PathBuf>,
}

impl Pass {
    pub(super) fn new(
        catalog: Arc<Catalog>,
        (folder, public): (PathBuf, bool),
        walked: Walked,
        restless: BTreeSet<PathBuf>,
        known: Arc<Known>,
    ) -> (Self, Going) {
        let going = Going::default();
        let pass = Self {
            catalog,
            folder,
            public,
            walked,
            restless,
            known,
            over: going.0.clone(),
            changed: BTreeSet::new(),
            now_known: Known::new(),
        };
        (pass, going)
    }

    /// Reads what is not known yet, and notes the folder as shared.
    pub(super) fn run(mut self) -> Result<Passed, ShareError> {
        let selection = std::mem::take(&mut self.walked.selection);
        let real = self.walked.folder.clone();
        let read = described(&selection, &real, self.public, |place| self.take(place));
        let (mut shared, contents) = read?;
        shared.path.clone_from(&self.folder);
        if let Some(name) = self.folder.file_name().and_then(|name| name.to_str()) {
            name.clone_into(&mut shared.name);
        }
        if self.over.load(Relaxed) {
            return Err(ShareError::Ended);
        }
        self.catalog.add(&shared, &contents)?;
        Ok(Passed {
            shared,
            contents: contents.iter().map(|(outline, _)| outline.hash()).collect(),
            known: self.now_known,
            changed: self.changed,
        })
    }

    fn take(&mut self, place: &Path) -> Result<Taken, ShareError> {
        if self.over.load(Relaxed) {
            return Err(ShareError::Ended);
        }
        if self.restless.contains(place) {
            return Ok(Taken::Not(IS_WRITTEN.to_owned()));
        }
        let (file, outline) = match self.read(place) {
            Ok(read) => read,
            Err(FileError::Ended) => return Err(ShareError::Ended),
            Err(error) if is_passing(&error) => {
                self.changed.insert(place.to_owned());
                return Ok(Taken::Not(IS_WRITTEN.to_owned()));
            }
            Err(error) => return Ok(Taken::Not(error.to_string())),
        };
        if !file.path().starts_with(&self.walked.folder) {
            return Ok(Taken::Not("it leads out of the folder".to_owned()));
        }
        let known = (file.clone(), outline.hash());
        self.now_known.insert(place.to_owned(), known);
        Ok(Taken::Is(file, outline))
    }

    fn read(&self, place: &Path) -> Result<(SharedFile, Outline), FileError> {
        if let Some((file, hash)) = self.known.get(place).filter(|it| it.0.check().is_ok())
            && let Ok(Some((outline, ..))) = self.catalog.find(*hash)
        {
            return Ok((file.clone(), outline));
        }
        let (file, outline) = SharedFile::read_while(place, || !self.over.load(Relaxed))?;
        let looked = self.walked.found.get(place).copied().flatten();
        if looked.is_some_and(|looked| looked != file.stamp()) {
            let path = place.to_owned();
            return Err(FileError::Changed { path });
        }
        Ok((file, outline))
    }
}

/// Whether it is likely to be otherwise at the next look.
fn is_passing(error: &FileError) -> bool {
    match error {
        FileError::Changed { .. } => true,
        FileError::Read { source, .. } => source.kind() == io::ErrorKind::NotFound,
        FileError::NoFile { .. } | FileError::Ended => false,
    }
}

/// Does something that reads much when nothing else wants the processor.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (give, given) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("peerway-watch".to_owned());
    let thread = thread.spawn(move || {
        // Of this thread alone; elsewhere it would be the whole program's.
        #[cfg(target_os = "linux")]
        let _ = rustix::process::nice(10);
        // Whoever waited may be gone.
        let _ = give.send(work());
    });
    thread.ok()?;
    given.await.ok()
}

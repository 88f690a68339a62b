//! What is to be sent: files and folders, as they are when they are looked at.

use std::{
    collections::BTreeSet,
    fmt,
    fs::{self, Metadata},
    io::Read,
    path::{Path, PathBuf},
    sync::Mutex,
    time::UNIX_EPOCH,
};

use super::{
    MAX_FILES, SelectError,
    name::{BadName, MAX_DEPTH, numbered},
    tree::MAX_SIZE,
    wire::{Entry, Kind, MAX_PATH, Offer, Time, UNKNOWN},
};

/// Files and folders to be sent.
#[derive(Debug, Default)]
pub struct Selection {
    pub(super) items: Vec<Item>,
    skipped: Vec<Skipped>,
    tops: Vec<String>,
}

/// What was met and is not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// Where it is.
    pub path: PathBuf,
    /// Why it is not sent.
    pub reason: String,
}

#[derive(Debug)]
pub(super) struct Item {
    pub(super) entry: Entry,
    pub(super) source: Source,
}

pub(super) enum Source {
    /// A folder has none.
    Nothing,
    File(PathBuf),
    /// Whoever has it reads it; the mutex lets a sending be spawned that borrows its selection.
    Stream(Option<Mutex<Box<dyn Read + Send>>>),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("Nothing"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

impl Selection {
    /// These files, and these folders with all that is in them. Symbolic links within folders are left out, and so is what is neither file
    /// nor folder: see [`skipped`](Self::skipped).
    ///
    /// # Errors
    /// See [`SelectError`]. What cannot be read inside of a folder is left out.
    pub fn of(paths: &[PathBuf]) -> Result<Self, SelectError> {
        let mut selection = Self::default();
        let mut taken = BTreeSet::new();
        for path in paths {
            let top = free(&top_of(path)?, &mut taken);
            let metadata = fs::metadata(path).map_err(|source| unreadable(path, source))?;
            if metadata.is_file() {
                // What is named itself has to be there to be read.
                fs::File::open(path).map_err(|source| unreadable(path, source))?;
            }
            selection.tops.push(top.clone());
            selection.add(path, top, &metadata)?;
        }
        if selection.items.is_empty() {
            let skipped = selection.skipped.first().map(|it| it.reason.clone());
            let reason = skipped.unwrap_or_else(|| "nothing was named".to_owned());
            return Err(SelectError::Nothing(reason));
        }
        Ok(selection)
    }

    /// What comes out of a stream, as one file of this name. It cannot be resumed.
    #[must_use]
    pub fn stream(name: &str, stream: impl Read + Send + 'static) -> Self {
        let kind = Kind::File {
            executable: false,
            size: None,
            modified: UNKNOWN,
        };
        let entry = Entry {
            path: name.replace('/', "_"),
            kind,
        };
        Self {
            tops: vec![entry.path.clone()],
            items: vec![Item {
                entry,
                source: Source::Stream(Some(Mutex::new(Box::new(stream)))),
            }],
            skipped: Vec::new(),
        }
    }

    /// What was met and is not sent.
    #[must_use]
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// What is in it, each with its path below what was selected, parts divided by `/`, and where it is; a folder is nowhere.
    pub fn each(&self) -> impl Iterator<Item = (&str, Option<&Path>)> {
        self.items.iter().map(|item| {
            let place = match &item.source {
                Source::File(path) => Some(path.as_path()),
                Source::Nothing | Source::Stream(_) => None,
            };
            (item.entry.path.as_str(), place)
        })
    }

    /// What the receiver is told before it decides.
    #[must_use]
    pub fn offer(&self) -> Offer {
        let mut bytes = Some(0);
        let (mut files, mut folders) = (0, 0);
        for item in &self.items {
            match item.entry.kind {
                Kind::Folder => folders += 1,
                Kind::File { size, .. } => {
                    files += 1;
                    bytes = bytes.zip(size).map(|(sum, size): (u64, u64)| sum + size);
                }
            }
        }
        Offer {
            names: self.tops.iter().take(16).cloned().collect(),
            selected: self.tops.len() as u32,
            files,
            folders,
            bytes,
        }
    }

    fn add(&mut self, path: &Path, name: String, metadata: &Metadata) -> Result<(), SelectError> {
        if self.items.len() >= MAX_FILES {
            return Err(SelectError::Many);
        }
        if name.len() > MAX_PATH {
            self.skip(path, "its path is too long");
            return Ok(());
        }
        if name.split('/').count() > MAX_DEPTH {
            self.skip(path, &BadName::Deep.to_string());
            return Ok(());
        }
        if metadata.is_dir() {
            self.push(name.clone(), Kind::Folder, Source::Nothing);
            return self.add_all_of(path, &name);
        }
        if !metadata.is_file() {
            self.skip(path, "neither a file nor a folder");
        } else if metadata.len() > MAX_SIZE {
            self.skip(path, "larger than 16 TiB");
        } else {
            self.push(name, kind(metadata), Source::File(path.to_owned()));
        }
        Ok(())
    }

    fn add_all_of(&mut self, folder: &Path, name: &str) -> Result<(), SelectError> {
        let read = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let mut inside = match read {
            Ok(inside) => inside,
            Err(error) => {
                self.skip(folder, &format!("cannot be read: {error}"));
                return Ok(());
            }
        };
        inside.sort_by_key(fs::DirEntry::file_name);
        let mut taken = BTreeSet::new();
        for entry in inside {
            let path = entry.path();
            match fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_symlink() => self.skip(&path, "a symbolic link"),
                Ok(metadata) => {
                    let own = free(&entry.file_name().to_string_lossy(), &mut taken);
                    self.add(&path, format!("{name}/{own}"), &metadata)?;
                }
                Err(error) => self.skip(&path, &format!("cannot be read: {error}")),
            }
        }
        Ok(())
    }

    fn push(&mut self, path: String, kind: Kind, source: Source) {
        let entry = Entry { path, kind };
        self.items.push(Item { entry, source });
    }

    fn skip(&mut self, path: &Path, reason: &str) {
        self.skipped.push(Skipped {
            path: path.to_owned(),
            reason: reason.to_owned(),
        });
    }
}

pub(super) fn kind(metadata: &Metadata) -> Kind {
    Kind::File {
        executable: is_executable(metadata),
        size: Some(metadata.len()),
        modified: modified(metadata),
    }
}

/// When a file was last written.
pub(super) fn modified(metadata: &Metadata) -> Time {
    let Ok(time) = metadata.modified() else {
        return UNKNOWN;
    };
    let since = match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()),
        Err(before) => i64::try_from(before.duration().as_nanos()).map(|nanos| -nanos),
    };
    match since {
        // Known, if not to the nanosecond.
        Ok(UNKNOWN) => UNKNOWN + 1,
        Ok(since) => since,
        Err(_) => UNKNOWN,
    }
}

#[cfg(unix)]
fn is_executable(metadata: &Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o100 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &Metadata) -> bool {
    false
}

/// What a file or folder is called, also where it is named as `.` or `..`.
fn top_of(path: &Path) -> Result<String, SelectError> {
    let name = match path.file_name() {
        Some(name) => name.to_owned(),
        None => {
            let whole = fs::canonicalize(path).map_err(|source| unreadable(path, source))?;
            whole
                .file_name()
                .unwrap_or_else(|| "files".as_ref())
                .to_owned()
        }
    };
    Ok(name.to_string_lossy().into_owned())
}

/// The name, or with a number if another one has it.
fn free(name: &str, taken: &mut BTreeSet<String>) -> String {
    let tries = std::iter::once(name.to_owned()).chain((1..).map(|number| numbered(name, number)));
    let mut free = tries.filter(|name| !taken.contains(name));
    let name = free.next().unwrap_or_default();
    taken.insert(name.clone());
    name
}

fn unreadable(path: &Path, source: std::io::Error) -> SelectError {
    SelectError::Read {
        path: path.to_owned(),
        source,
    }
}

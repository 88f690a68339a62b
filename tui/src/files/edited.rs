//! A file that people and commands edit: read as a whole, and replaced as a whole.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{ReadError, create_folder, lock, replace};

#[derive(Clone, Debug)]
pub(crate) struct EditedFile {
    path: PathBuf,
    holds: &'static str,
    max_len: u64,
}

/// What changes when somebody writes the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
    /// Every change of ours is another file, also within one tick of the clock.
    #[cfg(unix)]
    inode: u64,
}

impl Stamp {
    /// None if there is no file.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            modified: metadata.modified().ok(),
            len: metadata.len(),
            #[cfg(unix)]
            inode: std::os::unix::fs::MetadataExt::ino(&metadata),
        })
    }
}

impl EditedFile {
    /// `holds` is what errors call its content, as in "the address book".
    pub(crate) fn new(path: PathBuf, holds: &'static str, max_len: u64) -> Self {
        Self {
            path,
            holds,
            max_len,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// None if there is no file.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        Stamp::of(&self.path)
    }

    /// Its text; an empty one if there is no file.
    pub(crate) fn read(&self) -> Result<String, EditedError> {
        super::read(&self.path, self.max_len).map_err(|error| match error {
            ReadError::Writable => EditedError::Writable {
                holds: self.holds,
                path: self.path.clone(),
            },
            ReadError::Io(source) if source.kind() == ErrorKind::InvalidData => {
                EditedError::NotText {
                    holds: self.holds,
                    path: self.path.clone(),
                }
            }
            ReadError::Io(source) => self.io("read", source),
        })
    }

    /// Has `edit` make another text of it. Who does so at the same time waits; a change that fails leaves everything as it was.
    pub(crate) fn change<T, E: From<EditedError>>(
        &self,
        edit: impl FnOnce(&str) -> Result<(T, String), E>,
    ) -> Result<T, E> {
        let failed = |action| move |source| self.io(action, source);
        let folder = self.path.parent().unwrap_or_else(|| Path::new("."));
        create_folder(folder).map_err(failed("make the folder of"))?;
        let _lock = lock(&self.path.with_extension("lock")).map_err(failed("lock"))?;
        let text = self.read()?;
        let (done, new) = edit(&text)?;
        if new != text {
            replace(&self.path, &new).map_err(failed("write"))?;
        }
        Ok(done)
    }

    fn io(&self, action: &'static str, source: io::Error) -> EditedError {
        EditedError::Io {
            action,
            holds: self.holds,
            path: self.path.clone(),
            source,
        }
    }
}

/// Why the file could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EditedError {
    #[error(
        "everybody on this computer can write {holds} {path}: run `chmod o-w {path}`",
        path = path.display()
    )]
    Writable { holds: &'static str, path: PathBuf },
    #[error(
        "{holds} {path} is no text in UTF-8: mend it with an editor, or move it away to begin without",
        path = path.display()
    )]
    NotText { holds: &'static str, path: PathBuf },
    #[error(
        "cannot {action} {holds} {}: {source}; check its permissions and the room there, or choose another folder",
        path.display()
    )]
    Io {
        action: &'static str,
        holds: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

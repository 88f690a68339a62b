//! Files that are shared where they are. Blocks, as file systems do.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use peerway::services::files::tree::{self, unit_len};
use serde::{Deserialize, Serialize};

use crate::share::{Outline, outline::MAX_SIZE};

/// How a file was when its hash was computed: another one of the same name, and most changes, show in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stamp {
    /// Bytes.
    pub size: u64,
    /// Nanoseconds since 1970.
    pub modified: i64,
    /// The file system's number of the file; 0 where there is none.
    pub inode: u64,
}

impl Stamp {
    /// Of what was found.
    #[must_use]
    pub fn of(found: &Metadata) -> Self {
        let modified = found.modified().ok();
        let since = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Self {
            size: found.len(),
            modified: since.map_or(0, |since| since.as_nanos() as i64),
            inode: inode(found),
        }
    }
}

#[cfg(unix)]
fn inode(found: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(found)
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> u64 {
    0
}

#[cfg(unix)]
fn is_executable(found: &Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o100 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &Metadata) -> bool {
    false
}

/// Why a file cannot be shared, or not any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It is another than when its hash was computed, or changes while that is done: share it again once it rests.
    #[error("{} has changed: share it again", path.display())]
    Changed {
        /// Where it is.
        path: PathBuf,
    },
    /// It is no file, or too large.
    #[error("{} is no file of at most a tebibyte", path.display())]
    NoFile {
        /// Where it is.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Whoever wanted it read wants that no more.
    #[error("the reading was ended")]
    Ended,
}

impl FileError {
    /// Whether the file is not what it was for good, and not just unreadable for now, as where descriptors have run out.
    pub(crate) fn is_lasting(&self) -> bool {
        match self {
            Self::Changed { .. } | Self::NoFile { .. } => true,
            Self::Ended => false,
            Self::Read { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::NotADirectory
                    | io::ErrorKind::PermissionDenied
            ),
        }
    }

    fn read(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| {
            let path = path.to_owned();
            if source.kind() == io::ErrorKind::UnexpectedEof {
                return Self::Changed { path };
            }
            Self::Read { path, source }
        }
    }
}

/// A file that is shared where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedFile {
    path: PathBuf,
    stamp: Stamp,
}

impl SharedFile {
    /// Reads a file once, for what it is called and what its units are checked against.
    ///
    /// # Errors
    /// See [`FileError`].
    pub fn read(path: &Path) -> Result<(Self, Outline), FileError> {
        Self::read_while(path, || true)
    }

    /// The same, as long as it is wanted.
    pub(crate) fn read_while(
        path: &Path,
        is_wanted: impl Fn() -> bool,
    ) -> Result<(Self, Outline), FileError> {
        let path = fs::canonicalize(path).map_err(FileError::read(path))?;
        let (stamp, outline) = scan(&path, is_wanted)?;
        Ok((Self { path, stamp }, outline))
    }

    /// How it was when it was read.
    pub(crate) fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// A file of which is known what is in it, as it was written here just now.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub fn written(path: &Path) -> Result<Self, FileError> {
        let path = fs::canonicalize(path).map_err(FileError::read(path))?;
        let found = fs::metadata(&path).map_err(FileError::read(&path))?;
        let stamp = Stamp::of(&found);
        Ok(Self { path, stamp })
    }

    /// Whether it is a program.
    #[must_use]
    pub fn is_executable(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|found| is_executable(&found))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is as it was.
    ///
    /// # Errors
    /// It is not, or cannot be looked at.
    pub fn check(&self) -> Result<(), FileError> {
        let found = fs::metadata(&self.path).map_err(FileError::read(&self.path))?;
        if Stamp::of(&found) == self.stamp {
            return Ok(());
        }
        Err(self.changed())
    }

    /// One unit of it. It is checked against the outline as well: a file may change without a trace in its times.
    ///
    /// # Errors
    /// It has changed, or cannot be read.
    pub fn unit(&self, outline: &Outline, unit: u32) -> Result<Vec<u8>, FileError> {
        let failed = FileError::read(&self.path);
        let mut file = File::open(&self.path).map_err(&failed)?;
        if Stamp::of(&file.metadata().map_err(&failed)?) != self.stamp {
            return Err(self.changed());
        }
        let mut data = vec![0; outline.len(unit).unwrap_or(0)];
        file.seek(SeekFrom::Start(outline.offset(unit)))
            .and_then(|_| file.read_exact(&mut data))
            .map_err(&failed)?;
        if !outline.is_right(unit, &data) {
            return Err(self.changed());
        }
        Ok(data)
    }

    fn changed(&self) -> FileError {
        FileError::Changed {
            path: self.path.clone(),
        }
    }
}

/// How a file is, and what its units are checked against.
fn scan(path: &Path, is_wanted: impl Fn() -> bool) -> Result<(Stamp, Outline), FileError> {
    let failed = FileError::read(path);
    let mut file = File::open(path).map_err(&failed)?;
    let found = file.metadata().map_err(&failed)?;
    let stamp = Stamp::of(&found);
    if !found.is_file() || stamp.size > MAX_SIZE {
        return Err(FileError::NoFile {
            path: path.to_owned(),
        });
    }
    let unit = unit_len(stamp.size);
    let mut values = Vec::with_capacity(stamp.size.div_ceil(unit) as usize);
    let mut data = vec![0; unit.min(stamp.size) as usize];
    let mut offset = 0;
    while offset < stamp.size {
        if !is_wanted() {
            return Err(FileError::Ended);
        }
        let len = (stamp.size - offset).min(unit);
        let data = data.get_mut(..len as usize).unwrap_or_default();
        file.read_exact(data).map_err(&failed)?;
        values.push(tree::value(stamp.size, offset, data));
        offset += len;
    }
    let after = Stamp::of(&file.metadata().map_err(&failed)?);
    let outline = Outline::computed(stamp.size, values).filter(|_| after == stamp);
    let outline = outline.ok_or_else(|| FileError::Changed {
        path: path.to_owned(),
    })?;
    Ok((stamp, outline))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::share::Hash;

    #[test]
    fn a_file_that_changed_is_served_no_more_even_if_its_time_is_as_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, vec![7; 300_000]).unwrap();
        let (shared, outline) = SharedFile::read(&path).unwrap();
        assert_eq!(outline.hash(), Hash::of(&vec![7; 300_000]));
        assert_eq!(
            shared.unit(&outline, 1).unwrap().len(),
            300_000 - (256 << 10)
        );
        let time = fs::metadata(&path).unwrap().modified().unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        io::Write::write_all(&mut &file, &[8; 10]).unwrap();
        let changed = |unit| matches!(shared.unit(&outline, unit), Err(FileError::Changed { .. }));
        assert!(changed(1));
        file.set_modified(time).unwrap();
        // Nothing shows, but in the unit itself.
        assert!(changed(0) && !changed(1) && shared.check().is_ok());
        file.set_len(1000).unwrap();
        file.set_modified(time).unwrap();
        assert!(changed(0) && shared.check().is_err());
    }

    #[test]
    fn what_is_no_file_is_not_shared() {
        let folder = tempfile::tempdir().unwrap();
        let no_file = SharedFile::read(folder.path());
        assert!(matches!(
            no_file,
            Err(FileError::NoFile { .. } | FileError::Read { .. })
        ));
        let missing = SharedFile::read(&folder.path().join("x"));
        assert!(matches!(missing, Err(FileError::Read { .. })));
    }
}

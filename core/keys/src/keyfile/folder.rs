//! The folder of a key: one that only its owner can write. All files are opened by their name in the open folder, and no link is
//! followed there.

use std::{
    fs::{DirBuilder, File},
    io,
    os::{fd::OwnedFd, unix::fs::DirBuilderExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{self, AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, Stat},
    io::Errno,
    process::geteuid,
};

use super::{KeyFileError, io_error};

/// Never waits for the other end of a FIFO, never follows a link, never becomes a terminal of ours.
const CAREFUL: OFlags = OFlags::NOFOLLOW
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);
const PRIVATE: Mode = Mode::from_raw_mode(0o600);
/// Bits that let others write, and do anything.
const OTHERS_WRITE: u32 = 0o022;
const OTHERS: u32 = 0o077;
/// Serializes those who make a key where the system cannot rename without replacing.
const RENAME_LOCK: &str = ".key-lock";

/// An open folder.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    fd: OwnedFd,
}

impl Folder {
    /// Opens the folder that `file` is in; none if it does not exist.
    pub(super) fn of(file: &Path) -> Result<Option<Self>, KeyFileError> {
        let path = match file.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let fd = match fs::openat(CWD, path, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::NOTDIR) => {
                return Err(KeyFileError::WrongKind {
                    path: path.to_owned(),
                    is: kind(fs::stat(path).ok().as_ref()),
                    expected: "folder",
                });
            }
            Err(error) => return Err(io_error("open the folder", path)(error.into())),
        };
        let stat =
            fs::fstat(&fd).map_err(|error| io_error("look at the folder", path)(error.into()))?;
        check_owner(path, &stat)?;
        let mode = mode(&stat);
        if mode & OTHERS_WRITE != 0 {
            return Err(KeyFileError::Writable {
                path: path.to_owned(),
                mode,
            });
        }
        let path = path.to_owned();
        Ok(Some(Self { path, fd }))
    }

    /// Makes the folder that `file` is to be in, for its owner alone, and opens it.
    pub(super) fn make(file: &Path) -> Result<Self, KeyFileError> {
        if let Some(folder) = Self::of(file)? {
            return Ok(folder);
        }
        let path = file.parent().unwrap_or(file);
        let failed = io_error("make the folder", path);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(&failed)?;
        Self::of(file)?.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
    }

    /// Opens a file to read it; none if there is none. It has to be a file that nobody else can read.
    pub(super) fn read(&self, name: &Path) -> Result<Option<File>, KeyFileError> {
        let Some(file) = self.open(name, OFlags::RDONLY, Mode::empty())? else {
            return Ok(None);
        };
        let path = self.path.join(name);
        let stat = fs::fstat(&file).map_err(|error| io_error("read", &path)(error.into()))?;
        check_owner(&path, &stat)?;
        let mode = mode(&stat);
        if mode & OTHERS != 0 {
            return Err(KeyFileError::Readable { path, mode });
        }
        Ok(Some(file))
    }

    /// Opens a file to lock it, made if there is none; what is in it stays.
    pub(super) fn lockable(&self, name: &Path) -> Result<File, KeyFileError> {
        let opened = self.open(name, OFlags::RDWR | OFlags::CREATE, PRIVATE)?;
        let path = self.path.join(name);
        opened.ok_or_else(|| io_error("make", &path)(io::ErrorKind::NotFound.into()))
    }

    /// Makes a file that nobody else can read.
    pub(super) fn create(&self, name: &Path) -> Result<File, KeyFileError> {
        let path = self.path.join(name);
        let failed = io_error("write", &path);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | CAREFUL;
        let made = fs::openat(&self.fd, name, flags, PRIVATE);
        let file = File::from(made.map_err(|error| failed(error.into()))?);
        let stat = fs::fstat(&file).map_err(|error| failed(error.into()))?;
        let mode = mode(&stat);
        if mode & OTHERS != 0 {
            self.remove(name);
            return Err(KeyFileError::NoModes {
                path: self.path.clone(),
                mode,
            });
        }
        Ok(file)
    }

    /// Gives a file its name, durably, unless there is one of that name.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if there is, or the system's.
    pub(super) fn publish(&self, from: &Path, name: &Path) -> io::Result<()> {
        self.publish_with(from, name, rename_noreplace)
    }

    fn publish_with(
        &self,
        from: &Path,
        name: &Path,
        rename_noreplace: impl Fn(&OwnedFd, &Path, &Path) -> rustix::io::Result<()>,
    ) -> io::Result<()> {
        match rename_noreplace(&self.fd, from, name) {
            Ok(()) => {}
            // The file system, the kernel or a sandbox does not know it.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP | Errno::PERM | Errno::ACCESS) => {
                self.rename_one_by_one(from, name)?;
            }
            Err(error) => return Err(error.into()),
        }
        match fs::fsync(&self.fd) {
            // Not every file system has folders that can be synced.
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Renames while nobody else does, so that nothing is replaced.
    fn rename_one_by_one(&self, from: &Path, name: &Path) -> io::Result<()> {
        let flags = OFlags::RDWR | OFlags::CREATE | CAREFUL;
        let lock = fs::openat(&self.fd, RENAME_LOCK, flags, PRIVATE)?;
        fs::flock(&lock, FlockOperation::LockExclusive)?;
        match fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(Errno::NOENT) => Ok(fs::renameat(&self.fd, from, &self.fd, name)?),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn remove(&self, name: &Path) {
        let _ = fs::unlinkat(&self.fd, name, AtFlags::empty());
    }

    /// Opens what has to be an ordinary file. It is looked at first: to open a device can have effects.
    fn open(&self, name: &Path, flags: OFlags, mode: Mode) -> Result<Option<File>, KeyFileError> {
        let path = self.path.join(name);
        let wrong = |stat: Option<&Stat>| KeyFileError::WrongKind {
            path: path.clone(),
            is: kind(stat),
            expected: "file",
        };
        let is_file = |stat: &Stat| FileType::from_raw_mode(stat.st_mode).is_file();
        match fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if !is_file(&stat) => return Err(wrong(Some(&stat))),
            Ok(_) | Err(_) => {}
        }
        let file = match fs::openat(&self.fd, name, flags | CAREFUL, mode) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(io_error("open", &path)(error.into())),
        };
        match fs::fstat(&file) {
            Ok(stat) if is_file(&stat) => Ok(Some(file)),
            Ok(stat) => Err(wrong(Some(&stat))),
            Err(error) => Err(io_error("look at", &path)(error.into())),
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn rename_noreplace(folder: &OwnedFd, from: &Path, to: &Path) -> rustix::io::Result<()> {
    fs::renameat_with(folder, from, folder, to, fs::RenameFlags::NOREPLACE)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn rename_noreplace(_folder: &OwnedFd, _from: &Path, _to: &Path) -> rustix::io::Result<()> {
    Err(Errno::NOSYS)
}

/// Whoever owns a folder or file can change it, whatever its mode; so can the system's administrator anyhow.
fn check_owner(path: &Path, stat: &Stat) -> Result<(), KeyFileError> {
    let (owner, us) = (stat.st_uid, geteuid().as_raw());
    if owner == us || owner == 0 {
        return Ok(());
    }
    Err(KeyFileError::Foreign {
        path: path.to_owned(),
        owner,
        us,
    })
}

fn mode(stat: &Stat) -> u32 {
    Mode::from_raw_mode(stat.st_mode).bits()
}

fn kind(stat: Option<&Stat>) -> &'static str {
    match stat.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
        Some(FileType::RegularFile) => "file",
        Some(FileType::Directory) => "folder",
        Some(FileType::Symlink) => "symbolic link",
        Some(FileType::Fifo) => "FIFO",
        Some(FileType::Socket) => "socket",
        Some(FileType::CharacterDevice | FileType::BlockDevice) => "device",
        Some(FileType::Unknown) | None => "something else",
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;

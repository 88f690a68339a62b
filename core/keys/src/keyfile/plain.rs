//! The folder of a key where files have no owners and modes of the Unix kind: they inherit their folder's access rules.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use super::{KeyFileError, io_error};

/// A folder.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// The folder that `file` is in; none if it does not exist.
    pub(super) fn of(file: &Path) -> Result<Option<Self>, KeyFileError> {
        let path = match file.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Ok(Some(Self(path.to_owned()))),
            Ok(_) => Err(KeyFileError::WrongKind {
                path: path.to_owned(),
                is: "file",
                expected: "folder",
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("open the folder", path)(error)),
        }
    }

    /// Makes the folder that `file` is to be in.
    pub(super) fn make(file: &Path) -> Result<Self, KeyFileError> {
        if let Some(folder) = Self::of(file)? {
            return Ok(folder);
        }
        let path = file.parent().unwrap_or(file);
        let failed = io_error("make the folder", path);
        fs::create_dir_all(path).map_err(&failed)?;
        Self::of(file)?.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
    }

    /// Opens a file to read it; none if there is none.
    pub(super) fn read(&self, name: &Path) -> Result<Option<File>, KeyFileError> {
        let path = self.0.join(name);
        match File::open(&path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("open", &path)(error)),
        }
    }

    /// Opens a file to lock it, made if there is none; what is in it stays.
    pub(super) fn lockable(&self, name: &Path) -> Result<File, KeyFileError> {
        let path = self.0.join(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options.open(&path).map_err(io_error("open", &path))
    }

    /// Makes a file.
    pub(super) fn create(&self, name: &Path) -> Result<File, KeyFileError> {
        let path = self.0.join(name);
        File::create_new(&path).map_err(io_error("write", &path))
    }

    /// Gives a file its name, unless there is one of that name.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if there is, or the system's.
    pub(super) fn publish(&self, from: &Path, name: &Path) -> io::Result<()> {
        fs::hard_link(self.0.join(from), self.0.join(name))?;
        fs::remove_file(self.0.join(from))
    }

    pub(super) fn remove(&self, name: &Path) {
        let _ = fs::remove_file(self.0.join(name));
    }
}

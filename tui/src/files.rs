//! Files that only their owner reads, and that are replaced as a whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    path::{Path, PathBuf},
    process,
};

mod edited;

pub(crate) use edited::{EditedError, EditedFile, Stamp};

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// Who can write it could say what its owner alone is to say.
    #[error("everybody on this computer can write it")]
    Writable,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The text of a file of at most `max_len` bytes; an empty one if there is no file.
pub(crate) fn read(path: &Path, max_len: u64) -> Result<String, ReadError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error.into()),
    };
    if is_everybodys(&file)? {
        return Err(ReadError::Writable);
    }
    let mut text = String::new();
    file.take(max_len + 1).read_to_string(&mut text)?;
    if text.len() as u64 > max_len {
        return Err(io::Error::from(ErrorKind::FileTooLarge).into());
    }
    Ok(text)
}

#[cfg(unix)]
fn is_everybodys(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let metadata = file.metadata()?;
    Ok(metadata.is_file() && metadata.mode() & 0o002 != 0)
}

#[cfg(not(unix))]
fn is_everybodys(_: &File) -> io::Result<bool> {
    Ok(false)
}

/// The whole text or nothing of it, also if the power fails. A link stays one, and the file keeps its mode.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let temporary = temporary(&target);
    // One that a crash left.
    let _ = fs::remove_file(&temporary);
    let written = write(&temporary, &target, text).and_then(|()| fs::rename(&temporary, &target));
    if written.is_err() {
        // There may be none.
        let _ = fs::remove_file(&temporary);
    }
    sync_folder(&target);
    written
}

/// Keeps others who do the same from changing what is beside this file, until it is dropped.
pub(crate) fn lock(path: &Path) -> io::Result<File> {
    let lock = private(path, OpenOptions::new().create(true))?;
    lock.lock()?;
    Ok(lock)
}

/// A folder that only its owner can look into, if it is made here.
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(path)
}

fn temporary(target: &Path) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", process::id()));
    target.with_file_name(name)
}

fn write(temporary: &Path, target: &Path, text: &str) -> io::Result<()> {
    let mut file = private(temporary, OpenOptions::new().create_new(true))?;
    if let Ok(metadata) = fs::metadata(target) {
        file.set_permissions(metadata.permissions())?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Which file has the name lasts, too, so that of two files the one that was replaced first is.
#[cfg(unix)]
fn sync_folder(target: &Path) {
    // Not every file system does that for a folder.
    let _ = target.parent().map(|folder| File::open(folder)?.sync_all());
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) {}

/// A file that, if it is made, only its owner can read.
fn private(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.write(true).open(path)
}

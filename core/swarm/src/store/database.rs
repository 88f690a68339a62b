//! A file of the crate redb that a node keeps something in, which goes on after the disk was full: [`DatabaseFile`]. Blocks, as file
//! systems do.

use std::{
    cell::Cell,
    fs::{self, File, OpenOptions},
    io,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    sync::{Once, PoisonError, RwLock},
    thread,
};

use redb::{
    Builder, CommitError, Database, DatabaseError, StorageError, TableError, TransactionError,
    backends::FileBackend,
};
use thiserror::Error;
use tracing::debug;

/// Why such a file does not say or take something.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DatabaseFileError {
    /// The disk, or the system. What was there is there, and it is tried again whenever it is used.
    #[error(
        "{0}; what was kept before is not lost, and this is tried again the next time: make room, or let this node write there"
    )]
    Disk(io::Error),
    /// Another process has it.
    #[error(
        "another program has it open, as a command does that shares or fetches: end that first"
    )]
    Open,
    /// Another process has it, which locks files otherwise.
    #[error("a program of another version has it open: end that first")]
    OpenByOther,
    /// It is whole, and of an earlier version, by the number of its form.
    #[error(
        "an earlier version of this program wrote it, in a form that this one does not read ({0}): run that version with it, or begin in another folder"
    )]
    OldForm(u8),
    /// What is in it was not written by a node, or not all of it is there.
    #[error("it is damaged: {0}; restore it, or move it away to begin with none")]
    Damaged(String),
    /// What is in it is none of this version's.
    #[error("what is in it is of another version of this program: {0}")]
    OtherVersion(postcard::Error),
}

impl From<Trouble> for DatabaseFileError {
    fn from(trouble: Trouble) -> Self {
        let error = match trouble {
            Trouble::Form(error) => return Self::OtherVersion(error),
            Trouble::Panic => return Self::Damaged("what is in it contradicts itself".to_owned()),
            Trouble::Redb(error) => error,
            Trouble::Database(error) => error.into(),
            Trouble::Transaction(error) => error.into(),
            Trouble::Table(error) => error.into(),
            Trouble::Storage(error) => error.into(),
            Trouble::Commit(error) => error.into(),
        };
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "all that is neither of the disk nor of its use is of what is in it"
        )]
        match error {
            redb::Error::Io(error) if is_of_content(&error) => Self::Damaged(error.to_string()),
            redb::Error::Io(error) => Self::Disk(error),
            redb::Error::PreviousIo => Self::Disk(io::Error::other("it failed just now")),
            redb::Error::DatabaseAlreadyOpen => Self::Open,
            redb::Error::LockProtocolMismatch => Self::OpenByOther,
            redb::Error::UpgradeRequired(form) => Self::OldForm(form),
            other => Self::Damaged(other.to_string()),
        }
    }
}

fn is_of_content(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, UnexpectedEof};
    matches!(error.kind(), InvalidData | UnexpectedEof)
}

/// What may go wrong in a transaction.
#[derive(Debug, Error)]
pub(crate) enum Trouble {
    #[error(transparent)]
    Redb(#[from] redb::Error),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    #[error(transparent)]
    Table(#[from] TableError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Form(#[from] postcard::Error),
    #[error("redb panicked")]
    Panic,
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Redb(error.into())
    }
}

/// What a database is made of when its file is begun, and what it may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    /// Memory for pages of the file, in bytes; none for what redb takes.
    pub(crate) cache: Option<usize>,
    /// Makes what has to be in it before anything else is.
    pub(crate) prepare: fn(&Database) -> Result<(), Trouble>,
}

/// A database and its file. Its owner alone may read it. Where the disk fails, or redb panics, it is closed, and opened again when
/// it is used again.
#[derive(Debug)]
pub(crate) struct DatabaseFile {
    path: PathBuf,
    form: Form,
    open: RwLock<Opened>,
    /// Has the disk take nothing more.
    #[cfg(test)]
    pub(crate) is_full: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

/// The database, if it is open, and how often it was opened: what a transaction left in memory alone is of one opening.
#[derive(Debug, Default)]
struct Opened {
    database: Option<Database>,
    count: u64,
}

impl DatabaseFile {
    /// The one at `path`, which is opened when it is first needed.
    pub(crate) fn at(path: &Path, form: Form) -> Self {
        Self {
            path: path.to_owned(),
            form,
            open: RwLock::default(),
            #[cfg(test)]
            is_full: std::sync::Arc::default(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is a file, of whatever.
    pub(crate) fn is_there(&self) -> bool {
        self.path.symlink_metadata().is_ok()
    }

    /// Reads or writes, in one transaction or several.
    pub(crate) fn with<T>(
        &self,
        act: impl FnOnce(&Database) -> Result<T, Trouble>,
    ) -> Result<T, DatabaseFileError> {
        self.with_opening(|database, _| act(database))
    }

    /// The same, told which opening of the file this is: another one knows nothing of what was not on the disk.
    pub(crate) fn with_opening<T>(
        &self,
        act: impl FnOnce(&Database, u64) -> Result<T, Trouble>,
    ) -> Result<T, DatabaseFileError> {
        let (done, of) = loop {
            let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(database) = &open.database {
                break (caught(|| act(database, open.count)), open.count);
            }
            drop(open);
            let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
            if open.database.is_none() {
                open.database = Some(caught(|| self.begin())?);
                open.count += 1;
            }
        };
        done.map_err(|trouble| {
            let is_broken = matches!(trouble, Trouble::Panic);
            let error = DatabaseFileError::from(trouble);
            if is_broken || matches!(error, DatabaseFileError::Disk(_)) {
                self.close(of);
            }
            error
        })
    }

    /// Closes what was opened as this, with which nothing can be done any more.
    fn close(&self, opening: u64) {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if open.count == opening {
            let_go(open.database.take());
        }
    }

    fn begin(&self) -> Result<Database, Trouble> {
        match self.path.metadata() {
            // No beginning leaves one.
            Ok(known) if known.len() == 0 => {
                Err(StorageError::Corrupted("it is empty".to_owned()).into())
            }
            Ok(_) => Ok(self.database(options().open(&self.path)?)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make(),
            Err(error) => Err(error.into()),
        }
    }

    /// Under another name until it is whole, so that one that was begun and came to nothing, as on a full disk, is begun anew.
    fn make(&self) -> Result<Database, Trouble> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut new = self.path.clone().into_os_string();
        new.push(".new");
        let new = PathBuf::from(new);
        let made = || {
            match fs::remove_file(&new) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                Ok(()) | Err(_) => {}
            }
            let database = self.database(options().create_new(true).open(&new)?)?;
            (self.form.prepare)(&database)?;
            fs::rename(&new, &self.path)?;
            Ok(database)
        };
        made().inspect_err(|_| {
            // It is begun anew anyway.
            let _ = fs::remove_file(&new);
        })
    }

    fn database(&self, file: File) -> Result<Database, DatabaseError> {
        let mut builder = Builder::new();
        if let Some(cache) = self.form.cache {
            builder.set_cache_size(cache);
        }
        let backend = FileBackend::new(file)?;
        #[cfg(test)]
        let backend = tests::Disk::new(backend, &self.is_full);
        builder.create_with_backend(backend)
    }
}

impl Drop for DatabaseFile {
    fn drop(&mut self) {
        let open = self.open.get_mut().unwrap_or_else(PoisonError::into_inner);
        let_go(open.database.take());
    }
}

fn let_go(database: Option<Database>) {
    if database.is_some() {
        // What is wrong with it is known, or is told when it is opened again.
        let _ = caught(|| {
            drop(database);
            Ok(())
        });
    }
}

/// Does `work`, and turns a panic into an error: redb trusts what it reads of a file that was closed as it should be, and so panics
/// where that was damaged afterwards.
fn caught<T>(work: impl FnOnce() -> Result<T, Trouble>) -> Result<T, Trouble> {
    thread_local! {
        static IS_TOLD: Cell<bool> = const { Cell::new(true) };
    }
    static HOOKED: Once = Once::new();
    let hook = || {
        let tell = panic::take_hook();
        panic::set_hook(Box::new(move |about| {
            if IS_TOLD.get() {
                tell(about);
            } else {
                debug!(%about, "a database file is damaged");
            }
        }));
    };
    // Who panics already cannot change what is told of it.
    if !thread::panicking() {
        HOOKED.call_once(hook);
    }
    let before = IS_TOLD.replace(false);
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    IS_TOLD.set(before);
    done.unwrap_or(Err(Trouble::Panic))
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use std::{
        ops::Bound,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering::Relaxed},
        },
    };

    use redb::{BackendError, ReadableDatabase, StorageBackend, TableDefinition};
    use tempfile::TempDir;

    use super::*;

    const TABLE: TableDefinition<'_, u64, u64> = TableDefinition::new("numbers");

    /// A file on a disk that may be full.
    #[derive(Debug)]
    pub(super) struct Disk {
        file: FileBackend,
        is_full: Arc<AtomicBool>,
    }

    impl Disk {
        pub(super) fn new(file: FileBackend, is_full: &Arc<AtomicBool>) -> Self {
            let is_full = Arc::clone(is_full);
            Self { file, is_full }
        }

        fn room(&self) -> io::Result<()> {
            if self.is_full.load(Relaxed) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            Ok(())
        }
    }

    impl StorageBackend for Disk {
        fn len(&self) -> io::Result<u64> {
            self.file.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.file.read(offset, out)
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.room()?;
            self.file.set_len(len)
        }

        fn sync_data(&self) -> io::Result<()> {
            self.file.sync_data()
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.room()?;
            self.file.write(offset, data)
        }

        fn close(&self) -> io::Result<()> {
            self.file.close()
        }

        fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
            self.file.try_lock_range(start, end)
        }

        fn try_lock_shared_range(
            &self,
            start: Bound<u64>,
            end: Bound<u64>,
        ) -> Result<bool, BackendError> {
            self.file.try_lock_shared_range(start, end)
        }

        fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
            self.file.lock_range(start, end)
        }

        fn lock_shared_range(
            &self,
            start: Bound<u64>,
            end: Bound<u64>,
        ) -> Result<(), BackendError> {
            self.file.lock_shared_range(start, end)
        }

        fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
            self.file.unlock_range(start, end)
        }

        fn query_lock_range(
            &self,
            start: Bound<u64>,
            end: Bound<u64>,
        ) -> Result<bool, BackendError> {
            self.file.query_lock_range(start, end)
        }
    }

    fn file(folder: &TempDir) -> DatabaseFile {
        let form = Form {
            cache: None,
            prepare: |database| {
                let write = database.begin_write()?;
                write.open_table(TABLE)?;
                Ok(write.commit()?)
            },
        };
        DatabaseFile::at(&folder.path().join("state/a.redb"), form)
    }

    fn put(file: &DatabaseFile, number: u64) -> Result<(), DatabaseFileError> {
        file.with(|database| {
            let write = database.begin_write()?;
            write.open_table(TABLE)?.insert(number, number)?;
            Ok(write.commit()?)
        })
    }

    fn all(file: &DatabaseFile) -> Vec<u64> {
        let read = file.with(|database| {
            let table = database.begin_read()?.open_table(TABLE)?;
            let each = table.range::<u64>(..)?.map(|entry| Ok(entry?.0.value()));
            each.collect::<Result<Vec<_>, Trouble>>()
        });
        read.unwrap()
    }

    #[test]
    fn what_a_full_disk_did_not_take_is_an_error_and_what_comes_once_there_is_room_is_kept() {
        let folder = TempDir::new().unwrap();
        let file = file(&folder);
        put(&file, 1).unwrap();
        file.is_full.store(true, Relaxed);
        for number in [2, 3] {
            let error = put(&file, number).unwrap_err();
            assert!(matches!(error, DatabaseFileError::Disk(_)), "{error:?}");
            let said = error.to_string();
            assert!(said.contains("make room"), "{said}");
        }
        file.is_full.store(false, Relaxed);
        put(&file, 4).unwrap();
        assert_eq!(all(&file), [1, 4]);
    }

    #[test]
    fn one_that_was_begun_on_a_full_disk_is_begun_anew() {
        let folder = TempDir::new().unwrap();
        let file = file(&folder);
        file.is_full.store(true, Relaxed);
        put(&file, 1).unwrap_err();
        assert!(!file.is_there());
        let left = fs::read_dir(folder.path().join("state")).unwrap();
        assert_eq!(left.count(), 0);
        // Whoever was killed meanwhile left something.
        fs::write(folder.path().join("state/a.redb.new"), [0; 100]).unwrap();
        file.is_full.store(false, Relaxed);
        put(&file, 2).unwrap();
        assert_eq!(all(&file), [2]);
    }

    #[test]
    fn what_is_damaged_or_empty_is_said_to_be_and_stays_as_it_is() {
        for content in ["", "no database at all", &"x".repeat(9_000)] {
            let folder = TempDir::new().unwrap();
            let file = file(&folder);
            fs::create_dir(folder.path().join("state")).unwrap();
            fs::write(file.path(), content).unwrap();
            let error = file.with(|_| Ok(())).unwrap_err();
            assert!(matches!(error, DatabaseFileError::Damaged(_)), "{error:?}");
            assert!(error.to_string().contains("move it away"), "{error}");
            assert_eq!(fs::read(file.path()).unwrap(), content.as_bytes());
        }
    }

    #[test]
    fn a_panic_over_what_is_in_the_file_is_called_damage_and_the_file_is_opened_again() {
        let folder = TempDir::new().unwrap();
        let file = file(&folder);
        put(&file, 1).unwrap();
        let opened = |file: &DatabaseFile| file.with_opening(|_, count| Ok(count)).unwrap();
        let before = opened(&file);
        let ended = file.with(|_| -> Result<(), Trouble> { panic!("what is there cannot be") });
        assert!(matches!(ended, Err(DatabaseFileError::Damaged(_))));
        put(&file, 2).unwrap();
        assert_ne!(opened(&file), before);
    }

    #[test]
    fn what_a_program_of_another_version_has_or_wrote_is_not_called_damaged() {
        let said = |error: DatabaseError| DatabaseFileError::from(Trouble::from(error));
        let open = said(DatabaseError::LockProtocolMismatch);
        assert!(matches!(open, DatabaseFileError::OpenByOther), "{open:?}");
        let old = said(DatabaseError::UpgradeRequired(2));
        assert!(matches!(old, DatabaseFileError::OldForm(2)), "{old:?}");
        for error in [open, old] {
            let error = error.to_string();
            assert!(error.contains("version"), "{error}");
            assert!(!error.contains("move it away"), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn its_owner_alone_may_read_it() {
        use std::os::unix::fs::PermissionsExt;

        let folder = TempDir::new().unwrap();
        let file = file(&folder);
        file.with(|_| Ok(())).unwrap();
        let mode = file.path().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

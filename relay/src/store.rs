//! What outlives the relay besides its key, in `relay.redb` in its folder: volumes, invitations, and whom those let in.
//!
//! Where the disk takes nothing, the relay serves on and what changes waits in memory for the next try.

use std::{
    collections::BTreeMap,
    fs, io,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    sync::Mutex,
};

use peerway_proto::PeerId;
use peerway_relay::{Invite, InviteId, Month, Records};
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition,
    backends::FileBackend,
};
use tracing::{info, warn};

const FILE: &str = "relay.redb";
/// Memory for pages of the file; the relay reads it once.
const CACHE: usize = 1 << 20;

/// Bytes by month and key; all together are under no key.
const VOLUMES: TableDefinition<'_, (u32, &[u8]), u64> = TableDefinition::new("volumes");
/// Uses that are left, and the time in milliseconds at which it ends.
const INVITES: TableDefinition<'_, &[u8; InviteId::LEN], (Option<u32>, Option<u64>)> =
    TableDefinition::new("invites");
/// Who was let in, and by which invitation.
const MEMBERS: TableDefinition<'_, &[u8; 32], &[u8; InviteId::LEN]> =
    TableDefinition::new("members");

/// Why the relay cannot keep what is to outlive it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error(
        "cannot open {}: {source}; the relay has to be able to write it, and no other relay may use it", path.display()
    )]
    File { path: PathBuf, source: io::Error },
    #[error("another relay uses {}: end that one, or give this one another --state-dir", path.display())]
    Taken { path: PathBuf },
    #[error(
        "{} is damaged: restore it, or move it away to begin with no volume counted and nobody invited",
        path.display()
    )]
    Damaged { path: PathBuf },
    #[error(
        "cannot use {}: {source}; if it is damaged, restore it, or move it away to begin with no volume counted and nobody invited",
        path.display()
    )]
    Database {
        path: PathBuf,
        source: Box<redb::Error>,
    },
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    /// None after it failed.
    database: Option<Database>,
    waiting: Waiting,
    has_failed: bool,
}

/// What is not written yet.
#[derive(Debug, Default)]
struct Waiting {
    volumes: BTreeMap<(Month, Option<PeerId>), u64>,
    invites: BTreeMap<InviteId, Option<Invite>>,
    members: BTreeMap<PeerId, Option<InviteId>>,
    months: Vec<Month>,
}

impl Waiting {
    fn add(&mut self, records: Records) {
        let volumes = records.volumes.into_iter();
        self.volumes
            .extend(volumes.map(|(month, key, bytes)| ((month, key), bytes)));
        self.invites.extend(records.invites);
        self.members.extend(records.members);
        self.months = records.months;
        // What nobody needs any more does not pile up where nothing can be written.
        let months = &self.months;
        self.volumes.retain(|(month, _), _| months.contains(month));
    }

    fn is_empty(&self) -> bool {
        self.volumes.is_empty() && self.invites.is_empty() && self.members.is_empty()
    }
}

impl Store {
    /// Opens the store in this folder, and makes sure that it can be written to.
    pub(crate) fn open(state_dir: &Path) -> Result<(Self, Records), StoreError> {
        let path = state_dir.join(FILE);
        let (database, records) = quietly(|| -> Result<_, StoreError> {
            let mut database = open(&path)?;
            let failed = |source: redb::Error| StoreError::Database {
                path: path.clone(),
                source: Box::new(source),
            };
            let is_whole = database.check_integrity();
            if !is_whole.map_err(|error| failed(error.into()))? {
                warn!("{} was repaired", path.display());
            }
            write(&database, &Waiting::default()).map_err(failed)?;
            let records = read(&database).map_err(failed)?;
            Ok((database, records))
        })
        .unwrap_or_else(|| Err(StoreError::Damaged { path: path.clone() }))?;
        let store = Self {
            path,
            database: Some(database),
            waiting: Waiting::default(),
            has_failed: false,
        };
        Ok((store, records))
    }

    /// Writes these, and what could not be written before. False if it cannot be done now; that is said once.
    pub(crate) fn write(&mut self, records: Records) -> bool {
        self.waiting.add(records);
        if self.waiting.is_empty() {
            return true;
        }
        match self.try_write() {
            Ok(()) => {
                self.waiting = Waiting::default();
                if std::mem::take(&mut self.has_failed) {
                    info!("what is to outlive the relay can be written again");
                }
                true
            }
            Err(error) => {
                // The database refuses everything after a failure.
                self.database = None;
                if !std::mem::replace(&mut self.has_failed, true) {
                    warn!(%error, "serving on; until this is mended, volumes and invitations are kept in memory only");
                }
                false
            }
        }
    }

    fn try_write(&mut self) -> Result<(), StoreError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => open(&self.path)?,
        };
        let written = write(&database, &self.waiting);
        self.database = Some(database);
        written.map_err(|source| StoreError::Database {
            path: self.path.clone(),
            source: Box::new(source),
        })
    }
}

/// Does `work`; none if it panics, as redb does on files that are damaged in some ways. For the start of the program: what panics
/// elsewhere meanwhile is not told of.
fn quietly<T>(work: impl FnOnce() -> T) -> Option<T> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock();
    let telling = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    panic::set_hook(telling);
    done.ok()
}

fn open(path: &Path) -> Result<Database, StoreError> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path).map_err(|source| StoreError::File {
        path: path.to_owned(),
        source,
    })?;
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE);
    let backend = FileBackend::new(file);
    let opened = backend.and_then(|backend| builder.create_with_backend(backend));
    opened.map_err(|source| {
        let path = path.to_owned();
        if matches!(source, DatabaseError::DatabaseAlreadyOpen) {
            return StoreError::Taken { path };
        }
        let source = Box::new(source.into());
        StoreError::Database { path, source }
    })
}

fn write(database: &Database, waiting: &Waiting) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut volumes = transaction.open_table(VOLUMES)?;
        for ((month, key), bytes) in &waiting.volumes {
            let key = key.as_ref().map_or(&[][..], |key| key.as_bytes());
            volumes.insert((month.number(), key), bytes)?;
        }
        if !waiting.months.is_empty() {
            let kept =
                |(month, _): (u32, &[u8]), _| waiting.months.contains(&Month::from_number(month));
            volumes.retain(kept)?;
        }
        let mut invites = transaction.open_table(INVITES)?;
        for (id, invite) in &waiting.invites {
            match invite {
                Some(invite) => {
                    invites.insert(id.as_bytes(), (invite.uses_left, invite.expires_ms))?;
                }
                None => {
                    invites.remove(id.as_bytes())?;
                }
            }
        }
        let mut members = transaction.open_table(MEMBERS)?;
        for (key, by) in &waiting.members {
            match by {
                Some(by) => {
                    members.insert(key.as_bytes(), by.as_bytes())?;
                }
                None => {
                    members.remove(key.as_bytes())?;
                }
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

fn read(database: &Database) -> Result<Records, redb::Error> {
    let transaction = database.begin_read()?;
    let mut records = Records::default();
    for entry in transaction.open_table(VOLUMES)?.iter()? {
        let (at, bytes) = entry?;
        let (month, key) = at.value();
        let id = <[u8; 32]>::try_from(key).ok();
        let id = id.and_then(|bytes| PeerId::from_bytes(bytes).ok());
        if id.is_some() || key.is_empty() {
            let month = Month::from_number(month);
            records.volumes.push((month, id, bytes.value()));
        }
    }
    for entry in transaction.open_table(INVITES)?.iter()? {
        let (id, invite) = entry?;
        let (uses_left, expires_ms) = invite.value();
        let invite = Invite {
            uses_left,
            expires_ms,
        };
        let id = InviteId::from_bytes(*id.value());
        records.invites.push((id, Some(invite)));
    }
    for entry in transaction.open_table(MEMBERS)?.iter()? {
        let (key, by) = entry?;
        if let Ok(key) = PeerId::from_bytes(*key.value()) {
            let by = InviteId::from_bytes(*by.value());
            records.members.push((key, Some(by)));
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerway_proto::SecretKey;

    fn key(seed: u8) -> PeerId {
        SecretKey::from_seed(&[seed; 32]).id()
    }

    fn records() -> Records {
        let month = Month::of(1_793_500_000_000);
        let id = InviteId::from_bytes([7; InviteId::LEN]);
        let invite = Invite {
            uses_left: Some(3),
            expires_ms: None,
        };
        let mut records = Records::default();
        records.volumes = vec![(month, None, 50), (month, Some(key(1)), 20)];
        records.invites = vec![(id, Some(invite))];
        records.members = vec![(key(1), Some(id))];
        records.months = vec![month];
        records
    }

    #[test]
    fn what_was_written_is_read_again_and_is_the_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, empty) = Store::open(folder.path()).unwrap();
        assert_eq!(empty, Records::default());
        assert!(store.write(records()));
        drop(store);
        let (mut store, read) = Store::open(folder.path()).unwrap();
        assert_eq!(read.volumes, records().volumes);
        assert_eq!(
            (read.invites, read.members),
            (records().invites, records().members)
        );

        let mut later = Records::default();
        later.months = vec![Month::of(0)];
        later.volumes = vec![(Month::of(0), None, 1)];
        later.invites = vec![(InviteId::from_bytes([7; InviteId::LEN]), None)];
        later.members = vec![(key(1), None)];
        assert!(store.write(later.clone()));
        drop(store);
        let (_, read) = Store::open(folder.path()).unwrap();
        assert_eq!(read.volumes, later.volumes);
        assert!(read.invites.is_empty() && read.members.is_empty());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(folder.path().join(FILE))
                .unwrap()
                .permissions();
            assert_eq!(mode.mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_second_relay_and_a_damaged_file_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let (first, _) = Store::open(folder.path()).unwrap();
        let second = Store::open(folder.path()).unwrap_err().to_string();
        assert!(second.contains("another relay uses"), "{second}");
        drop(first);
        fs::write(folder.path().join(FILE), b"no database at all").unwrap();
        let damaged = Store::open(folder.path()).unwrap_err().to_string();
        assert!(damaged.contains("move it away"), "{damaged}");
    }

    #[test]
    fn a_file_that_lost_a_bit_is_read_right_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let (mut store, _) = Store::open(folder.path()).unwrap();
        assert!(store.write(records()));
        drop(store);
        let whole = fs::read(&path).unwrap();
        let used = (0..whole.len()).filter(|at| whole[*at] != 0);
        let (mut right, mut refused) = (0, 0);
        // A prime, so that all kinds of fields are hit, each in all of its bits.
        for (nth, at) in used.step_by(97).enumerate() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << (nth % 8);
            fs::write(&path, damaged).unwrap();
            match Store::open(folder.path()) {
                Ok((_, read)) => {
                    assert_eq!(read.volumes, records().volumes, "byte {at}");
                    assert_eq!(read.members, records().members, "byte {at}");
                    right += 1;
                }
                Err(error) => {
                    assert!(error.to_string().contains("move it away"), "{error}");
                    refused += 1;
                }
            }
        }
        assert!(right > 0 && refused > 0, "{right} right, {refused} refused");
    }

    #[test]
    fn what_could_not_be_written_is_written_later() {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, _) = Store::open(folder.path()).unwrap();
        store.database = None;
        let away = folder.path().join("gone");
        fs::rename(folder.path().join(FILE), &away).unwrap();
        fs::create_dir(folder.path().join(FILE)).unwrap();
        assert!(!store.write(records()));
        assert!(!store.write(Records::default()), "still waits");
        fs::remove_dir(folder.path().join(FILE)).unwrap();
        fs::rename(&away, folder.path().join(FILE)).unwrap();
        assert!(store.write(records()));
        drop(store);
        let (_, read) = Store::open(folder.path()).unwrap();
        assert_eq!(read.volumes, records().volumes);
    }
}

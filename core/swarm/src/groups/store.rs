//! What outlives a restart: each group's log, where its members are met, the keys of its epochs, and its posts.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use redb::{
    Database, Durability, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition,
    WriteTransaction,
};
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

use crate::{
    group::{Card, EpochKey, GroupId, Kept, Known, Log, Op, OpId, Post, PostId, Record},
    store::{
        DatabaseFileError,
        database::{DatabaseFile, Form, Trouble},
    },
};

const FILE: &str = "groups.redb";
const FORM: Form = Form {
    cache: Some(8 << 20),
    prepare: make,
};
/// Of others: what is not on the disk yet, and would be lost with the database's memory. Beyond it the oldest come again from others.
const MAX_PENDING: usize = 4_096;

type Key = &'static [u8; 32];

const LOWEST: Key = &[0; 32];
const HIGHEST: Key = &[0xff; 32];

/// By the group and the order in which they came.
const OPS: TableDefinition<'_, (Key, u64), &[u8]> = TableDefinition::new("ops");
/// By the group and the member.
const CARDS: TableDefinition<'_, (Key, Key), &[u8]> = TableDefinition::new("cards");
/// By the group and the epoch.
const KEYS: TableDefinition<'_, (Key, Key), Key> = TableDefinition::new("keys");
/// By the group, the time, and the post.
const POSTS: TableDefinition<'_, (Key, u64, Key), &[u8]> = TableDefinition::new("posts");
/// Until when a group's posts were read here, by the group.
const READ: TableDefinition<'_, Key, u64> = TableDefinition::new("read");

/// Why groups cannot be kept, or are not.
#[derive(Debug, Error)]
#[error("cannot use {}, in which groups are kept: {source}", path.display())]
#[non_exhaustive]
pub struct StoreError {
    /// Which file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub source: DatabaseFileError,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Store {
    file: DatabaseFile,
    pending: Mutex<Pending>,
}

/// What was kept and is not on the disk yet.
#[derive(Debug, Default)]
struct Pending {
    records: Vec<(GroupId, Record)>,
    /// So many of them are in the memory of the database that is open, where they are read.
    written: usize,
    /// Posts are to go from the disk.
    forgets: bool,
    /// Why the last try failed.
    failing: Option<String>,
}

/// The ids and names of the groups that are kept in this folder while no node uses it.
///
/// # Errors
/// See [`StoreError`].
pub fn kept_in(folder: &Path) -> Result<Vec<(GroupId, String)>, StoreError> {
    if DatabaseFile::at(&folder.join(FILE), FORM).is_there() {
        Store::open(folder)?.names()
    } else {
        Ok(Vec::new())
    }
}

impl Store {
    /// Opens the one in this folder.
    pub(super) fn open(folder: &Path) -> Result<Self, StoreError> {
        let store = Self {
            file: DatabaseFile::at(&folder.join(FILE), FORM),
            pending: Mutex::default(),
        };
        store.with(|_| Ok(()))?;
        Ok(store)
    }

    fn with<T>(&self, act: impl FnOnce(&Database) -> Result<T, Trouble>) -> Result<T, StoreError> {
        self.file.with(act).map_err(|source| StoreError {
            path: self.file.path().to_owned(),
            source,
        })
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn is_full(&self) -> std::sync::Arc<std::sync::atomic::AtomicBool> {
        self.file.is_full.clone()
    }

    /// Why nothing is kept at the moment; none if it is.
    pub(super) fn failing(&self) -> Option<String> {
        self.pending().failing.clone()
    }

    /// What all groups are called, but for those whose log is damaged.
    pub(super) fn names(&self) -> Result<Vec<(GroupId, String)>, StoreError> {
        let read = |database: &Database| {
            let named = logs(&database.begin_read()?)?.into_iter();
            Ok(named
                .map(|(group, log)| (group, log.state().name.clone()))
                .collect())
        };
        self.with(read)
    }

    /// All groups, but for those whose log is damaged.
    pub(super) fn groups(&self) -> Result<Vec<(GroupId, Known)>, StoreError> {
        self.with(groups)
    }

    /// Keeps what comes of others: it is read at once, and on the disk with the next [`flush`](Self::flush). Once the disk took nothing it
    /// waits for that.
    pub(super) fn keep(&self, group: GroupId, records: Vec<Record>) -> Result<(), StoreError> {
        let mut pending = self.pending();
        let new = records.into_iter().map(|record| (group, record));
        pending.records.extend(new);
        let beyond = pending.records.len().saturating_sub(MAX_PENDING);
        pending.records.drain(..beyond);
        pending.written = pending.written.saturating_sub(beyond);
        if pending.failing.is_some() {
            return Ok(());
        }
        let new = pending.records.get(pending.written..).unwrap_or_default();
        let kept = self.with(|database| keep(database, new, Durability::None));
        pending.note(kept, false)
    }

    /// Keeps what is this node's own: it is on the disk after that, or nowhere.
    pub(super) fn keep_own(&self, group: GroupId, records: &[Record]) -> Result<(), StoreError> {
        let mut pending = self.pending();
        let others = pending.records.get(pending.written..).unwrap_or_default();
        let own = records.iter().map(|record| (group, record.clone()));
        let all: Vec<_> = others.iter().cloned().chain(own).collect();
        let kept = self.with(|database| keep(database, &all, Durability::Immediate));
        pending.note(kept, true)
    }

    /// Has all that is kept on the disk.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        let mut pending = self.pending();
        if pending.records.is_empty() && !pending.forgets && pending.failing.is_none() {
            return Ok(());
        }
        let new = pending.records.get(pending.written..).unwrap_or_default();
        let kept = self.with(|database| keep(database, new, Durability::Immediate));
        pending.note(kept, true)
    }

    /// Drops posts; from the disk with the next [`flush`](Self::flush).
    pub(super) fn forget(&self, group: GroupId, posts: &[(u64, PostId)]) -> Result<(), StoreError> {
        let forget = |database: &Database| {
            let mut transaction = database.begin_write()?;
            transaction
                .set_durability(Durability::None)
                .map_err(redb::Error::from)?;
            {
                let mut table = transaction.open_table(POSTS)?;
                for (at, id) in posts {
                    table.remove((group.as_bytes(), *at, id.as_bytes()))?;
                }
            }
            Ok(transaction.commit()?)
        };
        let mut pending = self.pending();
        pending.forgets = true;
        let is_gone = |record: &Record| matches!(record, Record::Post(post) if posts.iter().any(|(_, id)| *id == post.id()));
        pending.drop_where(|of, record| of == group && is_gone(record));
        if pending.failing.is_some() {
            // They go once the node is started anew.
            return Ok(());
        }
        self.with(forget)
    }

    /// Drops all of a group.
    pub(super) fn drop_group(&self, group: GroupId) -> Result<(), StoreError> {
        self.pending().drop_where(|of, _| of == group);
        self.with(|database| drop_group(database, group))
    }

    pub(super) fn post(
        &self,
        group: GroupId,
        at: u64,
        id: PostId,
    ) -> Result<Option<Post>, StoreError> {
        let read = |database: &Database| {
            let table = database.begin_read()?.open_table(POSTS)?;
            let found = table.get((group.as_bytes(), at, id.as_bytes()))?;
            Ok(found.and_then(|bytes| parse(bytes.value())))
        };
        self.with(read)
    }

    /// The last so many, oldest first.
    pub(super) fn last(&self, group: GroupId, count: usize) -> Result<Vec<Post>, StoreError> {
        let read = |database: &Database| {
            let table = database.begin_read()?.open_table(POSTS)?;
            let key = group.as_bytes();
            let all = table.range((key, 0, LOWEST)..=(key, u64::MAX, HIGHEST))?;
            let mut posts = Vec::new();
            for entry in all.rev().take(count) {
                posts.extend(parse::<Post>(entry?.1.value()));
            }
            posts.reverse();
            Ok(posts)
        };
        self.with(read)
    }

    /// Until when a group's posts were read here.
    pub(super) fn read_until(&self, group: GroupId) -> Result<u64, StoreError> {
        let read = |database: &Database| {
            let table = database.begin_read()?.open_table(READ)?;
            Ok(table.get(group.as_bytes())?.map_or(0, |at| at.value()))
        };
        self.with(read)
    }

    pub(super) fn set_read_until(&self, group: GroupId, at: u64) -> Result<(), StoreError> {
        let write = |database: &Database| {
            let transaction = database.begin_write()?;
            transaction.open_table(READ)?.insert(group.as_bytes(), at)?;
            transaction.commit()?;
            Ok(())
        };
        self.with(write)
    }
}

impl Pending {
    /// After something was written, on the disk or in memory alone.
    fn note(
        &mut self,
        written: Result<(), StoreError>,
        is_on_disk: bool,
    ) -> Result<(), StoreError> {
        match &written {
            Ok(()) if is_on_disk => *self = Self::default(),
            Ok(()) => self.written = self.records.len(),
            Err(error) => {
                if self.failing.is_none() {
                    tracing::warn!(%error, "what is said in groups is not kept");
                }
                (self.written, self.failing) = (0, Some(error.to_string()));
            }
        }
        written
    }

    fn drop_where(&mut self, is_dropped: impl Fn(GroupId, &Record) -> bool) {
        let mut at = 0;
        let mut left = self.written;
        self.records.retain(|(group, record)| {
            let is_dropped = is_dropped(*group, record);
            left -= usize::from(is_dropped && at < self.written);
            at += 1;
            !is_dropped
        });
        self.written = left;
    }
}

/// All tables, so that who reads finds them.
fn make(database: &Database) -> Result<(), Trouble> {
    let transaction = database.begin_write()?;
    transaction.open_table(OPS)?;
    transaction.open_table(CARDS)?;
    transaction.open_table(KEYS)?;
    transaction.open_table(POSTS)?;
    transaction.open_table(READ)?;
    transaction.commit()?;
    Ok(())
}

fn keep(
    database: &Database,
    records: &[(GroupId, Record)],
    durability: Durability,
) -> Result<(), Trouble> {
    let mut transaction = database.begin_write()?;
    transaction
        .set_durability(durability)
        .map_err(redb::Error::from)?;
    for (group, record) in records {
        put(&transaction, group.as_bytes(), record)?;
    }
    Ok(transaction.commit()?)
}

fn put(transaction: &WriteTransaction, key: &[u8; 32], record: &Record) -> Result<(), Trouble> {
    match record {
        Record::Op(op) => {
            let mut ops = transaction.open_table(OPS)?;
            let last = ops.range((key, 0)..=(key, u64::MAX))?.next_back();
            let next = last.transpose()?.map_or(0, |(key, _)| key.value().1 + 1);
            ops.insert((key, next), &bytes(op)[..])?;
        }
        Record::Card(card) => {
            let mut cards = transaction.open_table(CARDS)?;
            cards.insert((key, card.author().as_bytes()), &bytes(card)[..])?;
        }
        Record::Key(epoch, secret) => {
            let mut keys = transaction.open_table(KEYS)?;
            keys.insert((key, epoch.as_bytes()), secret.reveal())?;
        }
        Record::Post(post) => {
            let mut posts = transaction.open_table(POSTS)?;
            let at = (key, post.sent_ms(), post.id());
            posts.insert((at.0, at.1, at.2.as_bytes()), &bytes(post)[..])?;
        }
    }
    Ok(())
}

fn logs(transaction: &ReadTransaction) -> Result<Vec<(GroupId, Log)>, Trouble> {
    let ops = transaction.open_table(OPS)?;
    let mut logs: Vec<(GroupId, Option<Log>)> = Vec::new();
    for entry in ops.iter()? {
        let (key, op) = entry?;
        let group = GroupId::from_bytes(*key.value().0);
        let Some(op) = parse::<Op>(op.value()) else {
            continue;
        };
        match logs.last_mut() {
            Some((last, log)) if *last == group => {
                if let Some(log) = log {
                    // Those that were taken before are.
                    let _ = log.insert_unfolded(op);
                }
            }
            Some(_) | None => logs.push((group, Log::begun_by(group, op).ok())),
        }
    }
    let sound = logs.into_iter().filter_map(|(group, log)| {
        let mut log = log?;
        log.refold();
        Some((group, log))
    });
    Ok(sound.collect())
}

fn groups(database: &Database) -> Result<Vec<(GroupId, Known)>, Trouble> {
    let transaction = database.begin_read()?;
    let cards = transaction.open_table(CARDS)?;
    let (keys, posts) = (
        transaction.open_table(KEYS)?,
        transaction.open_table(POSTS)?,
    );
    let mut known = Vec::new();
    for (group, log) in logs(&transaction)? {
        let key = group.as_bytes();
        let mut of_group = Known {
            log,
            cards: Vec::new(),
            keys: Vec::new(),
            kept: Kept::default(),
        };
        for entry in cards.range((key, LOWEST)..=(key, HIGHEST))? {
            of_group.cards.extend(parse::<Card>(entry?.1.value()));
        }
        for entry in keys.range((key, LOWEST)..=(key, HIGHEST))? {
            let (key, secret) = entry?;
            let epoch = OpId::from_bytes(*key.value().1);
            of_group
                .keys
                .push((epoch, EpochKey::from_bytes(*secret.value())));
        }
        for entry in posts.range((key, 0, LOWEST)..=(key, u64::MAX, HIGHEST))? {
            if let Some(post) = parse::<Post>(entry?.1.value()) {
                of_group.kept.note(&post);
            }
        }
        known.push((group, of_group));
    }
    Ok(known)
}

fn drop_group(database: &Database, group: GroupId) -> Result<(), Trouble> {
    let transaction = database.begin_write()?;
    {
        let key = group.as_bytes();
        let two = || (key, LOWEST)..=(key, HIGHEST);
        transaction
            .open_table(OPS)?
            .retain_in((key, 0)..=(key, u64::MAX), |_, _| false)?;
        transaction
            .open_table(CARDS)?
            .retain_in(two(), |_, _| false)?;
        transaction
            .open_table(KEYS)?
            .retain_in(two(), |_, _| false)?;
        let posts = (key, 0, LOWEST)..=(key, u64::MAX, HIGHEST);
        transaction
            .open_table(POSTS)?
            .retain_in(posts, |_, _| false)?;
        transaction.open_table(READ)?.remove(key)?;
    }
    transaction.commit()?;
    Ok(())
}

/// Postcard writes into memory and refuses none of these types; what is empty is read as nothing.
fn bytes<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).unwrap_or_default()
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    postcard::from_bytes(bytes).ok()
}

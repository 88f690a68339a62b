//! What outlives a restart: each group's log, where its members are met, the keys of its epochs, and its posts.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use peerway::PeerId;
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
/// Changes that are in the database's memory alone, at most; and, while the disk takes nothing, posts and cards that wait for it. Beyond
/// it those of whoever has most go first, the oldest before the others, and come again from others: this node's own are on the disk before
/// they are told. Ops and keys all wait, as what is kept later says nothing without them, and the log bounds them.
const MAX_PENDING: usize = 4_096;
/// Posts whose going waits for the disk. Beyond it the oldest go once the node is started anew.
const MAX_FORGOTTEN: usize = 16 * MAX_PENDING;

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

/// What was changed and is not on the disk yet.
#[derive(Debug, Default)]
struct Pending {
    /// In the order in which it was.
    changes: Vec<(GroupId, Change)>,
    /// So many of them are in the memory of the database, where they are read,
    written: usize,
    /// as it was opened then.
    opening: u64,
    /// Why the last try failed.
    failing: Option<String>,
    /// Posts and cards that went, as too many waited.
    dropped: u64,
}

/// Something that changes what is kept of a group.
#[derive(Clone, Debug)]
enum Change {
    Keep(Box<Record>),
    Forget(u64, PostId),
    /// All of the group goes.
    Drop,
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
        self.file.with(act).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: DatabaseFileError) -> StoreError {
        StoreError {
            path: self.file.path().to_owned(),
            source,
        }
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
        let pending = self.pending();
        let why = pending.failing.clone()?;
        Some(match pending.dropped {
            0 => why,
            count => format!(
                "{why}; {count} posts and addresses of others are let go, and come again once this node was started anew"
            ),
        })
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
        let new = records.into_iter();
        pending
            .changes
            .extend(new.map(|record| (group, Change::Keep(Box::new(record)))));
        self.soon(&mut pending)
    }

    /// Keeps what is this node's own: it is on the disk after that, or nowhere.
    pub(super) fn keep_own(&self, group: GroupId, records: &[Record]) -> Result<(), StoreError> {
        let mut pending = self.pending();
        let own: Vec<_> = keeping(group, records).collect();
        let kept = self.write(&mut pending, &own, Durability::Immediate);
        if kept.is_err() {
            // A disk that fails at the end may have taken it all the same.
            pending.forget(group, posts(records));
        }
        kept
    }

    /// Keeps this of a group, and nothing that was kept of it before; where the disk does not take it, that stays.
    pub(super) fn renew(&self, group: GroupId, records: &[Record]) -> Result<(), StoreError> {
        let drop = std::iter::once((group, Change::Drop));
        let own: Vec<_> = drop.chain(keeping(group, records)).collect();
        self.write(&mut self.pending(), &own, Durability::Immediate)
    }

    /// Has all that is kept on the disk.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        let mut pending = self.pending();
        if pending.changes.is_empty() && pending.failing.is_none() {
            return Ok(());
        }
        self.write(&mut pending, &[], Durability::Immediate)
    }

    /// Drops posts; from the disk with the next [`flush`](Self::flush).
    pub(super) fn forget(&self, group: GroupId, posts: &[(u64, PostId)]) -> Result<(), StoreError> {
        let mut pending = self.pending();
        pending.forget(group, posts.iter().copied());
        self.soon(&mut pending)
    }

    /// Drops all of a group; with the next [`flush`](Self::flush) if the disk takes nothing now.
    pub(super) fn drop_group(&self, group: GroupId) -> Result<(), StoreError> {
        let mut pending = self.pending();
        pending.drop_where(|of, _| of == group);
        pending.changes.push((group, Change::Drop));
        self.write(&mut pending, &[], Durability::Immediate)
    }

    /// Has what is new in the database's memory, unless the disk took nothing the last time.
    fn soon(&self, pending: &mut Pending) -> Result<(), StoreError> {
        if pending.failing.is_some() {
            pending.make_room((MAX_PENDING, MAX_FORGOTTEN));
            return Ok(());
        }
        let is_much = pending.changes.len() > MAX_PENDING;
        let durability = match is_much {
            true => Durability::Immediate,
            false => Durability::None,
        };
        self.write(pending, &[], durability)
    }

    /// Writes what the database that is open does not have yet, and this after it.
    fn write(
        &self,
        pending: &mut Pending,
        own: &[(GroupId, Change)],
        durability: Durability,
    ) -> Result<(), StoreError> {
        let opening = self.file.with_opening(|database, opening| {
            let is_same = pending.opening == opening;
            let written = if is_same { pending.written } else { 0 };
            let new = pending.changes.get(written..).unwrap_or_default();
            write(database, new.iter().chain(own), durability)?;
            Ok(opening)
        });
        let opening = opening.map_err(|source| self.failed(source));
        pending.note(opening, matches!(durability, Durability::Immediate))
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
    /// After something was written to the database of this opening, on the disk or in memory alone.
    fn note(
        &mut self,
        written: Result<u64, StoreError>,
        is_on_disk: bool,
    ) -> Result<(), StoreError> {
        match &written {
            Ok(opening) if is_on_disk => {
                *self = Self {
                    opening: *opening,
                    ..Self::default()
                };
            }
            Ok(opening) => (self.written, self.opening) = (self.changes.len(), *opening),
            Err(error) => {
                if self.failing.is_none() {
                    tracing::warn!(%error, "what is said in groups is not kept");
                }
                (self.written, self.failing) = (0, Some(error.to_string()));
            }
        }
        written.map(|_| ())
    }

    /// These posts go, from what waits too.
    fn forget(&mut self, group: GroupId, these: impl Iterator<Item = (u64, PostId)>) {
        let gone: BTreeSet<_> = these.collect();
        self.drop_where(|of, change| match change {
            Change::Keep(record) => {
                let mut posts = posts(std::slice::from_ref(&**record));
                of == group && posts.any(|post| gone.contains(&post))
            }
            Change::Forget(..) | Change::Drop => false,
        });
        let gone = gone.into_iter();
        self.changes
            .extend(gone.map(|(at, id)| (group, Change::Forget(at, id))));
    }

    /// Lets the oldest go of whoever has most of the posts and cards, and posts be forgotten later, where there are more than so many.
    fn make_room(&mut self, (most, forgotten): (usize, usize)) {
        let (mut of_authors, mut gone) = (BTreeMap::<PeerId, usize>::new(), 0);
        for (_, change) in &self.changes {
            if let Some(author) = change.author() {
                *of_authors.entry(author).or_default() += 1;
            }
            gone += usize::from(matches!(change, Change::Forget(..)));
        }
        let count: usize = of_authors.values().sum();
        let mut beyond = BTreeMap::<PeerId, usize>::new();
        for _ in most..count {
            let largest = of_authors.iter_mut().max_by_key(|(_, count)| **count);
            if let Some((author, count)) = largest {
                *count -= 1;
                *beyond.entry(*author).or_default() += 1;
                self.dropped += 1;
            }
        }
        let mut late = gone.saturating_sub(forgotten);
        if beyond.is_empty() && late == 0 {
            return;
        }
        self.changes.retain(|(_, change)| {
            let left = match (change.author(), change) {
                (Some(author), _) => beyond.get_mut(&author),
                (None, Change::Forget(..)) => Some(&mut late),
                (None, Change::Keep(_) | Change::Drop) => None,
            };
            let Some(left) = left.filter(|left| **left > 0) else {
                return true;
            };
            *left -= 1;
            false
        });
    }

    fn drop_where(&mut self, is_dropped: impl Fn(GroupId, &Change) -> bool) {
        let mut at = 0;
        let mut left = self.written;
        self.changes.retain(|(group, change)| {
            let is_dropped = is_dropped(*group, change);
            left -= usize::from(is_dropped && at < self.written);
            at += 1;
            !is_dropped
        });
        self.written = left;
    }
}

impl Change {
    /// Of a post or a card that is to be kept.
    fn author(&self) -> Option<PeerId> {
        match self {
            Self::Keep(record) => match &**record {
                Record::Post(post) => Some(post.author()),
                Record::Card(card) => Some(card.author()),
                Record::Op(_) | Record::Key(..) => None,
            },
            Self::Forget(..) | Self::Drop => None,
        }
    }
}

fn keeping(group: GroupId, records: &[Record]) -> impl Iterator<Item = (GroupId, Change)> {
    let each = records.iter().cloned();
    each.map(move |it| (group, Change::Keep(Box::new(it))))
}

/// Those of these records, by when they were sent.
fn posts(records: &[Record]) -> impl Iterator<Item = (u64, PostId)> {
    records.iter().filter_map(|record| match record {
        Record::Post(post) => Some((post.sent_ms(), post.id())),
        Record::Op(_) | Record::Card(_) | Record::Key(..) => None,
    })
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

fn write<'a>(
    database: &Database,
    changes: impl Iterator<Item = &'a (GroupId, Change)>,
    durability: Durability,
) -> Result<(), Trouble> {
    let mut transaction = database.begin_write()?;
    transaction
        .set_durability(durability)
        .map_err(redb::Error::from)?;
    for (group, change) in changes {
        match change {
            Change::Keep(record) => put(&transaction, group.as_bytes(), record)?,
            Change::Forget(at, id) => {
                let mut posts = transaction.open_table(POSTS)?;
                posts.remove((group.as_bytes(), *at, id.as_bytes()))?;
            }
            Change::Drop => drop_group(&transaction, group.as_bytes())?,
        }
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

fn drop_group(transaction: &WriteTransaction, key: &[u8; 32]) -> Result<(), Trouble> {
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
    Ok(())
}

/// Postcard writes into memory and refuses none of these types; what is empty is read as nothing.
fn bytes<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).unwrap_or_default()
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    postcard::from_bytes(bytes).ok()
}

/// What of this waits for a disk that takes nothing, where no more than so many posts and cards may.
#[cfg(test)]
pub(super) fn left_of(records: impl Iterator<Item = Record>, most: usize) -> Vec<Record> {
    let group = GroupId::from_bytes([1; 32]);
    let changes = records.map(|record| (group, Change::Keep(Box::new(record))));
    let mut pending = Pending {
        changes: changes.collect(),
        ..Pending::default()
    };
    pending.make_room((most, 0));
    let left = pending.changes.into_iter();
    let left = left.filter_map(|(_, change)| match change {
        Change::Keep(record) => Some(*record),
        Change::Forget(..) | Change::Drop => None,
    });
    left.collect()
}

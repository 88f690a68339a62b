//! What outlives a restart: each group's log, where its members are met, the keys of its epochs, and its posts.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use redb::{
    Builder, Database, Durability, ReadTransaction, ReadableDatabase, ReadableTable,
    TableDefinition, backends::FileBackend,
};
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

use crate::group::{Card, EpochKey, GroupId, Kept, Known, Log, Op, OpId, Post, PostId, Record};

const FILE: &str = "groups.redb";
/// Memory for pages of the file.
const CACHE: usize = 8 << 20;

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

/// Why groups cannot be kept.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file.
    #[error("cannot open {}: {source}; this node has to be able to write it, and no other may use it", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// What is in it.
    #[error("cannot use {}: {source}; restore it, or move it away to begin with no groups", path.display())]
    Database {
        /// Which.
        path: PathBuf,
        /// The database's reason.
        source: Box<redb::Error>,
    },
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    database: Database,
}

/// The ids and names of the groups that are kept in this folder while no node uses it.
///
/// # Errors
/// See [`StoreError`].
pub fn kept_in(folder: &Path) -> Result<Vec<(GroupId, String)>, StoreError> {
    if folder.join(FILE).exists() {
        Store::open(folder)?.names()
    } else {
        Ok(Vec::new())
    }
}

impl Store {
    /// Opens the one in this folder.
    pub(super) fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(FILE);
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).map_err(|source| StoreError::File {
            path: path.clone(),
            source,
        })?;
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE);
        let opened = FileBackend::new(file).and_then(|file| builder.create_with_backend(file));
        let opened = opened.map_err(|source| StoreError::Database {
            path: path.clone(),
            source: Box::new(source.into()),
        });
        let database = opened?;
        let store = Self { path, database };
        store.failing(make(&store.database))?;
        Ok(store)
    }

    fn failing<T>(&self, done: Result<T, redb::Error>) -> Result<T, StoreError> {
        done.map_err(|source| StoreError::Database {
            path: self.path.clone(),
            source: Box::new(source),
        })
    }

    /// What all groups are called, but for those whose log is damaged.
    pub(super) fn names(&self) -> Result<Vec<(GroupId, String)>, StoreError> {
        let read = || {
            let named = logs(&self.database.begin_read()?)?.into_iter();
            Ok(named
                .map(|(group, log)| (group, log.state().name.clone()))
                .collect())
        };
        self.failing(read())
    }

    /// All groups, but for those whose log is damaged.
    pub(super) fn groups(&self) -> Result<Vec<(GroupId, Known)>, StoreError> {
        self.failing(groups(&self.database))
    }

    /// Keeps records of a group; on the disk at once, or with the next that are.
    pub(super) fn keep(
        &self,
        group: GroupId,
        records: &[Record],
        at_once: bool,
    ) -> Result<(), StoreError> {
        self.failing(keep(&self.database, group, records, at_once))
    }

    /// Drops posts; from the disk with the next that is kept at once.
    pub(super) fn forget(&self, group: GroupId, posts: &[(u64, PostId)]) -> Result<(), StoreError> {
        let forget = || {
            let mut transaction = self.database.begin_write()?;
            transaction.set_durability(Durability::None)?;
            {
                let mut table = transaction.open_table(POSTS)?;
                for (at, id) in posts {
                    table.remove((group.as_bytes(), *at, id.as_bytes()))?;
                }
            }
            transaction.commit()?;
            Ok(())
        };
        self.failing(forget())
    }

    /// Drops all of a group.
    pub(super) fn drop_group(&self, group: GroupId) -> Result<(), StoreError> {
        self.failing(drop_group(&self.database, group))
    }

    pub(super) fn post(
        &self,
        group: GroupId,
        at: u64,
        id: PostId,
    ) -> Result<Option<Post>, StoreError> {
        let read = || {
            let table = self.database.begin_read()?.open_table(POSTS)?;
            let found = table.get((group.as_bytes(), at, id.as_bytes()))?;
            Ok(found.and_then(|bytes| parse(bytes.value())))
        };
        self.failing(read())
    }

    /// The last so many, oldest first.
    pub(super) fn last(&self, group: GroupId, count: usize) -> Result<Vec<Post>, StoreError> {
        let read = || {
            let table = self.database.begin_read()?.open_table(POSTS)?;
            let key = group.as_bytes();
            let all = table.range((key, 0, LOWEST)..=(key, u64::MAX, HIGHEST))?;
            let mut posts = Vec::new();
            for entry in all.rev().take(count) {
                posts.extend(parse::<Post>(entry?.1.value()));
            }
            posts.reverse();
            Ok(posts)
        };
        self.failing(read())
    }

    /// Until when a group's posts were read here.
    pub(super) fn read_until(&self, group: GroupId) -> Result<u64, StoreError> {
        let read = || {
            let table = self.database.begin_read()?.open_table(READ)?;
            Ok(table.get(group.as_bytes())?.map_or(0, |at| at.value()))
        };
        self.failing(read())
    }

    pub(super) fn set_read_until(&self, group: GroupId, at: u64) -> Result<(), StoreError> {
        let write = || {
            let transaction = self.database.begin_write()?;
            transaction.open_table(READ)?.insert(group.as_bytes(), at)?;
            transaction.commit()?;
            Ok(())
        };
        self.failing(write())
    }
}

/// All tables, so that who reads finds them.
fn make(database: &Database) -> Result<(), redb::Error> {
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
    group: GroupId,
    records: &[Record],
    at_once: bool,
) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    if !at_once {
        transaction.set_durability(Durability::None)?;
    }
    {
        let key = group.as_bytes();
        let mut ops = transaction.open_table(OPS)?;
        let mut cards = transaction.open_table(CARDS)?;
        let mut keys = transaction.open_table(KEYS)?;
        let mut posts = transaction.open_table(POSTS)?;
        let last = ops
            .range((key, 0)..=(key, u64::MAX))?
            .next_back()
            .transpose()?;
        let mut next = last.map_or(0, |(key, _)| key.value().1 + 1);
        for record in records {
            match record {
                Record::Op(op) => {
                    ops.insert((key, next), &bytes(op)[..])?;
                    next += 1;
                }
                Record::Card(card) => {
                    cards.insert((key, card.author().as_bytes()), &bytes(card)[..])?;
                }
                Record::Key(epoch, secret) => {
                    keys.insert((key, epoch.as_bytes()), secret.reveal())?;
                }
                Record::Post(post) => {
                    let at = (key, post.sent_ms(), post.id());
                    posts.insert((at.0, at.1, at.2.as_bytes()), &bytes(post)[..])?;
                }
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

fn logs(transaction: &ReadTransaction) -> Result<Vec<(GroupId, Log)>, redb::Error> {
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

fn groups(database: &Database) -> Result<Vec<(GroupId, Known)>, redb::Error> {
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

fn drop_group(database: &Database, group: GroupId) -> Result<(), redb::Error> {
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

//! What a node shares whenever it runs: [`Catalog`], a file of the crate redb. Blocks, as file systems do.

mod kept;
mod marks;
mod roots;

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
};

use redb::{
    MultimapTableDefinition, ReadableDatabase, ReadableMultimapTable, ReadableTable, StorageError,
    TableDefinition, TableError, WriteTransaction,
};
use serde::{Deserialize, Serialize};

pub(crate) use kept::Kept;

use super::{
    database::{DatabaseFile, DatabaseFileError, Form, Trouble},
    file::SharedFile,
};
use crate::share::{Hash, Outline, Shared, lock};

type Key = &'static [u8; 32];

/// What was shared by its name.
const SHARES: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("shares");
/// All content of these.
const CONTENTS: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("contents");
const OUTLINES: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("outlines");
/// Of which shares content is a part.
const ROOTS: MultimapTableDefinition<'_, Key, Key> = MultimapTableDefinition::new("roots");

const FORM: Form = Form {
    cache: None,
    prepare: |_| Ok(()),
};

/// Where content is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Stored {
    /// In a file that is shared where it is.
    File(SharedFile),
    /// Here: lists of folders.
    Bytes(Vec<u8>),
}

#[derive(Serialize, Deserialize)]
struct Content {
    size: u64,
    stored: Stored,
}

/// Why the catalogue does not say or take something.
#[derive(Debug, thiserror::Error)]
#[error("the list of what is shared and kept, {}: {reason}", path.display())]
#[non_exhaustive]
pub struct CatalogError {
    /// Where it is.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// What is shared, by hash. The file is made with the first share.
#[derive(Debug)]
pub struct Catalog {
    file: DatabaseFile,
    tending: Mutex<()>,
}

impl Catalog {
    /// The one at `path`, which is opened when it is first needed. One process has it at a time.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self {
            file: DatabaseFile::at(path, FORM),
            tending: Mutex::default(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Until this is dropped nobody else frees anything of the store, or begins to use it.
    pub(crate) fn tend(&self) -> MutexGuard<'_, ()> {
        lock(&self.tending)
    }

    /// Adds a share with all its content, or changes it.
    ///
    /// # Errors
    /// The file cannot be opened or written.
    pub fn add(&self, shared: &Shared, contents: &[(Outline, Stored)]) -> Result<(), CatalogError> {
        self.change(|write| {
            write
                .open_table(SHARES)?
                .insert(shared.hash.as_bytes(), &*to_bytes(shared)?)?;
            let mut stored = write.open_table(CONTENTS)?;
            let mut outlines = write.open_table(OUTLINES)?;
            let mut roots = write.open_multimap_table(ROOTS)?;
            for (outline, place) in contents {
                let hash = outline.hash();
                let content = Content {
                    size: outline.size(),
                    stored: place.clone(),
                };
                stored.insert(hash.as_bytes(), &*to_bytes(&content)?)?;
                outlines.insert(hash.as_bytes(), &*outline.to_bytes())?;
                roots.insert(hash.as_bytes(), shared.hash.as_bytes())?;
            }
            Ok(())
        })
    }

    /// Takes a share out; whether it was there. Content that no other share has goes with it.
    ///
    /// # Errors
    /// The file cannot be opened or written.
    pub fn remove(&self, share: Hash) -> Result<bool, CatalogError> {
        if !self.is_there() {
            return Ok(false);
        }
        self.change(|write| {
            let was_there = write
                .open_table(SHARES)?
                .remove(share.as_bytes())?
                .is_some();
            write.open_table(marks::MARKS)?.remove(share.as_bytes())?;
            let mut roots = write.open_multimap_table(ROOTS)?;
            let mut stored = write.open_table(CONTENTS)?;
            let mut outlines = write.open_table(OUTLINES)?;
            let all = stored.iter()?.map(|entry| Ok(*entry?.0.value()));
            for hash in all.collect::<Result<Vec<_>, StorageError>>()? {
                if roots.remove(&hash, share.as_bytes())? && roots.get(&hash)?.is_empty() {
                    stored.remove(&hash)?;
                    outlines.remove(&hash)?;
                }
            }
            Ok(was_there)
        })
    }

    /// All shares, in the order of their hashes.
    ///
    /// # Errors
    /// The file cannot be opened or read.
    pub fn shares(&self) -> Result<Vec<Shared>, CatalogError> {
        let shares = self.read(|read| {
            let table = read.open_table(SHARES)?;
            let each = table.iter()?;
            let shares = each.map(|entry| from_bytes(entry?.1.value()));
            shares.collect::<Result<_, Trouble>>().map(Some)
        })?;
        Ok(shares.unwrap_or_default())
    }

    /// Some content, where it is, and whether whoever has a link may have it.
    ///
    /// # Errors
    /// The file cannot be opened or read.
    pub fn find(&self, hash: Hash) -> Result<Option<(Outline, Stored, bool)>, CatalogError> {
        self.read(|read| {
            let stored = read.open_table(CONTENTS)?;
            let Some(content) = stored.get(hash.as_bytes())? else {
                return Ok(None);
            };
            let content: Content = from_bytes(content.value())?;
            let outlines = read.open_table(OUTLINES)?;
            let Some(outline) = outlines.get(hash.as_bytes())? else {
                return Ok(None);
            };
            let outline = Outline::from_bytes(hash, content.size, outline.value());
            let roots = read.open_multimap_table(ROOTS)?;
            let shares = read.open_table(SHARES)?;
            let mut public = false;
            for root in roots.get(hash.as_bytes())? {
                if let Some(share) = shares.get(root?.value())? {
                    public |= from_bytes::<Shared>(share.value())?.public;
                }
            }
            Ok(outline.map(|outline| (outline, content.stored, public)))
        })
    }

    /// The files that a share has, where they are.
    ///
    /// # Errors
    /// The file cannot be opened or read.
    pub(crate) fn files_of(&self, share: Hash) -> Result<Vec<(Hash, SharedFile)>, CatalogError> {
        let files = self.read(|read| {
            let roots = read.open_multimap_table(ROOTS)?;
            let mut files = Vec::new();
            for entry in read.open_table(CONTENTS)?.iter()? {
                let (hash, content) = entry?;
                let mut of = roots.get(hash.value())?;
                let is_of = |root: Result<_, StorageError>| {
                    root.is_ok_and(|root: redb::AccessGuard<'_, Key>| {
                        root.value() == share.as_bytes()
                    })
                };
                let content: Content = from_bytes(content.value())?;
                if let Stored::File(file) = content.stored
                    && of.any(is_of)
                {
                    files.push((Hash::from_bytes(*hash.value()), file));
                }
            }
            Ok(Some(files))
        })?;
        Ok(files.unwrap_or_default())
    }

    fn is_there(&self) -> bool {
        self.file.is_there()
    }

    /// None as well if there is no file, or nothing was ever put into it.
    fn read<T>(
        &self,
        read: impl FnOnce(&redb::ReadTransaction) -> Result<Option<T>, Trouble>,
    ) -> Result<Option<T>, CatalogError> {
        if !self.is_there() {
            return Ok(None);
        }
        let done = self
            .file
            .with(|database| match read(&database.begin_read()?) {
                Err(Trouble::Table(TableError::TableDoesNotExist(_))) => Ok(None),
                done => done,
            });
        done.map_err(|error| self.error(&error))
    }

    fn change<T>(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<T, Trouble>,
    ) -> Result<T, CatalogError> {
        let changed = self.file.with(|database| {
            let write = database.begin_write()?;
            let done = change(&write)?;
            write.commit()?;
            Ok(done)
        });
        changed.map_err(|error| self.error(&error))
    }

    fn error(&self, error: &DatabaseFileError) -> CatalogError {
        CatalogError {
            path: self.path().to_owned(),
            reason: error.to_string(),
        }
    }
}

fn to_bytes(value: &impl Serialize) -> Result<Vec<u8>, Trouble> {
    Ok(postcard::to_allocvec(value)?)
}

fn from_bytes<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Result<T, Trouble> {
    Ok(postcard::from_bytes(bytes)?)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;
    use crate::share::Kind;

    fn share(name: u8, public: bool) -> Shared {
        let hash = Hash::of(&[name, 77]);
        Shared::new(hash, 0, Kind::Folder, "a", public)
    }

    fn content(of: u8) -> (Outline, Stored) {
        let bytes = vec![of; 3];
        let outline = Outline::of_small(Hash::of(&bytes), 3).unwrap();
        (outline, Stored::Bytes(bytes))
    }

    #[test]
    fn what_was_shared_is_there_after_a_start_anew() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("shares.redb");
        let catalog = Catalog::at(&path);
        assert_eq!(catalog.shares().unwrap(), []);
        assert!(!catalog.remove(Hash::of(b"x")).unwrap() && !path.exists());
        catalog.add(&share(1, true), &[content(5)]).unwrap();
        drop(catalog);
        let catalog = Catalog::at(&path);
        assert_eq!(catalog.shares().unwrap(), [share(1, true)]);
        let (outline, stored, public) = catalog.find(Hash::of(&[5; 3])).unwrap().unwrap();
        assert_eq!(
            (outline, stored, public),
            (content(5).0, content(5).1, true)
        );
        let second = Catalog::at(&path).shares().unwrap_err().to_string();
        assert!(second.contains("shares.redb"), "{second}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        #[test]
        fn content_is_there_as_long_as_any_share_has_it(steps in prop::collection::vec((0..4u8, prop::option::of(prop::collection::btree_set(0..6u8, 0..4)), any::<bool>()), 1..12)) {
            let folder = TempDir::new().unwrap();
            let catalog = Catalog::at(&folder.path().join("shares.redb"));
            let mut model: BTreeMap<u8, (BTreeSet<u8>, bool)> = BTreeMap::new();
            for (name, contents, public) in steps {
                prop_assert_eq!(catalog.remove(share(name, public).hash).unwrap(), model.remove(&name).is_some());
                if let Some(contents) = contents {
                    let all: Vec<_> = contents.iter().map(|of| content(*of)).collect();
                    catalog.add(&share(name, public), &all).unwrap();
                    model.insert(name, (contents, public));
                }
                for of in 0..6u8 {
                    let of_shares: Vec<_> = model.values().filter(|(has, _)| has.contains(&of)).collect();
                    let found = catalog.find(Hash::of(&[of; 3])).unwrap();
                    prop_assert_eq!(found.is_some(), !of_shares.is_empty());
                    if let Some((_, _, public)) = found {
                        prop_assert_eq!(public, of_shares.iter().any(|(_, public)| *public));
                    }
                }
                prop_assert_eq!(catalog.shares().unwrap().len(), model.len());
            }
        }
    }
}

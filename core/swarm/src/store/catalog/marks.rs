//! Which shares others may find.

use redb::{ReadableTable, TableDefinition};

use super::{Catalog, CatalogError, Key, SHARES, from_bytes};
use crate::share::{Hash, Shared};

pub(super) const MARKS: TableDefinition<'_, Key, ()> = TableDefinition::new("searchable");

impl Catalog {
    /// Others may find this share, or not any more.
    ///
    /// # Errors
    /// The file cannot be opened or written.
    pub fn mark(&self, share: Hash, is_found: bool) -> Result<(), CatalogError> {
        self.change(|write| {
            let mut marks = write.open_table(MARKS)?;
            if is_found {
                marks.insert(share.as_bytes(), ())?;
            } else {
                marks.remove(share.as_bytes())?;
            }
            Ok(())
        })
    }

    /// The shares that others may find.
    ///
    /// # Errors
    /// The file cannot be opened or read.
    pub fn marked(&self) -> Result<Vec<Shared>, CatalogError> {
        let marked = self.read(|read| {
            let shares = read.open_table(SHARES)?;
            let mut marked = Vec::new();
            for mark in read.open_table(MARKS)?.iter()? {
                if let Some(share) = shares.get(mark?.0.value())? {
                    marked.push(from_bytes(share.value())?);
                }
            }
            Ok(Some(marked))
        })?;
        Ok(marked.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::share::Kind;

    #[test]
    fn a_mark_lasts_as_long_as_the_share_or_until_it_is_taken_back() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("shares.redb");
        let catalog = Catalog::at(&path);
        assert_eq!(catalog.marked().unwrap(), []);
        let [one, two] = [b"1", b"2"].map(|it| Shared::new(Hash::of(it), 0, Kind::File, "a", true));
        for share in [&one, &two] {
            catalog.add(share, &[]).unwrap();
            catalog.mark(share.hash, true).unwrap();
        }
        drop(catalog);
        let catalog = Catalog::at(&path);
        assert_eq!(catalog.marked().unwrap().len(), 2);
        catalog.mark(one.hash, false).unwrap();
        assert_eq!(catalog.marked().unwrap(), std::slice::from_ref(&two));
        catalog.remove(two.hash).unwrap();
        assert_eq!(catalog.marked().unwrap(), []);
        // Shared again it is not found by itself.
        catalog.add(&two, &[]).unwrap();
        assert_eq!(catalog.marked().unwrap(), []);
    }
}

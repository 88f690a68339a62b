//! Of which shares content is a part.

use std::collections::BTreeMap;

use redb::ReadableTable;

use super::{CONTENTS, Catalog, CatalogError, Content, ROOTS, Stored, from_bytes};
use crate::share::Hash;

impl Catalog {
    /// The shares that some content is a part of.
    ///
    /// # Errors
    /// The file cannot be opened or read.
    pub fn roots(&self, content: Hash) -> Result<Vec<Hash>, CatalogError> {
        let roots = self.read(|read| {
            let table = read.open_multimap_table(ROOTS)?;
            let mut roots = Vec::new();
            for root in table.get(content.as_bytes())? {
                roots.push(Hash::from_bytes(*root?.value()));
            }
            Ok(Some(roots))
        })?;
        Ok(roots.unwrap_or_default())
    }

    /// Of each share that has some: how many of its files are not what was shared any more, and not served. Looks at each file.
    ///
    /// # Errors
    /// The file cannot be opened or read.
    pub fn changed(&self) -> Result<BTreeMap<Hash, u64>, CatalogError> {
        let changed = self.read(|read| {
            let roots = read.open_multimap_table(ROOTS)?;
            let mut changed = BTreeMap::new();
            for entry in read.open_table(CONTENTS)?.iter()? {
                let (hash, content) = entry?;
                let content: Content = from_bytes(content.value())?;
                if matches!(content.stored, Stored::File(file) if file.check().is_err()) {
                    for root in roots.get(hash.value())? {
                        *changed.entry(Hash::from_bytes(*root?.value())).or_default() += 1;
                    }
                }
            }
            Ok(Some(changed))
        })?;
        Ok(changed.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::{
        share::{Kind, Shared},
        store::file::SharedFile,
    };

    #[test]
    fn a_file_that_is_another_now_or_gone_counts_as_changed_in_each_share_that_has_it() {
        let folder = TempDir::new().unwrap();
        let catalog = Catalog::at(&folder.path().join("shares.redb"));
        assert_eq!(catalog.changed().unwrap(), BTreeMap::new());
        let shared = |number: u8| Shared::new(Hash::of(&[number]), 0, Kind::Folder, "a", false);
        let place = |name: &str| folder.path().join(name);
        for name in ["a", "b", "c"] {
            fs::write(place(name), name).unwrap();
        }
        let read = |name: &str| {
            let (file, outline) = SharedFile::read(&place(name)).unwrap();
            (outline, Stored::File(file))
        };
        catalog.add(&shared(1), &[read("a"), read("b")]).unwrap();
        catalog.add(&shared(2), &[read("b"), read("c")]).unwrap();
        catalog.add(&shared(3), &[read("c")]).unwrap();
        fs::write(place("a"), "another").unwrap();
        fs::remove_file(place("b")).unwrap();
        let changed = [(shared(1).hash, 2), (shared(2).hash, 1)];
        assert_eq!(catalog.changed().unwrap(), BTreeMap::from(changed));
    }
}

//! Of which shares content is a part.

use super::{Catalog, CatalogError, ROOTS};
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
}

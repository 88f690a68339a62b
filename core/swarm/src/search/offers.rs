//! What a node lets others find.

use super::{Search, wire::Hit};
use crate::share::{Hash, Kind, ShareError, Shared, collection::Entry, lock};

impl Search {
    /// Lets others find what was shared: its name, and those of all files in a folder. How many names were left out, as there were too
    /// many.
    pub async fn offer(&self, shared: &Shared) -> u64 {
        let (name, public) = (&shared.name, shared.public);
        let mut hits = Vec::new();
        let content = (shared.hash, shared.size);
        hits.push(Hit::new(content, shared.kind, name, public));
        for Entry { path, file } in self.0.sharing.entries(shared).await {
            if let Some(file) = file {
                let content = (file.hash, file.size);
                hits.push(Hit::new(
                    content,
                    Kind::File,
                    &format!("{name}/{path}"),
                    public,
                ));
            }
        }
        let left_out = {
            let mut index = lock(&self.0.index);
            index.remove(shared.hash);
            index.add(shared.hash, hits)
        };
        self.0.directories.changed();
        left_out
    }

    /// Nothing of what was shared is found any more; whether it was.
    pub fn withdraw(&self, share: Hash) -> bool {
        let was_offered = lock(&self.0.index).remove(share);
        self.0.directories.changed();
        was_offered
    }

    /// Whether others find it.
    #[must_use]
    pub fn offers(&self, share: Hash) -> bool {
        lock(&self.0.index).has(share)
    }

    /// Names that others find.
    #[must_use]
    pub fn names(&self) -> usize {
        lock(&self.0.index).len()
    }

    /// Lets others find what is shared whenever the node runs, or not any more, also after the node was started anew. How many names
    /// were left out.
    ///
    /// # Errors
    /// See [`ShareError`].
    pub async fn keep(&self, shared: &Shared, is_found: bool) -> Result<u64, ShareError> {
        self.0.sharing.mark(shared.hash, is_found).await?;
        if is_found {
            return Ok(self.offer(shared).await);
        }
        self.withdraw(shared.hash);
        Ok(0)
    }

    /// Lets others find all that is marked so of what is shared whenever the node runs. How many names were left out.
    ///
    /// # Errors
    /// See [`ShareError`].
    pub async fn offer_kept(&self) -> Result<u64, ShareError> {
        let mut left_out = 0;
        for shared in self.0.sharing.marked().await? {
            left_out += self.offer(&shared).await;
        }
        Ok(left_out)
    }
}

//! What is in a folder that is shared here.

use tokio::task::spawn_blocking;

use super::{
    Hash, Kind, ShareError, Shared, Sharing,
    collection::{Entry, Root},
};

impl Sharing {
    /// The files and folders in what is shared; none of a file, or if it is shared no more.
    pub(crate) async fn entries(&self, shared: &Shared) -> Vec<Entry> {
        match shared.kind {
            Kind::Folder => self.read_entries(shared.hash).await.unwrap_or_default(),
            Kind::File => Vec::new(),
        }
    }

    async fn read_entries(&self, hash: Hash) -> Option<Vec<Entry>> {
        let root = Root::read(&self.list(hash).await?).ok()?;
        let mut pages = Vec::new();
        for (hash, _) in &root.pages {
            pages.push(self.list(*hash).await?);
        }
        root.entries(&pages).ok()
    }

    /// A list, which is one unit.
    pub(super) async fn list(&self, hash: Hash) -> Option<Vec<u8>> {
        let object = self.own(hash).await?;
        spawn_blocking(move || object.unit(0)).await.ok()?
    }

    /// Others may find this share, or not any more.
    pub(crate) async fn mark(&self, share: Hash, is_found: bool) -> Result<(), ShareError> {
        self.in_catalog(move |catalog| Ok(catalog.mark(share, is_found)?))
            .await
    }

    /// The shares that others may find.
    pub(crate) async fn marked(&self) -> Result<Vec<Shared>, ShareError> {
        self.in_catalog(|catalog| Ok(catalog.marked()?)).await
    }
}

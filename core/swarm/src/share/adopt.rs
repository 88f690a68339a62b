//! Content that comes from elsewhere than from peers: [`Adoption`].

use std::{
    fs::File,
    io::{self, Seek, Write},
    path::PathBuf,
    sync::Arc,
};

use cap_std::fs::Dir;
use peerway::services::files::{
    Place, open_part, sanitise,
    tree::{self, unit_len},
};

use super::{
    GetError, Hash, KeepError, Outline, Sharing,
    get::blocking,
    object::{Object, Origin, Source},
};
use crate::{
    store::{
        catalog::{Catalog, Kept, Stored},
        file::SharedFile,
    },
    unix_seconds,
};

/// Why content from elsewhere was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdoptError {
    /// It is not what the hash names. Nothing of it was passed on.
    #[error("it is not what the hash names")]
    Wrong,
    /// It cannot be kept.
    #[error(transparent)]
    Keep(#[from] KeepError),
}

impl From<GetError> for AdoptError {
    fn from(error: GetError) -> Self {
        Self::Keep(error.into())
    }
}

/// Content that comes from elsewhere, from its beginning to its end, and is kept once all of it is there and right. Until then it is nobody's.
#[derive(Debug)]
pub struct Adoption {
    sharing: Sharing,
    hash: Hash,
    size: u64,
    public: bool,
    folder: PathBuf,
    place: Arc<Place>,
    work: Arc<Dir>,
    file: Arc<File>,
    values: Vec<[u8; 32]>,
    /// Of the unit that is coming.
    unit: Vec<u8>,
    came: u64,
}

impl Sharing {
    /// Begins to take content of so many bytes into the store, once there is room for it. What is `public` is for whoever has its link.
    ///
    /// # Errors
    /// See [`KeepError`].
    pub async fn adopt(&self, hash: Hash, size: u64, public: bool) -> Result<Adoption, KeepError> {
        let new = Kept {
            size,
            used: unix_seconds(),
            public,
            whole: None,
            providers: Vec::new(),
        };
        self.admit(vec![(hash, new)]).await?;
        let folder = self.in_store(|catalog| catalog.open_folder()).await?;
        let top = folder.clone();
        let opened = blocking(&folder, move || {
            let place = Place::open(&top, true)?;
            let work = place.work(&hash.to_string())?;
            let file = open_part(&work, &part_name(hash), true)?;
            Ok((Arc::new(place), Arc::new(work), Arc::new(file)))
        });
        let (place, work, file) = match opened.await {
            Ok(opened) => opened,
            Err(error) => {
                self.release_unused(hash).await;
                return Err(error.into());
            }
        };
        Ok(Adoption {
            sharing: self.clone(),
            hash,
            size,
            public,
            folder,
            place,
            work,
            file,
            values: Vec::new(),
            unit: Vec::new(),
            came: 0,
        })
    }

    async fn release_unused(&self, hash: Hash) {
        let sharing = self.clone();
        let release =
            move |catalog: &Catalog| catalog.release(&[hash], |hash| sharing.is_in_use(hash));
        if let Err(error) = self.in_store(release).await {
            tracing::warn!(%hash, %error, "what did not come still counts as kept");
        }
    }
}

impl Adoption {
    /// More of it.
    ///
    /// # Errors
    /// See [`AdoptError`]; nothing more is to come after one, but for [`give_up`](Self::give_up).
    pub async fn take(&mut self, mut bytes: &[u8]) -> Result<(), AdoptError> {
        self.came = self.came.saturating_add(bytes.len() as u64);
        if self.came > self.size {
            return Err(AdoptError::Wrong);
        }
        let unit = unit_len(self.size) as usize;
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(unit - self.unit.len()));
            self.unit.extend_from_slice(now);
            bytes = later;
            if self.unit.len() == unit {
                self.write().await?;
            }
        }
        Ok(())
    }

    /// All of it came: it is kept and served from now on.
    ///
    /// # Errors
    /// See [`AdoptError`].
    pub async fn finish(mut self) -> Result<(), AdoptError> {
        let finished = self.keep().await;
        if finished.is_err() {
            self.give_up().await;
        }
        finished
    }

    /// No more of it comes.
    pub async fn give_up(self) {
        let (work, name) = (self.work, part_name(self.hash));
        drop(self.file);
        // It may be gone.
        let _ = blocking(&self.folder, move || work.remove_file(name)).await;
        self.sharing.release_unused(self.hash).await;
    }

    async fn keep(&mut self) -> Result<(), AdoptError> {
        if self.came != self.size {
            return Err(AdoptError::Wrong);
        }
        if !self.unit.is_empty() {
            self.write().await?;
        }
        let hash = self.hash;
        let outline = Outline::computed(self.size, std::mem::take(&mut self.values));
        let outline = outline.filter(|it| it.hash() == hash);
        let outline = outline.ok_or(AdoptError::Wrong)?;
        let name = sanitise(&hash.to_string());
        let name = name.map_err(|error| GetError::NoList(error.to_string()))?;
        let (place, work, file) = (self.place.clone(), self.work.clone(), self.file.clone());
        let top = self.folder.clone();
        let placed = blocking(&self.folder, move || {
            file.sync_all()?;
            loop {
                let free = place.free(&name)?;
                if place.put(&work, &part_name(hash), &free)? {
                    break SharedFile::written(&top.join(free.to_path())).map_err(io::Error::other);
                }
            }
        });
        let file = placed.await?;
        let (kept, whole) = (outline.clone(), Some(Stored::File(file.clone())));
        let noted = move |catalog: &Catalog| Ok(catalog.finish(&kept, whole)?);
        self.sharing.in_store(noted).await?;
        let object = Object::new(Arc::new(outline), self.public, Source::File(file));
        let object = object.with_origin(Origin::Catalog);
        self.sharing.put(Arc::new(object)).await;
        Ok(())
    }

    /// Puts a unit into the file.
    async fn write(&mut self) -> Result<(), AdoptError> {
        let unit = std::mem::take(&mut self.unit);
        let (file, size) = (self.file.clone(), self.size);
        let offset = self.values.len() as u64 * unit_len(size);
        let written = blocking(&self.folder, move || {
            let value = tree::value(size, offset, &unit);
            (&*file).seek(io::SeekFrom::Start(offset))?;
            (&*file).write_all(&unit)?;
            Ok(value)
        });
        self.values.push(written.await?);
        Ok(())
    }
}

fn part_name(hash: Hash) -> String {
    format!("{hash}.adopted")
}

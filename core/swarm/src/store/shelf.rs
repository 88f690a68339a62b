//! What was fetched and is kept: files by their hash in a folder beside the catalogue. Blocks, as file systems do.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use cap_std::fs::Dir;
use peerway::Ticket;
use serde::{Deserialize, Serialize};

use super::{
    catalog::{Catalog, CatalogError, Kept, Stored},
    part::Part,
    sweep::{Disk, Extent, sweep},
};
use crate::share::{Hash, Kind, Link};

/// Letters of a pin's name.
const MAX_NAME: usize = Link::MAX_NAME;
/// The folder of what is not whole yet, as `peerway`'s files have it.
const WORK: &str = ".peerway-incoming";

/// Content that is kept until the pin is taken away, or its time has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Pin {
    /// What it is called here.
    pub name: String,
    /// What is pinned.
    pub hash: Hash,
    /// Bytes of it; of a folder, of its list.
    pub size: u64,
    /// What it is.
    pub kind: Kind,
    /// Whether whoever has the link may have it.
    pub public: bool,
    /// Files in it; 0 as long as that is not known.
    pub files: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Until when, in seconds since 1970; none for until it is taken away.
    pub until: Option<u64>,
    /// Whether all of it is there.
    pub whole: bool,
    /// Tickets of those from whom it came.
    pub(crate) providers: Vec<Vec<u8>>,
}

impl Pin {
    /// Of what a link names, of which nothing is there yet.
    pub(crate) fn new(link: &Link, name: &str, until: Option<u64>) -> Self {
        Self {
            name: name.to_owned(),
            hash: link.hash,
            size: link.size,
            kind: link.kind,
            public: link.public,
            files: 0,
            bytes: 0,
            until,
            whole: false,
            providers: link.providers.iter().map(Ticket::to_bytes).collect(),
        }
    }

    /// With what is new of it.
    pub(crate) fn renewed(self, new: &Self) -> Self {
        let providers = if new.providers.is_empty() {
            self.providers
        } else {
            new.providers.clone()
        };
        Self {
            public: self.public || new.public,
            files: self.files.max(new.files),
            bytes: self.bytes.max(new.bytes),
            until: new.until,
            whole: self.whole || new.whole,
            providers,
            ..self
        }
    }

    /// What to hand to others so that they can fetch it, from these and from those who had it.
    #[must_use]
    pub fn link(&self, from: Option<Ticket>) -> Link {
        let known = self.providers.iter();
        let known = known.filter_map(|bytes| Ticket::from_bytes(bytes).ok());
        let link = Link::new(self.hash, self.size, self.kind, &self.name).public(self.public);
        link.from_providers(from.into_iter().chain(known).collect())
    }

    /// Whether somebody who writes this means it: its name, or the first eight digits of its hash or more.
    #[must_use]
    pub fn is_meant_by(&self, which: &str) -> bool {
        let hash = self.hash.to_string();
        self.name == which || (which.len() >= 8 && hash.starts_with(&which.to_lowercase()))
    }
}

/// Why something is not kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It cannot be noted.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Another pin is called that.
    #[error("another pin is called {0}: choose a name with --name, or take that one away first")]
    Taken(String),
    /// A name that a pin cannot have.
    #[error("a pin's name has 1 to {MAX_NAME} bytes and no control characters")]
    BadName,
    /// What is pinned takes all that may be kept.
    #[error(
        "{needed} bytes have no room: {lacking} more than the store may have, or the disk has free; what is pinned or in use stays. Take a pin away, or have the store keep more"
    )]
    NoRoom {
        /// Bytes that are wanted.
        needed: u64,
        /// How many of these are too many.
        lacking: u64,
    },
    /// The folder of the store cannot be used.
    #[error("cannot use {path}: {source}", path = path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// What the store has and may have, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Room {
    /// Of all content that is kept; what is not whole counts as if it was.
    pub bytes: u64,
    /// Of what pins keep.
    pub pinned: u64,
    /// How much is kept at most; what is pinned may be more.
    pub quota: u64,
}

/// What a sweep freed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Swept {
    /// Pieces of content.
    pub contents: u64,
    /// Bytes that were there of these.
    pub bytes: u64,
    /// What there is now.
    pub room: Room,
}

impl Catalog {
    /// Where what is kept lies, each file by its hash.
    pub(crate) fn folder(&self) -> PathBuf {
        self.path().with_file_name("blobs")
    }

    /// The folder, made if need be.
    pub(crate) fn open_folder(&self) -> Result<PathBuf, StoreError> {
        let path = self.folder();
        match fs::create_dir_all(&path) {
            Ok(()) => Ok(path),
            Err(source) => Err(StoreError::Folder { path, source }),
        }
    }

    /// Pins, or renews the pin of that name and content.
    pub(crate) fn pin(&self, pin: Pin) -> Result<Pin, StoreError> {
        let _alone = self.tend();
        let put = self.put_pin(&pin)?;
        put.ok_or(StoreError::Taken(pin.name))
    }

    /// What is in a folder that is pinned is pinned too.
    pub(crate) fn pin_members(
        &self,
        root: Hash,
        members: &BTreeSet<Hash>,
    ) -> Result<(), StoreError> {
        let _alone = self.tend();
        Ok(self.put_members(root, members)?)
    }

    /// Notes what is about to be kept, once there is room for what of it is not noted yet.
    pub(crate) fn admit(
        &self,
        new: &[(Hash, Kept)],
        user: &impl User,
        now: u64,
    ) -> Result<(), StoreError> {
        let _alone = self.tend();
        let (mut needed, mut is_news) = (0u64, false);
        for (hash, kept) in new {
            let before = self.kept(*hash)?;
            is_news |= before
                .as_ref()
                .is_none_or(|before| kept.public && !before.public);
            if before.is_none() {
                needed = needed.saturating_add(kept.size);
            }
        }
        if !is_news {
            return Ok(());
        }
        self.open_folder()?;
        self.free(Extent::Room(needed), user, now)?;
        Ok(self.note(new)?)
    }

    /// Of what was to be fetched and did not come nothing is noted any more, so that it takes no room; what is being fetched, or of which
    /// some came, stays.
    pub(crate) fn release(
        &self,
        hashes: &[Hash],
        is_used: impl Fn(Hash) -> bool,
    ) -> Result<(), StoreError> {
        let _alone = self.tend();
        let mut gone = Vec::new();
        for hash in hashes {
            let kept = self.kept(*hash)?;
            let missing = kept.filter(|kept| kept.whole.is_none() && !is_used(*hash));
            if missing.is_some_and(|kept| !some_came(&self.folder(), *hash, kept.size)) {
                gone.push(*hash);
            }
        }
        if !gone.is_empty() {
            self.forget(&gone)?;
        }
        gone.iter().for_each(|hash| remove(&self.folder(), *hash));
        Ok(())
    }

    /// Takes a pin away again that was refused.
    pub(crate) fn refuse(&self, pin: &Pin) -> Result<(), StoreError> {
        let is_it = |it: &Pin| it.name == pin.name && it.hash == pin.hash && !it.whole;
        self.take_pins(is_it)?;
        Ok(())
    }

    /// Takes pins away by their name, or by eight digits of the hash or more; those that were there. What they kept goes with one of
    /// the next sweeps.
    ///
    /// # Errors
    /// The catalogue cannot be changed.
    pub fn unpin(&self, which: &str) -> Result<Vec<Pin>, StoreError> {
        Ok(self.take_pins(|pin| pin.is_meant_by(which))?)
    }

    /// Sets how many bytes are kept.
    ///
    /// # Errors
    /// The catalogue cannot be changed.
    pub fn keep_at_most(&self, quota: u64) -> Result<(), StoreError> {
        Ok(self.set_quota(quota)?)
    }

    /// What there is and may be, at a time in seconds since 1970.
    ///
    /// # Errors
    /// The catalogue cannot be read.
    pub fn room(&self, now: u64) -> Result<Room, StoreError> {
        let all = self.all_kept(now)?;
        let bytes = |is_wanted: &dyn Fn(&Hash) -> bool| {
            let items = all.items.iter().filter(|it| is_wanted(&it.hash));
            items.map(|it| it.bytes).sum()
        };
        Ok(Room {
            bytes: bytes(&|_| true),
            pinned: bytes(&|hash| all.pinned.contains(hash)),
            quota: all.quota,
        })
    }

    /// Frees what may go, where no node runs that could be using it; nothing that is pinned.
    ///
    /// # Errors
    /// The catalogue cannot be changed, or there is no room for what is asked for.
    pub fn sweep(&self, extent: Extent, now: u64) -> Result<Swept, StoreError> {
        self.sweep_for(extent, &Nobody, now)
    }

    /// The same where somebody may be using it.
    pub(crate) fn sweep_for(
        &self,
        extent: Extent,
        user: &impl User,
        now: u64,
    ) -> Result<Swept, StoreError> {
        let _alone = self.tend();
        self.free(extent, user, now)
    }

    fn free(&self, extent: Extent, user: &impl User, now: u64) -> Result<Swept, StoreError> {
        let all = self.all_kept(now)?;
        let mut stays = all.pinned.clone();
        let items = all.items.iter().map(|it| it.hash);
        stays.extend(items.filter(|hash| user.uses(*hash) || self.is_shared_there(*hash)));
        let limits = (all.quota, disk(&self.folder()));
        let swept = sweep(&all.items, &stays, limits, extent, now);
        if let (Extent::Room(needed), lacking @ 1..) = (extent, swept.short) {
            return Err(StoreError::NoRoom { needed, lacking });
        }
        let mut bytes = 0u64;
        for hash in &swept.free {
            bytes = bytes.saturating_add(self.takes(*hash)?);
        }
        if !swept.free.is_empty() {
            self.forget(&swept.free)?;
        }
        for hash in &swept.free {
            user.loses(*hash);
            remove(&self.folder(), *hash);
        }
        if !matches!(extent, Extent::Room(_)) {
            let gone: BTreeSet<_> = swept.free.iter().copied().collect();
            let known = all.items.iter().map(|it| it.hash);
            let known = known.filter(|hash| !gone.contains(hash)).collect();
            remove_strangers(&self.folder(), &known);
        }
        Ok(Swept {
            contents: swept.free.len() as u64,
            bytes,
            room: self.room(now)?,
        })
    }

    /// Bytes that are there of some content, whatever it will have once it is whole.
    fn takes(&self, hash: Hash) -> Result<u64, StoreError> {
        let whole = self.kept(hash)?.and_then(|kept| kept.whole);
        Ok(match whole {
            Some(Stored::Bytes(bytes)) => bytes.len() as u64,
            Some(Stored::File(file)) => fs::metadata(file.path()).map_or(0, |it| it.len()),
            None => came(&self.folder(), hash),
        })
    }

    /// Whether somebody shares the very file of the store in place.
    fn is_shared_there(&self, hash: Hash) -> bool {
        let place = self.folder().join(hash.to_string());
        let found = self.find(hash).ok().flatten();
        found.is_some_and(|(_, stored, _)| match stored {
            Stored::File(file) => fs::canonicalize(&place).is_ok_and(|place| place == file.path()),
            Stored::Bytes(_) => false,
        })
    }
}

/// Who may be using what is kept.
pub(crate) trait User {
    /// Whether this is in transfer.
    fn uses(&self, hash: Hash) -> bool;

    /// This is kept no more.
    fn loses(&self, hash: Hash);
}

/// Where no node runs.
struct Nobody;

impl User for Nobody {
    fn uses(&self, _: Hash) -> bool {
        false
    }

    fn loses(&self, _: Hash) {}
}

/// Whether a pin may be called that.
pub(crate) fn check_name(name: &str) -> Result<(), StoreError> {
    let is_good = (1..=MAX_NAME).contains(&name.len()) && !name.chars().any(char::is_control);
    is_good.then_some(()).ok_or(StoreError::BadName)
}

fn remove(folder: &Path, hash: Hash) {
    // What is not there need not be removed, and what stays is found by a later sweep.
    let _ = fs::remove_file(folder.join(hash.to_string()));
    let _ = fs::remove_dir_all(folder.join(WORK).join(hash.to_string()));
}

/// Whether some came of what is not whole. Some file systems say of all that it takes no room, so it is looked at then.
fn some_came(folder: &Path, hash: Hash, size: u64) -> bool {
    if came(folder, hash) > 0 {
        return true;
    }
    let part = folder.join(WORK).join(hash.to_string());
    match Dir::open_ambient_dir(part, cap_std::ambient_authority()) {
        // What cannot be read may be there.
        Ok(work) => Part::has_any(&work, hash, size).unwrap_or(true),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// Bytes that came of what is not whole.
fn came(folder: &Path, hash: Hash) -> u64 {
    let part = folder.join(WORK).join(hash.to_string());
    let found = fs::metadata(part.join(Part::file_name(hash)));
    found.map_or(0, |found| allocated(&found))
}

/// A part is as long as the whole from its beginning, with holes.
#[cfg(unix)]
fn allocated(found: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    found.len().min(found.blocks().saturating_mul(512))
}

#[cfg(not(unix))]
fn allocated(found: &fs::Metadata) -> u64 {
    found.len()
}

/// Removes what a crash left of content that is not kept any more.
fn remove_strangers(folder: &Path, known: &BTreeSet<Hash>) {
    for place in [folder.to_owned(), folder.join(WORK)] {
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
            let hash = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok());
            if let Some(hash) = hash.filter(|hash| !known.contains(hash)) {
                remove(folder, hash);
            }
        }
    }
}

#[cfg(unix)]
fn disk(folder: &Path) -> Option<Disk> {
    let found = rustix::fs::statvfs(folder).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Some(Disk::new(bytes(found.f_blocks), bytes(found.f_bavail)))
}

#[cfg(not(unix))]
fn disk(_: &Path) -> Option<Disk> {
    None
}

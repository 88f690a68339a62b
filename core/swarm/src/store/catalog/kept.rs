//! What was fetched and is kept, and the pins that keep it.

use std::collections::{BTreeMap, BTreeSet};

use peerway::Ticket;
use redb::{
    MultimapTableDefinition, ReadableMultimapTable, ReadableTable, TableDefinition,
    WriteTransaction,
};
use serde::{Deserialize, Serialize};

use super::{Catalog, CatalogError, Key, Stored, Trouble, from_bytes, to_bytes};
use crate::{
    share::{Hash, Kind, Link, Outline},
    store::{Pin, sweep::DEFAULT_QUOTA, sweep::Item},
};

const KEPT: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("kept");
const OUTLINES: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("kept outlines");
const PINS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("pins");
/// What is in the folders that are pinned.
const MEMBERS: MultimapTableDefinition<'_, Key, Key> = MultimapTableDefinition::new("members");
const SETTINGS: TableDefinition<'_, &str, u64> = TableDefinition::new("settings");
const QUOTA: &str = "quota";

/// Content that was fetched, or is being fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) size: u64,
    /// In seconds since 1970.
    pub(crate) used: u64,
    pub(crate) public: bool,
    /// None as long as some of it is missing.
    pub(crate) whole: Option<Stored>,
    /// Tickets of those who have it.
    pub(crate) providers: Vec<Vec<u8>>,
}

impl Kept {
    pub(crate) fn link(&self, hash: Hash) -> Link {
        let known = self.providers.iter();
        let known = known.filter_map(|bytes| Ticket::from_bytes(bytes).ok());
        let link = Link::new(hash, self.size, Kind::File, "").public(self.public);
        link.from_providers(known.collect())
    }
}

/// All that is kept, as a sweep looks at it.
#[derive(Debug, Default)]
pub(crate) struct All {
    pub(crate) items: Vec<Item>,
    /// What pins keep.
    pub(crate) pinned: BTreeSet<Hash>,
    pub(crate) quota: u64,
}

impl Catalog {
    /// Content is about to be fetched, or is there: it is noted unless it is.
    pub(crate) fn note(&self, new: &[(Hash, Kept)]) -> Result<(), CatalogError> {
        self.change(|write| {
            let mut table = write.open_table(KEPT)?;
            for (hash, new) in new {
                let mut kept = read_kept(&table, *hash)?.unwrap_or_else(|| new.clone());
                kept.used = kept.used.max(new.used);
                kept.public |= new.public;
                if !new.providers.is_empty() {
                    kept.providers.clone_from(&new.providers);
                }
                table.insert(hash.as_bytes(), &*to_bytes(&kept)?)?;
            }
            Ok(())
        })
    }

    /// All of it is there.
    pub(crate) fn finish(
        &self,
        outline: &Outline,
        whole: Option<Stored>,
    ) -> Result<(), CatalogError> {
        self.change(|write| {
            let hash = outline.hash();
            let mut table = write.open_table(KEPT)?;
            let Some(mut kept) = read_kept(&table, hash)? else {
                return Ok(());
            };
            kept.whole = whole;
            table.insert(hash.as_bytes(), &*to_bytes(&kept)?)?;
            let mut outlines = write.open_table(OUTLINES)?;
            outlines.insert(hash.as_bytes(), &*outline.to_bytes())?;
            Ok(())
        })
    }

    /// What is noted of some content.
    pub(crate) fn kept(&self, hash: Hash) -> Result<Option<Kept>, CatalogError> {
        self.read(|read| read_kept(&read.open_table(KEPT)?, hash))
    }

    /// Some content of which all is kept, where it is, and whether whoever has a link may have it.
    pub(crate) fn find_kept(
        &self,
        hash: Hash,
    ) -> Result<Option<(Outline, Stored, bool)>, CatalogError> {
        let Some(kept) = self.kept(hash)? else {
            return Ok(None);
        };
        let Some(stored) = kept.whole else {
            return Ok(None);
        };
        self.read(|read| {
            let outline = match Outline::of_small(hash, kept.size) {
                Some(outline) => Some(outline),
                None => {
                    let outlines = read.open_table(OUTLINES)?;
                    let outline = outlines.get(hash.as_bytes())?;
                    outline.and_then(|it| Outline::from_bytes(hash, kept.size, it.value()))
                }
            };
            Ok(outline.map(|outline| (outline, stored, kept.public)))
        })
    }

    /// Content was used at these times.
    pub(crate) fn touch(&self, used: &BTreeMap<Hash, u64>) -> Result<(), CatalogError> {
        if used.is_empty() || !self.is_there() {
            return Ok(());
        }
        self.change(|write| {
            let mut table = write.open_table(KEPT)?;
            for (hash, at) in used {
                if let Some(mut kept) = read_kept(&table, *hash)? {
                    kept.used = kept.used.max(*at);
                    table.insert(hash.as_bytes(), &*to_bytes(&kept)?)?;
                }
            }
            Ok(())
        })
    }

    /// Pins, or changes the pin of that name, unless it is of other content.
    pub(crate) fn put_pin(&self, pin: &Pin) -> Result<Option<Pin>, CatalogError> {
        self.change(|write| {
            let mut pins = write.open_table(PINS)?;
            let before = pins.get(&*pin.name)?;
            let before = before.map(|it| from_bytes::<Pin>(it.value()));
            let before = before.transpose()?;
            if before.as_ref().is_some_and(|it| it.hash != pin.hash) {
                return Ok(None);
            }
            let pin = before.map_or_else(|| pin.clone(), |before| before.renewed(pin));
            pins.insert(&*pin.name, &*to_bytes(&pin)?)?;
            Ok(Some(pin))
        })
    }

    /// What is in a folder that is pinned.
    pub(crate) fn put_members(
        &self,
        root: Hash,
        members: &BTreeSet<Hash>,
    ) -> Result<(), CatalogError> {
        self.change(|write| {
            let mut table = write.open_multimap_table(MEMBERS)?;
            for member in members {
                table.insert(root.as_bytes(), member.as_bytes())?;
            }
            Ok(())
        })
    }

    /// Takes pins away; those that were there.
    pub(crate) fn take_pins(
        &self,
        is_meant: impl Fn(&Pin) -> bool,
    ) -> Result<Vec<Pin>, CatalogError> {
        if !self.is_there() {
            return Ok(Vec::new());
        }
        self.change(|write| take_pins(write, is_meant))
    }

    /// All pins, in the order of their names.
    ///
    /// # Errors
    /// The file cannot be opened or read.
    pub fn pins(&self) -> Result<Vec<Pin>, CatalogError> {
        let pins = self.read(|read| {
            let table = read.open_table(PINS)?;
            let each = table.iter()?;
            let pins = each.map(|entry| from_bytes(entry?.1.value()));
            pins.collect::<Result<_, Trouble>>().map(Some)
        })?;
        Ok(pins.unwrap_or_default())
    }

    /// Sets how much is kept.
    pub(crate) fn set_quota(&self, quota: u64) -> Result<(), CatalogError> {
        self.change(|write| {
            write.open_table(SETTINGS)?.insert(QUOTA, quota)?;
            Ok(())
        })
    }

    /// All that is kept, with what was done since by now: pins that have expired are gone.
    pub(crate) fn all_kept(&self, now: u64) -> Result<All, CatalogError> {
        if !self.is_there() {
            let quota = DEFAULT_QUOTA;
            return Ok(All {
                quota,
                ..All::default()
            });
        }
        self.change(|write| {
            take_pins(write, |pin| pin.until.is_some_and(|until| until <= now))?;
            let mut all = All::default();
            for entry in write.open_table(KEPT)?.iter()? {
                let (hash, kept) = entry?;
                let kept: Kept = from_bytes(kept.value())?;
                let hash = Hash::from_bytes(*hash.value());
                all.items.push(Item::new(hash, kept.size, kept.used));
            }
            let members = write.open_multimap_table(MEMBERS)?;
            for entry in write.open_table(PINS)?.iter()? {
                let pin: Pin = from_bytes(entry?.1.value())?;
                all.pinned.insert(pin.hash);
                for member in members.get(pin.hash.as_bytes())? {
                    all.pinned.insert(Hash::from_bytes(*member?.value()));
                }
            }
            let settings = write.open_table(SETTINGS)?;
            let quota = settings.get(QUOTA)?;
            all.quota = quota.map_or(DEFAULT_QUOTA, |quota| quota.value());
            Ok(all)
        })
    }

    /// Nothing of this is kept any more.
    pub(crate) fn forget(&self, hashes: &[Hash]) -> Result<(), CatalogError> {
        self.change(|write| {
            let mut table = write.open_table(KEPT)?;
            let mut outlines = write.open_table(OUTLINES)?;
            for hash in hashes {
                table.remove(hash.as_bytes())?;
                outlines.remove(hash.as_bytes())?;
            }
            Ok(())
        })
    }
}

fn read_kept(
    table: &impl ReadableTable<Key, &'static [u8]>,
    hash: Hash,
) -> Result<Option<Kept>, Trouble> {
    let kept = table.get(hash.as_bytes())?;
    kept.map(|it| from_bytes(it.value())).transpose()
}

fn take_pins(
    write: &WriteTransaction,
    is_meant: impl Fn(&Pin) -> bool,
) -> Result<Vec<Pin>, Trouble> {
    let mut table = write.open_table(PINS)?;
    let mut members = write.open_multimap_table(MEMBERS)?;
    let all = table.iter()?.map(|entry| from_bytes(entry?.1.value()));
    let all = all.collect::<Result<Vec<Pin>, Trouble>>()?;
    let (taken, left): (Vec<_>, Vec<_>) = all.into_iter().partition(is_meant);
    for pin in &taken {
        table.remove(&*pin.name)?;
        if left.iter().all(|it| it.hash != pin.hash) {
            members.remove_all(pin.hash.as_bytes())?;
        }
    }
    Ok(taken)
}

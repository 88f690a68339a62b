//! What is in the way of a folder that is fetched over what there is: [`clear`]. Blocks, as file systems do.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
};

use peerway::services::files::{Place, SafePath};

use super::{collection::File, small::named};

/// What is to be below a folder.
pub(super) struct Below {
    pub(super) folders: Vec<SafePath>,
    pub(super) files: Vec<(SafePath, File)>,
}

/// What can be.
#[derive(Debug)]
pub(super) struct Cleared {
    pub(super) files: Vec<(SafePath, File)>,
    /// What is in the way of the rest.
    pub(super) barred: BTreeSet<PathBuf>,
}

/// Makes the folders, and finds which files can be put where they belong.
pub(super) fn clear(place: &Place, below: &Below) -> io::Result<Cleared> {
    let mut folders = Folders {
        place,
        known: BTreeMap::new(),
    };
    let mut cleared = Cleared {
        files: Vec::new(),
        barred: BTreeSet::new(),
    };
    for folder in &below.folders {
        match folders.bar(&folder.to_path()) {
            Some(bar) => {
                cleared.barred.insert(bar);
            }
            None => place
                .make_folder(folder)
                .map_err(|error| named(folder, error))?,
        }
    }
    for (path, file) in &below.files {
        let own = path.to_path();
        let above = own.parent().and_then(|above| folders.bar(above));
        let bar = above.or_else(|| place.bars_file(&own).then_some(own));
        match bar {
            Some(bar) => {
                cleared.barred.insert(bar);
            }
            None => cleared.files.push((path.clone(), *file)),
        }
    }
    Ok(cleared)
}

/// What is in the way of folders: each is looked at once, however many files are in it.
struct Folders<'a> {
    place: &'a Place,
    known: BTreeMap<PathBuf, Option<PathBuf>>,
}

impl Folders<'_> {
    /// What is in the way of this one, at its place or of one that it is in.
    fn bar(&mut self, path: &Path) -> Option<PathBuf> {
        if path.as_os_str().is_empty() {
            return None;
        }
        if let Some(known) = self.known.get(path) {
            return known.clone();
        }
        let above = path.parent().and_then(|above| self.bar(above));
        let own = || self.place.bars_folder(path).then(|| path.to_owned());
        let bar = above.or_else(own);
        self.known.insert(path.to_owned(), bar.clone());
        bar
    }
}

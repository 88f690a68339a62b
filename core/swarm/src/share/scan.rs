//! What is in files and folders that are to be shared. Blocks, as file systems do.

use std::path::Path;

use peerway::services::files::Selection;

use super::{
    Hash, Kind, Outline, ShareError, Shared,
    collection::{self, Entry},
};
use crate::store::{catalog::Stored, file::SharedFile};

/// What becomes of a file.
pub(crate) enum Taken {
    Is(SharedFile, Outline),
    /// It is left out, and why.
    Not(String),
}

/// Reads what is shared for its hashes.
pub(super) fn read(
    path: &Path,
    public: bool,
) -> Result<(Shared, Vec<(Outline, Stored)>), ShareError> {
    let selection = Selection::of(&[path.to_owned()])?;
    described(&selection, path, public, |place| {
        let (file, outline) = SharedFile::read(place)?;
        Ok(Taken::Is(file, outline))
    })
}

/// What a selection of `path` is as content, and where each part of that is, as `take` reads its files.
pub(crate) fn described(
    selection: &Selection,
    path: &Path,
    public: bool,
    mut take: impl FnMut(&Path) -> Result<Taken, ShareError>,
) -> Result<(Shared, Vec<(Outline, Stored)>), ShareError> {
    let top = selection.each().next().map_or("", |(name, _)| name);
    let mut shared = Shared::new(Hash::of(b""), 0, Kind::File, top, public);
    let skipped = selection.skipped().iter();
    let skipped = skipped.map(|it| format!("{}: {}", it.path.display(), it.reason));
    shared.skipped = skipped.collect();
    shared.path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if shared.path.to_str().is_none() {
        return Err(ShareError::NoText(shared.path));
    }
    if selection.each().count() > collection::MAX_FILES as usize {
        return Err(ShareError::Many);
    }
    let (mut contents, mut entries) = (Vec::new(), Vec::new());
    for (name, place) in selection.each() {
        if let Some(place) = place.filter(|it| it.to_str().is_none()) {
            // Nobody could be told where it is after the node was started anew.
            let reason = "its name is no text in UTF-8";
            shared
                .skipped
                .push(format!("{}: {reason}", place.display()));
            continue;
        }
        let below = name.get(top.len() + 1..).unwrap_or_default();
        let Some(place) = place else {
            shared.kind = Kind::Folder;
            if !below.is_empty() {
                entries.push(Entry::new(below.to_owned(), None));
            }
            continue;
        };
        let (file, outline) = match take(place)? {
            Taken::Is(file, outline) => (file, outline),
            Taken::Not(reason) => {
                let place = place.display();
                shared.skipped.push(format!("{place}: {reason}"));
                continue;
            }
        };
        shared.files += 1;
        shared.bytes += outline.size();
        (shared.hash, shared.size) = (outline.hash(), outline.size());
        let described = collection::File::new(shared.hash, shared.size, file.is_executable());
        entries.push(Entry::new(below.to_owned(), Some(described)));
        contents.push((outline, Stored::File(file)));
    }
    if shared.kind == Kind::Folder {
        let listed = collection::write(&mut entries).map_err(|_| ShareError::Many)?;
        for page in listed.1 {
            let (hash, size) = (Hash::of(&page), page.len() as u64);
            let outline = Outline::of_small(hash, size).ok_or(ShareError::Many)?;
            contents.push((outline, Stored::Bytes(page)));
            // The root is the last.
            (shared.hash, shared.size) = (hash, size);
        }
    }
    Ok((shared, contents))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt};

    use tempfile::TempDir;

    use super::*;
    use crate::store::catalog::Catalog;

    #[test]
    fn a_file_whose_name_is_no_text_is_left_out_of_its_folder_and_named() {
        let folder = TempDir::new().unwrap();
        let top = folder.path().join("top");
        fs::create_dir(&top).unwrap();
        fs::write(top.join("a"), "a").unwrap();
        let name = OsStr::from_bytes(b"caf\xe9");
        fs::write(top.join(name), "b").unwrap();
        let catalog = Catalog::at(&folder.path().join("shares.redb"));
        let (shared, contents) = read(&top, false).unwrap();
        catalog.add(&shared, &contents).unwrap();
        assert_eq!((shared.files, shared.skipped.len()), (1, 1));
        assert!(shared.skipped[0].contains("caf"), "{:?}", shared.skipped);
        assert!(shared.skipped[0].contains("UTF-8"), "{:?}", shared.skipped);
        let error = read(&top.join(name), false).unwrap_err();
        assert!(matches!(error, ShareError::NoText(_)), "{error:?}");
    }
}

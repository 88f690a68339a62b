//! What is in a folder, as content of its own: a root that names pages, and pages that name files.
//!
//! Each is at most one unit, so that its hash alone verifies it.

use peerway::services::files::tree::MIN_UNIT;
use serde::{Deserialize, Serialize};

use super::{Hash, outline::MAX_SIZE};

/// Files and folders of one collection.
pub const MAX_FILES: u32 = 1 << 16;
/// Bytes of the root, and of a page.
pub const MAX_BYTES: u64 = MIN_UNIT;
/// Bytes of all pages of one list: whoever fetches has them in memory together.
const MAX_LIST: u64 = 64 << 20;
/// Entries of a page, at most.
const PAGE: usize = 1 << 12;

/// One file or folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Entry {
    /// Where it is below the folder, parts divided by `/`, as its author wrote it: it is made harmless before anything is written.
    pub path: String,
    /// What it is; none for a folder.
    pub file: Option<File>,
}

/// A file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct File {
    /// Its hash.
    pub hash: Hash,
    /// Its bytes.
    pub size: u64,
    /// Whether it is a program.
    pub executable: bool,
}

impl File {
    pub(crate) fn new(hash: Hash, size: u64, executable: bool) -> Self {
        Self {
            hash,
            size,
            executable,
        }
    }
}

impl Entry {
    pub(crate) fn new(path: String, file: Option<File>) -> Self {
        Self { path, file }
    }
}

/// The list of pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Root {
    /// Entries of all pages.
    pub entries: u32,
    /// Bytes of all files.
    pub bytes: u64,
    /// Each page's hash and bytes.
    pub pages: Vec<(Hash, u64)>,
}

/// Why bytes are no part of a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoCollection {
    /// They are in another form.
    #[error("it is in no form that this version understands")]
    Form,
    /// It names more than one may, or is longer than a list may be.
    #[error("it names more files than one may, or is longer than a list may be")]
    Many,
    /// Its parts are not what it says of them.
    #[error("its pages are not as the list says")]
    Sum,
}

/// The root of entries, and the content of it and of its pages.
///
/// # Errors
/// There are too many, or their names are too long for a list.
pub fn write(entries: &mut [Entry]) -> Result<(Root, Vec<Vec<u8>>), NoCollection> {
    if entries.len() > MAX_FILES as usize {
        return Err(NoCollection::Many);
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let mut contents = Vec::new();
    let mut rest = &entries[..];
    while !rest.is_empty() {
        let mut count = rest.len().min(PAGE);
        let page = loop {
            let page = postcard::to_allocvec(&rest[..count]).map_err(|_| NoCollection::Form)?;
            if page.len() as u64 <= MAX_BYTES {
                break page;
            }
            if count == 1 {
                return Err(NoCollection::Many);
            }
            count /= 2;
        };
        contents.push(page);
        rest = &rest[count..];
    }
    if contents.iter().map(|page| page.len() as u64).sum::<u64>() > MAX_LIST {
        return Err(NoCollection::Many);
    }
    let files = entries.iter().filter_map(|entry| entry.file);
    let root = Root {
        entries: entries.len() as u32,
        bytes: files.map(|file| file.size).sum(),
        pages: contents
            .iter()
            .map(|page| (Hash::of(page), page.len() as u64))
            .collect(),
    };
    contents.push(postcard::to_allocvec(&root).map_err(|_| NoCollection::Form)?);
    Ok((root, contents))
}

impl Root {
    /// From its content.
    ///
    /// # Errors
    /// It is none.
    pub fn read(bytes: &[u8]) -> Result<Self, NoCollection> {
        let (root, rest) =
            postcard::take_from_bytes::<Self>(bytes).map_err(|_| NoCollection::Form)?;
        if !rest.is_empty() || root.pages.iter().any(|(_, len)| *len > MAX_BYTES) {
            return Err(NoCollection::Form);
        }
        // Each page has an entry at least.
        let is_many = root.entries > MAX_FILES || root.pages.len() > root.entries as usize;
        let bytes = root.pages.iter().map(|(_, len)| *len).sum::<u64>();
        if is_many || bytes > MAX_LIST {
            return Err(NoCollection::Many);
        }
        Ok(root)
    }

    /// The entries of its pages.
    ///
    /// # Errors
    /// They are none, or others than it says.
    pub fn entries(&self, pages: &[Vec<u8>]) -> Result<Vec<Entry>, NoCollection> {
        let mut entries = Vec::new();
        for page in pages {
            let (page, rest) =
                postcard::take_from_bytes::<Vec<Entry>>(page).map_err(|_| NoCollection::Form)?;
            if !rest.is_empty() || entries.len() + page.len() > MAX_FILES as usize {
                return Err(NoCollection::Many);
            }
            entries.extend(page);
        }
        let files = entries.iter().filter_map(|entry| entry.file);
        let mut bytes = 0u64;
        for file in files {
            if file.size > MAX_SIZE {
                return Err(NoCollection::Form);
            }
            bytes = bytes.saturating_add(file.size);
        }
        if entries.len() as u32 != self.entries || bytes != self.bytes {
            return Err(NoCollection::Sum);
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_collection_is_read_as_it_was_written_whatever_its_size() {
        for count in [0u32, 1, 4096, 4097, 20_000] {
            let entry = |at: u32| {
                let file = File::new(Hash::of(&at.to_be_bytes()), u64::from(at), false);
                Entry::new(format!("a/{at}"), (!at.is_multiple_of(5)).then_some(file))
            };
            let mut entries: Vec<_> = (0..count).rev().map(entry).collect();
            let (root, mut contents) = write(&mut entries).unwrap();
            let last = contents.pop().unwrap();
            assert_eq!(Root::read(&last), Ok(root.clone()));
            assert_eq!(root.entries(&contents), Ok(entries));
            assert!(contents.iter().all(|page| page.len() as u64 <= MAX_BYTES));
            if count > 1 {
                contents.pop();
                assert!(root.entries(&contents).is_err());
            }
        }
        let long = "x".repeat(300_000);
        assert_eq!(
            write(&mut [Entry::new(long, None)]),
            Err(NoCollection::Many)
        );
    }

    #[test]
    fn a_list_is_bounded_before_its_pages_are_fetched() {
        let root = |entries, pages| {
            let pages = vec![(Hash::of(b"x"), MAX_BYTES); pages];
            let bytes = 0;
            let root = Root {
                entries,
                bytes,
                pages,
            };
            Root::read(&postcard::to_allocvec(&root).unwrap()).map(|_| ())
        };
        let most = (MAX_LIST / MAX_BYTES) as usize;
        assert_eq!(root(MAX_FILES, most), Ok(()));
        assert_eq!(root(MAX_FILES, most + 1), Err(NoCollection::Many));
        assert_eq!(root(2, 3), Err(NoCollection::Many));
        let long = |at: u32| Entry::new(format!("{at}{}", "x".repeat(261_500)), None);
        let mut entries: Vec<_> = (0..most as u32 + 1).map(long).collect();
        assert_eq!(write(&mut entries), Err(NoCollection::Many));
    }

    proptest! {
        #[test]
        fn nothing_that_comes_is_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Root::read(&bytes);
            let root = Root { entries: 1, bytes: 0, pages: Vec::new() };
            let _ = root.entries(&[bytes]);
        }
    }
}

//! What nodes say to each other about what they have. Each stream is one [`Ask`] and one [`Told`].

use serde::{Deserialize, Serialize};

use super::document::{Document, DocumentId, Published};
use crate::{
    group::GroupId,
    share::{Hash, Kind, outline::MAX_SIZE},
};

/// Longest frame of who asks or publishes, in bytes.
pub(super) const MAX_ASK: usize = 12 << 10;
/// Documents that are published by one message.
pub(super) const MAX_PUBLISHED: usize = 20;
/// And that are withdrawn.
pub(super) const MAX_WITHDRAWN: usize = 200;
/// Longest answer of a directory, in bytes.
pub(super) const MAX_LISTED: usize = 32 << 10;
/// Bytes of the documents in it.
pub(super) const MAX_TOLD_BYTES: usize = 31 << 10;
/// And how many these are.
pub(super) const MAX_TOLD: usize = 100;
/// Longest answer to a query, in bytes.
pub(super) const MAX_ANSWER: usize = 4 << 10;
/// Hits of an answer.
pub const MAX_HITS: usize = 10;
/// Longest page for who looks through what there is, in bytes.
pub(super) const MAX_PAGE: usize = 32 << 10;
/// Hits of a page.
pub(super) const MAX_PAGE_HITS: usize = 100;
/// Bytes of a name.
pub const MAX_NAME: usize = 240;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ask {
    /// What a query finds, as it is written.
    Query(String),
    /// What there is in the order of names, from the so-manieth on.
    Browse(u32),
    /// What the asker has is to be kept at a directory of a group, or not any more.
    Publish {
        group: GroupId,
        documents: Vec<Document>,
        withdrawn: Vec<DocumentId>,
    },
    /// What a query finds of what was published in a group.
    Directory { group: GroupId, text: String },
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Told {
    /// Some of what was found, and how much there is.
    Found { hits: Vec<Hit>, total: u32 },
    /// Nothing is told to the one who asks.
    NotForYou,
    /// It or its group asks too often: it may do so again after so many milliseconds.
    Later(u32),
    /// It is no query.
    NoQuery,
    /// It is no directory of that group.
    NoDirectory,
    /// What was published is kept.
    Taken,
    /// Some of what was found of it, and how many contents there are.
    Listed {
        documents: Vec<Published>,
        total: u32,
    },
}

/// One thing that a peer has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Hit {
    /// Of its content; of a folder, of the list of what is in it.
    pub hash: Hash,
    /// Bytes; of a folder, of the list.
    pub size: u64,
    /// What it is.
    pub kind: Kind,
    /// What it is called there: in a folder with the way to it. Whoever shows it makes it printable.
    pub name: String,
    /// Whether whoever has the link may have it.
    pub public: bool,
}

/// What a hit is of, whatever it is called and whoever has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Content {
    pub(super) hash: Hash,
    pub(super) size: u64,
    pub(super) kind: Kind,
}

impl Hit {
    /// The beginning of what is too long of a name is left out, as its end says more.
    pub(super) fn new((hash, size): (Hash, u64), kind: Kind, name: &str, public: bool) -> Self {
        let start = name.ceil_char_boundary(name.len().saturating_sub(MAX_NAME));
        Self {
            hash,
            size,
            kind,
            name: name[start..].to_owned(),
            public,
        }
    }

    /// What it is of.
    pub(super) fn content(&self) -> Content {
        Content {
            hash: self.hash,
            size: self.size,
            kind: self.kind,
        }
    }

    /// What it is called in the folder where it lies.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or_default()
    }

    /// Whether it is one that a peer may tell.
    pub(super) fn is_sound(&self) -> bool {
        (1..=MAX_NAME).contains(&self.name.len()) && self.size <= MAX_SIZE
    }

    /// What it takes to keep it, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.name.len() + 48
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frame;

    #[test]
    fn the_largest_answers_fit_into_their_frames() {
        let hit = Hit::new(
            (Hash::of(b""), MAX_SIZE),
            Kind::Folder,
            &"ä".repeat(500),
            true,
        );
        assert_eq!(hit.name.len(), MAX_NAME);
        assert!(hit.is_sound());
        for (count, limit) in [(MAX_HITS, MAX_ANSWER), (MAX_PAGE_HITS, MAX_PAGE)] {
            let (hits, total) = (vec![hit.clone(); count], u32::MAX);
            assert!(frame::encode(&Told::Found { hits, total }, limit).is_ok());
        }
        let group = GroupId::from_bytes([0xff; 32]);
        let document = Document::sign(group, hit.clone(), u32::MAX, |_, _| [0xff; 64]);
        let published = Published {
            publisher: peerway::SecretKey::from_seed(&[1; 32]).id(),
            document: document.clone(),
        };
        let bytes = frame::encode(&published, MAX_LISTED).unwrap().len();
        assert!(bytes <= document.len());
        let count = MAX_TOLD.min(MAX_TOLD_BYTES / document.len());
        let (documents, total) = (vec![published; count], u32::MAX);
        assert!(frame::encode(&Told::Listed { documents, total }, MAX_LISTED).is_ok());
        let publish = Ask::Publish {
            group,
            documents: vec![document; MAX_PUBLISHED],
            withdrawn: vec![DocumentId::of(&hit); MAX_WITHDRAWN],
        };
        assert!(frame::encode(&publish, MAX_ASK).is_ok());
        let query = Ask::Query("a".repeat(super::super::query::MAX_QUERY));
        assert!(frame::encode(&query, MAX_ASK).is_ok());
    }

    proptest! {
        #[test]
        fn nothing_that_comes_is_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = frame::decode::<Ask>(&bytes);
            if let Ok(Told::Listed { documents, .. }) = frame::decode::<Told>(&bytes) {
                let group = GroupId::from_bytes([1; 32]);
                let is_sound = |it: &Published| it.document.is_sound(group, it.publisher, 20_000);
                prop_assert!(!documents.iter().any(is_sound));
            }
            if let Ok(Told::Found { hits, .. }) = frame::decode::<Told>(&bytes) {
                let _: Vec<_> = hits.iter().map(|hit| (hit.is_sound(), hit.file_name().len())).collect();
            }
        }
    }
}

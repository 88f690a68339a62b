//! What nodes say to each other about what they have. Each stream is one [`Ask`] and one [`Told`].

use serde::{Deserialize, Serialize};

use crate::share::{Hash, Kind, outline::MAX_SIZE};

/// Longest frame of who asks, in bytes.
pub(super) const MAX_ASK: usize = 512;
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
        let query = Ask::Query("a".repeat(super::super::query::MAX_QUERY));
        assert!(frame::encode(&query, MAX_ASK).is_ok());
    }

    proptest! {
        #[test]
        fn nothing_that_comes_is_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = frame::decode::<Ask>(&bytes);
            if let Ok(Told::Found { hits, .. }) = frame::decode::<Told>(&bytes) {
                let _: Vec<_> = hits.iter().map(|hit| (hit.is_sound(), hit.file_name().len())).collect();
            }
        }
    }
}

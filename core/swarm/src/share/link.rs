//! What one person hands to another so that content can be fetched: [`Link`].

use std::{fmt, str::FromStr};

use data_encoding::BASE32_NOPAD;
use peerway::{ParseTicketError, Ticket};
use serde::{Deserialize, Serialize};

use super::Hash;
use crate::share::outline::MAX_SIZE;

const PREFIX: &str = "peerway-blob1";
const CHECK_LEN: usize = 4;
/// Letters of a text that is looked at.
const MAX_TEXT: usize = 4096;

/// What content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Kind {
    /// The bytes of a file.
    File,
    /// The list of what is in a folder: see [`collection`](super::collection).
    Folder,
}

/// Content and where it can be had: its hash, what it is, how large and called what, and who has it.
///
/// The text is `peerway-blob1` and base32; either case is read. The name is its author's wish: it is made harmless before anything is
/// written under it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Link {
    /// Of the content; of a folder, of the list of what is in it.
    pub hash: Hash,
    /// Bytes; of a folder, of the list.
    pub size: u64,
    /// What it is.
    pub kind: Kind,
    /// What it is called where it comes from.
    pub name: String,
    /// Whether whoever has the link may have the content; those who fetch it keep to that.
    pub public: bool,
    /// Who has it, at most [`Link::MAX_PROVIDERS`].
    pub providers: Vec<Ticket>,
}

#[derive(Serialize, Deserialize)]
struct Layout {
    hash: Hash,
    size: u64,
    kind: Kind,
    name: String,
    public: bool,
    providers: Vec<Vec<u8>>,
}

impl Link {
    /// Providers that a link names.
    pub const MAX_PROVIDERS: usize = 3;
    /// Bytes of a name.
    pub const MAX_NAME: usize = 240;

    /// A link to what is not public and can be had from nobody yet; what is too much of a name is left out.
    #[must_use]
    pub fn new(hash: Hash, size: u64, kind: Kind, name: &str) -> Self {
        let name = &name[..name.floor_char_boundary(Self::MAX_NAME)];
        Self {
            hash,
            size,
            kind,
            name: name.to_owned(),
            public: false,
            providers: Vec::new(),
        }
    }

    /// The same, for whoever has it or not.
    #[must_use]
    pub fn public(self, public: bool) -> Self {
        Self { public, ..self }
    }

    /// The same, to be had from these; those beyond the limit are left out.
    #[must_use]
    pub fn from_providers(self, mut providers: Vec<Ticket>) -> Self {
        providers.truncate(Self::MAX_PROVIDERS);
        Self { providers, ..self }
    }
}

/// The layout in postcard's format, and a checksum.
impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layout = Layout {
            hash: self.hash,
            size: self.size,
            kind: self.kind,
            name: self.name.clone(),
            public: self.public,
            providers: self.providers.iter().map(Ticket::to_bytes).collect(),
        };
        let mut bytes = postcard::to_allocvec(&layout).map_err(|_| fmt::Error)?;
        let check = checksum(&bytes);
        bytes.extend_from_slice(&check);
        let text = BASE32_NOPAD.encode(&bytes).to_ascii_lowercase();
        write!(f, "{PREFIX}{text}")
    }
}

impl FromStr for Link {
    type Err = ParseLinkError;

    fn from_str(text: &str) -> Result<Self, ParseLinkError> {
        // They are long: mail and chat programs wrap them.
        let text: String = text.split_whitespace().collect();
        let head = text.get(..PREFIX.len());
        let head = head.filter(|head| head.eq_ignore_ascii_case(PREFIX));
        let body = head.and_then(|_| text.get(PREFIX.len()..));
        let body = body.ok_or(ParseLinkError::Prefix)?;
        if body.len() > MAX_TEXT {
            return Err(ParseLinkError::Contents("more than a link can hold"));
        }
        let bytes = BASE32_NOPAD.decode(body.to_ascii_uppercase().as_bytes());
        let bytes = bytes.map_err(|_| ParseLinkError::Damaged)?;
        let split = bytes.len().checked_sub(CHECK_LEN);
        let (body, check) = bytes.split_at(split.ok_or(ParseLinkError::Damaged)?);
        if check != checksum(body) {
            return Err(ParseLinkError::Damaged);
        }
        let (layout, rest) = postcard::take_from_bytes::<Layout>(body)
            .map_err(|_| ParseLinkError::Contents("what this version does not understand"))?;
        if !rest.is_empty() || layout.name.len() > Self::MAX_NAME {
            return Err(ParseLinkError::Contents("more than a link can hold"));
        }
        if layout.size > MAX_SIZE {
            return Err(ParseLinkError::Contents("content of more than a tebibyte"));
        }
        if layout.providers.len() > Self::MAX_PROVIDERS {
            return Err(ParseLinkError::Contents("too many providers"));
        }
        let providers = layout.providers.iter();
        let providers = providers.map(|bytes| Ticket::from_bytes(bytes));
        Ok(Self {
            hash: layout.hash,
            size: layout.size,
            kind: layout.kind,
            name: layout.name,
            public: layout.public,
            providers: providers.collect::<Result<_, _>>()?,
        })
    }
}

impl Serialize for Link {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Link {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

fn checksum(body: &[u8]) -> [u8; CHECK_LEN] {
    let mut check = [0; CHECK_LEN];
    let mut hasher = blake3::Hasher::new_derive_key("peerway blob link 1");
    hasher.update(body).finalize_xof().fill(&mut check);
    check
}

/// Why a text is no [`Link`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseLinkError {
    /// It is something else.
    #[error("a link to shared content starts with {PREFIX}")]
    Prefix,
    /// The end is missing, or letters are others.
    #[error("the link is cut short or was changed on its way; copy all of it again")]
    Damaged,
    /// It was made by another version, or by a broken or hostile program.
    #[error("the link holds {0}")]
    Contents(&'static str),
    /// A provider in it cannot be dialled.
    #[error("the link names a provider that cannot be: {0}")]
    Provider(#[from] ParseTicketError),
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;
    use proptest::prelude::*;

    use super::*;

    fn link() -> Link {
        let provider = |seed| {
            let addrs = vec!["192.0.2.1:5000".parse().unwrap()];
            Ticket::new(SecretKey::from_seed(&[seed; 32]).id(), Vec::new(), addrs)
        };
        let providers = (1..=4).map(provider).collect();
        let link = Link::new(Hash::of(b"a"), 1, Kind::File, "ä.txt");
        link.public(true).from_providers(providers)
    }

    #[test]
    fn a_link_is_read_as_it_was_written_in_either_case_and_wrapped() {
        let (link, text) = (link(), link().to_string());
        assert_eq!(link.providers.len(), Link::MAX_PROVIDERS);
        let wrapped = format!("{}\n {}", &text[..40], &text[40..]);
        for text in [text.to_ascii_uppercase(), wrapped, text] {
            assert_eq!(text.parse(), Ok(link.clone()));
        }
    }

    #[test]
    fn a_letter_that_is_another_or_missing_is_noticed() {
        let text = link().to_string();
        for at in PREFIX.len()..text.len() {
            let other = if &text[at..=at] == "a" { "b" } else { "a" };
            let changed = [&text[..at], other, &text[at + 1..]].concat();
            assert!(changed.parse::<Link>().is_err(), "{at}");
            assert!(text[..at].parse::<Link>().is_err(), "{at}");
        }
        assert_eq!("PEERWAY1AB".parse::<Link>(), Err(ParseLinkError::Prefix));
    }

    proptest! {
        #[test]
        fn nothing_that_is_typed_is_a_panic(text in ".*", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = text.parse::<Link>();
            let checked = [&bytes[..], &checksum(&bytes)].concat();
            let _ = format!("{PREFIX}{}", BASE32_NOPAD.encode(&checked)).parse::<Link>();
        }
    }
}

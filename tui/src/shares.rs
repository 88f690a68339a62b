//! What a node shares, as it is told to people and programs.

use std::{path::PathBuf, str::FromStr};

use peerway::Names;
use peerway_swarm::{
    search::MAX_DOCUMENTS,
    share::{Hash, Kind, Link, Notice, ParseLinkError, Shared},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Content that is shared by its name, and the link by which it is had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ShareLine {
    pub(crate) hash: Hash,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) public: bool,
    /// Whether those who may have it find it.
    pub(crate) searchable: bool,
    pub(crate) path: PathBuf,
    pub(crate) skipped: Vec<String>,
    /// Files that changed or went since, and are shared no more.
    #[serde(default)]
    pub(crate) changed: u64,
    /// Whether it is a folder that is shared anew whenever it changes.
    #[serde(default)]
    pub(crate) watched: bool,
    /// None while no node runs that serves it.
    pub(crate) link: Option<Link>,
}

impl ShareLine {
    pub(crate) fn of(shared: Shared, searchable: bool, link: Option<Link>) -> Self {
        Self {
            hash: shared.hash,
            name: shared.name,
            kind: shared.kind,
            files: shared.files,
            bytes: shared.bytes,
            public: shared.public,
            searchable,
            path: shared.path,
            skipped: shared.skipped,
            changed: 0,
            watched: false,
            link,
        }
    }

    /// The same, of which so many files are not what was shared any more.
    pub(crate) fn with_changed(self, changed: u64) -> Self {
        Self { changed, ..self }
    }

    /// The same, which these folders may be among, that are shared anew whenever they change.
    pub(crate) fn with_watched<'a>(self, mut folders: impl Iterator<Item = &'a String>) -> Self {
        let watched = folders.any(|folder| self.path == *folder.as_str());
        Self { watched, ..self }
    }

    /// Whether somebody who writes this means it: its name, or the first eight digits of its hash or more.
    pub(crate) fn is_meant_by(&self, which: &str) -> bool {
        is_meant(&self.name, self.hash, which)
    }
}

pub(crate) fn is_meant(name: &str, hash: Hash, which: &str) -> bool {
    name == which || (which.len() >= 8 && hash.to_string().starts_with(&which.to_lowercase()))
}

/// What is to be fetched: what a link names, or what has a hash, whoever has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Link(Link),
    Hash(Hash),
}

impl Wanted {
    pub(crate) fn hash(&self) -> Hash {
        match self {
            Self::Link(link) => link.hash,
            Self::Hash(hash) => *hash,
        }
    }
}

impl FromStr for Wanted {
    type Err = ParseWantedError;

    fn from_str(text: &str) -> Result<Self, ParseWantedError> {
        match text.trim().parse() {
            Ok(hash) => Ok(Self::Hash(hash)),
            Err(_) => Ok(Self::Link(text.parse()?)),
        }
    }
}

/// What somebody wrote is no [`Wanted`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum ParseWantedError {
    #[error(
        "give a link to shared content, which starts with peerway-blob1, or a hash of 64 hexadecimal digits"
    )]
    Neither,
    #[error(transparent)]
    Link(ParseLinkError),
}

impl From<ParseLinkError> for ParseWantedError {
    fn from(error: ParseLinkError) -> Self {
        if matches!(error, ParseLinkError::Prefix) {
            Self::Neither
        } else {
            Self::Link(error)
        }
    }
}

impl Serialize for Wanted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Link(link) => link.serialize(serializer),
            Self::Hash(hash) => hash.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// That names cannot be found, as there are too many.
pub(crate) fn not_found(names: u64) -> Option<String> {
    (names > 0).then(|| {
        format!("{names} names, which are not found: a node lets {MAX_DOCUMENTS} be found")
    })
}

/// Why nothing was fetched, to people.
#[cfg(unix)]
pub(crate) fn why(error: &peerway_swarm::share::GetError, names: &impl Names) -> String {
    if let peerway_swarm::share::GetError::NotThere(peer) = error {
        let peer = names.peer(peer);
        return format!("{peer} has it not any more, or does not let this node have it");
    }
    error.to_string()
}

/// What happens to content, to people; nothing of what only programs of a newer version know.
pub(crate) fn words(notice: &Notice, names: &impl Names) -> Option<String> {
    Some(match notice {
        Notice::Paused { reason, .. } => {
            format!("it waits, and goes on by itself: nothing can be written: {reason}")
        }
        Notice::Resumed { .. } => "it goes on".to_owned(),
        Notice::Waiting { .. } => {
            "nobody who is there has what is missing: it goes on when somebody comes".to_owned()
        }
        Notice::Lied { peer, .. } => format!(
            "{} sent what is not the content: nothing is fetched from it for an hour",
            names.peer(peer)
        ),
        _ => return None,
    })
}

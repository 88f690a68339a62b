//! Why content is not shared, or not fetched.

use std::io;

use peerway::{PeerId, services::files::SelectError};

use crate::store::{catalog::CatalogError, file::FileError};

/// What is in the way and is named in one message.
const SHOWN: usize = 5;

/// Why something is not shared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShareError {
    /// A file cannot be.
    #[error(transparent)]
    File(#[from] FileError),
    /// What was named cannot be looked at.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// There are more files in the folder than one link names, or their list is too long: share its folders one by one.
    #[error("more than {most} files in one folder, or a list of them of more than 64 MiB: share its folders one by one", most = super::collection::MAX_FILES)]
    Many,
    /// It, or a folder that it is in, has a name that cannot be noted.
    #[error("{path}: its name is no text in UTF-8: rename it", path = .0.display())]
    NoText(std::path::PathBuf),
    /// The list of what is in the folder cannot be written.
    #[error("cannot list the folder: {0}")]
    List(#[from] postcard::Error),
    /// It cannot be noted that it is shared.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The node shares nothing beyond its end: a program gives [`Sharing`](super::Sharing) a catalogue for that.
    #[error("this node keeps no list of what it shares")]
    NoCatalog,
    /// The node has ended.
    #[error("the node has ended")]
    Ended,
}

/// Why content was not fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GetError {
    /// Nobody whom the link names was reached: try again when one of them is there.
    #[error("none of those who have it was reached: {0}")]
    Unreached(String),
    /// Whoever was reached has it not, or does not let this node have it: ask there.
    #[error("{0} has it not any more, or does not let this node have it")]
    NotThere(PeerId),
    /// Of which the hash alone was known.
    #[error(
        "nobody has it, or lets this node have it: {reached} of the {asked} peers answered that are in the address book or in a group; ask for a link"
    )]
    Nowhere {
        /// Peers that were asked.
        asked: usize,
        /// Those of them that answered.
        reached: usize,
    },
    /// There is neither a peer nor a group of which the hash could be asked.
    #[error(
        "there is nobody to ask for it: pair with somebody by `peerway pair`, join a group by `peerway group join`, or name a link instead of a hash"
    )]
    NobodyToAsk,
    /// The link names nobody.
    #[error("the link names nobody who has it: ask for a new one")]
    NoProvider,
    /// The content is no list of a folder, though the link says so.
    #[error("what the link names is no list of a folder: {0}")]
    NoList(String),
    /// Nothing can be written there.
    #[error("cannot write to {path}: {source}", path = path.display())]
    Write {
        /// Where.
        path: std::path::PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// All came but what has these in its way, which stay: files where folders belong, and folders where files do.
    #[error("in the way: {}; all else is here. Move that away, and fetch the same once more", listed(.0))]
    InTheWay(Vec<std::path::PathBuf>),
    /// The transfer's [`Valve`](peerway::services::files::Valve) was told so; what came stays.
    #[error("cancelled here; fetch the same once more, and it goes on where it was")]
    Cancelled,
    /// The node has ended.
    #[error("the node has ended")]
    Ended,
}

/// The first of them, and how many more there are.
fn listed(paths: &[std::path::PathBuf]) -> String {
    let first = paths.iter().take(SHOWN);
    let first: Vec<_> = first.map(|path| path.display().to_string()).collect();
    match paths.len().saturating_sub(SHOWN) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

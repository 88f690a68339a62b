use std::io;

use peerway::BindError;
use peerway_swarm::{
    groups::{GroupError, JoinError, StoreError},
    search::{NoAnswer, ParseQueryError, SearchError},
    share::{GetError, KeepError, ShareError},
};
use tokio::task::JoinError as TaskError;

use super::LIMIT;

/// Why a demonstration did not show what it is about.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum GalleryError {
    /// Its claims are judged; what held is printed as well.
    #[error("{failed} of {claims} claims did not hold: the lines above say which")]
    NotShown { failed: usize, claims: usize },
    #[error(
        "it took longer than {} s: this computer is busy, or something is waited for in vain; run it again with -vv to see what",
        LIMIT.as_secs()
    )]
    TooLong,
    #[error("cannot keep files for the homes: {0}")]
    Folder(io::Error),
    #[error("a home's node does not start: {0}")]
    Node(#[from] BindError),
    #[error("a home's groups cannot be kept: {0}")]
    Groups(#[from] StoreError),
    #[error("a home cannot share: {0}")]
    Share(#[from] ShareError),
    #[error("a home cannot fetch: {0}")]
    Get(#[from] GetError),
    #[error("a home cannot keep what it fetches: {0}")]
    Keep(#[from] KeepError),
    #[error("a member cannot do that in its group: {0}")]
    Group(#[from] GroupError),
    #[error("a home does not come into the group: {0}")]
    Join(#[from] JoinError),
    #[error("a home's question is none: {0}")]
    Query(#[from] ParseQueryError),
    #[error("a home cannot search: {0}")]
    Search(#[from] SearchError),
    #[error("a home does not show what it has: {0}")]
    Browse(#[from] NoAnswer),
    #[error("a gateway does not answer: {0}")]
    Http(String),
    #[error("the demonstration broke: {0}")]
    Broken(#[from] TaskError),
    #[error("a demonstration needs more homes than it has")]
    NoHomes,
    #[error("cannot write to stdout: {0}")]
    Output(io::Error),
}

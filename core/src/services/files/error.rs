//! Why files were not sent, or not taken.

use std::{io, path::PathBuf, sync::Arc};

use quinn::{ConnectionError, ReadError, ReadExactError, WriteError};

use super::{CANCELLED_THERE, Refusal};

/// Why nothing can be selected to be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// Check the name, and whether it may be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Send fewer at a time, or an archive of them.
    #[error("more than a million files: send a part of them, or an archive")]
    Many,
    /// Links are followed only where they are named themselves.
    #[error("there is no file to be sent: {0}")]
    Nothing(String),
}

/// Why files were not sent.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// Send once more: it goes on where it was.
    #[error("the connection was lost: {0}; send once more, and it goes on where it was")]
    Connection(#[from] ConnectionError),
    /// The receiver does not take them.
    #[error("{0}")]
    Refused(Refusal),
    /// The receiver cannot go on; its own words, to be made harmless before they are shown.
    #[error(
        "the receiver could not go on: {0}; send once more when that is mended, and it goes on where it was"
    )]
    Receiver(String),
    /// Whoever receives wants no more of them; what came stays there.
    #[error("{CANCELLED_THERE}; send once more, and it goes on where it was")]
    CancelledThere,
    /// Its [`Valve`](super::Valve) was told so; what came stays there.
    #[error("cancelled here; send once more, and it goes on where it was")]
    Cancelled,
    /// Bring both sides to the same version.
    #[error("the receiver does not understand: bring both sides to the same version")]
    Version,
    /// What is sent from a stream could not be read to its end.
    #[error("what was to be sent could not be read: {0}")]
    Source(#[source] Arc<io::Error>),
}

/// Why files were not received.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The sender may send them once more: it goes on where it was.
    #[error(
        "the connection was lost: {0}; it goes on where it was when the sender sends once more"
    )]
    Connection(#[from] ConnectionError),
    /// The sender's program ended, or gave up sending, without a word; what came is kept.
    #[error(
        "the sender left before the end; it goes on where it was when the sender sends once more"
    )]
    Left,
    /// The sender broke its word: nothing of the file that it did so with was kept.
    #[error("the sender was cut off: {0}")]
    Lied(String),
    /// Make room, or choose another folder; what came is kept, and goes on when the sender sends once more.
    #[error(
        "cannot write {what}: {source}; when that is mended and the sender sends once more, it goes on where it was"
    )]
    Write {
        /// What was written.
        what: String,
        /// Why not.
        source: Arc<io::Error>,
    },
    /// A newer offer of the same files from the same sender took its place.
    #[error("the sender began anew")]
    Displaced,
    /// Whoever sends sends no more; what came is kept.
    #[error("cancelled by the sender; it goes on where it was when that one sends once more")]
    CancelledThere,
    /// Its [`Valve`](super::Valve) was told so; what came is kept.
    #[error("cancelled here; it goes on where it was when the sender sends once more")]
    Cancelled,
    /// It offered and then took it back, or it was refused here.
    #[error("nothing was taken")]
    Refused,
}

/// Why a folder cannot take files.
#[derive(Debug, thiserror::Error)]
#[error("cannot receive into {}: {source}; choose another folder", folder.display())]
#[non_exhaustive]
pub struct InboxError {
    /// Which.
    pub folder: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl From<WriteError> for SendError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ConnectionLost(error) => Self::Connection(error),
            WriteError::Stopped(_) | WriteError::ClosedStream | WriteError::ZeroRttRejected => {
                Self::Version
            }
        }
    }
}

impl From<ReadExactError> for SendError {
    fn from(error: ReadExactError) -> Self {
        match error {
            ReadExactError::ReadError(ReadError::ConnectionLost(error)) => Self::Connection(error),
            ReadExactError::ReadError(_) | ReadExactError::FinishedEarly(_) => Self::Version,
        }
    }
}

impl From<ReadExactError> for ReceiveError {
    fn from(error: ReadExactError) -> Self {
        match error {
            ReadExactError::ReadError(ReadError::ConnectionLost(error)) => Self::Connection(error),
            ReadExactError::FinishedEarly(_) => Self::Left,
            ReadExactError::ReadError(_) => {
                Self::Lied("it broke off in the middle of a message".to_owned())
            }
        }
    }
}

impl From<WriteError> for ReceiveError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ConnectionLost(error) => Self::Connection(error),
            WriteError::Stopped(_) => Self::Left,
            WriteError::ClosedStream | WriteError::ZeroRttRejected => {
                Self::Lied("it does not listen".to_owned())
            }
        }
    }
}

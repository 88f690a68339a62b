//! Why a TCP connection was not forwarded, or not to its end.

use std::{io, sync::Arc};

use quinn::{ConnectionError, WriteError};

use super::{Obstacle, ServiceName};
use crate::ConnectError;

/// Why a connection could not be forwarded.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// The peer cannot be reached; see the inner error.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Ask the peer under which name it exposes the server.
    #[error("the peer exposes nothing under the name {name}: ask it which names it does expose")]
    UnknownService {
        /// The name asked for.
        name: ServiceName,
    },
    /// Start the server at the peer, or correct the address under which the peer exposes it.
    #[error("the peer cannot reach its server {name}: {reason}")]
    TargetRefused {
        /// The name asked for.
        name: ServiceName,
        /// What is in the way there.
        reason: Obstacle,
    },
    /// Ask the peer to add this node to the service's list.
    #[error("the peer exposes {name}, but not to this node: ask it to allow this node's id there")]
    NotAllowed {
        /// The name asked for.
        name: ServiceName,
    },
    /// Forward datagrams to it.
    #[error("{name} is a UDP server at the peer, which takes no connections: forward UDP to it")]
    IsUdp {
        /// The name asked for.
        name: ServiceName,
    },
    /// Forward connections to it.
    #[error("{name} is no UDP server at the peer: forward connections to it")]
    IsTcp {
        /// The name asked for.
        name: ServiceName,
    },
    /// Bring both sides to the same version.
    #[error(
        "the peer answers that it does not understand the request: bring both sides to the same version"
    )]
    Version,
    /// Wait for the peer to come back.
    #[error("the peer is not reached: {0}")]
    Lost(#[source] Loss),
    /// Connect once more. How much of what was sent has arrived is not known.
    #[error("the connection to the peer was lost while a forwarded one was open: {0}")]
    Cut(#[source] Loss),
    /// The server, or the peer, had enough.
    #[error("the server broke the connection off")]
    BrokenOff,
    /// Connect once more.
    #[error("the local connection could not be carried: {0}")]
    Local(#[source] Arc<io::Error>),
}

/// What became of the connection to a peer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Loss {
    /// It ended.
    #[error("{}", crate::quic::cut(.0))]
    Ended(#[from] ConnectionError),
    /// It stands, but nothing comes from the peer.
    #[error("nobody answers there any more")]
    Silent,
    /// It could not be dialled again.
    #[error(transparent)]
    Dial(Box<ConnectError>),
    /// The peer broke the request off.
    #[error("it ended the request without an answer")]
    Unanswered,
    /// It broke once already, and the first bytes may have arrived.
    #[error("it broke while the first bytes were on their way")]
    Repeated,
}

impl From<io::Error> for ForwardError {
    fn from(error: io::Error) -> Self {
        Self::Local(Arc::new(error))
    }
}

impl From<WriteError> for Loss {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ConnectionLost(error) => Self::Ended(error),
            WriteError::Stopped(_) | WriteError::ClosedStream | WriteError::ZeroRttRejected => {
                Self::Unanswered
            }
        }
    }
}

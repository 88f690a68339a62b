//! Why a node is not registered with a relay.

use std::{io, sync::Arc, time::Duration};

use quinn::{ConnectionError, TransportErrorCode};

use super::{stream::StreamError, trouble::RelayTrouble};
use crate::wire::relay::{CloseReason, FrameError, VERSION};

/// Why a node is not registered with a relay, or no longer. It tries again by itself; what each says is about the relay, "it".
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// Check the host in the relay's URL, and this computer's DNS.
    #[error("its name {host} does not resolve: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// What the system says of it.
        source: Arc<io::Error>,
    },
    /// It is down, or UDP is blocked on the way to it.
    #[error("it does not answer")]
    Timeout,
    /// It does not answer either, and this was found in the way.
    #[error(transparent)]
    Trouble(#[from] RelayTrouble),
    /// It does not answer by TCP either.
    #[error("{udp}; {tcp}")]
    Neither {
        /// What is wrong with UDP.
        udp: Box<Self>,
        /// What is wrong with TCP.
        tcp: Box<Self>,
    },
    /// It cannot be reached by TCP.
    #[error(transparent)]
    Stream(Arc<StreamError>),
    /// Get the relay's URL anew; if it is the same, do not trust the network.
    #[error("whoever answers does not hold the key in its URL")]
    IdentityMismatch,
    /// It says itself why.
    #[error("it ended the connection: {}", .0.text())]
    Closed(CloseReason),
    /// Use another relay, or try again later.
    #[error("it has no room: too many connections in all, or from this network")]
    Refused,
    /// The network failed, or the relay did.
    #[error("the connection was lost: {0}")]
    Connection(#[source] ConnectionError),
    /// This node can begin no connection.
    #[error("it cannot be dialled: {0}")]
    Dial(#[from] quinn::ConnectError),
    /// Update the older of both programs.
    #[error("it broke the protocol: {0}")]
    Frame(#[from] FrameError),
    /// Update the older of both programs.
    #[error("it speaks version {0} of the protocol, we speak {VERSION}")]
    Version(u8),
    /// Update the older of both programs.
    #[error("it broke the protocol: WELCOME was expected")]
    NoWelcome,
    /// Wait.
    #[error("it is restarting")]
    Draining {
        /// When it wants to see us again.
        reconnect_in: Duration,
    },
}

impl RelayError {
    /// Why neither carrier will do. Where UDP did not merely stay unanswered, that is all there is to say.
    pub(super) fn neither(udp: &Self, tcp: &Self) -> Self {
        if !matches!(udp, Self::Timeout | Self::Trouble(RelayTrouble::Silent)) {
            return udp.clone();
        }
        Self::Neither {
            udp: Box::new(udp.clone()),
            tcp: Box::new(tcp.clone()),
        }
    }
}

impl From<ConnectionError> for RelayError {
    fn from(error: ConnectionError) -> Self {
        /// TLS alert `bad_certificate`, which our verifier ends in when the key is not the dialled one.
        const BAD_CERTIFICATE: u64 = 0x12a;
        if let ConnectionError::TransportError(ours) = &error
            && u64::from(ours.code) == BAD_CERTIFICATE
        {
            return Self::IdentityMismatch;
        }
        if let ConnectionError::ApplicationClosed(close) = &error
            && let Some(reason) = CloseReason::from_code(close.error_code.into_inner())
        {
            return Self::Closed(reason);
        }
        if let ConnectionError::ConnectionClosed(close) = &error
            && close.error_code == TransportErrorCode::CONNECTION_REFUSED
        {
            return Self::Refused;
        }
        if error == ConnectionError::TimedOut {
            return Self::Timeout;
        }
        Self::Connection(error)
    }
}

//! Why a node does not start, is not reached, or does not reach another.

use std::net::SocketAddr;

use crate::{RelayUrl, proto::timing::CONNECT_TIMEOUT};

/// Why a node could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Choose another port, or none; end the program that holds it.
    #[error("cannot open UDP {addr}: {source}; choose another address or port")]
    Socket {
        /// The address asked for.
        addr: SocketAddr,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The operating system has no randomness for a new key.
    #[error("cannot make a new key: {0}")]
    Random(std::io::Error),
    /// rustls refuses the key.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// Why a node cannot be reached through its relays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OnlineError {
    /// Check the network and the relay's URL, or name another relay.
    #[error("cannot reach the relay {}: {reason}; check the network and the relay's URL", relay.place())]
    Relay {
        /// The first of them.
        relay: RelayUrl,
        /// What went wrong, in words.
        reason: String,
    },
    /// Get the relay's URL anew. If it is the same, do not trust the network.
    #[error(
        "the relay {} is another one than its URL says: whoever answers there does not hold the key that begins with {}; get the URL anew",
        relay.place(),
        relay.key().short()
    )]
    WrongRelay {
        /// The relay as it was named.
        relay: RelayUrl,
    },
    /// The endpoint was closed.
    #[error("this node was shut down")]
    Shutdown,
}

/// Why a peer could not be dialled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Dial somebody else.
    #[error("this is our own id: a node cannot dial itself")]
    OwnId,
    /// Start the peer, use a ticket instead of an id, or name the relay where the peer is.
    #[error(
        "nobody on the local network is this peer, and nothing says where else it is: start it there, dial a ticket with a relay in it, or name a relay at which it is registered"
    )]
    NoAddress,
    /// Use a ticket instead of an id, or name the relay where the peer is.
    #[error(
        "an id alone does not say where the peer is, and the local network was not searched for it: {reason}; dial its ticket, or name a relay at which it is registered"
    )]
    NotSearched {
        /// Why not, in words.
        reason: String,
    },
    /// Start the peer, or check its relay.
    #[error(
        "the peer is not registered at the relay {}: is it running, and with this relay?",
        relay.place()
    )]
    Offline {
        /// The relay that was asked.
        relay: RelayUrl,
    },
    /// Try again in a minute. By then the peer is back, or its relay knows that it is offline.
    #[error(
        "{relay} has the peer registered, but nothing that it sends gets there: it was just switched off or lost its network, or its router forgot it; try again in a minute"
    )]
    Unreached {
        /// The relay where it is registered.
        relay: RelayUrl,
    },
    /// Check the network and the relay's URL.
    #[error(
        "cannot reach the relay {}: {reason}; check the network and the relay's URL",
        relay.place()
    )]
    Relay {
        /// Which one.
        relay: RelayUrl,
        /// What went wrong, in words.
        reason: String,
    },
    /// Get the relay's URL, or the ticket, anew. If it is the same, do not trust the network.
    #[error(
        "the relay {} is another one than its URL or the ticket says: whoever answers there does not hold the key that begins with {}; get the URL or the ticket anew",
        relay.place(),
        relay.key().short()
    )]
    WrongRelay {
        /// The relay as it was named.
        relay: RelayUrl,
    },
    /// Somebody else answers in the peer's place. Do not trust the relay or the network.
    #[error("identity mismatch: whoever answered does not hold the dialled key")]
    IdentityMismatch,
    /// The peer runs, but not this service.
    #[error("the peer does not offer this service: check its name, and that the peer exposes it")]
    NoSuchService,
    /// The peer runs, but it or its relay has no room for another caller now, or we have our share already.
    #[error("the peer is busy: there is no room for another caller now; try again in a minute")]
    Busy,
    /// The peer refused or dropped the connection.
    #[error("the peer closed the connection: {reason}")]
    Closed {
        /// Its reason.
        reason: String,
    },
    /// It may be offline, or it does not let us in: strangers get no answer.
    #[error(
        "the peer did not answer within {seconds} s: it may be offline, or it does not let this id in"
    )]
    Timeout {
        /// How long we waited.
        seconds: u64,
    },
    /// Our own TLS could not be set up; the peer knows nothing of it.
    #[error("cannot set up TLS: {reason}")]
    Tls {
        /// What is wrong with it.
        reason: String,
    },
    /// The endpoint was closed.
    #[error("this node was shut down")]
    Shutdown,
}

impl ConnectError {
    pub(crate) fn from_quic(error: quinn::ConnectionError) -> Self {
        /// QUIC reports TLS alerts as 0x100 + alert (RFC 9001 section 4.8).
        const BAD_CERTIFICATE: u64 = 0x12a;
        const NO_APPLICATION_PROTOCOL: u64 = 0x178;
        /// RFC 9000 section 20.1.
        const CONNECTION_REFUSED: u64 = 0x2;
        match &error {
            quinn::ConnectionError::TransportError(reason) => match u64::from(reason.code) {
                BAD_CERTIFICATE => Self::IdentityMismatch,
                NO_APPLICATION_PROTOCOL => Self::NoSuchService,
                _ => Self::Closed {
                    reason: error.to_string(),
                },
            },
            quinn::ConnectionError::ConnectionClosed(close)
                if u64::from(close.error_code) == NO_APPLICATION_PROTOCOL =>
            {
                Self::NoSuchService
            }
            quinn::ConnectionError::ConnectionClosed(close)
                if u64::from(close.error_code) == CONNECTION_REFUSED =>
            {
                Self::Busy
            }
            quinn::ConnectionError::TimedOut => Self::Timeout {
                seconds: CONNECT_TIMEOUT.as_secs(),
            },
            quinn::ConnectionError::VersionMismatch
            | quinn::ConnectionError::ConnectionClosed(_)
            | quinn::ConnectionError::ApplicationClosed(_)
            | quinn::ConnectionError::Reset
            | quinn::ConnectionError::LocallyClosed
            | quinn::ConnectionError::CidsExhausted => Self::Closed {
                reason: error.to_string(),
            },
        }
    }
}

//! Why a node does not start, is not reached, or does not reach another.

use std::{error::Error, net::SocketAddr, sync::Arc, time::Duration};

use quinn::ConnectionError;

use crate::{LanError, PathPolicy, RelayUrl, proto::timing::CONNECT_TIMEOUT, relay::RelayError};

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
    /// Try again when the operating system is up; it gives no randomness for keys.
    #[error("the operating system gives no randomness for keys: {0}; try again when it is up")]
    Random(#[source] std::io::Error),
    /// Use another key: rustls refuses this one.
    #[error("cannot set up TLS: {0}; use another key")]
    Tls(#[from] rustls::Error),
}

/// Why a node cannot be reached through its relays.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnlineError {
    /// Check the network and the relay's URL, or name another relay.
    #[error("cannot reach the relay {}: {source}; check the network and the relay's URL", relay.place())]
    Relay {
        /// The first of them.
        relay: RelayUrl,
        /// What went wrong.
        source: RelayError,
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
///
/// A cause that another layer found is the error's [`source`](std::error::Error::source), and in its words.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Dial somebody else.
    #[error("this is our own id: a node cannot dial itself")]
    OwnId,
    /// Name the application protocol otherwise (RFC 7301 section 3.1).
    #[error("the name of an application protocol has 1 to 255 bytes, and this has {length}")]
    Alpn {
        /// Bytes that it has.
        length: usize,
    },
    /// Start the peer, use a ticket instead of an id, or name the relay where the peer is.
    #[error(
        "nobody on the local network is this peer, and nothing says where else it is: start it there, dial a ticket with a relay in it, or name a relay at which it is registered"
    )]
    NoAddress,
    /// Use a ticket instead of an id, or name the relay where the peer is.
    #[error(
        "an id alone does not say where the peer is, and the local network was not searched for it: {source}; dial its ticket, or name a relay at which it is registered"
    )]
    NotSearched {
        /// Why not.
        source: LanError,
    },
    /// Do what the reason says, or dial a ticket with a relay in it.
    #[error(
        "nobody on the local network is this peer, nothing here says where else it is, and {reason}"
    )]
    NotFound {
        /// Why the program that [searches](crate::Endpoint::searches) found nothing.
        #[source]
        reason: Arc<dyn Error + Send + Sync>,
    },
    /// Do what the reason says.
    #[error("no address of the peer's answers, and {reason}")]
    CalledInVain {
        /// What came of calling it by other means: see [`Search::await_call`](crate::Search::await_call).
        #[source]
        reason: Arc<dyn Error + Send + Sync>,
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
    /// Do what either says.
    #[error("{failure}; and where it is now is not found: {reason}")]
    NowhereElse {
        /// Why it is not reached where it may be.
        failure: Box<Self>,
        /// Why the program that [searches](crate::Endpoint::searches) found nothing else.
        #[source]
        reason: Arc<dyn Error + Send + Sync>,
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
        "cannot reach the relay {}: {source}; check the network and the relay's URL",
        relay.place()
    )]
    Relay {
        /// Which one.
        relay: RelayUrl,
        /// What went wrong.
        source: RelayError,
    },
    /// Set the peer's policy to auto, or give its ticket with what the policy allows.
    #[error(
        "nothing leads to the peer that may be used, as this node was told {policy} for it: set its policy to auto, as `peerway policy PEER auto` does"
    )]
    Policy {
        /// Which paths may be used: see [`Endpoint::set_path_policy`](crate::Endpoint::set_path_policy).
        policy: PathPolicy,
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
    #[error(
        "identity mismatch: whoever answered does not hold the dialled key; do not trust the relay or the network"
    )]
    IdentityMismatch,
    /// The peer runs, but not this service.
    #[error("the peer does not offer this service: check its name, and that the peer exposes it")]
    NoSuchService,
    /// The peer runs, but it or its relay has no room for another caller now, or we have our share already.
    #[error("the peer is busy: there is no room for another caller now; try again in a minute")]
    Busy,
    /// The peer ended the connection before it was complete. Try again; if it does so again, the reason is to be found there.
    #[error("the peer ended the connection: {0}; try again, or look at the peer")]
    Closed(#[source] ConnectionError),
    /// This node ended the handshake, as it found something wrong with it. Mostly the other program is of another version.
    #[error(
        "the handshake with the peer failed here: {0}; try again, or update the older of the two programs"
    )]
    Handshake(#[source] ConnectionError),
    /// It may be offline, or it does not let us in: strangers get no answer.
    #[error(
        "the peer did not answer within {} s: it may be offline, or it does not let this id in",
        after.as_secs_f64().ceil()
    )]
    Timeout {
        /// How long we waited.
        after: Duration,
    },
    /// Use another key, or another name of the protocol: rustls refuses one of them. The peer knows nothing of it.
    #[error("cannot set up TLS: {0}; use another key, or another name of the protocol")]
    Tls(#[from] rustls::Error),
    /// Close some connections, if there are tens of thousands. The peer knows nothing of it.
    #[error("cannot begin a connection: {0}; close some of those that there are")]
    Begin(#[source] quinn::ConnectError),
    /// The endpoint was closed.
    #[error("this node was shut down")]
    Shutdown,
}

impl From<quinn::ConnectError> for ConnectError {
    fn from(error: quinn::ConnectError) -> Self {
        match error {
            quinn::ConnectError::EndpointStopping => Self::Shutdown,
            quinn::ConnectError::CidsExhausted
            | quinn::ConnectError::InvalidServerName(_)
            | quinn::ConnectError::InvalidRemoteAddress(_)
            | quinn::ConnectError::NoDefaultClientConfig
            | quinn::ConnectError::UnsupportedVersion => Self::Begin(error),
        }
    }
}

impl From<ConnectionError> for ConnectError {
    fn from(error: ConnectionError) -> Self {
        /// QUIC reports TLS alerts as 0x100 + alert (RFC 9001 section 4.8).
        const BAD_CERTIFICATE: u64 = 0x12a;
        const NO_APPLICATION_PROTOCOL: u64 = 0x178;
        /// RFC 9000 section 20.1.
        const CONNECTION_REFUSED: u64 = 0x2;
        match &error {
            // What this side found wrong, and what the other side did.
            ConnectionError::TransportError(found) => match u64::from(found.code) {
                BAD_CERTIFICATE => Self::IdentityMismatch,
                NO_APPLICATION_PROTOCOL => Self::NoSuchService,
                _ => Self::Handshake(error),
            },
            ConnectionError::ConnectionClosed(close) => match u64::from(close.error_code) {
                NO_APPLICATION_PROTOCOL => Self::NoSuchService,
                CONNECTION_REFUSED => Self::Busy,
                _ => Self::Closed(error),
            },
            ConnectionError::ApplicationClosed(_) | ConnectionError::Reset => Self::Closed(error),
            ConnectionError::VersionMismatch | ConnectionError::CidsExhausted => {
                Self::Handshake(error)
            }
            ConnectionError::TimedOut => Self::Timeout {
                after: CONNECT_TIMEOUT,
            },
            ConnectionError::LocallyClosed => Self::Shutdown,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use quinn::{ApplicationClose, ConnectionClose, TransportErrorCode, VarInt};

    use super::*;
    use crate::{SecretKey, relay::RelayError};

    fn found(code: TransportErrorCode) -> ConnectionError {
        ConnectionError::TransportError(code.into())
    }

    fn closed(code: TransportErrorCode) -> ConnectionError {
        ConnectionError::ConnectionClosed(ConnectionClose {
            error_code: code,
            frame_type: None,
            reason: "its reason".into(),
        })
    }

    #[test]
    fn a_failed_handshake_is_put_down_to_the_side_that_it_failed_at() {
        let said = |error: ConnectionError| ConnectError::from(error).to_string();
        let ours = said(found(TransportErrorCode::crypto(80)));
        assert!(
            ours.starts_with("the handshake with the peer failed here"),
            "{ours}"
        );
        let theirs = said(closed(TransportErrorCode::INTERNAL_ERROR));
        assert!(
            theirs.starts_with("the peer ended the connection"),
            "{theirs}"
        );
        let program = said(ConnectionError::ApplicationClosed(ApplicationClose {
            error_code: VarInt::from_u32(7),
            reason: "go away".into(),
        }));
        assert!(program.contains("go away"), "{program}");
        for code in [0x12a, 0x178] {
            let ours = said(found(TransportErrorCode::crypto((code - 0x100) as u8)));
            assert!(!ours.contains("handshake"), "{ours}");
        }
        let version = said(ConnectionError::VersionMismatch);
        assert!(!version.contains("ended"), "{version}");
    }

    #[test]
    fn a_node_is_said_to_be_shut_down_only_when_it_was() {
        let stopping = ConnectError::from(quinn::ConnectError::EndpointStopping);
        assert!(matches!(stopping, ConnectError::Shutdown), "{stopping}");
        let closed = ConnectError::from(ConnectionError::LocallyClosed);
        assert!(matches!(closed, ConnectError::Shutdown), "{closed}");
        let full = ConnectError::from(quinn::ConnectError::CidsExhausted);
        assert!(matches!(full, ConnectError::Begin(_)), "{full}");
    }

    #[test]
    fn the_cause_of_an_error_can_be_asked_for_down_to_the_systems() {
        let error = ConnectError::from(closed(TransportErrorCode::INTERNAL_ERROR));
        let source = error.source().and_then(<dyn Error>::downcast_ref);
        assert_eq!(source, Some(&closed(TransportErrorCode::INTERNAL_ERROR)));

        let key = SecretKey::from_seed(&[1; 32]).id();
        let unresolved = ConnectError::Relay {
            relay: RelayUrl::new(key, "relay.example.org", 4433).unwrap(),
            source: RelayError::Resolve {
                host: "relay.example.org".to_owned(),
                source: Arc::new(io::ErrorKind::TimedOut.into()),
            },
        };
        let relays = unresolved.source().unwrap();
        assert!(relays.is::<RelayError>());
        let system = relays.source().unwrap();
        let system = system.downcast_ref::<Arc<io::Error>>().unwrap();
        assert_eq!(system.kind(), io::ErrorKind::TimedOut);

        let unsearched = ConnectError::NotSearched {
            source: LanError::from(getrandom::Error::UNSUPPORTED),
        };
        let lan = unsearched.source().unwrap();
        assert!(lan.is::<LanError>());
        let system = lan.source().unwrap();
        assert!(system.is::<Arc<io::Error>>());
        assert!(
            unsearched.to_string().contains(&lan.to_string()),
            "{unsearched}"
        );

        let tls = ConnectError::from(rustls::Error::NoCertificatesPresented);
        let source = tls.source().and_then(<dyn Error>::downcast_ref);
        assert_eq!(source, Some(&rustls::Error::NoCertificatesPresented));
        assert!(ConnectError::Busy.source().is_none());
    }
}

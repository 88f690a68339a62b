//! The public face of a node: [`Endpoint`].

use std::{net::SocketAddr, sync::Arc};

use tokio::sync::broadcast;

use crate::{Access, Connection, Event, NodeSnapshot, PeerId, RelayUrl, SecretKey, Ticket};

/// A node: one identity, one UDP socket, any number of peers. Cheap to clone; the node ends with [`Endpoint::close`] or
/// when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Endpoint {
    id: PeerId,
}

impl Endpoint {
    /// Starts to configure a node.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// This node's id.
    #[must_use]
    pub fn id(&self) -> PeerId {
        self.id
    }

    /// A ticket with the home relays, for others to dial.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        todo!()
    }

    /// Waits until the node can be reached: registered with a relay, or at once when none is configured.
    pub async fn online(&self) {
        todo!()
    }

    /// Dials a peer by ticket or id.
    ///
    /// The connection is usable as soon as any path carries it, usually the relay, and moves to a direct path by itself.
    ///
    /// # Errors
    /// See [`ConnectError`]; all of them within 10 s.
    pub async fn connect(
        &self,
        target: impl Into<Ticket>,
        alpn: &[u8],
    ) -> Result<Connection, ConnectError> {
        let _ = (target.into(), alpn);
        todo!()
    }

    /// The next connection that a peer opened to us, its handshake complete; none after [`Endpoint::close`].
    pub async fn accept(&self) -> Option<Connection> {
        todo!()
    }

    /// What happens from now on. A receiver that lags more than 256 events behind is told how many it missed.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        todo!()
    }

    /// The node as it is now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<NodeSnapshot> {
        todo!()
    }

    /// Says goodbye to all peers and relays, and frees the socket.
    pub async fn close(&self) {
        todo!()
    }
}

/// Configures an [`Endpoint`].
#[derive(Clone, Debug, Default)]
pub struct Builder {
    pub(crate) secret_key: Option<SecretKey>,
    pub(crate) relays: Vec<RelayUrl>,
    pub(crate) alpns: Vec<Vec<u8>>,
    pub(crate) access: Access,
    pub(crate) bind: Option<SocketAddr>,
    pub(crate) relay_only: bool,
    pub(crate) no_port_mapping: bool,
}

impl Builder {
    /// The node's identity; by default a new one that is not kept.
    #[must_use]
    pub fn secret_key(mut self, key: SecretKey) -> Self {
        self.secret_key = Some(key);
        self
    }

    /// Home relays, best first: the node stays registered with them and names them in its ticket.
    #[must_use]
    pub fn relays(mut self, relays: impl IntoIterator<Item = RelayUrl>) -> Self {
        self.relays = relays.into_iter().collect();
        self
    }

    /// The application protocols that [`Endpoint::accept`] takes; none by default.
    #[must_use]
    pub fn alpns<A: AsRef<[u8]>>(mut self, alpns: impl IntoIterator<Item = A>) -> Self {
        self.alpns = alpns
            .into_iter()
            .map(|alpn| alpn.as_ref().to_vec())
            .collect();
        self
    }

    /// Who may connect; everybody by default.
    #[must_use]
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// The local address and port; by default every interface, IPv4 and IPv6, at a free port.
    #[must_use]
    pub fn bind_addr(mut self, addr: SocketAddr) -> Self {
        self.bind = Some(addr);
        self
    }

    /// Never sends to a peer directly, so that no peer learns our addresses.
    #[must_use]
    pub fn relay_only(mut self, relay_only: bool) -> Self {
        self.relay_only = relay_only;
        self
    }

    /// Whether to ask the router for a port mapping (UPnP, PCP, NAT-PMP); yes by default.
    #[must_use]
    pub fn port_mapping(mut self, enabled: bool) -> Self {
        self.no_port_mapping = !enabled;
        self
    }

    /// Opens the socket and starts the node.
    ///
    /// # Errors
    /// See [`BindError`].
    pub async fn bind(self) -> Result<Endpoint, BindError> {
        todo!()
    }
}

/// Why a node could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Choose another port, or none; end the program that holds it.
    #[error("cannot open UDP {addr}: {source}")]
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

/// Why a peer could not be dialled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Dial somebody else.
    #[error("this is our own id: a node cannot dial itself")]
    OwnId,
    /// Use a ticket instead of an id, or name the relay where the peer is.
    #[error("nothing says where the peer is: dial a ticket, or name its relay with --relay")]
    NoAddress,
    /// Start the peer, or check its relay.
    #[error("the peer is not registered at {relay}: is it running, and with this relay?")]
    Offline {
        /// The relay that was asked.
        relay: RelayUrl,
    },
    /// Check the network and the relay's URL.
    #[error("cannot reach the relay {relay}: {reason}")]
    Relay {
        /// Which one.
        relay: RelayUrl,
        /// What went wrong, in words.
        reason: String,
    },
    /// Somebody else answers in the peer's place. Do not trust the relay or the network.
    #[error("identity mismatch: whoever answered does not hold the dialled key")]
    IdentityMismatch,
    /// The peer runs, but not this service.
    #[error("the peer does not offer this service")]
    NoSuchService,
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
    /// The endpoint was closed.
    #[error("this node was shut down")]
    Shutdown,
}

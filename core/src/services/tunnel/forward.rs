//! The forwarding side: local TCP connections, each led to a server at a peer over one shared QUIC connection.

use std::{sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::Mutex,
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use super::{
    ALPN, ServiceName,
    request::{Answer, Kind, Request},
    splice::splice,
};
use crate::{ConnectError, Connection, Endpoint, RecvStream, SendStream, Ticket};

/// TCP connections carried at a time; more wait in the listener's queue.
const MAX_CONNECTIONS: usize = 4096;
/// What the peer may take to answer a request, after which the connection to it counts as dead.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// What a new TCP connection waits for a lost peer to come back before it is reset.
const REDIAL_PATIENCE: Duration = Duration::from_secs(10);
/// One try to reach a lost peer: a dial that began while the peer was down waits longer for its next packet than a new one.
const DIAL_PATIENCE: Duration = Duration::from_secs(3);
/// Between two tries to reach a lost peer, or to accept when the system has no sockets left.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Leads TCP connections to one exposed server of one peer.
#[derive(Clone, Debug)]
pub struct Forwarder {
    name: ServiceName,
    link: Arc<Link>,
}

impl Forwarder {
    /// Dials the peer and asks whether it exposes `name`.
    ///
    /// # Errors
    /// See [`ForwardError`]; all of them within 15 s.
    pub async fn connect(
        endpoint: Endpoint,
        peer: Ticket,
        name: ServiceName,
    ) -> Result<Self, ForwardError> {
        let connection = endpoint.connect(peer.clone(), ALPN).await?;
        request(&connection, Kind::Check, name.clone()).await?;
        Ok(Self {
            name,
            link: Arc::new(Link {
                endpoint,
                peer,
                current: Mutex::new(Numbered {
                    number: 0,
                    connection,
                }),
            }),
        })
    }

    /// Forwards every connection that `listener` accepts; dropping the future resets them all.
    pub async fn run(&self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            if connections.len() >= MAX_CONNECTIONS {
                connections.join_next().await;
            }
            match listener.accept().await {
                Ok((tcp, _)) => {
                    connections.spawn(self.clone().carry(tcp));
                }
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    async fn carry(self, tcp: TcpStream) {
        match self.open().await {
            Ok((send, recv)) => {
                if let Err(error) = splice(tcp, send, recv).await {
                    debug!(%error, "forwarded connection ended early");
                }
            }
            Err(error) => {
                warn!(service = %self.name, %error, "connection refused");
                let _ = tcp.set_zero_linger();
            }
        }
    }

    /// A stream to the server, over the connection as it is or, if it died, over a new one.
    async fn open(&self) -> Result<(SendStream, RecvStream), ForwardError> {
        let Numbered { number, connection } = self.link.current.lock().await.clone();
        match request(&connection, Kind::Connect, self.name.clone()).await {
            Err(ForwardError::Lost) => {}
            decided => return decided,
        }
        let connection = timeout(REDIAL_PATIENCE, self.link.redial(number))
            .await
            .map_err(|_| ForwardError::Lost)??;
        request(&connection, Kind::Connect, self.name.clone()).await
    }
}

/// Opens a stream for `name`; anything but an answer is [`ForwardError::Lost`].
pub(super) async fn request(
    connection: &Connection,
    kind: Kind,
    name: ServiceName,
) -> Result<(SendStream, RecvStream), ForwardError> {
    let request = Request { kind, name };
    let exchange = async {
        let (mut send, mut recv) = connection.open_bi().await.ok()?;
        send.write_all(&request.to_bytes()).await.ok()?;
        let mut answer = [0];
        recv.read_exact(&mut answer).await.ok()?;
        Some((Answer::from_byte(answer[0]), send, recv))
    };
    let Ok(Some((answer, send, recv))) = timeout(ANSWER_TIMEOUT, exchange).await else {
        return Err(ForwardError::Lost);
    };
    let name = request.name;
    match answer {
        Answer::Ok => Ok((send, recv)),
        Answer::UnknownService => Err(ForwardError::UnknownService { name }),
        Answer::TargetRefused => Err(ForwardError::TargetRefused { name }),
        Answer::Malformed => Err(ForwardError::Version),
    }
}

/// The connection that all forwarded TCP connections share.
#[derive(Debug)]
struct Link {
    endpoint: Endpoint,
    peer: Ticket,
    current: Mutex<Numbered>,
}

#[derive(Clone, Debug)]
struct Numbered {
    number: u64,
    connection: Connection,
}

impl Link {
    /// The connection after the one with number `dead`, dialled once however many ask for it.
    ///
    /// A peer that is offline is tried until the caller loses patience: it may be starting again. What still runs over the
    /// dead connection keeps it and may yet recover.
    async fn redial(&self, dead: u64) -> Result<Connection, ConnectError> {
        let mut current = self.current.lock().await;
        while current.number == dead {
            let dialled = timeout(
                DIAL_PATIENCE,
                self.endpoint.connect(self.peer.clone(), ALPN),
            );
            match dialled.await {
                Ok(Ok(connection)) => {
                    *current = Numbered {
                        number: dead + 1,
                        connection,
                    }
                }
                Ok(Err(error @ (ConnectError::Shutdown | ConnectError::IdentityMismatch))) => {
                    return Err(error);
                }
                Ok(Err(error)) => {
                    debug!(%error, "the peer is not back yet");
                    sleep(RETRY_PAUSE).await;
                }
                Err(_) => debug!("the peer does not answer; dialling again"),
            }
        }
        Ok(current.connection.clone())
    }
}

/// Why a connection could not be forwarded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// The peer cannot be reached; see the inner error.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Ask the peer under which name it exposes the server.
    #[error("the peer exposes nothing under the name {name}; compare with its `expose --name`")]
    UnknownService {
        /// The name asked for.
        name: ServiceName,
    },
    /// Start the server at the peer, or correct the address given to `expose`.
    #[error("the peer cannot reach the server behind {name}; is it running there?")]
    TargetRefused {
        /// The name asked for.
        name: ServiceName,
    },
    /// Bring both sides to the same version.
    #[error("the peer did not understand the request; it may run another version")]
    Version,
    /// Wait for the peer to come back.
    #[error("the connection to the peer was lost and did not come back in time")]
    Lost,
}

//! Several protocols on one node: [`Router`].

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};

use futures_util::future::BoxFuture;
use tokio::task::{Id, JoinSet};

use crate::{
    Connection, Endpoint, PeerId,
    quic::close,
    services::{ping, speed},
};

/// Gives every connection that a peer opens to the handler of its protocol.
///
/// A handler is any async function that takes a [`Connection`]. A connection is closed when its handler has returned and kept no
/// clone of it. One that panics ends its own connection and no other.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use peerway::{Connection, Endpoint, Router};
///
/// async fn shout(connection: Connection) {
///     while let Ok(datagram) = connection.read_datagram().await {
///         let _ = connection.send_datagram(datagram.to_ascii_uppercase().into());
///     }
/// }
///
/// let endpoint = Endpoint::builder().bind().await?;
/// let router = Router::new(endpoint.clone())
///     .diagnostics()
///     .accept("example/shout/1", shout);
/// println!("{}", endpoint.ticket());
/// router.run().await;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is accepted until it runs"]
pub struct Router {
    endpoint: Endpoint,
    protocols: BTreeMap<Vec<u8>, Protocol>,
    guards: Vec<Guard>,
}

type Guard = Box<dyn Fn(PeerId, &[u8]) -> bool + Send + Sync>;

struct Protocol {
    handler: Arc<dyn Fn(Connection) -> BoxFuture<'static, ()> + Send + Sync>,
    limit: usize,
}

impl Router {
    /// A router for the node, with no protocol yet; it is then the one to [accept](Endpoint::accept) all its connections.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            protocols: BTreeMap::new(),
            guards: Vec::new(),
        }
    }

    /// Has the node take the application protocol `alpn` from now on, within the limits of [`Endpoint::accept`], and gives its
    /// connections to `handler` once the router [runs](Self::run).
    pub fn accept<F, R>(self, alpn: impl AsRef<[u8]>, handler: F) -> Self
    where
        F: Fn(Connection) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.accept_up_to(usize::MAX, alpn, handler)
    }

    /// The same for at most `limit` connections at a time, of which one peer has at most a quarter, but one in any case. What is
    /// beyond is closed with [`close::BUSY`].
    pub fn accept_up_to<F, R>(mut self, limit: usize, alpn: impl AsRef<[u8]>, handler: F) -> Self
    where
        F: Fn(Connection) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let protocol = Protocol {
            handler: Arc::new(move |connection| Box::pin(handler(connection))),
            limit,
        };
        self.protocols.insert(alpn.as_ref().to_vec(), protocol);
        self.endpoint.set_alpns(self.protocols.keys());
        self
    }

    /// Has `may` asked whether a peer may use an application protocol, for each connection before its handler begins. One that may
    /// not is closed with [`close::NOT_LET_IN`]; several are all asked. Whom the node answers at all is for [`Access`](crate::Access).
    pub fn guard(mut self, may: impl Fn(PeerId, &[u8]) -> bool + Send + Sync + 'static) -> Self {
        self.guards.push(Box::new(may));
        self
    }

    /// Answers `peerway ping` and `peerway speed`.
    pub fn diagnostics(self) -> Self {
        self.accept(ping::ALPN, ping::serve)
            .accept(speed::ALPN, speed::serve)
    }

    /// Serves peers until the node is closed. Dropping the future ends all handlers at once.
    pub async fn run(self) {
        let mut handlers = JoinSet::new();
        let mut served = Served::default();
        loop {
            tokio::select! {
                accepted = self.endpoint.accept() => {
                    let Some(connection) = accepted else { return };
                    self.serve(connection, &mut handlers, &mut served);
                }
                Some(ended) = handlers.join_next_with_id() => {
                    let id = ended.map_or_else(|panicked| panicked.id(), |(id, ())| id);
                    served.remove(id);
                }
            }
        }
    }

    fn serve(&self, connection: Connection, handlers: &mut JoinSet<()>, served: &mut Served) {
        let alpn = connection.alpn().to_vec();
        let Some(protocol) = self.protocols.get(&alpn) else {
            return connection.close(close::NO_SERVICE, b"nobody serves this protocol any more");
        };
        let peer = connection.peer();
        if !self.guards.iter().all(|may| may(peer, &alpn)) {
            return connection.close(close::NOT_LET_IN, b"not let in to this protocol");
        }
        if !served.has_room(&alpn, peer, protocol.limit) {
            return connection.close(
                close::BUSY,
                b"busy: no room for another connection of this protocol",
            );
        }
        let handler = handlers.spawn((protocol.handler)(connection));
        served.insert(handler.id(), alpn, peer);
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alpns = self
            .protocols
            .keys()
            .map(|alpn| alpn.escape_ascii().to_string());
        f.debug_tuple("Router")
            .field(&alpns.collect::<Vec<_>>())
            .finish()
    }
}

/// Connections with a handler.
#[derive(Default)]
struct Served {
    handlers: HashMap<Id, (Vec<u8>, PeerId)>,
    counts: BTreeMap<Vec<u8>, BTreeMap<PeerId, usize>>,
}

impl Served {
    fn has_room(&self, alpn: &[u8], peer: PeerId, limit: usize) -> bool {
        let Some(peers) = self.counts.get(alpn) else {
            return limit > 0;
        };
        let share = (limit / 4).max(1);
        peers.values().sum::<usize>() < limit && peers.get(&peer).is_none_or(|own| *own < share)
    }

    fn insert(&mut self, handler: Id, alpn: Vec<u8>, peer: PeerId) {
        let peers = self.counts.entry(alpn.clone()).or_default();
        *peers.entry(peer).or_default() += 1;
        self.handlers.insert(handler, (alpn, peer));
    }

    fn remove(&mut self, handler: Id) {
        let Some((alpn, peer)) = self.handlers.remove(&handler) else {
            return;
        };
        if let Some(peers) = self.counts.get_mut(&alpn)
            && let Some(own) = peers.get_mut(&peer)
        {
            *own -= 1;
            if *own == 0 {
                peers.remove(&peer);
            }
        }
    }
}

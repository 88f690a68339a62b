//! The exposing side: streams of a peer, each led to the server that it names.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use quinn::{ReadExactError, WriteError};
use tokio::{net::TcpStream, task::JoinSet, time::timeout};
use tracing::debug;

use super::{
    ServiceName,
    request::{Answer, Obstacle, Purpose, Request},
    splice::{Broken, ResetOnDrop, StopOnDrop, splice},
};
use crate::{Connection, PeerId, RecvStream, SendStream};

/// TCP connections carried for one QUIC connection; more wait.
const MAX_STREAMS: usize = 4096;
/// What a peer may take to say what it wants.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// What an exposed server may take to accept; less than the forwarding side's patience.
const TARGET_TIMEOUT: Duration = Duration::from_secs(3);
/// So many TCP connections are known again when they are asked for once more.
const REMEMBERED: usize = 4096;

/// The servers that peers may reach, by name. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Exposed {
    servers: BTreeMap<ServiceName, SocketAddr>,
    begun: Arc<Mutex<Begun>>,
}

impl Exposed {
    /// Lets peers reach the TCP server at `server` under `name`.
    pub fn insert(&mut self, name: ServiceName, server: SocketAddr) {
        self.servers.insert(name, server);
    }

    /// Leads TCP connections to the servers until the connection ends: a handler for a [`Router`](crate::Router).
    pub async fn serve(self, connection: Connection) {
        serve(&connection, &self).await;
    }

    /// False if the peer's TCP connection was begun before.
    fn begin(&self, peer: PeerId, id: u64) -> bool {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.insert((peer, id))
    }
}

/// The latest TCP connections, oldest first.
#[derive(Debug, Default)]
struct Begun {
    order: VecDeque<(PeerId, u64)>,
    known: HashSet<(PeerId, u64)>,
}

impl Begun {
    fn insert(&mut self, key: (PeerId, u64)) -> bool {
        if !self.known.insert(key) {
            return false;
        }
        self.order.push_back(key);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

pub(super) async fn serve(connection: &Connection, exposed: &Exposed) {
    let mut streams = JoinSet::new();
    while let Ok((send, recv)) = connection.accept_bi().await {
        while streams.try_join_next().is_some() {}
        if streams.len() >= MAX_STREAMS {
            streams.join_next().await;
        }
        let (peer, exposed) = (connection.peer(), exposed.clone());
        streams.spawn(async move {
            if let Err(error) = serve_stream(send, recv, peer, &exposed).await {
                debug!(%error, "tunnelled connection ended early");
            }
        });
    }
}

async fn serve_stream(
    mut send: SendStream,
    mut recv: RecvStream,
    peer: PeerId,
    exposed: &Exposed,
) -> Result<(), StreamError> {
    let request = timeout(REQUEST_TIMEOUT, Request::read(&mut recv))
        .await
        .map_err(|_| StreamError::Timeout)??;
    let (answer, tcp) = lead(request, peer, exposed).await;
    send.write_all(&[answer.to_byte()]).await?;
    match tcp {
        Some(tcp) => Ok(splice(tcp, ResetOnDrop(send), StopOnDrop(recv)).await?),
        None => Ok(()),
    }
}

async fn lead(
    request: Option<Request>,
    peer: PeerId,
    exposed: &Exposed,
) -> (Answer, Option<TcpStream>) {
    let Some(Request { kind, name, id }) = request else {
        return (Answer::Malformed, None);
    };
    let Some(target) = exposed.servers.get(&name) else {
        return (Answer::UnknownService, None);
    };
    match kind {
        Purpose::Check => (Answer::Ok, None),
        Purpose::Connect if !exposed.begin(peer, id) => (Answer::Repeated, None),
        Purpose::Connect => match timeout(TARGET_TIMEOUT, TcpStream::connect(target)).await {
            Ok(Ok(tcp)) => (Answer::Ok, Some(tcp)),
            Ok(Err(error)) => (Answer::NoTarget(Obstacle::of(&error)), None),
            Err(_) => (Answer::NoTarget(Obstacle::Silence), None),
        },
    }
}

#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error("no request came")]
    Timeout,
    #[error("while reading the request: {0}")]
    Request(#[from] ReadExactError),
    #[error("while answering: {0}")]
    Answer(#[from] WriteError),
    #[error(transparent)]
    Broken(#[from] Broken),
}

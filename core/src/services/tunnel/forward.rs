//! The forwarding side: local TCP connections, each led to a server at a peer over one shared QUIC connection.

use std::{
    future::pending,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

#[cfg(unix)]
use tokio::net::UnixListener;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UdpSocket},
    sync::Mutex,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tracing::debug;

use super::{
    ALPN, DatagramCounts, ForwardError, Loss, ServiceName,
    begin::{First, Unbegun, begin},
    held::held,
    local::{Listener, Local},
    request::{Purpose, Request},
    splice::{Broken, ResetOnDrop, StopOnDrop, copy, splice_counted},
    udp,
};
use crate::{ConnectError, Connection, Endpoint, Ticket, services::files::Progress};

/// TCP connections carried at a time; more wait in the listener's queue.
const MAX_CONNECTIONS: usize = 4096;
/// What a new TCP connection waits for a lost peer to come back before it is reset.
const REDIAL_PATIENCE: Duration = Duration::from_secs(10);
/// One try to reach a lost peer: a dial that began while the peer was down waits longer for its next packet than a new one.
const DIAL_PATIENCE: Duration = Duration::from_secs(3);
/// Between two tries to reach a lost peer, or to accept when the system has no sockets left.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// What a server takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is nothing else")]
pub enum Transport {
    /// Connections: [`Forwarder::run`].
    Stream,
    /// UDP datagrams: [`Forwarder::run_udp`].
    Datagrams,
}

/// Leads TCP connections or UDP datagrams to one exposed server of one peer.
#[derive(Clone, Debug)]
pub struct Forwarder {
    name: ServiceName,
    link: Arc<Link>,
    /// The id of the next request.
    next: Arc<AtomicU64>,
    progress: Progress,
}

impl Forwarder {
    /// Leads to `name` at the peer, which is dialled when it is needed.
    #[must_use]
    pub fn new(endpoint: Endpoint, peer: Ticket, name: ServiceName) -> Self {
        Self {
            name,
            next: Arc::new(AtomicU64::new(RandomState::new().hash_one(()))),
            progress: Progress::default(),
            link: Arc::new(Link {
                endpoint,
                peer,
                current: std::sync::Mutex::default(),
                turn: Mutex::default(),
                datagrams: Mutex::new(()),
                counters: Arc::default(),
            }),
        }
    }

    /// Dials the peer if it is not connected, and asks it whether it exposes the server, what that takes, and whether it is there, as
    /// far as [`Target::obstacle`](super::Target::obstacle) tells.
    ///
    /// # Errors
    /// See [`ForwardError`]; all of them within 15 s, or 35 s of a peer that its relay does not reach at the moment.
    pub async fn check(&self) -> Result<Transport, ForwardError> {
        let connection = self.link.connection().await?;
        let check = Request {
            kind: Purpose::Check,
            name: self.name.clone(),
            id: 0,
        };
        match begin(&connection, &check, None, &mut First::default()).await {
            Ok(_) => Ok(Transport::Stream),
            Err(Unbegun::Refused(ForwardError::IsUdp { .. })) => Ok(Transport::Datagrams),
            // Nothing was open that could be cut.
            Err(Unbegun::Lost { loss, .. }) => Err(ForwardError::Lost(loss)),
            Err(error @ (Unbegun::Refused(_) | Unbegun::Local(_))) => Err(error.into()),
        }
    }

    /// Forwards every connection that `listener` accepts, and tells `failed` why one could not be, or was cut; dropping the future
    /// resets them all.
    pub async fn run(
        &self,
        listener: TcpListener,
        failed: impl Fn(&ForwardError) + Clone + Send + 'static,
    ) {
        self.carry_all(Listener::Tcp(listener), failed).await;
    }

    /// The same of a Unix socket.
    #[cfg(unix)]
    pub async fn run_unix(
        &self,
        listener: UnixListener,
        failed: impl Fn(&ForwardError) + Clone + Send + 'static,
    ) {
        self.carry_all(Listener::Unix(listener), failed).await;
    }

    /// Leads one connection to the server: what `reader` gives, until its end, and what comes back, for `writer`. Done when both
    /// directions have ended, and the peer has all of ours.
    ///
    /// # Errors
    /// See [`ForwardError`].
    pub async fn pipe(
        &self,
        reader: impl AsyncRead + Unpin,
        writer: impl AsyncWrite + Unpin,
    ) -> Result<(), ForwardError> {
        self.connected().await?;
        let (mut send, mut recv) = self.open(None, First::default()).await?;
        let copied = copy((reader, writer), &mut send.0, &mut recv.0).await;
        copied.map_err(|broken| match broken {
            Broken::Link(error) => ForwardError::Cut(error.into()),
            Broken::Local(error) => error.into(),
            Broken::Peer => ForwardError::BrokenOff,
        })
    }

    /// Ready once the peer is connected.
    pub(super) async fn connected(&self) -> Result<(), ForwardError> {
        self.link.connection().await.map(drop)
    }

    /// The same peer's other service, over the same connection.
    #[must_use]
    pub fn to(&self, name: ServiceName) -> Self {
        Self {
            name,
            ..self.clone()
        }
    }

    /// Forwards the datagrams that come to `socket`, each of whose clients gets its own answers back, and tells `failed` what goes wrong;
    /// dropping the future ends all flows. A forwarder and its clones run one at a time; others wait.
    ///
    /// A client that was silent for three minutes is forgotten; of more than 1,024 the one that was silent for longest is. Datagrams that do not
    /// arrive are not sent again: [`datagrams`](Self::datagrams) counts them.
    pub async fn run_udp(
        &self,
        socket: UdpSocket,
        failed: impl Fn(&ForwardError) + Clone + Send + 'static,
    ) {
        let _alone = self.link.datagrams.lock().await;
        udp::roomy(&socket);
        let socket = Arc::new(socket);
        loop {
            let _ = tokio::join!(socket.readable(), socket.writable());
            let mut early = udp::Early::new(self.link.counters.clone());
            let connected = {
                let reading = async {
                    early.read(&socket).await;
                    pending().await
                };
                tokio::select! {
                    connected = self.link.connection() => connected,
                    never = reading => never,
                }
            };
            let connection = match connected {
                Ok(connection) => connection,
                Err(error) => {
                    drop(early);
                    failed(&error);
                    sleep(RETRY_PAUSE).await;
                    continue;
                }
            };
            let (name, counters) = (self.name.clone(), self.link.counters.clone());
            let session = udp::Session::new(connection.clone(), socket.clone(), name, counters);
            let running = session.run(early, failed.clone());
            let ran = held(self.progress.valve(), running).await;
            let Some((loss, is_cut)) = ran else {
                connection.close(0, b"cancelled");
                return;
            };
            connection.close(0, b"nothing comes back any more");
            if is_cut {
                failed(&ForwardError::Cut(loss));
            }
        }
    }

    /// What went through the connections that it accepted, both ways together, and the [`Valve`](crate::services::files::Valve) that
    /// pauses it with all its clones: meanwhile nothing is read from those that are open, so that both ends wait, new ones are reset, and
    /// datagrams are lost. What is cancelled resets them all, and takes no more.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// What became of UDP datagrams so far.
    #[must_use]
    pub fn datagrams(&self) -> DatagramCounts {
        self.link.counters.read()
    }

    async fn carry_all(
        &self,
        listener: Listener,
        failed: impl Fn(&ForwardError) + Clone + Send + 'static,
    ) {
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            if connections.len() >= MAX_CONNECTIONS {
                connections.join_next().await;
            }
            match listener.accept().await {
                Ok(local) if self.progress.valve().is_paused() => {
                    local.reset_on_drop();
                    debug!("a connection was reset, as the forward is paused");
                }
                Ok(local) => {
                    connections.spawn(self.clone().carry(local, failed.clone()));
                }
                Err(error) => {
                    failed(&error.into());
                    sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    async fn carry(self, local: Local, failed: impl Fn(&ForwardError)) {
        local.reset_on_drop();
        let (send, recv) = match self.open(Some(&local), First::default()).await {
            Ok(opened) => opened,
            Err(error) => return failed(&error),
        };
        let splicing = splice_counted(&self.progress, local, send, recv);
        let Some(ended) = held(self.progress.valve(), splicing).await else {
            return;
        };
        match ended {
            Ok(()) => {}
            Err(Broken::Link(error)) => failed(&ForwardError::Cut(error.into())),
            // Whoever has an end of the connection may break it off.
            Err(error @ (Broken::Local(_) | Broken::Peer)) => {
                debug!(%error, "forwarded connection ended early");
            }
        }
    }

    /// A stream to the server, over the connection as it is or, if it died, over a new one.
    pub(super) async fn open(
        &self,
        local: Option<&Local>,
        mut first: First,
    ) -> Result<(ResetOnDrop, StopOnDrop), ForwardError> {
        let mut request = self.request();
        let Numbered { number, connection } = self.link.current().clone();
        if let Some(connection) = connection {
            match begin(&connection, &request, local, &mut first).await {
                Err(Unbegun::Lost { acknowledged, .. }) if first.is_empty() || !acknowledged => {}
                decided => {
                    let opened = decided?;
                    self.progress.moved(first.len() as u64);
                    return Ok(opened);
                }
            }
        }
        if first.is_empty() {
            request = self.request();
        }
        let connection = self.link.redial(number).await?;
        let opened = begin(&connection, &request, local, &mut first).await?;
        self.progress.moved(first.len() as u64);
        Ok(opened)
    }

    #[cfg(test)]
    pub(super) fn close(&self) {
        if let Some(connection) = &self.link.current().connection {
            connection.close(0, b"");
        }
    }

    fn request(&self) -> Request {
        Request {
            kind: Purpose::Connect,
            name: self.name.clone(),
            id: self.next.fetch_add(1, Ordering::Relaxed),
        }
    }
}

/// The connection that all forwarded TCP connections share.
#[derive(Debug)]
struct Link {
    endpoint: Endpoint,
    peer: Ticket,
    current: std::sync::Mutex<Numbered>,
    /// Held by who dials. The latest dial in vain, which is one for all who waited for it.
    turn: Mutex<Option<(Instant, ConnectError)>>,
    /// Held by who reads its datagrams.
    datagrams: Mutex<()>,
    counters: Arc<udp::Counters>,
}

#[derive(Clone, Debug, Default)]
struct Numbered {
    number: u64,
    /// None before the first.
    connection: Option<Connection>,
}

impl Link {
    fn current(&self) -> MutexGuard<'_, Numbered> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn living(&self) -> Option<Connection> {
        let connection = self.current().connection.clone()?;
        connection
            .quic
            .close_reason()
            .is_none()
            .then_some(connection)
    }

    fn replace(&self, connection: Connection) {
        let mut current = self.current();
        *current = Numbered {
            number: current.number + 1,
            connection: Some(connection),
        };
    }

    /// The connection as it is, or a new one if it has ended.
    async fn connection(&self) -> Result<Connection, ForwardError> {
        if let Some(connection) = self.living() {
            return Ok(connection);
        }
        let asked = Instant::now();
        let mut turn = self.turn.lock().await;
        if let Some(connection) = self.living() {
            return Ok(connection);
        }
        if let Some((at, error)) = &*turn
            && *at >= asked
        {
            return Err(error.clone().into());
        }
        match self.endpoint.connect(self.peer.clone(), ALPN).await {
            Ok(connection) => {
                self.replace(connection.clone());
                Ok(connection)
            }
            Err(error) => {
                *turn = Some((Instant::now(), error.clone()));
                Err(error.into())
            }
        }
    }

    /// The connection after the one with number `dead`, dialled once however many ask for it.
    ///
    /// A peer that is offline is tried until the caller loses patience: it may be starting again. What still runs over the
    /// dead connection keeps it and may yet recover.
    async fn redial(&self, dead: u64) -> Result<Connection, ForwardError> {
        let mut loss = Loss::Silent;
        let dialled = timeout(REDIAL_PATIENCE, self.dial(dead, &mut loss)).await;
        dialled.unwrap_or(Err(ForwardError::Lost(loss)))
    }

    /// Leaves in `loss` why the peer could not be reached so far.
    async fn dial(&self, dead: u64, loss: &mut Loss) -> Result<Connection, ForwardError> {
        let mut turn = self.turn.lock().await;
        loop {
            let Numbered { number, connection } = self.current().clone();
            if number != dead
                && let Some(connection) = connection
            {
                return Ok(connection);
            }
            let dialled = timeout(
                DIAL_PATIENCE,
                self.endpoint.connect(self.peer.clone(), ALPN),
            );
            match dialled.await {
                Ok(Ok(connection)) => self.replace(connection),
                Ok(Err(error @ (ConnectError::Shutdown | ConnectError::IdentityMismatch))) => {
                    return Err(error.into());
                }
                Ok(Err(error)) => {
                    debug!(%error, "the peer is not back yet");
                    *turn = Some((Instant::now(), error.clone()));
                    *loss = Loss::Dial(Box::new(error));
                    sleep(RETRY_PAUSE).await;
                }
                Err(_) => debug!("the peer does not answer; dialling again"),
            }
        }
    }
}

//! The public face of a node: [`Endpoint`].

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    sync::{broadcast, mpsc, oneshot, watch},
    time::{sleep, timeout},
};

use crate::{
    Access, Connection, Event, LinkStatus, NodeSnapshot, PeerId, RelayState, RelayUrl, SecretKey,
    Ticket,
    net::{
        backlog::Backlog,
        driver::{self, Command, Driver, Lease, Outlets, Parts},
        lan::{Lan, LanError},
        mux::Mux,
        tcp::Tls,
    },
    proto::{
        endpoint::{Machine, Settings},
        local::Ports,
    },
    tls,
};

/// How long a dial may take, but for the time that the peer's relay does not reach it.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(9);
/// How long a peer that its relay does not reach is waited for, if the machine does not give it up before.
const UNREACHED_TIMEOUT: Duration = Duration::from_secs(25);

/// What a network report may take.
const REPORT_PATIENCE: Duration = Duration::from_secs(5);
/// A network report that did not change for so long is complete.
const REPORT_QUIET: Duration = Duration::from_millis(1500);
/// Events that a slow reader may lag behind.
const EVENTS: usize = 256;

/// A node: one identity, one UDP port, any number of peers. Cheap to clone; the node ends with [`Endpoint::close`] or when
/// the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Endpoint(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    key: SecretKey,
    quic: quinn::Endpoint,
    clients: tls::Clients,
    commands: mpsc::Sender<Command>,
    events: broadcast::Sender<Event>,
    snapshot: watch::Receiver<Arc<NodeSnapshot>>,
    alpns: watch::Sender<Vec<Vec<u8>>>,
    accepted: Backlog,
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
        self.0.key.id()
    }

    /// A ticket for others to dial: with the home relays, or with this computer's addresses where there is no relay.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        self.snapshot().ticket.clone()
    }

    /// Waits until the node can be reached: registered with one of its relays, or at once when none is configured.
    ///
    /// # Errors
    /// All relays refused or did not answer. The node goes on trying by itself, and [`snapshots`](Self::snapshots) shows when one
    /// takes it after all.
    pub async fn online(&self) -> Result<(), OnlineError> {
        let mut snapshots = self.snapshots();
        let is_settled = |snapshot: &Arc<NodeSnapshot>| reachable(snapshot).is_some();
        match snapshots.wait_for(is_settled).await {
            Ok(snapshot) => reachable(&snapshot).unwrap_or(Ok(())),
            Err(_) => Err(OnlineError::Shutdown),
        }
    }

    /// The node once it has found out about the network around it, or what it knows after 5 s.
    pub async fn network_report(&self) -> Arc<NodeSnapshot> {
        let mut snapshots = self.snapshots();
        let mut known = snapshots.borrow_and_update().clone();
        let complete = async {
            loop {
                let change = timeout(REPORT_QUIET, changed_network(&mut snapshots, &known)).await;
                match change {
                    Ok(Some(snapshot)) => known = snapshot,
                    Err(_) if !is_measured(&known) => {}
                    Ok(None) | Err(_) => return,
                }
            }
        };
        // What is known then is the report.
        let _ = timeout(REPORT_PATIENCE, complete).await;
        self.snapshot()
    }

    /// Dials a peer by ticket or id.
    ///
    /// The connection is usable as soon as any path carries it, usually the relay, and moves to a direct path by itself.
    ///
    /// # Errors
    /// See [`ConnectError`]; all of them within 10 s, but where the peer's relay has it registered and does not reach it. Its router
    /// may have forgotten it, so it is waited for: up to 25 s, in which the cause of the link is
    /// [`Cause::PeerUnreached`](crate::Cause::PeerUnreached).
    pub async fn connect(
        &self,
        target: impl Into<Ticket>,
        alpn: &[u8],
    ) -> Result<Connection, ConnectError> {
        let target = target.into();
        let peer = target.id;
        if peer == self.id() {
            return Err(ConnectError::OwnId);
        }
        let guard = DialGuard {
            commands: self.0.commands.clone(),
            peer,
        };
        let connection = self.dial(target, alpn).await?;
        let opened = Command::Opened {
            connection: connection.clone(),
        };
        let sent = self.0.commands.send(opened).await;
        sent.map_err(|_| ConnectError::Shutdown)?;
        drop(guard);
        Ok(connection)
    }

    async fn dial(&self, target: Ticket, alpn: &[u8]) -> Result<Connection, ConnectError> {
        let peer = target.id;
        let (reply, lease) = oneshot::channel();
        let link = Command::Link { target, reply };
        self.0
            .commands
            .send(link)
            .await
            .map_err(|_| ConnectError::Shutdown)?;
        let lease = timeout(CONNECT_TIMEOUT, lease).await;
        let lease = lease.map_err(|_| timed_out())?;
        let lease = lease.map_err(|_| ConnectError::Shutdown)?;
        let patience = patience(lease.status.clone());
        tokio::select! {
            connection = self.shake_hands(peer, lease, alpn) => connection,
            () = patience => Err(timed_out()),
        }
    }

    async fn shake_hands(
        &self,
        peer: PeerId,
        lease: Lease,
        alpn: &[u8],
    ) -> Result<Connection, ConnectError> {
        let Lease {
            addr,
            transport,
            memory,
            mut status,
            ready,
            mut failed,
        } = lease;
        ready.await.map_err(|_| ConnectError::Shutdown)??;
        let crypto = self
            .0
            .clients
            .get(&self.0.key, alpn)
            .map_err(|error| ConnectError::Tls {
                reason: error.to_string(),
            })?;
        let mut config = quinn::ClientConfig::new(crypto);
        config.transport_config(transport);
        loop {
            let connecting = self
                .0
                .quic
                .connect_with(config.clone(), addr, &tls::server_name(peer))
                .map_err(|_| ConnectError::Shutdown)?;
            let quic = tokio::select! {
                quic = connecting => quic.map_err(ConnectError::from_quic)?,
                Ok(error) = &mut failed => return Err(error),
                // QUIC waits longer for its next packet than a new handshake takes.
                () = reached_again(&mut status) => continue,
            };
            return Ok(Connection::new(quic, peer, status, memory));
        }
    }

    /// The next connection that a peer opened to us, its handshake complete; none after [`Endpoint::close`].
    ///
    /// Peers may have 4,096 connections here, accepted or not: one key 64, one IPv4 address or IPv6 /64 network 512, one /24 or
    /// /48 network 1,024. Beyond its share a caller hears that we are busy. When all are taken, the greediest network's connection
    /// that has been idle for longest is closed for one of a network that has fewer.
    pub async fn accept(&self) -> Option<Connection> {
        self.0.accepted.next().await
    }

    /// What happens from now on. A receiver that lags more than 256 events behind is told how many it missed.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.0.events.subscribe()
    }

    /// The node as it is now, to the second.
    #[must_use]
    pub fn snapshot(&self) -> Arc<NodeSnapshot> {
        self.0.snapshot.borrow().clone()
    }

    /// The node as it is, to read or to wait on for changes; a new value comes every second, and within 20 ms after every
    /// event.
    #[must_use]
    pub fn snapshots(&self) -> watch::Receiver<Arc<NodeSnapshot>> {
        self.0.snapshot.clone()
    }

    /// Changes who may open connections. Those that others had opened are closed at once, and their links end; what this node
    /// dialled stays.
    pub async fn set_access(&self, access: Access) {
        // Without a driver there are no connections either.
        let _ = self.0.commands.send(Command::Access { access }).await;
    }

    /// Changes which application protocols [`accept`](Self::accept) takes; connections that stand are not touched. Without any, the
    /// node is not announced on the local network.
    pub fn set_alpns<A: AsRef<[u8]>>(&self, alpns: impl IntoIterator<Item = A>) {
        self.0.alpns.send_replace(owned(alpns));
    }

    /// Changes the home relays, best first. The node registers with new ones at once, and leaves the others a minute after the last
    /// link that needs them has ended. Tickets from before keep naming those.
    pub async fn set_relays(&self, relays: impl IntoIterator<Item = RelayUrl>) {
        let relays = relays.into_iter().collect();
        let _ = self.0.commands.send(Command::Relays { relays }).await;
    }

    /// Says that the network may be another one, for programs that know it before the system tells: on phones, or after a sleep.
    pub async fn network_changed(&self) {
        let _ = self.0.commands.send(Command::NetworkChanged).await;
    }

    /// Says goodbye to all peers and relays; takes 3 s at most. The socket is free once the last clone of the endpoint and the
    /// last of its connections are dropped.
    pub async fn close(&self) {
        let (done, finished) = oneshot::channel();
        if self
            .0
            .commands
            .send(Command::Shutdown { done })
            .await
            .is_ok()
        {
            let _ = finished.await;
        }
    }
}

fn timed_out() -> ConnectError {
    let seconds = CONNECT_TIMEOUT.as_secs();
    ConnectError::Timeout { seconds }
}

/// Ends when a dial has taken too long. As long as the peer's relay does not reach it that is for the machine to say.
async fn patience(mut status: watch::Receiver<LinkStatus>) {
    loop {
        let out_of_time = sleep(CONNECT_TIMEOUT);
        let is_reached = |status: &LinkStatus| !status.is_unreached();
        tokio::select! {
            () = out_of_time => return,
            Ok(_) = status.wait_for(LinkStatus::is_unreached) => {}
        }
        let reached = timeout(UNREACHED_TIMEOUT, status.wait_for(is_reached)).await;
        if !matches!(reached, Ok(Ok(_))) {
            return;
        }
    }
}

/// Waits until the peer's relay, which did not reach it, does.
async fn reached_again(status: &mut watch::Receiver<LinkStatus>) {
    let answers = |status: &LinkStatus| !status.is_unreached();
    let back = async {
        status.wait_for(LinkStatus::is_unreached).await?;
        status.wait_for(answers).await
    };
    if back.await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Tells the driver that a dial is over, also if its future was dropped; a link that got its connection is not touched by it.
struct DialGuard {
    commands: mpsc::Sender<Command>,
    peer: PeerId,
}

impl Drop for DialGuard {
    fn drop(&mut self) {
        // A full queue costs nothing but that the link is kept for longer than it is needed.
        let _ = self
            .commands
            .try_send(Command::Abandoned { peer: self.peer });
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
    pub(crate) no_lan: bool,
    pub(crate) no_port_guessing: bool,
    pub(crate) no_tcp: bool,
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
        self.alpns = owned(alpns);
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

    /// Whether to ask the router for a port mapping (UPnP, PCP, NAT-PMP); yes by default, unless bound to loopback.
    #[must_use]
    pub fn port_mapping(mut self, enabled: bool) -> Self {
        self.no_port_mapping = !enabled;
        self
    }

    /// Whether to guess ports where a NAT gives every destination another one, and to let peers guess ours; yes by default,
    /// where the peer agrees. It costs up to some thousand small packets per peer, and at most 200 a second.
    #[must_use]
    pub fn port_guessing(mut self, enabled: bool) -> Self {
        self.no_port_guessing = !enabled;
        self
    }

    /// Whether to use TLS over TCP where datagrams do not get through; yes by default. A node that has a public address, or was
    /// bound to a single one, also listens at its port for peers whose network drops UDP.
    #[must_use]
    pub fn tcp(mut self, enabled: bool) -> Self {
        self.no_tcp = !enabled;
        self
    }

    /// Whether to find dialled peers on the local network by multicast DNS, and to be found there if any protocol is accepted;
    /// yes by default, unless bound to loopback or [`Builder::relay_only`]. Of the networks of an interface only IPv4 or IPv6
    /// takes part if our addresses in the other are public; none does if they are so in both.
    ///
    /// The announcement shows our id only to those who know it already, and to others that some node is here, at which address
    /// and port.
    #[must_use]
    pub fn lan_discovery(mut self, enabled: bool) -> Self {
        self.no_lan = !enabled;
        self
    }

    /// Opens the socket and starts the node.
    ///
    /// # Errors
    /// See [`BindError`].
    pub async fn bind(self) -> Result<Endpoint, BindError> {
        let key = match &self.secret_key {
            Some(key) => key.clone(),
            None => SecretKey::generate().map_err(BindError::Random)?,
        };
        let any = SocketAddr::from(([0, 0, 0, 0], 0));
        let no_socket = |source| BindError::Socket {
            addr: self.bind.unwrap_or(any),
            source,
        };
        let (mux, side) = Mux::bind(self.bind).map_err(no_socket)?;
        let server = tls::quic_server(&key, &self.alpns)?;
        let quic = quic_endpoint(&key, &mux, server.clone()).map_err(no_socket)?;
        let ports = ports(&mux);
        let lan = self.lan(key.id());
        let map_ports = !self.no_port_mapping && !self.is_on_loopback();
        let machine =
            Machine::new(self.settings(&key, ports, lan.as_ref().is_ok_and(Option::is_some))?);
        let (commands, inbox) = mpsc::channel(64);
        let backlog = Backlog::default();
        let accepted = backlog.sender();
        let events = broadcast::Sender::new(EVENTS);
        let snapshot = watch::Sender::new(Arc::new(NodeSnapshot::empty(key.id())));
        let inner = Inner {
            key: key.clone(),
            quic: quic.clone(),
            clients: tls::Clients::default(),
            commands,
            events: events.clone(),
            snapshot: snapshot.subscribe(),
            alpns: watch::Sender::new(self.alpns.clone()),
            accepted: backlog,
        };
        let use_tcp = !self.no_tcp && !self.relay_only;
        let driver = Driver::start(Parts {
            tls: use_tcp.then(|| Tls::new(&key)).transpose()?,
            key,
            machine,
            mux,
            side,
            quic,
            server,
            alpns: inner.alpns.subscribe(),
            home_relays: self.relays,
            map_ports: if map_ports { ports } else { Ports::default() },
            lan,
            commands: inbox,
            outlets: Outlets {
                events,
                snapshot,
                accepted,
            },
        })
        .await;
        #[expect(
            clippy::disallowed_methods,
            reason = "the one task that owns the node's state"
        )]
        tokio::spawn(driver.run());
        Ok(Endpoint(Arc::new(inner)))
    }

    fn settings(&self, key: &SecretKey, ports: Ports, lan: bool) -> Result<Settings, BindError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| BindError::Random(error.into()))?;
        let bound = self.bind.map(|addr| addr.ip());
        Ok(Settings {
            key: key.clone(),
            access: self.access.clone(),
            relay_only: self.relay_only,
            lan,
            guess_ports: !self.no_port_guessing,
            streams: !self.no_tcp,
            bound: bound.filter(|ip| !ip.is_unspecified()),
            ports,
            seed,
            now: driver::now(),
            unix_ms: driver::unix_ms(),
        })
    }

    /// None if nobody is to be found on the local network.
    fn lan(&self, id: PeerId) -> Result<Option<Lan>, LanError> {
        if self.no_lan || self.relay_only || self.is_on_loopback() {
            return Ok(None);
        }
        Lan::start(id)
            .inspect_err(|error| tracing::debug!(%error, "no discovery on the local network"))
            .map(Some)
    }

    fn is_on_loopback(&self) -> bool {
        self.bind.is_some_and(|addr| addr.ip().is_loopback())
    }
}

fn ports(mux: &Mux) -> Ports {
    let port = |addr: Option<SocketAddr>| addr.map_or(0, |addr| addr.port());
    Ports {
        v4: port(mux.local_v4()),
        v6: port(mux.local_v6()),
    }
}

fn quic_endpoint(
    key: &SecretKey,
    mux: &Arc<Mux>,
    server: quinn::ServerConfig,
) -> std::io::Result<quinn::Endpoint> {
    quinn::Endpoint::new_with_abstract_socket(
        tls::endpoint_config(key, "node"),
        Some(server),
        mux.clone(),
        Arc::new(quinn::TokioRuntime),
    )
}

fn owned<A: AsRef<[u8]>>(alpns: impl IntoIterator<Item = A>) -> Vec<Vec<u8>> {
    let alpns = alpns.into_iter();
    alpns.map(|alpn| alpn.as_ref().to_vec()).collect()
}

/// Whether the node can be reached through its relays, once that is known.
fn reachable(snapshot: &NodeSnapshot) -> Option<Result<(), OnlineError>> {
    let home = || snapshot.relays.iter().filter(|relay| relay.home);
    if home().next().is_none() || home().any(|relay| relay.state == RelayState::Up) {
        return Some(Ok(()));
    }
    if home().any(|relay| relay.state != RelayState::Down) {
        return None;
    }
    let relay = home()
        .find(|relay| relay.impostor)
        .or_else(|| home().next())?;
    let (url, reason) = (relay.url.clone(), relay.error.clone());
    Some(Err(if relay.impostor {
        OnlineError::WrongRelay { relay: url }
    } else {
        let reason = reason.unwrap_or_default();
        OnlineError::Relay { relay: url, reason }
    }))
}

/// The next snapshot that knows something else of the network than `known`; none when the node has ended.
async fn changed_network(
    snapshots: &mut watch::Receiver<Arc<NodeSnapshot>>,
    known: &NodeSnapshot,
) -> Option<Arc<NodeSnapshot>> {
    let states = |snapshot: &NodeSnapshot| -> Vec<RelayState> {
        snapshot.relays.iter().map(|relay| relay.state).collect()
    };
    let is_news =
        |now: &Arc<NodeSnapshot>| now.network != known.network || states(now) != states(known);
    snapshots
        .wait_for(is_news)
        .await
        .ok()
        .map(|now| now.clone())
}

/// Whether all relays answered or failed, and the NAT was measured if that can be.
fn is_measured(snapshot: &NodeSnapshot) -> bool {
    let relays = &snapshot.relays;
    relays
        .iter()
        .all(|relay| relay.state != RelayState::Connecting)
        && (relays.is_empty() || snapshot.network.checked_at_ms.is_some())
}

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
    fn from_quic(error: quinn::ConnectionError) -> Self {
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

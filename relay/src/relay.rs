//! The relay as a whole: [`Relay`].

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use peerway_keys::tls;
use peerway_proto::{
    ParseRelayUrlError, RelayUrl, SecretKey,
    wire::relay::{ALPN, CloseReason},
};
use quinn::{Connection, Endpoint, IdleTimeout, Incoming, ServerConfig, TransportConfig, VarInt};
use tokio::{sync::watch, task::JoinSet, time::timeout};
use tracing::{debug, info};

use crate::{
    control, host,
    hub::{Hub, close},
    port::Port,
    server::{
        Limits, Route,
        admission::{Admission, Admitted, Decision, SeatId},
    },
    socket::MainSocket,
    stun,
};

/// A client that is silent for this long is gone. It sends KEEPALIVE three times as often.
const IDLE_TIMEOUT_MS: u32 = 45_000;
/// Round-trip time assumed before the first measurement.
const INITIAL_RTT: Duration = Duration::from_millis(100);
/// What a client may send before we read it; several of the largest frames.
const RECEIVE_WINDOW: u32 = 64 << 10;
/// What waits for a client's acknowledgement; writing blocks beyond it.
const SEND_WINDOW: u64 = 64 << 10;
/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long clients have to leave before the relay stops.
const DRAIN_TIME: Duration = Duration::from_secs(2);
/// How long goodbyes may take to leave the computer.
const CLOSE_TIME: Duration = Duration::from_millis(500);

/// How to run a relay.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address and UDP port for everything; port 0 takes any free one.
    pub bind: SocketAddr,
    /// Second UDP port, at the same address, for the NAT tests of RFC 5780; 0 takes any free one.
    pub stun_port: u16,
    /// The relay's identity; clients know it from its URL.
    pub secret_key: SecretKey,
    /// Name or address that clients dial; guessed from `bind` and the routing table if absent.
    pub public_host: Option<String>,
    /// How much one party may use.
    pub limits: Limits,
}

impl Config {
    /// A relay at `bind` with default limits.
    #[must_use]
    pub fn new(bind: SocketAddr, secret_key: SecretKey) -> Self {
        Self {
            bind,
            stun_port: 0,
            secret_key,
            public_host: None,
            limits: Limits::default(),
        }
    }
}

/// Why a relay could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Choose another port, or end the program that holds it.
    #[error("cannot open UDP {addr}: {source}; choose another address or port")]
    Socket { addr: SocketAddr, source: io::Error },
    /// Correct the public host.
    #[error("cannot make the relay's URL: {0}")]
    Host(#[from] ParseRelayUrlError),
    /// rustls refuses the key.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The operating system refuses what every relay needs.
    #[error("cannot start QUIC: {0}")]
    Quic(io::Error),
}

/// What a relay did since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Registered clients, now.
    pub clients: usize,
    /// Open channels, now.
    pub channels: usize,
    /// Signals delivered.
    pub signals: u64,
    /// Signals dropped because their pair signals too often.
    pub signals_dropped: u64,
    /// Signals turned away because too many call their receiver, or their sender's budget is used up.
    pub busy: u64,
    /// Frames dropped because too many wait for their client.
    pub frames_dropped: u64,
    /// Lane bytes that were to be forwarded.
    pub lane_bytes: u64,
    /// Lane bytes dropped because their sender is not at one end of the channel.
    pub stranger_bytes: u64,
    /// Lane bytes dropped because a budget was used up.
    pub over_budget_bytes: u64,
    /// Datagrams and batches that the kernel did not take.
    pub sends_dropped: u64,
    /// STUN requests that were not answered, as too many come from their network.
    pub stun_dropped: u64,
    /// Datagrams and clients that were dropped because handling them failed. Each is a fault of the relay: please report it.
    pub panics: u64,
}

/// A running relay. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Relay {
    pub(crate) hub: Arc<Hub>,
    endpoint: Endpoint,
    url: RelayUrl,
    limits: Limits,
    draining: watch::Sender<bool>,
}

impl Relay {
    /// Opens the ports. The relay serves from [`Relay::run`] on.
    ///
    /// # Errors
    /// See [`BindError`].
    #[expect(
        clippy::unused_async,
        reason = "the sockets belong to the runtime that awaits this"
    )]
    pub async fn bind(config: Config) -> Result<Self, BindError> {
        let port = open(config.bind)?;
        let stun_port = open(SocketAddr::new(config.bind.ip(), config.stun_port))?;
        let addr = port.local_addr().map_err(BindError::Quic)?;
        let host = config
            .public_host
            .unwrap_or_else(|| host::guess(addr.ip()).to_string());
        let url = RelayUrl::new(config.secret_key.id(), &host, addr.port())?;
        let hub = Arc::new(Hub::new(port, stun_port, config.limits));
        let endpoint = Endpoint::new_with_abstract_socket(
            tls::endpoint_config(&config.secret_key, "relay"),
            Some(server_config(&config.secret_key)?),
            Arc::new(MainSocket::new(hub.clone())),
            Arc::new(quinn::TokioRuntime),
        )
        .map_err(BindError::Quic)?;
        Ok(Self {
            hub,
            endpoint,
            url,
            limits: config.limits,
            draining: watch::Sender::new(false),
        })
    }

    /// What clients dial.
    #[must_use]
    pub fn url(&self) -> RelayUrl {
        self.url.clone()
    }

    /// Where the relay listens.
    ///
    /// # Errors
    /// The operating system's, if it does not know.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.hub.port.local_addr()
    }

    /// Serves until [`Relay::shutdown`] is done; clients are dropped if this future is.
    pub async fn run(&self) {
        let seats = Arc::new(Seats::new(self.limits));
        let mut stun = JoinSet::new();
        stun.spawn(stun::serve(self.hub.clone()));
        let mut tasks = JoinSet::new();
        let mut draining = self.draining.subscribe();
        loop {
            tokio::select! {
                incoming = self.endpoint.accept() => match incoming {
                    Some(incoming) => self.attempt(incoming, &seats, &mut tasks),
                    None => return,
                },
                Some(ended) = tasks.join_next() => {
                    if let Err(error) = ended {
                        self.hub.note_panic("a client's task", &error);
                    }
                }
                () = control::requested(&mut draining) => break,
            }
        }
        self.drain(tasks).await;
    }

    /// Asks all clients to come back later, and ends [`Relay::run`] when they left, or after 2 s.
    pub async fn shutdown(&self) {
        info!("draining");
        self.draining.send_replace(true);
        self.draining.closed().await;
    }

    /// What the relay did since its start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let state = self.hub.lock();
        let counters = state.server.counters();
        Stats {
            clients: state.server.clients(),
            channels: state.server.channels(),
            signals: counters.signals,
            signals_dropped: counters.signals_dropped,
            busy: counters.busy,
            frames_dropped: counters.frames_dropped,
            lane_bytes: counters.lane_bytes,
            stranger_bytes: counters.stranger_bytes,
            over_budget_bytes: counters.over_budget_bytes,
            sends_dropped: self.hub.port.sends_dropped(),
            stun_dropped: counters.stun_dropped,
            panics: self.hub.panics(),
        }
    }

    fn attempt(&self, incoming: Incoming, seats: &Arc<Seats>, tasks: &mut JoinSet<()>) {
        let remote = incoming.remote_address();
        match seats.attempt(remote, incoming.remote_address_validated()) {
            Decision::Accept(admitted) => {
                let seat = Seat {
                    seats: seats.clone(),
                    admitted: Some(admitted),
                };
                let handshake = Box::pin(handshake(incoming, seat));
                tasks.spawn(serve(
                    self.hub.clone(),
                    handshake,
                    self.draining.subscribe(),
                ));
            }
            Decision::Retry if incoming.may_retry() => {
                let _ = incoming.retry();
            }
            Decision::Retry | Decision::Refuse => incoming.refuse(),
        }
    }

    async fn drain(&self, mut tasks: JoinSet<()>) {
        self.endpoint.set_server_config(None);
        let all_left = async { while tasks.join_next().await.is_some() {} };
        if timeout(DRAIN_TIME, all_left).await.is_err() {
            debug!(clients = tasks.len(), "not all clients left in time");
        }
        self.endpoint.close(CloseReason::Goodbye.code().into(), b"");
        let _ = timeout(CLOSE_TIME, self.endpoint.wait_idle()).await;
    }
}

/// A connection that has a seat.
struct Seated {
    connection: Connection,
    route: Route,
    _seat: Seat,
}

/// From an accepted attempt to a seat, or none.
async fn handshake(incoming: Incoming, mut seat: Seat) -> Option<Seated> {
    let route = Route {
        remote: incoming.remote_address(),
        local: incoming.local_ip(),
    };
    let connecting = incoming.accept().ok()?;
    let connection = timeout(HANDSHAKE_TIMEOUT, connecting).await.ok()?.ok()?;
    if !seat.take(&connection) {
        close(&connection, CloseReason::Full);
        return None;
    }
    Some(Seated {
        connection,
        route,
        _seat: seat,
    })
}

/// Serves whoever gets a seat. What only the handshake needs is in a box, which goes when that is over.
async fn serve(
    hub: Arc<Hub>,
    handshake: Pin<Box<dyn Future<Output = Option<Seated>> + Send>>,
    mut draining: watch::Receiver<bool>,
) {
    if let Some(seated) = handshake.await {
        control::serve(&hub, &seated.connection, seated.route, &mut draining).await;
    }
}

/// The connections that there is room for.
struct Seats {
    state: Mutex<(Admission, HashMap<SeatId, Connection>)>,
}

impl Seats {
    fn new(limits: Limits) -> Self {
        let admission = Admission::new(limits.clients, limits.connections_per_ip);
        Self {
            state: Mutex::new((admission, HashMap::new())),
        }
    }

    fn attempt(&self, remote: SocketAddr, proven: bool) -> Decision {
        self.with(|admission, _| admission.attempt(remote, proven))
    }

    /// Does something to the seats, and closes the connections that lost theirs by it.
    fn with<T>(
        &self,
        work: impl FnOnce(&mut Admission, &mut HashMap<SeatId, Connection>) -> T,
    ) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (admission, connections) = &mut *state;
        let done = work(admission, connections);
        while let Some(seat) = admission.poll_displaced() {
            if let Some(connection) = connections.remove(&seat) {
                close(&connection, CloseReason::Displaced);
            }
        }
        done
    }
}

/// A place among the connections of its network, given back at the end.
struct Seat {
    seats: Arc<Seats>,
    admitted: Option<Admitted>,
}

impl Seat {
    /// The handshake is done; false if there is no room any more.
    fn take(&mut self, connection: &Connection) -> bool {
        let admitted = self.admitted.take();
        self.admitted = self.seats.with(|admission, connections| {
            let admitted = admission.proven(admitted?)?;
            connections.insert(admitted.seat()?, connection.clone());
            Some(admitted)
        });
        self.admitted.is_some()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(admitted) = self.admitted.take() {
            self.seats.with(|admission, connections| {
                if let Some(seat) = admitted.seat() {
                    connections.remove(&seat);
                }
                admission.end(admitted);
            });
        }
    }
}

fn open(addr: SocketAddr) -> Result<Port, BindError> {
    Port::open(addr).map_err(|source| BindError::Socket { addr, source })
}

fn server_config(key: &SecretKey) -> Result<ServerConfig, rustls::Error> {
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_TIMEOUT_MS))))
        .initial_rtt(INITIAL_RTT)
        .mtu_discovery_config(None)
        .max_concurrent_bidi_streams(1_u32.into())
        .max_concurrent_uni_streams(0_u32.into())
        .datagram_receive_buffer_size(None)
        .stream_receive_window(RECEIVE_WINDOW.into())
        .receive_window(RECEIVE_WINDOW.into())
        .send_window(SEND_WINDOW);
    let crypto = tls::sparing_server_config(key, &[ALPN.to_vec()])?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, C, F>(_: impl Fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_client_s_task_keeps_nothing_of_its_handshake() {
        let size = size_of_future(serve);
        assert!(size <= 1200, "{size} bytes");
    }
}

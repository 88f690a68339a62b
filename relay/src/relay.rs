//! The relay as a whole: [`Relay`].

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use peerway_dht::Directory;
use peerway_keys::tls;
use peerway_proto::{ParseRelayUrlError, RelayUrl, SecretKey, wire::relay::ALPN};
use quinn_proto::{IdleTimeout, ServerConfig, TransportConfig, VarInt};
use tokio::{
    net::TcpListener,
    sync::{Mutex, OwnedMutexGuard, mpsc, watch},
    task::JoinSet,
    time::{interval, timeout},
};
use tracing::{debug, error, info};

use crate::{
    books,
    clients::{Arrival, Clients},
    dht, host,
    hub::{Hub, at, now},
    pacer,
    port::{Port, Ports},
    server::{Access, Limits, Rate},
    service::Service,
    socket::Sorter,
    stun,
    tcp::{self, CertificateError, Streams, Tcp},
};

/// A client that is silent for this long is gone. It sends KEEPALIVE four times as often.
const IDLE_TIMEOUT_MS: u32 = 45_000;
/// Round-trip time assumed before the first measurement.
const INITIAL_RTT: Duration = Duration::from_millis(100);
/// What a client may send before we read it; several of the largest frames.
const RECEIVE_WINDOW: u32 = 64 << 10;
/// What waits for a client's acknowledgement; writing blocks beyond it.
const SEND_WINDOW: u64 = 64 << 10;
/// QUIC datagrams that wait to be handled.
const QUEUE: usize = 2048;
/// How long clients have to leave before the relay stops.
const DRAIN_TIME: Duration = Duration::from_secs(2);
/// How often some of them are asked to.
const DRAIN_STEP: Duration = Duration::from_millis(100);
/// How long goodbyes may take to leave the computer.
const CLOSE_TIME: Duration = Duration::from_millis(500);

/// Where any port will do, so many are tried for one that is free for TCP too.
const FREE_PORTS: usize = 16;

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
    /// Whom to serve: everybody by default.
    pub access: Access,
    /// How to serve clients whose networks carry no UDP; not at all if absent.
    pub tcp: Option<Tcp>,
    /// The Mainline DHT, in which the relay looks up and stores for those clients; not at all if absent.
    pub directory: Option<Directory>,
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
            access: Access::default(),
            tcp: Some(Tcp::default()),
            directory: None,
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
    /// Choose another port for TCP, end the program that holds it, or serve no TCP.
    #[error(
        "cannot open TCP {addr}: {source}; choose another address or port for it, or serve without TCP"
    )]
    Tcp { addr: SocketAddr, source: io::Error },
    /// Correct the certificate's files.
    #[error("cannot serve TLS on TCP: {0}")]
    Certificate(#[from] CertificateError),
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
    /// Streams of clients over TCP, now.
    pub tcp_clients: usize,
    /// Open channels, now.
    pub channels: usize,
    /// Lane bytes of this month, by UTC, since the relay was set up.
    pub month_bytes: u64,
    /// Signals delivered.
    pub signals: u64,
    /// Signals dropped because their pair signals too often.
    pub signals_dropped: u64,
    /// Signals turned away because too many call their receiver, or their sender's budget is used up.
    pub busy: u64,
    /// What clients had looked up and stored in the Mainline DHT.
    pub dht_asks: u64,
    /// The same that was turned away, as there was too much of it.
    pub dht_busy: u64,
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
    /// QUIC datagrams dropped because too many waited to be handled.
    pub quic_dropped: u64,
    /// STUN requests that were not answered, as too many come from their network.
    pub stun_dropped: u64,
    /// Clients that were told to come again, as too many registered at once.
    pub turned_away: u64,
    /// Datagrams and clients that were dropped because handling them failed. Each is a fault of the relay: please report it.
    pub panics: u64,
}

/// A running relay. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Relay {
    pub(crate) hub: Arc<Hub>,
    pub(crate) ports: Arc<Ports>,
    tcp: Option<Arc<tcp::Port>>,
    service: Arc<Mutex<Service>>,
    directory: Option<Directory>,
    url: RelayUrl,
    draining: watch::Sender<Option<Drain>>,
}

/// How a relay is to end.
#[derive(Clone, Debug)]
pub(crate) struct Drain {
    until: Instant,
    /// The relay that takes its place.
    successor: Option<RelayUrl>,
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
        let (main, tcp) = open_pair(config.bind, config.tcp.as_ref())?;
        let stun = open(SocketAddr::new(config.bind.ip(), config.stun_port))?;
        let addr = main.local_addr().map_err(BindError::Quic)?;
        let host = config
            .public_host
            .unwrap_or_else(|| host::guess(addr.ip()).to_string());
        let url = RelayUrl::new(config.secret_key.id(), &host, addr.port())?;
        let hub = Arc::new(Hub::new(config.limits));
        hub.lock().set_access(config.access);
        let tcp = match (tcp, &config.tcp) {
            (Some(io), Some(tcp)) => {
                let port = tcp::Port::new(io, tcp, &config.secret_key, &host, config.limits)?;
                Some(Arc::new(port))
            }
            _ => None,
        };
        let ports = Arc::new(Ports {
            main,
            stun,
            streams: Streams::default(),
        });
        let clients = Clients::new(
            hub.clone(),
            config.limits,
            tls::endpoint_config(&config.secret_key, "relay"),
            server_config(&config.secret_key)?,
        );
        Ok(Self {
            service: Arc::new(Mutex::new(Service::new(
                hub.clone(),
                ports.clone(),
                clients,
            ))),
            hub,
            ports,
            tcp,
            directory: config.directory,
            url,
            draining: watch::Sender::new(None),
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
        self.ports.main.local_addr()
    }

    /// Where the relay takes TCP, if it does.
    #[must_use]
    pub fn tcp_addr(&self) -> Option<SocketAddr> {
        self.tcp.as_ref()?.local_addr().ok()
    }

    /// Serves until [`Relay::shutdown`] is done; clients are dropped if this future is.
    pub async fn run(&self) {
        let draining = self.draining.subscribe();
        let serving = Serving(self.service.clone().lock_owned().await);
        let (sender, queue) = mpsc::channel(QUEUE);
        let sorter = Arc::new(Sorter {
            hub: self.hub.clone(),
            ports: self.ports.clone(),
            queue: sender,
        });
        let mut ports = JoinSet::new();
        ports.spawn(stun::serve(self.hub.clone(), self.ports.clone()));
        if let Some(tcp) = self.tcp.clone() {
            ports.spawn(tcp.serve(sorter.clone(), self.draining.subscribe()));
        }
        ports.spawn(sorter.serve());
        ports.spawn(pacer::serve(self.hub.clone(), self.ports.clone()));
        ports.spawn(books::keep(self.hub.clone()));
        if let Some(directory) = self.directory.clone() {
            ports.spawn(dht::serve(self.hub.clone(), directory));
        }
        let mut service = JoinSet::new();
        service.spawn(serving.serve(queue, draining));
        if let Some(Err(error)) = service.join_next().await {
            error!(%error, "the relay ended; this is a fault of it, please report it");
        }
    }

    /// Asks all clients to come back later, and ends [`Relay::run`] when they left, or after 2 s.
    pub async fn shutdown(&self) {
        self.drain(DRAIN_TIME).await;
    }

    /// Registers nobody any more, asks clients one after the other to go elsewhere, and ends [`Relay::run`] when they left, or
    /// after this time. May be called again to hasten it.
    pub async fn drain(&self, within: Duration) {
        self.end(within, None).await;
    }

    /// As [`Relay::drain`], but names the relay that takes this one's place, and ends [`Relay::run`] after this time alone, so that who
    /// comes until then hears of it too; [`Relay::shutdown`] ends it sooner. Those whose own relay this is go there, links and all, and
    /// stay as long as they run; those whom the other does not let in stay here until the end. An invitation in the URL goes to all of
    /// them.
    pub async fn drain_to(&self, within: Duration, successor: RelayUrl) {
        self.end(within, Some(successor)).await;
    }

    async fn end(&self, within: Duration, successor: Option<RelayUrl>) {
        info!(?within, successor = ?successor.as_ref().map(RelayUrl::place), "draining");
        let began = now().instant;
        let until = began.checked_add(within).unwrap_or(began);
        self.draining.send_replace(Some(Drain { until, successor }));
        self.draining.closed().await;
    }

    /// From now on all clients, each of them, and each pair of them may send at other rates than the relay was started with
    /// ([`Limits::lane_rate`], [`Limits::client_rate`], [`Limits::pair_rate`]).
    pub fn set_rates(&self, lane: Option<Rate>, client: Rate, pair: Rate) {
        self.hub.lock().set_rates(lane, client, pair);
        self.hub.hasten_lane();
    }

    /// From now on others are served than the relay was started with ([`Config::access`]). Clients that are not any more are
    /// told so, and closed.
    pub fn set_access(&self, access: Access) {
        self.hub.change(|server| server.set_access(access));
    }

    /// Whether everybody is served who is not denied.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.hub.lock().is_open()
    }

    /// What the relay did since its start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let server = self.hub.lock();
        let counters = server.counters();
        Stats {
            clients: server.clients(),
            tcp_clients: self.tcp.as_ref().map_or(0, |tcp| tcp.streams()),
            channels: server.channels(),
            month_bytes: server.month_bytes(),
            signals: counters.signals,
            signals_dropped: counters.signals_dropped,
            busy: counters.busy,
            dht_asks: counters.dht_asks,
            dht_busy: counters.dht_busy,
            frames_dropped: counters.frames_dropped,
            lane_bytes: counters.lane_bytes,
            stranger_bytes: counters.stranger_bytes,
            over_budget_bytes: counters.over_budget_bytes,
            sends_dropped: self.ports.main.sends_dropped(),
            stun_dropped: counters.stun_dropped,
            turned_away: counters.turned_away,
            quic_dropped: self.hub.overflows(),
            panics: self.hub.panics(),
        }
    }
}

/// In how many steps the clients that were not asked to leave yet are asked. The last are at half-time, so that they have as long
/// as that to go; all are at once where there is no time.
fn steps_left(began: Instant, end: Instant) -> usize {
    let within = end.saturating_duration_since(began);
    let asking = (within / 2).saturating_sub(DRAIN_TIME / 2);
    let asked_for = now().instant.saturating_duration_since(began);
    let left = asking.saturating_sub(asked_for);
    (left.as_millis() / DRAIN_STEP.as_millis()) as usize + 1
}

/// The service as long as somebody runs it.
struct Serving(OwnedMutexGuard<Service>);

impl Serving {
    /// Serves until the relay is to drain or its port failed.
    async fn serve(
        mut self,
        mut queue: mpsc::Receiver<Arrival>,
        mut draining: watch::Receiver<Option<Drain>>,
    ) {
        loop {
            tokio::select! {
                goes_on = self.0.turn(&mut queue) => if !goes_on {
                    return;
                },
                _ = draining.wait_for(Option::is_some) => break,
            }
        }
        self.drain(&mut queue, draining).await;
    }

    /// Gives clients time to leave, then ends what is left.
    async fn drain(
        &mut self,
        queue: &mut mpsc::Receiver<Arrival>,
        mut draining: watch::Receiver<Option<Drain>>,
    ) {
        let service = &mut *self.0;
        let began = now().instant;
        let mut steps = interval(DRAIN_STEP);
        loop {
            let Some(Drain {
                until: end,
                successor,
            }) = draining.borrow_and_update().clone()
            else {
                break;
            };
            // Who was away is told too where to go.
            let stays = successor.is_some();
            service.clients.drain(successor);
            if !stays && service.clients.all_left() {
                break;
            }
            let left = end.saturating_duration_since(now().instant);
            if left.is_zero() {
                debug!("not all clients left in time");
                break;
            }
            tokio::select! {
                _ = steps.tick() => {
                    // Whoever stops at once is back at once.
                    let is_slow = end.saturating_duration_since(began) > DRAIN_TIME;
                    let back_in = if is_slow { left } else { Duration::ZERO };
                    service.clients.ask_some(steps_left(began, end), back_in);
                    service.flush();
                }
                goes_on = service.turn(queue) => if !goes_on { break },
                _ = draining.changed() => {}
                () = at(Some(end)) => {}
            }
        }
        service.clients.close_all(now());
        service.flush();
        let all_gone = async { while !service.clients.is_empty() && service.turn(queue).await {} };
        let _ = timeout(CLOSE_TIME, all_gone).await;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.clients.close_all(now());
        self.0.flush();
    }
}

/// Opens the UDP port, and the TCP port, which has its number unless it has one of its own.
fn open_pair(
    addr: SocketAddr,
    tcp: Option<&Tcp>,
) -> Result<(Port, Option<TcpListener>), BindError> {
    let mut tries = if addr.port() == 0 { FREE_PORTS } else { 1 };
    loop {
        let main = open(addr)?;
        let Some(tcp) = tcp else {
            return Ok((main, None));
        };
        let same = main.local_addr().map_err(BindError::Quic)?;
        let addr = tcp.bind.unwrap_or(same);
        tries -= 1;
        match tcp::Port::open(addr) {
            Ok(listener) => return Ok((main, Some(listener))),
            Err(_) if tries > 0 && tcp.bind.is_none() => {}
            Err(source) => return Err(BindError::Tcp { addr, source }),
        }
    }
}

fn open(addr: SocketAddr) -> Result<Port, BindError> {
    Port::open(addr).map_err(|source| BindError::Socket { addr, source })
}

/// QUIC's settings, and TLS by itself.
pub(crate) fn server_config(
    key: &SecretKey,
) -> Result<(ServerConfig, Arc<tls::ServerConfig>), rustls::Error> {
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
    let tls = Arc::new(tls::sparing_server_config(key, &[ALPN.to_vec()])?);
    let mut config = ServerConfig::with_crypto(tls.clone());
    config.transport_config(Arc::new(transport));
    Ok((config, tls))
}

//! Streams to relays: a WebSocket in TLS over TCP, where UDP does not get through.
//!
//! The relay's port is tried, and 443 soon after, as many networks and proxies let nothing else out. TLS asks for the relay's key
//! first; where something else ends TLS, as a reverse proxy does, any certificate will do, as QUIC inside of the stream asks for
//! the relay's key in any case.

mod proxy;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use peerway_carrier::{MAX_MESSAGE, PATH, Side, UNSENT, carry, prepare};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    net::{TcpStream, UdpSocket},
    sync::Notify,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_websockets::{ClientBuilder, Config, Limits, WebSocketStream, upgrade};

pub use self::proxy::ProxyTrouble;
use self::proxy::{Proxy, Target, authority};
use super::RelayError;
use crate::{
    RelayUrl,
    net::{
        mux::{self, Mux},
        tcp,
    },
    proto::{
        carriers::{Blocked, Whereabouts},
        relays::Over,
    },
    tls,
};

/// What networks and proxies let out if they let anything out.
const HTTPS: u16 = 443;
/// How long the relay's own port is tried before 443 is as well.
const STAGGER: Duration = Duration::from_millis(300);
/// From the first packet to the end of the upgrade.
const PATIENCE: Duration = Duration::from_secs(4);
/// The same through a proxy, which may have to look for the relay itself.
const PATIENCE_OF_PROXIES: Duration = Duration::from_secs(10);
/// The time for the last datagrams to leave.
const GOODBYE: Duration = Duration::from_millis(500);

/// Why a relay could not be reached by TCP.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// Look at the relay, or at the firewalls on the way.
    #[error("its TCP port {port} cannot be reached: {source}")]
    Connect {
        /// Which port.
        port: u16,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// Look at the proxy.
    #[error("by the proxy {proxy}: {trouble}")]
    Proxy {
        /// Which proxy, without its password.
        proxy: String,
        /// What is wrong with it.
        trouble: ProxyTrouble,
    },
    /// The proxy that the environment names cannot be used.
    #[error(transparent)]
    Environment(ProxyTrouble),
    /// Somebody may listen in: whoever answers is not the relay.
    #[error("TLS with TCP port {port} failed: {why}")]
    Tls {
        /// Which port.
        port: u16,
        /// What rustls says.
        why: String,
    },
    /// Another server has the port, or a reverse proxy does not pass WebSockets on.
    #[error("what answers at TCP port {port} is no relay{}", said(.status))]
    NoRelay {
        /// Which port.
        port: u16,
        /// Its HTTP status, if it had one.
        status: Option<u16>,
    },
    /// Look at the relay, or at the firewalls on the way.
    #[error("its TCP port {port} does not answer")]
    Silent {
        /// Which port.
        port: u16,
    },
    /// The stream broke. Another is dialled.
    #[error("the TCP connection was lost: {0}")]
    Lost(String),
}

fn said(status: &Option<u16>) -> String {
    status.map_or_else(String::new, |status| format!(": HTTP status {status}"))
}

/// What a node's registrations reach relays by, besides UDP.
#[derive(Debug)]
pub(crate) struct Streams {
    mux: Arc<Mux>,
    blocked: Mutex<Blocked>,
    pinned: Arc<ClientConfig>,
    any: Arc<ClientConfig>,
}

impl Streams {
    /// # Errors
    /// rustls' error, if it refuses the settings.
    pub(crate) fn new(mux: Arc<Mux>) -> Result<Self, rustls::Error> {
        Ok(Self {
            mux,
            blocked: Mutex::default(),
            pinned: Arc::new(tls::web::pinned_client()?),
            any: Arc::new(tls::web::any_client()?),
        })
    }

    /// Where UDP did not get through.
    pub(super) fn blocked(&self) -> MutexGuard<'_, Blocked> {
        self.blocked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the environment names a proxy for the relay.
    pub(super) fn has_proxy(&self, url: &RelayUrl, at: SocketAddr) -> bool {
        let target = Target {
            host: url.host(),
            port: url.port(),
            ip: at.ip(),
            is_stranger: false,
        };
        !matches!(Proxy::from_env(target), Ok(None))
    }

    /// Dials the relay, at its port and at 443.
    pub(super) async fn dial(
        &self,
        url: &RelayUrl,
        at: SocketAddr,
        is_stranger: bool,
    ) -> Result<Stream, StreamError> {
        let to = |port| Target {
            host: url.host(),
            port,
            ip: at.ip(),
            is_stranger,
        };
        let proxy = Proxy::from_env(to(url.port())).map_err(StreamError::Environment)?;
        let dial = |port| self.dial_port(url, to(port), proxy.as_ref());
        if url.port() == HTTPS {
            return dial(HTTPS).await;
        }
        let mut own = pin!(dial(url.port()));
        let mut https = pin!(async {
            sleep(STAGGER).await;
            dial(HTTPS).await
        });
        let first = tokio::select! {
            done = &mut own => done.map_err(|error| (error, true)),
            done = &mut https => done.map_err(|error| (error, false)),
        };
        match first {
            Ok(stream) => Ok(stream),
            // What is said of the relay's own port is what matters.
            Err((own, true)) => https.await.map_err(|_| own),
            Err((_, false)) => own.await,
        }
    }

    async fn dial_port(
        &self,
        url: &RelayUrl,
        to: Target<'_>,
        proxy: Option<&Proxy>,
    ) -> Result<Stream, StreamError> {
        let port = to.port;
        let patience = proxy.map_or(PATIENCE, |_| PATIENCE_OF_PROXIES);
        let dial = async {
            let socket = match self.upgrade(url, to, proxy, true).await {
                Err(Refusal::NoKey) => self.upgrade(url, to, proxy, false).await,
                done => done,
            };
            socket.map_err(|refusal| match refusal {
                Refusal::NoKey => StreamError::Tls {
                    port,
                    why: "it shows no certificate that can be used".to_owned(),
                },
                Refusal::Final(error) => error,
            })
        };
        let silent = |_| match proxy {
            None => Err(StreamError::Silent { port }),
            Some(proxy) => Err(StreamError::Proxy {
                proxy: proxy.to_string(),
                trouble: ProxyTrouble::Silent("it takes too long".to_owned()),
            }),
        };
        let socket = timeout(patience, dial).await.unwrap_or_else(silent)?;
        Ok(self.open(socket, to, proxy))
    }

    /// A WebSocket, by the relay's key or by any certificate.
    async fn upgrade(
        &self,
        url: &RelayUrl,
        to: Target<'_>,
        proxy: Option<&Proxy>,
        by_key: bool,
    ) -> Result<WebSocketStream<TlsStream<TcpStream>>, Refusal> {
        let port = to.port;
        let from = self.mux.source_towards(to.ip);
        let tcp = connect(from, to, proxy).await?;
        let (config, name) = if by_key {
            (&self.pinned, tls::server_name(url.key()))
        } else {
            (&self.any, to.host.to_owned())
        };
        let unusable = |why: String| Refusal::Final(StreamError::Tls { port, why });
        let name = ServerName::try_from(name).map_err(|error| unusable(error.to_string()))?;
        let connector = TlsConnector::from(config.clone());
        let tls = match connector.connect(name, tcp).await {
            Ok(tls) => tls,
            Err(error) if by_key && shows_no_key(&error) => return Err(Refusal::NoKey),
            Err(error) => return Err(unusable(error.to_string())),
        };
        let place = authority(to.host, port);
        let uri = format!("ws://{place}{PATH}").parse();
        let uri = uri.map_err(|_| unusable("the relay's host is no host of a URL".to_owned()))?;
        let builder = ClientBuilder::from_uri(uri)
            .limits(Limits::default().max_payload_len(Some(MAX_MESSAGE)))
            .config(Config::default().frame_size(MAX_MESSAGE));
        let upgraded = builder.connect_on(tls).await;
        let (socket, _) = upgraded.map_err(|error| {
            use tokio_websockets::Error;
            let mut status = None;
            if let Error::Upgrade(upgrade::Error::DidNotSwitchProtocols(other)) = error {
                status = Some(other);
            }
            if let Error::Io(error) = &error
                && error.kind() != io::ErrorKind::UnexpectedEof
            {
                return Refusal::Final(StreamError::Lost(error.to_string()));
            }
            Refusal::Final(StreamError::NoRelay { port, status })
        })?;
        Ok(socket)
    }

    /// Gives the stream an address, and carries its datagrams until it ends or is dropped.
    fn open(
        &self,
        socket: WebSocketStream<TlsStream<TcpStream>>,
        to: Target<'_>,
        proxy: Option<&Proxy>,
    ) -> Stream {
        let carrier = self.mux.add_carrier(SocketAddr::new(to.ip, to.port));
        let shared = Arc::new(Shared::default());
        let stream = Stream {
            over: Over::Tcp {
                stream: carrier.addr,
                port: to.port,
                proxy: proxy.map(ToString::to_string),
            },
            dialled_at: carrier.dialled_at(),
            shared: shared.clone(),
        };
        let mux = self.mux.clone();
        #[expect(
            clippy::disallowed_methods,
            reason = "it owns the stream and ends with it, or when its handle is dropped"
        )]
        tokio::spawn(async move { run(&mux, carrier, socket, &shared).await });
        stream
    }
}

async fn run(
    mux: &Mux,
    carrier: mux::Carrier,
    socket: WebSocketStream<TlsStream<TcpStream>>,
    shared: &Shared,
) {
    let take = |datagrams: peerway_carrier::Datagrams| {
        datagrams.for_each(|datagram| mux.take_from_carrier(carrier.addr, datagram));
    };
    let leave = async {
        shared.dropped.notified().await;
        sleep(GOODBYE).await;
        carrier.outbox.close();
        std::future::pending::<()>().await;
    };
    let ended = tokio::select! {
        ended = carry(socket, &carrier.outbox, Side::Client, take) => ended,
        () = leave => Ok(()),
    };
    let why = ended.map_or_else(|error| error.to_string(), |()| "it was closed".to_owned());
    tracing::debug!(%why, "a stream to a relay ended");
    mux.remove_carrier(&carrier);
    *shared.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    shared.over.notify_one();
}

/// A stream to a relay. It ends soon after this is dropped.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) over: Over,
    /// Where quinn dials the relay.
    pub(super) dialled_at: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    dropped: Notify,
    over: Notify,
    ended: Mutex<Option<String>>,
}

impl Stream {
    /// Waits for its end.
    pub(super) async fn ended(&self) -> StreamError {
        loop {
            let ended = self
                .shared
                .ended
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            if let Some(why) = ended {
                return StreamError::Lost(why);
            }
            self.shared.over.notified().await;
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.dropped.notify_one();
    }
}

/// Why a connection did not become a WebSocket.
enum Refusal {
    /// Whoever ends TLS there knows nothing of raw keys.
    NoKey,
    Final(StreamError),
}

/// To the relay from our address `from` if the node was given one, or to the proxy, wherever that is.
async fn connect(
    from: Option<IpAddr>,
    to: Target<'_>,
    proxy: Option<&Proxy>,
) -> Result<TcpStream, Refusal> {
    let failed = |source: io::Error| {
        let source = Arc::new(source);
        Refusal::Final(StreamError::Connect {
            port: to.port,
            source,
        })
    };
    let tcp = match proxy {
        None => tcp::connect(from, (to.ip, to.port).into())
            .await
            .map_err(failed)?,
        Some(proxy) => proxy.connect(to).await.map_err(|trouble| {
            Refusal::Final(StreamError::Proxy {
                proxy: proxy.to_string(),
                trouble,
            })
        })?,
    };
    prepare(&tcp, UNSENT).map_err(failed)?;
    Ok(tcp)
}

/// Whether the other end of TLS takes no part in raw keys, rather than showing a wrong one.
fn shows_no_key(error: &io::Error) -> bool {
    let tls = error
        .get_ref()
        .and_then(|error| error.downcast_ref::<rustls::Error>());
    tls.is_some_and(|error| {
        !matches!(
            error,
            rustls::Error::InvalidCertificate(rustls::CertificateError::NotValidForName)
        )
    })
}

/// Where packets to this address leave from.
pub(super) async fn whereabouts(to: SocketAddr) -> Option<Whereabouts> {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await.ok()?;
    socket.connect(to).await.ok()?;
    Some(Whereabouts::of(socket.local_addr().ok()?.ip()))
}

impl From<StreamError> for RelayError {
    fn from(error: StreamError) -> Self {
        Self::Stream(Arc::new(error))
    }
}

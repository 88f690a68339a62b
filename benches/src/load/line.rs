//! What carries a client's datagrams to the relay: a UDP socket, or a WebSocket in TLS.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::pin,
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use peerway::tls;
use peerway_carrier::{MAX_MESSAGE, Outbox, PATH, Side, UNSENT, carry, prepare};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    net::{TcpSocket, UdpSocket},
    sync::{Notify, mpsc},
    task::JoinSet,
};
use tokio_rustls::TlsConnector;
use tokio_websockets::{ClientBuilder, Config, Limits};

use super::target::At;
use crate::Failure;

/// Longest datagram of a client or relay.
const LONGEST: usize = 1500;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Carrier {
    Udp,
    Tcp,
}

pub(super) enum Line {
    Udp(UdpSocket),
    Tcp {
        outbox: Arc<Outbox>,
        incoming: mpsc::UnboundedReceiver<Bytes>,
        /// From now on nothing is read.
        deaf: Arc<Notify>,
        /// Carries as long as the line lives.
        _carrying: JoinSet<()>,
    },
}

impl Line {
    pub(super) async fn open(carrier: Carrier, from: Ipv4Addr, relay: At) -> Result<Self, Failure> {
        match carrier {
            Carrier::Udp => {
                let socket = UdpSocket::bind((from, 0)).await?;
                socket.connect(relay.addr).await?;
                // Or the first datagram would be lost.
                socket.writable().await?;
                Ok(Self::Udp(socket))
            }
            Carrier::Tcp => Self::over_tcp(from, relay).await,
        }
    }

    async fn over_tcp(from: Ipv4Addr, relay: At) -> Result<Self, Failure> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((from, 0)))?;
        let tcp = socket.connect(relay.addr).await?;
        prepare(&tcp, UNSENT)?;
        let name = ServerName::try_from(tls::server_name(relay.key))?;
        let tls = TlsConnector::from(tls_config()?).connect(name, tcp).await?;
        let builder = ClientBuilder::from_uri(format!("ws://relay{PATH}").parse()?)
            .limits(Limits::default().max_payload_len(Some(MAX_MESSAGE)))
            .config(Config::default().frame_size(MAX_MESSAGE));
        let (web, _) = builder.connect_on(tls).await?;
        let outbox = Arc::new(Outbox::default());
        let (taken, incoming) = mpsc::unbounded_channel();
        let mut carrying = JoinSet::new();
        let (leaving, deaf) = (outbox.clone(), Arc::new(Notify::new()));
        let turned_deaf = deaf.clone();
        carrying.spawn(async move {
            let take = |datagrams: peerway_carrier::Datagrams| {
                datagrams.for_each(|datagram| drop(taken.send(datagram)));
            };
            let mut carrying = pin!(carry(web, &leaving, Side::Client, take));
            tokio::select! {
                _ = &mut carrying => {}
                // The connection stays.
                () = turned_deaf.notified() => std::future::pending().await,
            }
        });
        Ok(Self::Tcp {
            outbox,
            incoming,
            deaf,
            _carrying: carrying,
        })
    }

    /// Sends a datagram, or loses it.
    pub(super) fn send(&self, datagram: &[u8]) {
        match self {
            Self::Udp(socket) => drop(socket.try_send(datagram)),
            Self::Tcp { outbox, .. } => outbox.push(std::iter::once(datagram)),
        }
    }

    /// Reads nothing any more that comes by TCP, and keeps the connection.
    pub(super) fn turn_deaf(&self) {
        match self {
            Self::Udp(_) => {}
            Self::Tcp { deaf, .. } => deaf.notify_one(),
        }
    }

    /// Waits for the next datagram. Nothing is lost if the future is dropped.
    pub(super) async fn receive(&mut self) -> io::Result<BytesMut> {
        match self {
            Self::Udp(socket) => loop {
                let mut bytes = BytesMut::with_capacity(LONGEST);
                match socket.recv_buf(&mut bytes).await {
                    Ok(_) => return Ok(bytes),
                    // The relay is gone, or its queue is full: QUIC finds out.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                    Err(error) => return Err(error),
                }
            },
            Self::Tcp { incoming, .. } => {
                let datagram = incoming.recv().await;
                datagram
                    .map(BytesMut::from)
                    .ok_or_else(|| io::ErrorKind::ConnectionAborted.into())
            }
        }
    }
}

/// One for all, as it takes long to make.
fn tls_config() -> Result<Arc<ClientConfig>, Failure> {
    static CONFIG: std::sync::OnceLock<Arc<ClientConfig>> = std::sync::OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(config.clone());
    }
    let config = Arc::new(tls::web::pinned_client()?);
    Ok(CONFIG.get_or_init(|| config).clone())
}

//! TLS over TCP straight to a peer, for networks that drop UDP.
//!
//! Both sides prove their keys in the TLS handshake, as in QUIC; afterwards the connection carries [frames](crate::wire::tcp), each
//! with the datagram that UDP would have carried. QUIC packets stay sealed between the peers inside.
//!
//! A stranger can learn that somebody listens, as TCP answers whoever knocks; beyond that there is a TLS handshake with bounds on
//! its number, time and bytes, and nothing else before the key is known to be one that we let in.

mod carry;
mod connections;
mod listen;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use peerway_carrier::prepare;
use rustls::{ClientConfig, ServerConfig, client::Resumption, pki_types::ServerName};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

pub(crate) use self::connections::{Connections, Offer, TcpDialled};
use self::{carry::carry, listen::Listener};
use crate::{PeerId, SecretKey, tls};

/// Names the protocol inside of TLS.
const ALPN: &[u8] = b"peerway-direct/1";
/// For TCP and TLS together, on either side.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Bytes that the kernel may hold unsent: what waits for longer is better dropped, so that QUIC sees how much the way carries.
const UNSENT: u32 = 64 * 1024;

/// Makes both ends of streams, with the node's key.
#[derive(Clone)]
pub(crate) struct Tls {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

/// A stream whose other end holds the peer's key.
pub(crate) struct Established {
    pub(crate) peer: PeerId,
    pub(crate) addr: SocketAddr,
    tls: TlsStream<TcpStream>,
}

impl Tls {
    /// # Errors
    /// rustls' error, if it refuses the key.
    pub(crate) fn new(key: &SecretKey) -> Result<Self, rustls::Error> {
        let mut client = tls::raw_client(key, ALPN)?;
        client.resumption = Resumption::disabled();
        let mut server = tls::raw_server(key, &[ALPN.to_vec()])?;
        server.send_tls13_tickets = 0;
        Ok(Self {
            client: Arc::new(client),
            server: Arc::new(server),
        })
    }

    /// Dials the peer, from our address `from` if the node was given one.
    ///
    /// # Errors
    /// The system's, or TLS' if somebody else answers; within 10 s.
    pub(crate) async fn dial(
        self,
        peer: PeerId,
        from: Option<IpAddr>,
        addr: SocketAddr,
    ) -> io::Result<Established> {
        let dialled = timeout(HANDSHAKE, async {
            let tcp = connect(from, addr).await?;
            prepare(&tcp, UNSENT)?;
            let name = ServerName::try_from(tls::server_name(peer)).map_err(io::Error::other)?;
            TlsConnector::from(self.client).connect(name, tcp).await
        });
        let tls = dialled.await??;
        Established::new(tls.into(), addr)
    }

    /// Takes whoever knocks.
    async fn accept(self, tcp: TcpStream, addr: SocketAddr) -> io::Result<Established> {
        prepare(&tcp, UNSENT)?;
        let tls = timeout(HANDSHAKE, TlsAcceptor::from(self.server).accept(tcp)).await??;
        Established::new(tls.into(), addr)
    }
}

impl Established {
    fn new(tls: TlsStream<TcpStream>, addr: SocketAddr) -> io::Result<Self> {
        let (_, session) = tls.get_ref();
        let agreed = session.alpn_protocol() == Some(ALPN);
        let key = session.peer_certificates().and_then(tls::raw_peer_id);
        let peer = key.filter(|_| agreed).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { peer, addr, tls })
    }
}

/// A connection to `to`, from our address `from` if one is given.
pub(crate) async fn connect(from: Option<IpAddr>, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = match to {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    if let Some(from) = from {
        socket.bind((from, 0).into())?;
    }
    socket.connect(to).await
}

#[cfg(test)]
mod tests;

//! The yardstick: quinn on plain UDP sockets, set up as Peerway sets it up.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use peerway::{PeerId, SecretKey, tls};
use quinn::{
    ClientConfig, Endpoint, EndpointConfig, MtuDiscoveryConfig, RecvStream, SendStream,
    ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use socket2::SockRef;

use crate::{Ends, Failure};

const ALPN: &[u8] = b"bench";
/// Makes the stream known to the receiver.
const HELLO: &[u8] = b"hello";
const SOCKET_BUFFER: usize = 4 << 20;

/// One stream between two endpoints.
pub struct QuinnPair {
    /// Where the dialling endpoint sends.
    pub sender: SendStream,
    /// Where the other one reads.
    pub receiver: RecvStream,
    /// Both endpoints, the dialling one first.
    pub endpoints: [Endpoint; 2],
}

/// Connects two new endpoints, one at each end.
///
/// # Errors
/// Whatever keeps them from connecting.
pub async fn connect(ends: &Ends) -> Result<QuinnPair, Failure> {
    connect_through(ends, async |addr| Ok(addr)).await
}

/// Connects two new endpoints, one at each end, of which the dialling one knows the other by what `way` makes of its address.
///
/// # Errors
/// Whatever keeps them from connecting.
pub async fn connect_through(
    ends: &Ends,
    way: impl AsyncFnOnce(SocketAddr) -> Result<SocketAddr, Failure>,
) -> Result<QuinnPair, Failure> {
    let key = SecretKey::generate()?;
    let id = key.id();
    let server = ends
        .receiving
        .spawn(listen(ends.receiving.addr, key))
        .await??;
    let addr = way(server.local_addr()?).await?;
    let dialling = ends.sending.spawn(dial(ends.sending.addr, addr, id));
    let accepting = ends.receiving.spawn(accept(server));
    let (client, sender) = dialling.await??;
    let (server, receiver) = accepting.await??;
    Ok(QuinnPair {
        sender,
        receiver,
        endpoints: [client, server],
    })
}

#[expect(clippy::unused_async, reason = "quinn starts a task")]
async fn listen(addr: IpAddr, key: SecretKey) -> Result<Endpoint, Failure> {
    let tls = tls::server_config(&key, &[ALPN.to_vec()])?;
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
    config.transport_config(Arc::new(transport()));
    endpoint(addr, Some(config))
}

async fn dial(
    from: IpAddr,
    addr: SocketAddr,
    id: PeerId,
) -> Result<(Endpoint, SendStream), Failure> {
    let tls = tls::client_config(&SecretKey::generate()?, ALPN)?;
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::new(transport()));
    let client = endpoint(from, None)?;
    let name = tls::server_name(id);
    let connection = client.connect_with(config, addr, &name)?.await?;
    let mut sender = connection.open_uni().await?;
    sender.write_all(HELLO).await?;
    Ok((client, sender))
}

async fn accept(server: Endpoint) -> Result<(Endpoint, RecvStream), Failure> {
    let incoming = server.accept().await.ok_or("the endpoint was closed")?;
    let mut receiver = incoming.await?.accept_uni().await?;
    receiver.read_exact(&mut [0; HELLO.len()]).await?;
    Ok((server, receiver))
}

/// An endpoint with a socket of its own.
///
/// # Errors
/// The system's.
pub fn endpoint(addr: IpAddr, server: Option<ServerConfig>) -> Result<Endpoint, Failure> {
    let socket = UdpSocket::bind(SocketAddr::from((addr, 0)))?;
    let buffers = SockRef::from(&socket);
    buffers.set_recv_buffer_size(SOCKET_BUFFER)?;
    buffers.set_send_buffer_size(SOCKET_BUFFER)?;
    let config = EndpointConfig::default();
    Ok(Endpoint::new(
        config,
        server,
        socket,
        Arc::new(TokioRuntime),
    )?)
}

/// The values of `core/src/net/transport.rs`, with plain Cubic.
#[must_use]
pub fn transport() -> TransportConfig {
    let mut mtu_discovery = MtuDiscoveryConfig::default();
    mtu_discovery
        .upper_bound(1444)
        .interval(Duration::from_secs(30))
        .black_hole_cooldown(Duration::from_secs(10));
    let mut config = TransportConfig::default();
    config
        .mtu_discovery_config(Some(mtu_discovery))
        .max_idle_timeout(Some(VarInt::from_u32(180_000).into()))
        .keep_alive_interval(Some(Duration::from_secs(80)))
        .initial_rtt(Duration::from_millis(50))
        .stream_receive_window(VarInt::from_u32(2_500_000))
        .receive_window(VarInt::from_u32(10_000_000))
        .send_window(10_000_000);
    config
}

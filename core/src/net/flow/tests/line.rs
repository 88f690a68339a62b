//! Two ends and a line between them that holds every packet back for a while.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use quinn::{ClientConfig, Endpoint, EndpointConfig, ServerConfig, Side, TokioRuntime};
use tokio::{
    net::UdpSocket,
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{
    Connection, LinkStatus, PeerState, SecretKey,
    net::{congestion::Epoch, flow::NodeMemory, transport::transport_config},
    tls,
};

/// There and back.
pub(super) const ROUND_TRIP: Duration = Duration::from_millis(80);

const ALPN: &[u8] = b"test";

pub(super) struct LinePair {
    pub(super) client: Connection,
    pub(super) server: Connection,
    _endpoints: [Endpoint; 2],
    _line: JoinSet<()>,
}

impl LinePair {
    pub(super) async fn new() -> Self {
        let keys = [1, 2].map(|seed| SecretKey::from_seed(&[seed; 32]));
        let tls = tls::server_config(&keys[1], &[ALPN.to_vec()]).unwrap();
        let mut config = ServerConfig::with_crypto(Arc::new(tls));
        config.transport_config(Arc::new(transport_config(Epoch::default(), Side::Server)));
        let listening = endpoint(Some(config));
        let dialling = endpoint(None);
        let mut line = JoinSet::new();
        let addr = lay(&mut line, listening.local_addr().unwrap()).await;
        let tls = tls::client_config(&keys[0], ALPN).unwrap();
        let mut config = ClientConfig::new(Arc::new(tls));
        config.transport_config(Arc::new(transport_config(Epoch::default(), Side::Client)));
        let name = tls::server_name(keys[1].id());
        let connecting = dialling.connect_with(config, addr, &name).unwrap();
        let accepting = async { listening.accept().await.unwrap().await };
        let (client, server) = tokio::try_join!(connecting, accepting).unwrap();
        Self {
            client: connection(client),
            server: connection(server),
            _endpoints: [listening, dialling],
            _line: line,
        }
    }
}

fn endpoint(server: Option<ServerConfig>) -> Endpoint {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let buffers = socket2::SockRef::from(&socket);
    buffers.set_recv_buffer_size(4 << 20).unwrap();
    let runtime = Arc::new(TokioRuntime);
    Endpoint::new(EndpointConfig::default(), server, socket, runtime).unwrap()
}

fn connection(quic: quinn::Connection) -> Connection {
    let status = LinkStatus {
        state: PeerState::Direct,
        path: None,
        why: None,
    };
    let peer = tls::peer_id(&quic).unwrap();
    let status = watch::Sender::new(status).subscribe();
    Connection::new(quic, peer, status, NodeMemory::default().link())
}

/// A line to `server`; where its other end is.
async fn lay(line: &mut JoinSet<()>, server: SocketAddr) -> SocketAddr {
    let [near, far] = [socket().await, socket().await];
    let addr = near.local_addr().unwrap();
    let (client, known) = watch::channel(server);
    line.spawn(delay(
        near.clone(),
        client,
        far.clone(),
        watch::channel(server).1,
    ));
    line.spawn(delay(far, watch::channel(server).0, near, known));
    addr
}

async fn socket() -> Arc<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let buffers = socket2::SockRef::from(&socket);
    buffers.set_recv_buffer_size(4 << 20).unwrap();
    Arc::new(socket)
}

/// Sends to `target` what comes in, half a round trip later; `source` is where it came from.
async fn delay(
    from: Arc<UdpSocket>,
    source: watch::Sender<SocketAddr>,
    to: Arc<UdpSocket>,
    target: watch::Receiver<SocketAddr>,
) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let taking = async {
        let mut packet = [0; 2048];
        loop {
            let (len, addr) = from.recv_from(&mut packet).await.unwrap();
            source.send_replace(addr);
            let due = Instant::now() + ROUND_TRIP / 2;
            sender.send((due, packet[..len].to_vec())).unwrap();
        }
    };
    let giving = async {
        while let Some((due, packet)) = receiver.recv().await {
            sleep_until(due).await;
            let target = *target.borrow();
            to.send_to(&packet, target).await.unwrap();
        }
    };
    tokio::join!(taking, giving);
}

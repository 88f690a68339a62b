//! A running relay, and clients of it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering::Relaxed},
    },
    time::Duration,
};

use peerway::{
    PeerId, RelayUrl, SecretKey, tls,
    wire::{
        lane::Channel,
        relay::{ALPN, Frame, FrameReader, MAX_BODY, Payload, ToClient, ToRelay, VERSION},
    },
};
use peerway_relay::{Config, Limits, Relay};
use quinn::{
    AsyncUdpSocket, ClientConfig, Connection, ConnectionError, Endpoint, EndpointConfig, Runtime,
};
use tokio::{net::UdpSocket, task::JoinHandle, time::timeout};

/// Far more than anything here takes, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Long enough for a wrong answer to arrive.
pub(crate) const SILENCE: Duration = Duration::from_millis(300);

pub(crate) const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// An address for what comes and goes: of this process alone, and at a port that the system gives to nobody.
pub(crate) fn own_addr() -> SocketAddr {
    static NEXT_PORT: AtomicU16 = AtomicU16::new(10_000);
    let [_, a, b, c] = std::process::id().to_be_bytes();
    SocketAddr::from(([127, 64 | a, b, c], NEXT_PORT.fetch_add(1, Relaxed)))
}

pub(crate) fn secret(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

pub(crate) fn id(seed: u8) -> PeerId {
    secret(seed).id()
}

pub(crate) fn payload(bytes: &[u8]) -> Payload {
    bytes.to_vec().try_into().unwrap()
}

pub(crate) struct Running {
    pub(crate) relay: Relay,
    pub(crate) addr: SocketAddr,
    serving: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn start() -> Self {
        Self::with(ANY, Limits::default()).await
    }

    pub(crate) async fn with(bind: SocketAddr, limits: Limits) -> Self {
        let mut config = Config::new(bind, secret(200));
        config.limits = limits;
        let relay = Relay::bind(config).await.unwrap();
        let addr = relay.local_addr().unwrap();
        let serving = relay.clone();
        #[expect(clippy::disallowed_methods, reason = "the relay runs beside the test")]
        let serving = tokio::spawn(async move { serving.run().await });
        Self {
            relay,
            addr,
            serving,
        }
    }

    pub(crate) fn url(&self) -> RelayUrl {
        self.relay.url()
    }

    pub(crate) async fn shutdown(self) {
        self.relay.shutdown().await;
        timeout(PATIENCE, self.serving).await.unwrap().unwrap();
    }
}

/// A client that speaks the protocol word by word, with a second handle on its socket for lane datagrams.
pub(crate) struct Client {
    pub(crate) endpoint: Endpoint,
    pub(crate) connection: Connection,
    pub(crate) send: quinn::SendStream,
    pub(crate) recv: quinn::RecvStream,
    frames: FrameReader<ToClient>,
    relay: SocketAddr,
    key: PeerId,
    tap: Arc<Tap>,
}

impl Client {
    pub(crate) async fn register(relay: &Running, seed: u8) -> Self {
        Self::register_at(relay.addr, relay.url().key(), seed).await
    }

    /// Registers, and takes the WELCOME.
    pub(crate) async fn register_at(relay: SocketAddr, key: PeerId, seed: u8) -> Self {
        let client = Self::connect_to(relay, key, seed, None).await;
        client.hello().await
    }

    /// Registers through something that stands between, so that the relay sees us elsewhere. Returns where.
    pub(crate) async fn register_through(
        between: SocketAddr,
        key: PeerId,
        seed: u8,
    ) -> (Self, SocketAddr) {
        let mut client = Self::connect_to(between, key, seed, None).await;
        client.say(ToRelay::Hello { version: VERSION }).await;
        match client.hear().await {
            ToClient::Welcome { observed, .. } => (client, observed),
            other => panic!("{other:?}"),
        }
    }

    /// Registers without ever taking more than this from the relay unread.
    pub(crate) async fn register_with_window(relay: &Running, seed: u8, window: u32) -> Self {
        let key = relay.url().key();
        let client = Self::connect_to(relay.addr, key, seed, Some(window)).await;
        client.hello().await
    }

    async fn hello(mut self) -> Self {
        self.say(ToRelay::Hello { version: VERSION }).await;
        let welcome = self.hear().await;
        assert!(
            matches!(welcome, ToClient::Welcome { observed, .. } if observed == self.addr()),
            "{welcome:?}"
        );
        self
    }

    pub(crate) async fn connect(relay: &Running, seed: u8) -> Self {
        Self::connect_to(relay.addr, relay.url().key(), seed, None).await
    }

    /// Who is turned away at once may hear of it before it is connected.
    pub(crate) async fn try_connect_at(
        relay: SocketAddr,
        key: PeerId,
        seed: u8,
    ) -> Result<Self, ConnectionError> {
        Self::try_connect_to(relay, key, seed, None).await
    }

    async fn connect_to(relay: SocketAddr, key: PeerId, seed: u8, window: Option<u32>) -> Self {
        let connected = Self::try_connect_to(relay, key, seed, window).await;
        connected.unwrap()
    }

    async fn try_connect_to(
        relay: SocketAddr,
        key: PeerId,
        seed: u8,
        window: Option<u32>,
    ) -> Result<Self, ConnectionError> {
        let tap = Arc::new(Tap::open());
        let mut config = EndpointConfig::default();
        config.grease_quic_bit(false);
        let runtime = Arc::new(quinn::TokioRuntime);
        let endpoint =
            Endpoint::new_with_abstract_socket(config, None, tap.clone(), runtime).unwrap();
        let crypto = tls::client_config(&secret(seed), ALPN).unwrap();
        let mut config = ClientConfig::new(Arc::new(crypto));
        if let Some(window) = window {
            let mut transport = quinn::TransportConfig::default();
            transport.stream_receive_window(window.into());
            config.transport_config(Arc::new(transport));
        }
        let connection = endpoint
            .connect_with(config, relay, &tls::server_name(key))
            .unwrap()
            .await?;
        let (send, recv) = connection.open_bi().await?;
        Ok(Self {
            endpoint,
            connection,
            send,
            recv,
            frames: FrameReader::default(),
            relay,
            key: id(seed),
            tap,
        })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.endpoint.local_addr().unwrap()
    }

    pub(crate) async fn say(&mut self, frame: ToRelay) {
        let mut bytes = Vec::new();
        frame.emit(&mut bytes);
        self.send.write_all(&bytes).await.unwrap();
    }

    pub(crate) async fn signal(&mut self, to: u8, bytes: &[u8]) {
        let payload = payload(bytes);
        self.say(ToRelay::Signal {
            to: id(to),
            hidden: false,
            payload,
        })
        .await;
    }

    pub(crate) async fn hear(&mut self) -> ToClient {
        timeout(PATIENCE, async {
            let mut buffer = [0; MAX_BODY];
            loop {
                if let Some(frame) = self.frames.poll().unwrap() {
                    return frame;
                }
                let len = self.recv.read(&mut buffer).await.unwrap().unwrap();
                self.frames.push(&buffer[..len]);
            }
        })
        .await
        .expect("the relay says something")
    }

    /// Sends a lane datagram for the pair of this client and `peer`.
    pub(crate) async fn lane(&self, peer: u8, packet: &[u8]) {
        let datagram = lane_datagram(self.key, id(peer), packet);
        self.tap.raw().send_to(&datagram, self.relay).await.unwrap();
    }

    /// The next lane datagram that came; none within [`SILENCE`].
    pub(crate) async fn hear_lane(&self) -> Option<Vec<u8>> {
        self.tap.next_lane(SILENCE).await
    }

    pub(crate) async fn expect_lane(&self) -> Vec<u8> {
        self.tap.next_lane(PATIENCE).await.expect("a lane datagram")
    }

    /// Goes on from another port, as behind a NAT that forgot us.
    pub(crate) fn move_away(&mut self) {
        let tap = Arc::new(Tap::open());
        self.endpoint.rebind_abstract(tap.clone()).unwrap();
        self.tap = tap;
    }
}

/// A datagram as a peer sends it on the lane; `packet` begins like a QUIC packet.
pub(crate) fn lane_datagram(from: PeerId, to: PeerId, packet: &[u8]) -> Vec<u8> {
    let mut datagram = Channel::between(from, to).header().to_vec();
    datagram.push(0x40);
    datagram.extend_from_slice(packet);
    datagram
}

/// quinn's own socket, with lane datagrams diverted.
#[derive(Debug)]
pub(crate) struct Tap {
    inner: Arc<dyn AsyncUdpSocket>,
    raw: UdpSocket,
    lane: tokio::sync::Mutex<tokio::sync::mpsc::UnboundedReceiver<Vec<u8>>>,
    divert: tokio::sync::mpsc::UnboundedSender<Vec<u8>>,
}

impl Tap {
    fn open() -> Self {
        let socket = std::net::UdpSocket::bind(ANY).unwrap();
        socket.set_nonblocking(true).unwrap();
        let raw = UdpSocket::from_std(socket.try_clone().unwrap()).unwrap();
        let inner = quinn::TokioRuntime.wrap_udp_socket(socket).unwrap();
        let (divert, lane) = tokio::sync::mpsc::unbounded_channel();
        Self {
            inner,
            raw,
            lane: lane.into(),
            divert,
        }
    }

    fn raw(&self) -> &UdpSocket {
        &self.raw
    }

    async fn next_lane(&self, within: Duration) -> Option<Vec<u8>> {
        let mut lane = self.lane.lock().await;
        timeout(within, lane.recv()).await.ok().flatten()
    }
}

impl AsyncUdpSocket for Tap {
    fn create_io_poller(self: Arc<Self>) -> std::pin::Pin<Box<dyn quinn::UdpPoller>> {
        self.inner.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &quinn::udp::Transmit<'_>) -> std::io::Result<()> {
        self.inner.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut std::task::Context<'_>,
        bufs: &mut [std::io::IoSliceMut<'_>],
        metas: &mut [quinn::udp::RecvMeta],
    ) -> std::task::Poll<std::io::Result<usize>> {
        let received = std::task::ready!(self.inner.poll_recv(cx, bufs, metas))?;
        for (buf, meta) in bufs.iter().zip(metas.iter_mut()).take(received) {
            if buf.first() == Some(&peerway::wire::first_byte::LANE) {
                for datagram in buf[..meta.len].chunks(meta.stride) {
                    let _ = self.divert.send(datagram.to_vec());
                }
                meta.len = 0;
            }
        }
        std::task::Poll::Ready(Ok(received))
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }
}

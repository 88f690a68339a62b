//! What strangers get from a node's port, and from a relay's: nothing. Whatever they send leaves no trace either.

#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking and is its own shell"
)]

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use blake2::{
    Blake2s256, Blake2sMac, Digest,
    digest::{Mac, consts::U16},
};
use peerway::{
    Endpoint, Event, EventKind, PeerId, SecretKey, stun, tls,
    wire::{VERSION, datagram::DatagramKind, first_byte, intro, probe, sealed},
};
use peerway_relay::{Config, Relay};
use rand::{Rng, RngCore, SeedableRng, rngs::StdRng};
use tokio::{sync::Mutex, task::block_in_place, time::timeout};

const ALPN: &[u8] = b"test/1";
const PATIENCE: Duration = Duration::from_secs(30);
/// How long an answer may take that is not to come.
const SILENCE: Duration = Duration::from_millis(200);

const WARM_UP: usize = 50_000;
const DATAGRAMS: usize = 1_000_000;
const INITIALS: usize = 10_000;
/// Each costs the receiver a key exchange, which is slow in a debug build.
const INTROS: usize = 1_000;
/// What the allocator may do on its own.
const GROWTH: usize = 4 << 20;

/// Memory is counted per process, so one test runs at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_answers_no_stranger_keeps_nothing_of_them_and_stays_reachable() {
    let _alone = ALONE.lock().await;
    let relay = relay().await;
    let node = node(&relay).await;
    let mut events = node.events();
    let target = node.snapshot().network.public_v4.unwrap();
    let mut crowd = Crowd::around(target);
    let initials = capture_initials(node.id()).await;

    block_in_place(|| crowd.send_garbage(WARM_UP));
    let before = resident_bytes();
    block_in_place(|| {
        crowd.send_garbage(DATAGRAMS);
        crowd.send_any_of(&initials, INITIALS);
        crowd.send_intros(node.id(), INTROS);
        crowd.send_any_of(&[stun::binding_request([7; 12], false)], INTROS);
    });
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH, "{grown} bytes");
    let dial = quic_client().connect_with(quic_config(), target, &tls::server_name(node.id()));
    assert_eq!(
        dial.unwrap().await.unwrap_err(),
        quinn::ConnectionError::TimedOut
    );

    let is_counted = || node.snapshot().strangers > (DATAGRAMS / 2 + INITIALS) as u64;
    // Where the machine is busy, the kernel drops what the socket has no room for.
    block_in_place(|| {
        let mut batches = 1000;
        while !is_counted() && batches > 0 {
            crowd.send_garbage(DATAGRAMS / 1000);
            batches -= 1;
        }
    });
    assert!(is_counted());
    assert_eq!(node.snapshot().peers, []);
    while let Ok(Event { kind, .. }) = events.try_recv() {
        assert!(!matches!(kind, EventKind::RelayDown { .. }), "{kind:?}");
    }
    let friend = self::node(&relay).await;
    let (out, incoming) = tokio::join!(friend.connect(node.ticket(), ALPN), node.accept());
    assert_eq!(out.unwrap().peer(), node.id());
    assert_eq!(incoming.unwrap().peer(), friend.id());
    assert_eq!(crowd.heard(), Vec::<Vec<u8>>::new());
    friend.close().await;
    node.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_answers_stun_and_quic_handshakes_and_nothing_else() {
    let _alone = ALONE.lock().await;
    let relay = relay().await;
    let mut crowd = Crowd::around(relay.local_addr().unwrap());

    block_in_place(|| crowd.send_garbage(WARM_UP));
    let before = resident_bytes();
    block_in_place(|| {
        crowd.send_garbage(DATAGRAMS);
        crowd.send_intros(relay.url().key(), INTROS);
    });
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH, "{grown} bytes");
    assert_eq!(crowd.heard(), Vec::<Vec<u8>>::new());

    let request = stun::binding_request([7; 12], false);
    let answers = crowd.answers_to(&[request]);
    let [answer] = &answers[..] else {
        panic!("one answer to a request, not {}", answers.len());
    };
    assert_eq!(stun::parse_response(answer).unwrap().tx, [7; 12]);

    let mut answered = 0;
    for _ in 0..10 {
        let flight = capture_flight(relay.url().key()).await;
        let answers = crowd.answers_to(&flight);
        assert!(
            answers
                .iter()
                .all(|answer| DatagramKind::of(answer) == Some(DatagramKind::Quic))
        );
        let len: usize = answers.iter().map(Vec::len).sum();
        let limit = 3 * flight.iter().map(Vec::len).sum::<usize>();
        assert!(len <= limit, "{len} bytes to an unproven address");
        answered += len;
    }
    assert!(answered > 0);
    let node = node(&relay).await;
    node.close().await;
}

async fn relay() -> Relay {
    let key = SecretKey::generate().unwrap();
    let relay = Relay::bind(Config::new("127.0.0.1:0".parse().unwrap(), key));
    let relay = relay.await.unwrap();
    let running = relay.clone();
    tokio::spawn(async move { running.run().await });
    relay
}

/// A node that the relay knows.
async fn node(relay: &Relay) -> Endpoint {
    let node = Endpoint::builder()
        .relays([relay.url()])
        .alpns([ALPN])
        .port_mapping(false)
        .bind()
        .await
        .unwrap();
    timeout(PATIENCE, node.online()).await.unwrap().unwrap();
    let mut snapshots = node.snapshots();
    let seen = snapshots.wait_for(|snapshot| snapshot.network.public_v4.is_some());
    timeout(PATIENCE, seen).await.unwrap().unwrap();
    node
}

/// Sockets that nobody has invited.
struct Crowd {
    sockets: Vec<UdpSocket>,
    target: SocketAddr,
    rng: StdRng,
    /// Random bytes, made once: a million times 1,500 take long in a debug build.
    noise: Vec<u8>,
}

impl Crowd {
    fn around(target: SocketAddr) -> Self {
        let socket = |_| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        };
        let mut rng = StdRng::seed_from_u64(2);
        let mut noise = vec![0; 1 << 20];
        rng.fill_bytes(&mut noise);
        Self {
            sockets: (0..16).map(socket).collect(),
            target,
            rng,
            noise,
        }
    }

    fn send_garbage(&mut self, count: usize) {
        self.send(count, Self::garbage);
    }

    fn send_any_of(&mut self, datagrams: &[Vec<u8>], count: usize) {
        self.send(count, |crowd| {
            datagrams[crowd.rng.random_range(..datagrams.len())].clone()
        });
    }

    /// INTROs that pass the first check and are not for this key, or not from anybody.
    fn send_intros(&mut self, receiver: PeerId, count: usize) {
        let key = Blake2s256::new()
            .chain_update(b"peerway mac1")
            .chain_update(receiver.as_bytes())
            .finalize();
        self.send(count, |crowd| {
            let mut packet = crowd.noise(intro::PACKET_LEN);
            packet[..2].copy_from_slice(&[first_byte::INTRO, VERSION]);
            let (covered, mac1) = packet.split_at_mut(intro::PACKET_LEN - intro::MAC_LEN);
            let mac = <Blake2sMac<U16> as Mac>::new_from_slice(&key).unwrap();
            mac1.copy_from_slice(&mac.chain_update(covered).finalize().into_bytes());
            packet
        });
    }

    /// Sends as fast as the receiver reads, and returns when it has read everything.
    fn send(&mut self, count: usize, mut make: impl FnMut(&mut Self) -> Vec<u8>) {
        /// Half of what the receive buffer holds of the largest datagrams.
        const BURST: usize = 512;
        for sent in 0..count {
            if sent % BURST == 0 {
                self.wait_until_read();
            }
            let datagram = make(self);
            let from = self.rng.random_range(..self.sockets.len());
            self.sockets[from].send_to(&datagram, self.target).unwrap();
        }
        self.wait_until_read();
    }

    /// A datagram of random bytes, often one that begins and measures like a real one.
    fn garbage(&mut self) -> Vec<u8> {
        let any_len: usize = self.rng.random_range(..=1500);
        match self.rng.random_range(..9_u8) {
            0 => self.like(&[first_byte::INTRO, VERSION], intro::PACKET_LEN),
            1 => self.like(&[first_byte::INTRO_ACK, VERSION], intro::PACKET_LEN),
            2 => self.like(&[first_byte::PROBE], probe::PACKET_LEN),
            3 => self.like(&[first_byte::SEALED], any_len.min(sealed::MAX_LEN)),
            4 => self.like(&[first_byte::LANE], any_len),
            5 => {
                let body = any_len.min(1200) / 4 * 4;
                let [high, low] = (body as u16).to_be_bytes();
                // No method that anybody serves: not a Binding request, which a relay does answer.
                let head = [1, 2, high, low, 0x21, 0x12, 0xa4, 0x42];
                self.like(&head, 20 + body)
            }
            6 => self.like(&[0xc3, 0, 0, 0, 1, 8], any_len.max(1200)),
            7 => self.like(&[0x40], any_len),
            _ => self.noise(any_len),
        }
    }

    fn like(&mut self, head: &[u8], len: usize) -> Vec<u8> {
        let mut datagram = self.noise(len.max(head.len()));
        datagram[..head.len()].copy_from_slice(head);
        datagram
    }

    fn noise(&mut self, len: usize) -> Vec<u8> {
        let start = self.rng.random_range(..self.noise.len() - len);
        self.noise[start..start + len].to_vec()
    }

    fn wait_until_read(&self) {
        while waiting_bytes(self.target) > 0 {
            std::thread::yield_now();
        }
    }

    /// What came back to any of the sockets.
    fn heard(&self) -> Vec<Vec<u8>> {
        self.sockets.iter().flat_map(received).collect()
    }

    /// What comes back to a socket of its own.
    fn answers_to(&self, datagrams: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(SILENCE)).unwrap();
        for datagram in datagrams {
            socket.send_to(datagram, self.target).unwrap();
        }
        block_in_place(|| received(&socket))
    }
}

/// Everything that the socket has, or gets before it loses patience.
fn received(socket: &UdpSocket) -> Vec<Vec<u8>> {
    let mut buffer = [0; 2048];
    std::iter::from_fn(|| {
        let len = socket.recv(&mut buffer).ok()?;
        Some(buffer[..len].to_vec())
    })
    .collect()
}

/// Initials as quinn makes them for somebody who dials `id` without a handshake of ours.
async fn capture_initials(id: PeerId) -> Vec<Vec<u8>> {
    const DIALS: usize = 50;
    let mut initials = Vec::new();
    for _ in 0..DIALS {
        initials.extend(capture_flight(id).await);
    }
    initials
}

/// The first flight of a dial: a ClientHello that takes two Initials, for its post-quantum key.
async fn capture_flight(id: PeerId) -> [Vec<u8>; 2] {
    let trap = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let addr = trap.local_addr().unwrap();
    let client = quic_client();
    let dial = client.connect_with(quic_config(), addr, &tls::server_name(id));
    let mut flight = [vec![0; 2048], vec![0; 2048]];
    for initial in &mut flight {
        let len = timeout(PATIENCE, trap.recv(initial)).await.unwrap();
        initial.truncate(len.unwrap());
    }
    drop(dial);
    flight
}

fn quic_client() -> quinn::Endpoint {
    quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap()
}

/// A stranger with a key and patience for a second.
fn quic_config() -> quinn::ClientConfig {
    let key = SecretKey::generate().unwrap();
    let mut transport = quinn::TransportConfig::default();
    transport.max_idle_timeout(Some(quinn::VarInt::from_u32(1_000).into()));
    let mut config = quinn::ClientConfig::new(Arc::new(tls::client_config(&key, ALPN).unwrap()));
    config.transport_config(Arc::new(transport));
    config
}

/// What the kernel holds for the IPv4 socket at this port, which must not have lost any.
fn waiting_bytes(addr: SocketAddr) -> usize {
    // The table comes in pieces. A socket that is closed between two of them, of this test or of any other program, hides another row.
    const READS: usize = 100;
    let (waiting, lost) = (0..READS)
        .find_map(|_| udp_row(addr.port()))
        .expect("a row of the socket");
    assert_eq!(lost, "0", "datagrams were lost");
    usize::from_str_radix(&waiting, 16).unwrap()
}

/// Of the kernel's row of the IPv4 socket at this port: what waits to be read, in hexadecimal bytes, and how many datagrams were lost.
fn udp_row(port: u16) -> Option<(String, String)> {
    let table = fs::read_to_string("/proc/thread-self/net/udp").unwrap();
    let port = format!(":{port:04X}");
    let row: Vec<&str> = table
        .lines()
        .map(|row| row.split_whitespace().collect::<Vec<_>>())
        .find(|row| row[1].ends_with(&port))?;
    let (_, waiting) = row[4].split_once(':')?;
    Some((waiting.to_owned(), (*row.last()?).to_owned()))
}

fn resident_bytes() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    let resident: usize = pages.split(' ').nth(1).unwrap().parse().unwrap();
    resident * 4096
}

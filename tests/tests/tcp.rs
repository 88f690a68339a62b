//! Homes whose network drops UDP reach public peers directly all the same, over TCP; real kernel NATs.
#![cfg(target_os = "linux")]
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is all test code"
)]

use std::time::{Duration, Instant};

use blake2::{Blake2s256, Digest};
use peerway::{Connection, Endpoint, LinkStatus, PathInfo, SecretKey};
use peerway_lab::{self as lab, Fault, Home, Lab, Line, NatKind};
use rand::{RngCore, SeedableRng, rngs::StdRng};
use tokio::{sync::mpsc, time::timeout};

const ALPN: &[u8] = b"tcp/1";
const BUDGET: Duration = Duration::from_secs(300);
const PATIENCE: Duration = Duration::from_secs(60);
/// 80 ms between homes.
const FAR: Line = Line::delayed(Duration::from_millis(20));
const CARGO: usize = 16 << 20;

#[test]
fn a_home_without_udp_exchanges_16_mib_with_a_public_peer_directly() {
    lab::test(BUDGET, |mut lab| {
        let pair = HostPair::new(&mut lab, NatKind::Blocked);
        let start = Instant::now();
        let (dialled, accepted) = pair.connect();
        pair.settle_on(&dialled, true);
        pair.settle_on(&accepted, true);
        println!("direct over TCP after {:?}", start.elapsed());
        let start = Instant::now();
        pair.exchange(&dialled, &accepted);
        println!("16 MiB each way in {:?}", start.elapsed());
        pair.close();
    });
}

#[test]
fn a_link_moves_to_udp_when_that_is_let_through_and_back_when_it_is_not() {
    lab::test(BUDGET, |mut lab| {
        let pair = HostPair::new(&mut lab, NatKind::PortRestricted);
        lab.begin(Fault::NoUdp(&pair.home)).unwrap();
        let (dialled, accepted) = pair.connect();
        pair.settle_on(&dialled, true);
        let flow = pair.flow(&dialled, &accepted);
        for (udp, to) in [(true, "UDP"), (false, "TCP"), (true, "UDP")] {
            let start = Instant::now();
            if udp {
                lab.end(Fault::NoUdp(&pair.home)).unwrap();
            } else {
                lab.begin(Fault::NoUdp(&pair.home)).unwrap();
            }
            pair.settle_on(&dialled, !udp);
            pair.settle_on(&accepted, !udp);
            println!(
                "on {to} after {:?}, longest gap {:?}",
                start.elapsed(),
                flow.longest_gap()
            );
        }
        let start = Instant::now();
        pair.exchange(&dialled, &accepted);
        println!("16 MiB each way over UDP in {:?}", start.elapsed());
        pair.close();
    });
}

#[test]
fn a_home_that_wants_no_tcp_gets_none() {
    lab::test(BUDGET, |mut lab| {
        let server = lab.home_on("server", NatKind::Public, FAR).unwrap();
        let home = lab.home_on("home", NatKind::Blocked, FAR).unwrap();
        let (to, from) = (node(&server, true), node(&home, false));
        let dialled = home.block_on(from.connect(to.ticket(), ALPN));
        assert!(dialled.is_err());
        assert_eq!(lab.packets_to(server.public_addr()).unwrap(), 0);
    });
}

/// A home that dials, and a public peer.
struct HostPair {
    home: Home,
    server: Home,
    from: Endpoint,
    to: Endpoint,
}

impl HostPair {
    fn new(lab: &mut Lab, kind: NatKind) -> Self {
        let server = lab.home_on("server", NatKind::Public, FAR).unwrap();
        let home = lab.home_on("home", kind, FAR).unwrap();
        let (to, from) = (node(&server, true), node(&home, true));
        Self {
            home,
            server,
            from,
            to,
        }
    }

    fn connect(&self) -> (Connection, Connection) {
        let (from, to, ticket) = (self.from.clone(), self.to.clone(), self.to.ticket());
        let accepted = self.server.spawn(async move { to.accept().await.unwrap() });
        let dialled = self.home.block_on(from.connect(ticket, ALPN)).unwrap();
        (dialled, self.server.block_on(accepted).unwrap())
    }

    /// Waits until the link is direct over TCP, or over UDP.
    fn settle_on(&self, connection: &Connection, by_tcp: bool) {
        let mut path = connection.watch_status();
        let settled = path.wait_for(|status: &LinkStatus| {
            matches!(status.path, Some(PathInfo::Direct { tcp, .. }) if tcp == by_tcp)
        });
        let settled = self
            .home
            .block_on(async { timeout(PATIENCE, settled).await.is_ok() });
        assert!(settled, "{:?}", connection.status());
    }

    /// Sends the cargo both ways and compares the hashes.
    fn exchange(&self, dialled: &Connection, accepted: &Connection) {
        let (a, b) = (dialled.clone(), accepted.clone());
        let there = self.server.spawn(async move {
            let (send, receive) = b.accept_bi().await.unwrap();
            carry(2, send, receive).await
        });
        let here = self.home.block_on(async move {
            let (send, receive) = a.open_bi().await.unwrap();
            carry(1, send, receive).await
        });
        let there = self.server.block_on(there).unwrap();
        assert_eq!((here.sent, there.sent), (there.received, here.received));
    }

    /// Sends something every 20 ms from now on.
    fn flow(&self, dialled: &Connection, accepted: &Connection) -> Flow {
        let (a, b) = (dialled.clone(), accepted.clone());
        self.home.spawn(async move {
            let mut send = a.open_uni().await.unwrap();
            while send.write_all(&[7; 1000]).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let (sender, gaps) = mpsc::unbounded_channel();
        self.server.spawn(async move {
            let mut receive = b.accept_uni().await.unwrap();
            let (mut buffer, mut last) = ([0; 1000], Instant::now());
            while receive.read_exact(&mut buffer).await.is_ok() {
                let gap = last.elapsed();
                last = Instant::now();
                if sender.send(gap).is_err() {
                    return;
                }
            }
        });
        Flow(gaps.into())
    }

    fn close(self) {
        self.home.block_on(self.from.close());
        self.server.block_on(self.to.close());
    }
}

/// The pauses between what arrives.
struct Flow(std::cell::RefCell<mpsc::UnboundedReceiver<Duration>>);

impl Flow {
    /// Since the last time.
    fn longest_gap(&self) -> Duration {
        let mut gaps = self.0.borrow_mut();
        std::iter::from_fn(|| gaps.try_recv().ok())
            .max()
            .unwrap_or_default()
    }
}

struct Hashes {
    sent: Vec<u8>,
    received: Vec<u8>,
}

async fn carry(
    seed: u64,
    mut send: peerway::SendStream,
    mut receive: peerway::RecvStream,
) -> Hashes {
    let mut cargo = vec![0; CARGO];
    StdRng::seed_from_u64(seed).fill_bytes(&mut cargo);
    let sent = Blake2s256::digest(&cargo).to_vec();
    let sending = async {
        send.write_all(&cargo).await.unwrap();
        send.finish().unwrap();
    };
    let (received, ()) = tokio::join!(receive.read_to_end(CARGO), sending);
    Hashes {
        sent,
        received: Blake2s256::digest(received.unwrap()).to_vec(),
    }
}

/// A node that meets others without a relay.
fn node(home: &Home, tcp: bool) -> Endpoint {
    let builder = Endpoint::builder()
        .secret_key(SecretKey::generate().unwrap())
        .alpns([ALPN])
        .port_mapping(false)
        .tcp(tcp);
    home.block_on(builder.bind()).unwrap()
}

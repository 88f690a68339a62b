//! Homes whose network drops UDP meet everybody through a relay over TCP; real kernel NATs.
#![cfg(target_os = "linux")]
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is all test code"
)]

use std::{
    fmt,
    time::{Duration, Instant},
};

use peerway::{
    Carrier, Cause, Connection, Endpoint, LinkStatus, PathInfo, RelaySnapshot, RelayState,
    RelayUrl, Side,
};
use peerway_lab::{self as lab, Fault, Home, Lab, Line, NatKind};
use peerway_tests::pair;
use tokio::time::timeout;

const ALPN: &[u8] = b"tcp443/1";
const BUDGET: Duration = Duration::from_secs(600);
const PATIENCE: Duration = Duration::from_secs(60);
/// 40 ms to the relay and back, 80 ms between homes.
const FAR: Line = Line::delayed(Duration::from_millis(20));
/// Dials of each pair in each role.
const USUAL_RUNS: usize = 1;

#[test]
fn homes_without_udp_meet_everybody() {
    let kinds = [
        NatKind::Public,
        NatKind::FullCone,
        NatKind::AddressRestricted,
        NatKind::PortRestricted,
        NatKind::Symmetric,
        NatKind::DoubleNat,
        NatKind::ShortTimeout,
        NatKind::SymmetricUpnp,
        NatKind::Blocked,
    ];
    lab::test(BUDGET, |mut lab| {
        let relay = pair::relay(&lab);
        let blocked = lab.home_on("blocked", NatKind::Blocked, FAR).unwrap();
        for (at, kind) in kinds.into_iter().enumerate() {
            let other = lab.home_on(&format!("h{at}"), kind, FAR).unwrap();
            for _ in 0..pair::runs(USUAL_RUNS) {
                for (from, to) in [(&blocked, &other), (&other, &blocked)] {
                    let meeting = Meeting::of(from, to, &relay);
                    println!("{} to {}: {meeting}", from.access(), to.access());
                    meeting.ends();
                }
            }
        }
    });
}

#[test]
fn a_link_over_tcp_says_why_and_moves_to_udp_and_back_within_its_time() {
    lab::test(BUDGET, |mut lab| {
        let relay = pair::relay(&lab);
        let near = lab.home_on("near", NatKind::Symmetric, FAR).unwrap();
        let far = lab.home_on("far", NatKind::Symmetric, FAR).unwrap();
        lab.begin(Fault::NoUdp(&near)).unwrap();
        let meeting = Meeting::of(&near, &far, &relay);
        assert_eq!(meeting.carriers(), [Carrier::Tcp, Carrier::Udp]);
        let why = meeting.near.0.watch_status();
        near.block_on(settled(why, |status| {
            status
                .why
                .as_ref()
                .is_some_and(|why| why.cause == Cause::UdpBlocked { side: Side::Here })
        }));
        let said = meeting.near.0.status().why.unwrap();
        let said = format!("{}: {}", said.line(), said.paragraph());
        println!("{said}");
        assert!(
            said.contains("UDP is blocked on this network: relayed over TCP 4433"),
            "{said}"
        );

        for (blocked, limit) in [(false, 60), (true, 3), (false, 60)] {
            let change = if blocked { Lab::begin } else { Lab::end };
            change(&lab, Fault::NoUdp(&near)).unwrap();
            let began = Instant::now();
            let expected = if blocked { Carrier::Tcp } else { Carrier::Udp };
            let gap = meeting.longest_gap_until(|| meeting.carriers()[0] == expected);
            println!(
                "over {expected:?} after {:?}, longest gap {gap:?}",
                began.elapsed()
            );
            assert!(began.elapsed() < Duration::from_secs(limit), "{expected:?}");
        }
        meeting.ends();
    });
}

#[test]
fn a_home_without_udp_and_a_public_one_go_direct() {
    lab::test(BUDGET, |mut lab| {
        let relay = pair::relay(&lab);
        let near = lab.home_on("near", NatKind::Blocked, FAR).unwrap();
        let far = lab.home_on("far", NatKind::Public, FAR).unwrap();
        for (from, to) in [(&near, &far), (&far, &near)] {
            let meeting = Meeting::of(from, to, &relay);
            let path = meeting.near.0.watch_status();
            from.block_on(settled(path, |status| {
                matches!(status.path, Some(PathInfo::Direct { tcp: true, .. }))
            }));
            meeting.ends();
        }
    });
}

/// Two nodes that met.
struct Meeting<'a> {
    homes: [&'a Home; 2],
    nodes: [Endpoint; 2],
    near: (Connection, Echo),
    far: Connection,
    online: [Duration; 2],
    reply: Duration,
}

/// The dialler's side of a stream whose other end sends everything back.
type Echo = tokio::sync::Mutex<(peerway::SendStream, peerway::RecvStream)>;

impl<'a> Meeting<'a> {
    /// Starts both nodes, dials, and takes a first reply.
    fn of(from: &'a Home, to: &'a Home, relay: &RelayUrl) -> Self {
        let (called, called_online) = online(to, relay);
        let (caller, caller_online) = online(from, relay);
        let accepting = called.clone();
        let accepted = to.spawn(async move {
            let connection = accepting.accept().await.unwrap();
            let (mut send, mut receive) = connection.accept_bi().await.unwrap();
            let echoing = connection.clone();
            tokio::spawn(async move {
                let mut byte = [0];
                while receive.read_exact(&mut byte).await.is_ok() {
                    if send.write_all(&byte).await.is_err() {
                        return;
                    }
                }
                drop(echoing);
            });
            connection
        });
        let began = Instant::now();
        let ticket = called.ticket();
        let dialling = caller.clone();
        let near = from.block_on(async move {
            let connection = timeout(PATIENCE, dialling.connect(ticket, ALPN))
                .await
                .unwrap()
                .unwrap();
            let (send, receive) = connection.open_bi().await.unwrap();
            let echo = Echo::new((send, receive));
            answered(&echo).await;
            (connection, echo)
        });
        let reply = began.elapsed();
        Self {
            homes: [from, to],
            nodes: [caller, called],
            near,
            far: to.block_on(accepted).unwrap(),
            online: [caller_online, called_online],
            reply,
        }
    }

    /// By what both reach the relay.
    fn carriers(&self) -> [Carrier; 2] {
        self.nodes.each_ref().map(|node| {
            let relays = &node.snapshot().relays;
            relays[0].carrier.unwrap_or(Carrier::Unknown)
        })
    }

    /// Asks for replies until something is so, and says how long the longest of them took.
    fn longest_gap_until(&self, so: impl Fn() -> bool + Sync) -> Duration {
        self.homes[0].block_on(async {
            let mut longest = Duration::ZERO;
            let began = Instant::now();
            loop {
                let asked = Instant::now();
                answered(&self.near.1).await;
                longest = longest.max(asked.elapsed());
                if so() {
                    return longest;
                }
                assert!(began.elapsed() < 2 * PATIENCE, "it never is so");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
    }

    fn ends(self) {
        self.far.close(0, b"");
        for (home, node) in self.homes.into_iter().zip(&self.nodes) {
            home.block_on(node.close());
        }
    }
}

impl fmt::Display for Meeting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [caller, called] = self.online;
        let carriers = self.carriers();
        let reply = self.reply;
        write!(
            f,
            "online after {caller:.0?} and {called:.0?} over {carriers:?}, first reply after {reply:.0?}"
        )
    }
}

/// Has a byte sent back.
async fn answered(echo: &Echo) {
    let mut streams = echo.lock().await;
    let (send, receive) = &mut *streams;
    timeout(PATIENCE, async {
        send.write_all(&[7]).await.unwrap();
        receive.read_exact(&mut [0]).await.unwrap();
    })
    .await
    .expect("an answer");
}

async fn settled(
    mut watch: tokio::sync::watch::Receiver<LinkStatus>,
    so: impl FnMut(&LinkStatus) -> bool,
) {
    let found = timeout(PATIENCE, watch.wait_for(so)).await.is_ok();
    assert!(found, "{:?}", *watch.borrow());
}

/// A node, and how long it took to be registered with the relay.
fn online(home: &Home, relay: &RelayUrl) -> (Endpoint, Duration) {
    let builder = Endpoint::builder()
        .relays([relay.clone()])
        .alpns([ALPN])
        .port_mapping(home.access().ipv4 == Some(NatKind::SymmetricUpnp));
    home.block_on(async {
        let began = Instant::now();
        let node = builder.bind().await.unwrap();
        let mut snapshots = node.snapshots();
        let is_up = |relay: &RelaySnapshot| relay.state == RelayState::Up;
        let up = snapshots.wait_for(|snapshot| snapshot.relays.iter().any(is_up));
        timeout(PATIENCE, up).await.unwrap().unwrap();
        (node, began.elapsed())
    })
}

//! Nodes and a relay on this computer, by loopback.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "this is all test code"
)]

use std::{sync::Arc, time::Duration};

use peerway::{
    Access, Bytes, ConnectError, Connection, Endpoint, NodeSnapshot, OnlineError, PathInfo,
    PathPolicy, PeerState, RelayUrl, Router, SecretKey,
    quic::{ConnectionError, close},
    relay::RelayError,
    services::ping,
};
use peerway_relay::{Config, Limits, Rate, Relay};
use tokio::time::timeout;

const ALPN: &[u8] = b"test/1";

async fn node(relay: Option<&Relay>) -> Endpoint {
    Endpoint::builder()
        .relays(relay.map(Relay::url))
        .alpns([ALPN])
        .port_mapping(false)
        .bind()
        .await
        .unwrap()
}

async fn relay() -> Arc<Relay> {
    relay_with(Limits::default()).await
}

async fn relay_with(limits: Limits) -> Arc<Relay> {
    let mut config = Config::new(
        "127.0.0.1:0".parse().unwrap(),
        SecretKey::generate().unwrap(),
    );
    config.limits = limits;
    let relay = Arc::new(Relay::bind(config).await.unwrap());
    let running = relay.clone();
    tokio::spawn(async move { running.run().await });
    relay
}

async fn pair(a: &Endpoint, b: &Endpoint) -> (Connection, Connection) {
    let (out, incoming) = tokio::join!(a.connect(b.ticket(), ALPN), b.accept());
    (out.unwrap(), incoming.unwrap())
}

#[tokio::test]
async fn two_nodes_meet_through_a_relay_and_go_direct() {
    let relay = relay().await;
    let (a, b) = (node(Some(&relay)).await, node(Some(&relay)).await);
    timeout(Duration::from_secs(10), async {
        tokio::try_join!(a.online(), b.online())
    })
    .await
    .unwrap()
    .unwrap();
    assert!(b.ticket().addrs().is_empty(), "a ticket tells addresses");
    let (out, incoming) = timeout(Duration::from_secs(10), pair(&a, &b))
        .await
        .unwrap();
    assert_eq!((out.peer(), incoming.peer()), (b.id(), a.id()));
    let mut path = out.watch_status();
    let direct = path.wait_for(|status| status.state == PeerState::Direct);
    let status = timeout(Duration::from_secs(10), direct)
        .await
        .unwrap()
        .unwrap()
        .clone();
    assert!(matches!(status.path, Some(PathInfo::Direct { .. })));
    let (mut send, mut recv) = out.open_bi().await.unwrap();
    send.write_all(b"hello").await.unwrap();
    send.finish().unwrap();
    let (mut back, mut there) = incoming.accept_bi().await.unwrap();
    assert_eq!(there.read_to_end(10).await.unwrap(), b"hello");
    let mut snapshots = a.snapshots();
    let carried = |snapshot: &Arc<NodeSnapshot>| {
        let peer = snapshot.peer(b.id());
        let flow = peer.and_then(|peer| peer.flows.first());
        flow.is_some_and(|flow| {
            flow.outgoing && flow.alpn.as_bytes() == ALPN && flow.traffic.tx_bytes > 0
        })
    };
    timeout(Duration::from_secs(10), snapshots.wait_for(carried))
        .await
        .unwrap()
        .unwrap();
    back.write_all(b"world").await.unwrap();
    back.finish().unwrap();
    assert_eq!(recv.read_to_end(10).await.unwrap(), b"world");
    a.close().await;
    b.close().await;
}

#[tokio::test]
async fn a_direct_link_is_kept_to_the_relay_for_one_peer_and_let_go_again_under_a_stream() {
    let relay = relay().await;
    let (a, b) = (node(Some(&relay)).await, node(Some(&relay)).await);
    let patience = Duration::from_secs(20);
    let (out, incoming) = timeout(patience, pair(&a, &b)).await.unwrap();
    let (mut send, mut recv) = out.open_bi().await.unwrap();
    send.write_all(b"?").await.unwrap();
    let (mut back, mut there) = incoming.accept_bi().await.unwrap();
    let mut byte = [0];
    there.read_exact(&mut byte).await.unwrap();
    let mut states = [out.watch_status(), incoming.watch_status()];
    for (policy, state) in [
        (PathPolicy::Auto, PeerState::Direct),
        (PathPolicy::RelayOnly, PeerState::Relayed),
        (PathPolicy::Auto, PeerState::Direct),
    ] {
        a.set_path_policy(b.id(), policy).await;
        for of in &mut states {
            let becomes = of.wait_for(|status| status.state == state);
            let is_so = timeout(patience, becomes).await.is_ok();
            assert!(is_so, "{policy}: {:?}", of.borrow());
        }
        send.write_all(b"?").await.unwrap();
        let read = there.read_exact(&mut byte);
        timeout(patience, read).await.unwrap().unwrap();
        back.write_all(b"!").await.unwrap();
        let read = recv.read_exact(&mut byte);
        timeout(patience, read).await.unwrap().unwrap();
        let mut snapshots = a.snapshots();
        let is_shown = |seen: &Arc<NodeSnapshot>| {
            let shown = seen.peer(b.id());
            shown.is_some_and(|peer| peer.policy == policy)
        };
        let shown = timeout(patience, snapshots.wait_for(is_shown)).await;
        shown.unwrap().unwrap();
    }
    a.close().await;
    b.close().await;
}

#[tokio::test]
async fn what_a_peer_sends_by_a_relay_is_not_taken_while_only_direct_paths_are_wanted_to_it() {
    let relay = relay().await;
    let (a, b) = (node(Some(&relay)).await, node(Some(&relay)).await);
    let patience = Duration::from_secs(20);
    a.set_path_policy(b.id(), PathPolicy::RelayOnly).await;
    let (out, incoming) = timeout(patience, pair(&a, &b)).await.unwrap();
    let (mut send, _recv) = out.open_bi().await.unwrap();
    send.write_all(b"1").await.unwrap();
    let (_back, mut there) = incoming.accept_bi().await.unwrap();
    let mut byte = [0];
    there.read_exact(&mut byte).await.unwrap();
    let mut seen = incoming.watch_status();
    b.set_path_policy(a.id(), PathPolicy::DirectOnly).await;
    let fails = seen.wait_for(|status| status.state == PeerState::Failed);
    assert!(timeout(patience, fails).await.is_ok());
    send.write_all(b"2").await.unwrap();
    let read = timeout(Duration::from_millis(500), there.read_exact(&mut byte));
    assert!(read.await.is_err(), "it came");
    b.set_path_policy(a.id(), PathPolicy::Auto).await;
    let read = timeout(patience, there.read_exact(&mut byte)).await;
    read.unwrap().unwrap();
    assert_eq!(byte, *b"2");
    a.close().await;
    b.close().await;
}

#[tokio::test]
async fn a_peer_with_64_connections_gets_no_more_and_others_still_do() {
    let relay = relay().await;
    let (a, b, other) = (
        node(Some(&relay)).await,
        node(Some(&relay)).await,
        node(Some(&relay)).await,
    );
    let mut kept = Vec::new();
    for _ in 0..64 {
        kept.push(pair(&a, &b).await);
    }
    let refused = a.connect(b.ticket(), ALPN).await.unwrap_err();
    assert!(matches!(refused, ConnectError::Busy), "{refused}");
    kept.push(pair(&other, &b).await);
}

#[tokio::test]
async fn a_peer_that_is_not_let_in_any_more_loses_its_connection_and_gets_no_other() {
    let relay = relay().await;
    let (a, b) = (node(Some(&relay)).await, node(Some(&relay)).await);
    let (out, incoming) = timeout(Duration::from_secs(20), pair(&a, &b))
        .await
        .unwrap();
    b.set_access(Access::Only(Vec::new())).await;
    for connection in [out, incoming] {
        timeout(Duration::from_secs(20), connection.closed())
            .await
            .unwrap();
    }
    let again = timeout(Duration::from_secs(20), a.connect(b.ticket(), ALPN)).await;
    assert!(again.unwrap().is_err());
}

/// A node that speaks no protocol until a router gives it some.
async fn bare_node() -> Endpoint {
    let builder = Endpoint::builder().port_mapping(false);
    let local = builder.bind_addr("127.0.0.1:0".parse().unwrap());
    local.bind().await.unwrap()
}

/// The code with which the other side's node or program closed the connection.
fn code(end: ConnectionError) -> u64 {
    let ConnectionError::ApplicationClosed(close) = end else {
        panic!("{end}");
    };
    close.error_code.into_inner()
}

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn one_node_answers_ping_and_speaks_a_protocol_of_its_own() {
    let (a, b) = (bare_node().await, bare_node().await);
    let refused = a.connect(b.ticket(), ALPN).await.unwrap_err();
    assert!(matches!(refused, ConnectError::NoSuchService), "{refused}");
    let router = Router::new(b.clone())
        .diagnostics()
        .accept(ALPN, |connection| async move {
            connection.send_datagram(Bytes::from_static(b"hi")).unwrap();
            connection.closed().await;
        });
    // It runs only later, and takes them from now on.
    let greeted = a.connect(b.ticket(), ALPN).await.unwrap();
    let pinged = a.connect(b.ticket(), ping::ALPN).await.unwrap();
    tokio::spawn(router.run());
    let greeting = timeout(PATIENCE, greeted.read_datagram()).await.unwrap();
    assert_eq!(&greeting.unwrap()[..], b"hi");
    let reply = ping::ping(&pinged, 1, PATIENCE).await.unwrap().unwrap();
    assert_eq!(reply.path, pinged.path());
    let direct = timeout(PATIENCE, pinged.until_direct()).await.unwrap();
    assert_eq!(direct.unwrap(), reply.path.unwrap());
    assert!(
        pinged
            .status()
            .to_string()
            .starts_with("direct, 127.0.0.1:")
    );
    b.close().await;
    assert_eq!(code(pinged.closed().await), u64::from(close::SHUTDOWN));
    assert!(pinged.close_reason().is_some());
    assert!(pinged.until_direct().await.is_err());
}

#[tokio::test]
async fn a_handler_that_panics_ends_its_own_connection_and_no_other() {
    let (a, b) = (bare_node().await, bare_node().await);
    let router = Router::new(b.clone())
        .diagnostics()
        .accept(ALPN, |_| async { panic!("as the test wants it") });
    tokio::spawn(router.run());
    let pinged = a.connect(b.ticket(), ping::ALPN).await.unwrap();
    let doomed = a.connect(b.ticket(), ALPN).await.unwrap();
    timeout(PATIENCE, doomed.closed()).await.unwrap();
    let reply = ping::ping(&pinged, 1, PATIENCE).await.unwrap();
    assert!(reply.is_some());
}

#[tokio::test]
async fn one_peer_gets_a_quarter_of_a_protocols_connections_and_others_get_theirs() {
    let (greedy, other, b) = (bare_node().await, bare_node().await, bare_node().await);
    let router = Router::new(b.clone()).accept_up_to(4, ALPN, |connection| async move {
        connection.closed().await;
    });
    tokio::spawn(router.run());
    let kept = greedy.connect(b.ticket(), ALPN).await.unwrap();
    let refused = greedy.connect(b.ticket(), ALPN).await.unwrap();
    let end = timeout(PATIENCE, refused.closed()).await.unwrap();
    assert_eq!(code(end), u64::from(close::BUSY));
    let others = other.connect(b.ticket(), ALPN).await.unwrap();
    // The seat of a connection that ended is free again.
    kept.close(0, b"");
    loop {
        let again = greedy.connect(b.ticket(), ALPN).await.unwrap();
        let (mut send, _recv) = again.open_bi().await.unwrap();
        let _ = send.write_all(b"still there?").await;
        // A connection that is taken stays.
        if timeout(Duration::from_secs(1), again.closed())
            .await
            .is_err()
        {
            break;
        }
    }
    assert_eq!(others.close_reason(), None);
}

#[tokio::test]
async fn a_node_says_which_relay_it_cannot_reach_and_goes_to_another_that_is_named() {
    let relay = relay().await;
    // Nobody is there: the port is a socket's that answers nothing.
    let mute = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = mute.local_addr().unwrap().port();
    let nowhere = RelayUrl::new(relay.url().key(), "127.0.0.1", port).unwrap();
    let node = bare_node().await;
    node.online().await.unwrap();
    node.set_relays([nowhere.clone()]).await;
    let named = |ticket: &peerway::Ticket, relay: &RelayUrl| ticket.relays() == [relay.clone()];
    let mut snapshots = node.snapshots();
    let known = snapshots.wait_for(|snapshot| named(&snapshot.ticket, &nowhere));
    drop(timeout(PATIENCE, known).await.unwrap().unwrap());
    let online = timeout(PATIENCE, node.online()).await.unwrap();
    assert!(
        matches!(
            &online,
            Err(OnlineError::Relay { relay, source: RelayError::Neither { .. } }) if *relay == nowhere
        ),
        "{online:?}"
    );
    node.set_relays([relay.url()]).await;
    let known = snapshots.wait_for(|snapshot| named(&snapshot.ticket, &relay.url()));
    drop(timeout(PATIENCE, known).await.unwrap().unwrap());
    timeout(PATIENCE, node.online()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_node_hangs_up_on_one_peer_and_leaves_the_others() {
    let [host, peer, other] = [bare_node().await, bare_node().await, bare_node().await];
    host.set_alpns([ALPN]);
    let (theirs, ours) = pair(&peer, &host).await;
    let (others, _kept) = pair(&other, &host).await;
    assert_eq!(theirs.alpn(), ALPN);
    host.hang_up(peer.id(), 7, b"enough").await;
    assert_eq!(code(timeout(PATIENCE, theirs.closed()).await.unwrap()), 7);
    assert!(ours.close_reason().is_some());
    assert_eq!(others.close_reason(), None);
}

#[tokio::test]
async fn a_closed_node_says_so_and_dials_no_more() {
    let (node, peer) = (bare_node().await, bare_node().await);
    let clone = node.clone();
    assert!(!clone.is_closed());
    timeout(PATIENCE, async {
        tokio::join!(clone.closed(), node.close())
    })
    .await
    .unwrap();
    assert!(clone.is_closed());
    let refused = clone.connect(peer.ticket(), ALPN).await.unwrap_err();
    assert!(matches!(refused, ConnectError::Shutdown), "{refused}");
}

#[tokio::test]
async fn bulk_through_a_relay_with_a_rate_gets_that_rate_and_loses_next_to_nothing() {
    const RATE: u64 = 4_000_000;
    const BYTES: usize = 12_000_000;
    let relay = relay_with(Limits {
        lane_rate: Some(Rate::bytes_per_second(RATE)),
        ..Limits::default()
    })
    .await;
    let relayed = async || {
        let node = Endpoint::builder().relays([relay.url()]).alpns([ALPN]);
        let node = node.port_mapping(false).relay_only(true).bind().await;
        node.unwrap()
    };
    let (a, b) = (relayed().await, relayed().await);
    let (out, incoming) = timeout(Duration::from_secs(10), pair(&a, &b))
        .await
        .unwrap();
    let mut send = out.open_uni().await.unwrap();
    let sending = async {
        send.write_all(&vec![0; BYTES]).await.unwrap();
        send.finish().unwrap();
    };
    let receiving = async {
        let mut receive = incoming.accept_uni().await.unwrap();
        receive.read_to_end(BYTES).await.unwrap().len()
    };
    let started = tokio::time::Instant::now();
    let (received, ()) = tokio::join!(receiving, sending);
    assert_eq!(received, BYTES);
    assert!(started.elapsed() > Duration::from_millis(2_500));
    let stats = relay.stats();
    let lost = stats.over_budget_bytes as f64 / stats.lane_bytes as f64;
    assert!(lost < 0.05, "{lost} of what was carried");
    a.close().await;
    b.close().await;
}

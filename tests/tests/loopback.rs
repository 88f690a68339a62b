//! Nodes and a relay on this computer, by loopback.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "this is all test code"
)]

use std::{sync::Arc, time::Duration};

use peerway::{Access, ConnectError, Connection, Endpoint, PathInfo, PeerState, SecretKey};
use peerway_relay::{Config, Relay};
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
    let config = Config::new(
        "127.0.0.1:0".parse().unwrap(),
        SecretKey::generate().unwrap(),
    );
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
        tokio::join!(a.online(), b.online())
    })
    .await
    .unwrap();
    assert!(b.ticket().addrs.is_empty(), "a ticket tells addresses");
    let (out, incoming) = timeout(Duration::from_secs(10), pair(&a, &b))
        .await
        .unwrap();
    assert_eq!((out.peer(), incoming.peer()), (b.id(), a.id()));
    let mut path = out.path();
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
    back.write_all(b"world").await.unwrap();
    back.finish().unwrap();
    assert_eq!(recv.read_to_end(10).await.unwrap(), b"world");
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
    assert_eq!(refused, ConnectError::Busy);
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

//! Nothing that is sent as soon as a dial succeeded is lost: least of all when the path turns at that moment.
//!
//! `PEERWAY_RUNS=5000` dials that often.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "this is all test code"
)]

use std::{
    net::{Ipv6Addr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use peerway::{Endpoint, RelayUrl, SecretKey};
use peerway_relay::{Config, Relay};
use peerway_tests::pair::runs;
use tokio::{task::JoinSet, time::timeout};

const ALPN: &[u8] = b"test/1";
const PATIENCE: Duration = Duration::from_secs(20);
/// Dialling at the same time: on busy cores tasks overtake each other.
const DIALLERS: usize = 8;
const USUAL_RUNS: usize = 240;
const ANY_PORT: u16 = 0;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_first_datagram_of_every_connection_arrives() {
    assert_all_arrive(|| ANY_PORT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn that_of_who_comes_where_another_just_was_arrives_too() {
    let free_port = || {
        UdpSocket::bind("[::]:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port()
    };
    assert_all_arrive(free_port).await;
}

/// The nodes that dial one listener one after the other have the same port, if it is free by then.
async fn assert_all_arrive(port: impl Fn() -> u16) {
    let relay = relay().await;
    let count = runs(USUAL_RUNS);
    let mut diallers = JoinSet::new();
    for nth in 0..DIALLERS {
        let (relay, share, port) = (relay.clone(), (count + nth) / DIALLERS, port());
        diallers.spawn(async move {
            let listener = node(&relay, ANY_PORT).await;
            let mut lost = 0;
            for _ in 0..share {
                lost += usize::from(!first_arrives(&relay, &listener, port).await);
            }
            lost
        });
    }
    let lost: usize = diallers.join_all().await.into_iter().sum();
    assert_eq!(lost, 0, "of {count}");
}

/// Whether a new node's first datagram arrives.
async fn first_arrives(relay: &RelayUrl, listener: &Endpoint, port: u16) -> bool {
    let dialler = node(relay, port).await;
    let dial = async {
        let connection = dialler.connect(listener.ticket(), ALPN).await.unwrap();
        connection.send_datagram("first".into()).unwrap();
        connection
    };
    let (outgoing, incoming) = tokio::join!(dial, listener.accept());
    let incoming = incoming.unwrap();
    let arrived = timeout(PATIENCE, incoming.read_datagram()).await;
    outgoing.close(0, b"");
    dialler.close().await;
    matches!(arrived, Ok(Ok(_)))
}

/// A node at this port, or at any if that is taken.
async fn node(relay: &RelayUrl, port: u16) -> Endpoint {
    let at = |port| {
        Endpoint::builder()
            .bind_addr((Ipv6Addr::UNSPECIFIED, port).into())
            .relays([relay.clone()])
            .alpns([ALPN])
            .port_mapping(false)
            .bind()
    };
    let node = match at(port).await {
        Ok(node) => node,
        Err(_) => at(ANY_PORT).await.unwrap(),
    };
    timeout(PATIENCE, node.online()).await.unwrap().unwrap();
    node
}

async fn relay() -> RelayUrl {
    let config = Config::new(
        "127.0.0.1:0".parse().unwrap(),
        SecretKey::generate().unwrap(),
    );
    let relay = Arc::new(Relay::bind(config).await.unwrap());
    let url = relay.url();
    tokio::spawn(async move { relay.run().await });
    url
}

//! Nothing that is sent as soon as a dial succeeded is lost: least of all when the path turns at that moment.
//!
//! `PEERWAY_RUNS=5000` dials that often.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is all test code"
)]

use std::{sync::Arc, time::Duration};

use peerway::{Endpoint, RelayUrl, SecretKey};
use peerway_relay::{Config, Relay};
use peerway_tests::pair::runs;
use tokio::{task::JoinSet, time::timeout};

const ALPN: &[u8] = b"test/1";
const PATIENCE: Duration = Duration::from_secs(20);
/// Dialling at the same time: on busy cores tasks overtake each other.
const DIALLERS: usize = 8;
const USUAL_RUNS: usize = 240;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_first_datagram_of_every_connection_arrives() {
    let relay = relay().await;
    let count = runs(USUAL_RUNS);
    let mut diallers = JoinSet::new();
    for nth in 0..DIALLERS {
        let (relay, share) = (relay.clone(), (count + nth) / DIALLERS);
        diallers.spawn(async move {
            let listener = node(&relay).await;
            let mut lost = 0;
            for _ in 0..share {
                lost += usize::from(!first_arrives(&relay, &listener).await);
            }
            lost
        });
    }
    let lost: usize = diallers.join_all().await.into_iter().sum();
    println!("{lost} of {count} lost");
    // Of 8,000 one was lost for a reason that is not known; a hundred were before.
    assert!(lost <= 1 + count / 2000, "{lost} of {count} lost");
}

/// Whether a new node's first datagram arrives.
async fn first_arrives(relay: &RelayUrl, listener: &Endpoint) -> bool {
    let dialler = node(relay).await;
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

async fn node(relay: &RelayUrl) -> Endpoint {
    let node = Endpoint::builder()
        .relays([relay.clone()])
        .alpns([ALPN])
        .port_mapping(false)
        .bind()
        .await
        .unwrap();
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

//! What nodes make of relays that are not what they should be.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking and is its own shell"
)]

use std::{sync::mpsc, thread, time::Duration};

use peerway::{ConnectError, Endpoint, EventKind, RelayUrl, SecretKey, Ticket};
use peerway_relay::{Config, Relay};
use tokio::{runtime, time::timeout};

const ALPN: &[u8] = b"test/1";
const PATIENCE: Duration = Duration::from_secs(30);
/// Sooner than a relay that nobody suspects is asked whether it is still there.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_dial_through_a_relay_of_another_key_is_refused_at_once() {
    let relay = Stoppable::start();
    let impostor = RelayUrl::new(id(), relay.url.host(), relay.url.port()).unwrap();
    let node = node(None).await;
    for _ in 0..2 {
        let ticket = Ticket::new(id(), vec![impostor.clone()], Vec::new());
        let dial = timeout(Duration::from_secs(5), node.connect(ticket, ALPN));
        let error = dial.await.unwrap().unwrap_err();
        assert!(
            matches!(&error, ConnectError::WrongRelay { relay } if *relay == impostor),
            "{error}"
        );
    }
    node.close().await;
}

#[tokio::test]
async fn a_relay_that_a_ticket_names_otherwise_is_the_same_and_is_registered_with_once() {
    let relay = Stoppable::start();
    let (a, b) = (node(Some(&relay.url)).await, node(Some(&relay.url)).await);
    let alias = RelayUrl::new(relay.url.key(), "localhost", relay.url.port()).unwrap();
    let ticket = Ticket::new(b.id(), vec![alias], Vec::new());
    let (out, incoming) = tokio::join!(a.connect(ticket, ALPN), b.accept());
    assert_eq!(
        (out.unwrap().peer(), incoming.unwrap().peer()),
        (b.id(), a.id())
    );
    let relays: Vec<RelayUrl> = a
        .snapshot()
        .relays
        .iter()
        .map(|relay| relay.url.clone())
        .collect();
    assert_eq!(relays, std::slice::from_ref(&relay.url));
}

#[tokio::test]
async fn a_ticket_with_a_former_key_of_our_relay_does_not_cut_us_off_from_it() {
    let relay = Stoppable::start();
    let (a, b) = (node(Some(&relay.url)).await, node(Some(&relay.url)).await);
    let former = RelayUrl::new(id(), relay.url.host(), relay.url.port()).unwrap();
    let ticket = Ticket::new(id(), vec![former], Vec::new());
    let refused = a.connect(ticket, ALPN).await.unwrap_err();
    assert!(
        matches!(refused, ConnectError::WrongRelay { .. }),
        "{refused}"
    );
    let reached = b.connect(a.ticket(), ALPN).await.unwrap();
    assert_eq!(reached.peer(), a.id());
}

#[tokio::test]
async fn a_relay_that_stops_dead_under_a_relayed_link_is_noticed_soon() {
    let relay = Stoppable::start();
    let (a, b) = (node(Some(&relay.url)).await, node(Some(&relay.url)).await);
    let (out, _incoming) = tokio::join!(a.connect(b.ticket(), ALPN), b.accept());
    let both = [a.events(), b.events()];
    relay.stop();
    let mut stream = out.unwrap().open_uni().await.unwrap();
    stream.write_all(b"anybody there?").await.unwrap();
    let noticed = async {
        for mut events in both {
            while !matches!(
                events.recv().await.unwrap().kind,
                EventKind::RelayDown { .. }
            ) {}
        }
    };
    timeout(SOON, noticed).await.unwrap();
}

fn id() -> peerway::PeerId {
    SecretKey::generate().unwrap().id()
}

async fn node(relay: Option<&RelayUrl>) -> Endpoint {
    let node = Endpoint::builder()
        .relays(relay.cloned())
        .alpns([ALPN])
        .relay_only(true)
        .port_mapping(false)
        .bind()
        .await
        .unwrap();
    timeout(PATIENCE, node.online()).await.unwrap().unwrap();
    node
}

/// A relay on a thread of its own, which can be stopped without a goodbye, like a computer that lost its power.
struct Stoppable {
    url: RelayUrl,
    stop: tokio::sync::mpsc::Sender<()>,
}

impl Stoppable {
    fn start() -> Self {
        let (send_url, url) = mpsc::channel();
        let (stop, mut stopped) = tokio::sync::mpsc::channel(1);
        thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let key = SecretKey::generate().unwrap();
                let config = Config::new("127.0.0.1:0".parse().unwrap(), key);
                let relay = Relay::bind(config).await.unwrap();
                send_url.send(relay.url()).unwrap();
                tokio::spawn(async move { relay.run().await });
                stopped.recv().await;
                loop {
                    thread::park();
                }
            });
        });
        Self {
            url: url.recv().unwrap(),
            stop,
        }
    }

    fn stop(&self) {
        self.stop.try_send(()).unwrap();
    }
}

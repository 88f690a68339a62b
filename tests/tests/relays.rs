//! What nodes make of relays that are not what they should be.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking and is its own shell"
)]

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use peerway::{
    ConnectError, Connection, Endpoint, EventKind, InviteToken, NodeSnapshot, PathInfo, RelayRole,
    RelayState, RelayUrl, SecretKey, Ticket,
};
use peerway_relay::{Access, Config, Invite, Relay};
use tokio::{
    runtime,
    task::yield_now,
    time::{interval, timeout},
};

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

#[tokio::test]
async fn a_link_leaves_a_relay_that_is_about_to_stop_before_it_does() {
    let (first, second) = (start(None).await, start(None).await);
    let urls = [first.url(), second.url()];
    let (a, b) = (node(&urls).await, node(&urls).await);
    for node in [&a, &b] {
        wait_for(node, |it| {
            it.relays.iter().all(|it| it.state == RelayState::Up)
        })
        .await;
    }
    let (out, incoming) = tokio::join!(a.connect(b.ticket(), ALPN), b.accept());
    let (out, incoming) = (out.unwrap(), incoming.unwrap());
    let mut numbers = Numbers::flow(out.clone(), incoming);
    numbers.take(100).await;
    let draining = if relay_of(&out) == urls[0] {
        first
    } else {
        second
    };
    let left = draining.url();
    let drain = tokio::spawn(async move { draining.drain(2 * PATIENCE).await });
    timeout(PATIENCE, drain)
        .await
        .expect("all left before its time was up")
        .unwrap();
    let gap = numbers.take(200).await;
    assert!(gap < Duration::from_secs(1), "{gap:?}");
    assert_ne!(relay_of(&out), left);
    for node in [&a, &b] {
        let snapshot = node.snapshot();
        let role = |url: &RelayUrl| {
            snapshot
                .relays
                .iter()
                .find(|it| it.url == *url)
                .unwrap()
                .role
        };
        let other = urls.iter().find(|url| **url != left).unwrap();
        assert_eq!((role(&left), role(other)), (None, Some(RelayRole::Home)));
        assert_eq!(node.ticket().relays()[0], *other);
    }
}

#[tokio::test]
async fn a_link_goes_where_its_only_relay_sends_it_with_an_invitation_and_tickets_follow() {
    let (first, second) = (start(None).await, start(None).await);
    let urls = [first.url(), second.url()];
    second.set_access(Access::default().invited_only(true));
    let token = InviteToken::from_bytes([5; 16]);
    let invite = Invite {
        uses_left: Some(2),
        expires_ms: None,
    };
    second.invite(&token, invite).unwrap();
    let (a, b) = (node(&urls[..1]).await, node(&urls[..1]).await);
    let (out, incoming) = tokio::join!(a.connect(b.ticket(), ALPN), b.accept());
    let (out, incoming) = (out.unwrap(), incoming.unwrap());
    let mut numbers = Numbers::flow(out.clone(), incoming);
    numbers.take(100).await;
    let mut events = a.events();
    let named = second.url().with_invite(token);
    let draining = first.clone();
    let drain = tokio::spawn(async move { draining.drain_to(20 * PATIENCE, named).await });
    let left = async {
        while first.stats().clients > 0 {
            yield_now().await;
        }
    };
    timeout(PATIENCE, left).await.expect("all leave");
    assert!(!drain.is_finished(), "others may have been away");
    first.shutdown().await;
    let gap = numbers.take(200).await;
    assert!(gap < Duration::from_secs(1), "{gap:?}");
    assert_eq!(relay_of(&out), urls[1]);
    for node in [&a, &b] {
        wait_for(node, |it| it.relays.len() == 1).await;
        let relays = node.snapshot().relays.clone();
        assert_eq!(relays[0].in_place_of.as_ref(), Some(&urls[0]));
        assert_eq!(node.ticket().relays(), &urls[1..]);
        assert!(!node.ticket().to_string().contains("invite"));
    }
    let moved = EventKind::RelayMoved {
        relay: urls[0].clone(),
        to: urls[1].clone(),
    };
    let told = async { while events.recv().await.unwrap().kind != moved {} };
    timeout(PATIENCE, told).await.unwrap();
    assert_eq!(second.stats().clients, 2);
    let guest = Endpoint::builder()
        .port_mapping(false)
        .bind()
        .await
        .unwrap();
    let found = timeout(PATIENCE, guest.connect(b.ticket(), ALPN)).await;
    assert_eq!(found.unwrap().unwrap().peer(), b.id(), "it is served there");
}

#[tokio::test]
async fn a_relay_that_stops_carries_on_until_it_does_and_is_found_again_when_it_is_back() {
    let key = SecretKey::generate().unwrap();
    let relay = start(Some((key.clone(), 0))).await;
    let port = relay.url().port();
    let urls = [relay.url()];
    let (a, b) = (node(&urls).await, node(&urls).await);
    let (out, incoming) = tokio::join!(a.connect(b.ticket(), ALPN), b.accept());
    let mut numbers = Numbers::flow(out.unwrap(), incoming.unwrap());
    numbers.take(100).await;
    let stopped = tokio::spawn(async move { relay.shutdown().await });
    wait_for(&a, |it| it.relays[0].draining).await;
    numbers.take(50).await;
    assert!(!stopped.is_finished(), "it still carries what there is");
    stopped.await.unwrap();
    let relay = start(Some((key, port))).await;
    assert_eq!(relay.url(), urls[0]);
    let gap = numbers.take(200).await;
    // Twice what is asked for: a busy computer runs a debug build.
    assert!(gap < Duration::from_secs(4), "{gap:?}");
}

/// A relay in this runtime; at this port and with this key if it is one that returns.
async fn start(again: Option<(SecretKey, u16)>) -> Relay {
    let (key, port) = again.unwrap_or_else(|| (SecretKey::generate().unwrap(), 0));
    let bound = async {
        loop {
            let config = Config::new(([127, 0, 0, 1], port).into(), key.clone());
            match Relay::bind(config).await {
                Ok(relay) => break relay,
                // Its port is not free yet, or has been lent to another test for a moment.
                Err(error) => assert_ne!(port, 0, "{error}"),
            }
            yield_now().await;
        }
    };
    let relay = timeout(PATIENCE, bound).await.unwrap();
    let running = relay.clone();
    tokio::spawn(async move { running.run().await });
    relay
}

async fn wait_for(node: &Endpoint, wanted: impl Fn(&NodeSnapshot) -> bool) {
    let mut snapshots = node.snapshots();
    let seen = snapshots.wait_for(|snapshot| wanted(snapshot));
    timeout(PATIENCE, seen).await.unwrap().unwrap();
}

fn relay_of(connection: &Connection) -> RelayUrl {
    match connection.status().path {
        Some(PathInfo::Relay { remote }) => remote,
        other => panic!("{other:?}"),
    }
}

/// Numbers that flow on a stream, in order and without one missing.
struct Numbers {
    received: tokio::sync::mpsc::UnboundedReceiver<Instant>,
    last: Instant,
}

impl Numbers {
    fn flow(out: Connection, incoming: Connection) -> Self {
        tokio::spawn(async move {
            let mut stream = out.open_uni().await.unwrap();
            let mut ticks = interval(Duration::from_millis(10));
            let mut number = 0_u64;
            while stream.write_all(&number.to_be_bytes()).await.is_ok() {
                number += 1;
                ticks.tick().await;
            }
        });
        let (sender, received) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut stream = incoming.accept_uni().await.unwrap();
            let (mut number, mut bytes) = (0_u64, [0; 8]);
            while stream.read_exact(&mut bytes).await.is_ok() && !sender.is_closed() {
                assert_eq!(u64::from_be_bytes(bytes), number);
                number += 1;
                let _ = sender.send(Instant::now());
            }
        });
        let last = Instant::now();
        Self { received, last }
    }

    /// Takes so many; returns the longest pause before one of them.
    async fn take(&mut self, count: usize) -> Duration {
        let mut longest = Duration::ZERO;
        for _ in 0..count {
            let at = timeout(PATIENCE, self.received.recv())
                .await
                .unwrap()
                .unwrap();
            longest = longest.max(at.saturating_duration_since(self.last));
            self.last = at;
        }
        longest
    }
}

fn id() -> peerway::PeerId {
    SecretKey::generate().unwrap().id()
}

async fn node<'a>(relays: impl IntoIterator<Item = &'a RelayUrl>) -> Endpoint {
    let node = Endpoint::builder()
        .relays(relays.into_iter().cloned())
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

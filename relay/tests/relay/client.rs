//! The client half of the control protocol against real relays.

use std::time::Duration;

use peerway::{
    RelayUrl,
    relay::{self, RelayError, RelayEvent, RelayHandle},
    wire::relay::{GoneReason, ToRelay},
};
use peerway_relay::{Access, Limits};
use quinn::Endpoint;
use tokio::{sync::mpsc, time::timeout};

use crate::{
    program::Program,
    world::{ANY, Client, PATIENCE, Running, id, own_addr, payload, secret},
};

struct Registered {
    endpoint: Endpoint,
    handle: RelayHandle,
    events: mpsc::Receiver<(RelayUrl, RelayEvent)>,
}

impl Registered {
    fn spawn(url: RelayUrl, seed: u8) -> Self {
        let endpoint = Endpoint::client(ANY).unwrap();
        let (sender, events) = mpsc::channel(16);
        let handle = relay::spawn(endpoint.clone(), url, &secret(seed), sender).unwrap();
        Self {
            endpoint,
            handle,
            events,
        }
    }

    async fn up(url: RelayUrl, seed: u8) -> Self {
        let mut client = Self::spawn(url, seed);
        let event = client.next().await;
        assert!(matches!(event, RelayEvent::Up { .. }), "{event:?}");
        client
    }

    /// The next event, with addresses admitted on the way.
    async fn next(&mut self) -> RelayEvent {
        loop {
            let (_, event) = timeout(PATIENCE, self.events.recv())
                .await
                .expect("something happens")
                .expect("the task runs");
            match event {
                RelayEvent::Resolved { addr, .. } => self.handle.dial(addr),
                event => return event,
            }
        }
    }
}

#[tokio::test]
async fn a_client_learns_its_address_when_it_registers() {
    let relay = Running::start().await;
    let mut client = Registered::spawn(relay.url(), 1);
    let RelayEvent::Up {
        observed,
        relay_time_ms,
        rtt,
        ..
    } = client.next().await
    else {
        panic!("it is up");
    };
    assert_eq!(observed, client.endpoint.local_addr().unwrap());
    assert!(relay_time_ms > 1_700_000_000_000);
    assert!(rtt < PATIENCE);
}

#[tokio::test]
async fn clients_signal_each_other_by_key() {
    let relay = Running::start().await;
    let mut a = Registered::up(relay.url(), 1).await;
    let mut b = Registered::up(relay.url(), 2).await;
    a.handle.signal(id(2), false, payload(b"hello"));
    let RelayEvent::Deliver {
        from,
        attested,
        payload: received,
        ..
    } = b.next().await
    else {
        panic!("it is delivered");
    };
    assert_eq!(from, id(1));
    assert_eq!(attested, Some(a.endpoint.local_addr().unwrap()));
    assert_eq!(received, b"hello");
    a.handle.signal(id(9), false, payload(b"hello"));
    let gone = a.next().await;
    assert!(
        matches!(
            gone,
            RelayEvent::Gone { peer, reason: GoneReason::NotRegistered } if peer == id(9)
        ),
        "{gone:?}"
    );
}

#[tokio::test]
async fn a_relay_that_was_killed_and_comes_back_is_registered_with_again() {
    let state = tempfile::tempdir().unwrap();
    let addr = own_addr();
    let mut relay = Program::start_at(addr, state.path(), &["--json"]);
    let url = relay.url();
    let mut client = Registered::up(url.clone(), 1).await;
    relay.kill();
    client.handle.keepalive();
    let silent = client.next().await;
    assert!(matches!(silent, RelayEvent::Silent), "{silent:?}");
    let down = client.next().await;
    assert!(
        matches!(&down, RelayEvent::Down { error, .. } if error.to_string() == "it does not answer"),
        "{down:?}"
    );
    let again = Program::start_at(addr, state.path(), &["--json"]);
    assert_eq!(again.url(), url);
    while !matches!(client.next().await, RelayEvent::Up { .. }) {}
}

#[tokio::test]
async fn a_client_leaves_a_stopping_relay_and_comes_back_when_told() {
    let addr = own_addr();
    let relay = Running::with(addr, Limits::default()).await;
    let mut client = Registered::up(relay.url(), 1).await;
    let leaving = async {
        let draining = client.next().await;
        assert!(matches!(draining, RelayEvent::Draining), "{draining:?}");
        client.handle.leave();
        client.next().await
    };
    let ((), down) = tokio::join!(relay.shutdown(), leaving);
    assert!(
        matches!(&down, RelayEvent::Down { next_try, .. } if *next_try <= Duration::from_secs(1)),
        "{down:?}"
    );
    let _relay = restart(addr).await;
    while !matches!(client.next().await, RelayEvent::Up { .. }) {}
}

#[tokio::test]
async fn a_relay_with_another_key_is_not_trusted() {
    let relay = Running::start().await;
    let url = relay.url();
    let other = RelayUrl::new(id(77), url.host(), url.port()).unwrap();
    let down = Registered::spawn(other, 1).next().await;
    assert!(
        matches!(
            down,
            RelayEvent::Down {
                error: RelayError::IdentityMismatch,
                ..
            }
        ),
        "{down:?}"
    );
}

#[tokio::test]
async fn a_relay_that_nobody_runs_is_down_for_a_stated_reason() {
    let nobody = std::net::UdpSocket::bind(ANY).unwrap();
    let port = nobody.local_addr().unwrap().port();
    let url = RelayUrl::new(id(200), "127.0.0.1", port).unwrap();
    let down = Registered::spawn(url, 1).next().await;
    assert!(
        matches!(&down, RelayEvent::Down { error, .. } if error.to_string().starts_with("it does not answer")),
        "{down:?}"
    );
}

#[tokio::test]
async fn a_client_that_was_replaced_does_not_fight() {
    let relay = Running::start().await;
    let mut client = Registered::up(relay.url(), 1).await;
    let _elsewhere = Client::register(&relay, 1).await;
    let down = client.next().await;
    assert!(
        matches!(&down, RelayEvent::Down { next_try, .. } if *next_try >= Duration::from_secs(10)),
        "{down:?}"
    );
}

#[tokio::test]
async fn of_two_clients_with_one_key_the_older_stays_away_until_the_newer_left() {
    let relay = Running::start().await;
    let mut older = Registered::up(relay.url(), 1).await;
    let mut newer = Registered::up(relay.url(), 1).await;
    for _ in 0..3 {
        let down = older.next().await;
        assert!(
            matches!(&down, RelayEvent::Down { error, .. } if error.to_string().contains("this key is in use elsewhere")),
            "{down:?}"
        );
        older.handle.network_changed();
    }
    assert_eq!(relay.relay.stats().clients, 1);
    newer.handle.keepalive();
    let heard = newer.events.try_recv();
    assert!(heard.is_err(), "the newer is left alone: {heard:?}");
    drop(newer.handle);
    loop {
        match older.next().await {
            RelayEvent::Up { .. } => break,
            RelayEvent::Down { .. } => older.handle.network_changed(),
            other => panic!("{other:?}"),
        }
    }
}

/// Without a gap: the lane to a peer that signalled before the move reaches the new address.
#[tokio::test]
async fn a_client_that_moved_registers_anew_and_keeps_its_channels() {
    let relay = Running::start().await;
    let mut moving = Registered::up(relay.url(), 1).await;
    let mut peer = Client::register(&relay, 2).await;
    peer.signal(1, b"open").await;
    assert!(matches!(moving.next().await, RelayEvent::Deliver { .. }));
    moving
        .endpoint
        .rebind(std::net::UdpSocket::bind(ANY).unwrap())
        .unwrap();
    let now_at = moving.endpoint.local_addr().unwrap();
    moving.handle.keepalive();
    let moved = moving.next().await;
    assert!(
        matches!(moved, RelayEvent::Observed(addr) if addr == now_at),
        "{moved:?}"
    );
    let up = moving.next().await;
    assert!(
        matches!(up, RelayEvent::Up { observed, .. } if observed == now_at),
        "{up:?}"
    );
    let stats = relay.relay.stats();
    assert_eq!((stats.clients, stats.channels), (2, 1));
}

#[tokio::test]
async fn a_change_of_network_registers_anew_at_once() {
    let relay = Running::start().await;
    let mut client = Registered::up(relay.url(), 1).await;
    client.handle.network_changed();
    client.handle.signal(id(2), false, payload(b"meanwhile"));
    let up = client.next().await;
    assert!(matches!(up, RelayEvent::Up { .. }), "{up:?}");
    let gone = client.next().await;
    assert!(matches!(gone, RelayEvent::Gone { .. }), "{gone:?}");
}

#[tokio::test]
async fn a_dropped_handle_unregisters() {
    let relay = Running::start().await;
    let client = Registered::up(relay.url(), 1).await;
    let mut other = Client::register(&relay, 2).await;
    assert_eq!(relay.relay.stats().clients, 2);
    drop(client.handle);
    while relay.relay.stats().clients > 1 {
        other.say(ToRelay::KeepAlive).await;
        other.hear().await;
    }
}

/// A relay at `addr` again, as soon as its predecessor's port is free.
async fn restart(addr: std::net::SocketAddr) -> Running {
    timeout(PATIENCE, async {
        while std::net::UdpSocket::bind(addr).is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the port becomes free");
    Running::with(addr, Limits::default()).await
}

#[tokio::test]
async fn a_client_for_whom_there_is_no_room_is_told_so() {
    let limits = Limits {
        connections_per_ip: 1,
        ..Limits::default()
    };
    let relay = Running::with(ANY, limits).await;
    let _first = Registered::up(relay.url(), 1).await;
    let down = Registered::spawn(relay.url(), 2).next().await;
    assert!(
        matches!(&down, RelayEvent::Down { error, .. } if error.to_string().contains("it has no room")),
        "{down:?}"
    );
}

#[tokio::test]
async fn a_client_that_the_operator_does_not_let_in_is_told_so_and_one_that_was_let_in_too() {
    let relay = Running::start().await;
    let mut first = Registered::up(relay.url(), 1).await;
    relay.relay.set_access(Access::new([id(2)], []));
    let told = |event: &RelayEvent| matches!(event, RelayEvent::Down { error, .. } if error.to_string().contains("its operator does not let this key in"));
    let down = first.next().await;
    assert!(told(&down), "{down:?}");
    let _second = Registered::up(relay.url(), 2).await;
    let down = Registered::spawn(relay.url(), 3).next().await;
    assert!(told(&down), "{down:?}");
}

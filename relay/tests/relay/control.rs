//! What the relay does with frames.

use peerway::wire::relay::{CloseReason, GoneReason, ToClient, ToRelay, VERSION};
use peerway_relay::{Limits, Rate};
use quinn::ConnectionError;
use tokio::time::timeout;

use crate::world::{ANY, Client, PATIENCE, Running, id, payload};

async fn close_reason(client: &Client) -> CloseReason {
    let error = timeout(PATIENCE, client.connection.closed()).await.unwrap();
    let ConnectionError::ApplicationClosed(close) = error else {
        panic!("closed by {error}");
    };
    CloseReason::from_code(close.error_code.into_inner()).unwrap()
}

#[tokio::test]
async fn a_signal_arrives_with_the_attested_address_of_its_sender() {
    let relay = Running::start().await;
    let (mut a, mut b) = (
        Client::register(&relay, 1).await,
        Client::register(&relay, 2).await,
    );
    a.signal(2, b"hello").await;
    let heard = b.hear().await;
    let ToClient::Deliver {
        from,
        time_ms,
        observed,
        payload: received,
    } = heard
    else {
        panic!("{heard:?}");
    };
    assert_eq!((from, observed), (id(1), Some(a.addr())));
    assert_eq!(received, payload(b"hello"));
    assert!(time_ms > 1_700_000_000_000);
    assert_eq!(relay.relay.stats().signals, 1);
}

#[tokio::test]
async fn the_address_of_who_hides_is_told_to_nobody() {
    let relay = Running::start().await;
    let (mut a, mut b) = (
        Client::register(&relay, 1).await,
        Client::register(&relay, 2).await,
    );
    a.say(ToRelay::Signal {
        to: id(2),
        hidden: true,
        payload: payload(b"hello"),
    })
    .await;
    let heard = b.hear().await;
    let is_hidden = |heard: &ToClient| {
        matches!(heard, ToClient::Deliver { from, observed: None, payload: received, .. }
            if *from == id(1) && *received == payload(b"hello"))
    };
    assert!(is_hidden(&heard), "{heard:?}");
    b.signal(1, b"hello").await;
    let answer = a.hear().await;
    assert!(
        matches!(&answer, ToClient::Deliver { observed, .. } if *observed == Some(b.addr())),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_signal_to_nobody_comes_back() {
    let relay = Running::start().await;
    let mut a = Client::register(&relay, 1).await;
    a.signal(9, b"hello").await;
    let reason = GoneReason::NotRegistered;
    assert_eq!(
        a.hear().await,
        ToClient::Gone {
            peer: id(9),
            reason
        }
    );
}

#[tokio::test]
async fn a_client_that_moved_is_told_its_new_address() {
    let relay = Running::start().await;
    let mut a = Client::register(&relay, 1).await;
    let old = a.addr();
    a.move_away();
    assert_ne!(a.addr(), old);
    a.say(ToRelay::KeepAlive).await;
    assert_eq!(a.hear().await, ToClient::Observed { addr: a.addr() });
    assert_eq!(a.hear().await, ToClient::KeepAliveAck);
}

#[tokio::test]
async fn the_older_of_two_clients_with_one_key_is_told_why_it_ends() {
    let relay = Running::start().await;
    let older = Client::register(&relay, 1).await;
    let mut newer = Client::register(&relay, 1).await;
    assert_eq!(close_reason(&older).await, CloseReason::Replaced);
    newer.say(ToRelay::KeepAlive).await;
    assert_eq!(newer.hear().await, ToClient::KeepAliveAck);
    assert_eq!(relay.relay.stats().clients, 1);
}

#[tokio::test]
async fn whoever_breaks_the_protocol_is_closed_and_nobody_else() {
    let relay = Running::start().await;
    let mut good = Client::register(&relay, 1).await;
    let breaches: [&[u8]; 4] = [
        &[0xff, 0xff, 0x02],
        &[0, 1, 0x01, VERSION],
        &[0, 1, 0x03, 0],
        &[0, 0, 0x02],
    ];
    for bytes in breaches {
        let mut bad = Client::register(&relay, 2).await;
        bad.send.write_all(bytes).await.unwrap();
        assert_eq!(close_reason(&bad).await, CloseReason::Protocol, "{bytes:?}");
    }
    let mut early = Client::connect(&relay, 3).await;
    early.say(ToRelay::KeepAlive).await;
    assert_eq!(close_reason(&early).await, CloseReason::Protocol);
    let mut newer = Client::connect(&relay, 3).await;
    newer
        .say(ToRelay::Hello {
            version: VERSION + 1,
        })
        .await;
    assert_eq!(close_reason(&newer).await, CloseReason::Protocol);
    good.say(ToRelay::KeepAlive).await;
    assert_eq!(good.hear().await, ToClient::KeepAliveAck);
}

#[tokio::test]
async fn a_frame_of_a_later_version_is_skipped() {
    let relay = Running::start().await;
    let mut a = Client::register(&relay, 1).await;
    a.send.write_all(&[0, 2, 0x7e, 1, 2]).await.unwrap();
    a.say(ToRelay::KeepAlive).await;
    assert_eq!(a.hear().await, ToClient::KeepAliveAck);
}

/// More at once than the relay works on for one address without having it proven.
#[tokio::test]
async fn clients_that_start_all_at_once_all_register() {
    let relay = std::sync::Arc::new(Running::start().await);
    let mut clients = tokio::task::JoinSet::new();
    for seed in 1..=40 {
        let relay = relay.clone();
        clients.spawn(async move { Client::register(&relay, seed).await });
    }
    let clients = clients.join_all().await;
    assert_eq!(relay.relay.stats().clients, clients.len());
}

#[tokio::test]
async fn one_address_gets_so_many_connections_and_no_more() {
    let limits = Limits {
        connections_per_ip: 2,
        ..Limits::default()
    };
    let relay = Running::with(ANY, limits).await;
    let first = Client::register(&relay, 1).await;
    let _second = Client::register(&relay, 2).await;
    let third = refused_dial(&relay).await;
    assert!(
        matches!(third, ConnectionError::ConnectionClosed(_)),
        "{third}"
    );
    first.connection.close(0_u32.into(), b"");
    first.endpoint.wait_idle().await;
    while relay.relay.stats().clients > 1 {
        tokio::task::yield_now().await;
    }
    Client::register(&relay, 3).await;
}

async fn refused_dial(relay: &Running) -> ConnectionError {
    let crypto = peerway::tls::client_config(&crate::world::secret(3), peerway::wire::relay::ALPN);
    let config = quinn::ClientConfig::new(std::sync::Arc::new(crypto.unwrap()));
    let endpoint = quinn::Endpoint::client(ANY).unwrap();
    let name = peerway::tls::server_name(relay.url().key());
    let connecting = endpoint.connect_with(config, relay.addr, &name).unwrap();
    connecting.await.expect_err("there is no room")
}

#[tokio::test]
async fn a_client_that_signals_beyond_its_budget_is_told_to_wait() {
    let limits = Limits {
        client_rate: Rate::bytes_per_second(10_000),
        ..Limits::default()
    };
    let relay = Running::with(ANY, limits).await;
    let (mut a, _b) = (
        Client::register(&relay, 1).await,
        Client::register(&relay, 2).await,
    );
    for _ in 0..20 {
        a.signal(2, &[0; 1000]).await;
    }
    let reason = GoneReason::Busy;
    assert_eq!(
        a.hear().await,
        ToClient::Gone {
            peer: id(2),
            reason
        }
    );
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed_and_nobody_else_waits_for_it() {
    let relay = Running::start().await;
    let mut a = Client::register(&relay, 1).await;
    let deaf = Client::register_with_window(&relay, 2, 2048).await;
    for _ in 0..10 {
        a.signal(2, &[0; 1400]).await;
    }
    while deaf.connection.close_reason().is_none() {
        a.say(ToRelay::KeepAlive).await;
        assert_eq!(a.hear().await, ToClient::KeepAliveAck);
    }
    assert_eq!(close_reason(&deaf).await, CloseReason::TooSlow);
}

#[tokio::test]
async fn a_stopping_relay_sends_its_clients_away_and_ends_when_they_left() {
    let relay = Running::start().await;
    let mut a = Client::register(&relay, 1).await;
    let leaving = async {
        let heard = a.hear().await;
        assert!(
            matches!(heard, ToClient::Drain { reconnect_in_ms } if reconnect_in_ms <= 1000),
            "{heard:?}"
        );
        a.connection.close(0_u32.into(), b"");
    };
    tokio::join!(relay.shutdown(), leaving);
}

#[tokio::test]
async fn a_stopping_relay_does_not_wait_for_a_client_that_stays() {
    let relay = Running::start().await;
    let a = Client::register(&relay, 1).await;
    relay.shutdown().await;
    assert_eq!(close_reason(&a).await, CloseReason::Goodbye);
}

//! What the relay does with single datagrams.

use std::time::Duration;

use peerway::{stun, wire::relay::ToClient};
use peerway_relay::{Limits, Rate};
use tokio::{net::UdpSocket, time::timeout};

use crate::world::{ANY, Client, PATIENCE, Running, SILENCE, id, lane_datagram};

/// Two clients with an open lane between them.
async fn pair(relay: &Running) -> (Client, Client) {
    let mut a = Client::register(relay, 1).await;
    let mut b = Client::register(relay, 2).await;
    a.signal(2, b"open").await;
    assert!(matches!(b.hear().await, ToClient::Deliver { .. }));
    (a, b)
}

#[tokio::test]
async fn the_lane_carries_datagrams_both_ways_unchanged() {
    let relay = Running::start().await;
    let (a, b) = pair(&relay).await;
    a.lane(2, b"there").await;
    assert_eq!(b.expect_lane().await, lane_datagram(id(1), id(2), b"there"));
    b.lane(1, b"back").await;
    assert_eq!(a.expect_lane().await, lane_datagram(id(1), id(2), b"back"));
}

#[tokio::test]
async fn the_lane_takes_nothing_from_anybody_else() {
    let relay = Running::start().await;
    let (a, b) = pair(&relay).await;
    let stranger = UdpSocket::bind(ANY).await.unwrap();
    let forged = lane_datagram(id(1), id(2), b"forged");
    stranger.send_to(&forged, relay.addr).await.unwrap();
    let third = Client::register(&relay, 3).await;
    third.lane(1, b"uninvited").await;
    assert_eq!(b.hear_lane().await, None);
    assert_eq!(a.hear_lane().await, None);
    assert_eq!(relay.relay.stats().stranger_bytes, forged.len() as u64);
}

#[tokio::test]
async fn data_that_overtakes_its_signal_is_not_lost() {
    let relay = Running::start().await;
    let mut a = Client::register(&relay, 1).await;
    let b = Client::register(&relay, 2).await;
    a.lane(2, b"early").await;
    a.signal(2, b"open").await;
    assert_eq!(b.expect_lane().await, lane_datagram(id(1), id(2), b"early"));
}

#[tokio::test]
async fn a_batch_of_two_channels_is_split_and_each_part_goes_its_way() {
    let relay = Running::start().await;
    let (mut a, b) = pair(&relay).await;
    let mut c = Client::register(&relay, 3).await;
    a.signal(3, b"open").await;
    assert!(matches!(c.hear().await, ToClient::Deliver { .. }));
    for round in 0..20 {
        a.lane(2, &[round; 100]).await;
        a.lane(3, &[round; 100]).await;
        a.lane(3, &[round; 100]).await;
    }
    for round in 0..20 {
        assert_eq!(
            b.expect_lane().await,
            lane_datagram(id(1), id(2), &[round; 100])
        );
        for _ in 0..2 {
            assert_eq!(
                c.expect_lane().await,
                lane_datagram(id(1), id(3), &[round; 100])
            );
        }
    }
}

#[tokio::test]
async fn the_control_connection_works_beside_a_flooded_lane() {
    let relay = Running::start().await;
    let (mut a, b) = pair(&relay).await;
    let flood = async {
        loop {
            b.lane(1, &[0; 1200]).await;
            tokio::task::yield_now().await;
        }
    };
    let talk = async {
        for _ in 0..20 {
            a.say(peerway::wire::relay::ToRelay::KeepAlive).await;
            assert_eq!(a.hear().await, ToClient::KeepAliveAck);
        }
    };
    tokio::select! {
        () = flood => {}
        () = talk => {}
    }
}

#[tokio::test]
async fn what_is_beyond_a_rate_for_a_moment_arrives_whole_and_at_that_rate() {
    let limits = Limits {
        client_rate: Rate::bytes_per_second(500_000),
        ..Limits::default()
    };
    let relay = Running::with(ANY, limits).await;
    let (a, b) = pair(&relay).await;
    b.lane(1, b"answer").await;
    a.expect_lane().await;
    let start = tokio::time::Instant::now();
    for number in 0..40 {
        a.lane(2, &[number; 1000]).await;
    }
    for number in 0..40 {
        let expected = lane_datagram(id(1), id(2), &[number; 1000]);
        assert_eq!(b.expect_lane().await, expected);
    }
    // 80 ms, less the burst of 10 and a batch.
    assert!(start.elapsed() > Duration::from_millis(30));
    assert_eq!(relay.relay.stats().over_budget_bytes, 0);
}

#[tokio::test]
async fn what_is_sent_to_who_does_not_answer_is_lost_beyond_what_a_handshake_takes() {
    let relay = Running::start().await;
    let (a, b) = pair(&relay).await;
    for _ in 0..300 {
        a.lane(2, &[0; 1000]).await;
    }
    b.expect_lane().await;
    let mut received = 1;
    while b.hear_lane().await.is_some() {
        received += 1;
    }
    // 32 KiB, and the last batch, which may be large.
    assert!((1..100).contains(&received), "{received}");
    assert!(relay.relay.stats().over_budget_bytes > 200_000);
}

#[tokio::test]
async fn a_stun_request_is_answered_from_the_port_it_asks_for() {
    let relay = Running::start().await;
    let socket = UdpSocket::bind(ANY).await.unwrap();
    let here = socket.local_addr().unwrap();
    let mut buffer = [0; 1500];

    let request = stun::binding_request([1; 12], false);
    socket.send_to(&request, relay.addr).await.unwrap();
    let (len, from) = timeout(PATIENCE, socket.recv_from(&mut buffer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(from, relay.addr);
    let response = stun::parse_response(&buffer[..len]).unwrap();
    assert_eq!((response.tx, response.mapped), ([1; 12], here));
    let other = response.other_address.unwrap();
    assert_eq!(other.ip(), relay.addr.ip());
    assert_ne!(other.port(), relay.addr.port());

    for (to, change_port, from) in [
        (relay.addr, true, other),
        (other, false, other),
        (other, true, relay.addr),
    ] {
        let request = stun::binding_request([2; 12], change_port);
        socket.send_to(&request, to).await.unwrap();
        let (len, answered) = timeout(PATIENCE, socket.recv_from(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(answered, from);
        let response = stun::parse_response(&buffer[..len]).unwrap();
        assert_eq!(response.mapped, here);
    }
}

#[tokio::test]
async fn a_relay_on_both_address_families_shows_ipv4_clients_their_ipv4_address() {
    let mut relay = Running::with("[::]:0".parse().unwrap(), Limits::default()).await;
    relay.addr.set_ip(ANY.ip());
    let (a, b) = pair(&relay).await;
    a.lane(2, b"there").await;
    assert_eq!(b.expect_lane().await, lane_datagram(id(1), id(2), b"there"));
    let socket = UdpSocket::bind(ANY).await.unwrap();
    let request = stun::binding_request([1; 12], false);
    socket.send_to(&request, relay.addr).await.unwrap();
    let mut buffer = [0; 1500];
    let received = timeout(PATIENCE, socket.recv(&mut buffer)).await.unwrap();
    let response = stun::parse_response(&buffer[..received.unwrap()]).unwrap();
    assert_eq!(response.mapped, socket.local_addr().unwrap());
    assert_eq!(response.other_address.unwrap().ip(), ANY.ip());
}

#[tokio::test]
async fn garbage_gets_no_answer() {
    let relay = Running::start().await;
    let socket = UdpSocket::bind(ANY).await.unwrap();
    let mut seed = 1_u64;
    let mut noise = |bytes: &mut [u8]| {
        for byte in bytes {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (seed >> 33) as u8;
        }
    };
    for first in 0..=u8::MAX {
        for len in [1, 7, 20, 28, 100, 1200, 1400] {
            let mut datagram = vec![0; len];
            noise(&mut datagram);
            datagram[0] = first;
            socket.send_to(&datagram, relay.addr).await.unwrap();
        }
    }
    let mut buffer = [0; 1500];
    let heard = timeout(SILENCE, socket.recv_from(&mut buffer)).await;
    assert!(heard.is_err(), "{heard:?}");
    Client::register(&relay, 1).await;
}

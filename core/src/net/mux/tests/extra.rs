//! The sockets that are opened besides the endpoint's own.

use tokio::net::UdpSocket;

use super::*;

const FIRST: Sock = Sock(1);
const PROBE: [u8; probe::PACKET_LEN] = [first_byte::PROBE; probe::PACKET_LEN];

fn from(sock: Sock, addr: SocketAddr) -> Pair {
    Pair { sock, addr }
}

/// Where a socket sends from.
async fn addr_of(mux: &Mux, sock: Sock) -> SocketAddr {
    let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = from(sock, other.local_addr().unwrap());
    mux.send_message(to, None, &PROBE).unwrap();
    other.recv_from(&mut [0; 128]).await.unwrap().1
}

#[tokio::test]
async fn every_socket_has_a_port_of_its_own_and_says_what_it_received() {
    let (mux, mut side) = mux();
    assert_eq!(mux.open_sockets(FIRST, 3), 3);
    let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut ports = vec![addr(&mux)];
    for sock in [1, 2, 3].map(Sock) {
        let local = addr_of(&mux, sock).await;
        assert!(!ports.contains(&local));
        ports.push(local);
        other.send_to(&PROBE, local).await.unwrap();
        tokio::select! {
            packets = receive(&mux) => panic!("quinn got {packets:?}"),
            message = side.recv() => assert_eq!(message, Some(ForDriver::Message {
                sock,
                source: other.local_addr().unwrap(),
                bytes: PROBE.to_vec(),
            })),
        }
    }
}

#[tokio::test]
async fn quinn_hears_from_sockets_that_were_opened_while_it_waited() {
    let (mux, _side) = mux();
    let link = mux.add_link();
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    mux.admit(peer.local_addr().unwrap(), &link);
    let wait = receive(&mux);
    tokio::pin!(wait);
    assert!(futures_util::poll!(wait.as_mut()).is_pending());
    mux.open_sockets(FIRST, 2);
    let late = addr_of(&mux, Sock(2)).await;
    peer.send_to(&SHORT_QUIC, late).await.unwrap();
    assert_eq!(wait.await, [(link.handle(), SHORT_QUIC.to_vec())]);
}

#[tokio::test]
async fn a_stranger_gets_nothing_from_them_either() {
    let (mux, _side) = mux();
    mux.open_sockets(FIRST, 1);
    let local = addr_of(&mux, FIRST).await;
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    stranger.send_to(&SHORT_QUIC, local).await.unwrap();
    stranger.send_to(&[0x30; 80], local).await.unwrap();
    let wait = receive(&mux);
    tokio::pin!(wait);
    while mux.strangers() < 2 {
        assert!(futures_util::poll!(wait.as_mut()).is_pending());
        tokio::task::yield_now().await;
    }
    assert!(stranger.try_recv(&mut [0; 64]).is_err(), "no answer");
}

#[tokio::test]
async fn a_busy_socket_leaves_the_others_their_turn() {
    let (mux, _side) = mux();
    mux.open_sockets(FIRST, 2);
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (busy, quiet) = (mux.add_link(), mux.add_link());
    let flood = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    mux.admit(flood.local_addr().unwrap(), &busy);
    mux.admit(peer.local_addr().unwrap(), &quiet);
    let quiet_addr = addr_of(&mux, Sock(2)).await;
    peer.send_to(&SHORT_QUIC, quiet_addr).await.unwrap();
    for _ in 0..100 {
        flood.send_to(&SHORT_QUIC, addr(&mux)).await.unwrap();
        let packets = receive(&mux).await;
        if packets.iter().any(|(link, _)| *link == quiet.handle()) {
            return;
        }
    }
    panic!("the quiet socket was never read");
}

#[tokio::test]
async fn a_closed_socket_is_gone_and_takes_nothing_with_it() {
    // Where no other test takes the port that becomes free.
    let (a, _side) = Mux::bind(Some("127.3.2.2:0".parse().unwrap())).unwrap();
    let (b, _) = mux();
    a.open_sockets(FIRST, 3);
    let link = a.add_link();
    let from_a = b.add_link();
    let closed = addr_of(&a, Sock(2)).await;
    let kept = addr_of(&a, Sock(3)).await;
    b.admit(closed, &from_a);
    b.admit(kept, &from_a);
    a.close_sockets(FIRST, 2);
    a.close_sockets(Sock(77), u16::MAX);
    let to_b = |sock| Destinations {
        dests: vec![Dest::Direct(from(sock, addr(&b)))],
    };
    a.send_message(from(Sock(2), addr(&b)), None, &PROBE)
        .unwrap_err();
    a.set_route(&link, to_b(Sock(2)), 1, true);
    send(&a, &transmit(&link, &SHORT_QUIC, None)).await;
    assert_eq!(link.direct().sent_datagrams, 0);
    // The port is free again.
    UdpSocket::bind(closed).await.unwrap();
    a.set_route(&link, to_b(Sock(3)), 1, true);
    send(&a, &transmit(&link, &SHORT_QUIC, None)).await;
    assert_eq!(receive(&b).await, [(from_a.handle(), SHORT_QUIC.to_vec())]);
}

#[tokio::test]
async fn quinn_waits_for_the_very_socket_that_cannot_send_yet() {
    let ((a, _), (b, _)) = (mux(), mux());
    let link = a.add_link();
    a.open_sockets(FIRST, 1);
    let route = Destinations {
        dests: vec![Dest::Direct(from(FIRST, addr(&b)))],
    };
    a.set_route(&link, route, 1, true);
    // Nothing has told yet that the new socket can send.
    let blocked = a.try_send(&transmit(&link, &SHORT_QUIC, None)).unwrap_err();
    assert_eq!(blocked.kind(), io::ErrorKind::WouldBlock);
    let mut poller = a.clone().create_io_poller();
    let wait = poll_fn(|cx| poller.as_mut().poll_writable(cx));
    wait.await.unwrap();
    a.try_send(&transmit(&link, &SHORT_QUIC, None)).unwrap();
    assert_eq!(link.direct().sent_datagrams, 1);
}

#[tokio::test]
async fn hundreds_are_opened_or_as_many_as_the_system_spares() {
    let (mux, _side) = mux();
    let open = mux.open_sockets(FIRST, 256);
    assert!(open > 0);
    assert_eq!(mux.open_sockets(FIRST, open), open, "they are open already");
    mux.close_sockets(FIRST, 256);
    let error = mux.send_message(from(FIRST, addr(&mux)), None, &PROBE);
    assert_eq!(error.unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);
    assert_eq!(mux.open_sockets(Sock(u32::MAX), 2), 0);
}

#[tokio::test]
async fn without_ipv4_there_are_none() {
    let Ok((mux, _side)) = Mux::bind(Some((Ipv6Addr::LOCALHOST, 0).into())) else {
        return; // this host lacks the family
    };
    assert_eq!(mux.open_sockets(FIRST, 4), 0);
}

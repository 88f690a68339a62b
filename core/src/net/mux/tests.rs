//! The mux by itself; `transfer` runs real connections over it.

use std::{future::poll_fn, io::IoSliceMut, task::Context};

use quinn::AsyncUdpSocket;
use quinn_udp::{RecvMeta, Transmit};

use super::*;
use crate::{
    SecretKey,
    wire::{first_byte, probe},
};

mod demux;
mod extra;
mod gather;
mod tables;
mod transfer;

const SHORT_QUIC: [u8; 30] = [0x40; 30];

fn loopback() -> Option<SocketAddr> {
    Some((Ipv4Addr::LOCALHOST, 0).into())
}

fn mux() -> (Arc<Mux>, mpsc::Receiver<ForDriver>) {
    Mux::bind(loopback()).unwrap()
}

fn addr(mux: &Mux) -> SocketAddr {
    mux.local_v4().unwrap()
}

fn channel(a: u8, b: u8) -> Channel {
    let id = |seed| SecretKey::from_seed(&[seed; 32]).id();
    Channel::between(id(a), id(b))
}

fn direct(addr: SocketAddr) -> Destinations {
    Destinations {
        dests: vec![Dest::Direct(Pair::main(addr))],
    }
}

fn transmit<'a>(link: &Link, contents: &'a [u8], segment: Option<usize>) -> Transmit<'a> {
    Transmit {
        destination: virtual_addr(link.handle()),
        ecn: None,
        contents,
        segment_size: segment,
        src_ip: None,
    }
}

/// Sends as quinn does: again when the socket is ready.
async fn send(mux: &Arc<Mux>, transmit: &Transmit<'_>) {
    let mut poller = mux.clone().create_io_poller();
    loop {
        poll_fn(|cx| poller.as_mut().poll_writable(cx))
            .await
            .unwrap();
        match mux.try_send(transmit) {
            Ok(()) => return,
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
}

/// The next packets for quinn: whose, and what.
async fn receive(mux: &Mux) -> Vec<(LinkHandle, Vec<u8>)> {
    let mut storage = vec![vec![0; 1 << 16]; 4];
    let mut bufs: Vec<_> = storage.iter_mut().map(|b| IoSliceMut::new(b)).collect();
    let mut meta = [RecvMeta::default(); 4];
    let count = poll_fn(|cx| mux.poll_recv(cx, &mut bufs, &mut meta))
        .await
        .unwrap();
    let mut packets = Vec::new();
    for (buf, meta) in bufs.iter().zip(meta).take(count) {
        assert_eq!(meta.dst_ip, None);
        let link = handle_of(meta.addr).unwrap();
        for packet in buf[..meta.len].chunks(meta.stride) {
            packets.push((link, packet.to_vec()));
        }
    }
    packets
}

#[test]
fn a_virtual_address_names_its_link_and_no_other_address_does() {
    for handle in [1, 0xffff, 0x1_0000, u32::MAX].map(LinkHandle) {
        assert_eq!(handle_of(virtual_addr(handle)), Some(handle));
    }
    for other in ["10.0.0.1:1", "[fd00::1]:1", "[fd00:5057::1]:2"] {
        assert_eq!(handle_of(other.parse().unwrap()), None);
    }
    assert_ne!(virtual_addr(LinkHandle(1)), virtual_addr(LinkHandle(2)));
}

#[tokio::test]
async fn strangers_get_nothing_and_are_counted() {
    let (mux, mut side) = mux();
    let stranger = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut lane = channel(1, 2).header().to_vec();
    lane.extend_from_slice(&SHORT_QUIC);
    for datagram in [
        &SHORT_QUIC[..],
        &lane,
        &[0x30; 80],
        &[first_byte::INTRO; 80],
    ] {
        stranger.send_to(datagram, addr(&mux)).await.unwrap();
    }
    stranger.send_to(&[], addr(&mux)).await.unwrap();
    stranger
        .send_to(&[first_byte::PROBE; probe::PACKET_LEN], addr(&mux))
        .await
        .unwrap();
    let bytes = tokio::select! {
        packets = receive(&mux) => panic!("quinn got {packets:?}"),
        message = side.recv() => message.unwrap(),
    };
    assert_eq!(
        bytes,
        ForDriver::Message {
            sock: Sock::MAIN,
            source: stranger.local_addr().unwrap(),
            bytes: vec![first_byte::PROBE; probe::PACKET_LEN],
        }
    );
    assert_eq!(mux.strangers(), 4);
    assert!(stranger.try_recv(&mut [0; 64]).is_err(), "no answer");
}

#[tokio::test]
async fn an_expelled_source_is_a_stranger_again() {
    let ((a, _), (b, mut b_side)) = (mux(), mux());
    let to_b = a.add_link();
    let from_a = b.add_link();
    a.set_route(&to_b, direct(addr(&b)), 1, true);
    b.admit(addr(&a), &from_a);
    send(&a, &transmit(&to_b, &SHORT_QUIC, None)).await;
    assert_eq!(receive(&b).await, [(from_a.handle(), SHORT_QUIC.to_vec())]);
    b.expel(addr(&a), from_a.handle());
    send(&a, &transmit(&to_b, &SHORT_QUIC, None)).await;
    a.send_message(
        Pair::main(addr(&b)),
        None,
        &[first_byte::PROBE; probe::PACKET_LEN],
    )
    .unwrap();
    tokio::select! {
        packets = receive(&b) => panic!("quinn got {packets:?}"),
        _ = b_side.recv() => {}
    }
    assert_eq!(b.strangers(), 1);
}

#[tokio::test]
async fn a_route_with_two_destinations_sends_everything_twice() {
    let ((a, _), (b, _), (relay, mut relay_side)) = (mux(), mux(), mux());
    let link = a.add_link();
    let from_a = b.add_link();
    b.admit(addr(&a), &from_a);
    let as_relay = relay.add_link();
    relay.admit_relay(addr(&a), &as_relay);
    let lane = Dest::Lane {
        relay: addr(&relay),
        channel: channel(1, 2),
    };
    let route = Destinations {
        dests: vec![Dest::Direct(Pair::main(addr(&b))), lane],
    };
    a.set_route(&link, route, 1, true);
    send(&a, &transmit(&link, &SHORT_QUIC, None)).await;
    assert_eq!(receive(&b).await, [(from_a.handle(), SHORT_QUIC.to_vec())]);
    tokio::select! {
        packets = receive(&relay) => panic!("quinn got {packets:?}"),
        early = relay_side.recv() => assert_eq!(early, Some(ForDriver::EarlyLane {
            relay: addr(&a),
            channel: channel(1, 2),
            packet: Bytes::from_static(&SHORT_QUIC),
        })),
    }
    assert_eq!(link.direct().sent_bytes, 30);
    assert_eq!(link.lane().sent_bytes, 30);
}

/// A link of `a` over a lane, and what `b` takes it for.
fn lane(a: &Mux, b: &Mux) -> (Arc<Link>, Arc<Link>) {
    let channel = channel(1, 2);
    let relay = addr(b);
    let dests = vec![Dest::Lane { relay, channel }];
    let (link, from_a) = (a.add_link(), b.add_link());
    a.set_route(&link, Destinations { dests }, 1, true);
    b.admit_channel(addr(a), channel, &from_a);
    (link, from_a)
}

#[tokio::test]
async fn a_packet_of_a_handshake_takes_the_lane_twice_and_any_other_once() {
    let ((a, _), (b, _)) = (mux(), mux());
    let (link, from_a) = lane(&a, &b);
    let initial = [0xc0; 1200];
    send(&a, &transmit(&link, &initial, None)).await;
    send(&a, &transmit(&link, &SHORT_QUIC, None)).await;
    let mut packets = Vec::new();
    while packets.len() < 3 {
        packets.extend(receive(&b).await);
    }
    let expected = [&initial[..], &initial, &SHORT_QUIC];
    let expected = expected.map(|packet| (from_a.handle(), packet.to_vec()));
    assert_eq!(packets, expected);
    assert_eq!(link.lane().sent_datagrams, 3);
    assert_eq!(link.lane().sent_bytes, 2430);
}

#[tokio::test]
async fn a_batch_on_the_lane_arrives_without_its_headers() {
    let ((a, _), (b, _)) = (mux(), mux());
    let (link, from_a) = lane(&a, &b);
    let mut batch = vec![0x41; 2500];
    batch[1200..2400].fill(0x42);
    batch[2400..].fill(0x43);
    send(&a, &transmit(&link, &batch, Some(1200))).await;
    let mut packets = Vec::new();
    while packets.len() < 3 {
        packets.extend(receive(&b).await);
    }
    let expected = [vec![0x41; 1200], vec![0x42; 1200], vec![0x43; 100]];
    assert_eq!(packets, expected.map(|packet| (from_a.handle(), packet)));
    assert_eq!(from_a.lane().received_datagrams, 3);
    assert_eq!(from_a.lane().received_bytes, 2500);
    assert_eq!(link.lane().sent_datagrams, 3);
}

#[tokio::test]
async fn a_mux_of_both_families_sends_and_receives_over_each() {
    let ((a, _), (b, _)) = (Mux::bind(None).unwrap(), Mux::bind(None).unwrap());
    for (local, remote, loopback) in [
        (
            a.local_v4(),
            b.local_v4(),
            IpAddr::from(Ipv4Addr::LOCALHOST),
        ),
        (
            a.local_v6(),
            b.local_v6(),
            IpAddr::from(Ipv6Addr::LOCALHOST),
        ),
    ] {
        let (Some(local), Some(remote)) = (local, remote) else {
            continue; // this host lacks the family
        };
        let (to_b, from_a) = (a.add_link(), b.add_link());
        let route = direct(SocketAddr::new(loopback, remote.port()));
        a.set_route(&to_b, route, 1, true);
        b.admit(SocketAddr::new(loopback, local.port()), &from_a);
        send(&a, &transmit(&to_b, &SHORT_QUIC, None)).await;
        assert_eq!(receive(&b).await, [(from_a.handle(), SHORT_QUIC.to_vec())]);
    }
}

#[tokio::test]
async fn a_held_packet_reaches_quinn_when_it_is_injected() {
    let (mux, _side) = mux();
    let link = mux.add_link();
    let wait = receive(&mux);
    tokio::pin!(wait);
    assert!(futures_util::poll!(wait.as_mut()).is_pending());
    mux.inject(link.handle(), Bytes::from_static(&SHORT_QUIC));
    assert_eq!(wait.await, [(link.handle(), SHORT_QUIC.to_vec())]);
}

#[tokio::test]
async fn silence_counts_from_the_first_unanswered_datagram() {
    let ((a, _), (b, _)) = (mux(), mux());
    let (to_b, to_a) = (a.add_link(), b.add_link());
    a.set_route(&to_b, direct(addr(&b)), 1, true);
    b.set_route(&to_a, direct(addr(&a)), 1, true);
    a.admit(addr(&b), &to_b);
    b.admit(addr(&a), &to_a);
    assert_eq!(to_b.silent_since(), None);
    send(&a, &transmit(&to_b, &SHORT_QUIC, None)).await;
    let since = to_b.silent_since().unwrap();
    send(&a, &transmit(&to_b, &SHORT_QUIC, None)).await;
    assert_eq!(to_b.silent_since(), Some(since));
    send(&b, &transmit(&to_a, &SHORT_QUIC, None)).await;
    receive(&a).await;
    assert_eq!(to_b.silent_since(), None);
}

#[tokio::test]
async fn activity_is_reported_once_until_unwatched() {
    let ((a, _), (b, _)) = (mux(), mux());
    let link = a.add_link();
    a.set_route(&link, direct(addr(&b)), 1, true);
    for _ in 0..2 {
        send(&a, &transmit(&link, &SHORT_QUIC, None)).await;
        send(&a, &transmit(&link, &SHORT_QUIC, None)).await;
        assert_eq!(a.activity().await, [link.handle()]);
        let more = a.activity();
        tokio::pin!(more);
        assert!(futures_util::poll!(more.as_mut()).is_pending());
        link.unwatch();
    }
}

#[tokio::test]
async fn bad_addresses_cost_neither_an_error_nor_segmentation_offload() {
    let (mux, _side) = mux();
    let link = mux.add_link();
    let segments = mux.max_transmit_segments();
    for bad in [
        "127.0.0.1:0",
        "0.0.0.0:9",
        "255.255.255.255:9",
        "[fe80::1]:9",
        "[::1]:9",
    ] {
        let bad: SocketAddr = bad.parse().unwrap();
        mux.send_message(Pair::main(bad), None, &SHORT_QUIC)
            .unwrap_err();
        mux.set_route(&link, direct(bad), 1, true);
        send(&mux, &transmit(&link, &[0x40; 2400], Some(1200))).await;
    }
    assert_eq!(mux.max_transmit_segments(), segments);
}

#[tokio::test]
async fn empty_datagrams_refusals_and_unreachable_networks_do_not_stop_a_socket() {
    let (mux, _side) = mux();
    let friend = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    // Where no other test opens a socket.
    let refusing = "127.3.2.1:9".parse().unwrap();
    let unroutable = "192.0.2.1:9".parse().unwrap();
    let link = mux.add_link();
    mux.admit(friend.local_addr().unwrap(), &link);
    for _ in 0..20 {
        for to in [refusing, unroutable] {
            mux.set_route(&link, direct(to), 1, true);
            send(&mux, &transmit(&link, &[0x40; 2400], Some(1200))).await;
            let _ = mux.send_message(
                Pair::main(to),
                None,
                &[first_byte::PROBE; probe::PACKET_LEN],
            );
        }
        for _ in 0..50 {
            friend.send_to(&[], addr(&mux)).await.unwrap();
        }
        friend.send_to(&SHORT_QUIC, addr(&mux)).await.unwrap();
        let packets = receive(&mux).await;
        assert_eq!(packets, [(link.handle(), SHORT_QUIC.to_vec())]);
    }
}

#[tokio::test]
async fn offload_that_was_lost_on_one_path_is_back_on_the_next() {
    let ((mux, _), (other, _)) = (mux(), mux());
    let link = mux.add_link();
    let segments = mux.max_transmit_segments();
    // Not from a socket bound to loopback: the kernel's answer is EINVAL.
    let unroutable = "192.0.2.1:9".parse().unwrap();
    mux.set_route(&link, direct(unroutable), 1, true);
    send(&mux, &transmit(&link, &[0x40; 2400], Some(1200))).await;
    assert_eq!(mux.max_transmit_segments(), 1);
    mux.set_route(&link, direct(addr(&other)), 2, true);
    assert_eq!(mux.max_transmit_segments(), segments);
}

#[tokio::test]
async fn a_message_with_a_time_to_live_of_its_own_arrives() {
    let ((a, _), (b, mut side)) = (mux(), mux());
    let probe = [first_byte::PROBE; probe::PACKET_LEN];
    a.send_message(Pair::main(addr(&b)), Some(3), &probe)
        .unwrap();
    tokio::select! {
        packets = receive(&b) => panic!("quinn got {packets:?}"),
        message = side.recv() => assert_eq!(message, Some(ForDriver::Message {
            sock: Sock::MAIN,
            source: addr(&a),
            bytes: probe.to_vec(),
        })),
    }
}

#[tokio::test]
async fn a_flood_for_the_driver_loses_its_own_datagrams_only() {
    let ((a, _), (b, side)) = (mux(), mux());
    let probe = [first_byte::PROBE; probe::PACKET_LEN];
    let from_a = b.add_link();
    b.admit(addr(&a), &from_a);
    let to_b = a.add_link();
    a.set_route(&to_b, direct(addr(&b)), 1, true);
    for _ in 0..DRIVER_CAPACITY / 64 + 1 {
        for _ in 0..64 {
            a.send_message(Pair::main(addr(&b)), None, &probe).unwrap();
        }
        send(&a, &transmit(&to_b, &SHORT_QUIC, None)).await;
        receive(&b).await;
    }
    assert_eq!(side.len(), DRIVER_CAPACITY);
    assert_eq!(b.strangers(), 64);
}

#[tokio::test]
async fn a_channel_that_is_closed_is_closed_at_every_relay_and_no_other_is() {
    let (b, _side) = mux();
    let link = b.add_link();
    let relays = ["127.0.0.1:1", "127.0.0.1:2"].map(|at| at.parse().unwrap());
    for relay in relays {
        b.admit_channel(relay, channel(1, 2), &link);
        b.admit_channel(relay, channel(1, 3), &link);
    }
    b.close_channel(channel(1, 2));
    for relay in relays {
        assert_eq!(b.link_of(relay, channel(1, 2)), None);
        assert_eq!(b.link_of(relay, channel(1, 3)), Some(link.handle()));
    }
}

#[tokio::test]
async fn a_removed_link_is_gone_with_its_sources_and_channels() {
    let ((a, _), (b, mut side)) = (mux(), mux());
    let (to_b, from_a) = (a.add_link(), b.add_link());
    a.set_route(&to_b, direct(addr(&b)), 1, true);
    b.admit(addr(&a), &from_a);
    assert_eq!(b.link_of(addr(&a), channel(1, 2)), None);
    b.admit_channel(addr(&a), channel(1, 2), &from_a);
    assert_eq!(b.link_of(addr(&a), channel(1, 2)), Some(from_a.handle()));
    b.remove_link(from_a.handle());
    assert_eq!(b.link_of(addr(&a), channel(1, 2)), None);
    send(&a, &transmit(&to_b, &SHORT_QUIC, None)).await;
    a.remove_link(to_b.handle());
    send(&a, &transmit(&to_b, &SHORT_QUIC, None)).await;
    a.send_message(
        Pair::main(addr(&b)),
        None,
        &[first_byte::PROBE; probe::PACKET_LEN],
    )
    .unwrap();
    tokio::select! {
        packets = receive(&b) => panic!("quinn got {packets:?}"),
        _ = side.recv() => {}
    }
    assert_eq!(b.strangers(), 1);
    assert_ne!(b.add_link().handle(), from_a.handle());
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error() {
    let (mux, _side) = Mux::bind(None).unwrap();
    let taken = mux.local_v4().or_else(|| mux.local_v6()).unwrap();
    let error = Mux::bind(Some(taken)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}

//! What leaves in one call, and what does not wait.

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};

use super::*;
use crate::wire::lane::{self, HEADER_LEN};

const LEN: usize = 1200;

/// Ten datagrams, as many as quinn makes at once, the first of which begins with `first`.
fn full(mark: u8) -> Vec<u8> {
    let mut contents = vec![mark; 10 * LEN];
    (contents.iter_mut().step_by(LEN)).for_each(|first| *first = 0x40);
    contents
}

/// Two muxes and the link of the first to the second, which takes what comes from there as another link's.
struct Two {
    a: Arc<Mux>,
    b: Arc<Mux>,
    link: Arc<Link>,
    _sides: [mpsc::Receiver<ForDriver>; 2],
}

fn two() -> Two {
    let ((a, a_side), (b, b_side)) = (mux(), mux());
    let link = a.add_link();
    a.set_route(&link, direct(addr(&b)), 1, true);
    b.admit(addr(&a), &b.add_link());
    Two {
        a,
        b,
        link,
        _sides: [a_side, b_side],
    }
}

/// Gives the tasks of a mux their turn, as quinn does by reading from it; nothing comes.
fn turn(mux: &Mux) {
    let mut storage = [0; 2048];
    let mut bufs = [IoSliceMut::new(&mut storage)];
    let mut meta = [RecvMeta::default()];
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert!(mux.poll_recv(&mut cx, &mut bufs, &mut meta).is_pending());
}

/// The batches that came, each as the lengths of its packets and their mark.
async fn batches(mux: &Mux) -> Vec<(usize, u8)> {
    let mut storage = vec![vec![0; 1 << 16]; 4];
    let mut bufs: Vec<_> = storage.iter_mut().map(|b| IoSliceMut::new(b)).collect();
    let mut meta = [RecvMeta::default(); 4];
    let count = poll_fn(|cx| mux.poll_recv(cx, &mut bufs, &mut meta))
        .await
        .unwrap();
    let batches = bufs.iter().zip(meta).take(count);
    batches
        .map(|(buf, meta)| (meta.len.div_ceil(meta.stride), buf[meta.len - 1]))
        .collect()
}

#[tokio::test]
async fn full_batches_leave_together_once_all_others_had_their_turn() {
    let Two { a, b, link, .. } = &two();
    for mark in [1, 2, 3] {
        send(a, &transmit(link, &full(mark), Some(LEN))).await;
    }
    turn(b);
    turn(a);
    turn(b);
    turn(a);
    assert_eq!(batches(b).await, [(30, 3)]);
    assert_eq!(link.direct().sent_datagrams, 30);
    turn(a);
    turn(b);
}

#[tokio::test]
async fn a_smaller_batch_takes_along_what_is_ahead_of_it_at_once() {
    let Two { a, b, link, .. } = &two();
    send(a, &transmit(link, &full(1), Some(LEN))).await;
    let last = &full(2)[..2 * LEN + 100];
    send(a, &transmit(link, last, Some(LEN))).await;
    assert_eq!(batches(b).await, [(13, 2)]);
    send(a, &transmit(link, last, Some(LEN))).await;
    assert_eq!(batches(b).await, [(3, 2)]);
}

#[tokio::test]
async fn what_may_not_leave_with_it_leaves_after_it() {
    let Two { a, b, link, .. } = &two();
    let probe = [0x40; LEN + 1];
    let mut handshake = [0x40; LEN];
    handshake[0] |= 0xc0;
    for (after, segment) in [(&probe[..], None), (&handshake, None)] {
        send(a, &transmit(link, &full(1), Some(LEN))).await;
        send(a, &transmit(link, after, segment)).await;
        let mut came = Vec::new();
        while came.len() < 2 {
            came.extend(batches(b).await);
        }
        assert_eq!(came, [(10, 1), (1, 0x40)]);
    }
    send(a, &transmit(link, &full(1), Some(LEN))).await;
    let mut marked = transmit(link, &probe[..LEN], None);
    marked.ecn = Some(quinn_udp::EcnCodepoint::Ce);
    send(a, &marked).await;
    let mut came = Vec::new();
    while came.len() < 2 {
        came.extend(batches(b).await);
    }
    assert_eq!(came, [(10, 1), (1, 0x40)]);
}

#[tokio::test]
async fn no_more_leaves_in_one_call_than_it_can_send() {
    let Two { a, b, link, .. } = &two();
    for mark in 1..=6 {
        send(a, &transmit(link, &full(mark), Some(LEN))).await;
    }
    turn(a);
    turn(a);
    let mut came = Vec::new();
    while came.len() < 2 {
        came.extend(batches(b).await);
    }
    assert_eq!(came, [(50, 5), (10, 6)]);
}

#[tokio::test]
async fn what_waits_goes_the_way_that_it_was_meant_for() {
    let Two { a, b, link, .. } = &two();
    let (relay, _side) = mux();
    send(a, &transmit(link, &full(1), Some(LEN))).await;
    let lane = Dest::Lane {
        relay: addr(&relay),
        channel: channel(1, 2),
    };
    a.set_route(link, Destinations { dests: vec![lane] }, 2, true);
    relay.admit_relay(addr(a), &relay.add_link());
    relay.admit_channel(addr(a), channel(1, 2), &relay.add_link());
    send(a, &transmit(link, &full(2), Some(LEN))).await;
    send(a, &transmit(link, &full(3), Some(LEN))).await;
    turn(a);
    turn(a);
    assert_eq!(batches(b).await, [(10, 1)]);
    assert_eq!(batches(&relay).await, [(20, 3)]);
    assert_eq!(link.lane().sent_bytes, 20 * LEN as u64);
}

#[tokio::test]
async fn through_a_lane_each_datagram_has_its_header() {
    let Two { a, link, .. } = &two();
    let relay = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let lane = Dest::Lane {
        relay: relay.local_addr().unwrap(),
        channel: channel(1, 2),
    };
    a.set_route(link, Destinations { dests: vec![lane] }, 2, true);
    for mark in [1, 2] {
        send(a, &transmit(link, &full(mark), Some(LEN))).await;
    }
    turn(a);
    turn(a);
    for at in 0..20 {
        let mut datagram = [0; 2048];
        let len = relay.recv(&mut datagram).await.unwrap();
        let frame = lane::Frame::parse(&datagram[..len]).unwrap();
        assert_eq!(frame.channel, channel(1, 2));
        assert_eq!(len, HEADER_LEN + LEN);
        assert_eq!(datagram[len - 1], 1 + at / 10);
    }
}

/// tokio takes a new socket for one that cannot send yet.
#[tokio::test]
async fn what_the_socket_cannot_take_yet_leaves_when_it_can() {
    let Two { a, b, link, .. } = &two();
    let full = full(1);
    a.try_send(&transmit(link, &full, Some(LEN))).unwrap();
    a.try_send(&transmit(link, &full[..100], None)).unwrap();
    let blocked = a.try_send(&transmit(link, &full, Some(LEN))).unwrap_err();
    assert_eq!(blocked.kind(), io::ErrorKind::WouldBlock);
    turn(a);
    // Each with a waker of its own.
    let sending = async { Err(receive(a).await) }.boxed_local();
    let receiving = async { Ok(batches(b).await) }.boxed_local();
    let mut both = FuturesUnordered::from_iter([sending, receiving]);
    let came = both.next().await.unwrap().unwrap();
    assert_eq!(came, [(11, 1)]);
    assert_eq!(link.direct().sent_datagrams, 11);
}

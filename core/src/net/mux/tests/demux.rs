//! Receive buffers as the kernel fills them, without sockets.

use std::sync::Arc;

use super::{super::demux::Sorter, *};
use crate::wire::{first_byte, probe};

const RELAY: &str = "192.0.2.1:4433";
const PEER: &str = "192.0.2.2:1000";
const STRIDE: usize = 108;

/// A relay that is admitted with two known channels, and a peer admitted directly.
struct Fixture {
    tables: Tables,
    outlets: Outlets,
    side: mpsc::Receiver<ForDriver>,
    relay: Arc<Link>,
    peer: Arc<Link>,
    others: [Arc<Link>; 2],
}

impl Fixture {
    fn new() -> Self {
        let link = |handle| Arc::new(Link::new(LinkHandle(handle)));
        let (relay, peer, others) = (link(1), link(2), [link(3), link(4)]);
        let mut tables = Tables::default();
        tables.admit_relay(at(RELAY), &relay);
        tables.admit(at(PEER), &peer);
        for (i, link) in others.iter().enumerate() {
            let key = (at(RELAY), lane(i));
            tables.channels.insert(key, link.clone());
        }
        let (sender, side) = mpsc::channel(DRIVER_CAPACITY);
        Self {
            tables,
            outlets: Outlets::new(sender),
            side,
            relay,
            peer,
            others,
        }
    }

    /// Sorts one buffer; returns what stays in it.
    fn sort(&self, source: &str, stride: usize, received: &[u8]) -> Vec<(LinkHandle, Vec<u8>)> {
        let mut buf = received.to_vec();
        let mut bufs = [IoSliceMut::new(&mut buf)];
        let mut meta = [RecvMeta {
            addr: at(source),
            len: received.len(),
            stride,
            ecn: None,
            dst_ip: Some(Ipv4Addr::LOCALHOST.into()),
        }];
        match Sorter::new(Sock::MAIN, &self.tables, &self.outlets).sort(&mut bufs, &mut meta, 1) {
            0 => Vec::new(),
            _ => packets(&bufs[0], &meta[0]),
        }
    }

    /// What went the long way round.
    fn injected(&self) -> Vec<(LinkHandle, Vec<u8>)> {
        let mut storage = vec![vec![0; 4096]; 8];
        let mut bufs: Vec<_> = storage.iter_mut().map(|b| IoSliceMut::new(b)).collect();
        let mut meta = [RecvMeta::default(); 8];
        let count = self.outlets.injected.deliver(&mut bufs, &mut meta);
        let filled = bufs.iter().zip(&meta).take(count);
        filled.flat_map(|(buf, meta)| packets(buf, meta)).collect()
    }

    fn strangers(&self) -> u64 {
        self.outlets.strangers.load(Ordering::Relaxed)
    }
}

fn packets(buf: &[u8], meta: &RecvMeta) -> Vec<(LinkHandle, Vec<u8>)> {
    assert_eq!(meta.dst_ip, None);
    let link = handle_of(meta.addr).unwrap();
    let packets = buf[..meta.len].chunks(meta.stride);
    packets.map(|packet| (link, packet.to_vec())).collect()
}

fn at(addr: &str) -> SocketAddr {
    addr.parse().unwrap()
}

fn lane(i: usize) -> Channel {
    [channel(1, 2), channel(1, 3), channel(1, 4)][i]
}

fn quic(mark: u8, len: usize) -> Vec<u8> {
    vec![0x40 | mark; len]
}

fn frame(i: usize, packet: &[u8]) -> Vec<u8> {
    [&lane(i).header(), packet].concat()
}

#[test]
fn a_probe_that_ends_a_batch_of_quic_goes_to_the_driver() {
    let mut f = Fixture::new();
    let probe = vec![first_byte::PROBE; probe::PACKET_LEN];
    let batch = [quic(1, STRIDE), quic(2, STRIDE), probe.clone()].concat();
    let kept = f.sort(PEER, STRIDE, &batch);
    let peer = f.peer.handle();
    assert_eq!(kept, [(peer, quic(1, STRIDE)), (peer, quic(2, STRIDE))]);
    let source = at(PEER);
    assert_eq!(
        f.side.try_recv(),
        Ok(ForDriver::Message {
            sock: Sock::MAIN,
            source,
            bytes: probe
        })
    );
    assert_eq!(f.peer.direct().received_datagrams, 2);
}

#[test]
fn what_a_stranger_sends_that_may_be_of_the_dht_goes_to_the_driver_and_quic_of_peers_stays_quic() {
    let mut f = Fixture::new();
    let pong =
        b"d2:ip6:\xc0\x00\x02\x07\x12\x341:rd2:id20:abcdefghij0123456789e1:t4:aaaa1:y1:re".to_vec();
    let len = pong.len();
    let stranger = "198.51.100.9:6881";
    assert_eq!(f.sort(stranger, len, &pong), []);
    let source = at(stranger);
    let bytes = pong.clone();
    assert_eq!(f.side.try_recv(), Ok(ForDriver::Krpc { source, bytes }));
    let peer = f.peer.handle();
    assert_eq!(f.sort(PEER, len, &pong), [(peer, pong)]);
    assert!(f.side.try_recv().is_err());
}

#[test]
fn messages_between_quic_packets_are_cut_out() {
    let mut f = Fixture::new();
    let size = probe::PACKET_LEN;
    let probe = vec![first_byte::PROBE; size];
    let batch = [probe.clone(), quic(1, size), probe, quic(2, 10)].concat();
    let peer = f.peer.handle();
    assert_eq!(
        f.sort(PEER, size, &batch),
        [(peer, quic(1, size)), (peer, quic(2, 10))]
    );
    assert!(f.side.try_recv().is_ok() && f.side.try_recv().is_ok());
}

#[test]
fn two_lanes_and_the_relay_itself_in_one_batch_reach_their_own_links() {
    let mut f = Fixture::new();
    let batch = [
        frame(0, &quic(1, STRIDE - 8)),
        frame(1, &quic(2, STRIDE - 8)),
        quic(3, STRIDE),
        frame(0, &quic(4, STRIDE - 8)),
        frame(2, &quic(5, STRIDE - 8)),
        frame(1, &quic(6, 20)),
    ];
    let [first, second] = f.others.each_ref().map(|link| link.handle());
    assert_eq!(
        f.sort(RELAY, STRIDE, &batch.concat()),
        [(first, quic(1, STRIDE - 8)), (first, quic(4, STRIDE - 8))]
    );
    assert_eq!(
        f.injected(),
        [
            (second, quic(2, STRIDE - 8)),
            (f.relay.handle(), quic(3, STRIDE)),
            (second, quic(6, 20)),
        ]
    );
    assert_eq!(
        f.side.try_recv(),
        Ok(ForDriver::EarlyLane {
            relay: at(RELAY),
            channel: lane(2),
            packet: quic(5, STRIDE - 8).into(),
        })
    );
    assert_eq!(f.strangers(), 0);
}

#[test]
fn a_lane_frame_from_anyone_but_a_relay_is_dropped() {
    let f = Fixture::new();
    let frame = frame(0, &quic(1, 50));
    for source in [PEER, "192.0.2.3:9"] {
        assert_eq!(f.sort(source, frame.len(), &frame), []);
    }
    assert_eq!(f.strangers(), 2);
}

#[test]
fn any_stride_and_length_is_safe() {
    let f = Fixture::new();
    let received = [frame(0, &quic(1, 3)), quic(2, 5), vec![0; 9]].concat();
    for stride in 0..received.len() + 2 {
        for len in 0..=received.len() {
            for source in [RELAY, PEER] {
                for (_, packet) in f.sort(source, stride, &received[..len]) {
                    assert!(!packet.is_empty() && packet.len() <= stride.max(1));
                }
            }
        }
    }
}

#[test]
fn buffers_with_nothing_for_quinn_are_left_out() {
    let f = Fixture::new();
    let mut storage = [quic(1, 30), vec![0x3f; 30], quic(2, 30)];
    let mut bufs = storage.each_mut().map(|b| IoSliceMut::new(b));
    let mut meta = ["192.0.2.9:9", PEER, PEER].map(|source| RecvMeta {
        addr: at(source),
        len: 30,
        stride: 30,
        ..RecvMeta::default()
    });
    let kept = Sorter::new(Sock::MAIN, &f.tables, &f.outlets).sort(&mut bufs, &mut meta, 3);
    assert_eq!(kept, 1);
    assert_eq!(
        packets(&bufs[0], &meta[0]),
        [(f.peer.handle(), quic(2, 30))]
    );
}

#[test]
fn a_mixed_batch_of_the_largest_number_of_segments_loses_nothing() {
    let f = Fixture::new();
    let batch: Vec<u8> = (0..64)
        .flat_map(|i| frame(i % 2, &quic(1, STRIDE - 8)))
        .collect();
    assert_eq!(f.sort(RELAY, STRIDE, &batch).len(), 32);
    assert_eq!(f.injected().len(), 32);
}

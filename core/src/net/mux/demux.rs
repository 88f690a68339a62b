//! Sorting what was received: QUIC of admitted sources to quinn, our own messages to the driver, the rest nowhere.

use std::{
    io::IoSliceMut,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use quinn_udp::RecvMeta;
use tokio::sync::mpsc;

use super::{
    inject::Injected,
    link::{Link, LinkHandle, virtual_addr},
    tables::{Admitted, Tables},
};
use crate::{
    proto::io::Sock,
    wire::{
        datagram::DatagramKind,
        krpc,
        lane::{Channel, Frame, HEADER_LEN},
    },
};

/// Datagrams that wait for the driver at most; a flood loses its own.
pub(super) const DRIVER_CAPACITY: usize = 512;

/// A datagram for the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ForDriver {
    /// STUN, of the right length; nothing else of it is checked.
    Stun {
        sock: Sock,
        source: SocketAddr,
        bytes: Vec<u8>,
    },
    /// A message of ours; as little is checked.
    Message {
        sock: Sock,
        source: SocketAddr,
        bytes: Vec<u8>,
    },
    /// What may be the answer of a node of the Mainline DHT.
    Krpc { source: SocketAddr, bytes: Vec<u8> },
    /// A packet from an admitted relay on a channel that we do not know yet.
    EarlyLane {
        relay: SocketAddr,
        channel: Channel,
        packet: Bytes,
    },
}

/// Where sorted datagrams go that do not stay in the receive buffer.
#[derive(Debug)]
pub(super) struct Outlets {
    pub(super) side: mpsc::Sender<ForDriver>,
    pub(super) strangers: AtomicU64,
    pub(super) injected: Injected,
}

impl Outlets {
    pub(super) fn new(side: mpsc::Sender<ForDriver>) -> Self {
        Self {
            side,
            strangers: AtomicU64::new(0),
            injected: Injected::default(),
        }
    }

    /// Queues a datagram, which is copied only if there is room: a flood must cost little.
    pub(super) fn to_driver(&self, datagram: impl FnOnce() -> ForDriver) {
        match self.side.try_reserve() {
            Ok(room) => room.send(datagram()),
            Err(_) => self.stranger(),
        }
    }

    pub(super) fn stranger(&self) {
        self.strangers.fetch_add(1, Ordering::Relaxed);
    }
}

/// Sorts one batch of received buffers.
pub(super) struct Sorter<'a> {
    sock: Sock,
    tables: &'a Tables,
    outlets: &'a Outlets,
    last_source: Option<(SocketAddr, Option<&'a Admitted>)>,
    last_channel: Option<(SocketAddr, Channel, &'a Arc<Link>)>,
}

/// The packets that stay in a receive buffer, moved to its front: all of one link, all but the last `stride` long.
struct Kept<'a> {
    link: &'a Arc<Link>,
    is_lane: bool,
    datagrams: u64,
    len: usize,
}

/// Whose packet it is.
struct Owner<'a> {
    link: &'a Arc<Link>,
    is_lane: bool,
}

impl<'a> Sorter<'a> {
    /// For what came in at the socket `sock`.
    pub(super) fn new(sock: Sock, tables: &'a Tables, outlets: &'a Outlets) -> Self {
        Self {
            sock,
            tables,
            outlets,
            last_source: None,
            last_channel: None,
        }
    }

    /// Sorts the first `count` buffers; those with something for quinn come to lie in front, and their number is returned.
    pub(super) fn sort(
        &mut self,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
        count: usize,
    ) -> usize {
        let mut kept = 0;
        for i in 0..count.min(bufs.len()).min(meta.len()) {
            if self.sort_buffer(&mut bufs[i], &mut meta[i]) {
                bufs.swap(kept, i);
                meta.swap(kept, i);
                kept += 1;
            }
        }
        kept
    }

    /// Sorts the segments of one buffer; true if any stays.
    fn sort_buffer(&mut self, buf: &mut [u8], meta: &mut RecvMeta) -> bool {
        let stride = meta.stride.max(1);
        let received = meta.len.min(buf.len());
        let mut kept: Option<Kept<'a>> = None;
        let mut start = 0;
        while start < received {
            let end = received.min(start.saturating_add(stride));
            let owner = self.owner(meta.addr, &buf[start..end]);
            if let Some(owner) = owner.filter(|owner| !owner.holds(&buf[start..end])) {
                let packet = start + owner.header_len()..end;
                let kept = kept.get_or_insert_with(|| owner.keep());
                if kept.is_of(&owner) {
                    let len = packet.len();
                    if kept.len != packet.start {
                        buf.copy_within(packet, kept.len);
                    }
                    kept.len += len;
                    kept.datagrams += 1;
                } else {
                    // quinn takes one sender per buffer. Rare: two lanes of one relay in the same batch.
                    owner.count(1, packet.len());
                    let packet = Bytes::copy_from_slice(&buf[packet]);
                    self.outlets.injected.push(owner.link.handle(), packet);
                }
            }
            start = end;
        }
        let Some(kept) = kept else {
            return false;
        };
        let owner = Owner {
            link: kept.link,
            is_lane: kept.is_lane,
        };
        owner.count(kept.datagrams, kept.len);
        meta.addr = virtual_addr(owner.link.handle());
        meta.len = kept.len;
        meta.stride = stride - owner.header_len();
        // quinn would pin it as the source address of what it sends, on whatever path that goes.
        meta.dst_ip = None;
        true
    }

    /// Whose QUIC packet a segment is; none if it is something else, which then has been dealt with.
    fn owner(&mut self, source: SocketAddr, segment: &[u8]) -> Option<Owner<'a>> {
        match DatagramKind::of(segment) {
            Some(DatagramKind::Quic) => match self.source(source) {
                Some(from) => Some(Owner {
                    link: &from.link,
                    is_lane: false,
                }),
                None => {
                    self.unknown(source, segment);
                    None
                }
            },
            Some(DatagramKind::Lane) => self.lane_owner(source, segment),
            Some(DatagramKind::Stun) => {
                self.outlets.to_driver(|| ForDriver::Stun {
                    sock: self.sock,
                    source,
                    bytes: segment.to_vec(),
                });
                None
            }
            Some(
                DatagramKind::Intro
                | DatagramKind::IntroAck
                | DatagramKind::Stale
                | DatagramKind::Probe
                | DatagramKind::Sealed,
            ) => {
                self.outlets.to_driver(|| ForDriver::Message {
                    sock: self.sock,
                    source,
                    bytes: segment.to_vec(),
                });
                None
            }
            Some(_) | None => {
                self.outlets.stranger();
                None
            }
        }
    }

    /// QUIC of nobody's, if it is QUIC.
    fn unknown(&self, source: SocketAddr, segment: &[u8]) {
        if self.sock == Sock::MAIN && krpc::may_be(segment) {
            self.outlets.to_driver(|| ForDriver::Krpc {
                source,
                bytes: segment.to_vec(),
            });
        } else {
            self.outlets.stranger();
        }
    }

    fn lane_owner(&mut self, relay: SocketAddr, segment: &[u8]) -> Option<Owner<'a>> {
        let Frame {
            channel, packet, ..
        } = Frame::parse(segment)?;
        if let Some((last_relay, last_channel, link)) = self.last_channel
            && (last_relay, last_channel) == (relay, channel)
        {
            return Some(Owner {
                link,
                is_lane: true,
            });
        }
        if let Some(link) = self.tables.channels.get(&(relay, channel)) {
            self.last_channel = Some((relay, channel, link));
            return Some(Owner {
                link,
                is_lane: true,
            });
        }
        if self.source(relay).is_some_and(|source| source.is_relay) {
            self.outlets.to_driver(|| ForDriver::EarlyLane {
                relay,
                channel,
                packet: Bytes::copy_from_slice(packet),
            });
        } else {
            self.outlets.stranger();
        }
        None
    }

    fn source(&mut self, addr: SocketAddr) -> Option<&'a Admitted> {
        match self.last_source {
            Some((last, source)) if last == addr => source,
            _ => {
                let source = self.tables.sources.get(&addr);
                self.last_source = Some((addr, source));
                source
            }
        }
    }
}

impl<'a> Owner<'a> {
    fn header_len(&self) -> usize {
        if self.is_lane { HEADER_LEN } else { 0 }
    }

    fn keep(&self) -> Kept<'a> {
        Kept {
            link: self.link,
            is_lane: self.is_lane,
            datagrams: 0,
            len: 0,
        }
    }

    /// Whether the link keeps the packet for later, as it came before the end of its handshake.
    fn holds(&self, segment: &[u8]) -> bool {
        let packet = segment.get(self.header_len()..).unwrap_or_default();
        let holds = self.link.hold(packet);
        if holds {
            self.count(1, packet.len());
        }
        holds
    }

    fn count(&self, datagrams: u64, bytes: usize) {
        if self.is_lane {
            self.link.received_lane(datagrams, bytes);
        } else {
            self.link.received_direct(datagrams, bytes);
        }
    }
}

impl Kept<'_> {
    fn is_of(&self, owner: &Owner<'_>) -> bool {
        self.handle() == owner.link.handle() && self.is_lane == owner.is_lane
    }

    fn handle(&self) -> LinkHandle {
        self.link.handle()
    }
}

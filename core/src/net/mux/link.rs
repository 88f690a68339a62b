//! One peer or relay as the mux sees it: where its packets go, and what has passed.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use quinn_proto::ConnectionId;
use quinn_udp::Transmit;

use super::{ahead::Ahead, data_path::segment_of, gather::Gathered};
use crate::{
    net::congestion::Epoch,
    proto::io::{Pair, Sock},
    wire::lane::{Channel, HEADER_LEN},
};

/// The unique local prefix (RFC 4193) of virtual addresses, `fd00:5057::/32`; the handle is in the low 32 bits.
const PREFIX: [u16; 2] = [0xfd00, 0x5057];
/// quinn refuses port 0; the value has no meaning.
const PORT: u16 = 1;

/// Names a [`Link`] for as long as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LinkHandle(pub(super) u32);

/// No link: its address is our own.
pub(super) const RESERVED: LinkHandle = LinkHandle(0);

/// The address under which quinn knows a link, whatever path it is on.
pub(crate) fn virtual_addr(handle: LinkHandle) -> SocketAddr {
    let [a, b] = PREFIX;
    let high = (handle.0 >> 16) as u16;
    let low = (handle.0 & 0xffff) as u16;
    let ip = Ipv6Addr::new(a, b, 0, 0, 0, 0, high, low);
    SocketAddr::new(IpAddr::V6(ip), PORT)
}

/// The link that a virtual address stands for.
pub(crate) fn handle_of(addr: SocketAddr) -> Option<LinkHandle> {
    let SocketAddr::V6(addr) = addr else {
        return None;
    };
    let [a, b, 0, 0, 0, 0, high, low] = addr.ip().segments() else {
        return None;
    };
    ([a, b] == PREFIX && addr.port() == PORT)
        .then(|| LinkHandle(u32::from(high) << 16 | u32::from(low)))
}

/// One way to a peer or relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dest {
    /// Straight to this address, from this socket.
    Direct(Pair),
    /// Through a relay, as a frame of this channel.
    Lane { relay: SocketAddr, channel: Channel },
}

impl Dest {
    /// The address that datagrams are sent to.
    pub(crate) fn addr(self) -> SocketAddr {
        match self {
            Self::Direct(pair) => pair.addr,
            Self::Lane { relay, .. } => relay,
        }
    }

    /// The socket that datagrams are sent from.
    pub(crate) fn sock(self) -> Sock {
        match self {
            Self::Direct(pair) => pair.sock,
            Self::Lane { .. } => Sock::MAIN,
        }
    }

    /// Both.
    pub(super) fn pair(self) -> Pair {
        Pair {
            sock: self.sock(),
            addr: self.addr(),
        }
    }

    /// What each datagram has before its packet.
    pub(super) fn header_len(self) -> usize {
        match self {
            Self::Direct(_) => 0,
            Self::Lane { .. } => HEADER_LEN,
        }
    }

    /// Appends the datagrams of quinn's packets.
    pub(super) fn frame(self, transmit: &Transmit<'_>, into: &mut Vec<u8>) {
        match self {
            Self::Direct(_) => into.extend_from_slice(transmit.contents),
            Self::Lane { channel, .. } => {
                for packet in transmit.contents.chunks(segment_of(transmit)) {
                    into.extend_from_slice(&channel.header());
                    into.extend_from_slice(packet);
                }
            }
        }
    }
}

/// Every outgoing datagram goes to all of these: one normally, two while hedging, none to drop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Destinations {
    pub(crate) dests: Vec<Dest>,
}

/// The state of one link. The driver sets it, the data path reads it.
#[derive(Debug)]
pub(crate) struct Link {
    handle: LinkHandle,
    pub(super) route: ArcSwap<Destinations>,
    epoch: Epoch,
    opened: Instant,
    watched: AtomicBool,
    ahead: Ahead,
    pub(super) gathered: Gathered,
    direct: Counters,
    lane: Counters,
}

impl Link {
    pub(super) fn new(handle: LinkHandle) -> Self {
        Self {
            handle,
            route: ArcSwap::default(),
            epoch: Epoch::default(),
            opened: now(),
            watched: AtomicBool::new(false),
            ahead: Ahead::default(),
            gathered: Gathered::default(),
            direct: Counters::default(),
            lane: Counters::default(),
        }
    }

    /// This link's name.
    pub(crate) fn handle(&self) -> LinkHandle {
        self.handle
    }

    /// Where its packets go.
    pub(crate) fn route(&self) -> Arc<Destinations> {
        self.route.load_full()
    }

    /// What the congestion controllers of this link's connections follow.
    pub(crate) fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// What has passed over direct paths.
    pub(crate) fn direct(&self) -> LinkTraffic {
        self.direct.read()
    }

    /// What has passed through relays; without the lane headers.
    pub(crate) fn lane(&self) -> LinkTraffic {
        self.lane.read()
    }

    /// When we sent the first direct datagram since the last one came in directly; none if we are not waiting.
    pub(crate) fn silent_since(&self) -> Option<Instant> {
        self.direct.silent_since(self.opened)
    }

    /// The same for what goes through relays.
    pub(crate) fn lane_silent_since(&self) -> Option<Instant> {
        self.lane.silent_since(self.opened)
    }

    /// The peer opens a connection that has this id on our side: what comes for it before its handshake is over is held.
    pub(super) fn begin_handshake(&self, id: ConnectionId) {
        self.ahead.begin(id);
    }

    /// That handshake is over; returns what was held.
    pub(super) fn end_handshake(&self, id: ConnectionId) -> Vec<Bytes> {
        self.ahead.end(id)
    }

    /// Keeps a packet if it is ahead of the end of its handshake.
    pub(super) fn hold(&self, packet: &[u8]) -> bool {
        self.ahead.hold(packet)
    }

    /// Asks to be told again, by [`Mux::activity`](super::Mux::activity), when something is sent.
    pub(crate) fn unwatch(&self) {
        self.watched.store(false, Ordering::Release);
    }

    /// Counts a direct send; true if the driver must be told of it.
    pub(super) fn sent_direct(&self, datagrams: u64, bytes: u64) -> bool {
        self.direct.sent(self.opened, datagrams, bytes);
        self.begins_to_send()
    }

    /// Counts a send through a relay; true if the driver must be told of it.
    pub(super) fn sent_lane(&self, datagrams: u64, bytes: u64) -> bool {
        self.lane.sent(self.opened, datagrams, bytes);
        self.begins_to_send()
    }

    pub(super) fn received_direct(&self, datagrams: u64, bytes: usize) {
        self.direct.received(datagrams, bytes as u64);
    }

    pub(super) fn received_lane(&self, datagrams: u64, bytes: usize) {
        self.lane.received(datagrams, bytes as u64);
    }

    fn begins_to_send(&self) -> bool {
        !self.watched.load(Ordering::Relaxed) && !self.watched.swap(true, Ordering::AcqRel)
    }
}

/// Datagrams and bytes over one kind of path since the link was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LinkTraffic {
    pub(crate) sent_datagrams: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) received_datagrams: u64,
    pub(crate) received_bytes: u64,
}

#[derive(Debug, Default)]
struct Counters {
    sent_datagrams: AtomicU64,
    sent_bytes: AtomicU64,
    received_datagrams: AtomicU64,
    received_bytes: AtomicU64,
    /// Nanoseconds from the link's start to the first datagram sent that nothing was received after; 0 if there is none.
    unanswered: AtomicU64,
}

impl Counters {
    fn sent(&self, opened: Instant, datagrams: u64, bytes: u64) {
        self.sent_datagrams.fetch_add(datagrams, Ordering::Relaxed);
        self.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
        if self.unanswered.load(Ordering::Relaxed) == 0 {
            let nanos = now().saturating_duration_since(opened).as_nanos();
            let nanos = u64::try_from(nanos).unwrap_or(u64::MAX).max(1);
            self.unanswered.store(nanos, Ordering::Relaxed);
        }
    }

    fn received(&self, datagrams: u64, bytes: u64) {
        self.received_datagrams
            .fetch_add(datagrams, Ordering::Relaxed);
        self.received_bytes.fetch_add(bytes, Ordering::Relaxed);
        if self.unanswered.load(Ordering::Relaxed) != 0 {
            self.unanswered.store(0, Ordering::Relaxed);
        }
    }

    fn silent_since(&self, opened: Instant) -> Option<Instant> {
        match self.unanswered.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(opened + Duration::from_nanos(nanos)),
        }
    }

    fn read(&self) -> LinkTraffic {
        LinkTraffic {
            sent_datagrams: self.sent_datagrams.load(Ordering::Relaxed),
            sent_bytes: self.sent_bytes.load(Ordering::Relaxed),
            received_datagrams: self.received_datagrams.load(Ordering::Relaxed),
            received_bytes: self.received_bytes.load(Ordering::Relaxed),
        }
    }
}

/// tokio's clock, which tests can stop.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

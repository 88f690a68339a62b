//! What leaves for one peer: lanes that wait, and the tasks that send them.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use quinn::{SendDatagramError, VarInt};
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, sleep},
};
use tracing::debug;

use super::{
    frame::{FRAME_HEADER, Frame},
    packet::{Checksum, Header},
    table::Counters,
};
use crate::{
    Connection,
    proto::outbound::MAX_WINDOW,
    quic::ConnectionError,
    services::lanes::{Lanes, Limit},
};

/// Streams for TCP.
const TCP_LANES: usize = 16;
/// Streams for other packets that no datagram holds.
const LARGE_LANES: usize = 4;
/// Streams of one side.
pub(super) const STREAMS: usize = TCP_LANES + LARGE_LANES;
/// Among how many others a flow of datagrams has its share.
const DATAGRAM_LANES: usize = 64;
const TCP_LIMIT: Limit = Limit {
    bytes: 4 << 20,
    age: Duration::from_millis(100),
};
const LARGE_LIMIT: Limit = Limit {
    bytes: 1 << 20,
    age: Duration::from_millis(100),
};
const DATAGRAM_LIMIT: Limit = Limit {
    bytes: 1 << 20,
    age: Duration::from_millis(100),
};
/// What QUIC holds of datagrams: it sends them in order and does not know one flow from another.
const DATAGRAMS_AHEAD: usize = 64 << 10;
/// quinn's own limit, which it keeps to by dropping the oldest.
const DATAGRAM_BUFFER: usize = 1 << 20;
/// How often is looked whether QUIC sent some.
const LOOK: Duration = Duration::from_millis(1);
/// How often the window follows the path.
const FOLLOW: Duration = Duration::from_millis(25);
/// What QUIC may hold beyond what is on its way, of all streams: where more waits, every flow grows old in one queue.
const AHEAD: u64 = 256 << 10;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Uplink {
    quic: quinn::Connection,
    tcp: Class,
    large: Class,
    datagrams: Mutex<Lanes>,
    datagram: Notify,
    /// Something was handed over.
    active: Notify,
}

/// Lanes each of which is a stream.
#[derive(Debug)]
struct Class {
    lanes: Mutex<Lanes>,
    filled: Vec<Notify>,
}

impl Class {
    fn new(lanes: usize, limit: Limit) -> Self {
        Self {
            lanes: Mutex::new(Lanes::new(lanes, limit)),
            filled: (0..lanes).map(|_| Notify::new()).collect(),
        }
    }

    fn push(&self, flow: u64, packet: Bytes) -> u64 {
        let mut lanes = lock(&self.lanes);
        let lane = lanes.lane(flow);
        let dropped = lanes.push(lane, packet, Instant::now());
        drop(lanes);
        if let Some(filled) = self.filled.get(lane) {
            filled.notify_one();
        }
        dropped
    }

    async fn next(&self, lane: usize, counters: &Counters) -> Bytes {
        loop {
            let (packet, late) = lock(&self.lanes).pop(lane, Instant::now());
            counters.late(late);
            if let Some(packet) = packet {
                return packet;
            }
            match self.filled.get(lane) {
                Some(filled) => filled.notified().await,
                None => std::future::pending().await,
            }
        }
    }
}

impl Uplink {
    pub(super) fn new(connection: &Connection) -> Self {
        Self {
            quic: connection.quic.clone(),
            tcp: Class::new(TCP_LANES, TCP_LIMIT),
            large: Class::new(LARGE_LANES, LARGE_LIMIT),
            datagrams: Mutex::new(Lanes::new(DATAGRAM_LANES, DATAGRAM_LIMIT)),
            datagram: Notify::new(),
            active: Notify::new(),
        }
    }

    /// TCP of a flow. Gives how many packets were dropped for it, as the others do.
    pub(super) fn tcp(&self, flow: u64, segment: u16, checksum: Checksum, packet: &[u8]) -> u64 {
        self.active.notify_one();
        match framed(packet, segment, checksum) {
            Some(framed) => self.tcp.push(flow, framed),
            None => 1,
        }
    }

    /// Any other packet of a flow. Where nothing waits it leaves from here: to wake a task for it takes longer than the rest.
    pub(super) fn single(&self, flow: u64, packet: Bytes) -> u64 {
        self.active.notify_one();
        let mut lanes = lock(&self.datagrams);
        if lanes.is_empty() && self.is_room_for_datagrams() {
            return self.send_datagram(packet);
        }
        let lane = lanes.lane(flow);
        let dropped = lanes.push(lane, packet, Instant::now());
        drop(lanes);
        self.datagram.notify_one();
        dropped
    }

    fn is_room_for_datagrams(&self) -> bool {
        self.quic.datagram_send_buffer_space() >= DATAGRAM_BUFFER - DATAGRAMS_AHEAD
    }

    fn send_datagram(&self, packet: Bytes) -> u64 {
        let most = self.quic.max_datagram_size();
        if most.is_none_or(|most| packet.len() > most) {
            return self.send_large(&packet);
        }
        match self.quic.send_datagram(packet.clone()) {
            Ok(()) => 0,
            Err(SendDatagramError::ConnectionLost(_)) => 1,
            Err(
                SendDatagramError::TooLarge
                | SendDatagramError::Disabled
                | SendDatagramError::UnsupportedByPeer,
            ) => self.send_large(&packet),
        }
    }

    /// Sends what comes until the connection ends.
    pub(super) async fn send(self: Arc<Self>, connection: Connection, counters: Arc<Counters>) {
        let mut tasks = JoinSet::new();
        for lane in 0..TCP_LANES {
            let (uplink, link, counters) = (self.clone(), connection.clone(), counters.clone());
            tasks.spawn(async move { stream(&uplink.tcp, lane, link, &counters).await });
        }
        for lane in 0..LARGE_LANES {
            let (uplink, link, counters) = (self.clone(), connection.clone(), counters.clone());
            tasks.spawn(async move { stream(&uplink.large, lane, link, &counters).await });
        }
        tokio::select! {
            _ = connection.closed() => {}
            () = self.send_datagrams(&counters) => {}
            () = self.follow() => {}
        }
    }

    async fn send_datagrams(&self, counters: &Counters) {
        loop {
            while !self.is_room_for_datagrams() {
                sleep(LOOK).await;
            }
            let sent = {
                // Held until it is handed over, or one that comes meanwhile would overtake it.
                let mut lanes = lock(&self.datagrams);
                let (packet, late) = lanes.next(Instant::now());
                counters.late(late);
                packet.map(|packet| self.send_datagram(packet))
            };
            match sent {
                Some(dropped) => counters.late(dropped),
                None => self.datagram.notified().await,
            }
        }
    }

    /// Has QUIC hold no more than the path takes, so that what waits does so in lanes, where each flow has its share and grows no
    /// older than it may.
    async fn follow(&self) {
        let quic = &self.quic;
        let mut sent = 0;
        loop {
            let stats = quic.stats();
            if std::mem::replace(&mut sent, stats.udp_tx.bytes) == stats.udp_tx.bytes {
                self.active.notified().await;
            }
            quic.set_send_window((stats.path.cwnd + AHEAD).min(MAX_WINDOW));
            sleep(FOLLOW).await;
        }
    }

    fn send_large(&self, packet: &[u8]) -> u64 {
        let flow = Header::read(packet).map_or(0, |header| header.flow(packet));
        match framed(packet, 0, Checksum::Complete) {
            Some(framed) => self.large.push(flow, framed),
            None => 1,
        }
    }
}

fn framed(packet: &[u8], segment: u16, checksum: Checksum) -> Option<Bytes> {
    let length = u16::try_from(packet.len()).ok()?;
    let frame = Frame {
        length,
        segment,
        checksum,
    };
    let mut bytes = Vec::with_capacity(FRAME_HEADER + packet.len());
    bytes.extend(frame.encode());
    bytes.extend(packet);
    Some(bytes.into())
}

async fn stream(class: &Class, lane: usize, connection: Connection, counters: &Counters) {
    let first = class.next(lane, counters).await;
    let result: Result<(), ConnectionError> = async {
        let mut send = connection.open_uni().await?;
        let mut packet = first;
        while send.write_chunk(packet).await.is_ok() {
            packet = class.next(lane, counters).await;
        }
        Ok(())
    }
    .await;
    if let Err(error) = result {
        debug!(%error, "a lane of a link ended");
    }
}

fn lock(lanes: &Mutex<Lanes>) -> MutexGuard<'_, Lanes> {
    lanes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Stream error code: the sender says what cannot be.
pub(super) const NONSENSE: VarInt = VarInt::from_u32(1);

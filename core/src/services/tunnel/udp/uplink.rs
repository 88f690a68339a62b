//! What leaves for the peer: flow by flow in turns, and no more ahead of the link than it sends in a few milliseconds.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use quinn::SendDatagramError;
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use super::{
    counters::{Counters, add},
    lock, wire,
};
use crate::services::lanes::{Lanes, Limit};

/// Among how many others a flow has its share.
const LANES: usize = 64;
const LIMIT: Limit = Limit {
    bytes: 1 << 20,
    age: Duration::from_millis(100),
};
/// quinn's own limit, which it keeps to by dropping the oldest.
const BUFFER: usize = 1 << 20;
/// What QUIC holds of datagrams, which it sends in order: what it sends in a few of its turns, and a largest datagram.
const LEAST_AHEAD: usize = 128 << 10;
const MOST_AHEAD: usize = BUFFER / 4 * 3;
const AHEAD: Duration = Duration::from_millis(4);
/// What quinn counts for a datagram besides its bytes, and our header.
const OVERHEAD: usize = 64;
/// How often is looked whether QUIC sent some.
const LOOK: Duration = Duration::from_millis(1);

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Uplink {
    quic: quinn::Connection,
    counters: Arc<Counters>,
    state: Mutex<State>,
    filled: Notify,
}

#[derive(Debug)]
struct State {
    /// Flow and payload of each.
    waiting: Lanes,
    /// The number of the next datagram of each flow that there is.
    next: BTreeMap<u32, u32>,
    /// What may be handed to QUIC before it is asked again.
    room: usize,
    /// The largest QUIC datagram.
    largest: usize,
}

impl Uplink {
    pub(super) fn new(quic: quinn::Connection, counters: Arc<Counters>) -> Self {
        let state = State {
            waiting: Lanes::new(LANES, LIMIT),
            next: BTreeMap::new(),
            room: 0,
            largest: 0,
        };
        Self {
            quic,
            counters,
            state: Mutex::new(state),
            filled: Notify::new(),
        }
    }

    /// Sends a UDP datagram of a flow, or has it wait for its turn.
    pub(super) fn send(&self, flow: u32, payload: &[u8]) {
        let mut state = self.state();
        if state.waiting.is_empty() && self.is_room(&mut state, payload.len()) {
            return self.hand_over(&mut state, flow, payload);
        }
        let mut waiting = Vec::with_capacity(size_of::<u32>() + payload.len());
        waiting.extend(flow.to_be_bytes());
        waiting.extend_from_slice(payload);
        let lane = state.waiting.lane(flow.into());
        let dropped = state.waiting.push(lane, waiting.into(), Instant::now());
        drop(state);
        add(&self.counters.overflowed, dropped);
        self.filled.notify_one();
    }

    /// A flow begins.
    pub(super) fn open(&self, flow: u32) {
        self.state().next.insert(flow, 0);
    }

    /// A flow has ended, whose number nobody uses again: what of it still waits is refused.
    pub(super) fn forget(&self, flow: u32) {
        self.state().next.remove(&flow);
    }

    /// Sends what waits, for as long as it is polled.
    pub(super) async fn run(&self) {
        loop {
            if self.drain() {
                self.filled.notified().await;
            } else {
                sleep(LOOK).await;
            }
        }
    }

    /// Whether nothing waits any more.
    fn drain(&self) -> bool {
        let mut state = self.state();
        while self.is_room(&mut state, wire::MAX_PAYLOAD) {
            let (next, late) = state.waiting.next(Instant::now());
            add(&self.counters.overflowed, late);
            let Some(next) = next else {
                return true;
            };
            state.room += wire::MAX_PAYLOAD.saturating_sub(next.len());
            if let Some((flow, payload)) = next.split_first_chunk() {
                self.hand_over(&mut state, u32::from_be_bytes(*flow), payload);
            }
        }
        state.waiting.is_empty()
    }

    fn is_room(&self, state: &mut State, len: usize) -> bool {
        let cost = len + OVERHEAD * (len / 1024 + 1);
        if state.room < cost {
            let stats = self.quic.stats().path;
            let rtt = stats.rtt.max(AHEAD / 4).as_secs_f64();
            let ahead = stats.cwnd as f64 * AHEAD.as_secs_f64() / rtt;
            let ahead = (ahead as usize).clamp(LEAST_AHEAD, MOST_AHEAD);
            let space = self.quic.datagram_send_buffer_space();
            state.room = space.saturating_sub(BUFFER - ahead);
            state.largest = self.quic.max_datagram_size().unwrap_or(0);
        }
        let is_room = state.room >= cost;
        state.room -= if is_room { cost } else { 0 };
        is_room
    }

    fn hand_over(&self, state: &mut State, flow: u32, payload: &[u8]) {
        let Some(next) = state.next.get_mut(&flow) else {
            return add(&self.counters.refused, 1);
        };
        let number = *next;
        *next = next.wrapping_add(1);
        let mut sent = self.pieces(flow, number, payload, state.largest);
        if sent == Err(SendDatagramError::TooLarge) {
            // The path is another one than before.
            state.largest = self.quic.max_datagram_size().unwrap_or(0);
            sent = self.pieces(flow, number, payload, state.largest);
        }
        match sent {
            Ok(()) => add(&self.counters.sent, 1),
            Err(_) => add(&self.counters.refused, 1),
        }
    }

    fn pieces(
        &self,
        flow: u32,
        number: u32,
        payload: &[u8],
        largest: usize,
    ) -> Result<(), SendDatagramError> {
        let mut pieces =
            wire::datagrams(flow, number, payload, largest).ok_or(SendDatagramError::TooLarge)?;
        pieces.try_for_each(|piece: Bytes| self.quic.send_datagram(piece))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for Uplink {
    fn drop(&mut self) {
        let mut state = self.state();
        loop {
            let (next, late) = state.waiting.next(Instant::now());
            add(&self.counters.overflowed, late);
            if next.is_none() {
                return;
            }
            add(&self.counters.refused, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::{testing::pair, tunnel::ALPN};

    const SENT: u64 = 1000;

    /// With more than QUIC takes at a time.
    fn filled(quic: &quinn::Connection, counters: &Arc<Counters>) -> Uplink {
        let uplink = Uplink::new(quic.clone(), counters.clone());
        uplink.open(1);
        for _ in 0..SENT {
            uplink.send(1, &[7; 1000]);
        }
        assert!(!uplink.state().waiting.is_empty());
        uplink
    }

    #[tokio::test]
    async fn what_waits_of_a_flow_that_has_ended_is_refused_and_begins_no_other() {
        let (pair, counters) = (pair(ALPN).await, Arc::default());
        let uplink = filled(&pair.client.quic, &counters);
        uplink.forget(1);
        let empty = async {
            while !uplink.drain() {
                sleep(LOOK).await;
            }
        };
        empty.await;
        let counts = counters.read();
        assert!(uplink.state().next.is_empty());
        assert!(counts.refused + counts.overflowed > 0, "{counts:?}");
        assert_eq!(counts.sent + counts.refused + counts.overflowed, SENT);
    }

    #[tokio::test]
    async fn what_still_waits_when_the_connection_ends_is_counted() {
        let (pair, counters) = (pair(ALPN).await, Arc::default());
        drop(filled(&pair.client.quic, &counters));
        let counts = counters.read();
        assert!(counts.refused > 0, "{counts:?}");
        assert_eq!(counts.sent + counts.refused + counts.overflowed, SENT);
    }
}

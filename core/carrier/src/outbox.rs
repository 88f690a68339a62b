//! What waits to be written to a TCP connection.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::BytesMut;
use peerway_proto::wire::{datagram::DatagramKind, tcp};
use tokio::sync::Notify;

use crate::MAX_MESSAGE;

/// Bytes of the lane that wait, and datagrams, as small ones take more memory than their bytes; beyond, the oldest are lost, as in
/// a router.
const LANE: usize = 256 * 1024;
const LANE_DATAGRAMS: usize = 512;
/// What an empty queue may keep room for: most are empty most of the time.
const KEPT: usize = 16;
/// Bytes of everything else that wait: more than QUIC sends to a relay or a client before it hears from there.
const CONTROL: usize = 64 * 1024;
/// How long a lane datagram may wait where others have waited so long for an [`INTERVAL`]: the queue is then one that stays, and
/// serves nobody (RFC 8289 section 3). A shorter one is a burst, or TCP repeating what was lost.
const TARGET: Duration = Duration::from_millis(10);
const INTERVAL: Duration = Duration::from_millis(100);

/// Datagrams in the order in which they are to leave: control first, then the lane.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: Mutex<Queue>,
    changed: Notify,
}

impl Outbox {
    /// Queues datagrams of one kind. What finds no room is lost.
    pub fn push<'a>(&self, datagrams: impl Iterator<Item = &'a [u8]>) {
        self.lock().push(now(), datagrams);
        self.changed.notify_one();
    }

    /// Puts the next message into `message`; false if there is none and there will be none. For one task only, and to be called
    /// when the TCP connection can be written to: what is chosen later is younger.
    pub async fn next(&self, message: &mut BytesMut) -> bool {
        loop {
            let closed = {
                let mut queue = self.lock();
                queue.pop(now(), message);
                queue.closed
            };
            if !message.is_empty() || closed {
                return !message.is_empty();
            }
            self.changed.notified().await;
        }
    }

    /// Takes nothing any more; what waits still leaves.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Datagrams that came together, framed.
#[derive(Debug)]
struct Batch {
    at: Instant,
    frames: Vec<u8>,
    datagrams: usize,
}

/// The decisions of an [`Outbox`].
#[derive(Debug, Default)]
struct Queue {
    control: VecDeque<Vec<u8>>,
    control_len: usize,
    lane: VecDeque<Batch>,
    lane_len: usize,
    lane_datagrams: usize,
    /// Since when all that left had waited for longer than [`TARGET`].
    late_since: Option<Instant>,
    closed: bool,
}

impl Queue {
    fn push<'a>(&mut self, now: Instant, datagrams: impl Iterator<Item = &'a [u8]>) {
        if self.closed {
            return;
        }
        let mut datagrams = datagrams.peekable();
        let is_lane =
            datagrams.peek().copied().and_then(DatagramKind::of) == Some(DatagramKind::Lane);
        while datagrams.peek().is_some() {
            let (frames, count) = frames(&mut datagrams);
            if is_lane {
                self.lane_len += frames.len();
                self.lane_datagrams += count;
                let datagrams = count;
                self.lane.push_back(Batch {
                    at: now,
                    frames,
                    datagrams,
                });
            } else if self.control_len + frames.len() <= CONTROL {
                self.control_len += frames.len();
                self.control.push_back(frames);
            }
        }
        while self.lane_len > LANE || self.lane_datagrams > LANE_DATAGRAMS {
            self.drop_oldest();
        }
    }

    /// Moves to the end of `message` what it has room for.
    fn pop(&mut self, now: Instant, message: &mut BytesMut) {
        let fits = |frames: &[u8], message: &BytesMut| message.len() + frames.len() <= MAX_MESSAGE;
        while self.control.front().is_some_and(|it| fits(it, message))
            && let Some(frames) = self.control.pop_front()
        {
            self.control_len -= frames.len();
            message.extend_from_slice(&frames);
        }
        self.drop_late(now);
        while self
            .lane
            .front()
            .is_some_and(|it| fits(&it.frames, message))
            && let Some(batch) = self.pop_lane()
        {
            message.extend_from_slice(&batch.frames);
        }
    }

    /// Drops what is late if everything has been for an interval, but for a last message.
    fn drop_late(&mut self, now: Instant) {
        let is_late = |batch: &Batch| now.saturating_duration_since(batch.at) > TARGET;
        if !self.lane.front().is_some_and(is_late) {
            self.late_since = None;
            return;
        }
        let since = *self.late_since.get_or_insert(now);
        if now.saturating_duration_since(since) < INTERVAL {
            return;
        }
        while self.lane_len > MAX_MESSAGE && self.lane.front().is_some_and(is_late) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        drop(self.pop_lane());
    }

    fn pop_lane(&mut self) -> Option<Batch> {
        let batch = self.lane.pop_front()?;
        self.lane_len -= batch.frames.len();
        self.lane_datagrams -= batch.datagrams;
        if self.lane.is_empty() {
            self.lane.shrink_to(KEPT);
        }
        Some(batch)
    }
}

/// Frames as many datagrams as one message holds, and says how many; what no frame holds is left out.
fn frames<'a>(
    datagrams: &mut std::iter::Peekable<impl Iterator<Item = &'a [u8]>>,
) -> (Vec<u8>, usize) {
    let (mut frames, mut count) = (Vec::new(), 0);
    while let Some(datagram) = datagrams
        .next_if(|it| frames.len() + tcp::HEADER_LEN + it.len() <= MAX_MESSAGE || frames.is_empty())
    {
        if let Some(header) = tcp::header(datagram.len()) {
            frames.extend_from_slice(&header);
            frames.extend_from_slice(datagram);
            count += 1;
        }
    }
    (frames, count)
}

/// tokio's clock, which tests can stop.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTROL_PACKET: [u8; 1200] = [0x40; 1200];
    const LANE_PACKET: [u8; 1200] = {
        let mut packet = CONTROL_PACKET;
        packet[0] = 0x20;
        packet
    };

    fn start() -> Instant {
        now()
    }

    fn pop(queue: &mut Queue, now: Instant) -> Vec<Vec<u8>> {
        let mut message = BytesMut::new();
        queue.pop(now, &mut message);
        assert!(message.len() <= MAX_MESSAGE);
        let mut datagrams = Vec::new();
        while let Some(len) = tcp::frame_len(&message).unwrap() {
            datagrams.push(message.split_to(len).split_off(tcp::HEADER_LEN).to_vec());
        }
        assert!(message.is_empty());
        datagrams
    }

    #[test]
    fn control_overtakes_the_lane_and_a_batch_leaves_in_one_message() {
        let mut queue = Queue::default();
        queue.push(start(), std::iter::repeat_n(&LANE_PACKET[..], 10));
        queue.push(start(), std::iter::once(&CONTROL_PACKET[..]));
        let left = pop(&mut queue, start());
        assert_eq!(left.len(), 11);
        assert_eq!(left[0], CONTROL_PACKET);
        assert!(pop(&mut queue, start()).is_empty());
    }

    #[test]
    fn of_what_nobody_takes_the_newest_of_the_lane_and_the_oldest_of_control_stay() {
        let (mut queue, start) = (Queue::default(), start());
        for number in 0..1000_u32 {
            let mut packet = LANE_PACKET;
            packet[12..16].copy_from_slice(&number.to_be_bytes());
            queue.push(start, std::iter::once(&packet[..]));
            queue.push(start, std::iter::once(&CONTROL_PACKET[..]));
        }
        assert!(queue.lane_len <= LANE && queue.control_len <= CONTROL);
        let mut last = Vec::new();
        loop {
            let left = pop(&mut queue, start);
            let Some(packet) = left.last() else { break };
            last = packet.clone();
        }
        assert_eq!(last[12..16], 999_u32.to_be_bytes());
        assert_eq!((queue.lane_len, queue.control_len), (0, 0));
    }

    #[test]
    fn small_datagrams_that_wait_are_as_few_as_large_ones() {
        let (mut queue, start) = (Queue::default(), start());
        let packet = |number: u16| {
            let mut packet = LANE_PACKET[..16].to_vec();
            packet[14..].copy_from_slice(&number.to_be_bytes());
            packet
        };
        for number in 0..2000 {
            queue.push(start, std::iter::once(&packet(number)[..]));
        }
        assert_eq!(queue.lane_datagrams, LANE_DATAGRAMS);
        let mut left = Vec::new();
        while queue.lane_datagrams > 0 {
            left.extend(pop(&mut queue, start));
        }
        let newest = (2000 - 512..2000).map(packet);
        assert!(left.into_iter().eq(newest), "in order");
        assert!(queue.lane.capacity() <= KEPT, "{}", queue.lane.capacity());
    }

    #[test]
    fn a_queue_that_stays_is_cut_and_a_burst_is_not() {
        let start = start();
        // A line of one message each 7 ms: a burst of ten messages has left after 70 ms, whole.
        let mut queue = Queue::default();
        queue.push(start, std::iter::repeat_n(&LANE_PACKET[..], 130));
        let burst: usize = (0..10)
            .map(|turn| pop(&mut queue, start + turn * Duration::from_millis(7)).len())
            .sum();
        assert_eq!(burst, 130);
        // Who sends half more than that all the time has what leaves be young, once an interval is over.
        let mut queue = Queue::default();
        let (mut sent, mut worst) = (0_u32, 0);
        for ms in 0..2000_u32 {
            let now = start + Duration::from_millis(ms.into());
            for _ in 0..3 {
                let mut packet = LANE_PACKET;
                packet[12..16].copy_from_slice(&ms.to_be_bytes());
                queue.push(now, std::iter::once(&packet[..]));
                sent += 1;
            }
            if ms % 7 == 0 {
                for packet in pop(&mut queue, now) {
                    let at = u32::from_be_bytes(packet[12..16].try_into().unwrap());
                    worst = worst.max(if ms > 300 { ms - at } else { 0 });
                }
            }
        }
        assert!(worst <= 80, "{worst} ms of {sent}");
    }

    #[tokio::test]
    async fn a_closed_outbox_gives_what_is_in_it_and_then_ends() {
        let outbox = Outbox::default();
        outbox.push(std::iter::once(&[0x40, 1][..]));
        outbox.close();
        outbox.push(std::iter::once(&[0x40, 2][..]));
        let mut message = BytesMut::new();
        assert!(outbox.next(&mut message).await);
        assert_eq!(message[..], [0, 2, 0x40, 1]);
        message.clear();
        assert!(!outbox.next(&mut message).await);
    }
}

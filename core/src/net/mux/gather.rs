//! Batches of one link that leave in one call.
//!
//! quinn makes batches of ten datagrams at most, and most of what sending costs, here and at a relay, is the kernel's for
//! each call. So a batch of ten waits for the next ones, until all tasks that are ready have had their turn: microseconds, or
//! as long as they keep the processor busy. A smaller one is the last of its kind, and takes along what is ahead of it.

use std::{
    io, mem,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Context,
};

use peerway_carrier::numbered::number_of;
use quinn_udp::{EcnCodepoint, Transmit};

use super::{
    Mux,
    data_path::{FRAMES, LONG_HEADER, segment_of},
    link::{Dest, Link},
};

/// Bytes that leave in one call at most: what UDP over IPv4 or IPv6 has room for, with some to spare.
const BYTES: usize = 65_000;
/// What quinn 0.11 sends at once at most (its `MAX_TRANSMIT_SEGMENTS`); it makes two such batches before others get their turn.
const FULL: usize = 10;
/// How often others get their turn: quinn makes more in between, nearly as much as one call can send.
const TURNS: u8 = 2;

/// What waits for more of its link.
#[derive(Debug, Default)]
pub(super) struct Gathered(Mutex<Waits>);

#[derive(Debug, Default)]
struct Waits {
    batch: Option<Batch>,
    /// Turns that the batch has waited.
    turns: u8,
    /// The link is in [`Waiting`].
    is_listed: bool,
}

impl Gathered {
    fn lock(&self) -> MutexGuard<'_, Waits> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Links with something that waits.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<Vec<Arc<Link>>>);

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Link>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Datagrams for one destination, all of one length but the last, which may be shorter.
#[derive(Debug)]
struct Batch {
    dest: Dest,
    ecn: Option<EcnCodepoint>,
    stride: usize,
    bytes: Vec<u8>,
}

impl Mux {
    /// Takes quinn's batch to send it with others of the link. False if it must leave by itself: nothing is ahead of it then.
    ///
    /// # Errors
    /// `WouldBlock` if what is ahead cannot be sent now.
    pub(super) fn gather(
        &self,
        link: &Arc<Link>,
        dests: &[Dest],
        transmit: &Transmit<'_>,
    ) -> io::Result<bool> {
        let mut waits = link.gathered.lock();
        let Some((dest, segments)) = self.gathers(dests, transmit) else {
            return self.send_gathered(&mut waits).map(|()| false);
        };
        if let Some(batch) = &mut waits.batch
            && batch.add(dest, transmit, segments)
        {
            let is_last = !is_full(transmit) || !batch.has_room(segments);
            if is_last && self.send_gathered(&mut waits).is_err() {
                tracing::trace!("what was gathered waits for the socket");
            }
            self.count(link, dest, transmit);
            return Ok(true);
        }
        self.send_gathered(&mut waits)?;
        if !is_full(transmit) || segments < 2 * FULL {
            return Ok(false);
        }
        waits.batch = Some(Batch::begin(dest, transmit));
        waits.turns = 0;
        if !mem::replace(&mut waits.is_listed, true) {
            self.waiting.lock().push(link.clone());
            self.outlets.injected.wake();
        }
        self.count(link, dest, transmit);
        Ok(true)
    }

    /// Sends what has waited long enough. What the socket cannot take yet stays, and wakes the task when it can.
    pub(super) fn send_waiting(&self, cx: &mut Context<'_>) {
        let waiting = mem::take(&mut *self.waiting.lock());
        for link in waiting {
            let mut waits = link.gathered.lock();
            if let Some(batch) = &waits.batch {
                let dest = batch.dest;
                waits.turns = waits.turns.saturating_add(1);
                if waits.turns < TURNS {
                    cx.waker().wake_by_ref();
                    self.waiting.lock().push(link.clone());
                    continue;
                }
                if self.send_gathered(&mut waits).is_err() {
                    self.wake_when_writable(dest, cx);
                    self.waiting.lock().push(link.clone());
                    continue;
                }
            }
            waits.is_listed = false;
        }
    }

    /// Where the batch goes, and how many datagrams can go there at once, if it may wait at all.
    fn gathers(&self, dests: &[Dest], transmit: &Transmit<'_>) -> Option<(Dest, usize)> {
        let &[dest] = dests else { return None };
        let is_long = (transmit.contents.first()).is_some_and(|first| first & LONG_HEADER != 0);
        if is_long || dest.sock().is_tcp() || number_of(dest.addr()).is_some() {
            return None;
        }
        let segments = self.with_socket(dest.pair(), |socket, _| socket.max_transmit_segments())?;
        Some((dest, segments))
    }

    fn send_gathered(&self, waits: &mut Waits) -> io::Result<()> {
        let Some(batch) = waits.batch.take() else {
            return Ok(());
        };
        let sent = self.with_socket(batch.dest.pair(), |socket, addr| {
            socket.send(&batch.transmit(addr))
        });
        // A socket that was closed loses what is sent from it.
        let Some(Err(error)) = sent else {
            batch.end();
            return Ok(());
        };
        waits.batch = Some(batch);
        Err(error)
    }

    fn wake_when_writable(&self, dest: Dest, cx: &mut Context<'_>) {
        let is_ready = self.with_socket(dest.pair(), |socket, _| socket.poll_writable(cx));
        if is_ready.is_none_or(|poll| poll.is_ready()) {
            cx.waker().wake_by_ref();
        }
    }

    fn count(&self, link: &Link, dest: Dest, transmit: &Transmit<'_>) {
        let len = transmit.contents.len();
        let datagrams = len.div_ceil(segment_of(transmit)) as u64;
        let is_news = match dest {
            Dest::Direct(_) => link.sent_direct(datagrams, len as u64),
            Dest::Lane { .. } => link.sent_lane(datagrams, len as u64),
        };
        if is_news {
            self.report_activity(link.handle());
        }
    }
}

impl Batch {
    fn begin(dest: Dest, transmit: &Transmit<'_>) -> Self {
        let mut bytes = FRAMES.take();
        bytes.clear();
        dest.frame(transmit, &mut bytes);
        Self {
            dest,
            ecn: transmit.ecn,
            stride: segment_of(transmit) + dest.header_len(),
            bytes,
        }
    }

    /// Adds what leaves in the same call of at most `segments` datagrams; false if it may not.
    fn add(&mut self, dest: Dest, transmit: &Transmit<'_>, segments: usize) -> bool {
        let stride = segment_of(transmit) + dest.header_len();
        let count = transmit.contents.len().div_ceil(segment_of(transmit));
        let len = transmit.contents.len() + count * dest.header_len();
        let is_like = (dest, transmit.ecn) == (self.dest, self.ecn);
        let is_of_one_length = stride == self.stride || (count == 1 && stride < self.stride);
        let is_whole = self.bytes.len().is_multiple_of(self.stride);
        let fits = self.segments() + count <= segments && self.bytes.len() + len <= BYTES;
        let goes = is_like && is_of_one_length && is_whole && fits;
        if goes {
            dest.frame(transmit, &mut self.bytes);
        }
        goes
    }

    /// Whether another one of quinn's may follow.
    fn has_room(&self, segments: usize) -> bool {
        self.segments() + FULL <= segments && self.bytes.len() + FULL * self.stride <= BYTES
    }

    fn segments(&self) -> usize {
        self.bytes.len().div_ceil(self.stride)
    }

    fn transmit(&self, destination: SocketAddr) -> Transmit<'_> {
        Transmit {
            destination,
            ecn: self.ecn,
            contents: &self.bytes,
            segment_size: Some(self.stride),
            src_ip: None,
        }
    }

    /// Leaves the memory to who sends next on this thread.
    fn end(self) {
        FRAMES.set(self.bytes);
    }
}

/// As many datagrams as quinn sends at once, all of one length: others may follow.
fn is_full(transmit: &Transmit<'_>) -> bool {
    transmit.contents.len() == FULL * segment_of(transmit)
}

//! Credit: what a peer may send on each stream before the program has read it.
//!
//! QUIC's flow control (RFC 9000 section 4) gives all streams of a connection one window each and one together. If the common
//! one is the smaller, a few streams that nobody reads stop all others; if it is not, a peer may fill our memory. So each
//! stream begins with [`INITIAL`] here, a window grows with reading, and the connection's window follows the sum of those of its
//! streams: what one stream holds is never taken from another.
//!
//! Where memory is scarce, a peer that holds more than a third of what is left gets no more (the dynamic threshold of Choudhury
//! and Hahne, 1998): who comes next always finds something, and what is read shrinks until all have the same.

use std::time::{Duration, Instant};

/// What may be sent on a stream before anything was granted: more than a new connection's congestion window.
pub const INITIAL: u64 = 16 << 10;
/// The largest window of a stream: 3.2 Gbit/s at 80 ms.
pub const MAX_WINDOW: u64 = 32 << 20;
/// Programs on busy computers take this long to read what came and to send more, however near they are.
const TURN: Duration = Duration::from_millis(10);
/// As much as that takes of a fast line. To peers within [`NEARBY`] more is of no use (2 Gbit/s), and costs a sixth of the
/// throughput on loopback: what waits there to be read has left the processor's cache.
const NEAR: u64 = 1 << 20;
const NEARBY: Duration = Duration::from_millis(4);
/// What every connection may hold, whatever the others do.
pub const FLOOR: u64 = 128 << 10;
/// What one peer's connections may hold beyond their [`FLOOR`]s: 4,096 streams that nobody reads, and two that are read.
pub const LINK: u64 = 128 << 20;
/// What all connections of a node may hold beyond their [`FLOOR`]s.
pub(crate) const NODE: u64 = 512 << 20;
/// The most by which a connection's window runs ahead of its streams', for those that were opened and not seen yet.
const AHEAD: u64 = 8 << 20;

/// What connections hold together beyond their [`FLOOR`]s.
#[derive(Debug, Default)]
pub struct Buffered(u64);

/// What the memory of a connection is taken from.
pub struct Budget<'a> {
    /// What all connections of the node hold.
    pub node: &'a mut Buffered,
    /// What those of the peer hold.
    pub link: &'a mut Buffered,
}

impl Budget<'_> {
    /// What a connection that holds `held` may hold.
    fn share(&self, held: u64) -> u64 {
        let free = NODE.saturating_sub(self.node.0);
        let link = ((free + self.link.0) / 4).min(LINK);
        link.saturating_sub(self.link.0 - held)
    }

    fn replace(&mut self, held: u64, by: u64) {
        for total in [&mut *self.node, &mut *self.link] {
            total.0 = total.0 - held + by;
        }
    }
}

/// The receiving half of a connection: the windows of all its streams, and its own.
#[derive(Debug)]
pub struct Inbound {
    /// The sum of what the streams may hold.
    windows: u64,
    /// QUIC's connection-level window.
    receive_window: u64,
    /// What QUIC will keep from the peer of what is read, since the window was larger before.
    debt: u64,
    /// What the budget knows of.
    held: u64,
}

impl Default for Inbound {
    fn default() -> Self {
        Self {
            windows: 0,
            receive_window: FLOOR,
            debt: 0,
            held: 0,
        }
    }
}

impl Inbound {
    /// QUIC's connection-level window, as it has to be.
    pub fn receive_window(&self) -> u64 {
        self.receive_window
    }

    /// A new stream that the peer may send on.
    pub fn open(&mut self, budget: &mut Budget<'_>, now: Instant) -> Window {
        self.windows += INITIAL;
        self.settle(budget);
        Window {
            size: INITIAL,
            granted: INITIAL,
            read: 0,
            reported: 0,
            charged: INITIAL,
            since: now,
        }
    }

    /// Takes note of what was read of a stream; the offset up to which the peer may send now, if that is news.
    ///
    /// A window of which more than half would be read in a round trip at this rate is doubled, so that it comes to between two
    /// and four times what is on the way.
    pub fn grant(
        &mut self,
        budget: &mut Budget<'_>,
        window: &mut Window,
        now: Instant,
        rtt: Duration,
    ) -> Option<u64> {
        // Also of one that is full in an instant, read in one go, and then waited for.
        let half =
            u128::from(window.size / 2) * now.saturating_duration_since(window.since).as_nanos();
        let is_fast =
            u128::from(window.read - window.reported) * turn(window.size, rtt).as_nanos() > half;
        let wanted = window.size * if is_fast { 2 } else { 1 };
        let all = budget.share(self.held) + FLOOR / 2;
        let fair = (all.saturating_sub(self.windows) + window.charged) / 2;
        let most = if rtt < NEARBY { NEAR } else { MAX_WINDOW };
        window.size = wanted.min(most).min(fair.max(INITIAL));
        window.since = now;
        let granted = window.granted.max(window.read + window.size);
        let news = granted > window.granted;
        window.granted = granted;
        self.note(window);
        self.settle(budget);
        news.then_some(granted)
    }

    /// Nothing more comes on this stream, or nothing of it is wanted.
    pub fn close(&mut self, budget: &mut Budget<'_>, window: &mut Window) {
        window.granted = window.read;
        window.size = 0;
        self.note(window);
        self.settle(budget);
    }

    /// The connection is over.
    pub fn end(&mut self, budget: &mut Budget<'_>) {
        budget.replace(self.held, 0);
        *self = Self::default();
    }

    fn note(&mut self, window: &mut Window) {
        self.debt = self.debt.saturating_sub(window.read - window.reported);
        window.reported = window.read;
        let charged = window.size.max(window.granted.saturating_sub(window.read));
        self.windows = self.windows - window.charged + charged;
        window.charged = charged;
    }

    /// Lets the connection's window follow the streams'.
    ///
    /// QUIC cannot take back what it promised: a smaller window only keeps back as much of what is read. So it is made smaller
    /// only where others want the memory, and what is still owed counts as held.
    fn settle(&mut self, budget: &mut Budget<'_>) {
        let promised = self.promised();
        let allowed = budget.share(self.held);
        let ahead = self.windows.min(AHEAD);
        let smaller = FLOOR + self.windows;
        if promised < (self.windows + ahead / 2).min(allowed) {
            self.receive_window += (self.windows + ahead).min(allowed) - promised;
        } else if allowed < promised && smaller < self.receive_window / 2 {
            self.debt += self.receive_window - smaller;
            self.receive_window = smaller;
        }
        let held = self.promised();
        budget.replace(self.held, held);
        self.held = held;
    }

    /// What the peer may make us hold beyond the floor, were it to keep to no stream's limit.
    fn promised(&self) -> u64 {
        self.receive_window + self.debt - FLOOR
    }
}

/// How long a window of this size is to last.
fn turn(size: u64, rtt: Duration) -> Duration {
    if size < NEAR { rtt.max(TURN) } else { rtt }
}

/// What the peer may send on one stream.
#[derive(Debug)]
pub struct Window {
    size: u64,
    /// The offset up to which the peer may send.
    granted: u64,
    read: u64,
    /// How much of `read` the connection knows of.
    reported: u64,
    /// What of the connection's sum is this stream's.
    charged: u64,
    /// When the window was last granted.
    since: Instant,
}

impl Window {
    /// The program read so many bytes; whether to [grant](Inbound::grant) more.
    pub fn read(&mut self, bytes: u64) -> bool {
        self.read += bytes;
        self.granted.saturating_sub(self.read) <= self.size - self.size / 4
    }
}

#[cfg(test)]
mod tests;

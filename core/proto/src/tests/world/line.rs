//! A line between a home and the rest of the network, in one direction.

use std::time::{Duration, Instant};

use rand::Rng;
use rand_chacha::ChaCha20Rng;

/// Losses that come together.
const BURST: u8 = 8;
/// How much later a packet comes that others overtake.
const OVERTAKEN: Duration = Duration::from_millis(20);
/// What a queue holds at most.
const QUEUE: Duration = Duration::from_millis(200);
/// Sent again on a reliable stream after this long, at the least, and so many times.
const RETRANSMIT: Duration = Duration::from_millis(30);

/// What a line does to packets.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) delay: Duration,
    /// Up to this much more, evenly.
    pub(crate) jitter: Duration,
    pub(crate) loss: f64,
    /// How often eight packets in a row begin to be lost.
    pub(crate) bursts: f64,
    pub(crate) reorder: f64,
    pub(crate) duplicate: f64,
    pub(crate) corrupt: f64,
    /// Bytes a second.
    pub(crate) rate: Option<u32>,
    /// Longer packets are dropped without a word.
    pub(crate) mtu: usize,
    /// Nothing passes.
    pub(crate) dead: bool,
    pub(crate) lost_next: u8,
    pub(crate) busy_until: Option<Instant>,
}

/// A packet that comes out at the other end.
pub(crate) struct Passed {
    pub(crate) after: Duration,
    pub(crate) corrupt: bool,
}

impl Line {
    pub(crate) fn new(delay: Duration) -> Self {
        Self {
            delay,
            jitter: Duration::ZERO,
            loss: 0.0,
            bursts: 0.0,
            reorder: 0.0,
            duplicate: 0.0,
            corrupt: 0.0,
            rate: None,
            mtu: 1500,
            dead: false,
            lost_next: 0,
            busy_until: None,
        }
    }

    /// What becomes of a packet: nothing, one, or two of it.
    pub(crate) fn pass(&mut self, now: Instant, len: usize, rng: &mut ChaCha20Rng) -> Vec<Passed> {
        let queued = self.queued(now, len);
        if self.dead || len > self.mtu || self.loses(rng) || queued > QUEUE {
            return Vec::new();
        }
        let copies = 1 + usize::from(happens(self.duplicate, rng));
        (0..copies)
            .map(|_| Passed {
                after: queued + self.time(rng),
                corrupt: happens(self.corrupt, rng),
            })
            .collect()
    }

    /// How long a message on a reliable stream takes; none while nothing passes.
    pub(crate) fn carry(&mut self, rng: &mut ChaCha20Rng) -> Option<Duration> {
        if self.dead {
            return None;
        }
        let mut after = self.time(rng);
        let mut wait = RETRANSMIT.max(self.delay * 6);
        while self.loses(rng) {
            after += wait;
            wait *= 2;
        }
        Some(after)
    }

    fn queued(&mut self, now: Instant, len: usize) -> Duration {
        let Some(rate) = self.rate else {
            return Duration::ZERO;
        };
        let free = self.busy_until.unwrap_or(now).max(now);
        let waits = free - now;
        if waits <= QUEUE {
            self.busy_until = Some(free + Duration::from_secs_f64(len as f64 / f64::from(rate)));
        }
        waits
    }

    fn loses(&mut self, rng: &mut ChaCha20Rng) -> bool {
        if self.lost_next == 0 && happens(self.bursts, rng) {
            self.lost_next = BURST;
        }
        let in_burst = self.lost_next > 0;
        self.lost_next = self.lost_next.saturating_sub(1);
        in_burst || happens(self.loss, rng)
    }

    fn time(&self, rng: &mut ChaCha20Rng) -> Duration {
        let mut time = self.delay + self.jitter.mul_f64(rng.random());
        if happens(self.reorder, rng) {
            time += OVERTAKEN;
        }
        time
    }
}

/// No randomness is drawn for what cannot happen, so that adding a kind of fault changes no other world.
fn happens(chance: f64, rng: &mut ChaCha20Rng) -> bool {
    chance > 0.0 && rng.random_bool(chance)
}

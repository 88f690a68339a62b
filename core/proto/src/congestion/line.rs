//! A line in virtual time: rate, delay, queue, loss.

use std::{collections::VecDeque, time::Duration};

use rand::{Rng, rngs::StdRng};

/// Nanoseconds since the world began.
pub type Nanos = u64;

pub const MS: Nanos = 1_000_000;
pub const SECOND: Nanos = 1_000_000_000;

/// What becomes of packets before the queue.
#[derive(Clone, Copy, Debug)]
pub enum Loss {
    None,
    /// Each packet by itself, with this chance.
    Random(f64),
    /// So many packets in a row, with this mean over all.
    Bursts {
        mean: f64,
        length: u32,
    },
}

/// A token bucket that drops what exceeds it.
#[derive(Clone, Copy, Debug)]
pub struct Policer {
    pub rate: f64,
    pub bucket: f64,
}

/// Pauses of the line, as of a machine that does something else.
#[derive(Clone, Copy, Debug)]
pub struct Stalls {
    pub every: Nanos,
    pub length: Nanos,
}

#[derive(Clone, Debug)]
pub struct Bottleneck {
    /// Bytes per second.
    pub rate: f64,
    /// Of one way.
    pub delay: Nanos,
    /// Bytes.
    pub queue: f64,
    pub loss: Loss,
    pub policer: Option<Policer>,
    pub stalls: Option<Stalls>,
    /// Acknowledgements pass only at multiples of this.
    pub ack_hold: Option<Nanos>,
    pub rng: StdRng,
    /// When each waiting packet leaves, and its size.
    waiting: VecDeque<(Nanos, u64)>,
    backlog: u64,
    free_at: Nanos,
    burst: u32,
    tokens: f64,
    filled_at: Nanos,
    stall_at: Nanos,
    /// Packets lost by chance, and because there was no room.
    pub lost: (u64, u64),
    pub carried: u64,
}

/// Bytes per second.
pub fn mbit(rate: f64) -> f64 {
    rate * 1e6 / 8.0
}

impl Bottleneck {
    /// A line with a queue of one bandwidth-delay product.
    pub fn new(rate: f64, rtt: Duration, rng: StdRng) -> Self {
        Self {
            rate,
            delay: rtt.as_nanos() as Nanos / 2,
            queue: rate * rtt.as_secs_f64(),
            loss: Loss::None,
            policer: None,
            stalls: None,
            ack_hold: None,
            rng,
            waiting: VecDeque::new(),
            backlog: 0,
            free_at: 0,
            burst: 0,
            tokens: 0.0,
            filled_at: 0,
            stall_at: 0,
            lost: (0, 0),
            carried: 0,
        }
    }

    /// Bytes that wait.
    pub fn backlog(&mut self, now: Nanos) -> u64 {
        while let Some((leaves_at, size)) = self.waiting.front().copied()
            && leaves_at <= now
        {
            self.waiting.pop_front();
            self.backlog -= size;
        }
        self.backlog
    }

    /// How long a packet that came now would wait.
    pub fn wait(&self, now: Nanos) -> Nanos {
        self.free_at.saturating_sub(now)
    }

    pub fn set_rate(&mut self, now: Nanos, rate: f64) {
        self.backlog(now);
        let slower = self.rate / rate;
        let later = |at: Nanos| now + (at.saturating_sub(now) as f64 * slower) as Nanos;
        for (leaves_at, _) in &mut self.waiting {
            *leaves_at = later(*leaves_at);
        }
        self.free_at = later(self.free_at);
        self.rate = rate;
    }

    /// When the packet arrives, if it does.
    pub fn send(&mut self, now: Nanos, size: u64) -> Option<Nanos> {
        if self.is_lost() {
            self.lost.0 += 1;
            return None;
        }
        let is_full = self.backlog(now) as f64 > self.queue;
        if !self.conforms(now, size as f64) || is_full {
            self.lost.1 += 1;
            return None;
        }
        self.carried += 1;
        if let Some(stalls) = self.stalls
            && now >= self.stall_at
        {
            let pause = self.exp(stalls.length);
            self.free_at = self.free_at.max(now) + pause;
            self.stall_at = now + self.exp(stalls.every);
        }
        self.free_at = self.free_at.max(now) + (size as f64 / self.rate * 1e9) as Nanos;
        self.waiting.push_back((self.free_at, size));
        self.backlog += size;
        Some(self.free_at + self.delay)
    }

    /// When an acknowledgement sent back now arrives.
    pub fn send_back(&self, now: Nanos) -> Nanos {
        let arrives = now + self.delay;
        match self.ack_hold {
            Some(hold) => arrives.div_ceil(hold) * hold,
            None => arrives,
        }
    }

    fn exp(&mut self, mean: Nanos) -> Nanos {
        let uniform: f64 = self.rng.random_range(1e-9..1.0);
        (-uniform.ln() * mean as f64) as Nanos
    }

    fn is_lost(&mut self) -> bool {
        match self.loss {
            Loss::None => false,
            Loss::Random(share) => self.rng.random_bool(share),
            Loss::Bursts { mean, length } => {
                if self.burst == 0 && self.rng.random_bool(mean / f64::from(length)) {
                    self.burst = length;
                }
                let lost = self.burst > 0;
                self.burst = self.burst.saturating_sub(1);
                lost
            }
        }
    }

    fn conforms(&mut self, now: Nanos, size: f64) -> bool {
        let Some(policer) = self.policer else {
            return true;
        };
        let elapsed = (now - self.filled_at) as f64 / 1e9;
        self.filled_at = now;
        self.tokens = (self.tokens + elapsed * policer.rate).min(policer.bucket);
        let conforms = self.tokens >= size;
        if conforms {
            self.tokens -= size;
        }
        conforms
    }
}

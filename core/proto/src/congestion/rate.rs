//! Delivery-rate samples after draft-ietf-ccwg-bbr section 4.1, from send times alone.
//!
//! A batch of packets remembers how much had been delivered when it left. When it is acknowledged, what was delivered since,
//! divided by the longer of the times that sending and acknowledging it took, is a sample of the path's rate.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// So many batches are remembered. An older one gives no sample, and what is acknowledged of it counts as delivered all the
/// same.
const MAX_BATCHES: usize = 8192;
/// A queue of batches larger than this is given back when nothing is in flight.
const IDLE_BATCHES: usize = 32;

/// What was known when packets left.
#[derive(Clone, Copy, Debug)]
struct Batch {
    sent_at: Instant,
    delivered: u64,
    delivered_at: Instant,
    first_sent_at: Instant,
    app_limited: bool,
}

/// What one batch of acknowledgements says of the path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// Bytes that it acknowledged.
    pub(super) acked: u64,
    /// Bytes that had been delivered when the newest of its packets left.
    pub(super) delivered_before: u64,
    /// Bytes per second; none if the time is too short to tell.
    pub(super) rate: Option<f64>,
    /// Of the newest packet.
    pub(super) rtt: Duration,
    /// Whether the sender had less to send than the window allowed.
    pub(super) app_limited: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Sampler {
    in_flight: u64,
    delivered: u64,
    delivered_at: Instant,
    first_sent_at: Instant,
    /// Samples are app-limited until so much has been delivered.
    app_limited_until: u64,
    /// By send time.
    batches: VecDeque<Batch>,
    newest: Option<Batch>,
    acked: u64,
}

impl Sampler {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            in_flight: 0,
            delivered: 0,
            delivered_at: now,
            first_sent_at: now,
            app_limited_until: 0,
            batches: VecDeque::new(),
            newest: None,
            acked: 0,
        }
    }

    /// Bytes sent and neither acknowledged nor lost.
    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Bytes acknowledged so far.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    pub(super) fn sent(&mut self, now: Instant, bytes: u64) {
        if self.in_flight == 0 {
            self.restart(now);
        }
        self.in_flight = self.in_flight.saturating_add(bytes);
        if self.batches.back().is_some_and(|last| last.sent_at >= now) {
            return;
        }
        if self.batches.len() == MAX_BATCHES {
            self.batches.pop_front();
        }
        self.batches.push_back(Batch {
            sent_at: now,
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            app_limited: self.app_limited_until >= self.delivered.max(1),
        });
    }

    /// The time that nothing was in flight is no part of any interval.
    fn restart(&mut self, now: Instant) {
        self.first_sent_at = now;
        self.delivered_at = now;
        self.batches.clear();
        self.batches.shrink_to(IDLE_BATCHES);
    }

    pub(super) fn acked(&mut self, now: Instant, sent_at: Instant, bytes: u64) {
        self.delivered = self.delivered.saturating_add(bytes);
        self.acked = self.acked.saturating_add(bytes);
        self.delivered_at = now;
        if self.newest.is_some_and(|newest| newest.sent_at >= sent_at) {
            return;
        }
        let at = self
            .batches
            .partition_point(|batch| batch.sent_at < sent_at);
        let found = self
            .batches
            .get(at)
            .filter(|batch| batch.sent_at == sent_at);
        if let Some(batch) = found.copied() {
            self.newest = Some(batch);
            self.first_sent_at = sent_at;
        }
    }

    pub(super) fn lost(&mut self, bytes: u64) {
        self.in_flight = self.in_flight.saturating_sub(bytes);
    }

    /// Ends a batch of acknowledgements. Nothing comes of one that acknowledged only what is not remembered.
    pub(super) fn end_of_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        shortest: Duration,
    ) -> Option<Sample> {
        self.in_flight = in_flight;
        if app_limited {
            self.app_limited_until = self.delivered.saturating_add(in_flight).max(1);
        }
        let newest = self.newest.take()?;
        let known = self
            .batches
            .partition_point(|batch| batch.sent_at < newest.sent_at);
        self.batches.drain(..known);
        let sending = newest
            .sent_at
            .saturating_duration_since(newest.first_sent_at);
        let acking = now.saturating_duration_since(newest.delivered_at);
        let interval = sending.max(acking);
        let delivered = self.delivered.saturating_sub(newest.delivered);
        let is_long = !interval.is_zero() && interval >= shortest;
        Some(Sample {
            acked: std::mem::take(&mut self.acked),
            delivered_before: newest.delivered,
            rate: is_long.then(|| delivered as f64 / interval.as_secs_f64()),
            rtt: now.saturating_duration_since(newest.sent_at),
            app_limited: newest.app_limited,
        })
    }
}

//! Congestion control that random loss does not slow down: the model of one path.
//!
//! After BBRv3 (draft-ietf-ccwg-bbr): the path's rate and its round-trip time without a queue are measured, and about their
//! product is kept in flight. Three things differ. The window is the only lever, since the sender's pacer follows it. Loss
//! is judged by what becomes of it when less is sent ([`loss`]), as two percent, the draft's limit, is what some radio links
//! lose at all times. And where others keep a queue standing, the window is theirs ([`contest`]).

mod aggregation;
mod contest;
mod cycle;
#[cfg(any(test, feature = "world"))]
pub mod line;
mod loss;
mod max_bw;
mod min_rtt;
mod phase;
mod rate;
mod rounds;
mod window;

use std::time::{Duration, Instant};

use aggregation::Aggregation;
use contest::Contest;
use loss::LossFloor;
use max_bw::MaxBw;
use min_rtt::MinRtt;
use phase::{Phase, PhaseKind};
use rate::Sampler;
use rounds::Rounds;
use window::{INITIAL_PACKETS, MIN_PACKETS, SLACK};

/// A path known for no longer than this is taken up where it was left.
const KNOWN: Duration = Duration::from_secs(60);
/// The share of what it carried that a path taken up again gets at first.
const RESUMED: f64 = 0.75;

/// The model of one path: what was sent, acknowledged and lost goes in, a window comes out.
#[derive(Clone, Debug)]
pub struct Model {
    mtu: u64,
    seed: u64,
    /// Probe cycles begun.
    cycle: u64,
    sampler: Sampler,
    rounds: Rounds,
    min_rtt: MinRtt,
    max_bw: MaxBw,
    aggregation: Aggregation,
    floor: LossFloor,
    phase: Phase,
    /// How long Cruise lasts in this cycle.
    cruise: Duration,
    /// What was lost before the present Down.
    loss_before: f64,
    /// How often in a row more in flight was lost without a queue. If it was, more is tried in small steps, and less often.
    overshoots: u32,
    /// The round-trip time that shorter ones count as.
    slack: Duration,
    contest: Option<Contest>,
    window: u64,
}

impl Model {
    /// A path of which nothing is known. `seed` spreads the probes of flows that began together.
    pub fn new(now: Instant, mtu: u16, seed: u64) -> Self {
        let mtu = u64::from(mtu.max(1));
        Self {
            mtu,
            seed,
            cycle: 0,
            sampler: Sampler::new(now),
            rounds: Rounds::new(),
            min_rtt: MinRtt::new(now),
            max_bw: MaxBw::default(),
            aggregation: Aggregation::new(now),
            floor: LossFloor::default(),
            phase: Phase::new(PhaseKind::Startup, now, 0.0),
            cruise: Duration::ZERO,
            loss_before: 0.0,
            overshoots: 0,
            slack: SLACK,
            contest: None,
            window: INITIAL_PACKETS * mtu,
        }
    }

    /// Bytes that may be in flight.
    pub fn window(&self) -> u64 {
        self.window
    }

    /// Bytes that may be in flight on a path of which nothing is known.
    pub fn initial_window(mtu: u16) -> u64 {
        INITIAL_PACKETS * u64::from(mtu)
    }

    pub fn set_mtu(&mut self, mtu: u16) {
        self.mtu = u64::from(mtu.max(1));
        self.window = self.window.max(MIN_PACKETS * self.mtu);
    }

    /// Packets left.
    pub fn sent(&mut self, now: Instant, bytes: u64) {
        self.sampler.sent(now, bytes);
    }

    /// A packet that left at `sent_at` arrived.
    pub fn acked(&mut self, now: Instant, sent_at: Instant, bytes: u64) {
        self.sampler.acked(now, sent_at, bytes);
    }

    /// Packets were lost, the newest of which left at `sent_at`.
    pub fn lost(&mut self, sent_at: Instant, bytes: u64) {
        self.sampler.lost(bytes);
        self.rounds.lost(bytes);
        self.phase.lost(sent_at, bytes);
    }

    /// A router marked a packet instead of dropping it (RFC 3168).
    pub fn marked(&mut self) {
        self.rounds.marked();
    }

    /// Nothing arrived for several round trips (RFC 9002 section 7.6): the path is not what it was.
    pub fn collapsed(&mut self, now: Instant) {
        self.max_bw = MaxBw::default();
        self.contest = None;
        self.enter(PhaseKind::Startup, now);
        self.window = MIN_PACKETS * self.mtu;
    }

    /// The packets that one datagram acknowledges have been told. `in_flight` bytes are left; `app_limited` says that there
    /// was less to send than the window allows.
    pub fn end_of_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool) {
        let shortest = self.min_rtt.get().unwrap_or_default().mul_f64(0.9);
        let sample = self
            .sampler
            .end_of_acks(now, in_flight, app_limited, shortest);
        let Some(sample) = sample else { return };
        self.min_rtt.observe(now, sample.rtt);
        self.phase.acked(sample.acked);
        if !matches!(self.phase.kind, PhaseKind::Startup | PhaseKind::Up) {
            // While the rate grows, all of it is more than expected.
            self.aggregation
                .observe(now, sample.acked, self.max_bw.get(), self.window);
        }
        let delivered = self.sampler.delivered();
        let before = sample.delivered_before;
        self.rounds.acked(sample.acked, sample.rtt);
        if self.rounds.ends_with(before) || self.is_overrun() {
            let round = self.rounds.end(delivered);
            self.aggregation.end_of_round(self.rounds.count());
            if let Some(rate) = sample.rate {
                self.max_bw.observe(rate, sample.app_limited);
            }
            self.end_of_round(now, &round, &sample);
        }
        self.probe_rtt(now);
        self.set_window(sample.acked);
    }

    /// A path left at `left_at` is taken up again.
    pub fn resume(&mut self, now: Instant, left_at: Instant) {
        let is_known = now.saturating_duration_since(left_at) <= KNOWN && self.max_bw.get() > 0.0;
        if !is_known {
            let mtu = u16::try_from(self.mtu).unwrap_or(u16::MAX);
            *self = Self::new(now, mtu, self.seed);
            return;
        }
        let window = RESUMED * self.bdp();
        self.min_rtt.resume(now);
        self.contest = None;
        self.sampler = Sampler::new(now);
        self.rounds = Rounds::new();
        self.enter(PhaseKind::Refill, now);
        self.window = self.bounded(window);
    }
}

#[cfg(test)]
mod tests;

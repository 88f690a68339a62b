//! How much may be in flight.

use std::time::Duration;

use super::{Model, phase::PhaseKind};

/// Packets in flight at first.
pub(super) const INITIAL_PACKETS: u64 = 32;
/// Packets in flight at least (draft-ietf-ccwg-bbr section 2.7, BBR.MinPipeCwnd).
pub(super) const MIN_PACKETS: u64 = 4;
/// Shorter round trips are dominated by when the ends get to run. Where that is too much, losses shorten it.
pub(super) const SLACK: Duration = Duration::from_millis(3);
/// Bytes in flight at most: 5 Gbit/s at 100 ms.
pub(super) const MAX_WINDOW: u64 = 64 << 20;
/// So many packets may be in flight beyond what the path is known to carry. quinn gives up a stream at 1,024 gaps.
const MAX_EXCESS_PACKETS: u64 = 700;
/// What each flow has on top whatever its share is, packets: of several, the small ones gain by it and the large ones lose.
const EVEN_PACKETS: f64 = 10.0;
/// quinn's pacer sends as many packets at once, or what this time brings; their acknowledgements come back together.
const BURST_PACKETS: u64 = 10;
const BURST: Duration = Duration::from_millis(2);
/// Acknowledgements are together for no longer than this (draft-ietf-ccwg-bbr section 5.5.9 leaves it open; Linux has it).
const MAX_AGGREGATION: Duration = Duration::from_millis(100);

impl Model {
    /// Bytes that the path holds without a queue.
    pub(super) fn bdp(&self) -> f64 {
        let Some(rtt) = self.min_rtt.get() else {
            return (INITIAL_PACKETS * self.mtu) as f64;
        };
        self.max_bw.get() * rtt.max(self.slack).as_secs_f64()
    }

    /// Sets the window after `acked` bytes arrived.
    pub(super) fn set_window(&mut self, acked: u64) {
        let window = match self.phase.kind {
            PhaseKind::Startup => self.startup_window(acked),
            PhaseKind::ProbeRtt { .. } => 0.5 * self.bdp(),
            // One packet more, as quinn sends only what stays below the window.
            PhaseKind::Down { .. } => 0.9 * self.bdp() + self.mtu as f64,
            PhaseKind::Cruise | PhaseKind::Refill | PhaseKind::Up => match &self.contest {
                Some(contest) => contest.window() * self.mtu as f64,
                None => self.gain() * self.filled() + self.held_back(),
            },
        };
        self.window = self.bounded(window);
    }

    pub(super) fn bounded(&self, window: f64) -> u64 {
        (window as u64).clamp(MIN_PACKETS * self.mtu, MAX_WINDOW)
    }

    fn startup_window(&self, acked: u64) -> f64 {
        let grown = self.window.saturating_add(acked) as f64;
        let known = if self.max_bw.get() > 0.0 {
            let bdp = self.bdp();
            (4.0 * bdp).min(bdp + self.max_excess())
        } else {
            f64::MAX
        };
        let initial = (INITIAL_PACKETS * self.mtu) as f64;
        grown.min(known.max(initial))
    }

    fn max_excess(&self) -> f64 {
        (MAX_EXCESS_PACKETS * self.mtu) as f64
    }

    /// What fills the path: what will be lost takes room until it is known to be.
    fn filled(&self) -> f64 {
        self.bdp() / (1.0 - self.floor.get())
    }

    fn gain(&self) -> f64 {
        let bdp = self.bdp().max(1.0);
        let most = 1.0 + self.max_excess() / bdp;
        match self.phase.kind {
            PhaseKind::Up if self.overshoots > 0 => self.small_steps().min(most),
            PhaseKind::Up => most.min(1.25),
            PhaseKind::Refill => 1.0,
            PhaseKind::Startup
            | PhaseKind::Down { .. }
            | PhaseKind::Cruise
            | PhaseKind::ProbeRtt { .. } => 1.02,
        }
    }

    /// Small steps at first, as all that is too much is lost.
    fn small_steps(&self) -> f64 {
        let steps = 1u64 << self.phase.rounds.min(3);
        (1.0 + 0.04 * steps as f64).min(1.25)
    }

    /// What acknowledgements that come together keep from being known as arrived, bytes.
    fn held_back(&self) -> f64 {
        let bw = self.max_bw.get();
        let burst = (BURST_PACKETS * self.mtu) as f64;
        let own = burst.max(bw * BURST.as_secs_f64());
        let most = bw * MAX_AGGREGATION.as_secs_f64();
        let extra = (self.aggregation.extra() as f64 - own).clamp(0.0, most.max(0.0));
        let (mtu, bdp) = (self.mtu as f64, self.bdp());
        if self.overshoots > 0 {
            // Where nothing queues, what is sent on top is lost: only trains that would stop the flow are worth it.
            return mtu + if extra > bdp / 4.0 { extra } else { 0.0 };
        }
        extra + mtu * (MIN_PACKETS as f64 + bdp / mtu / 8.0).min(EVEN_PACKETS)
    }
}

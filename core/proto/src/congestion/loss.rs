//! What a path loses of its own, as a radio does, and what is lost because we send too much.
//!
//! Both look alike. The floor is what is lost while less is sent than the path carries: sending still less would not spare
//! it. Only what goes clearly beyond it is congestion.

use super::rounds::{Round, share};

/// No line that anybody would keep loses more of its own.
const MAX_FLOOR: f64 = 0.12;
/// Chance alone makes a phase lose so much more than the floor.
const TOLERANCE: f64 = 1.3;
/// The loss beyond the floor that is let pass (draft-ietf-ccwg-bbr section 2.7, BBR.LossThresh).
const MARGIN: f64 = 0.02;
/// Fewer lost packets than these prove nothing.
const MIN_LOST: u64 = 10;
/// A round that loses so much is congested whatever the floor.
const HEAVY: f64 = 0.2;
/// A phase with fewer packets than these does not tell the floor.
const MIN_PACKETS: u64 = 150;

/// Bytes whose fate was decided in a phase.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) delivered: u64,
    pub(super) lost: u64,
}

impl Tally {
    pub(super) fn loss(&self) -> f64 {
        share(self.lost, self.delivered)
    }

    /// Whether it lost clearly less than was lost before: by a quarter, and by more than chance.
    pub(super) fn is_less_than(&self, before: f64, mtu: u64) -> bool {
        let packets = (self.delivered.saturating_add(self.lost) / mtu).max(1);
        let chance = 2.0 * (before / packets as f64).sqrt();
        self.loss() < 0.75 * before && self.loss() < before - chance
    }

    /// Whether it is enough to learn from.
    pub(super) fn is_ample(&self, mtu: u64) -> bool {
        self.delivered.saturating_add(self.lost) >= MIN_PACKETS * mtu
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct LossFloor {
    floor: Option<f64>,
}

impl LossFloor {
    pub(super) fn get(&self) -> f64 {
        self.floor.unwrap_or(0.0)
    }

    /// Takes over what was lost while the path was not full.
    pub(super) fn learn(&mut self, loss: f64) {
        let loss = loss.min(MAX_FLOOR);
        self.floor = Some(self.floor.map_or(loss, |floor| (floor + loss) / 2.0));
    }

    /// The path loses no more of its own than it lost in all.
    pub(super) fn limit(&mut self, loss: f64) {
        self.floor = Some(self.floor.map_or(loss, |floor| floor.min(loss)));
    }

    /// Whether a whole phase lost too much.
    pub(super) fn is_exceeded(&self, tally: &Tally, mtu: u64) -> bool {
        let is_proof = tally.lost >= MIN_LOST * mtu;
        is_proof && tally.loss() > self.get() * TOLERANCE + MARGIN
    }

    /// Whether one round lost far too much.
    pub(super) fn is_heavy(&self, round: &Round, mtu: u64) -> bool {
        round.loss() > HEAVY && round.lost >= MIN_LOST * mtu
    }

    /// Whether one round is congested: it lost too much while a queue stood, or far too much.
    pub(super) fn is_congested(&self, round: &Round, queue: bool, mtu: u64) -> bool {
        self.is_heavy(round, mtu)
            || round.marked
            || (queue && round.loss() > self.get() * 1.5 + MARGIN)
    }
}

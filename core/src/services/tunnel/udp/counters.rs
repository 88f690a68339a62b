//! What became of datagrams: [`DatagramCounts`].

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::arrivals::Losses;

/// What became of a service's UDP datagrams so far, as this side knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatagramCounts {
    /// Sent to the peer.
    pub sent: u64,
    /// Of the peer's, handed over on this side.
    pub received: u64,
    /// Never sent: more came than the link takes, or than waits until the peer is dialled. Also what is beyond a service's limit, either way.
    pub overflowed: u64,
    /// Of the peer's, lost on the way. What is still on its way counts once a later one is here.
    pub lost: u64,
    /// Of the peer's, given up as a piece was missing for too long, or too many waited for theirs.
    pub incomplete: u64,
    /// Not handed over, or not sent: the system refused it, it was longer than 65,507 bytes, the link was down, or the flow had ended.
    pub refused: u64,
    /// Flows begun.
    pub flows: u64,
    /// Flows ended for others, as there were too many.
    pub displaced: u64,
}

#[derive(Debug, Default)]
pub(in super::super) struct Counters {
    pub(super) sent: AtomicU64,
    pub(super) received: AtomicU64,
    pub(super) overflowed: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) incomplete: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) flows: AtomicU64,
    pub(super) displaced: AtomicU64,
}

pub(super) fn add(counter: &AtomicU64, count: u64) {
    if count > 0 {
        counter.fetch_add(count, Relaxed);
    }
}

impl Counters {
    pub(super) fn lose(&self, losses: Losses) {
        match u64::try_from(losses.lost) {
            Ok(lost) => add(&self.lost, lost),
            Err(_) => drop(self.lost.fetch_sub(losses.lost.unsigned_abs(), Relaxed)),
        }
        add(&self.incomplete, losses.incomplete);
        add(&self.refused, losses.strays);
    }

    pub(in super::super) fn read(&self) -> DatagramCounts {
        DatagramCounts {
            sent: self.sent.load(Relaxed),
            received: self.received.load(Relaxed),
            overflowed: self.overflowed.load(Relaxed),
            lost: self.lost.load(Relaxed),
            incomplete: self.incomplete.load(Relaxed),
            refused: self.refused.load(Relaxed),
            flows: self.flows.load(Relaxed),
            displaced: self.displaced.load(Relaxed),
        }
    }
}

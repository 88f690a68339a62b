//! How much each source may ask for that proves nothing about itself.

use std::{
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

use super::{Bucket, Rate, network::Network};

/// How far ahead of its rate a network may be: a node looks at its NAT from some hundred sockets at once.
const BURST: Duration = Duration::from_secs(4);
/// Budgets in all. Sources may be forged, so that no table of them could be large enough: networks share one by chance.
const BUDGETS: usize = 4096;

/// A rate for each network, in bounded memory.
#[derive(Debug)]
pub(super) struct Sources {
    rate: Rate,
    budgets: Vec<Bucket>,
    hasher: RandomState,
}

impl Sources {
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            rate,
            budgets: vec![Bucket::default(); BUDGETS],
            hasher: RandomState::new(),
        }
    }

    /// Takes one out of the rate of `network`; false if there is nothing left.
    pub(super) fn take(&mut self, now: Instant, network: Network) -> bool {
        let index = self.hasher.hash_one(network) as usize % BUDGETS;
        let budget = self.budgets.get_mut(index);
        budget.is_some_and(|budget| budget.take_within(BURST, self.rate, now, 1))
    }
}

//! Who holds how much of something that is scarce.

use std::collections::{BTreeMap, BTreeSet};

use super::network::Network;

/// What each network holds. Where there is no room left, who holds most gives way to who holds less.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    held: BTreeMap<Network, usize>,
    ranking: BTreeSet<(usize, Network)>,
    total: usize,
}

impl Shares {
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// How many networks hold anything.
    pub(crate) fn networks(&self) -> usize {
        self.held.len()
    }

    pub(crate) fn of(&self, network: Network) -> usize {
        self.held.get(&network).copied().unwrap_or_default()
    }

    pub(crate) fn add(&mut self, network: Network, amount: usize) {
        self.total += amount;
        self.set(network, self.of(network) + amount);
    }

    pub(crate) fn remove(&mut self, network: Network, amount: usize) {
        let held = self.of(network);
        let amount = amount.min(held);
        self.total -= amount;
        self.set(network, held - amount);
    }

    /// The network that gives up one for a newcomer from `network`: who holds most, if that is still no less than the
    /// newcomer's afterwards. So nobody is displaced to and fro.
    pub(crate) fn yielding_to(&self, network: Network) -> Option<Network> {
        let (most, greediest) = *self.ranking.last()?;
        (most >= self.of(network) + 2).then_some(greediest)
    }

    /// The network that holds most.
    pub(crate) fn greediest(&self) -> Option<Network> {
        self.ranking.last().map(|(_, network)| *network)
    }

    fn set(&mut self, network: Network, amount: usize) {
        if let Some(before) = self.held.remove(&network) {
            self.ranking.remove(&(before, network));
        }
        if amount > 0 {
            self.held.insert(network, amount);
            self.ranking.insert((amount, network));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(last: u8) -> Network {
        Network::of(([192, 0, 2, last], 1).into())
    }

    #[test]
    fn who_holds_most_gives_way_until_all_hold_the_same() {
        let mut shares = Shares::default();
        shares.add(network(1), 6);
        shares.add(network(2), 1);
        let mut moved = 0;
        while let Some(greedy) = shares.yielding_to(network(2)) {
            assert_eq!(greedy, network(1));
            shares.remove(greedy, 1);
            shares.add(network(2), 1);
            moved += 1;
        }
        assert_eq!(
            (moved, shares.of(network(1)), shares.of(network(2))),
            (2, 4, 3)
        );
        assert_eq!(shares.yielding_to(network(1)), None);
        shares.remove(network(1), 9);
        shares.remove(network(2), 3);
        assert_eq!((shares.total(), shares.networks()), (0, 0));
        assert!(shares.ranking.is_empty());
    }
}

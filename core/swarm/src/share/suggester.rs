//! Which units whoever has all of some content would have fetched by whom: [`Suggester`]. Pure.
//!
//! Many who fetch from one at once would ask it for the same units before they hear of each other's, and the last units would leave
//! it late. So each is told of units that no other was, and until all were sent once none needs to be sent twice (super-seeding, but
//! that everything is told as it is, and who asks for something else gets that).

use std::collections::BTreeMap;

use peerway::PeerId;

use super::Units;

/// Units that a peer is told of before it is known how fast it takes them, and at most.
const WINDOW: (usize, usize) = (4, 32);
/// Peers that are told of something.
const MAX_PEERS: usize = 256;

/// What was sent of some content, and who was told of what.
#[derive(Debug)]
pub struct Suggester {
    /// What was sent to anybody.
    out: Units,
    /// Behind the last that somebody was told of.
    next: u32,
    peers: BTreeMap<PeerId, Told>,
}

#[derive(Debug, Default)]
struct Told {
    /// What it was told of and was not sent yet.
    open: Vec<u32>,
    /// How many that may be; none before the first time.
    window: usize,
}

impl Suggester {
    /// For content of so many units.
    #[must_use]
    pub fn new(units: u32) -> Self {
        Self {
            out: Units::none(units),
            next: 0,
            peers: BTreeMap::new(),
        }
    }

    /// A peer fetches it. Of many the last are told nothing.
    pub fn come(&mut self, peer: PeerId) {
        if self.peers.len() < MAX_PEERS {
            self.peers.entry(peer).or_default();
        }
    }

    /// A peer does no more. Where less than two are left, what was sent may be nowhere any more.
    pub fn gone(&mut self, peer: PeerId) {
        self.peers.remove(&peer);
        if self.peers.len() < 2 {
            self.out = Units::none(self.out.len());
        }
    }

    /// A peer was sent a unit; whether there may be something to tell it now.
    pub fn sent(&mut self, peer: PeerId, unit: u32) -> bool {
        if self.peers.len() < 2 {
            return false;
        }
        self.out.insert(unit);
        let Some(told) = self.peers.get_mut(&peer) else {
            return false;
        };
        told.open.retain(|open| *open != unit);
        !self.out.is_full() && told.open.len() <= told.window / 2
    }

    /// What to tell a peer of, which no other was told of or sent.
    pub fn suggest(&mut self, peer: PeerId) -> Vec<u32> {
        if self.peers.len() < 2 || self.out.is_full() {
            return Vec::new();
        }
        let Some(told) = self.peers.get_mut(&peer) else {
            return Vec::new();
        };
        told.open.retain(|unit| !self.out.has(*unit));
        if told.open.len() > told.window / 2 {
            return Vec::new();
        }
        let (least, most) = WINDOW;
        if told.window == 0 {
            told.window = least;
        } else if told.open.is_empty() {
            // It could have taken more.
            told.window = (told.window * 2).min(most);
        }
        let room = told.window - told.open.len();
        let new = self.take(room);
        if let Some(told) = self.peers.get_mut(&peer) {
            told.open.extend(&new);
        }
        new
    }

    /// So many of the next that nobody was told of or sent.
    fn take(&mut self, most: usize) -> Vec<u32> {
        let mut taken = self.out.clone();
        for unit in self.peers.values().flat_map(|told| &told.open) {
            taken.insert(*unit);
        }
        let len = self.out.len();
        let all = (self.next..len).chain(0..self.next);
        let new: Vec<_> = all.filter(|unit| !taken.has(*unit)).take(most).collect();
        if let Some(last) = new.last() {
            self.next = (last + 1) % len;
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use peerway::SecretKey;

    use super::*;

    fn peer(seed: u8) -> PeerId {
        SecretKey::from_seed(&[seed; 32]).id()
    }

    fn of_two(units: u32) -> Suggester {
        let mut suggester = Suggester::new(units);
        suggester.come(peer(1));
        suggester.come(peer(2));
        suggester
    }

    #[test]
    fn no_two_are_told_of_the_same_and_all_of_it_is_sent_once_before_any_twice() {
        let mut suggester = of_two(100);
        let mut sent = BTreeSet::new();
        for peer in [peer(1), peer(2)].repeat(20) {
            for unit in suggester.suggest(peer) {
                assert!(sent.insert(unit), "{unit} twice");
                suggester.sent(peer, unit);
            }
        }
        assert_eq!(sent.len(), 100);
        assert_eq!(suggester.suggest(peer(1)), [0; 0], "all of it is out");
    }

    #[test]
    fn who_takes_nothing_is_told_of_little_and_what_it_leaves_is_for_others() {
        let mut suggester = of_two(64);
        assert_eq!(suggester.suggest(peer(1)), [0, 1, 2, 3]);
        assert_eq!(suggester.suggest(peer(1)), [0; 0], "it has not used those");
        let mut told = Vec::new();
        for _ in 0..9 {
            let new = suggester.suggest(peer(2));
            for unit in &new {
                suggester.sent(peer(2), *unit);
            }
            told.extend(new);
        }
        assert_eq!(told, (4..64).collect::<Vec<_>>());
        suggester.come(peer(3));
        suggester.gone(peer(1));
        assert_eq!(suggester.suggest(peer(3)), [0, 1, 2, 3]);
    }

    #[test]
    fn who_fetches_alone_is_told_nothing_and_whoever_comes_after_all_left_begins_anew() {
        let mut suggester = Suggester::new(8);
        suggester.come(peer(1));
        assert_eq!(suggester.suggest(peer(1)), [0; 0]);
        suggester.come(peer(2));
        for unit in 0..8 {
            suggester.sent(peer(2), unit);
        }
        assert_eq!(suggester.suggest(peer(1)), [0; 0]);
        suggester.gone(peer(2));
        suggester.come(peer(3));
        assert_eq!(suggester.suggest(peer(3)), [0, 1, 2, 3]);
    }
}

//! Whose QUIC packets an address's are, when several peers say that they are there.
//!
//! Whoever asks from an address is only answered there once it is granted: a peer that got an answer sends its data that way.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
};

use crate::PeerId;

/// Sources of one peer at a time.
const MAX_SOURCES: usize = 16;

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Sources {
    holders: BTreeMap<SocketAddr, (PeerId, Title)>,
    /// What each holds, the oldest first.
    held: BTreeMap<PeerId, VecDeque<SocketAddr>>,
}

/// By what right a source is a peer's, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Title {
    /// The peer was there, but nobody wants the link any more.
    Left,
    /// An authentic message says that it came from there, which whoever copies one can write.
    Claimed,
    /// The peer answered there.
    Proven,
}

/// What came of asking for a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// It is another peer's.
    Refused,
    /// It was the peer's already.
    Kept,
    /// It is the peer's from now on, and the one that it gives up for it is nobody's.
    New { given_up: Option<SocketAddr> },
}

impl Sources {
    /// Asks for a source: a claim displaces only a peer that left, a proof everybody.
    pub(crate) fn ask(&mut self, peer: PeerId, source: SocketAddr, title: Title) -> Grant {
        match self.holders.get_mut(&source) {
            Some((holder, by)) if *holder == peer => {
                *by = title.max(*by);
                return Grant::Kept;
            }
            Some((_, by)) if *by >= Title::Claimed && title < Title::Proven => {
                return Grant::Refused;
            }
            Some((holder, _)) => {
                let displaced = *holder;
                self.drop_from(displaced, source);
            }
            None => {}
        }
        self.holders.insert(source, (peer, title));
        let held = self.held.entry(peer).or_default();
        held.push_back(source);
        let given_up = (held.len() > MAX_SOURCES)
            .then(|| self.give_up(peer))
            .flatten();
        Grant::New { given_up }
    }

    /// Nobody wants the link any more: its sources are whoever's comes there next.
    pub(crate) fn leave(&mut self, peer: PeerId) {
        for source in self.held.get(&peer).into_iter().flatten() {
            if let Some((_, title)) = self.holders.get_mut(source) {
                *title = Title::Left;
            }
        }
    }

    /// The peer holds nothing any more.
    pub(crate) fn forget(&mut self, peer: PeerId) {
        for source in self.held.remove(&peer).into_iter().flatten() {
            self.holders.remove(&source);
        }
    }

    /// Takes the least and oldest of the peer's from it, but for the newest.
    fn give_up(&mut self, peer: PeerId) -> Option<SocketAddr> {
        let held = self.held.get(&peer)?;
        let title = |source: &SocketAddr| self.holders.get(source).map(|(_, title)| *title);
        let older = held.iter().take(held.len() - 1);
        let source = *older.min_by_key(|source| title(source))?;
        self.holders.remove(&source);
        self.drop_from(peer, source);
        Some(source)
    }

    fn drop_from(&mut self, peer: PeerId, source: SocketAddr) {
        if let Some(held) = self.held.get_mut(&peer) {
            held.retain(|one| *one != source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    fn peer(seed: u8) -> PeerId {
        SecretKey::from_seed(&[seed; 32]).id()
    }

    fn at(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    /// Whether the second gets what the first has.
    fn contest(first: Title, second: Title) -> bool {
        let mut sources = Sources::default();
        sources.ask(peer(1), at(1), first);
        sources.ask(peer(2), at(1), second) != Grant::Refused
    }

    #[test]
    fn a_claim_displaces_only_who_left_and_a_proof_everybody() {
        use Title::{Claimed, Left, Proven};
        let wins = [Left, Claimed, Proven]
            .map(|first| [Claimed, Proven].map(|second| contest(first, second)));
        assert_eq!(wins, [[true, true], [false, true], [false, true]]);
    }

    #[test]
    fn a_peer_that_left_keeps_what_nobody_else_asks_for_and_has_it_again_when_it_speaks() {
        let mut sources = Sources::default();
        sources.ask(peer(1), at(1), Title::Proven);
        sources.leave(peer(1));
        assert_eq!(sources.ask(peer(1), at(1), Title::Claimed), Grant::Kept);
        assert_eq!(sources.ask(peer(2), at(1), Title::Claimed), Grant::Refused);
    }

    #[test]
    fn a_peer_has_sixteen_sources_of_which_the_oldest_claims_give_way_first() {
        let mut sources = Sources::default();
        sources.ask(peer(2), at(1), Title::Claimed);
        sources.ask(peer(1), at(2), Title::Proven);
        let given_up: Vec<SocketAddr> = (3..100)
            .filter_map(
                |port| match sources.ask(peer(1), at(port), Title::Claimed) {
                    Grant::New { given_up } => given_up,
                    Grant::Kept | Grant::Refused => None,
                },
            )
            .collect();
        assert_eq!(given_up, (3..=84).map(at).collect::<Vec<_>>());
        assert_eq!(sources.holders.len(), 1 + MAX_SOURCES);
    }

    #[test]
    fn what_a_forgotten_or_displaced_peer_held_counts_for_it_no_more() {
        let mut sources = Sources::default();
        for port in 0..16 {
            sources.ask(peer(1), at(port), Title::Proven);
        }
        sources.ask(peer(2), at(0), Title::Proven);
        let one_more = sources.ask(peer(1), at(100), Title::Claimed);
        assert_eq!(one_more, Grant::New { given_up: None });
        sources.forget(peer(1));
        assert_eq!(sources.holders.len(), 1);
        sources.forget(peer(2));
        assert!(sources.holders.is_empty() && sources.held.is_empty());
    }
}

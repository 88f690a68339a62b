//! How much of what was sent to whom, to be shown. Pure.

use std::{collections::BTreeMap, time::Duration};

use peerway::PeerId;

use super::Hash;

/// Shares of which that is known; of more nothing is.
const MAX_TALLIES: usize = 4096;
/// Peers of one share that are told apart; who took nothing for longest gives way.
const MAX_PEERS: usize = 64;
/// How long ago somebody was sent something who is being sent something.
const NOW: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct Tallies {
    of: BTreeMap<Hash, Tally>,
}

/// Of one share.
#[derive(Debug, Default)]
pub(super) struct Tally {
    sent: u64,
    peers: BTreeMap<PeerId, (u64, Duration)>,
}

impl Tallies {
    /// A peer was sent so many bytes of a share.
    pub(super) fn sent(&mut self, share: Hash, peer: PeerId, bytes: u64, now: Duration) {
        if self.of.len() >= MAX_TALLIES && !self.of.contains_key(&share) {
            return;
        }
        let tally = self.of.entry(share).or_default();
        tally.sent = tally.sent.saturating_add(bytes);
        let is_new = !tally.peers.contains_key(&peer);
        if is_new && tally.peers.len() >= MAX_PEERS {
            let longest = tally.peers.iter().min_by_key(|(_, (_, last))| *last);
            if let Some(longest) = longest.map(|(peer, _)| *peer) {
                tally.peers.remove(&longest);
            }
        }
        let (sent, last) = tally.peers.entry(peer).or_default();
        (*sent, *last) = (sent.saturating_add(bytes), now);
    }

    pub(super) fn of(&self, share: Hash) -> Option<&Tally> {
        self.of.get(&share)
    }
}

impl Tally {
    /// Bytes to all.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Each who was sent some, how many bytes, and whether that goes on.
    pub(super) fn peers(&self, now: Duration) -> impl Iterator<Item = (PeerId, u64, bool)> {
        let peers = self.peers.iter();
        peers.map(move |(peer, (sent, last))| (*peer, *sent, now.saturating_sub(*last) < NOW))
    }
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;

    use super::*;

    fn peer(number: u8) -> PeerId {
        SecretKey::from_seed(&[number; 32]).id()
    }

    #[test]
    fn who_takes_nothing_more_is_not_being_sent_anything_but_remembered() {
        let (mut tallies, share) = (Tallies::default(), Hash::of(b"a"));
        tallies.sent(share, peer(1), 5, Duration::ZERO);
        tallies.sent(share, peer(2), 7, NOW);
        let tally = tallies.of(share).unwrap();
        assert_eq!(tally.sent(), 12);
        let mut peers: Vec<_> = tally.peers(NOW).collect();
        peers.sort_by_key(|(_, sent, _)| *sent);
        assert_eq!(peers, [(peer(1), 5, false), (peer(2), 7, true)]);
        assert!(tallies.of(Hash::of(b"b")).is_none());
    }

    #[test]
    fn many_peers_and_shares_take_bounded_memory_and_no_byte_is_forgotten() {
        let (mut tallies, share) = (Tallies::default(), Hash::of(b"a"));
        for number in 0..200 {
            let now = Duration::from_secs(number.into());
            tallies.sent(share, peer(number), 1, now);
        }
        let tally = tallies.of(share).unwrap();
        assert_eq!((tally.sent(), tally.peers.len()), (200, MAX_PEERS));
        assert!(tally.peers.contains_key(&peer(199)) && !tally.peers.contains_key(&peer(0)));
        for number in 0..2 * MAX_TALLIES {
            let hash = Hash::of(&number.to_le_bytes());
            tallies.sent(hash, peer(1), 1, Duration::ZERO);
        }
        assert_eq!(tallies.of.len(), MAX_TALLIES);
    }
}

//! How many handshakes peers may have under way: anybody whom we let in can begin any number, and each costs memory and a
//! key exchange.

use std::collections::BTreeMap;

use crate::PeerId;

/// Under way at once, of one peer and of all.
const PER_PEER: usize = 8;
const IN_ALL: usize = 256;

/// Incoming handshakes under way, by peer.
#[derive(Debug, Default)]
pub(super) struct Handshakes(BTreeMap<PeerId, usize>);

impl Handshakes {
    /// Counts one more; false if that would be too many.
    pub(super) fn begin(&mut self, peer: PeerId) -> bool {
        let of_peer = self.0.get(&peer).copied().unwrap_or_default();
        let fits = of_peer < PER_PEER && self.0.values().sum::<usize>() < IN_ALL;
        if fits {
            self.0.insert(peer, of_peer + 1);
        }
        fits
    }

    pub(super) fn end(&mut self, peer: PeerId) {
        if let Some(of_peer) = self.0.get_mut(&peer) {
            *of_peer -= 1;
            self.0.retain(|_, of_peer| *of_peer > 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    #[test]
    fn one_peer_cannot_take_the_place_of_others_and_all_together_are_limited() {
        let mut handshakes = Handshakes::default();
        let peers: Vec<PeerId> = (0..40)
            .map(|n| SecretKey::from_seed(&[n; 32]).id())
            .collect();
        let begun = peers.iter().map(|peer| {
            let begun = (0..20).filter(|_| handshakes.begin(*peer));
            begun.count()
        });
        let begun: Vec<usize> = begun.collect();
        assert_eq!(begun, [vec![8; 32], vec![0; 8]].concat());
        handshakes.end(peers[0]);
        assert!(handshakes.begin(peers[39]));
        assert!(!handshakes.begin(peers[0]));
    }
}

//! Whose hellos were heard, of peers that are forgotten: who recorded one must not have it answered again.

use super::timing::MAX_PEERS;
use crate::PeerId;

/// The timestamp of the newest INTRO of each, Unix milliseconds. Beyond [`MAX_PEERS`] the oldest go: the window that timestamps
/// have to be within closes for them first.
///
/// Ordered by peer, in one piece: small pieces between what peers held would keep the pages of that from being given back.
#[derive(Default)]
pub(super) struct Heard(Vec<(PeerId, u64)>);

impl Heard {
    /// Keeps the timestamp of a peer that is being forgotten; 0 if it never said hello.
    pub(super) fn remember(&mut self, peer: PeerId, newest_ms: u64) {
        if newest_ms == 0 {
            return;
        }
        match self.find(peer) {
            Ok(at) => self.0[at].1 = newest_ms,
            Err(at) => self.0.insert(at, (peer, newest_ms)),
        }
        if self.0.len() > MAX_PEERS {
            let oldest = (0..self.0.len()).min_by_key(|at| self.0[*at].1);
            oldest.map(|at| self.0.remove(at));
        }
    }

    /// Takes out what is known of a peer that is met again; 0 if nothing is.
    pub(super) fn take(&mut self, peer: PeerId) -> u64 {
        match self.find(peer) {
            Ok(at) => self.0.remove(at).1,
            Err(_) => 0,
        }
    }

    fn find(&self, peer: PeerId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&peer, |(known, _)| *known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    #[test]
    fn what_was_heard_last_is_kept_longest() {
        let peers: Vec<PeerId> = (0..=MAX_PEERS as u64).map(peer).collect();
        let mut heard = Heard::default();
        for (peer, at) in peers.iter().zip(1..) {
            heard.remember(*peer, at);
        }
        assert_eq!(heard.0.len(), MAX_PEERS);
        assert_eq!(heard.take(peers[0]), 0);
        assert_eq!(heard.take(peers[1]), 2);
        assert_eq!(heard.take(peers[1]), 0, "taken out");
    }

    fn peer(nth: u64) -> PeerId {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&nth.to_le_bytes());
        SecretKey::from_seed(&seed).id()
    }
}

//! Whose hellos were heard, of peers that are forgotten: who recorded one must not have it answered again.

use std::collections::{BTreeMap, BTreeSet};

use super::timing::MAX_PEERS;
use crate::PeerId;

/// The timestamp of the newest INTRO of each, Unix milliseconds. Beyond [`MAX_PEERS`] the oldest go: the window that timestamps
/// have to be within closes for them first.
#[derive(Default)]
pub(super) struct Heard {
    by_peer: BTreeMap<PeerId, u64>,
    by_time: BTreeSet<(u64, PeerId)>,
}

impl Heard {
    /// Keeps the timestamp of a peer that is being forgotten; 0 if it never said hello.
    pub(super) fn remember(&mut self, peer: PeerId, newest_ms: u64) {
        self.take(peer);
        if newest_ms == 0 {
            return;
        }
        self.by_peer.insert(peer, newest_ms);
        self.by_time.insert((newest_ms, peer));
        if self.by_time.len() > MAX_PEERS
            && let Some((_, oldest)) = self.by_time.pop_first()
        {
            self.by_peer.remove(&oldest);
        }
    }

    /// Takes out what is known of a peer that is met again; 0 if nothing is.
    pub(super) fn take(&mut self, peer: PeerId) -> u64 {
        let newest_ms = self.by_peer.remove(&peer).unwrap_or_default();
        self.by_time.remove(&(newest_ms, peer));
        newest_ms
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
        assert_eq!(heard.take(peers[0]), 0);
        assert_eq!(heard.take(peers[1]), 2);
        assert_eq!(heard.take(peers[1]), 0, "taken out");
        assert_eq!(heard.by_peer.len(), heard.by_time.len());
    }

    fn peer(nth: u64) -> PeerId {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&nth.to_le_bytes());
        SecretKey::from_seed(&seed).id()
    }
}

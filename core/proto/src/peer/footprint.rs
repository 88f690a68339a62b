//! How much memory a peer takes, for those who watch that it stays bounded whatever comes in.

use super::Peer;
use crate::wire::intro::Description;

/// What the Noise library allocates for one handshake or session at most: its keys and hashes, of fixed sizes.
pub(super) const NOISE: usize = 1024;

/// What a list has allocated.
pub(in crate::peer) fn of<T>(list: &Vec<T>) -> usize {
    list.capacity() * size_of::<T>()
}

impl Peer {
    /// Bytes, with all that was allocated for it.
    pub(crate) fn footprint(&self) -> usize {
        let parts = self.contact.footprint()
            + self.sessions.footprint()
            + self.checks.footprint()
            + self.tcp_pairs.footprint()
            + self.state.footprint()
            + self.demand.choice.footprint()
            + self.history.probations.footprint()
            + self.guess.footprint()
            + self.told.footprint();
        let remote = self.remote.as_ref().map_or(0, |remote: &Description| {
            of(&remote.candidates) + of(&remote.opened)
        });
        size_of::<Self>() + parts + remote
    }
}

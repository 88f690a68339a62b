//! How much memory a peer takes, for those who watch that it stays bounded whatever comes in.

use super::Peer;
use crate::{PathInfo, RelayUrl, proto::io::Failure, wire::intro::Description};

/// What the Noise library allocates for one handshake or session at most: its keys and hashes, of fixed sizes.
const NOISE: usize = 1024;

/// What a list has allocated.
pub(in crate::peer) fn of<T>(list: &Vec<T>) -> usize {
    list.capacity() * size_of::<T>()
}

impl Peer {
    /// Bytes, with all that was allocated for it.
    pub(crate) fn footprint(&self) -> usize {
        let initiations = self
            .attempt
            .iter()
            .filter_map(|attempt| attempt.initiation.as_ref());
        let initiations: usize = initiations
            .chain(&self.late)
            .map(|initiation| NOISE + of(&initiation.packet))
            .sum();
        let sessions = [&self.session, &self.other_session]
            .into_iter()
            .flatten()
            .count();
        let lists = of(&self.relays)
            + of(&self.absent_at)
            + of(&self.busy_at)
            + of(&self.addrs)
            + of(&self.found)
            + of(&self.told);
        let parts = self.checks.footprint()
            + self.streams.footprint()
            + self.path.as_ref().map_or(0, super::DirectPath::footprint)
            + self.trials.footprint()
            + self.guess.footprint();
        let remote = self.remote.as_ref().map_or(0, |remote: &Description| {
            of(&remote.candidates) + of(&remote.opened)
        });
        size_of::<Self>() + initiations + sessions * NOISE + lists + parts + remote + self.names()
    }

    /// The names of all relays.
    fn names(&self) -> usize {
        let failed = match &self.failure {
            Some(Failure::Offline(relay) | Failure::Busy(relay) | Failure::Unreached(relay)) => {
                Some(relay)
            }
            Some(Failure::NoRelay | Failure::Silent | Failure::NoAddress) | None => None,
        };
        let announced = match &self.announced {
            Some(PathInfo::Relay { remote }) => Some(remote),
            Some(PathInfo::Direct { .. }) | None => None,
        };
        let relays = self
            .relays
            .iter()
            .chain(&self.via)
            .chain(&self.attested_by)
            .chain(&self.absent_at)
            .chain(&self.busy_at)
            .chain(failed)
            .chain(announced);
        relays.map(|relay: &RelayUrl| relay.host().len()).sum()
    }
}

//! Where a peer is on the internet, as far as that is known: its share of what we have depends on it.

use std::net::IpAddr;

use super::Peer;
use crate::RelayUrl;

/// Where a peer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// It answered from there.
    Proven(IpAddr),
    /// A relay sees it there.
    Attested {
        /// Who says so.
        relay: RelayUrl,
        /// The address that it sees.
        ip: IpAddr,
    },
    /// A hello of it says that it came from there.
    Claimed(IpAddr),
}

impl Peer {
    /// Where the peer is, by the best evidence there is.
    pub(crate) fn whereabouts(&self) -> Option<Whereabouts> {
        let proven = self.path.as_ref().map(|path| path.pair.addr.ip());
        let attested = || {
            let (relay, ip) = (self.attested_by.clone()?, self.attested?.ip());
            Some(Whereabouts::Attested { relay, ip })
        };
        let claimed = || self.claimed.map(Whereabouts::Claimed);
        proven
            .map(Whereabouts::Proven)
            .or_else(attested)
            .or_else(claimed)
    }
}

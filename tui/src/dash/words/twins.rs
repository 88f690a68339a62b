//! Relays at one host, which only their ports tell apart.

use std::collections::{BTreeMap, BTreeSet};

use peerway::{NodeSnapshot, PathInfo, RelayUrl};

/// The hosts at which several relays are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::dash) struct Twins(BTreeSet<String>);

impl Twins {
    /// Of those that a node, or a peer of it, is at.
    pub(in crate::dash) fn of(snapshot: &NodeSnapshot) -> Self {
        let own = snapshot.relays.iter().map(|relay| &relay.url);
        let paths = snapshot.peers.iter().filter_map(|peer| peer.path.as_ref());
        let theirs = paths.filter_map(|path| match path {
            PathInfo::Relay { remote } => Some(remote),
            PathInfo::Direct { .. } | PathInfo::Unknown | _ => None,
        });
        Self::among(own.chain(theirs))
    }

    pub(in crate::dash) fn among<'a>(urls: impl Iterator<Item = &'a RelayUrl>) -> Self {
        let mut ports = BTreeMap::<&str, BTreeSet<u16>>::new();
        for url in urls {
            ports.entry(url.host()).or_default().insert(url.port());
        }
        let several = ports.into_iter().filter(|(_, ports)| ports.len() > 1);
        Self(several.map(|(host, _)| host.to_owned()).collect())
    }

    /// Whether another one is where this one is.
    pub(super) fn are_at(&self, url: &RelayUrl) -> bool {
        self.0.contains(url.host())
    }

    /// A name with the port, if it needs that.
    pub(super) fn told_apart(&self, name: String, url: &RelayUrl) -> String {
        if self.are_at(url) {
            format!("{name}:{}", url.port())
        } else {
            name
        }
    }
}

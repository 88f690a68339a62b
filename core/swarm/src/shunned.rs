//! Whom a node has nothing to do with: [`Shunned`].

use std::{collections::BTreeSet, sync::Arc};

use peerway::PeerId;
use tokio::sync::watch;

/// Peers that a node neither dials for its groups, for content and for searches, nor stays linked to for those, whoever names them.
/// [`Access`](peerway::Access) is for those who dial the node. Clones are one list.
#[derive(Clone, Debug, Default)]
pub struct Shunned(Arc<watch::Sender<BTreeSet<PeerId>>>);

impl Shunned {
    /// These from now on, and no others.
    pub fn set(&self, peers: impl IntoIterator<Item = PeerId>) {
        let peers: BTreeSet<_> = peers.into_iter().collect();
        self.0.send_if_modified(|known| {
            let is_other = *known != peers;
            *known = peers;
            is_other
        });
    }

    /// Whether a peer is one of them.
    #[must_use]
    pub fn contains(&self, peer: PeerId) -> bool {
        self.0.borrow().contains(&peer)
    }

    pub(crate) fn watch(&self) -> watch::Receiver<BTreeSet<PeerId>> {
        self.0.subscribe()
    }
}

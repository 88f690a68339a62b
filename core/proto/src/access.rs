//! Who is let in.

use crate::PeerId;

/// Who may open connections to this node. Others get no answer at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// Everybody who knows the id, for the protocols the node accepts.
    #[default]
    Anyone,
    /// Only these peers.
    Only(Vec<PeerId>),
    /// Everybody but these peers.
    Except(Vec<PeerId>),
}

impl Access {
    /// Whether this peer may.
    #[must_use]
    pub fn lets_in(&self, peer: PeerId) -> bool {
        match self {
            Self::Anyone => true,
            Self::Only(peers) => peers.contains(&peer),
            Self::Except(peers) => !peers.contains(&peer),
        }
    }
}

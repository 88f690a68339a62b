//! Whom a relay serves.

use std::collections::BTreeSet;

use peerway_proto::{InviteToken, PeerId};

/// The operator's lists of keys. Where both name a key, it is not served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Access {
    /// If there are any, these are served and no others.
    pub allow: BTreeSet<PeerId>,
    /// These are not served.
    pub deny: BTreeSet<PeerId>,
}

impl Access {
    /// The lists of these keys.
    #[must_use]
    pub fn new(
        allow: impl IntoIterator<Item = PeerId>,
        deny: impl IntoIterator<Item = PeerId>,
    ) -> Self {
        Self {
            allow: allow.into_iter().collect(),
            deny: deny.into_iter().collect(),
        }
    }

    /// Whether whoever holds this key is served.
    #[must_use]
    pub fn admits(&self, key: PeerId) -> bool {
        !self.deny.contains(&key) && (self.allow.is_empty() || self.allow.contains(&key))
    }
}

/// What somebody who registers shows for it, besides their key.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Ticket {
    /// The operator's invitation.
    pub token: Option<InviteToken>,
    /// They are here to meet others, not to be found.
    pub visits: bool,
}

//! That a member is a directory of its group, as it says itself.

use peerway::PeerId;
use serde::{Deserialize, Serialize};

use super::{
    op::GroupId,
    signature::{Signature, id_bytes},
};

const PURPOSE: &str = "peerway group directory";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Content {
    group: GroupId,
    #[serde(with = "id_bytes")]
    author: PeerId,
    at_ms: u64,
    since_ms: u64,
}

/// A member's word that it keeps what others publish, signed by it. It is good for a while, and the newest of each counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    content: Content,
    signature: Signature,
}

impl Notice {
    pub(super) fn sign(
        group: GroupId,
        author: PeerId,
        (at_ms, since_ms): (u64, u64),
        sign: impl Fn(&str, &[u8]) -> [u8; 64],
    ) -> Self {
        let content = Content {
            group,
            author,
            at_ms,
            since_ms,
        };
        let signature = sign(PURPOSE, &bytes(&content)).into();
        Self { content, signature }
    }

    /// Whose it is.
    #[must_use]
    pub fn author(&self) -> PeerId {
        self.content.author
    }

    /// When it was written, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn at_ms(&self) -> u64 {
        self.content.at_ms
    }

    /// Since when it is a directory: what it was told before is not there any more.
    #[must_use]
    pub fn since_ms(&self) -> u64 {
        self.content.since_ms
    }

    pub(super) fn hash(&self) -> [u8; 32] {
        *blake3::hash(&bytes(&self.content)).as_bytes()
    }

    pub(super) fn is_sound(&self, group: GroupId) -> bool {
        let (content, author) = (&self.content, self.content.author);
        content.group == group
            && author.has_signed(PURPOSE, &bytes(content), &self.signature.into())
    }
}

/// Postcard writes into memory and refuses none of these types.
fn bytes(content: &Content) -> Vec<u8> {
    postcard::to_allocvec(content).unwrap_or_default()
}

//! What a peer's published record is found with: [`DiscoverySecret`].

use std::fmt;

/// 16 bytes that, together with a peer's id, tell where its published record is and open it. Whoever knows the id alone finds
/// nothing, unless the peer chose [`PUBLIC`](Self::PUBLIC).
///
/// It lets nobody in and signs nothing: whoever has it can see which relays the peer is at, no more. Tickets carry it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DiscoverySecret([u8; 16]);

impl DiscoverySecret {
    /// Known to everybody: the record of a peer that is to be found by its id alone.
    pub const PUBLIC: Self = Self([0; 16]);

    /// Takes 16 random bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for DiscoverySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::PUBLIC {
            "DiscoverySecret(public)"
        } else {
            "DiscoverySecret"
        })
    }
}

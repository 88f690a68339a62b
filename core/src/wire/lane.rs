//! The relay's lane: datagrams `[LANE | channel | packet]` that a relay forwards unread.

use blake2::{Blake2s256, Digest};

use crate::PeerId;

/// First byte of a lane datagram.
pub const LANE: u8 = 0x20;
/// Bytes in front of the packet: [`LANE`] and the channel.
pub const HEADER_LEN: usize = 8;

/// Names the pair of peers a lane datagram belongs to. Both ends and the relay compute it from the two ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "it is its seven bytes")]
pub struct Channel(pub [u8; 7]);

impl Channel {
    /// The channel of two peers, in either order.
    #[must_use]
    pub fn between(a: PeerId, b: PeerId) -> Self {
        let (low, high) = if a < b { (a, b) } else { (b, a) };
        let hash = Blake2s256::new()
            .chain_update(b"peerway lane 1")
            .chain_update(low.as_bytes())
            .chain_update(high.as_bytes())
            .finalize();
        let mut id = [0; 7];
        id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        Self(id)
    }
}

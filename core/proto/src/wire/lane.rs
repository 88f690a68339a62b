//! The lane: QUIC packets of two peers that a relay forwards unread, each as `[tag | channel | packet]`.
//!
//! ```text
//!  0      1                  8
//! +------+------------------+----------------- - -
//! | 0x20 | channel, 7 bytes | QUIC packet
//! +------+------------------+----------------- - -
//! ```

use std::fmt;

use blake2::{Blake2s256, Digest};

use super::first_byte::{DatagramKind, LANE};
use crate::PeerId;

/// Bytes before the packet.
pub const HEADER_LEN: usize = 8;

/// Names the lane of one pair of peers. Both peers and the relay compute it; nobody allocates it, and it is no secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channel([u8; HEADER_LEN - 1]);

impl Channel {
    /// The channel between two peers, in either order.
    #[must_use]
    pub fn between(a: PeerId, b: PeerId) -> Self {
        let hash = Blake2s256::new()
            .chain_update(b"peerway lane 1")
            .chain_update(a.min(b).as_bytes())
            .chain_update(a.max(b).as_bytes())
            .finalize();
        let mut channel = [0; HEADER_LEN - 1];
        channel.copy_from_slice(&hash[..HEADER_LEN - 1]);
        Self(channel)
    }

    /// What goes before each packet of this channel.
    #[must_use]
    pub fn header(self) -> [u8; HEADER_LEN] {
        let [a, b, c, d, e, f, g] = self.0;
        [LANE, a, b, c, d, e, f, g]
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Channel(")?;
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}

/// A received lane frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Frame<'a> {
    /// Whose lane.
    pub channel: Channel,
    /// The QUIC packet inside.
    pub packet: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads a frame; none unless there is a whole header and what may be a QUIC packet behind it.
    #[must_use]
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        let ([LANE, a, b, c, d, e, f, g], packet) = datagram.split_first_chunk::<HEADER_LEN>()?
        else {
            return None;
        };
        (DatagramKind::of_first(*packet.first()?)? == DatagramKind::Quic).then_some(Self {
            channel: Channel([*a, *b, *c, *d, *e, *f, *g]),
            packet,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    fn id(seed: u8) -> PeerId {
        SecretKey::from_seed(&[seed; 32]).id()
    }

    #[test]
    fn both_ends_compute_the_same_channel() {
        assert_eq!(
            Channel::between(id(1), id(2)),
            Channel::between(id(2), id(1))
        );
        assert_ne!(
            Channel::between(id(1), id(2)),
            Channel::between(id(1), id(3))
        );
    }

    #[test]
    fn a_frame_survives_the_wire() {
        let channel = Channel::between(id(1), id(2));
        let mut bytes = channel.header().to_vec();
        bytes.extend_from_slice(&[0x40, 1, 2]);
        let frame = Frame::parse(&bytes).unwrap();
        assert_eq!(frame.channel, channel);
        assert_eq!(frame.packet, [0x40, 1, 2]);
    }

    #[test]
    fn a_frame_without_a_quic_packet_is_refused() {
        let mut bytes = Channel::between(id(1), id(2)).header().to_vec();
        for len in 0..=bytes.len() {
            assert_eq!(Frame::parse(&bytes[..len]), None);
        }
        bytes.push(LANE);
        assert_eq!(Frame::parse(&bytes), None);
    }
}

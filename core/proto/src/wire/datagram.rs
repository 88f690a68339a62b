//! What a datagram on the shared UDP port is, told from its first byte and its length alone.
//!
//! The ranges leave out those of other protocols that are seen on such ports (RFC 7983).

pub use super::first_byte::DatagramKind;

use super::{intro, lane, probe, sealed, stale};

/// Largest STUN message we read; RFC 8489 section 6.1 keeps requests below the path MTU.
pub const STUN_MAX: usize = 1280;

const STUN_HEADER_LEN: usize = 20;
const STUN_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

impl DatagramKind {
    /// The kind of `datagram`; none if no message of ours begins like this or has this length.
    #[must_use]
    pub fn of(datagram: &[u8]) -> Option<Self> {
        let kind = Self::of_first(*datagram.first()?)?;
        let len = datagram.len();
        let fits = match kind {
            Self::Quic => true,
            Self::Lane => lane::Frame::parse(datagram).is_some(),
            Self::Stun => is_stun(datagram),
            Self::Intro | Self::IntroAck => len == intro::PACKET_LEN,
            Self::Probe => probe::fits(len),
            Self::Stale => len == stale::PACKET_LEN,
            Self::Sealed => (sealed::MIN_LEN..=sealed::MAX_LEN).contains(&len),
        };
        fits.then_some(kind)
    }
}

fn is_stun(datagram: &[u8]) -> bool {
    let Some(body_len) = datagram.get(2..4) else {
        return false;
    };
    let body_len = usize::from(body_len[0]) << 8 | usize::from(body_len[1]);
    datagram.get(4..8) == Some(&STUN_COOKIE)
        && datagram.len() == STUN_HEADER_LEN + body_len
        && datagram.len() <= STUN_MAX
        && body_len.is_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::first_byte;

    #[test]
    fn our_messages_are_told_by_first_byte_and_length() {
        for (first, len, kind) in [
            (first_byte::INTRO, intro::PACKET_LEN, DatagramKind::Intro),
            (
                first_byte::INTRO_ACK,
                intro::PACKET_LEN,
                DatagramKind::IntroAck,
            ),
            (first_byte::STALE, stale::PACKET_LEN, DatagramKind::Stale),
        ] {
            let mut datagram = vec![first; len];
            assert_eq!(DatagramKind::of(&datagram), Some(kind));
            datagram.push(0);
            assert_eq!(DatagramKind::of(&datagram), None);
        }
        let of_probe = |len| DatagramKind::of(&vec![first_byte::PROBE; len]);
        for len in [probe::PACKET_LEN, probe::FULL_LEN] {
            assert_eq!(of_probe(len), Some(DatagramKind::Probe));
        }
        for len in [probe::PACKET_LEN - 1, probe::FULL_LEN + 1] {
            assert_eq!(of_probe(len), None);
        }
        assert_eq!(
            DatagramKind::of(&[first_byte::SEALED; sealed::MAX_LEN]),
            Some(DatagramKind::Sealed)
        );
        assert_eq!(
            DatagramKind::of(&[first_byte::SEALED; sealed::MAX_LEN + 1]),
            None
        );
        assert_eq!(DatagramKind::of(&[0x40; 30]), Some(DatagramKind::Quic));
        assert_eq!(DatagramKind::of(&[0x3f; 30]), None);
        assert_eq!(DatagramKind::of(&[]), None);
    }

    #[test]
    fn stun_needs_its_cookie_and_its_length() {
        let mut request = [0; 20];
        request[1] = 1;
        assert_eq!(DatagramKind::of(&request), None);
        request[4..8].copy_from_slice(&STUN_COOKIE);
        assert_eq!(DatagramKind::of(&request), Some(DatagramKind::Stun));
        assert_eq!(DatagramKind::of(&request[..19]), None);
        request[3] = 4;
        assert_eq!(DatagramKind::of(&request), None);
    }

    #[test]
    fn any_bytes_at_all_are_safe() {
        for first in 0..=u8::MAX {
            for len in 0..40 {
                let _ = DatagramKind::of(&vec![first; len]);
            }
        }
    }
}

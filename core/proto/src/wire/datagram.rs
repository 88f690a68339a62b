//! What a datagram on the shared UDP port is, told from its first byte and its length alone.
//!
//! The ranges leave out those of other protocols that are seen on such ports (RFC 7983).

use super::{intro, lane, probe, quic::is_quic, sealed, stale};

/// Largest STUN message we read; RFC 8489 section 6.1 keeps requests below the path MTU.
pub const STUN_MAX: usize = 1280;

const STUN_HEADER_LEN: usize = 20;
const STUN_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// The kinds of datagram that a port takes; everything else is dropped unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A QUIC packet, for quinn.
    Quic,
    /// A lane frame: a QUIC packet that came through a relay.
    Lane,
    /// A STUN message (RFC 8489).
    Stun,
    /// The first handshake message.
    Intro,
    /// The second handshake message.
    IntroAck,
    /// The answer to a handshake whose time is off.
    Stale,
    /// A path probe.
    Probe,
    /// A sealed message between peers.
    Sealed,
}

impl Kind {
    /// The kind of `datagram`; none if no message of ours begins like this or has this length.
    #[must_use]
    pub fn of(datagram: &[u8]) -> Option<Self> {
        let first = *datagram.first()?;
        let len = datagram.len();
        let (kind, fits) = match first {
            _ if is_quic(first) => (Self::Quic, true),
            lane::TAG => (Self::Lane, lane::Frame::parse(datagram).is_some()),
            0x00..=0x03 => (Self::Stun, is_stun(datagram)),
            intro::INTRO => (Self::Intro, len == intro::PACKET_LEN),
            intro::ACK => (Self::IntroAck, len == intro::PACKET_LEN),
            probe::PROBE => (Self::Probe, probe::fits(len)),
            stale::STALE => (Self::Stale, len == stale::PACKET_LEN),
            sealed::SEALED => (
                Self::Sealed,
                (sealed::MIN_LEN..=sealed::MAX_LEN).contains(&len),
            ),
            _ => return None,
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

    #[test]
    fn our_messages_are_told_by_first_byte_and_length() {
        for (first, len, kind) in [
            (intro::INTRO, intro::PACKET_LEN, Kind::Intro),
            (intro::ACK, intro::PACKET_LEN, Kind::IntroAck),
            (stale::STALE, stale::PACKET_LEN, Kind::Stale),
        ] {
            let mut datagram = vec![first; len];
            assert_eq!(Kind::of(&datagram), Some(kind));
            datagram.push(0);
            assert_eq!(Kind::of(&datagram), None);
        }
        let of_probe = |len| Kind::of(&vec![probe::PROBE; len]);
        for len in [probe::PACKET_LEN, probe::FULL_LEN] {
            assert_eq!(of_probe(len), Some(Kind::Probe));
        }
        for len in [probe::PACKET_LEN - 1, probe::FULL_LEN + 1] {
            assert_eq!(of_probe(len), None);
        }
        assert_eq!(
            Kind::of(&[sealed::SEALED; sealed::MAX_LEN]),
            Some(Kind::Sealed)
        );
        assert_eq!(Kind::of(&[sealed::SEALED; sealed::MAX_LEN + 1]), None);
        assert_eq!(Kind::of(&[0x40; 30]), Some(Kind::Quic));
        assert_eq!(Kind::of(&[0x3f; 30]), None);
        assert_eq!(Kind::of(&[]), None);
    }

    #[test]
    fn stun_needs_its_cookie_and_its_length() {
        let mut request = [0; 20];
        request[1] = 1;
        assert_eq!(Kind::of(&request), None);
        request[4..8].copy_from_slice(&STUN_COOKIE);
        assert_eq!(Kind::of(&request), Some(Kind::Stun));
        assert_eq!(Kind::of(&request[..19]), None);
        request[3] = 4;
        assert_eq!(Kind::of(&request), None);
    }

    #[test]
    fn any_bytes_at_all_are_safe() {
        for first in 0..=u8::MAX {
            for len in 0..40 {
                let _ = Kind::of(&vec![first; len]);
            }
        }
    }
}

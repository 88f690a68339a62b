//! What the first byte of a datagram says it is. Nothing else in the crates knows these numbers.

/// A handshake's first message.
pub const INTRO: u8 = 0x04;
/// Its answer.
pub const INTRO_ACK: u8 = 0x05;
/// Its answer if its time is off.
pub const STALE: u8 = 0x06;
/// A path probe.
pub const PROBE: u8 = 0x0a;
/// A sealed message between peers.
pub const SEALED: u8 = 0x0c;
/// A QUIC packet on a relay's lane.
pub const LANE: u8 = 0x20;

/// STUN messages are below this (RFC 8489 section 5): their first two bits are zero, and all classes and methods that we use leave
/// the next four so.
const STUN_END: u8 = 0x04;
/// Every QUIC packet has this bit set (RFC 9000 section 17, "fixed bit"); nothing else of ours has.
const QUIC: u8 = 0x40;

/// The kinds of datagram that a port takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DatagramKind {
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

impl DatagramKind {
    /// What a datagram that begins with this byte can be; none if no message of ours does.
    #[must_use]
    pub fn of_first(byte: u8) -> Option<Self> {
        Some(match byte {
            ..STUN_END => Self::Stun,
            INTRO => Self::Intro,
            INTRO_ACK => Self::IntroAck,
            STALE => Self::Stale,
            PROBE => Self::Probe,
            SEALED => Self::Sealed,
            LANE => Self::Lane,
            QUIC.. => Self::Quic,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_from_the_fixed_bit_on_are_quics_and_the_rest_is_as_the_table_says() {
        let said: Vec<(u8, DatagramKind)> = (0..=u8::MAX)
            .filter_map(|byte| Some((byte, DatagramKind::of_first(byte)?)))
            .collect();
        let ours = [
            (0, DatagramKind::Stun),
            (1, DatagramKind::Stun),
            (2, DatagramKind::Stun),
            (3, DatagramKind::Stun),
            (0x04, DatagramKind::Intro),
            (0x05, DatagramKind::IntroAck),
            (0x06, DatagramKind::Stale),
            (0x0a, DatagramKind::Probe),
            (0x0c, DatagramKind::Sealed),
            (0x20, DatagramKind::Lane),
        ];
        let (below, above) = said.split_at(ours.len());
        assert_eq!(below, ours);
        let quic: Vec<(u8, DatagramKind)> = (0x40..=u8::MAX)
            .map(|byte| (byte, DatagramKind::Quic))
            .collect();
        assert_eq!(above, quic);
    }
}

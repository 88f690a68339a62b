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
        let said: Vec<(u8, Kind)> = (0..=u8::MAX)
            .filter_map(|byte| Some((byte, Kind::of_first(byte)?)))
            .collect();
        let ours = [
            (0, Kind::Stun),
            (1, Kind::Stun),
            (2, Kind::Stun),
            (3, Kind::Stun),
            (0x04, Kind::Intro),
            (0x05, Kind::IntroAck),
            (0x06, Kind::Stale),
            (0x0a, Kind::Probe),
            (0x0c, Kind::Sealed),
            (0x20, Kind::Lane),
        ];
        let (below, above) = said.split_at(ours.len());
        assert_eq!(below, ours);
        let quic: Vec<(u8, Kind)> = (0x40..=u8::MAX).map(|byte| (byte, Kind::Quic)).collect();
        assert_eq!(above, quic);
    }
}

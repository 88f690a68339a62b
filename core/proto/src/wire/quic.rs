//! QUIC packets, as far as we look into them.

/// Every QUIC packet has this bit set (RFC 9000 section 17, "fixed bit"); nothing else of ours has.
const FIXED_BIT: u8 = 0x40;

/// Whether a packet with this first byte may be QUIC.
#[must_use]
pub(super) fn is_quic(first: u8) -> bool {
    first & FIXED_BIT != 0
}

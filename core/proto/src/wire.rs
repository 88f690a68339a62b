//! Bytes and messages: what travels in datagrams and in relay frames. Pure parsers, no state.
//!
//! The first byte of a datagram says what it is (RFC 9443 leaves us 4 to 15 and 20 to 63 beside QUIC, as long as nobody
//! greases the QUIC bit); [`first_byte`] has the same as code:
//!
//! | first byte | message | size | authenticated by |
//! |---|---|---|---|
//! | 0x00–0x03 | STUN (RFC 8489), with its magic cookie | | transaction id |
//! | 0x04 | [`intro::IntroPacket`], first message of the handshake | 1,200 | mac1, then Noise IK |
//! | 0x05 | [`intro::AckPacket`], second message | 1,200 | mac1, then Noise IK |
//! | 0x06 | [`stale::StalePacket`], asks for a hello with another time | 42 | AEAD under the hello |
//! | 0x0A | [`probe::ProbePacket`], asks or answers "does this path work?" | 80 | AEAD under the session |
//! | 0x0C | [`sealed::SealedPacket`], control messages within a session | ≤ 1,200 | AEAD under the session |
//! | 0x20 | a packet on a relay's lane, behind an 8-byte header | | the relay's address and channel |
//! | 0x40–0xff | QUIC (RFC 9000) | | QUIC |
//! | 0x64, `d`, from nobody that QUIC knows | the answer of a node of the Mainline DHT, [`krpc`] | ≤ 512 | transaction id and source |
//!
//! Where there is no UDP the same datagrams travel as frames of a [`tcp`].

pub mod candidate;
mod codec;
pub mod credit;
pub mod datagram;
pub mod first_byte;
pub mod intro;
pub mod krpc;
pub mod lane;
pub mod probe;
pub mod relay;
pub mod sealed;
pub mod stale;
pub mod status;
pub mod tcp;

/// Version of everything in this module; a datagram of another version is dropped.
pub const VERSION: u8 = 1;

/// Why bytes are no message of ours. There is nothing to do about it but to drop them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// Fewer bytes than the message has.
    #[error("truncated")]
    Truncated,
    /// Made by a program that speaks another version.
    #[error("unknown version {0}")]
    Version(u8),
    /// A field holds what it must not.
    #[error("bad {0}")]
    Field(&'static str),
}

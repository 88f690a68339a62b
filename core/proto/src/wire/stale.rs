//! STALE: "I let you in, but your hello's time is not mine". 42 bytes for an INTRO of 1,200.
//!
//! ```text
//! 0x06 | version | session_index 8 | nonce 8 | sealed { time 8 } + tag 16
//! ```
//! Sealed under the secret inside that INTRO, so that nobody but who wrote it can read it, and nobody but who could read the INTRO
//! can have made it. The nonce is random: whoever repeats an INTRO gets several under one key.

use super::{
    Malformed,
    first_byte::STALE,
    probe::{HEADER_LEN, split},
};

/// Length of the datagram.
pub const PACKET_LEN: usize = HEADER_LEN + 8 + 16;

/// View of a STALE datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a wire format")]
pub struct StalePacket<'a> {
    /// The conversation that the INTRO wanted to begin.
    pub session_index: u64,
    /// Random.
    pub nonce: u64,
    /// The sealed time, milliseconds since the Unix epoch: the least that the next INTRO may bear.
    pub sealed: &'a [u8],
}

impl<'a> StalePacket<'a> {
    /// Splits a datagram.
    ///
    /// # Errors
    /// Wrong length, type or version.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Malformed> {
        if datagram.len() != PACKET_LEN {
            return Err(Malformed::Truncated);
        }
        let (session_index, nonce, sealed) = split(datagram, STALE)?;
        Ok(Self {
            session_index,
            nonce,
            sealed,
        })
    }
}

//! SEALED: news within a session, through the relay or directly.
//!
//! ```text
//! 0x0C | version | conv 8 | counter 8 | sealed { kind 1 | body } + tag 16
//! ```

use super::{
    Malformed,
    codec::Reader,
    intro::Description,
    probe::{HEADER_LEN, split},
};

/// First byte.
pub const SEALED: u8 = 0x0c;
/// Shortest datagram: a header, one byte, a tag.
pub const MIN_LEN: usize = HEADER_LEN + 1 + 16;
/// Longest datagram.
pub const MAX_LEN: usize = 1200;

/// View of a sealed datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a wire format")]
pub struct SealedPacket<'a> {
    /// Names the session.
    pub conv: u64,
    /// The nonce, never used twice in a session and direction.
    pub counter: u64,
    /// Body and tag.
    pub sealed: &'a [u8],
}

impl<'a> SealedPacket<'a> {
    /// Splits a datagram.
    ///
    /// # Errors
    /// Wrong length, type or version.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Malformed> {
        if !(MIN_LEN..=MAX_LEN).contains(&datagram.len()) {
            return Err(Malformed::Truncated);
        }
        let (conv, counter, sealed) = split(datagram, SEALED)?;
        Ok(Self {
            conv,
            counter,
            sealed,
        })
    }
}

/// A sealed message's body.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a wire format")]
pub enum News {
    /// The sender's situation changed: probe these candidates.
    Update(Description),
    /// The sender has no more use for the link.
    Bye,
}

impl News {
    /// Reads a decrypted body.
    ///
    /// # Errors
    /// Which field is wrong.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(body);
        match reader.u8()? {
            0 => Ok(Self::Update(Description::read(&mut reader)?)),
            1 => Ok(Self::Bye),
            _ => Err(Malformed::Field("kind of news")),
        }
    }

    /// Writes the body.
    #[must_use]
    pub fn emit(&self) -> Vec<u8> {
        match self {
            Self::Update(description) => {
                let mut out = vec![0];
                description.put(&mut out);
                out
            }
            Self::Bye => vec![1],
        }
    }
}

//! Credit for one stream, as it travels on the first unidirectional stream of each side.
//!
//! ```text
//!  0                   8                       16
//! +-------------------+-----------------------+
//! | stream id, 8      | offset, 8             |
//! +-------------------+-----------------------+
//! ```
//!
//! The receiver of the stream allows its sender to send up to that offset. A limit that was passed already says nothing new, so
//! that the largest is what counts.

use super::{Malformed, codec::Reader};

/// Bytes of a [`Credit`].
pub const LEN: usize = 16;

/// How far the peer may send on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Credit {
    /// Which stream (RFC 9000 section 2.1).
    pub stream: u64,
    /// Up to which offset.
    pub offset: u64,
}

impl Credit {
    /// Allows the sender of `stream` to send up to `offset`.
    #[must_use]
    pub fn new(stream: u64, offset: u64) -> Self {
        Self { stream, offset }
    }

    /// Reads a credit; bytes beyond its length are not looked at.
    ///
    /// # Errors
    /// Too few bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(bytes);
        Ok(Self {
            stream: reader.u64()?,
            offset: reader.u64()?,
        })
    }

    /// Appends the credit.
    pub fn emit(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.stream.to_be_bytes());
        out.extend_from_slice(&self.offset.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credit_survives_its_bytes_and_half_of_one_is_none() {
        let credit = Credit::new(5, u64::MAX);
        let mut bytes = Vec::new();
        credit.emit(&mut bytes);
        assert_eq!(bytes.len(), LEN);
        assert_eq!(Credit::parse(&bytes), Ok(credit));
        assert_eq!(Credit::parse(&bytes[1..]), Err(Malformed::Truncated));
    }
}

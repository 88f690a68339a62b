//! The frames of all protocols here: a length, then a message in postcard's format.
//!
//! The length is an unsigned LEB128 number of at most four bytes. What it may be is the reader's to say, for each stream, and is
//! checked before anything is allocated. Another version of a protocol has another ALPN, so that a message is either known or wrong.

use peerway::{RecvStream, SendStream};
use quinn::{ReadExactError, WriteError};
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

/// The longest message of any protocol, in bytes.
pub const MAX_LEN: usize = (1 << 28) - 1;

/// Why no message could be read from or written to a stream.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The stream cannot be read any more.
    #[error("the stream ended within a message: {0}")]
    Read(#[from] ReadExactError),
    /// The stream cannot be written to any more.
    #[error("the message could not be sent: {0}")]
    Write(#[from] WriteError),
    /// The message is longer than this stream allows.
    #[error("a message of {len} bytes, and at most {limit} are taken here")]
    TooLong {
        /// How long it is.
        len: usize,
        /// How long it may be.
        limit: usize,
    },
    /// The bytes are no message of this protocol.
    #[error("not a message of this protocol: {0}")]
    Malformed(#[from] postcard::Error),
    /// The length is no number, or was not written in the shortest way.
    #[error("not the length of a message")]
    BadLength,
}

/// The frame of `message`.
///
/// # Errors
/// It is longer than `limit` bytes, or cannot be written in postcard's format.
pub fn encode<T: Serialize>(message: &T, limit: usize) -> Result<Vec<u8>, FrameError> {
    let body = postcard::to_allocvec(message)?;
    let limit = limit.min(MAX_LEN);
    if body.len() > limit {
        return Err(FrameError::TooLong {
            len: body.len(),
            limit,
        });
    }
    let mut bytes = Vec::with_capacity(body.len() + 4);
    let mut rest = body.len();
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// The message in `body`, a frame without its length.
///
/// # Errors
/// It is none, or bytes are left over.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    let (message, rest) = postcard::take_from_bytes(body)?;
    if rest.is_empty() {
        Ok(message)
    } else {
        Err(postcard::Error::SerdeDeCustom.into())
    }
}

/// Sends `message`.
///
/// # Errors
/// As of [`encode`], or the stream cannot be written to.
pub async fn write<T: Serialize>(
    send: &mut SendStream,
    message: &T,
    limit: usize,
) -> Result<(), FrameError> {
    Ok(send.write_all(&encode(message, limit)?).await?)
}

/// Reads the next message, of at most `limit` bytes; none if the stream ended before it. If the future is dropped, what was read
/// is lost.
///
/// # Errors
/// The stream broke off, or what came is longer or no message.
pub async fn read<T: DeserializeOwned>(
    recv: &mut RecvStream,
    limit: usize,
) -> Result<Option<T>, FrameError> {
    let mut length = Length::default();
    let len = loop {
        let mut byte = [0];
        match recv.read_exact(&mut byte).await {
            Ok(()) => {}
            Err(ReadExactError::FinishedEarly(0)) if length.is_new() => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        if let Some(len) = length.push(byte[0])? {
            break len;
        }
    };
    let limit = limit.min(MAX_LEN);
    if len > limit {
        return Err(FrameError::TooLong { len, limit });
    }
    let mut body = vec![0; len];
    recv.read_exact(&mut body).await?;
    decode(&body).map(Some)
}

/// A length of which not all bytes have come.
#[derive(Default)]
struct Length {
    value: usize,
    shift: u32,
}

impl Length {
    fn is_new(&self) -> bool {
        self.shift == 0
    }

    /// Takes the next byte; the length once it is complete.
    fn push(&mut self, byte: u8) -> Result<Option<usize>, FrameError> {
        let more = byte & 0x80 != 0;
        if (!more && byte == 0 && self.shift > 0) || (more && self.shift == 21) {
            return Err(FrameError::BadLength);
        }
        self.value |= usize::from(byte & 0x7f) << self.shift;
        self.shift += 7;
        Ok((!more).then_some(self.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(bytes: &[u8]) -> Result<Option<usize>, FrameError> {
        let mut length = Length::default();
        for (index, byte) in bytes.iter().enumerate() {
            if let Some(len) = length.push(*byte)? {
                assert_eq!(index + 1, bytes.len(), "bytes after the length");
                return Ok(Some(len));
            }
        }
        Ok(None)
    }

    #[test]
    fn a_length_is_read_as_it_was_written() {
        for len in [0, 1, 127, 128, 300, 16_383, 16_384, 2_097_152] {
            let frame = encode(&vec![7u8; len], MAX_LEN).expect("short enough");
            let body = len + postcard::to_allocvec(&len).expect("a number").len();
            let head = frame.len() - body;
            assert_eq!(length(&frame[..head]).expect("valid"), Some(body));
            let message: Vec<u8> = decode(&frame[head..]).expect("what was written");
            assert_eq!(message.len(), len);
        }
    }

    #[test]
    fn a_length_that_is_too_long_or_written_in_a_longer_way_is_refused() {
        assert!(matches!(length(&[0x80, 0]), Err(FrameError::BadLength)));
        assert!(matches!(
            length(&[0xff, 0xff, 0xff, 0xff, 1]),
            Err(FrameError::BadLength)
        ));
        assert_eq!(
            length(&[0xff, 0xff, 0xff, 0x7f]).expect("valid"),
            Some(MAX_LEN)
        );
    }

    #[test]
    fn a_message_beyond_the_limit_is_not_sent_and_bytes_after_one_are_refused() {
        assert!(matches!(
            encode(&[0u8; 11], 10),
            Err(FrameError::TooLong { len: 11, limit: 10 })
        ));
        assert!(decode::<u8>(&[1, 2]).is_err());
    }
}

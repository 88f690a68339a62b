//! SEALED: control messages within a session, through the relay or directly.
//!
//! ```text
//! 0x0C | version | session_index 8 | counter 8 | sealed { kind 1 | body } + tag 16
//! ```

use std::net::SocketAddr;

use super::{
    Malformed,
    codec::{Reader, put_addr},
    first_byte::SEALED,
    intro::Description,
    probe::{HEADER_LEN, split},
};

/// Shortest datagram: a header, one byte, a tag.
pub const MIN_LEN: usize = HEADER_LEN + 1 + 16;
/// Longest datagram.
pub const MAX_LEN: usize = 1200;

/// View of a sealed datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a wire format")]
pub struct SealedPacket<'a> {
    /// Names the session.
    pub session_index: u64,
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
        let (session_index, counter, sealed) = split(datagram, SEALED)?;
        Ok(Self {
            session_index,
            counter,
            sealed,
        })
    }
}

/// A sealed message's body.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a wire format")]
pub enum Control {
    /// The sender's situation changed: probe these candidates.
    Update(Description),
    /// The sender has no more use for the link.
    Bye,
    /// PUNCH_GO: the sender has holes open for the receiver's guesses, and expects them for one more second.
    Go(PunchOrder),
    /// PUNCH_STOP: the sender does not guess, or does not go on; the receiver closes its holes.
    Stop,
}

/// What is to be guessed, and from what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a wire format")]
pub struct PunchOrder {
    /// How many sockets the sender has opened towards the receiver.
    pub holes: u16,
    /// Where a relay saw a socket of the sender just before it opened those, if its ports are sequential.
    pub sample: Option<SocketAddr>,
}

impl Control {
    /// Reads a decrypted body.
    ///
    /// # Errors
    /// Which field is wrong.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(body);
        match reader.u8()? {
            0 => Ok(Self::Update(Description::read(&mut reader)?)),
            1 => Ok(Self::Bye),
            2 => Ok(Self::Go(PunchOrder {
                holes: reader.u16()?,
                sample: match reader.u8()? {
                    0 => None,
                    1 => Some(reader.addr()?),
                    _ => return Err(Malformed::Field("sample")),
                },
            })),
            3 => Ok(Self::Stop),
            _ => Err(Malformed::Field("kind of control message")),
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
            Self::Go(PunchOrder { holes, sample }) => {
                let mut out = vec![2];
                out.extend_from_slice(&holes.to_be_bytes());
                out.push(u8::from(sample.is_some()));
                if let Some(sample) = sample {
                    put_addr(&mut out, *sample);
                }
                out
            }
            Self::Stop => vec![3],
        }
    }
}

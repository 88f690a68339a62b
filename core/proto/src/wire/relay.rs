//! The relay's control protocol: frames on one bidirectional QUIC stream.
//!
//! | type | frame | body |
//! |---|---|---|
//! | 0x01 | HELLO | version u8 |
//! | 0x02 | SIGNAL | to 32, payload |
//! | 0x03 | KEEPALIVE | |
//! | 0x04 | INVITED | token 16 |
//! | 0x05 | VISIT | |
//! | 0x06 | YIELD | |
//! | 0x07 | GET | ask u32, key 32 |
//! | 0x08 | PUT | ask u32, item |
//! | 0x09 | HIDDEN | to 32, payload: as SIGNAL, and no address of the sender is told |
//! | 0x81 | WELCOME | version u8, unix time ms u64, observed address |
//! | 0x82 | OBSERVED | address |
//! | 0x83 | DELIVER | from 32, unix time ms u64, address or for HIDDEN a 0, payload |
//! | 0x84 | GONE | peer 32, reason u8 |
//! | 0x85 | DRAIN | reconnect in ms u32 |
//! | 0x86 | KEEPALIVE_ACK | |
//! | 0x87 | UNREACHED | peer 32 |
//! | 0x88 | ITEM | ask u32, item |
//! | 0x89 | DEALT | ask u32, outcome u8, if that is 0 nodes u8 |
//! | 0x8a | MOVED | URL of a relay, with an invitation to it if it takes one |
//!
//! A frame is `body length u16 | type u8 | body`, integers big endian. An address is `4 | ip 4 | port u16` or
//! `6 | ip 16 | port u16`, never IPv4 in IPv6 clothes. An item is `key 32 | seq i64 | signature 64 | value`. A body of the wrong length is an error; a frame of unknown type is
//! skipped, so that later versions can add some. Where too many come at once, a connection is refused before it begins, with
//! when to come again ([`Busy`]).

mod body;
mod busy;
mod reader;
mod to_client;
mod to_relay;

pub use busy::Busy;
pub use reader::FrameReader;
pub use to_client::{DhtOutcome, GoneReason, ToClient};
pub use to_relay::ToRelay;

/// The application protocol of the control connection.
pub const ALPN: &[u8] = b"peerway-relay/1";
/// The version that HELLO and WELCOME name.
pub const VERSION: u8 = 1;
/// The longest payload of SIGNAL and DELIVER.
pub const MAX_PAYLOAD: usize = 1400;
/// The longest body of any frame, known or unknown.
pub const MAX_BODY: usize = 2048;

/// A frame of one direction.
pub trait Frame: Sized {
    /// Reads the body of a frame of type `kind`; `None` if this direction has no such type.
    ///
    /// # Errors
    /// See [`FrameError`].
    fn parse(kind: u8, body: &[u8]) -> Result<Option<Self>, FrameError>;

    /// The frame's type, having appended its body to `out`.
    fn emit_body(&self, out: &mut Vec<u8>) -> u8;

    /// Appends the whole frame to `out`.
    fn emit(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 3]);
        let kind = self.emit_body(out);
        let [high, low] = ((out.len() - start - 3) as u16).to_be_bytes();
        if let Some(header) = out.get_mut(start..start + 3) {
            header.copy_from_slice(&[high, low, kind]);
        }
    }
}

/// Bytes that travel inside SIGNAL and DELIVER, at most [`MAX_PAYLOAD`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload(Vec<u8>);

impl Payload {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<Vec<u8>> for Payload {
    type Error = FrameError;

    fn try_from(bytes: Vec<u8>) -> Result<Self, FrameError> {
        if bytes.len() > MAX_PAYLOAD {
            return Err(FrameError::PayloadTooLong { len: bytes.len() });
        }
        Ok(Self(bytes))
    }
}

impl From<Payload> for Vec<u8> {
    fn from(payload: Payload) -> Self {
        payload.0
    }
}

/// Why bytes are no frame. The sender broke the protocol: close the connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The announced body exceeds [`MAX_BODY`].
    #[error("a frame announces {len} bytes, the longest may have {MAX_BODY}")]
    TooLong {
        /// Bytes announced.
        len: usize,
    },
    /// The payload exceeds [`MAX_PAYLOAD`].
    #[error("a payload of {len} bytes, the longest may have {MAX_PAYLOAD}")]
    PayloadTooLong {
        /// Its length.
        len: usize,
    },
    /// The body ends too early.
    #[error("the body of frame type {kind:#04x} is cut short")]
    Truncated {
        /// Type of the frame.
        kind: u8,
    },
    /// The body goes on after its end.
    #[error("the body of frame type {kind:#04x} is too long")]
    Surplus {
        /// Type of the frame.
        kind: u8,
    },
    /// A field holds what it must not.
    #[error("in frame type {kind:#04x}: {field} is not valid")]
    Field {
        /// Type of the frame.
        kind: u8,
        /// Which field.
        field: &'static str,
    },
}

/// Why either side ends a control connection: the QUIC application error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The client or the relay is done.
    Goodbye,
    /// The same key registered again: stay away for a while, do not fight over it, and come back with
    /// [`ToRelay::Yield`].
    Replaced,
    /// The other side broke the protocol, or speaks another version.
    Protocol,
    /// The client did not read what was sent to it.
    TooSlow,
    /// The relay has no room for more connections from there.
    Full,
    /// The relay is full, and gave the place of this connection to one from a network that has fewer.
    Displaced,
    /// The relay's operator does not let this key in.
    Forbidden,
    /// The relay takes no registrations any more, as it is about to stop: register with another one, and try again later.
    GoingAway,
    /// What this key may send through the relay in a month is used up. The last word of the text is the day on which the next
    /// month begins, by UTC, as in 2026-12-01.
    VolumeUsedUp,
    /// What all may send through the relay in a month is used up; the text ends as that of [`Self::VolumeUsedUp`].
    RelayVolumeUsedUp,
    /// The relay serves whom its operator invited, and the token that came with the registration lets nobody in, or no more.
    NotInvited,
}

impl CloseReason {
    /// The error code on the wire.
    #[must_use]
    pub fn code(self) -> u32 {
        match self {
            Self::Goodbye => 0,
            Self::Replaced => 1,
            Self::Protocol => 2,
            Self::TooSlow => 3,
            Self::Full => 4,
            Self::Displaced => 5,
            Self::Forbidden => 6,
            Self::GoingAway => 7,
            Self::VolumeUsedUp => 8,
            Self::RelayVolumeUsedUp => 9,
            Self::NotInvited => 10,
        }
    }

    /// The reason of an error code, if it is one of ours.
    #[must_use]
    pub fn from_code(code: u64) -> Option<Self> {
        [
            Self::Goodbye,
            Self::Replaced,
            Self::Protocol,
            Self::TooSlow,
            Self::Full,
            Self::Displaced,
            Self::Forbidden,
            Self::GoingAway,
            Self::VolumeUsedUp,
            Self::RelayVolumeUsedUp,
            Self::NotInvited,
        ]
        .into_iter()
        .find(|reason| u64::from(reason.code()) == code)
    }

    /// The reason in words.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Goodbye => "closed",
            Self::Replaced => {
                "this key is in use elsewhere, by another computer or process: stop that one, or give each a key of its own"
            }
            Self::Protocol => "the control protocol was broken, or its version is not spoken",
            Self::TooSlow => "the client does not read",
            Self::Full => "it has no room for another connection from this network",
            Self::Displaced => "it is full, and others have fewer connections than this network",
            Self::Forbidden => {
                "its operator does not let this key in: ask them, or use another relay"
            }
            Self::GoingAway => "it is about to stop, and takes nobody in any more",
            Self::VolumeUsedUp => "its monthly volume for this key is used up",
            Self::RelayVolumeUsedUp => "its monthly volume for all its users is used up",
            Self::NotInvited => {
                "its invitation is used up, expired or revoked: ask its operator for a new one, or use another relay"
            }
        }
    }

    /// Whether it ends with the month; its text names the day then.
    #[must_use]
    pub fn is_of_a_month(self) -> bool {
        matches!(self, Self::VolumeUsedUp | Self::RelayVolumeUsedUp)
    }

    /// Whether only time or the operator changes it, so that there is no point in trying again at once.
    #[must_use]
    pub fn lasts(self) -> bool {
        match self {
            Self::Replaced
            | Self::Forbidden
            | Self::VolumeUsedUp
            | Self::RelayVolumeUsedUp
            | Self::NotInvited => true,
            Self::Goodbye
            | Self::Protocol
            | Self::TooSlow
            | Self::Full
            | Self::Displaced
            | Self::GoingAway => false,
        }
    }
}

#[cfg(test)]
mod tests;

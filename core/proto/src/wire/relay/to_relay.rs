//! What a client says to its relay.

use super::{
    Frame, FrameError, Payload,
    body::{BodyReader, put_item},
};
use crate::{InviteToken, Item, PeerId};

const HELLO: u8 = 0x01;
const SIGNAL: u8 = 0x02;
const KEEPALIVE: u8 = 0x03;
const INVITED: u8 = 0x04;
const VISIT: u8 = 0x05;
const YIELD: u8 = 0x06;
const GET: u8 = 0x07;
const PUT: u8 = 0x08;
const HIDDEN: u8 = 0x09;

/// A frame from a client to its relay.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToRelay {
    /// Registers the connection's key; the first frame but for [`Self::Invited`], [`Self::Visit`] and [`Self::Yield`].
    Hello {
        /// The protocol version the client speaks.
        version: u8,
    },
    /// Carries a payload to another client, and opens the lane between the two.
    Signal {
        /// The receiver.
        to: PeerId,
        /// Whether the receiver is told no address of ours, as HIDDEN in place of SIGNAL says.
        hidden: bool,
        /// Unread by the relay.
        payload: Payload,
    },
    /// Asks for KEEPALIVE_ACK, and shows the relay our current address.
    KeepAlive,
    /// Before HELLO: the operator of the relay gave the client this token, which lets its key in from now on.
    Invited {
        /// What the relay's URL came with.
        token: InviteToken,
    },
    /// Before HELLO: the client is here to meet clients of this relay, not to be found. A relay that serves few lets it in all
    /// the same, to talk with those few.
    Visit,
    /// Before HELLO: the client was told that its key registered from elsewhere, and wants to be registered only if nobody is
    /// any more. Otherwise it is closed as [`CloseReason::Replaced`](super::CloseReason::Replaced) again.
    Yield,
    /// Asks for what lies in the Mainline DHT under a key, which the relay looks up in the client's place: for a client that no UDP
    /// leads out of. [`ToClient::Item`](super::ToClient::Item) follows for each item that is found, then
    /// [`ToClient::Dealt`](super::ToClient::Dealt).
    Get {
        /// What the answers name.
        ask: u32,
        /// An ed25519 key.
        key: [u8; 32],
    },
    /// Has the relay store something in the Mainline DHT in the client's place. [`ToClient::Dealt`](super::ToClient::Dealt) follows.
    Put {
        /// What the answer names.
        ask: u32,
        /// Signed by its key.
        item: Item,
    },
}

impl Frame for ToRelay {
    fn parse(kind: u8, body: &[u8]) -> Result<Option<Self>, FrameError> {
        let mut body = BodyReader::new(kind, body);
        let frame = match kind {
            HELLO => Self::Hello {
                version: body.byte()?,
            },
            SIGNAL | HIDDEN => Self::Signal {
                to: body.id()?,
                hidden: kind == HIDDEN,
                payload: body.payload()?,
            },
            KEEPALIVE => Self::KeepAlive,
            INVITED => Self::Invited {
                token: InviteToken::from_bytes(body.take()?),
            },
            VISIT => Self::Visit,
            YIELD => Self::Yield,
            GET => Self::Get {
                ask: u32::from_be_bytes(body.take()?),
                key: body.take()?,
            },
            PUT => Self::Put {
                ask: u32::from_be_bytes(body.take()?),
                item: body.item()?,
            },
            _ => return Ok(None),
        };
        body.end(frame)
    }

    fn emit_body(&self, out: &mut Vec<u8>) -> u8 {
        match self {
            Self::Hello { version } => {
                out.push(*version);
                HELLO
            }
            Self::Signal {
                to,
                hidden,
                payload,
            } => {
                out.extend_from_slice(to.as_bytes());
                out.extend_from_slice(payload.as_bytes());
                if *hidden { HIDDEN } else { SIGNAL }
            }
            Self::KeepAlive => KEEPALIVE,
            Self::Invited { token } => {
                out.extend_from_slice(token.as_bytes());
                INVITED
            }
            Self::Visit => VISIT,
            Self::Yield => YIELD,
            Self::Get { ask, key } => {
                out.extend_from_slice(&ask.to_be_bytes());
                out.extend_from_slice(key);
                GET
            }
            Self::Put { ask, item } => {
                out.extend_from_slice(&ask.to_be_bytes());
                put_item(out, item);
                PUT
            }
        }
    }
}

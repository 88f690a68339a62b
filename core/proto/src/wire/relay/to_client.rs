//! What a relay says to its client.

use std::net::SocketAddr;

use super::{
    Frame, FrameError, Payload,
    body::{BodyReader, put_addr, put_addr_or_none, put_item},
};
use crate::{Item, PeerId, RelayUrl};

const WELCOME: u8 = 0x81;
const OBSERVED: u8 = 0x82;
const DELIVER: u8 = 0x83;
const GONE: u8 = 0x84;
const DRAIN: u8 = 0x85;
const KEEPALIVE_ACK: u8 = 0x86;
const UNREACHED: u8 = 0x87;
const ITEM: u8 = 0x88;
const DEALT: u8 = 0x89;
const MOVED: u8 = 0x8a;

/// A frame from a relay to a client. Times are milliseconds since the Unix epoch by the relay's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToClient {
    /// The answer to HELLO: the client is registered.
    Welcome {
        /// The protocol version the relay speaks.
        version: u8,
        /// The relay's clock.
        time_ms: u64,
        /// The client's address as the relay sees it.
        observed: SocketAddr,
    },
    /// The client's address is no longer the one it registered from. The relay goes on using the registered one until
    /// the client registers anew from the new one.
    Observed {
        /// Where the last frame came from.
        addr: SocketAddr,
    },
    /// A payload that another client signalled.
    Deliver {
        /// The sender; the relay vouches for it.
        from: PeerId,
        /// The relay's clock.
        time_ms: u64,
        /// The address the sender registered from; the relay vouches for it. None where the sender wants it told to nobody.
        observed: Option<SocketAddr>,
        /// Unread by the relay.
        payload: Payload,
    },
    /// A SIGNAL was not delivered.
    Gone {
        /// Whom it was for.
        peer: PeerId,
        /// Why.
        reason: GoneReason,
    },
    /// The relay is about to stop, and takes no new registrations. It goes on serving this client for a while, so make before
    /// break: register with another relay, have the links move there, then close this connection. It may be back, as after a
    /// restart, once the time in the frame is over; until then there is no point in dialling it again.
    Drain {
        /// Milliseconds until a try to come back is worth it, different for each client.
        reconnect_in_ms: u32,
    },
    /// The answer to KEEPALIVE.
    KeepAliveAck,
    /// A client that was signalled to is registered, but acknowledges nothing. What is signalled to it is kept until it does, or
    /// registers anew.
    Unreached {
        /// Which client.
        peer: PeerId,
    },
    /// What a node of the Mainline DHT gave for a key that the client asked for.
    Item {
        /// Of the GET.
        ask: u32,
        /// As the node gave it: whoever reads it checks it.
        item: Item,
    },
    /// The end of what the client asked for with GET or PUT.
    Dealt {
        /// Of the GET or the PUT.
        ask: u32,
        /// What came of it.
        outcome: DhtOutcome,
    },
    /// The relay's operator takes it out of service, and names the relay that takes its place; DRAIN follows. It is the word of one
    /// relay about its own place: for whoever has chosen it, the other one takes that; whoever visits it looks for peers there too.
    Moved {
        /// That relay, with an invitation where the operator gave one.
        to: RelayUrl,
    },
}

/// What came of a GET or a PUT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DhtOutcome {
    /// So many nodes of the Mainline DHT gave an item, or stored it.
    Done {
        /// At most 255.
        nodes: u8,
    },
    /// No node of the Mainline DHT answers the relay.
    Silent,
    /// The client, or all clients, ask too much of the relay; try again later.
    Busy,
    /// A newer item is stored there already.
    Outdated,
    /// The relay does not do this, or the nodes refuse the item.
    Refused,
    /// An outcome of a later version.
    Other(u8),
}

impl DhtOutcome {
    fn put(self, out: &mut Vec<u8>) {
        match self {
            Self::Done { nodes } => out.extend_from_slice(&[0, nodes]),
            Self::Silent => out.push(1),
            Self::Busy => out.push(2),
            Self::Outdated => out.push(3),
            Self::Refused => out.push(4),
            Self::Other(code) => out.push(code),
        }
    }

    fn take(body: &mut BodyReader<'_>) -> Result<Self, FrameError> {
        Ok(match body.byte()? {
            0 => Self::Done {
                nodes: body.byte()?,
            },
            1 => Self::Silent,
            2 => Self::Busy,
            3 => Self::Outdated,
            4 => Self::Refused,
            other => Self::Other(other),
        })
    }
}

/// Why a SIGNAL was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GoneReason {
    /// No client with this key is registered here.
    NotRegistered,
    /// The relay does not connect these two.
    Refused,
    /// So many call the peer that no more calls are let through to it now, or the client signals too much; try again later.
    Busy,
    /// A reason of a later version.
    Other(u8),
}

impl GoneReason {
    fn code(self) -> u8 {
        match self {
            Self::NotRegistered => 0,
            Self::Refused => 1,
            Self::Busy => 2,
            Self::Other(code) => code,
        }
    }

    fn from_code(code: u8) -> Self {
        [Self::NotRegistered, Self::Refused, Self::Busy]
            .into_iter()
            .find(|reason| reason.code() == code)
            .unwrap_or(Self::Other(code))
    }
}

impl Frame for ToClient {
    fn parse(kind: u8, body: &[u8]) -> Result<Option<Self>, FrameError> {
        let mut body = BodyReader::new(kind, body);
        let frame = match kind {
            WELCOME => Self::Welcome {
                version: body.byte()?,
                time_ms: u64::from_be_bytes(body.take()?),
                observed: body.addr()?,
            },
            OBSERVED => Self::Observed { addr: body.addr()? },
            DELIVER => Self::Deliver {
                from: body.id()?,
                time_ms: u64::from_be_bytes(body.take()?),
                observed: body.addr_or_none()?,
                payload: body.payload()?,
            },
            GONE => Self::Gone {
                peer: body.id()?,
                reason: GoneReason::from_code(body.byte()?),
            },
            DRAIN => Self::Drain {
                reconnect_in_ms: u32::from_be_bytes(body.take()?),
            },
            KEEPALIVE_ACK => Self::KeepAliveAck,
            UNREACHED => Self::Unreached { peer: body.id()? },
            ITEM => Self::Item {
                ask: u32::from_be_bytes(body.take()?),
                item: body.item()?,
            },
            DEALT => Self::Dealt {
                ask: u32::from_be_bytes(body.take()?),
                outcome: DhtOutcome::take(&mut body)?,
            },
            MOVED => Self::Moved { to: body.url()? },
            _ => return Ok(None),
        };
        body.end(frame)
    }

    fn emit_body(&self, out: &mut Vec<u8>) -> u8 {
        match self {
            Self::Welcome {
                version,
                time_ms,
                observed,
            } => {
                out.push(*version);
                out.extend_from_slice(&time_ms.to_be_bytes());
                put_addr(out, *observed);
                WELCOME
            }
            Self::Observed { addr } => {
                put_addr(out, *addr);
                OBSERVED
            }
            Self::Deliver {
                from,
                time_ms,
                observed,
                payload,
            } => {
                out.extend_from_slice(from.as_bytes());
                out.extend_from_slice(&time_ms.to_be_bytes());
                put_addr_or_none(out, *observed);
                out.extend_from_slice(payload.as_bytes());
                DELIVER
            }
            Self::Gone { peer, reason } => {
                out.extend_from_slice(peer.as_bytes());
                out.push(reason.code());
                GONE
            }
            Self::Drain { reconnect_in_ms } => {
                out.extend_from_slice(&reconnect_in_ms.to_be_bytes());
                DRAIN
            }
            Self::KeepAliveAck => KEEPALIVE_ACK,
            Self::Unreached { peer } => {
                out.extend_from_slice(peer.as_bytes());
                UNREACHED
            }
            Self::Item { ask, item } => {
                out.extend_from_slice(&ask.to_be_bytes());
                put_item(out, item);
                ITEM
            }
            Self::Dealt { ask, outcome } => {
                out.extend_from_slice(&ask.to_be_bytes());
                outcome.put(out);
                DEALT
            }
            Self::Moved { to } => {
                out.extend_from_slice(to.with_its_invite().as_bytes());
                MOVED
            }
        }
    }
}

//! Datagrams over TLS on TCP, for networks that carry no UDP to a relay.
//!
//! Client and relay upgrade an HTTP/1.1 request to a WebSocket (RFC 6455), which proxies and middle boxes let pass, and put into
//! each binary message the datagrams that are ready, each behind its [length](peerway_proto::wire::tcp). What the datagrams
//! are, and who may send them, is the business of those above: to them the stream is one more source with an address of its own,
//! which is [`numbered`].
//!
//! For Peerway's own crates. Nothing here dials, listens, or knows a key.

#![warn(missing_docs, clippy::exhaustive_enums, clippy::exhaustive_structs)]

mod carry;
pub mod numbered;
pub mod outbox;
pub mod progress;
mod socket;

pub use carry::{Broken, Datagrams, Side, carry};
pub use outbox::Outbox;
pub use socket::{UNSENT, prepare};

/// Where a relay takes WebSockets.
pub const PATH: &str = "/peerway/relay/1";
/// Longest message: what an [`Outbox`] gives at a time, and no more than the kernel holds unsent.
pub const MAX_MESSAGE: usize = 16 * 1024;

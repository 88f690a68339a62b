//! The Peerway relay: lets clients find each other by key, forwards what they cannot yet send directly, and shows them how
//! the internet sees them. It holds nothing that outlives it but its key.
//!
//! One UDP port takes three kinds of datagram. QUIC goes to quinn: it carries one *control connection* per client, on which
//! a `control` task reads and writes frames. Lane datagrams are forwarded unread, within the receive call (`socket`).
//! STUN requests are answered. Everything else is dropped without an answer.
//!
//! What to do with a frame or a lane datagram is decided by [`server::Server`], which is pure. It sits behind the one lock
//! of this crate, in `hub`, together with the ways to its clients.

mod control;
mod faults;
mod host;
mod hub;
mod port;
mod relay;
pub mod server;
mod signals;
mod socket;
mod stun;

pub use relay::{BindError, Config, Relay, Stats};
pub use server::{Limits, Rate};
pub use signals::Signals;

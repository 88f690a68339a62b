//! The Peerway relay: lets clients find each other by key, forwards what they cannot yet send directly, and shows them how
//! the internet sees them. What is to outlive it besides its key, its operator's program keeps ([`Records`]).
//!
//! One UDP port takes three kinds of datagram, which `socket` tells apart. QUIC is queued for the task of the `service`: it
//! carries one *control connection* per client. Lane datagrams are forwarded unread, within the receive call, or, where their rate
//! is used up, when `pacer` finds that it is not any more. STUN requests
//! are answered. Everything else is dropped without an answer. The TCP port of the same number takes WebSockets, whose messages
//! carry the same datagrams (`tcp`). What clients have looked up in the Mainline DHT, where UDP does not reach it, `dht` carries out.
//!
//! What to do with a frame or a lane datagram is decided by [`server::Server`], which is pure. It sits behind the one lock
//! of this crate, in `hub`. What to do with QUIC is decided by `clients`, which is pure but for that lock.

mod books;
mod clients;
mod dht;
mod faults;
mod host;
mod hub;
mod lane;
mod pacer;
mod port;
mod records;
mod relay;
pub mod server;
mod service;
mod signals;
mod socket;
mod stun;
mod tcp;

pub use records::Sample;
pub use relay::{BindError, Config, Relay, Stats};
pub use server::{
    Access, Invite, InviteId, Limits, Month, Rate, Records, Talker, TalkingPair, TooManyInvites,
    VolumeLimits,
};
pub use signals::{Request, Signals};
pub use tcp::{Certificate, CertificateError, Tcp};

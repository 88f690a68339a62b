//! What happens above one link.
//!
//! All of it is built on the public API of [`peerway`], so that a program that only links computers does not pay for it. What is
//! decided is decided by machines without sockets, clocks or randomness of their own; tasks around them carry it out.

#![warn(missing_docs, clippy::exhaustive_enums, clippy::exhaustive_structs)]

pub mod directory;
pub mod frame;
pub mod group;
pub mod record;
pub mod share;
pub mod store;

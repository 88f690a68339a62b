//! A node's key at work: on disk ([`keyfile`]), and as the certificate in TLS ([`tls`]).
//!
//! For Peerway's own crates; programs find both in the crate `peerway`.

#![warn(missing_docs, clippy::exhaustive_enums, clippy::exhaustive_structs)]

pub mod keyfile;
pub mod tls;

//! The relay on loopback, with real sockets and QUIC.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets the unexpected fails by panicking"
)]

mod client;
mod control;
mod datagrams;
#[cfg(unix)]
mod operation;
mod program;
mod tcp;
mod world;

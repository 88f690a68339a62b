//! Programs of Debian, unchanged, between two homes behind port-restricted NATs. They live in rooms that reach nothing but
//! what `peerway forward` of their home leads to, and the direct path is cut while they are at work. docs/gallery.md tells what
//! became of each.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod chain;
mod dns;
mod games;
mod homes;
mod messages;
mod throughput;
mod torrents;
mod web;

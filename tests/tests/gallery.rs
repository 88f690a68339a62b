//! Programs of Debian, unchanged, between two homes behind port-restricted NATs. They live in rooms that reach nothing but
//! what `peerway forward` of their home leads to, and the direct path is cut while they are at work. docs/gallery.md tells what
//! became of each.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod back;
mod chain;
mod dns;
mod federation;
mod folders;
mod games;
mod hashes;
mod homes;
mod messages;
mod names;
mod python;
mod sockets;
mod throughput;
mod torrents;
mod tracker;
mod voice;
mod web;

/// Those that wait for a minute.
mod nightly {
    mod linked;
}

//! Programs of Debian, unchanged, between homes behind NATs. They live in rooms that reach nothing but what is forwarded there from
//! another home, and while they are at work paths are cut, addresses change, and relays and daemons die. docs/gallery.md tells what
//! became of each.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and the lab's time is real"
)]

mod back;
mod chain;
mod dns;
mod federation;
mod film;
mod folders;
mod games;
mod hashes;
mod homes;
mod messages;
mod names;
mod news;
mod python;
mod sockets;
mod throughput;
mod torrents;
mod tracker;
mod trains;
mod voice;
mod web;

/// Those that wait for a minute.
mod nightly {
    mod donkeys;
    mod linked;
    mod nodes;
}

//! What happens above one link.
//!
//! All of it is built on the public API of [`peerway`], so that a program that only links computers does not pay for it. What is
//! decided is decided by machines without sockets, clocks or randomness of their own; tasks around them carry it out.

#![warn(missing_docs, clippy::exhaustive_enums, clippy::exhaustive_structs)]

mod bucket;
pub mod call;
mod clock;
pub mod directory;
pub mod discovery;
pub mod frame;
pub mod group;
pub mod groups;
pub mod publish;
pub mod record;
pub mod search;
pub mod share;
mod shunned;
pub mod store;
pub mod watch;

pub use shunned::Shunned;

/// Seconds since 1970, by the system's clock.
fn unix_seconds() -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "the tasks tell the machines the time"
    )]
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

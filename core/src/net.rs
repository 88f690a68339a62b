//! The only room with sockets, clocks and tasks.

pub(crate) mod backlog;
mod calls;
pub(crate) mod clock;
pub(crate) mod command;
pub(crate) mod congestion;
mod dial;
pub(crate) mod driver;
pub(crate) mod flow;
mod gathering;
pub(crate) mod hops;
pub(crate) mod interfaces;
pub(crate) mod lan;
mod links;
pub(crate) mod mux;
mod nat;
mod nat64;
pub(crate) mod portmap;
pub mod relay;
pub(crate) mod search;
pub(crate) mod tcp;
pub(crate) mod transport;
mod view;

pub use lan::LanError;
pub use search::{Search, Searches};

use crate::stun;

/// The time for a goodbye to leave, before the way there is closed.
const GOODBYE: std::time::Duration = std::time::Duration::from_secs(1);

//! The only room with sockets, clocks and tasks.

pub(crate) mod backlog;
pub(crate) mod clock;
pub(crate) mod congestion;
pub(crate) mod driver;
pub(crate) mod flow;
pub(crate) mod hops;
pub(crate) mod interfaces;
pub(crate) mod lan;
pub(crate) mod mux;
pub(crate) mod nat64;
pub(crate) mod portmap;
pub mod relay;
pub(crate) mod tcp;
pub(crate) mod transport;

use crate::stun;

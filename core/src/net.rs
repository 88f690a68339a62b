//! The only room with sockets, clocks and tasks.

pub(crate) mod congestion;
pub(crate) mod hops;
pub(crate) mod interfaces;
pub(crate) mod mux;
pub mod stun;
pub(crate) mod transport;

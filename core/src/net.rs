//! The only room with sockets, clocks and tasks.

pub(crate) mod congestion;
pub(crate) mod mux;
pub(crate) mod transport;

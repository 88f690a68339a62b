//! The only room with sockets, clocks and tasks.

pub mod relay;
pub mod stun;

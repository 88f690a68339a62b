//! The only room with sockets, clocks and tasks.

pub mod stun;

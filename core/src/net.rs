//! The only room with sockets, clocks and tasks.

#[cfg_attr(not(test), expect(dead_code, reason = "the driver uses it"))]
mod hops;
#[cfg_attr(not(test), expect(dead_code, reason = "the driver uses it"))]
mod interfaces;
#[cfg_attr(not(test), expect(dead_code, reason = "the driver uses it"))]
mod portmap;
pub mod stun;

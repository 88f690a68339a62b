//! What people do over a link: [`ping`], [`speed`] and the TCP [`tunnel`].
//!
//! Services use only the public API of this crate, so each of them is also an example of it. The listening side of each is a handler
//! for a [`Router`](crate::Router).

pub mod ping;
pub mod speed;
pub mod tunnel;

#[cfg(test)]
mod testing;

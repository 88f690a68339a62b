//! Decisions: pure state machines, without sockets, tasks, clocks or randomness of their own.
//!
//! [`endpoint::Machine`] is the whole of it for the outside: events and the time go in, comparable values come out.

pub(crate) mod admission;
mod agenda;
#[cfg(feature = "net")]
pub(crate) mod allowance;
mod budget;
mod clock;
pub(crate) mod credit;
pub(crate) mod endpoint;
mod explain;
pub(crate) mod handshake;
mod heard;
pub(crate) mod io;
pub(crate) mod local;
pub(crate) mod nat;
pub(crate) mod outbound;
mod peer;
mod plan;
pub(crate) mod session;
pub(crate) mod shares;
mod sources;
mod stale;
mod timing;
#[cfg(any(test, feature = "_fuzzing"))]
pub(crate) mod watched;

#[cfg(test)]
mod tests;

//! What people do over a link: [`ping`], [`speed`], the [`tunnel`] for TCP and UDP, how two of them meet first: by [`pair`] or [`invite`], and
//! how groups of them know of each other's links: [`swarm`].
//!
//! Services use only the public API of this crate, so each of them is also an example of it. The listening side of each is a handler
//! for a [`Router`](crate::Router).

mod bucket;
mod card;
pub mod files;
pub mod invite;
mod lanes;
pub mod pair;
pub mod ping;
mod rate;
pub mod speed;
#[cfg(all(feature = "subnet", target_os = "linux"))]
pub mod subnet;
pub mod swarm;
pub mod tunnel;

#[cfg(test)]
mod testing;

pub use rate::{ParseRateError, Rate};

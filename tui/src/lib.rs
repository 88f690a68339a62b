//! The program `peerway`, as a library, because tests and measurements use its parts too.
//!
//! - [`cli`]: the command line. A command runs a node for as long as it takes, prints lines, and ends with an exit code.
//! - [`control`]: how commands talk to the node that runs here, over a Unix socket.
//! - [`dash`]: the dashboard. Snapshots and events of a node go in; a pure `update` and `view` make screens of them.
//! - [`demo`]: two homes and a relay on this one computer, linked before one's eyes.
//!
//! All of them see of a node what [`peerway::NodeSnapshot`] and [`peerway::Event`] show, and nothing else. The node's decisions
//! are in the crate `peerway`; nothing here decides about links, keys or paths.

mod book;
pub mod cli;
mod commons;
#[cfg(unix)]
pub mod control;
pub mod dash;
#[cfg(feature = "demo")]
pub mod demo;
#[cfg(unix)]
mod feeds;
mod files;
mod forwarding;
#[cfg(unix)]
mod gateway;
mod invites;
mod kept;
#[cfg(all(feature = "subnet", target_os = "linux"))]
mod linking;
mod links;
mod listened;
mod operations;
mod pairing;
mod pins;
mod printable;
mod proxying;
#[cfg_attr(
    not(unix),
    expect(dead_code, reason = "only the control socket tells of it")
)]
mod searches;
mod servers;
mod shares;
mod told;
mod toml;
mod transfers;
mod written;

pub use commons::Commons;
pub use kept::services::ServiceChange;
pub use links::{LinkError, Links};
pub(crate) use told::all_told;
pub use told::{Told, told};
pub use transfers::Order as TransferOrder;

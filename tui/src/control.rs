//! How commands talk to the node that runs here: HTTP with JSON over a Unix socket, for its owner alone.
//!
//! `docs/control.md` tells programs of it. [`serve`] answers, [`Client`] asks; where the socket is both know from [`Place`].

mod client;
#[cfg(test)]
mod documented;
mod door;
mod metrics;
mod place;
mod server;
mod streams;
#[cfg(test)]
mod tests;

use std::{io, path::PathBuf};

pub use client::Client;
pub use place::Place;
pub use server::serve;

/// The version of the interface, in every path.
const V1: &str = "/v1";

/// Why the node that runs here is not asked, or did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("{}: {reason}; the control socket needs a folder that is yours alone", path.display())]
    Folder { path: PathBuf, reason: String },
    #[error("cannot open the control socket {}: {source}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("{} is in the place of the control socket and not one of yours: move it away", path.display())]
    NotOurs { path: PathBuf },
    #[error("cannot talk to the node behind {}: {source}", path.display())]
    Unreachable { path: PathBuf, source: io::Error },
    #[error("the node that runs here broke off: {0}; did it end just now?")]
    Broken(#[from] hyper::Error),
    #[error("the node that runs here breaks off its answer: {0}; did it end just now?")]
    Stream(String),
    #[error(
        "the node that runs here ({server}) answers what this command does not understand: {source}; restart it with this version"
    )]
    Foreign {
        server: String,
        source: serde_json::Error,
    },
    #[error("the node that runs here does not answer: its process may be stopped, as by ^Z")]
    Silent,
    #[error("{0}")]
    Refused(String),
}

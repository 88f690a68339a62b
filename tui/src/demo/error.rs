use std::io;

use peerway::{BindError, ConnectError};

/// Why the demo failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// The lab exists but does not work.
    #[cfg(target_os = "linux")]
    #[error(transparent)]
    Lab(#[from] peerway_lab::LabError),
    /// There is no runtime.
    #[error("cannot start the runtime: {0}")]
    Runtime(io::Error),
    /// The relay does not start.
    #[error("the demo's relay does not start: {0}")]
    Relay(#[from] peerway_relay::BindError),
    /// A node does not start.
    #[error("a node of the demo does not start: {0}")]
    Node(#[from] BindError),
    /// A task of the demo panicked.
    #[error("the demo broke: {0}")]
    Broken(#[from] tokio::task::JoinError),
    /// A node did not reach the relay.
    #[error(
        "home {home} did not reach the relay within {seconds} s; run again with -vv to see why"
    )]
    Offline {
        /// Which.
        home: char,
        /// How long it had.
        seconds: u64,
    },
    /// The homes were not connected.
    #[error("home A cannot connect to home B: {0}")]
    Connect(#[from] ConnectError),
    /// The connection broke during a transfer.
    #[error("the transfer broke off: {0}")]
    Transfer(String),
    /// What arrived is not what was sent.
    #[error("what arrived is not what was sent")]
    Damaged,
    /// The path stayed on the relay.
    #[error("the link did not become direct within {seconds} s; run again with -vv to see why")]
    NotDirect {
        /// How long it had.
        seconds: u64,
    },
}

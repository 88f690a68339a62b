//! How commands talk to a node: HTTP with JSON over a Unix socket, for its owner alone, and over a link, for peers that the owner
//! made admins.
//!
//! `docs/control.md` tells programs of it. [`Control`] answers, [`Client`] asks; where the socket is both know from [`Place`].

mod blob;
mod changes;
mod client;
mod commons;
#[cfg(test)]
mod documented;
mod door;
mod files;
mod groups;
mod metrics;
mod operating;
mod pairing;
mod pass_on;
mod past;
mod path;
mod pins;
mod pipe;
mod place;
mod refusal;
mod remote;
mod searches;
mod seats;
mod server;
mod serving;
mod shares;
mod streams;
#[cfg(test)]
mod tests;
mod visits;

use std::{borrow::Cow, io, net::SocketAddr, path::PathBuf};

use peerway::{PeerId, RelayUrl, services::swarm::Swarm};
use peerway_swarm::groups::Groups;
use peerway_swarm::{search::Search, share::Sharing};
use serde::{Deserialize, Serialize};

pub use client::Client;
pub(crate) use client::PipeError;
pub(crate) use client::Seen;
pub(crate) use client::Telling;
pub(crate) use pins::{GcAsk, PinAsk};
pub(crate) use pipe::frame::Step as PipeStep;
pub use place::{Place, Socket};
pub use remote::{ALPN, RemoteError};
pub(crate) use seats::{Seated, Seats};
pub use server::Control;
pub(crate) use shares::{GetAsk, GetFailure, GetStep, ShareAsk};
pub(crate) use visits::Visited;

#[cfg(all(feature = "subnet", target_os = "linux"))]
use crate::linking::Linker;
use crate::{Links, kept::Services, pairing::Party, servers::Servers, transfers::Desk};

/// The version of the interface, in every path.
const V1: &str = "/v1";

/// What is asked, and does what it is told.
#[derive(Clone, Debug)]
pub struct Host {
    /// The node, and the links that it was asked for.
    pub links: Links,
    /// What members of its groups tell each other.
    pub swarm: Swarm,
    /// What it shares and fetches.
    pub sharing: Sharing,
    /// What it lets others find, and how it finds what they do.
    pub search: Search,
    /// Where peers come with files.
    pub(crate) desk: Desk,
    /// Servers of this home that peers reach.
    pub(crate) servers: Servers,
    /// What carries packets of the networks that are linked.
    #[cfg(all(feature = "subnet", target_os = "linux"))]
    pub(crate) linker: Linker,
    /// What gets to know other computers.
    pub(crate) party: Party,
    /// The groups that it belongs to; none of a temporary identity.
    pub groups: Option<Groups>,
    /// Why it keeps none though it should.
    pub groups_trouble: Option<String>,
    /// What it exposes and forwards whenever it runs; none of one that keeps nothing.
    pub(crate) services: Option<Services>,
    /// How it was started.
    pub options: StartOptions,
}

/// The options of a node that others cannot change while it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StartOptions {
    /// Its relays.
    pub relays: Vec<RelayUrl>,
    /// Its address and port.
    pub bind: Option<SocketAddr>,
    /// Whether it sends through relays only.
    pub relay_only: bool,
    /// Whether it leaves the local network alone.
    pub no_lan: bool,
    /// Whether it guesses no ports.
    pub no_port_guessing: bool,
    /// Whether it uses UDP only.
    pub no_tcp: bool,
    /// Whether it leaves the Mainline DHT alone.
    pub no_dht: bool,
}

/// What whoever asks may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Rights {
    /// All there is, on this computer.
    Owner,
    /// All but ending the node, its groups, its files, and asking others in its name.
    Full,
    /// Look, but at its groups.
    Read,
}

/// A peer of the address book.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Named {
    pub(crate) id: PeerId,
    pub(crate) name: String,
    /// `allow`, `ask` or `block`.
    pub(crate) trust: Cow<'static, str>,
}

impl StartOptions {
    /// Which of these options, that were given to a command, a node of `self` does not have; none if it will do.
    pub(crate) fn lacks(&self, wanted: &Self) -> Option<&'static str> {
        let flags = [
            ("--relay-only", wanted.relay_only && !self.relay_only),
            ("--no-lan", wanted.no_lan && !self.no_lan),
            (
                "--no-port-guessing",
                wanted.no_port_guessing && !self.no_port_guessing,
            ),
            ("--no-tcp", wanted.no_tcp && !self.no_tcp),
            ("--no-dht", wanted.no_dht && !self.no_dht),
            ("--bind", wanted.bind.is_some() && wanted.bind != self.bind),
            (
                "--relay",
                wanted.relays.iter().any(|url| !self.relays.contains(url)),
            ),
        ];
        let mut lacking = flags.into_iter().filter(|(_, lacks)| *lacks);
        lacking.next().map(|(name, _)| name)
    }
}

/// Why the node that runs here is not asked, or did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("{}: {reason}; the control socket needs a folder that is yours alone", path.display())]
    Folder { path: PathBuf, reason: String },
    #[error("cannot open the control socket {}: {source}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error(
        "another peerway{} answers at {}: two nodes of one identity would take each other's place; end that one with `peerway down`",
        pid.map(|pid| format!(", process {pid},")).unwrap_or_default(),
        path.display()
    )]
    Taken { path: PathBuf, pid: Option<i32> },
    #[error("{} is in the place of the control socket and not one of yours: move it away", path.display())]
    NotOurs { path: PathBuf },
    #[error("cannot talk to the node behind {}: {source}", path.display())]
    Unreachable { path: PathBuf, source: io::Error },
    #[error(
        "the node broke off ({0}), as one does that ends: once one runs, try again; a transfer goes on where it was"
    )]
    Broken(#[from] hyper::Error),
    #[error(
        "the node broke off its answer ({0}), as one does that ends: once one runs, try again; a transfer goes on where it was"
    )]
    Stream(String),
    #[error(
        "the node ({server}) answers what this command does not understand: {source}; restart it with this version"
    )]
    Foreign {
        server: String,
        source: serde_json::Error,
    },
    #[error("the node ({server}) cannot do this yet: restart it with this version")]
    Older { server: String },
    #[error(
        "the node does not answer: its process may be stopped, as by ^Z, or other programs hold all connections that it takes"
    )]
    Silent,
    #[error("{0}")]
    Refused(String),
    /// Nobody and nothing is called so there.
    #[error("{0}")]
    Unknown(String),
    /// It is not for whoever asks.
    #[error("{0}")]
    Forbidden(String),
    /// It was asked too often.
    #[error("{0}")]
    Busy(String),
    /// The node itself answers, and the peer that it was to reach does not.
    #[error("{0}")]
    Unreached(String),
    #[error(transparent)]
    Remote(#[from] RemoteError),
}

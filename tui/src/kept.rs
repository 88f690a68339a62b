//! What a node serves whenever it runs: servers of this home that peers reach by name, addresses of this computer that lead to
//! services of peers, links of networks, folders that are shared anew whenever they change, and how much it sends of what is shared.
//!
//! It is a TOML file beside the address book, which commands and people edit. [`text`] reads it and knows the line of a mistake,
//! [`Draft`] changes it, [`KeptFile`] is the file, and [`Services`] says how each of them fares on the node that runs.

mod draft;
mod file;
mod hours;
pub(crate) mod link;
mod local;
pub(crate) mod services;
mod text;

use std::{collections::BTreeMap, fmt, str::FromStr};

use peerway::{
    PeerId, Ticket,
    services::{
        Rate,
        tunnel::{ServiceName, Target},
    },
};

pub(crate) use self::{
    draft::{Draft, EditError},
    file::{KeptError, KeptFile},
    hours::{LimitError, LimitPart, UploadLimit},
    link::{LinkLine, LinkTerms, Linked, Range, Whom},
    local::{Local, ParseLocalError},
    services::{
        ExposeLine, ForwardLine, KeptLines, Kind, ServiceChange, Services, State, UploadLine,
        WatchLine,
    },
};
use crate::book::{Name, is_like_a_ticket};

/// Each takes a socket or more.
const MAX_OF_A_KIND: usize = 256;

/// All that is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) expose: BTreeMap<ServiceName, Exposure>,
    pub(crate) forward: BTreeMap<Remote, Local>,
    /// Peers whose networks are joined with this home's.
    pub(crate) link: BTreeMap<Whom, LinkTerms>,
    /// Folders that are shared anew whenever they change, by their absolute paths.
    pub(crate) watch: BTreeMap<String, WatchTerms>,
    /// How much is sent of what is shared.
    pub(crate) upload: UploadLimit,
}

/// A server of this home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exposure {
    pub(crate) target: Target,
    /// Peers and groups that may reach it; whoever is let in, if there are none.
    pub(crate) allow: Vec<Name>,
    /// What may pass each way, of all peers together.
    pub(crate) limit: Option<Rate>,
}

/// For whom a watched folder is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WatchTerms {
    /// Whether whoever has a link may have it.
    pub(crate) public: bool,
    /// Whether those who may have it find it.
    pub(crate) searchable: bool,
}

/// A service of a peer, as text PEER/NAME.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Remote {
    /// A name of the address book, a ticket or an id.
    pub(crate) peer: String,
    pub(crate) name: ServiceName,
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.peer, self.name)
    }
}

impl FromStr for Remote {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.rsplit_once('/');
        let (peer, name) = parts.ok_or("a service of a peer is PEER/NAME, as in nas/web")?;
        let name = name.parse::<ServiceName>();
        let name = name.map_err(|error| error.to_string())?;
        check_peer(peer)?;
        let peer = peer.to_owned();
        Ok(Self { peer, name })
    }
}

fn check_peer(peer: &str) -> Result<(), String> {
    if is_like_a_ticket(peer) {
        return match peer.contains('+') {
            true => Err("an invitation is used once: `peerway ping` with it, then `peerway add` gives the peer a name to be written here".to_owned()),
            false => peer.parse::<Ticket>().map(drop).map_err(|error| error.to_string()),
        };
    }
    if peer.parse::<Name>().is_ok() || peer.parse::<PeerId>().is_ok() {
        return Ok(());
    }
    Err(format!(
        "{peer:?} is no peer: it is a name in the address book, a ticket (PEERWAY1…) or an id"
    ))
}

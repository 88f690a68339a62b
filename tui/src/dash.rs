//! The live dashboard: a pure `update` and `view` over node snapshots, and one loop that feeds them.

mod addresses;
mod asking;
mod changes;
pub(crate) mod columns;
mod connect;
mod contents;
pub(crate) mod diagnoses;
mod exposed;
pub(crate) mod filter;
mod flows;
pub(crate) mod format;
mod group;
mod history;
mod job;
mod joined;
mod keymap;
mod keys;
mod layout;
mod leaving;
pub(crate) mod line;
mod list;
mod look;
mod map;
mod model;
mod mouse;
mod msg;
mod note;
mod open;
mod ordering;
mod own;
mod pace;
mod palette;
mod pings;
mod prompt;
mod record;
mod scrub;
mod shell;
mod sort;
mod speed;
mod stack;
mod strip;
mod tabs;
mod terminal;
#[cfg(test)]
mod tests;
mod theme;
mod trail;
mod transfers;
mod tunnels;
mod typing;
mod update;
mod view;
mod window;
pub(crate) mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use futures_util::stream::BoxStream;
use peerway::{NodeSnapshot, PairAction, PathInfo, PathPolicy, PeerId, SwarmSnapshot, Ticket};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{Told, commons::Commons, transfers::Order};

pub use columns::{Columns, ColumnsError};
pub use keys::Keys;
pub use own::Mistake;
pub use palette::Palette;
pub use record::{Recorded, Recording, ReplayError};
pub use shell::run;
pub use speed::{Played, Speed};
pub use theme::Theme;

/// The node as the dashboard sees it.
///
/// Every new snapshot is a sample of the charts and a redraw, so they are meant to come once a second, and at once when the
/// state of a peer changes.
pub struct Feed {
    pub snapshots: watch::Receiver<Arc<NodeSnapshot>>,
    pub events: BoxStream<'static, Told>,
    /// That nothing is heard of the node any more; none once it is heard of again.
    pub outages: BoxStream<'static, Option<Outage>>,
    pub commands: mpsc::Sender<Command>,
    /// Whom the user knows, each time that this has changed.
    pub people: BoxStream<'static, People>,
    /// What the node knows of the groups that it shares with, every few seconds; nothing while it shares nothing.
    pub swarm: BoxStream<'static, Arc<SwarmSnapshot>>,
    /// What the node shares and which groups it belongs to, each time that it has changed; nothing of a node that does not tell.
    pub commons: BoxStream<'static, Arc<Commons>>,
}

/// Nothing is heard of a node, which is asked again until it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// When that began, milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// Why, in one line.
    pub reason: String,
}

/// Whom the user of the dashboard knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct People {
    /// What peers are called; others go by their short id.
    pub names: BTreeMap<PeerId, String>,
    /// Peers that were reached before: to dial one, the first letters of its id are enough.
    pub acquaintances: Vec<Ticket>,
    /// Of whom it is decided whether they are let in.
    pub decided: BTreeSet<PeerId>,
    /// Of those, who is not.
    pub blocked: BTreeSet<PeerId>,
    /// When peers were last seen, milliseconds since the Unix epoch.
    pub seen: BTreeMap<PeerId, u64>,
}

/// What the dashboard asks of the node.
#[derive(Debug)]
pub enum Command {
    /// Dial the peer and keep the link; the error is one line that says what to do.
    Connect {
        ticket: Ticket,
        reply: oneshot::Sender<Result<(), String>>,
    },
    /// What was said in this group so far counts as read.
    HaveRead(String),
    /// Play the recording at this speed from now on.
    Play(Speed),
    /// Something about the network around the node; the error is one line that says what to do.
    Network {
        request: NetworkRequest,
        reply: oneshot::Sender<Result<(), String>>,
    },
    /// What a peer exposes to the node; the error is one line that says what to do.
    Services {
        peer: PeerId,
        reply: oneshot::Sender<Result<Vec<String>, String>>,
    },
    /// Lead a port of this computer to a service as long as the dashboard is open: which, and last why not any more.
    Tunnel {
        peer: PeerId,
        service: String,
        replies: mpsc::Sender<Result<String, String>>,
    },
    /// Something about a transfer; the error is one line that says what to do.
    Transfer {
        id: u64,
        order: Order,
        reply: oneshot::Sender<Result<(), String>>,
    },
    /// Something about a peer. The last answer is that it is done, or one line that says why not.
    Peer {
        peer: PeerId,
        request: Request,
        replies: mpsc::Sender<Result<Answer, String>>,
    },
}

/// What is to be done about the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkRequest {
    /// Measure the NAT anew.
    Measure,
    /// Ask routers anew for the ports that they forward.
    RenewMappings,
    /// Have the relay with this key be the home relay, or the nearest.
    PreferHome(Option<PeerId>),
}

/// What is to be done about a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A few round trips, or as many as it takes until one is direct.
    Ping { until_direct: bool },
    /// Look for a direct path now.
    Retry,
    /// Have its data carried by these paths alone, as long as the node runs.
    Policy(PathPolicy),
    /// Do something with the pair of this address, over TCP or not.
    Pair {
        remote: SocketAddr,
        tcp: bool,
        action: PairAction,
    },
    /// End all connections with it.
    Disconnect,
    /// Let it in no more, nor dial it.
    Block,
    /// Let it in, which called and was not.
    LetIn,
    /// Give it this name in the address book.
    Rename(String),
}

/// What comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Of a ping, which has several.
    Pong {
        rtt: Duration,
        path: Option<PathInfo>,
    },
    Done,
}

/// How the dashboard appears.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub color: ColorChoice,
    /// Draw with ASCII only; chosen by itself when the locale is not UTF-8.
    pub ascii: bool,
    pub palette: Palette,
    pub keys: Keys,
    /// Leave the mouse to the terminal.
    pub no_mouse: bool,
    /// The node ends with the dashboard: said in the second line, and asked about on quit while connections are open.
    pub owns_node: bool,
    /// Nothing can be changed from here: neither links nor the address book.
    pub read_only: bool,
    /// The columns of the peer table, in this order; as many as fit of all by default.
    pub columns: Option<Columns>,
    /// So many lines at the bottom of the terminal, instead of all of it.
    pub inline: Option<u16>,
    /// What is shown was recorded.
    pub replay: bool,
    /// Write what is shown into this new file.
    pub record: Option<PathBuf>,
    /// The name of the node in the header; empty for none.
    pub title: String,
    /// What the second line says, such as what a demonstration shows; empty for whose the node is.
    pub note: String,
    /// What is wrong with a file of the user's, said there too; empty for nothing.
    pub mistake: String,
    /// Whom the user knows at first.
    pub people: People,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorChoice {
    /// Unless `NO_COLOR` is set.
    #[default]
    Auto,
    Always,
    Never,
}

/// Why the dashboard ended, other than by being left.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Use a command that prints text.
    #[error("the dashboard needs a terminal; `peerway status` prints the same facts as text")]
    NoTerminal,
    /// The panic's own message was printed before.
    #[error("a part of the program panicked; its message stands above")]
    Panicked,
    #[error("cannot record into {}: {source}", path.display())]
    Record { path: PathBuf, source: io::Error },
    #[error("the terminal failed: {0}")]
    Terminal(#[from] io::Error),
}

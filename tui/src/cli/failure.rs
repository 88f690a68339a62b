//! Why a command failed: one line, and an exit code.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    path::PathBuf,
};

use peerway::{
    BindError, ParseIdError, PeerId,
    keyfile::KeyFileError,
    services::{
        files::{InboxError, SelectError},
        invite::InviteError,
        pair::{PairError, ParseCodeError},
        tunnel::ForwardError,
    },
};

#[cfg(unix)]
use peerway_swarm::{
    group::{ParseGroupInviteError, PostLengthError},
    groups::StoreError,
};
use peerway_swarm::{
    share::{GetError, KeepError, ShareError},
    store,
};

use super::appearance::AppearanceError;
#[cfg(all(feature = "demo", unix))]
use super::gallery::GalleryError;
#[cfg(unix)]
use super::{feed::FeedError, get::named::NamedError, search::NoResult};
#[cfg(unix)]
use crate::control::{ControlError, GetFailure, RemoteError};
#[cfg(feature = "demo")]
use crate::demo::DemoError;
#[cfg(unix)]
use crate::feeds::FeedFileError;
use crate::{
    book::{BookError, EditError, Name},
    dash,
    forwarding::{ListenError, forward_kind, words},
    invites::InviteFileError,
    kept::{KeptError, LimitError},
    operations::{DialError, Failed, FailureKind, dial_kind},
    pairing::PairingError,
    proxying::ProxyingError,
    transfers::Crowded,
};

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const RELAYED_ONLY: u8 = 3;
const UNREACHABLE: u8 = 4;
const BUSY: u8 = 5;
const NO_NODE: u8 = 6;
/// Nothing less than a change by root helps.
const NOT_PERMITTED: u8 = 7;
const REFUSED: u8 = 8;
/// As shells report a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;
#[cfg(test)]
pub(super) const EXIT_CODES: [u8; 10] = [
    0,
    FAILED,
    USAGE,
    RELAYED_ONLY,
    UNREACHABLE,
    BUSY,
    NO_NODE,
    NOT_PERMITTED,
    REFUSED,
    INTERRUPTED,
];

#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("cannot start the runtime: {0}")]
    Runtime(io::Error),
    #[error("there is no home folder to keep the key in: name a folder with --state-dir")]
    NoHome,
    #[error(
        "another peerway is running with the identity in {}: end it with `peerway down`, or with Ctrl-C if it is `forward` or another command, or name another folder with --state-dir",
        dir.display()
    )]
    InUse { dir: PathBuf },
    #[error(
        "no node runs here with this identity: start one with `peerway up`, or name its folder with --state-dir"
    )]
    #[cfg(unix)]
    NoNode,
    #[error(
        "{0} is no group that the node that runs here shares: `peerway group share {quoted} on`, here and at its members",
        quoted = .0.quoted()
    )]
    #[cfg(unix)]
    NotShared(Name),
    #[error("{0} is a group of the address book already: name the new one otherwise")]
    #[cfg(unix)]
    GroupOfBook(String),
    #[error(
        "{0} is a group of the address book, where nobody has a role: those have one in groups that were joined"
    )]
    NoRoles(Name),
    #[error(
        "there is no group {0}, of the address book or joined: `peerway group` lists those that there are"
    )]
    NoGroup(Name),
    #[error(
        "several groups that were joined are called {name}, and which is meant the name does not say, so that none is shared: {ids}"
    )]
    SeveralGroups { name: Name, ids: String },
    #[error(transparent)]
    #[cfg(unix)]
    Groups(#[from] StoreError),
    #[error(transparent)]
    #[cfg(unix)]
    GroupInvite(#[from] ParseGroupInviteError),
    #[error(transparent)]
    #[cfg(unix)]
    PostLength(#[from] PostLengthError),
    #[error(transparent)]
    #[cfg(unix)]
    Feed(#[from] FeedError),
    #[error(transparent)]
    #[cfg(unix)]
    Feeds(#[from] FeedFileError),
    #[error(transparent)]
    #[cfg(unix)]
    Control(#[from] ControlError),
    #[error(transparent)]
    #[cfg(unix)]
    Remote(#[from] RemoteError),
    #[error("cannot start the node in the background: {0}")]
    #[cfg(unix)]
    Detach(io::Error),
    #[error("the node in the background ended at once: {reason}")]
    #[cfg(unix)]
    NotStarted { reason: String },
    #[error(
        "no node was left in the background here, as `peerway up --detach` does it; what a service says, `journalctl --user -u peerway` shows"
    )]
    #[cfg(unix)]
    NoLog,
    #[error("cannot write manual pages to {}: {source}", path.display())]
    Man { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Key(#[from] KeyFileError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("cannot serve as a relay: {0}")]
    ServeRelay(#[from] peerway_relay::BindError),
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error(transparent)]
    Operation(#[from] Failed),
    #[error(
        "no peer is called {start}, and none that was dialled from here has an id that begins so: give its ticket, or its whole id ({length})"
    )]
    UnknownPeer { start: String, length: ParseIdError },
    #[error(
        "nobody in the address book is called {name}{}: `peerway peers` lists who is, `peerway add {name} TICKET` adds a peer",
        meant(nearest.as_ref())
    )]
    UnknownName { name: String, nearest: Option<Name> },
    #[error("{0} is not in the address book: `peerway add NAME {0}` gives it a name there")]
    NotInBook(PeerId),
    #[error("this is the id of this computer's own node: give the other side's ticket")]
    OwnPeer,
    #[error("{} is blocked in the address book: `peerway allow {}` first", .0, .0.quoted())]
    Blocked(Name),
    #[error(transparent)]
    Book(#[from] BookError),
    #[error(transparent)]
    Kept(#[from] KeptError),
    #[error(
        "with port 0 it would be another one each time: name a port with --listen that programs find"
    )]
    AnyPort,
    #[error("several peers have an id that begins with {start}: give more letters of {candidates}")]
    SeveralPeers { start: String, candidates: String },
    #[error(
        "{servers} servers need as many names, and there are {names}: give one --name for each, in the same order"
    )]
    Names { servers: usize, names: usize },
    #[error("two servers are named {name}: give each a name of its own")]
    SameName { name: String },
    #[error("{option} names {name}, and no server is exposed under that name here")]
    OfNothing { option: &'static str, name: String },
    #[error("`none` takes all limits away: leave it out, or the others")]
    LimitAndNone,
    #[error(transparent)]
    UploadLimit(#[from] LimitError),
    #[error("two limits are given {what}: leave one out")]
    Limits { what: String },
    #[error("cannot write the unit {}: {source}", path.display())]
    #[cfg(target_os = "linux")]
    Unit { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Invite(#[from] InviteError),
    #[error(transparent)]
    Invites(#[from] InviteFileError),
    #[error("too many invitations are open: take some back with `peerway invite --revoke WHICH`")]
    ManyInvites,
    #[error("no invitation is called {0}: `peerway invite --list` lists those that are open")]
    NoInvite(String),
    #[error(transparent)]
    Code(#[from] ParseCodeError),
    #[error(transparent)]
    Pair(#[from] PairError),
    #[error(transparent)]
    Select(#[from] SelectError),
    #[error(transparent)]
    Inbox(#[from] InboxError),
    #[error(transparent)]
    Crowded(#[from] Crowded),
    #[error("nothing was taken")]
    Declined,
    #[error(
        "the node that runs here was started without this {0}: leave it out, or start the node anew with it"
    )]
    #[cfg(unix)]
    Lacks(&'static str),
    #[error("the transfer broke off: the node has ended")]
    BrokenOff,
    #[error("the node that served this has ended, and this with it")]
    NodeEnded,
    #[error(transparent)]
    Share(#[from] ShareError),
    #[error(transparent)]
    Get(#[from] GetError),
    #[error(transparent)]
    #[cfg(unix)]
    Named(#[from] NamedError),
    /// By the name of the address book.
    #[error("{0} has it not any more, or does not let this node have it")]
    NotThere(String),
    #[error(transparent)]
    Keep(#[from] KeepError),
    #[error("nothing that is pinned is called {0}: `peerway ls` lists what is")]
    NoPin(String),
    #[error("{reason}")]
    #[cfg(unix)]
    NodeGet { reason: String, kind: GetFailure },
    #[error("nothing that is shared is called {0}: `peerway ls` lists what is")]
    NoShare(String),
    #[error("{} is no folder, or its name is no text in UTF-8: name one that is to be watched", .0.display())]
    NoFolder(PathBuf),
    #[error(
        "a gateway at {0} would hand others what peers let this computer have: choose an address of this computer, as in 127.0.0.1:8080"
    )]
    #[cfg(unix)]
    OpenGateway(SocketAddr),
    #[error(transparent)]
    #[cfg(unix)]
    Search(#[from] NoResult),
    #[error("there is no terminal to ask at: --yes takes whatever is offered")]
    NobodyToAsk,
    #[error("the sender did not come, though the code was right: have a new one made")]
    NobodyCame,
    #[error("{0} of the files did not arrive; the others did")]
    NotAll(u64),
    #[error("{}", words(.0))]
    Forward(#[from] ForwardError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Proxy(#[from] ProxyingError),
    #[error("cannot run ssh: {0}")]
    #[cfg(unix)]
    Ssh(io::Error),
    #[error(transparent)]
    Dashboard(#[from] dash::Error),
    #[error(transparent)]
    Appearance(#[from] AppearanceError),
    #[error(transparent)]
    Replay(#[from] dash::ReplayError),
    #[cfg(feature = "demo")]
    #[error(transparent)]
    Demo(#[from] DemoError),
    #[error("the ticket does not fit into a QR code: name fewer relays")]
    TooLongForQr,
    #[error("interrupted")]
    Interrupted,
    #[error("cannot read what is to be posted from stdin: {0}; it has to be text in UTF-8")]
    #[cfg(unix)]
    Stdin(io::Error),
    #[error("cannot write to stdout: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Operation(failed) => code(failed.kind),
            Self::Dial(error) => code(error.kind()),
            Self::Forward(error) => code(forward_kind(error)),
            Self::Pair(PairError::Connect(error)) | Self::Invite(InviteError::Connect(error)) => {
                code(dial_kind(error))
            }
            Self::Crowded(_) => BUSY,
            Self::Proxy(error) => proxy(error),
            Self::Declined | Self::NotThere(_) => REFUSED,
            Self::Get(error) => get(error),
            Self::Keep(error) => keep(error),
            Self::Kept(error) => kept(error),
            Self::NobodyCame | Self::BrokenOff | Self::NodeEnded => UNREACHABLE,
            Self::NoHome
            | Self::Code(_)
            | Self::Names { .. }
            | Self::SameName { .. }
            | Self::OfNothing { .. }
            | Self::UnknownPeer { .. }
            | Self::UnknownName { .. }
            | Self::NotInBook(_)
            | Self::NoInvite(_)
            | Self::NoShare(_)
            | Self::NoFolder(_)
            | Self::OwnPeer
            | Self::Book(BookError::Edit(EditError::HasName { .. } | EditError::Taken(_)))
            | Self::AnyPort
            | Self::SeveralPeers { .. } => USAGE,
            #[cfg(unix)]
            Self::NodeGet { kind, .. } => node_get(*kind),
            #[cfg(unix)]
            Self::Named(error) => named(error),
            Self::Interrupted => INTERRUPTED,
            #[cfg(unix)]
            Self::NoNode => NO_NODE,
            #[cfg(unix)]
            Self::OpenGateway(_) | Self::NotShared(_) | Self::GroupOfBook(_) => USAGE,
            #[cfg(unix)]
            Self::GroupInvite(_) | Self::PostLength(_) | Self::Feed(_) | Self::Lacks(_) => USAGE,
            Self::NoGroup(_) | Self::SeveralGroups { .. } => USAGE,
            Self::Limits { .. } | Self::LimitAndNone | Self::UploadLimit(_) => USAGE,
            Self::NoRoles(_) | Self::NobodyToAsk | Self::NoPin(_) | Self::Appearance(_) => USAGE,
            #[cfg(target_os = "linux")]
            Self::Unit { .. } => FAILED,
            #[cfg(unix)]
            Self::Remote(error) => far(error),
            #[cfg(unix)]
            Self::Control(error) => control(error),
            #[cfg(unix)]
            Self::Search(error) => search(error),
            #[cfg(unix)]
            Self::Groups(_) | Self::Feeds(_) | Self::Detach(_) | Self::Ssh(_) => FAILED,
            #[cfg(unix)]
            Self::NotStarted { .. } | Self::NoLog | Self::Stdin(_) => FAILED,
            Self::Output(error) if error.kind() == ErrorKind::BrokenPipe => 0,
            #[cfg(feature = "demo")]
            Self::Demo(_) => FAILED,
            Self::Runtime(_)
            | Self::Man { .. }
            | Self::InUse { .. }
            | Self::Book(_)
            | Self::Blocked(_)
            | Self::Key(_)
            | Self::Bind(_)
            | Self::ServeRelay(_)
            | Self::Pair(_)
            | Self::Invite(_)
            | Self::Invites(_)
            | Self::ManyInvites
            | Self::Select(_)
            | Self::Share(_)
            | Self::Inbox(_)
            | Self::NotAll(_)
            | Self::Listen(_)
            | Self::Dashboard(_)
            | Self::Replay(_)
            | Self::TooLongForQr
            | Self::Output(_) => FAILED,
        }
    }

    /// The reader of stdout has gone, as in `peerway up | head -1`: nothing is wrong.
    pub(super) fn is_silent(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == ErrorKind::BrokenPipe)
    }
}

#[cfg(all(feature = "demo", unix))]
impl From<GalleryError> for Failure {
    fn from(error: GalleryError) -> Self {
        if let GalleryError::Output(error) = error {
            return Self::Output(error);
        }
        Self::Operation(Failed {
            kind: FailureKind::Failed,
            error: error.to_string(),
        })
    }
}

impl From<PairingError> for Failure {
    fn from(error: PairingError) -> Self {
        Self::Operation(Failed {
            kind: error.kind(),
            error: error.to_string(),
        })
    }
}

fn kept(error: &KeptError) -> u8 {
    match error {
        KeptError::Edit(_) => USAGE,
        KeptError::Mistake { .. } | KeptError::File(_) => FAILED,
    }
}

fn proxy(error: &ProxyingError) -> u8 {
    match error {
        ProxyingError::Open(_) => USAGE,
        ProxyingError::Listen(_) => FAILED,
    }
}

fn get(error: &GetError) -> u8 {
    match error {
        GetError::Unreached(_) | GetError::Nowhere { .. } => UNREACHABLE,
        GetError::NotThere(_) => REFUSED,
        GetError::NoProvider | GetError::NobodyToAsk => USAGE,
        GetError::NoList(_)
        | GetError::Write { .. }
        | GetError::InTheWay(_)
        | GetError::Ended
        | _ => FAILED,
    }
}

fn keep(error: &KeepError) -> u8 {
    match error {
        KeepError::Get(error) => get(error),
        KeepError::Store(error) => match **error {
            store::StoreError::Taken(_) | store::StoreError::BadName => USAGE,
            store::StoreError::Catalog(_)
            | store::StoreError::NoRoom { .. }
            | store::StoreError::Folder { .. }
            | _ => FAILED,
        },
        KeepError::Unknown => USAGE,
        KeepError::Slow => UNREACHABLE,
        KeepError::NoStore | KeepError::NoFile | KeepError::Gone | _ => FAILED,
    }
}

#[cfg(unix)]
fn named(error: &NamedError) -> u8 {
    match error {
        NamedError::Nothing { .. } => REFUSED,
        NamedError::Several { .. } | NamedError::OneState => USAGE,
    }
}

#[cfg(unix)]
fn node_get(kind: GetFailure) -> u8 {
    match kind {
        GetFailure::Unreachable => UNREACHABLE,
        GetFailure::Refused => REFUSED,
        GetFailure::Usage => USAGE,
        GetFailure::InTheWay | GetFailure::Failed => FAILED,
    }
}

fn meant(nearest: Option<&Name>) -> String {
    nearest.map_or_else(String::new, |name| format!(" (did you mean {name}?)"))
}

#[cfg(unix)]
fn control(error: &ControlError) -> u8 {
    match error {
        ControlError::Remote(error) => far(error),
        ControlError::Unknown(_) => USAGE,
        ControlError::Forbidden(_) => REFUSED,
        ControlError::Unreached(_) | ControlError::Broken(_) | ControlError::Stream(_) => {
            UNREACHABLE
        }
        ControlError::Busy(_) => BUSY,
        ControlError::Folder { .. }
        | ControlError::Open { .. }
        | ControlError::Taken { .. }
        | ControlError::NotOurs { .. }
        | ControlError::Unreachable { .. }
        | ControlError::Foreign { .. }
        | ControlError::Older { .. }
        | ControlError::Silent
        | ControlError::Refused(_) => FAILED,
    }
}

#[cfg(unix)]
fn search(error: &NoResult) -> u8 {
    match error {
        NoResult::Query(_) => USAGE,
        NoResult::Unanswered => UNREACHABLE,
        NoResult::Nobody | NoResult::Nothing => FAILED,
    }
}

#[cfg(unix)]
fn far(error: &RemoteError) -> u8 {
    match error {
        RemoteError::Connect(error) => code(dial_kind(error)),
        RemoteError::Refused(_) => REFUSED,
        RemoteError::Slow | RemoteError::Lost(_) | RemoteError::Broken(_) => UNREACHABLE,
        RemoteError::NoNode => FAILED,
    }
}

fn code(kind: FailureKind) -> u8 {
    match kind {
        FailureKind::Failed => FAILED,
        FailureKind::Usage => USAGE,
        FailureKind::RelayedOnly => RELAYED_ONLY,
        FailureKind::Unreachable => UNREACHABLE,
        FailureKind::Busy => BUSY,
        FailureKind::Refused => REFUSED,
        FailureKind::NotPermitted => NOT_PERMITTED,
    }
}

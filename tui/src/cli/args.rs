//! What can be written on the command line. Every flag has a `PEERWAY_*` variable.

mod book;
mod dht;
#[cfg(unix)]
mod feed;
mod group;
#[cfg(unix)]
mod paths;
mod services;
mod share;
#[cfg(unix)]
mod transfers;
mod values;

use std::{ffi::OsStr, net::SocketAddr, path::PathBuf, time::Duration};

use clap::ValueHint;
use clap::{
    ArgAction, CommandFactory, FromArgMatches, Parser, Subcommand,
    builder::{FalseyValueParser, Resettable},
    error::ContextKind,
    value_parser,
};
use clap_complete::ArgValueCandidates;
use peerway::{
    Builder, Endpoint, RelayUrl,
    services::pair::{Code, ParseCodeError},
};

#[cfg(all(feature = "demo", target_os = "linux"))]
use peerway_lab::{Access, NatKind};

use super::completion;
#[cfg(all(feature = "demo", unix))]
use super::gallery::System;
use super::own_relay::Place;
use super::receive;
use super::screen::Screen;
#[cfg(unix)]
use crate::control::StartOptions;
use crate::{book::Name, dash::filter::Filter};
#[cfg(unix)]
pub(super) use book::Accept;
pub(super) use book::{Add, AdminArgs, InviteArgs, PeersArgs, Remove, Rename, Rights, TrustArgs};
pub(super) use dht::{DhtArgs, IdArgs};
#[cfg(unix)]
pub(super) use feed::{FeedAction, FeedArgs, FeedFollow, FeedPost, FeedRead};
pub(super) use group::{GroupAction, GroupArgs, GroupMembers, RoleArg, Switch};
#[cfg(unix)]
pub(super) use group::{GroupInviteArgs, GroupPost, GroupRead};
#[cfg(unix)]
pub(super) use paths::{PairsArgs, PairsAsk, PolicyArgs};
pub(super) use services::{
    Expose, ExposeAction, Forward, ForwardAction, Pipe, Proxy, Services, Terms,
};
#[cfg(all(feature = "subnet", target_os = "linux"))]
pub(super) use services::{Link, LinkAction, Ranges};
#[cfg(unix)]
pub(super) use services::{Login, Ssh};
#[cfg(unix)]
pub(super) use share::{BrowseArgs, GatewayArgs, SearchArgs};
pub(super) use share::{GcArgs, GetArgs, PinArgs, ShareArgs, Sought, UnpinArgs};
#[cfg(unix)]
pub(super) use transfers::TransfersArgs;
#[cfg(unix)]
pub(super) use values::ArgError;
#[cfg(unix)]
use values::event_filter;
#[cfg(all(feature = "demo", target_os = "linux"))]
use values::percent;
pub(super) use values::{Allowed, Limited, Offered, PeerName, Service, is_start_of_id};
use values::{address, code_or_folder, file_name, measurement, seconds, size, time};

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 relayed only (ping --until-direct),
4 peer or relay unreachable or the node ended, 5 peer busy, 6 no node runs here, 7 no right to
make a network device (link), 8 refused by the peer (send, get, browse, top), 130 interrupted
before there was a result";

/// Direct, encrypted links between computers behind home routers, by public key.
///
/// Without a command: the dashboard.
#[derive(Debug, Parser)]
#[command(name = "peerway", version, after_help = EXIT_CODES)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) globals: Globals,
    #[command(flatten)]
    pub(super) screen: Screen,
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

impl Args {
    /// What the process was started with; ends it where that cannot be understood.
    pub(super) fn read() -> Self {
        let read = without_empty_variables(Self::command()).try_get_matches();
        let matches = read.unwrap_or_else(|error| {
            let again = without_variables(Self::command()).try_get_matches();
            of_what_was_typed(error, again.err()).exit()
        });
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// The usage of an error has all that was given, also by variables, as if it had to be typed: the same error without them is the better one.
pub(super) fn of_what_was_typed(error: clap::Error, without: Option<clap::Error>) -> clap::Error {
    let about = |error: &clap::Error| error.get(ContextKind::InvalidArg).map(ToString::to_string);
    let is_same = |it: &clap::Error| it.kind() == error.kind() && about(it) == about(&error);
    let better = without.filter(|it| error.use_stderr() && is_same(it));
    better.unwrap_or(error)
}

/// But for what is required, which a variable may be the only one to give.
pub(super) fn without_variables(command: clap::Command) -> clap::Command {
    command
        .mut_args(|argument| match argument.is_required_set() {
            true => argument,
            false => argument.env(Resettable::Reset),
        })
        .mut_subcommands(without_variables)
}

/// A variable that is set to nothing counts as not set.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    command
        .mut_args(|argument| {
            if argument.get_env().is_some_and(is_empty) {
                argument.env(Resettable::Reset)
            } else {
                argument
            }
        })
        .mut_subcommands(without_empty_variables)
}

#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Globals {
    /// Folder of the key [default: $XDG_STATE_HOME/peerway]
    #[arg(long, global = true, value_name = "DIR", env = "PEERWAY_STATE_DIR")]
    pub(super) state_dir: Option<PathBuf>,

    /// Folder of the address book [default: the one of --state-dir, else $XDG_CONFIG_HOME/peerway]
    #[arg(long, global = true, value_name = "DIR", env = "PEERWAY_CONFIG_DIR")]
    pub(super) config_dir: Option<PathBuf>,

    /// A relay of its own, as that printed itself, relay://KEY@HOST:PORT; may be repeated: the nearest is the home relay
    #[arg(
        long = "relay",
        global = true,
        value_name = "URL",
        env = "PEERWAY_RELAY",
        value_delimiter = ','
    )]
    pub(super) relays: Vec<RelayUrl>,

    /// Local address and UDP port, or a port at every address, as for a firewall rule [default: a free port]
    #[arg(long, global = true, value_name = "[ADDR:]PORT", env = "PEERWAY_BIND", value_parser = address)]
    pub(super) bind: Option<SocketAddr>,

    /// Do not look for peers on the local network, nor be found there
    #[arg(long, global = true, env = "PEERWAY_NO_LAN", value_parser = FalseyValueParser::new())]
    pub(super) no_lan: bool,

    /// Send to peers through relays only, so that they do not learn this computer's addresses
    #[arg(long, global = true, env = "PEERWAY_RELAY_ONLY", value_parser = FalseyValueParser::new())]
    pub(super) relay_only: bool,

    /// Do not guess ports where a router hides them, nor let peers guess this computer's
    #[arg(long, global = true, env = "PEERWAY_NO_PORT_GUESSING", value_parser = FalseyValueParser::new())]
    pub(super) no_port_guessing: bool,

    /// Use UDP only: neither dial peers over TCP where it is blocked, nor listen for such peers
    #[arg(long, global = true, env = "PEERWAY_NO_TCP", value_parser = FalseyValueParser::new())]
    pub(super) no_tcp: bool,

    #[command(flatten)]
    pub(super) dht: DhtArgs,

    /// One JSON object per line on stdout
    #[arg(long, global = true, env = "PEERWAY_JSON", value_parser = FalseyValueParser::new())]
    pub(super) json: bool,

    /// Log more to stderr; twice for details. RUST_LOG overrides it
    #[arg(
        short,
        long,
        global = true,
        env = "PEERWAY_VERBOSE",
        action = ArgAction::Count
    )]
    pub(super) verbose: u8,
}

impl Globals {
    /// A node as these options want it, but for its key, relays and address.
    pub(super) fn builder(&self) -> Builder {
        Endpoint::builder()
            .relay_only(self.relay_only)
            .port_guessing(!self.no_port_guessing)
            .tcp(!self.no_tcp)
            .lan_discovery(!self.no_lan)
    }

    /// The same, as the node that runs here tells of itself.
    #[cfg(unix)]
    pub(super) fn start_options(&self) -> StartOptions {
        StartOptions {
            relays: self.relays.clone(),
            bind: self.bind,
            relay_only: self.relay_only,
            no_lan: self.no_lan,
            no_port_guessing: self.no_port_guessing,
            no_tcp: self.no_tcp,
            no_dht: self.dht.no_dht,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run a node that others can reach
    Up(Up),
    /// Have systemd run the node whenever you are logged in
    #[cfg(target_os = "linux")]
    Service(Unit),
    /// End the node that runs here
    #[cfg(unix)]
    Down,
    /// Print this computer's id
    Id(IdArgs),
    /// Print a ticket with which others can reach this computer
    Ticket(TicketArgs),
    /// Get to know another computer by a code that the one shows and the other types
    Pair(Pair),
    /// Measure the round trip to a peer and show the path
    Ping(Ping),
    /// Explain why the link to a peer is direct or not, and what would help
    Why(Why),
    /// Have the node that runs here use relays only for a peer, or direct paths only, or both again
    #[cfg(unix)]
    Policy(PolicyArgs),
    /// List the addresses at which the node that runs here looks for a peer, or say what to do with one of them
    #[cfg(unix)]
    Pairs(PairsArgs),
    /// Measure the throughput to and from a peer
    Speed(Speed),
    /// The dashboard, of this computer's node or of a peer's that made this computer an admin
    #[cfg(unix)]
    Top(Top),
    /// Show the node that runs here, or what one would see of this network
    Status(StatusArgs),
    /// Follow what happens on the node that runs here
    #[cfg(unix)]
    Events(EventsArgs),
    /// Follow how the node that runs here changes, a line for each thing that is another than before
    #[cfg(unix)]
    Watch(WatchArgs),
    /// Show what a node in the background had to say
    #[cfg(unix)]
    Logs(LogsArgs),
    /// Print what the dashboard looks like, or its keys, as the file that changes them
    Config(ConfigArgs),
    /// Print the manual page, or write one for each command
    Man(ManArgs),
    /// Find out what this network allows
    Netcheck,
    /// Let peers reach TCP and UDP servers and Unix sockets of this home
    Expose(Expose),
    /// Reach a server that a peer exposes
    Forward(Forward),
    /// List what a peer exposes to this computer
    Services(Services),
    /// Lead stdin and stdout to a service of a peer
    Pipe(Pipe),
    /// Open a shell at a peer by ssh, through its service of that name
    #[cfg(unix)]
    Ssh(Ssh),
    /// Lead programs that speak SOCKS5 or HTTP CONNECT to services of peers
    Proxy(Proxy),
    /// Join this home's network and those of peers by a network device
    #[cfg(all(feature = "subnet", target_os = "linux"))]
    Link(Link),
    /// Send files and folders to a peer, or to whoever types the code that is shown
    Send(Send),
    /// Take files that peers send, or those of the one who shows a code
    Receive(Receive),
    /// List what the node that runs here sends, receives and fetches now; pause, resume or cancel it
    #[cfg(unix)]
    Transfers(TransfersArgs),
    /// Share files and folders with many, who fetch them from each other too
    Share(ShareArgs),
    /// List what the node shares whenever it runs, and what it keeps of what was fetched
    Ls,
    /// Fetch what a link names, from all who have some of it
    Get(GetArgs),
    /// Fetch what a link names and keep it, for others too
    Pin(PinArgs),
    /// Keep something no more that was pinned
    Unpin(UnpinArgs),
    /// Free what is not pinned, as far as there is too much
    Gc(GcArgs),
    /// Lead browsers and players of this computer to shared content, by HTTP
    #[cfg(unix)]
    Gateway(GatewayArgs),
    /// Find what peers and members of groups share, by its name
    #[cfg(unix)]
    Search(SearchArgs),
    /// List what a peer lets this computer find
    #[cfg(unix)]
    Browse(BrowseArgs),
    /// List the address book, and who else was dialled from here
    Peers(PeersArgs),
    /// Give a peer a name, by which every command knows it
    Add(Add),
    /// Give a peer of the address book another name
    Rename(Rename),
    /// Forget a peer of the address book
    Remove(Remove),
    /// Make a ticket that lets in whoever has it, once
    Invite(InviteArgs),
    /// List who asks to be let in, or let one of them in
    #[cfg(unix)]
    Accept(Accept),
    /// Let a peer, or strangers, in no more
    Block(TrustArgs),
    /// Have a peer, or strangers, ask before they are let in
    Ask(TrustArgs),
    /// Let a peer, or strangers, in again
    Allow(TrustArgs),
    /// Let a peer look at the node that runs here from afar, or do more with it
    Admin(AdminArgs),
    /// List groups of peers, say who is in one, or share with its members how this computer is linked
    Group(GroupArgs),
    /// Write for whoever follows you, and read whom you follow; without an action, list the feeds
    #[cfg(unix)]
    Feed(FeedArgs),
    /// Show the links of whole groups that are shared, as the node that runs here knows them
    #[cfg(unix)]
    Swarm(SwarmArgs),
    /// List what people use peer-to-peer systems for and the commands that do it, or play one with a dozen nodes on this computer
    #[cfg(all(feature = "demo", unix))]
    Gallery(GalleryArgs),
    /// Watch two homes find each other, all on this one computer
    #[cfg(feature = "demo")]
    Demo(Screen),
    /// Let two homes with such and such routers find each other, all on this one computer
    #[cfg(all(feature = "demo", target_os = "linux"))]
    Lab(Lab),
}

#[derive(Debug, clap::Args)]
pub(super) struct Up {
    /// Leave it running in the background once it is ready; `peerway down` ends it
    #[cfg(unix)]
    #[arg(long, env = "PEERWAY_DETACH", value_parser = FalseyValueParser::new())]
    pub(super) detach: bool,

    /// Be the node that `--detach` leaves running.
    #[cfg(unix)]
    #[arg(long, hide = true)]
    pub(super) in_background: bool,

    /// End with an error if no relay can be reached, instead of serving this network and trying on
    #[arg(long, env = "PEERWAY_FAIL_FAST", value_parser = FalseyValueParser::new())]
    pub(super) fail_fast: bool,

    /// Do not answer ping and speed
    #[arg(long, env = "PEERWAY_NO_DIAGNOSTICS", value_parser = FalseyValueParser::new())]
    pub(super) no_diagnostics: bool,

    /// Keep for the groups in which this computer is more than a reader what their members publish, so that a search finds it while they are away
    #[arg(long, env = "PEERWAY_DIRECTORY", value_parser = FalseyValueParser::new())]
    pub(super) directory: bool,

    /// Put files that peers of the address book send into this folder, without asking
    #[arg(long, value_name = "DIR", env = "PEERWAY_RECEIVE", value_hint = ValueHint::DirPath)]
    pub(super) receive: Option<PathBuf>,

    /// Be a relay too, for whoever knows its URL: at a port, or where others dial HOST:PORT [default: 4433]
    #[arg(
        long,
        value_name = "[HOST:]PORT",
        env = "PEERWAY_SERVE_RELAY",
        num_args = 0..=1,
        default_missing_value = "4433"
    )]
    pub(super) serve_relay: Option<Place>,
}

#[cfg(target_os = "linux")]
#[derive(Debug, clap::Args)]
pub(super) struct Unit {
    /// Write a unit that runs `peerway up` with the options given here, or remove it
    pub(super) action: UnitAction,
}

#[cfg(target_os = "linux")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum UnitAction {
    Install,
    Remove,
}

#[derive(Debug, clap::Args)]
pub(super) struct TicketArgs {
    /// Draw it as a QR code too
    #[arg(long, env = "PEERWAY_QR", value_parser = FalseyValueParser::new())]
    pub(super) qr: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Pair {
    /// The code that the other computer shows; without one, this one shows a code
    #[arg(value_name = "CODE")]
    code: Vec<String>,

    /// What the other computer is to call this one [default: its host name]
    #[arg(long = "as", value_name = "NAME", env = "PEERWAY_AS")]
    pub(super) called: Option<String>,
}

impl Pair {
    /// However it is divided; the command line has a word for each part.
    pub(super) fn code(&self) -> Result<Option<Code>, ParseCodeError> {
        let code = (!self.code.is_empty()).then(|| self.code.concat().parse());
        code.transpose()
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Ping {
    /// Name in the address book, ticket or id; of a peer that was dialled before, 8 letters of its id
    #[arg(add = ArgValueCandidates::new(completion::names))]
    pub(super) peer: PeerName,

    /// Pings to send [default: 10; with --until-direct: no limit]
    #[arg(short, long, value_name = "N", env = "PEERWAY_COUNT", value_parser = value_parser!(u32).range(1..))]
    pub(super) count: Option<u32>,

    /// Stop at the first reply over a direct path; exit 3 if there is none
    #[arg(long, env = "PEERWAY_UNTIL_DIRECT", value_parser = FalseyValueParser::new())]
    pub(super) until_direct: bool,

    /// Seconds to wait for the first reply or, with --until-direct, for a direct path [default: 10, and 25 for a peer that its relay
    /// does not reach at the moment]
    #[arg(long, value_name = "S", env = "PEERWAY_TIMEOUT", value_parser = seconds)]
    pub(super) timeout: Option<Duration>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Why {
    /// Name in the address book, ticket or id; of a peer that was dialled before, 8 letters of its id
    #[arg(add = ArgValueCandidates::new(completion::names))]
    pub(super) peer: PeerName,

    /// Seconds to wait for a direct path, or for the reason why there is none [default: 20, and 25 more for a peer that its relay does
    /// not reach at the moment]
    #[arg(long, value_name = "S", env = "PEERWAY_TIMEOUT", value_parser = seconds)]
    pub(super) timeout: Option<Duration>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Speed {
    /// Name in the address book, ticket or id; of a peer that was dialled before, 8 letters of its id
    #[arg(add = ArgValueCandidates::new(completion::names))]
    pub(super) peer: PeerName,

    /// Seconds per direction, at most 60
    #[arg(long, value_name = "S", env = "PEERWAY_SECONDS", default_value = "5", value_parser = measurement)]
    pub(super) seconds: Duration,
}

#[cfg(unix)]
#[derive(Debug, clap::Args)]
pub(super) struct Top {
    /// Name in the address book, ticket or id, or 8 letters of its id; without one, the node of this computer
    #[arg(add = ArgValueCandidates::new(completion::names))]
    pub(super) peer: Option<PeerName>,

    #[command(flatten)]
    pub(super) screen: Screen,
}

#[cfg(unix)]
#[derive(Debug, clap::Args)]
pub(super) struct WatchArgs {
    /// A peer that made this computer an admin; without one, the node of this computer
    #[arg(add = ArgValueCandidates::new(completion::names))]
    pub(super) peer: Option<PeerName>,
}

#[cfg(unix)]
#[derive(Debug, clap::Args)]
pub(super) struct EventsArgs {
    /// A peer that made this computer an admin; without one, the node of this computer
    #[arg(add = ArgValueCandidates::new(completion::names))]
    pub(super) peer: Option<PeerName>,

    /// Only events that this holds for, as in 'laptop level=warn', see docs/dashboard.md
    #[arg(long, value_name = "FILTER", env = "PEERWAY_FILTER", value_parser = event_filter)]
    pub(super) filter: Option<Filter>,

    /// First so many of what happened last; a node keeps 500
    #[arg(
        long,
        value_name = "N",
        env = "PEERWAY_LAST",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub(super) last: usize,
}

#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    /// A peer that made this computer an admin; without one, the node of this computer
    #[cfg(unix)]
    #[arg(add = ArgValueCandidates::new(completion::names))]
    pub(super) peer: Option<PeerName>,

    /// One line, for status bars
    #[arg(long, env = "PEERWAY_LINE", value_parser = FalseyValueParser::new())]
    pub(super) line: bool,

    /// Go on, and print it again each time that it has changed
    #[arg(long, env = "PEERWAY_WATCH", value_parser = FalseyValueParser::new())]
    pub(super) watch: bool,
}

#[cfg(unix)]
#[derive(Debug, clap::Args)]
pub(super) struct SwarmArgs {
    /// Name of a group; without one, all that are shared
    pub(super) group: Option<Name>,

    /// Show it again every two seconds
    #[arg(long, env = "PEERWAY_WATCH", value_parser = FalseyValueParser::new())]
    pub(super) watch: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Send {
    /// Files and folders, or - for stdin; the same once more goes on where it was interrupted
    #[arg(required = true, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(super) paths: Vec<PathBuf>,

    /// Name in the address book, ticket or id of who is to have them; of a peer that was dialled before, 8 letters of its id
    #[arg(long, value_name = "PEER", env = "PEERWAY_TO", add = ArgValueCandidates::new(completion::names))]
    pub(super) to: Option<PeerName>,

    /// Show a code, and send to who types it: as without --to
    #[arg(long, env = "PEERWAY_CODE", value_parser = FalseyValueParser::new(), conflicts_with = "to")]
    pub(super) code: bool,

    /// What comes from stdin is called
    #[arg(
        long,
        value_name = "NAME",
        env = "PEERWAY_FILE_NAME",
        default_value = "stdin",
        value_parser = file_name
    )]
    pub(super) name: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct Receive {
    /// Code that the sender shows, and folder to put the files into [default: this one]
    #[arg(value_name = "CODE|DIR", num_args = 0..=2, value_hint = ValueHint::DirPath, value_parser = code_or_folder)]
    code_and_folder: Vec<String>,

    /// Take nothing but from this peer: a name in the address book, a ticket or an id
    #[arg(long, value_name = "PEER", env = "PEERWAY_FROM", add = ArgValueCandidates::new(completion::names))]
    pub(super) from: Option<PeerName>,

    /// Take what is offered without asking
    #[arg(long, env = "PEERWAY_YES", value_parser = FalseyValueParser::new())]
    pub(super) yes: bool,

    /// End after the first transfer; with a code that is so anyway
    #[arg(long, env = "PEERWAY_ONCE", value_parser = FalseyValueParser::new())]
    pub(super) once: bool,

    /// Have files that are there give way to those of the same name, which otherwise get another
    #[arg(long, env = "PEERWAY_OVERWRITE", value_parser = FalseyValueParser::new())]
    pub(super) overwrite: bool,
}

impl Receive {
    /// The code, if there is one, and the folder.
    pub(super) fn code_and_folder(&self) -> Result<(Option<Code>, PathBuf), ParseCodeError> {
        let (code, folder) = match &self.code_and_folder[..] {
            [code, folder] => (Some(code), Some(folder)),
            [either] if receive::is_like_a_code(either) => (Some(either), None),
            [folder, ..] => (None, Some(folder)),
            [] => (None, None),
        };
        let code = code.map(|code| code.parse()).transpose()?;
        Ok((code, folder.map_or_else(|| ".".into(), PathBuf::from)))
    }
}

#[cfg(all(feature = "demo", unix))]
#[derive(Debug, clap::Args)]
pub(super) struct GalleryArgs {
    /// What to play; without one, all are listed
    pub(super) name: Option<System>,
}

#[cfg(all(feature = "demo", target_os = "linux"))]
#[derive(Debug, clap::Args)]
#[command(after_help = kinds_of_homes())]
pub(super) struct Lab {
    /// Home of the node that dials
    pub(super) a: Access,

    /// Home of the node that is dialled
    pub(super) b: Access,

    /// One-way delay of each home's line, in milliseconds
    #[arg(long, value_name = "MS", env = "PEERWAY_DELAY", default_value = "10", value_parser = value_parser!(u64).range(..=2000))]
    pub(super) delay: u64,

    /// Packets that each home's line loses in either direction, in percent
    #[arg(long, value_name = "PERCENT", env = "PEERWAY_LOSS", default_value = "0", value_parser = percent)]
    pub(super) loss: f64,
}

#[cfg(all(feature = "demo", target_os = "linux"))]
fn kinds_of_homes() -> String {
    let mut text = "A and B are one of\n".to_owned();
    for nat in NatKind::ALL {
        text += &format!("  {:24}{}\n", nat.name(), nat.description());
    }
    text + "with +ipv6 behind it for IPv6 beside it, or\n  ipv6-only               IPv6 behind a firewall, no IPv4"
}

#[cfg(unix)]
#[derive(Debug, clap::Args)]
pub(super) struct LogsArgs {
    /// So many lines of the end
    #[arg(
        short = 'n',
        long,
        value_name = "N",
        env = "PEERWAY_LINES",
        default_value = "100"
    )]
    pub(super) lines: usize,

    /// Go on with what is written from now on
    #[arg(short, long, env = "PEERWAY_FOLLOW", value_parser = FalseyValueParser::new())]
    pub(super) follow: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct ConfigArgs {
    /// Which of the files
    #[arg(value_name = "WHAT")]
    pub(super) what: Shown,
}

/// What the dashboard is made one's own by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Shown {
    /// Its colours, theme.toml
    Theme,
    /// Its keys, keys.toml
    Keys,
}

#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// Folder to write a page for each command to
    #[arg(value_name = "DIR")]
    pub(super) folder: Option<PathBuf>,
}

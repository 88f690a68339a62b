//! What can be written for the commands about shared content.

#[cfg(unix)]
use std::net::SocketAddr;
use std::{path::PathBuf, str::FromStr, time::Duration};

use clap::{ValueHint, builder::FalseyValueParser};
#[cfg(unix)]
use clap_complete::ArgValueCandidates;
use peerway_swarm::share::Link;

#[cfg(unix)]
use super::{PeerName, completion, seconds, values::server};
use super::{size, time, values::upload_limit};
#[cfg(unix)]
use crate::{cli::get::named::Named, gateway::origin::OriginUrl};
use crate::{
    kept::LimitPart,
    shares::{ParseWantedError, Wanted},
};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ShareArgs {
    /// Files and folders, which stay where they are
    #[arg(required_unless_present_any = ["list", "stop", "limit"], value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(in crate::cli) paths: Vec<PathBuf>,

    /// Let whoever has the link and is not blocked have them [default: peers of the address book]
    #[arg(long, env = "PEERWAY_PUBLIC", value_parser = FalseyValueParser::new())]
    pub(in crate::cli) public: bool,

    /// Let those who may have them find them by their names, and those of the files in folders
    #[arg(long, env = "PEERWAY_SEARCHABLE", value_parser = FalseyValueParser::new())]
    pub(in crate::cli) searchable: bool,

    /// Share these folders anew whenever they change, from now on and whenever a node runs here
    #[arg(long, env = "PEERWAY_WATCH_FOLDERS", value_parser = FalseyValueParser::new(), conflicts_with_all = ["list", "stop", "limit"], requires = "paths")]
    pub(in crate::cli) watch: bool,

    /// Send no more of all that is shared, as in 2mbit or 08:00-23:00=2mbit, from now on and whenever a node runs here; may be repeated; `none` takes it away
    #[arg(long, value_name = "[HOURS=]RATE", env = "PEERWAY_UPLOAD_LIMIT", value_delimiter = ',', value_parser = upload_limit)]
    pub(in crate::cli) limit: Vec<Option<LimitPart>>,

    /// List what the node shares whenever it runs
    #[arg(long, env = "PEERWAY_LIST", value_parser = FalseyValueParser::new(), conflicts_with_all = ["paths", "stop"])]
    pub(in crate::cli) list: bool,

    /// Share something no more, and watch it no more, by its name, its folder, or eight digits of its hash or more
    #[arg(
        long,
        value_name = "WHICH",
        env = "PEERWAY_STOP",
        conflicts_with = "paths"
    )]
    pub(in crate::cli) stop: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct GetArgs {
    /// Link that `peerway share` printed, or a hash: peers of the address book and members of groups are asked who has it; or PEER/NAME for what a peer lets this computer find
    #[arg(value_name = "WHAT")]
    pub(in crate::cli) what: Sought,

    /// Folder to put it into, or what it is to be called [default: this folder, and the name that the link says]
    #[arg(short, long, value_name = "PATH", env = "PEERWAY_OUTPUT", value_hint = ValueHint::AnyPath)]
    pub(in crate::cli) output: Option<PathBuf>,

    /// Have what is there give way to what comes under the same name, which otherwise gets another
    #[arg(long, env = "PEERWAY_OVERWRITE", value_parser = FalseyValueParser::new())]
    pub(in crate::cli) overwrite: bool,

    /// Go on serving it to others who fetch it, until Ctrl-C
    #[arg(long, env = "PEERWAY_STAY", value_parser = FalseyValueParser::new())]
    pub(in crate::cli) stay: bool,

    /// Of PEER/NAME, fetch each later state over the one before, until Ctrl-C; what went there stays here
    #[cfg(unix)]
    #[arg(long, env = "PEERWAY_FOLLOW", value_parser = FalseyValueParser::new(), conflicts_with = "stay")]
    pub(in crate::cli) follow: bool,
}

/// What is to be fetched.
#[derive(Clone, Debug)]
pub(in crate::cli) enum Sought {
    Wanted(Wanted),
    #[cfg(unix)]
    Named(Named),
}

impl FromStr for Sought {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        #[cfg(unix)]
        if text.contains('/') {
            let named = text.parse::<Named>();
            return named.map(Self::Named).map_err(|error| error.to_string());
        }
        text.parse().map(Self::Wanted).map_err(|error| match error {
            ParseWantedError::Neither => format!("{error}, or PEER/NAME, as in nas/Public"),
            ParseWantedError::Link(_) => error.to_string(),
        })
    }
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct PinArgs {
    /// Link that `peerway share` printed
    pub(in crate::cli) link: Link,

    /// What it is called here [default: as in the link]
    #[arg(long, value_name = "NAME", env = "PEERWAY_PIN_NAME")]
    pub(in crate::cli) name: Option<String>,

    /// How long it is kept, as in 12h or 30d [default: until `peerway unpin`]
    #[arg(long = "for", value_name = "TIME", env = "PEERWAY_FOR", value_parser = time)]
    pub(in crate::cli) time: Option<Duration>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct UnpinArgs {
    /// Its name, eight digits of its hash or more, or the link that was pinned
    #[arg(add = ArgValueCandidates::new(completion::pins))]
    pub(in crate::cli) which: String,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct GcArgs {
    /// Free all that is not pinned, and not only what is too much and was not used for a day
    #[arg(long, env = "PEERWAY_ALL", value_parser = FalseyValueParser::new())]
    pub(in crate::cli) all: bool,

    /// Keep so much from now on, as in 500M, 20G or 1T [default: 10 GiB]
    #[arg(long, value_name = "SIZE", env = "PEERWAY_QUOTA", value_parser = size)]
    pub(in crate::cli) quota: Option<u64>,
}

#[cfg(unix)]
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct GatewayArgs {
    /// Address of this computer where programs find it, as in 127.0.0.1:8080 or 8080; port 0 chooses a free one
    #[arg(long, value_name = "ADDR", env = "PEERWAY_LISTEN", default_value = "127.0.0.1:8080", value_parser = server)]
    pub(in crate::cli) listen: SocketAddr,

    /// HTTP server that has content under its hash, as URL/HASH, and is asked for what no peer gives within five seconds
    #[arg(long, value_name = "URL", env = "PEERWAY_ORIGIN", value_hint = ValueHint::Url)]
    pub(in crate::cli) origin: Option<OriginUrl>,

    /// Show the site of this feed, one that is followed here, at /: what it holds comes from peers, and the rest, if there is an origin, from URL/PATH
    #[arg(long, value_name = "FEED", env = "PEERWAY_GATEWAY_SITE", add = ArgValueCandidates::new(completion::feeds))]
    pub(in crate::cli) site: Option<String>,
}

#[cfg(unix)]
#[derive(Debug, clap::Args)]
#[command(after_help = QUERIES)]
pub(in crate::cli) struct SearchArgs {
    /// Words of its name, five at most
    #[arg(required = true, value_name = "WORD")]
    pub(in crate::cli) words: Vec<String>,

    /// Ask those in this group alone, one of the address book or one that was joined
    #[arg(long, value_name = "GROUP", env = "PEERWAY_GROUP", add = ArgValueCandidates::new(completion::groups))]
    pub(in crate::cli) group: Option<String>,

    /// Seconds to wait for answers, ten at most [default: 3]
    #[arg(long, value_name = "S", env = "PEERWAY_TIMEOUT", value_parser = seconds)]
    pub(in crate::cli) timeout: Option<Duration>,
}

#[cfg(unix)]
const QUERIES: &str = "\
All words have to be in a name, in any order; one of three letters or more also finds
words that begin with it. Beside words there may be
  '\"a phrase\"'    words that stand one after the other
  'sea -snow'     without the second word; or after --, as in: sea -- -snow
  kind:KIND       file, folder, audio, video, image, text or archive
  size:10M-2G     files of such a size; size:10M- and size:-2G are open to one side";

#[cfg(unix)]
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct BrowseArgs {
    /// Name, ticket or id of the peer, or 8 letters of its id
    #[arg(add = ArgValueCandidates::new(completion::names))]
    pub(in crate::cli) peer: PeerName,
}

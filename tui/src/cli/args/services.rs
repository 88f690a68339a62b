//! Arguments of the commands that expose services and use those of peers.

use std::net::SocketAddr;

use clap::{Subcommand, builder::FalseyValueParser};
use clap_complete::ArgValueCandidates;
#[cfg(all(feature = "subnet", target_os = "linux"))]
use peerway::services::subnet::IpNet;
use peerway::services::tunnel::ServiceName;

use super::{
    Allowed, Limited, Offered, PeerName, Service,
    values::{allowed, limited, offered, server, service_name},
};
use crate::{
    cli::completion,
    kept::{Local, Remote},
};
#[cfg(all(feature = "subnet", target_os = "linux"))]
use crate::{kept::Whom, linking::range};

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(in crate::cli) struct Expose {
    /// What `up` is to expose whenever it runs; without one, the servers are exposed until Ctrl-C
    #[command(subcommand)]
    pub(in crate::cli) action: Option<ExposeAction>,

    /// NAME=SERVER, as in web=8080, ssh=nas.lan:22, dns=udp://127.0.0.1:53 or x=unix:/PATH, or SERVER alone with a --name
    #[arg(required = true, value_name = "SERVER", value_parser = offered)]
    pub(in crate::cli) servers: Vec<Offered>,

    /// Name under which peers ask for a server that is given without one; one for each, in the same order
    #[arg(
        long = "name",
        value_name = "NAME",
        env = "PEERWAY_NAME",
        value_delimiter = ',',
        value_parser = service_name
    )]
    pub(in crate::cli) names: Vec<ServiceName>,

    #[command(flatten)]
    pub(in crate::cli) terms: Terms,

    /// End with an error if no relay can be reached, instead of serving this network and trying on
    #[arg(long, env = "PEERWAY_FAIL_FAST", value_parser = FalseyValueParser::new())]
    pub(in crate::cli) fail_fast: bool,

    /// Do not answer ping and speed
    #[arg(long, env = "PEERWAY_NO_DIAGNOSTICS", value_parser = FalseyValueParser::new())]
    pub(in crate::cli) no_diagnostics: bool,
}

/// What servers are exposed for.
#[derive(Debug, Default, clap::Args)]
pub(in crate::cli) struct Terms {
    /// Who may reach them, or NAME=WHO for one: a name or @group of the address book; may be repeated [default: whoever is let in]
    #[arg(long, value_name = "WHO", env = "PEERWAY_ALLOW", value_delimiter = ',', value_parser = allowed)]
    pub(in crate::cli) allow: Vec<Allowed>,

    /// What may pass each way, of all peers together, as in 500kbit or 20mbit, or NAME=RATE for one; may be repeated [default: no limit]
    #[arg(long = "limit", value_name = "RATE", env = "PEERWAY_LIMIT", value_delimiter = ',', value_parser = limited)]
    pub(in crate::cli) limits: Vec<Limited>,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ExposeAction {
    /// Have `up` expose servers whenever it runs, and the node that runs here from now on
    Add(ExposeAdd),
    /// List what `up` exposes whenever it runs, and how it fares
    List,
    /// Have servers exposed no more; what is open to them ends
    Remove {
        /// Name of each
        #[arg(required = true, value_name = "NAME", value_parser = service_name, add = ArgValueCandidates::new(completion::exposed))]
        names: Vec<ServiceName>,
    },
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ExposeAdd {
    /// NAME=SERVER, as in web=8080, ssh=nas.lan:22, dns=udp://127.0.0.1:53 or x=unix:/PATH
    #[arg(required = true, value_name = "NAME=SERVER", value_parser = offered)]
    pub(in crate::cli) servers: Vec<Offered>,

    #[command(flatten)]
    pub(in crate::cli) terms: Terms,
}

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(in crate::cli) struct Forward {
    /// What `up` is to forward whenever it runs; without one, the service is forwarded until Ctrl-C
    #[command(subcommand)]
    pub(in crate::cli) action: Option<ForwardAction>,

    /// Name, ticket or id of the peer, as for ping, and the name of the server there
    #[arg(required = true, value_name = "PEER/NAME")]
    pub(in crate::cli) service: Option<Service>,

    /// Local address to be reached at, as in 127.0.0.1:9000 or 9000, port 0 for a free one; udp://ADDR for UDP alone; unix:/PATH
    #[arg(long, required = true, value_name = "ADDR", env = "PEERWAY_LISTEN")]
    pub(in crate::cli) listen: Option<Local>,

    /// End with an error if the peer or its server cannot be reached at first, instead of trying on
    #[arg(long, env = "PEERWAY_FAIL_FAST", value_parser = FalseyValueParser::new())]
    pub(in crate::cli) fail_fast: bool,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ForwardAction {
    /// Have `up` lead a local address to a server of a peer whenever it runs, and the node that runs here from now on
    Add {
        /// Name, ticket or id of the peer, as for ping, and the name of the server there
        #[arg(value_name = "PEER/NAME")]
        service: Remote,

        /// Local address to be reached at, as in 127.0.0.1:9000 or 9000; udp://ADDR for UDP alone; unix:/PATH
        #[arg(long, value_name = "ADDR", env = "PEERWAY_LISTEN")]
        listen: Local,
    },
    /// List what `up` forwards whenever it runs, and how it fares
    List,
    /// Have servers forwarded no more; what is open to them ends
    Remove {
        /// Each as it was added
        #[arg(required = true, value_name = "PEER/NAME", add = ArgValueCandidates::new(completion::forwarded))]
        services: Vec<Remote>,
    },
}

#[cfg(all(feature = "subnet", target_os = "linux"))]
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "A peer that is called add, list or remove is named behind --, as in `peerway link -- list`."
)]
pub(in crate::cli) struct Link {
    /// What `up` is to link whenever it runs; without one, the networks are linked until Ctrl-C
    #[command(subcommand)]
    pub(in crate::cli) action: Option<LinkAction>,

    /// Name in the address book, ticket or id of each; they have to link with this computer too
    #[arg(required = true, value_name = "PEER", add = ArgValueCandidates::new(completion::names))]
    pub(in crate::cli) peers: Vec<PeerName>,

    #[command(flatten)]
    pub(in crate::cli) ranges: Ranges,
}

/// What each side reaches of the other.
#[cfg(all(feature = "subnet", target_os = "linux"))]
#[derive(Debug, Default, clap::Args)]
pub(in crate::cli) struct Ranges {
    /// Range of this home that they may reach, as in 192.168.7.0/24; may be repeated
    #[arg(long, value_name = "NET", env = "PEERWAY_ADVERTISE", value_delimiter = ',', value_parser = range)]
    pub(in crate::cli) advertise: Vec<IpNet>,

    /// Range of theirs to reach, if they advertise it; may be repeated
    #[arg(long, value_name = "NET", env = "PEERWAY_ACCEPT", value_delimiter = ',', value_parser = range)]
    pub(in crate::cli) accept: Vec<IpNet>,
}

#[cfg(all(feature = "subnet", target_os = "linux"))]
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum LinkAction {
    /// Have `up` link networks whenever it runs, and the node that runs here from now on
    Add {
        /// Name in the address book, ticket or id of each; they have to link with this computer too
        #[arg(required = true, value_name = "PEER", add = ArgValueCandidates::new(completion::names))]
        peers: Vec<Whom>,

        #[command(flatten)]
        ranges: Ranges,
    },
    /// List what `up` links whenever it runs, and how it fares
    List,
    /// Have networks linked no more; the links with others stay
    Remove {
        /// Each as it was added
        #[arg(required = true, value_name = "PEER", add = ArgValueCandidates::new(completion::linked))]
        peers: Vec<Whom>,
    },
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Services {
    /// Name in the address book, ticket or id
    #[arg(value_name = "PEER", add = ArgValueCandidates::new(completion::names))]
    pub(in crate::cli) peer: PeerName,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Pipe {
    /// Name, ticket or id of the peer, as for ping, and the name of the service there
    #[arg(value_name = "PEER/NAME")]
    pub(in crate::cli) service: Service,
}

#[cfg(unix)]
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Ssh {
    /// Name in the address book, ticket or id, with USER@ before it if that is another one there
    #[arg(value_name = "[USER@]PEER", value_parser = login)]
    pub(in crate::cli) login: Login,

    /// Name of the service, if it is not ssh
    #[arg(long, value_name = "NAME", env = "PEERWAY_SSH_NAME", default_value = "ssh", value_parser = service_name)]
    pub(in crate::cli) name: ServiceName,

    /// What ssh is to be given besides
    #[arg(
        value_name = "ARG",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub(in crate::cli) args: Vec<String>,
}

/// As whom, and where.
#[cfg(unix)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Login {
    pub(in crate::cli) user: Option<String>,
    pub(in crate::cli) peer: PeerName,
    /// The peer as it is written.
    pub(in crate::cli) text: String,
}

#[cfg(unix)]
fn login(text: &str) -> Result<Login, super::values::ArgError> {
    let (user, peer) = match text.rsplit_once('@') {
        Some((user, peer)) => (Some(user.to_owned()), peer),
        None => (None, text),
    };
    Ok(Login {
        user,
        text: peer.to_owned(),
        peer: peer.parse()?,
    })
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Proxy {
    /// Address of this computer where programs find it, as in 127.0.0.1:1080 or 1080; port 0 chooses a free one
    #[arg(long, value_name = "ADDR", env = "PEERWAY_LISTEN", default_value = "127.0.0.1:1080", value_parser = server)]
    pub(in crate::cli) listen: SocketAddr,
}

//! Arguments of the commands that use services of peers.

use std::net::SocketAddr;

use clap_complete::ArgValueCandidates;
use peerway::services::tunnel::ServiceName;

use super::{
    PeerName, Service,
    values::{server, service_name},
};
use crate::cli::completion;

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

//! What can be written for the commands about the address book, and who may come into it.

use std::time::Duration;

use clap::{ArgGroup, builder::FalseyValueParser, value_parser};
use clap_complete::ArgValueCandidates;

use super::{
    PeerName,
    values::{peer_filter, time},
};
use crate::{
    book::Name,
    cli::completion,
    dash::{Columns, filter::Filter},
};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct PeersArgs {
    /// Only peers that this holds for, as in 'path=relay rtt>100ms', see docs/dashboard.md
    #[arg(long, value_name = "FILTER", env = "PEERWAY_FILTER", value_parser = peer_filter)]
    pub(in crate::cli) filter: Option<Filter>,

    /// These columns of those who are linked, in this order, as 'name path rtt why', instead of what the address book says
    #[arg(long, value_name = "COLUMNS", env = "PEERWAY_COLUMNS")]
    pub(in crate::cli) columns: Option<Columns>,

    /// Only those of the address book that belong to this group
    #[arg(long, value_name = "GROUP", env = "PEERWAY_GROUP")]
    pub(in crate::cli) group: Option<Name>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Add {
    /// Name of up to 32 characters
    pub(in crate::cli) name: Name,

    /// Its ticket or id; of a peer that was dialled before, 8 letters of its id
    pub(in crate::cli) peer: PeerName,

    /// What else is to be remembered of it
    #[arg(long, value_name = "TEXT", env = "PEERWAY_NOTE")]
    pub(in crate::cli) note: Option<String>,

    /// Group that it belongs to from now on; may be repeated
    #[arg(
        long = "group",
        value_name = "GROUP",
        env = "PEERWAY_GROUPS",
        value_delimiter = ','
    )]
    pub(in crate::cli) groups: Vec<Name>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct AdminArgs {
    /// Name, ticket or id, or 8 letters of its id
    #[arg(add = ArgValueCandidates::new(completion::names))]
    pub(in crate::cli) peer: PeerName,

    /// What it may do: see what you see but for groups and shares, do what you can but for ending the node, groups, files and asking others, or neither
    pub(in crate::cli) rights: Rights,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum Rights {
    Read,
    Full,
    None,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Rename {
    /// Name, ticket or id, or 8 letters of its id
    #[arg(add = ArgValueCandidates::new(completion::names))]
    pub(in crate::cli) peer: PeerName,

    /// New name, of up to 32 characters
    pub(in crate::cli) name: Name,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Remove {
    /// Name, ticket or id, or 8 letters of its id
    #[arg(add = ArgValueCandidates::new(completion::names))]
    pub(in crate::cli) peer: PeerName,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct InviteArgs {
    /// What whoever comes is called in the address book [default: as it wishes]
    #[arg(long, value_name = "NAME", env = "PEERWAY_PEER_NAME")]
    pub(in crate::cli) name: Option<Name>,

    /// How long it is good, as in 30m, 24h or 7d
    #[arg(long, value_name = "TIME", env = "PEERWAY_EXPIRES", default_value = "24h", value_parser = time)]
    pub(in crate::cli) expires: Duration,

    /// How many may come with it
    #[arg(long, value_name = "N", env = "PEERWAY_USES", default_value = "1", value_parser = value_parser!(u32).range(1..=100))]
    pub(in crate::cli) uses: u32,

    /// Draw it as a QR code too
    #[arg(long, env = "PEERWAY_QR", value_parser = FalseyValueParser::new())]
    pub(in crate::cli) qr: bool,

    /// List the invitations that are open, without what lets in
    #[arg(long, env = "PEERWAY_LIST", value_parser = FalseyValueParser::new(), conflicts_with = "revoke")]
    pub(in crate::cli) list: bool,

    /// Take an invitation back, by the 8 letters that are listed, or all for one name
    #[arg(long, value_name = "WHICH", env = "PEERWAY_REVOKE")]
    pub(in crate::cli) revoke: Option<String>,
}

#[cfg(unix)]
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Accept {
    /// Id of one who asks, 8 letters of it, or its name in the address book; without one, those who ask are listed
    #[arg(add = ArgValueCandidates::new(completion::names))]
    pub(in crate::cli) peer: Option<PeerName>,

    /// What it is called in the address book [default: 8 letters of its id]
    #[arg(
        long,
        value_name = "NAME",
        env = "PEERWAY_PEER_NAME",
        requires = "peer"
    )]
    pub(in crate::cli) name: Option<Name>,
}

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("whom").required(true).args(["peer", "strangers"]))]
pub(in crate::cli) struct TrustArgs {
    /// Name, ticket or id, or 8 letters of its id
    #[arg(add = ArgValueCandidates::new(completion::names))]
    pub(in crate::cli) peer: Option<PeerName>,

    /// Everybody who is not in the address book
    #[arg(long, env = "PEERWAY_STRANGERS", value_parser = FalseyValueParser::new())]
    pub(in crate::cli) strangers: bool,
}

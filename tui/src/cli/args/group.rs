//! What `peerway group` takes.

use std::time::Duration;

use clap::{Subcommand, value_parser};
use clap_complete::ArgValueCandidates;
use peerway_swarm::group::Role;

use super::{PeerName, completion, time, values::count};
use crate::book::Name;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct GroupArgs {
    /// Without one, the groups are listed
    #[command(subcommand)]
    pub(in crate::cli) action: Option<GroupAction>,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum GroupAction {
    /// Make peers members of a group of the address book, or of one that this node is an admin of
    Add(GroupMembers),
    /// Take members out of a group
    Remove(GroupMembers),
    /// Tell the members of a group how this computer is linked, and hear it from those who do so too; off until it is switched on
    Share {
        /// Name of the group, the same at all members
        #[arg(add = ArgValueCandidates::new(completion::groups))]
        group: Name,

        /// Whether they are told
        state: Switch,
    },
    /// Make a group that others can join
    #[cfg(unix)]
    Create {
        /// What it is called, in up to 32 characters
        group: Name,
    },
    /// Make an invite into a group
    #[cfg(unix)]
    Invite(GroupInviteArgs),
    /// Join a group
    #[cfg(unix)]
    Join {
        /// The invite that a member gave you
        #[arg(env = "PEERWAY_INVITE", hide_env_values = true)]
        invite: String,
    },
    /// Show who belongs to a group that this node has joined
    #[cfg(unix)]
    Members {
        /// Name of the group, or 8 letters of its id
        #[arg(add = ArgValueCandidates::new(completion::joined))]
        group: String,
    },
    /// Write to the members of a group
    #[cfg(unix)]
    Post(GroupPost),
    /// Show what was written in a group
    #[cfg(unix)]
    Read(GroupRead),
    /// Show what is written in a group as it comes
    #[cfg(unix)]
    Follow {
        /// Name of the group, or 8 letters of its id
        #[arg(add = ArgValueCandidates::new(completion::joined))]
        group: String,
    },
    /// Leave a group, and forget what was written in it
    #[cfg(unix)]
    Leave {
        /// Name of the group, or 8 letters of its id
        #[arg(add = ArgValueCandidates::new(completion::joined))]
        group: String,
    },
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct GroupMembers {
    /// Name of the group, of up to 32 characters, or 8 letters of the id of one that was joined
    #[arg(add = ArgValueCandidates::new(completion::groups))]
    pub(in crate::cli) group: Name,

    /// Name, ticket or id of each, or 8 letters of its id
    #[arg(required = true, value_name = "PEER", add = ArgValueCandidates::new(completion::names))]
    pub(in crate::cli) peers: Vec<PeerName>,

    /// What they may do in a group that this node is an admin of [default: member]
    #[arg(long, env = "PEERWAY_ROLE", value_name = "ROLE")]
    pub(in crate::cli) role: Option<RoleArg>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct GroupInviteArgs {
    /// Name of the group, or 8 letters of its id
    #[arg(add = ArgValueCandidates::new(completion::joined))]
    pub(in crate::cli) group: String,

    /// What whoever joins may do
    #[arg(
        long,
        env = "PEERWAY_ROLE",
        value_name = "ROLE",
        default_value = "member"
    )]
    pub(in crate::cli) role: RoleArg,

    /// How long it is good, as in 30m, 24h or 7d
    #[arg(long, value_name = "TIME", env = "PEERWAY_EXPIRES", default_value = "7d", value_parser = time)]
    pub(in crate::cli) expires: Duration,

    /// How many may join with it
    #[arg(long, value_name = "N", env = "PEERWAY_USES", default_value = "1", value_parser = value_parser!(u32).range(1..=10_000))]
    pub(in crate::cli) uses: u32,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct GroupPost {
    /// Name of the group, or 8 letters of its id
    #[arg(add = ArgValueCandidates::new(completion::joined))]
    pub(in crate::cli) group: String,

    /// What is written, of up to 3,800 bytes, or - for stdin
    #[arg(required = true)]
    pub(in crate::cli) text: Vec<String>,

    /// It answers this post: the first 8 or more letters of its id, as `group read` shows it
    #[arg(long, value_name = "ID", env = "PEERWAY_REPLY")]
    pub(in crate::cli) reply: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct GroupRead {
    /// Name of the group, or 8 letters of its id
    #[arg(add = ArgValueCandidates::new(completion::joined))]
    pub(in crate::cli) group: String,

    /// The newest so many
    #[arg(long, value_name = "N", env = "PEERWAY_LAST", default_value = "50", value_parser = count)]
    pub(in crate::cli) last: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum RoleArg {
    Reader,
    Member,
    Admin,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Reader => Self::Reader,
            RoleArg::Member => Self::Member,
            RoleArg::Admin => Self::Admin,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum Switch {
    On,
    Off,
}

//! What can be written for `peerway feed`.

use std::path::PathBuf;

use clap::{Subcommand, ValueHint};
use clap_complete::ArgValueCandidates;

use super::{completion, values::count};
use crate::book::Name;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct FeedArgs {
    /// Without one, the feeds are listed
    #[command(subcommand)]
    pub(in crate::cli) action: Option<FeedAction>,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum FeedAction {
    /// Write to whoever follows; the first time makes the feed and prints how to follow it
    Post(FeedPost),
    /// Follow somebody's feed: all that is kept of it, and what is written from now on
    Follow(FeedFollow),
    /// Follow a feed no more, and forget what was written in it
    Unfollow {
        /// What the feed is called here, or 8 letters of its id
        #[arg(add = ArgValueCandidates::new(completion::feeds))]
        feed: String,
    },
    /// Show what was written, the newest last
    Read(FeedRead),
    /// Show who writes a feed, how many follow it, and the link by which others do
    Profile {
        /// What the feed is called here, or 8 letters of its id [default: your own]
        #[arg(add = ArgValueCandidates::new(completion::feeds))]
        feed: Option<String>,
    },
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct FeedPost {
    /// What is written, of up to 3,800 bytes, or - for stdin
    #[arg(required_unless_present = "site")]
    pub(in crate::cli) text: Vec<String>,

    /// Share this folder and have it be the feed's site, which `peerway gateway --site` of whoever follows shows; once more after it changed
    #[arg(long, value_name = "DIR", env = "PEERWAY_SITE", conflicts_with = "text", value_hint = ValueHint::DirPath)]
    pub(in crate::cli) site: Option<PathBuf>,

    /// What your feed is called, of up to 64 bytes, the first time [default: feed- and letters of your id]
    #[arg(long, value_name = "NAME", env = "PEERWAY_NAME")]
    pub(in crate::cli) name: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct FeedFollow {
    /// The link that its writer, or anybody who follows it, gave you
    #[arg(env = "PEERWAY_FEED", hide_env_values = true)]
    pub(in crate::cli) link: String,

    /// What the feed is called here [default: as its writer calls it]
    #[arg(long = "as", value_name = "NAME", env = "PEERWAY_AS")]
    pub(in crate::cli) name: Option<Name>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct FeedRead {
    /// What the feed is called here, or 8 letters of its id [default: all feeds]
    #[arg(add = ArgValueCandidates::new(completion::feeds))]
    pub(in crate::cli) feed: Option<String>,

    /// The newest so many
    #[arg(long, value_name = "N", env = "PEERWAY_LAST", default_value = "50", value_parser = count)]
    pub(in crate::cli) last: usize,
}

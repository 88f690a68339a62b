//! What can be written for the commands about shared content.

use std::path::PathBuf;

use clap::{ValueHint, builder::FalseyValueParser};
use peerway_swarm::share::Link;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ShareArgs {
    /// Files and folders, which stay where they are
    #[arg(required_unless_present_any = ["list", "stop"], value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(in crate::cli) paths: Vec<PathBuf>,

    /// Let whoever has the link and is not blocked have them [default: peers of the address book]
    #[arg(long, env = "PEERWAY_PUBLIC", value_parser = FalseyValueParser::new())]
    pub(in crate::cli) public: bool,

    /// List what the node shares whenever it runs
    #[arg(long, env = "PEERWAY_LIST", value_parser = FalseyValueParser::new(), conflicts_with_all = ["paths", "stop"])]
    pub(in crate::cli) list: bool,

    /// Share something no more, by its name, or eight digits of its hash or more
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
    /// Link that `peerway share` printed
    pub(in crate::cli) link: Link,

    /// Folder to put it into, or what it is to be called [default: this folder, and the name that the link says]
    #[arg(short, long, value_name = "PATH", env = "PEERWAY_OUTPUT", value_hint = ValueHint::AnyPath)]
    pub(in crate::cli) output: Option<PathBuf>,

    /// Have what is there give way to what comes under the same name, which otherwise gets another
    #[arg(long, env = "PEERWAY_OVERWRITE", value_parser = FalseyValueParser::new())]
    pub(in crate::cli) overwrite: bool,

    /// Go on serving it to others who fetch it, until Ctrl-C
    #[arg(long, env = "PEERWAY_STAY", value_parser = FalseyValueParser::new())]
    pub(in crate::cli) stay: bool,
}

//! How the dashboard is shown.

use clap::builder::FalseyValueParser;

use crate::dash::Options;

#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Screen {
    /// The dashboard changes nothing: neither links nor the address book
    #[arg(long, env = "PEERWAY_READ_ONLY", value_parser = FalseyValueParser::new())]
    pub(super) read_only: bool,
}

impl Screen {
    /// The dashboard's options that are no matter of the node.
    pub(super) fn options(&self) -> Options {
        Options {
            read_only: self.read_only,
            ..Options::default()
        }
    }
}

//! What can be written for `peerway transfers`.

use crate::transfers::Order;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct TransfersArgs {
    #[command(subcommand)]
    pub(in crate::cli) action: Option<TransfersAction>,
}

#[derive(Clone, Debug, clap::Subcommand)]
pub(in crate::cli) enum TransfersAction {
    /// Have nothing more of it move until it is resumed
    Pause(WhichTransfers),
    /// Let it go on
    Resume(WhichTransfers),
    /// End it, which the other side is told; what is there stays for another try
    Cancel(WhichTransfers),
}

#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct WhichTransfers {
    /// Number that `peerway transfers` shows
    #[arg(required = true, value_name = "N", value_parser = number)]
    pub(in crate::cli) numbers: Vec<u64>,
}

fn number(text: &str) -> Result<u64, &'static str> {
    text.parse()
        .map_err(|_| "`peerway transfers` shows the number of each")
}

impl TransfersAction {
    /// What is wanted, and of which.
    pub(in crate::cli) fn order(&self) -> (Order, &[u64]) {
        match self {
            Self::Pause(which) => (Order::Pause, &which.numbers),
            Self::Resume(which) => (Order::Resume, &which.numbers),
            Self::Cancel(which) => (Order::Cancel, &which.numbers),
        }
    }
}

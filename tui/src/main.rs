//! `peerway`: links between home networks, and a live dashboard of them.

use std::process::ExitCode;

fn main() -> ExitCode {
    peerway_tui::cli::main()
}

//! `peerway`: links between home networks, and a live dashboard of them.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
use tikv_jemallocator::Jemalloc;

/// glibc keeps what peers that left have used; this one gives it back to the system within a minute.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    peerway_tui::cli::main()
}

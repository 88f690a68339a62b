//! Measures Peerway against what it is built on, side by side in one process, so that a busy machine slows both down.

#![expect(clippy::print_stdout, reason = "figures on stdout are its purpose")]

mod direct;
mod stats;
mod transfer;

use clap::{Parser, Subcommand};
#[cfg(target_os = "linux")]
use peerway_benches::loss;
use peerway_benches::{Ends, Failure, peerway_pair, quinn_pair};
use tokio::runtime::Builder;

#[derive(Parser)]
#[command(about = "Measurements of Peerway against raw quinn", version)]
struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// One stream over a direct path on loopback: throughput and CPU time, Peerway against raw quinn.
    Direct {
        /// Pairs of runs; which side goes first alternates.
        #[arg(long, default_value_t = 30)]
        pairs: usize,
        /// Megabytes per run.
        #[arg(long, default_value_t = 750)]
        megabytes: usize,
    },
    /// One stream over a line of the kernel lab with a rate, a queue and random loss, Peerway against raw quinn.
    #[cfg(target_os = "linux")]
    Loss(loss::Args),
}

fn main() -> Result<(), Failure> {
    match Args::parse().bench {
        Bench::Direct { pairs, megabytes } => {
            let ends = Ends::loopback()?;
            let here = Builder::new_current_thread().enable_all().build()?;
            here.block_on(direct::run(&ends, pairs, megabytes))
        }
        #[cfg(target_os = "linux")]
        Bench::Loss(args) => loss::run(&args, &[&loss::Peerway, &loss::Quinn]),
    }
}

//! Measures Peerway against what it is built on, side by side in one process, so that a busy machine slows both down.

#![expect(clippy::print_stdout, reason = "figures on stdout are its purpose")]

mod direct;
mod peerway_pair;
mod quinn_pair;
mod stats;
mod transfer;

use std::{error::Error, io};

use clap::{Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};

/// What may go wrong in a measurement: it only ends it.
type Failure = Box<dyn Error + Send + Sync>;

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
}

/// Two computers: a runtime of one thread for each end.
struct Ends {
    sending: Runtime,
    receiving: Runtime,
}

impl Ends {
    fn new() -> io::Result<Self> {
        let runtime = || {
            Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
        };
        Ok(Self {
            sending: runtime()?,
            receiving: runtime()?,
        })
    }
}

fn main() -> Result<(), Failure> {
    let ends = Ends::new()?;
    let here = Builder::new_current_thread().enable_all().build()?;
    here.block_on(async {
        match Args::parse().bench {
            Bench::Direct { pairs, megabytes } => direct::run(&ends, pairs, megabytes).await,
        }
    })
}

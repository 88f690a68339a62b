//! Measures Peerway against iroh and the kernel's TCP over the same lines, and its relay against iroh's.

mod iroh_pair;
mod relayed;
mod tcp_pair;

use clap::{Parser, Subcommand};
use peerway_benches::{Failure, loss};

#[derive(Parser)]
#[command(
    about = "Measurements of Peerway against iroh and the kernel's TCP",
    version
)]
struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// One stream over a line of the kernel lab with a rate, a queue and random loss.
    Loss(loss::Args),
    /// One stream through a relay that has one processor, which it shares with one of the ends, on loopback.
    Relay(relayed::Args),
    /// The relay of a measurement.
    #[command(hide = true)]
    Serve { whose: relayed::Whose },
}

fn main() -> Result<(), Failure> {
    match Args::parse().bench {
        Bench::Loss(args) => loss::run(
            &args,
            &[
                &loss::Peerway::ONE,
                &tcp_pair::KernelTcp::BBR,
                &tcp_pair::KernelTcp::CUBIC,
                &iroh_pair::Iroh,
                &loss::Quinn,
            ],
        ),
        Bench::Relay(args) => relayed::run(&args),
        Bench::Serve { whose } => relayed::serve(whose),
    }
}

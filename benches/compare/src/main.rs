//! Measures Peerway against iroh and the kernel's TCP over the same lines.

mod iroh_pair;
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
}

fn main() -> Result<(), Failure> {
    let Bench::Loss(args) = Args::parse().bench;
    loss::run(
        &args,
        &[
            &loss::Peerway::ONE,
            &tcp_pair::KernelTcp::BBR,
            &tcp_pair::KernelTcp::CUBIC,
            &iroh_pair::Iroh,
            &loss::Quinn,
        ],
    )
}

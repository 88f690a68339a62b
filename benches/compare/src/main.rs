//! Measures Peerway against iroh, sendme and the kernel's TCP over the same lines, and its relay against iroh's.

mod content;
mod iroh_pair;
mod relayed;
mod site;
mod small;
mod tcp_pair;

use std::net::IpAddr;

use clap::{Parser, Subcommand};
use peerway_benches::{Failure, loss};
use tokio::runtime::{Builder, Runtime};

use crate::site::{Site, Whose};

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
    /// One stream through a relay that has one processor, which it shares with one of the ends.
    Relay(relayed::Args),
    /// Datagrams of 64 bytes, to and fro through such a relay.
    Small(small::Args),
    /// A file that is fetched over a line with delay, beside sendme (`cargo install sendme`).
    Content(content::Args),
    /// The relay of a measurement.
    #[command(hide = true)]
    Serve { whose: Whose, addr: IpAddr },
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
        Bench::Relay(args) => {
            let site = Site::new(&args.place)?;
            runtime()?.block_on(relayed::run(&site, &args))
        }
        Bench::Small(args) => {
            let site = Site::new(&args.place)?;
            runtime()?.block_on(small::run(&site, &args))
        }
        Bench::Content(args) => content::run(&args),
        Bench::Serve { whose, addr } => runtime()?.block_on(site::serve(whose, addr)),
    }
}

fn runtime() -> Result<Runtime, Failure> {
    Ok(Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?)
}

fn median(ratios: &mut [f64]) -> f64 {
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN)
}

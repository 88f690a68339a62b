//! Measures Peerway against what it is built on, side by side in one process, so that a busy machine slows both down.

#![expect(clippy::print_stdout, reason = "figures on stdout are its purpose")]

mod connect;
mod crowd;
mod dials;
mod direct;
mod forwarder;
mod idle;
mod lane;
#[cfg(target_os = "linux")]
mod load;
mod memory;
#[cfg(target_os = "linux")]
mod share;
#[cfg(target_os = "linux")]
mod speed;
mod stalled;
mod stats;
mod transfer;

use std::net::SocketAddr;

use clap::{Parser, Subcommand};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use peerway::RelayUrl;
#[cfg(target_os = "linux")]
use peerway_benches::loss;
use peerway_benches::{Ends, Failure, peerway_pair, process, quinn_pair};
#[cfg(target_os = "linux")]
use tikv_jemallocator::Jemalloc;
use tokio::runtime::Builder;

/// As in `peerway` and `peerway-relay`.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

#[derive(Parser)]
#[command(about = "Measurements of Peerway against raw quinn", version)]
struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    #[command(flatten)]
    Loopback(Loopback),
    /// A relay under load: idle clients in numbers, storms, floods.
    #[cfg(target_os = "linux")]
    #[command(subcommand)]
    Load(load::Load),
    /// One stream over a line of the kernel lab with a rate, a queue and random loss, Peerway against raw quinn.
    #[cfg(target_os = "linux")]
    Loss(loss::Args),
    /// A file from one node that has it and from four, beside libtorrent: speed, and processor time of all nodes.
    #[cfg(target_os = "linux")]
    Share(share::Args),
    /// A file from one node to many that have as much of an uplink each: when the last has it, and what each sent.
    #[cfg(target_os = "linux")]
    ShareCrowd(share::crowd::Args),
    /// A node of `share`.
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    ShareNode {
        role: share::Role,
        path: std::path::PathBuf,
    },
    /// Whether the service `speed` tells the truth: many runs over kernel NATs, direct and relayed, half with busy cores.
    #[cfg(target_os = "linux")]
    Speed(speed::Args),
}

/// What is measured beside a relay on loopback.
#[derive(Subcommand)]
enum Loopback {
    /// One stream over a direct path on loopback: throughput and CPU time, Peerway against raw quinn.
    Direct {
        /// Pairs of runs; which side goes first alternates.
        #[arg(long, default_value_t = 30)]
        pairs: usize,
        /// Megabytes per run.
        #[arg(long, default_value_t = 750)]
        megabytes: usize,
    },
    /// One stream through a relay on one processor: throughput and the relay's CPU time, beside raw quinn through a forwarder
    /// that only passes batches on.
    Lane {
        /// Pairs of runs, one after the other.
        #[arg(long, default_value_t = 10)]
        pairs: usize,
        /// Megabytes per run.
        #[arg(long, default_value_t = 500)]
        megabytes: usize,
        /// What the relay lets each client send, in MiB per second.
        #[arg(long)]
        rate: Option<u64>,
    },
    /// New connections per second on loopback, one and 32 at a time, on a link that stands and on links from nothing.
    Connect {
        /// Pairs of runs; which side goes first alternates.
        #[arg(long, default_value_t = 10)]
        pairs: usize,
        /// Dials per run on a link that stands.
        #[arg(long, default_value_t = 3000)]
        dials: usize,
    },
    /// Processor time that idle peers cost a server.
    Idle {
        /// Peers of each server.
        #[arg(long, default_value_t = 300)]
        peers: usize,
        /// How long to measure.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Memory that idle peers cost a server, and how much of it comes back.
    Memory {
        /// Servers of each kind.
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Peers of each server.
        #[arg(long, default_value_t = 300)]
        peers: usize,
    },
    /// A server's memory while peers come, fetch a megabyte and go.
    Churn {
        /// How long, for each server.
        #[arg(long, default_value_t = 600)]
        seconds: u64,
    },
    /// Round trips beside 0, 8, 100 and 4,000 streams of the connection that nobody reads, and what those hold.
    Stalled,
    /// Memory that idle clients cost a relay, and how much of it comes back.
    RelayClients {
        /// Relays, and servers of raw quinn.
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// Clients of each.
        #[arg(long, default_value_t = 2000)]
        clients: usize,
    },
    /// The server of the benches that need one in a process of its own.
    #[command(hide = true)]
    Serve {
        kind: crowd::Kind,
        relay: RelayUrl,
        #[arg(long)]
        rate: Option<u64>,
    },
    /// The forwarder of `lane`.
    #[command(hide = true)]
    Forward { to: SocketAddr },
}

fn main() -> Result<(), Failure> {
    match Args::parse().bench {
        Bench::Loopback(bench) => on_loopback(bench),
        #[cfg(target_os = "linux")]
        Bench::Load(load) => {
            raise_open_files()?;
            load::run(&load)
        }
        #[cfg(target_os = "linux")]
        Bench::Loss(args) => {
            let contestants: [&dyn loss::Contestant; 3] =
                [&loss::Peerway::ONE, &loss::Peerway::FOUR, &loss::Quinn];
            loss::run(&args, &contestants)
        }
        #[cfg(target_os = "linux")]
        Bench::Share(args) => share::run(&args),
        #[cfg(target_os = "linux")]
        Bench::ShareCrowd(args) => {
            let here = Builder::new_multi_thread().enable_all().build()?;
            here.block_on(share::crowd::run(&args))
        }
        #[cfg(target_os = "linux")]
        Bench::ShareNode { role, path } => {
            let here = Builder::new_multi_thread().enable_all().build()?;
            here.block_on(share::node(role, path))
        }
        #[cfg(target_os = "linux")]
        Bench::Speed(args) => speed::run(&args),
    }
}

fn on_loopback(bench: Loopback) -> Result<(), Failure> {
    raise_open_files()?;
    let ends = Ends::loopback()?;
    let here = Builder::new_current_thread().enable_all().build()?;
    here.block_on(async {
        if let Loopback::Serve { kind, relay, rate } = bench {
            crowd::serve(kind, &relay, rate).await
        } else if let Loopback::Forward { to } = bench {
            forwarder::run(to).await
        } else {
            dials::beside_relay(async |relay| measure(bench, &ends, relay).await).await
        }
    })
}

async fn measure(bench: Loopback, ends: &Ends, relay: &RelayUrl) -> Result<(), Failure> {
    match bench {
        Loopback::Direct { pairs, megabytes } => direct::run(ends, relay, pairs, megabytes).await,
        Loopback::Lane {
            pairs,
            megabytes,
            rate,
        } => lane::run(ends, relay, pairs, megabytes, rate).await,
        Loopback::Connect { pairs, dials } => connect::run(ends, relay, pairs, dials).await,
        Loopback::Idle { peers, seconds } => idle::run(relay, peers, seconds).await,
        Loopback::Memory { rounds, peers } => memory::run(relay, rounds, peers).await,
        Loopback::Churn { seconds } => memory::churn(relay, seconds).await,
        Loopback::Stalled => stalled::run(relay).await,
        Loopback::RelayClients { rounds, clients } => {
            memory::relay_clients(relay, rounds, clients).await
        }
        Loopback::Serve { .. } | Loopback::Forward { .. } => Ok(()),
    }
}

/// A crowd of nodes in one process has many sockets.
fn raise_open_files() -> nix::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)
}

//! The relay under load, in a process of its own.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use peerway::{PeerId, RelayUrl, SecretKey};
use peerway_relay::{Config, Rate, Relay};
use tokio::task::spawn_blocking;

use crate::{
    Failure,
    process::{self, Beside},
};

/// Where a relay is dialled, and whom one expects there.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub(super) addr: SocketAddr,
    pub(super) key: PeerId,
}

/// The relay's process; it ends with this.
pub(super) struct Target {
    process: Beside,
    pub(super) at: At,
    clients: usize,
}

/// What the relay's process is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many it takes.
    #[arg(long)]
    clients: usize,
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Bytes a second of all together; 0 for no limit.
    #[arg(long, default_value_t = 0)]
    lane_rate: u64,
}

/// Serves until the parent closes our input.
pub(super) async fn serve(args: &Args) -> Result<(), Failure> {
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
    // The same key each time, as a relay has that comes back.
    let mut config = Config::new(addr, SecretKey::from_seed(&[7; 32]));
    config.limits.clients = args.clients;
    config.limits.lane_rate = (args.lane_rate > 0).then(|| Rate::bytes_per_second(args.lane_rate));
    let relay = Relay::bind(config).await?;
    println!("{}", relay.url());
    let closed = spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink()));
    tokio::select! {
        () = relay.run() => Err("the relay ended".into()),
        _ = closed => Ok(()),
    }
}

impl Target {
    pub(super) async fn start(clients: usize) -> Result<Self, Failure> {
        Self::start_at(clients, 0, 0).await
    }

    /// A relay that forwards so many bytes a second.
    pub(super) async fn start_limited(clients: usize, lane_rate: u64) -> Result<Self, Failure> {
        Self::start_at(clients, 0, lane_rate).await
    }

    async fn start_at(clients: usize, port: u16, lane_rate: u64) -> Result<Self, Failure> {
        let options = [
            format!("--clients={clients}"),
            format!("--port={port}"),
            format!("--lane-rate={lane_rate}"),
        ];
        let options = options.iter().map(String::as_str);
        let arguments: Vec<_> = ["load", "relay"].into_iter().chain(options).collect();
        let process = Beside::run(&arguments, None).await?;
        let url: RelayUrl = process.line.parse()?;
        let at = At {
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, url.port())),
            key: url.key(),
        };
        Ok(Self {
            process,
            at,
            clients,
        })
    }

    /// Kills the relay, and starts it again at the same port.
    pub(super) async fn crash(self) -> Result<Self, Failure> {
        let (clients, port) = (self.clients, self.at.addr.port());
        self.process.kill().await?;
        Self::start_at(clients, port, 0).await
    }

    /// Kills the relay.
    pub(super) async fn kill(self) -> Result<(), Failure> {
        Ok(self.process.kill().await?)
    }

    /// Private memory in RAM, KiB.
    pub(super) fn memory_kib(&self) -> Result<f64, Failure> {
        Ok(process::memory_kib(self.process.pid()?)?)
    }

    /// Descriptors that are open.
    pub(super) fn descriptors(&self) -> Result<usize, Failure> {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.process.pid()?))?;
        Ok(open.count())
    }

    pub(super) fn cpu(&self) -> Result<Duration, Failure> {
        Ok(process::cpu(self.process.pid()?)?)
    }
}

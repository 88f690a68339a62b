//! `peerway-relay`: the relay as a program.

mod cli;

use std::process::ExitCode;

use clap::Parser;
use peerway_keys::keyfile;
use peerway_relay::{Config, Limits, Rate, Relay, Signals};

use cli::Options;
#[cfg(target_os = "linux")]
use tikv_jemallocator::Jemalloc;

/// glibc keeps what clients that left have used; this one gives it back to the system within a minute.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

const KEY_FILE: &str = "relay.key";

fn main() -> ExitCode {
    let options = Options::parse();
    options.start_logging();
    match serve(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            cli::complain(&*cause);
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn serve(options: Options) -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::new(
        options.bind,
        keyfile::load_or_create(&options.state_dir.join(KEY_FILE))?,
    );
    config.stun_port = options.stun_port;
    config.public_host = options.host.clone();
    config.tcp = options.tcp();
    config.limits = Limits {
        client_rate: Rate::bytes_per_second(options.client_rate.0),
        pair_rate: Rate::bytes_per_second(options.pair_rate.0),
        clients: options.clients,
        connections_per_ip: options.connections_per_ip,
        ..Limits::default()
    };
    let mut signals = Signals::catch()?;
    let relay = Relay::bind(config).await?;
    options.announce(&relay.url())?;
    let stop = async {
        signals.stop().await;
        relay.shutdown().await;
    };
    tokio::join!(relay.run(), stop);
    Ok(())
}

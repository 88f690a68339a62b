//! `peerway-relay`: the relay as a program.

mod cli;

use std::{ffi::OsString, process::ExitCode};

use peerway_keys::keyfile;
use peerway_relay::{Config, Relay, Request, Signals};
use tracing::{error, info, warn};

use cli::{Options, OptionsError};
#[cfg(target_os = "linux")]
use tikv_jemallocator::Jemalloc;

/// glibc keeps what clients that left have used; this one gives it back to the system within a minute.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

const KEY_FILE: &str = "relay.key";

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    let options = match Options::load(&args) {
        Ok(options) => options,
        Err(OptionsError::Arguments(error)) => error.exit(),
        Err(error) => {
            cli::complain(&error);
            return ExitCode::FAILURE;
        }
    };
    options.start_logging();
    match serve(options, &args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            cli::complain(&*cause);
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn serve(options: Options, args: &[OsString]) -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::new(
        options.bind,
        keyfile::load_or_create(&options.state_dir.join(KEY_FILE))?,
    );
    config.stun_port = options.stun_port;
    config.public_host = options.host.clone();
    config.tcp = options.tcp();
    config.limits = options.limits();
    let mut signals = Signals::catch()?;
    let relay = Relay::bind(config).await?;
    options.announce(&relay.url())?;
    let stop = async {
        while signals.next().await == Request::Reload {
            reload(&relay, &options, args);
        }
        relay.shutdown().await;
    };
    tokio::join!(relay.run(), stop);
    Ok(())
}

/// Takes over what can change of the options that hold now.
fn reload(relay: &Relay, started_with: &Options, args: &[OsString]) {
    let new = match Options::load(args) {
        Ok(new) => new,
        Err(error) => {
            error!(%error, "what was configured before stays in force");
            return;
        }
    };
    let limits = new.limits();
    relay.set_rates(limits.client_rate, limits.pair_rate);
    info!("the configuration was read again");
    let fixed = started_with.fixed_but_changed(&new);
    if !fixed.is_empty() {
        let options = fixed.join(", ");
        warn!(%options, "they change when the relay is started again");
    }
}

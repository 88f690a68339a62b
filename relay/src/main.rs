//! `peerway-relay`: the relay as a program.

mod cli;
mod metrics;
#[cfg(unix)]
mod status;

use std::{ffi::OsString, process::ExitCode};

use peerway_keys::keyfile;
use peerway_relay::{Config, Relay, Request, Signals};
use tracing::{error, info, warn};

use cli::{Action, Options, OptionsError};
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
    if let Some(Action::Status { json }) = options.command {
        return show_status(&options, json);
    }
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
    config.access = options.access();
    let mut signals = Signals::catch()?;
    let relay = Relay::bind(config).await?;
    let metrics = match options.metrics {
        Some(addr) => Some(metrics::open(addr).await?),
        None => None,
    };
    #[cfg(unix)]
    let status = status::open(&options.state_dir)
        .inspect_err(|error| warn!(%error, "serving without telling the status"))
        .ok();
    options.announce(&relay.url())?;
    let stop = async {
        while signals.next().await == Request::Reload {
            reload(&relay, &options, args);
        }
        relay.shutdown().await;
    };
    let serving = async { tokio::join!(relay.run(), stop) };
    let telling = async {
        #[cfg(unix)]
        tokio::join!(
            metrics::serve(metrics, &relay),
            status::serve(status, &relay)
        );
        #[cfg(not(unix))]
        metrics::serve(metrics, &relay).await;
    };
    tokio::select! {
        _ = serving => {}
        () = telling => {}
    }
    Ok(())
}

#[cfg(unix)]
fn show_status(options: &Options, json: bool) -> ExitCode {
    match status::show(&options.state_dir, json) {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            cli::complain(&cause);
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(unix))]
fn show_status(_: &Options, _: bool) -> ExitCode {
    let _ = std::io::Write::write_all(
        &mut std::io::stderr(),
        b"error: the status is there on Unix only\n",
    );
    ExitCode::FAILURE
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
    relay.set_rates(limits.lane_rate, limits.client_rate, limits.pair_rate);
    relay.set_access(new.access());
    info!("the configuration was read again");
    let fixed = started_with.fixed_but_changed(&new);
    if !fixed.is_empty() {
        let options = fixed.join(", ");
        warn!(%options, "they change when the relay is started again");
    }
}

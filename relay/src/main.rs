//! `peerway-relay`: the relay as a program.

mod answering;
mod cli;
#[cfg(unix)]
mod control;
mod keeper;
mod metrics;
mod store;
#[cfg(unix)]
mod top;

use std::{ffi::OsString, io, path::Path, process::ExitCode, time::Duration};

use clap::CommandFactory;
use peerway_keys::keyfile;
use peerway_relay::{Config, Relay, Request, Signals};
use sd_notify::NotifyState;
use tracing::{error, info, warn};

use cli::{Action, Options, OptionsError};
use keeper::{Drain, Keeper};
use store::Store;
#[cfg(target_os = "linux")]
use tikv_jemallocator::Jemalloc;

/// glibc keeps what clients that left have used; this one gives it back to the system within a minute.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

const KEY_FILE: &str = "relay.key";
/// How long a drain takes that SIGUSR1 asks for.
const DRAIN: Duration = Duration::from_secs(60);
/// Descriptors for all but clients over TCP: ports, files, those who ask for metrics, the operator.
#[cfg(target_os = "linux")]
const DESCRIPTORS: usize = 40;
/// What systemd waits beyond the time of a drain before it ends the relay itself.
const DRAIN_MARGIN: Duration = Duration::from_secs(10);

/// A subcommand needs the folder of the relay that it is about.
#[derive(Debug, thiserror::Error)]
#[error(
    "say which relay, by --state-dir, PEERWAY_RELAY_STATE_DIR or state_dir in its configuration"
)]
struct NoStateDir;

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
    let done = match &options.command {
        Some(action) => act(&options, action),
        None => options
            .start_logging()
            .map_err(Failure::from)
            .and_then(|log| {
                let served = serve(options, &args);
                log.finish();
                served
            }),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            cli::complain(&*cause);
            ExitCode::FAILURE
        }
    }
}

type Failure = Box<dyn std::error::Error>;

/// Does what is to be done instead of serving.
fn act(options: &Options, action: &Action) -> Result<(), Failure> {
    match action {
        Action::Man => clap_mangen::Man::new(Options::command()).render(&mut io::stdout())?,
        Action::Completions { shell } => {
            let mut command = Options::command();
            clap_complete::generate(*shell, &mut command, "peerway-relay", &mut io::stdout());
        }
        Action::Status { .. }
        | Action::Top
        | Action::Invite { .. }
        | Action::Invites { .. }
        | Action::Revoke { .. }
        | Action::Drain { .. } => {
            let state_dir = options.state_dir.as_deref().ok_or(NoStateDir)?;
            talk(state_dir, action)?;
        }
    }
    Ok(())
}

#[cfg(unix)]
fn talk(state_dir: &Path, action: &Action) -> Result<(), Failure> {
    let Some((request, json)) = action.request() else {
        return Ok(top::run(state_dir)?);
    };
    let answer = control::ask(state_dir, &request)?;
    Ok(control::print(&request, answer, json)?)
}

#[cfg(not(unix))]
fn talk(_: &Path, _: &Action) -> Result<(), Failure> {
    Err("a running relay can be asked on Unix only".into())
}

#[tokio::main]
async fn serve(options: Options, args: &[OsString]) -> Result<(), Failure> {
    let state_dir = options.state_dir.clone().ok_or(NoStateDir)?;
    let key = keyfile::load_or_create(&state_dir.join(KEY_FILE))?;
    let (store, records) = Store::open(&state_dir)?;
    let mut config = Config::new(options.bind, key);
    config.stun_port = options.stun_port;
    config.public_host = options.host.clone();
    config.tcp = options.tcp();
    config.limits = options.limits();
    config.access = options.access();
    config.directory = options.directory();
    #[cfg(target_os = "linux")]
    if let Some(tcp) = &mut config.tcp {
        let descriptors = raise_descriptor_limit(config.limits.clients);
        tcp.room = descriptors.map(|most| most.saturating_sub(DESCRIPTORS));
    }
    let mut signals = Signals::catch()?;
    let relay = Relay::bind(config).await?;
    relay.restore(records);
    let keeper = Keeper::new(relay.clone(), store);
    let metrics = match options.metrics {
        Some(addr) => Some(metrics::open(addr).await?),
        None => None,
    };
    #[cfg(unix)]
    let control = control::open(&state_dir)?;
    options.announce(&relay.url())?;
    notify(&[NotifyState::Ready]);
    let stop = operate(&keeper, &mut signals, &options, args);
    let serving = async { tokio::join!(relay.run(), stop) };
    let telling = async {
        #[cfg(unix)]
        tokio::join!(
            metrics::serve(metrics, &relay),
            control::serve(control, &keeper),
            keeper.keep()
        );
        #[cfg(not(unix))]
        tokio::join!(metrics::serve(metrics, &relay), keeper.keep());
    };
    tokio::select! {
        _ = serving => {}
        () = telling => {}
    }
    keeper.write().await;
    Ok(())
}

/// Every client over TCP takes a descriptor. The usual limit is low for the sake of programs that use select(2). Returns how many
/// there may be.
#[cfg(target_os = "linux")]
fn raise_descriptor_limit(clients: usize) -> Option<usize> {
    use nix::sys::resource::{Resource::RLIMIT_NOFILE, getrlimit, setrlimit};
    let (_, most) = getrlimit(RLIMIT_NOFILE).ok()?;
    // The lower limit will do.
    let _ = setrlimit(RLIMIT_NOFILE, most, most);
    if most < clients as u64 {
        warn!(
            descriptors = most,
            clients,
            "clients over TCP find no room beyond the descriptors; raise their limit (ulimit -n)"
        );
    }
    Some(usize::try_from(most).unwrap_or(usize::MAX))
}

/// Does what the operator asks for, until the relay has stopped.
async fn operate(keeper: &Keeper, signals: &mut Signals, options: &Options, args: &[OsString]) {
    let relay = keeper.relay();
    let mut drains = keeper.drains();
    let drain = loop {
        tokio::select! {
            request = signals.next() => match request {
                Request::Stop => break None,
                Request::Drain => break Some(Drain {
                    within: DRAIN,
                    to: None,
                }),
                Request::Reload => reload(keeper, options, args),
            },
            drain = drains.next() => break Some(drain),
        }
    };
    let Some(mut drain) = drain else {
        notify(&[NotifyState::Stopping]);
        return relay.shutdown().await;
    };
    loop {
        let patience = drain.within.saturating_add(DRAIN_MARGIN).as_micros();
        let patience = u32::try_from(patience).unwrap_or(u32::MAX);
        notify(&[
            NotifyState::Stopping,
            NotifyState::ExtendTimeoutUsec(patience),
        ]);
        tokio::select! {
            () = end(relay, drain) => return,
            () = stopped(signals) => return relay.shutdown().await,
            // The operator has thought better of it.
            again = drains.next() => drain = again,
        }
    }
}

async fn end(relay: &Relay, Drain { within, to }: Drain) {
    match to {
        Some(successor) => relay.drain_to(within, successor).await,
        None => relay.drain(within).await,
    }
}

/// Returns when the program is to end at once.
async fn stopped(signals: &mut Signals) {
    while signals.next().await != Request::Stop {}
}

/// Tells systemd, if it started us.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "cannot tell systemd");
    }
}

/// Takes over what can change of the options that hold now.
fn reload(keeper: &Keeper, started_with: &Options, args: &[OsString]) {
    match NotifyState::monotonic_usec_now() {
        Ok(time) => notify(&[NotifyState::Reloading, time]),
        Err(_) => notify(&[NotifyState::Reloading]),
    }
    match Options::load(args) {
        Ok(new) => apply(keeper, started_with, &new),
        Err(error) => error!(%error, "what was configured before stays in force"),
    }
    notify(&[NotifyState::Ready]);
}

fn apply(keeper: &Keeper, started_with: &Options, new: &Options) {
    let limits = new.limits();
    let relay: &Relay = keeper.relay();
    relay.set_rates(limits.lane_rate, limits.client_rate, limits.pair_rate);
    relay.set_volumes(limits.volumes);
    relay.set_access(new.access());
    info!("the configuration was read again");
    let fixed = started_with.fixed_but_changed(new);
    if !fixed.is_empty() {
        let options = fixed.join(", ");
        warn!(%options, "they change when the relay is started again");
    }
}

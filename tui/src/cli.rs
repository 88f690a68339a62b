//! The command line: arguments in; lines on stdout, logs on stderr and an exit code out.
//!
//! Commands see of a node what `Snapshot` and `Event` show and nothing else. With `--json` stdout carries one JSON object
//! per line whose keys stay stable; a failure is one line on stderr that says what to try.

mod args;
mod dashboard;
mod expose;
mod failure;
mod forward;
mod id;
mod netcheck;
mod node;
mod out;
mod ping;
mod speed;
mod state;
mod status;
mod ticket;
mod up;
mod words;

#[cfg(test)]
mod tests;

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

use clap::Parser;
use tokio::time::Instant;
use tracing_subscriber::EnvFilter;

use args::{Args, Command, Globals};
use failure::Failure;

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let started_at = Instant::now();
    let Args { globals, command } = Args::parse();
    if command.is_some() || !io::stderr().is_terminal() {
        log_to_stderr(globals.verbose);
    }
    let result = tokio::runtime::Runtime::new()
        .map_err(Failure::Runtime)
        .and_then(|runtime| runtime.block_on(run(command, &globals, started_at)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            out::failure(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

async fn run(
    command: Option<Command>,
    globals: &Globals,
    started_at: Instant,
) -> Result<(), Failure> {
    let Some(command) = command else {
        return dashboard::run(globals).await;
    };
    match command {
        Command::Up(args) => up::run(globals, &args).await,
        Command::Id => id::run(globals),
        Command::Ticket(args) => ticket::run(globals, &args),
        Command::Ping(args) => ping::run(globals, &args, started_at).await,
        Command::Speed(args) => speed::run(globals, &args).await,
        Command::Status => status::run(globals).await,
        Command::Netcheck => netcheck::run(globals).await,
        Command::Expose(args) => expose::run(globals, &args).await,
        Command::Forward(args) => forward::run(globals, &args).await,
    }
}

fn log_to_stderr(verbose: u8) {
    let default = match verbose {
        0 => "warn",
        1 => "warn,peerway=info",
        _ => "info,peerway=debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
}

//! The command line: arguments in; lines on stdout, logs on stderr and an exit code out.
//!
//! Commands see of a node what `Snapshot` and `Event` show and nothing else. With `--json` stdout carries one JSON object
//! per line whose keys stay stable; a failure is one line on stderr that says what to try.

#[cfg(unix)]
mod accept;
mod admin;
#[cfg(unix)]
mod afar;
mod answering;
mod appearance;
mod args;
#[cfg(unix)]
mod attach;
#[cfg(unix)]
mod background;
mod book;
#[cfg(unix)]
mod browse;
mod clock;
mod completion;
mod dashboard;
mod datagrams;
#[cfg(feature = "demo")]
mod demo;
mod dht;
#[cfg(unix)]
mod down;
#[cfg(unix)]
mod events;
mod expose;
mod failure;
#[cfg(unix)]
mod feed;
mod follow;
mod forward;
#[cfg(all(feature = "demo", unix))]
mod gallery;
#[cfg(unix)]
mod gateway;
mod get;
mod group;
mod id;
mod invite;
mod keep;
mod kept;
#[cfg(all(feature = "demo", target_os = "linux"))]
mod lab;
#[cfg(all(feature = "subnet", target_os = "linux"))]
mod link;
#[cfg(unix)]
mod logs;
mod man;
mod netcheck;
mod node;
mod operate;
mod out;
mod own_relay;
mod pair;
#[cfg(unix)]
mod pairs;
mod peers;
mod pin;
mod ping;
mod pipe;
#[cfg(unix)]
mod policy;
mod proxy;
mod receive;
mod reunion;
mod screen;
#[cfg(unix)]
mod search;
mod send;
#[cfg(target_os = "linux")]
mod service;
mod services;
mod share;
mod sharing;
mod speed;
#[cfg(unix)]
mod ssh;
mod state;
mod status;
#[cfg(unix)]
mod swarm;
#[cfg(unix)]
mod text;
mod ticket;
#[cfg(unix)]
mod top;
mod transfer;
#[cfg(unix)]
mod transfers;
mod up;
#[cfg(unix)]
mod watch;
mod why;
mod words;

#[cfg(test)]
mod documented;
#[cfg(test)]
mod tests;

use std::{
    env,
    io::{self, IsTerminal},
    process::ExitCode,
};

use clap::CommandFactory;
use clap_complete::CompleteEnv;
use tokio::{runtime::Runtime, time::Instant};
use tracing_subscriber::EnvFilter;

use args::{Args, Command, Globals};
use failure::Failure;

use crate::book::Trust;

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    // Where a shell asks what may follow, this ends the process.
    CompleteEnv::with_factory(Args::command).complete();
    let started_at = Instant::now();
    let Args {
        globals,
        screen,
        command,
    } = Args::read();
    let takes_screen = match &command {
        None => true,
        #[cfg(feature = "demo")]
        Some(Command::Demo(_)) => demo::is_shown(&globals),
        #[cfg(unix)]
        Some(Command::Top(_)) => true,
        Some(_) => false,
    };
    if !takes_screen || !io::stderr().is_terminal() {
        log_to_stderr(globals.verbose);
    }
    #[cfg(target_os = "linux")]
    raise_descriptor_limit();
    let ran = match command {
        None => block_on(dashboard::run(&globals, &screen)),
        Some(command) => run(command, &globals, started_at),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            out::failure(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(command: Command, globals: &Globals, started_at: Instant) -> Result<(), Failure> {
    match command {
        #[cfg(unix)]
        Command::Up(args) if args.detach => background::start(globals, &args),
        Command::Up(args) => block_on(up::run(globals, &args)),
        #[cfg(unix)]
        Command::Down => block_on(down::run(globals)),
        Command::Id(args) => id::run(globals, &args),
        Command::Ticket(args) => block_on(ticket::run(globals, &args)),
        Command::Pair(args) => block_on(pair::run(globals, &args)),
        Command::Ping(args) => block_on(ping::run(globals, &args, started_at)),
        Command::Why(args) => block_on(why::run(globals, &args, started_at)),
        #[cfg(unix)]
        Command::Policy(args) => block_on(policy::run(globals, &args)),
        #[cfg(unix)]
        Command::Pairs(args) => block_on(pairs::run(globals, &args)),
        #[cfg(target_os = "linux")]
        Command::Service(args) => service::run(globals, &args),
        Command::Speed(args) => block_on(speed::run(globals, &args, started_at)),
        #[cfg(unix)]
        Command::Top(args) => block_on(top::run(globals, &args)),
        Command::Status(args) => block_on(status::run(globals, &args)),
        #[cfg(unix)]
        Command::Events(args) => block_on(events::run(globals, &args)),
        #[cfg(unix)]
        Command::Watch(args) => block_on(watch::run(globals, &args)),
        #[cfg(unix)]
        Command::Logs(args) => block_on(logs::run(globals, &args)),
        Command::Man(args) => man::run(&args),
        Command::Config(args) => appearance::run(globals, &args),
        Command::Netcheck => block_on(netcheck::run(globals, started_at)),
        Command::Expose(args) => block_on(expose::run(globals, &args)),
        Command::Forward(args) => block_on(forward::run(globals, &args)),
        Command::Services(args) => block_on(services::run(globals, &args, started_at)),
        Command::Pipe(args) => block_on(pipe::run(globals, &args)),
        #[cfg(unix)]
        Command::Ssh(args) => ssh::run(globals, &args),
        Command::Proxy(args) => block_on(proxy::run(globals, &args)),
        #[cfg(all(feature = "subnet", target_os = "linux"))]
        Command::Link(args) => block_on(link::run(globals, &args)),
        Command::Send(args) => block_on(send::run(globals, &args)),
        Command::Receive(args) => block_on(receive::run(globals, &args)),
        #[cfg(unix)]
        Command::Transfers(args) => block_on(transfers::run(globals, &args)),
        Command::Share(args) => block_on(share::run(globals, &args)),
        Command::Ls => block_on(list(globals)),
        Command::Get(args) => block_on(get::run(globals, &args)),
        Command::Pin(args) => block_on(pin::pin(globals, &args)),
        Command::Unpin(args) => block_on(pin::unpin(globals, &args)),
        #[cfg(unix)]
        Command::Gateway(args) => block_on(gateway::run(globals, &args)),
        Command::Gc(args) => block_on(pin::gc(globals, &args)),
        #[cfg(unix)]
        Command::Search(args) => block_on(search::run(globals, &args)),
        #[cfg(unix)]
        Command::Browse(args) => block_on(browse::run(globals, &args)),
        Command::Peers(args) => block_on(book::list(globals, &args)),
        Command::Add(args) => changed(globals, book::add(globals, &args)),
        Command::Rename(args) => renamed(globals, book::rename(globals, &args)),
        Command::Remove(args) => changed(globals, book::remove(globals, &args)),
        Command::Block(args) => changed(globals, book::trust(globals, &args, Trust::Block)),
        Command::Ask(args) => changed(globals, book::trust(globals, &args, Trust::Ask)),
        Command::Allow(args) => changed(globals, book::trust(globals, &args, Trust::Allow)),
        Command::Admin(args) => changed(globals, admin::run(globals, &args)),
        Command::Invite(args) => block_on(invite::run(globals, &args)),
        Command::Group(args) => block_on(group::run(globals, &args)),
        #[cfg(unix)]
        Command::Feed(args) => block_on(feed::run(globals, &args)),
        #[cfg(unix)]
        Command::Swarm(args) => block_on(swarm::run(globals, &args)),
        #[cfg(unix)]
        Command::Accept(args) => block_on(accept::run(globals, &args)),
        #[cfg(all(feature = "demo", unix))]
        Command::Gallery(args) => block_on(gallery::run(globals, &args)),
        #[cfg(feature = "demo")]
        Command::Demo(screen) => demo::run(globals, &screen),
        #[cfg(all(feature = "demo", target_os = "linux"))]
        Command::Lab(args) => lab::run(globals, &args),
    }
}

/// What is shared, and what is kept of what was fetched.
async fn list(globals: &Globals) -> Result<(), Failure> {
    share::list(globals).await?;
    pin::list(globals).await
}

/// A change of the address book, of which the node that runs here is told.
#[cfg(unix)]
fn changed(globals: &Globals, change: Result<(), Failure>) -> Result<(), Failure> {
    change?;
    block_on(attach::reread_book(globals))
}

/// The same, where what is kept goes by another name too.
#[cfg(unix)]
fn renamed(globals: &Globals, change: Result<(), Failure>) -> Result<(), Failure> {
    change?;
    block_on(async {
        attach::reread_book(globals).await?;
        attach::reread_services(globals).await
    })
}

#[cfg(not(unix))]
fn renamed(globals: &Globals, change: Result<(), Failure>) -> Result<(), Failure> {
    changed(globals, change)
}

/// A change of the address book, which the node that runs here notices.
#[cfg(not(unix))]
fn changed(_: &Globals, change: Result<(), Failure>) -> Result<(), Failure> {
    change
}

fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = Runtime::new().map_err(Failure::Runtime)?;
    let result = runtime.block_on(command);
    // A name lookup that hangs must not hold the process.
    runtime.shutdown_background();
    result
}

/// Every tunnelled connection takes a descriptor. The usual limit is low for the sake of programs that use select(2).
#[cfg(target_os = "linux")]
fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource::RLIMIT_NOFILE, getrlimit, setrlimit};
    if let Ok((_, most)) = getrlimit(RLIMIT_NOFILE) {
        // The lower limit will do.
        let _ = setrlimit(RLIMIT_NOFILE, most, most);
    }
}

fn log_to_stderr(verbose: u8) {
    // A DHT that does not answer is an error to its crate; here it is one source of several, and the outcome says what it said.
    let default = match verbose {
        0 => "warn,mainline=off",
        1 => "warn,mainline=off,peerway=info",
        _ => "info,peerway=debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let is_plain = env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty());
    let has_colours = io::stderr().is_terminal() && !is_plain;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(has_colours)
        .init();
}

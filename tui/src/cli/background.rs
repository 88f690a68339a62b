//! `peerway up --detach`: starts the node, waits until it is ready, and leaves it running.

use std::{
    env,
    ffi::OsString,
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
};

use peerway_swarm::groups::kept_in;

use super::{
    args::{Globals, Up},
    failure::Failure,
    logs, out,
    state::StateDir,
    up,
};

/// What the command gives to itself in the background.
const FLAG: &str = "--in-background";
/// So much of it is told where the node did not start.
const TOLD: usize = 4;

/// Starts this command once more, without `--detach`.
pub(super) fn start(globals: &Globals, args: &Up) -> Result<(), Failure> {
    let state = StateDir::open(globals)?;
    // Also has the folder made.
    state.key()?;
    if state.claim()?.is_none() {
        return Err(state.in_use());
    }
    hint_at_damage(&state);
    let log = logs::file(&state);
    let begin = begin(&log).map_err(Failure::Detach)?;
    let child = spawn(&log).map_err(Failure::Detach)?;
    let lines = up::ready_lines(globals, args);
    pass_on(child, lines, (&log, begin))?;
    out::hint(
        "it runs in the background: see `peerway status`, `peerway events`, `peerway logs`, `peerway down`",
    );
    Ok(())
}

/// The node itself says it where nobody reads, and does without them.
fn hint_at_damage(state: &StateDir) {
    if let Err(error) = kept_in(state.path()) {
        out::hint(format!("{error}. The node is in no group meanwhile"));
    }
    if let Err(error) = state.shares().shares() {
        out::hint(format!("{error}. Nothing of it is shared meanwhile"));
    }
}

fn spawn(log: &Path) -> io::Result<Child> {
    let arguments = env::args_os().skip(1);
    let ours = |argument: &OsString| argument != "--detach";
    Command::new(env::current_exe()?)
        .args(arguments.filter(ours))
        .arg(FLAG)
        .env_remove("PEERWAY_DETACH")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(logs::open(log)?)
        .spawn()
}

/// That a node is ready, or why it is not.
fn pass_on(mut child: Child, lines: usize, (log, begin): (&Path, u64)) -> Result<(), Failure> {
    let mut told = 0;
    // It goes on when nobody reads what it prints.
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines().take(lines) {
            out::text(line?)?;
            told += 1;
        }
    }
    if told == lines {
        return Ok(());
    }
    child.wait()?;
    let said = logs::read_from(log, begin)?;
    let mut last: Vec<_> = said.lines().rev().take(TOLD).collect();
    last.reverse();
    Err(Failure::NotStarted {
        reason: last.join("\n").trim_start_matches("error: ").to_owned(),
    })
}

/// Where in the log the node that is started now begins.
fn begin(log: &Path) -> io::Result<u64> {
    let mut file = logs::open(log)?;
    writeln!(
        file,
        "{} started in the background",
        chrono::Local::now().to_rfc3339()
    )?;
    Ok(file.metadata()?.len())
}

/// Leaves the terminal, whose end is then not this node's.
pub(super) fn leave_terminal() -> Result<(), Failure> {
    rustix::process::setsid()
        .map(drop)
        .map_err(|error| Failure::Detach(error.into()))
}

//! What a process takes of the computer, as Linux counts it.

use std::{fs, io, process::Stdio, time::Duration};

use nix::time::{ClockId, clock_gettime};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::Failure;

/// This program, run again beside itself.
#[derive(Debug)]
pub struct Beside {
    child: Child,
    /// The first line that it printed.
    pub line: String,
}

impl Beside {
    /// Runs this program with these arguments until this is dropped; on processor `core` alone if one is named.
    ///
    /// # Errors
    /// It cannot be run, or prints nothing.
    pub async fn run(args: &[&str], core: Option<u32>) -> Result<Self, Failure> {
        let this = std::env::current_exe()?;
        let mut command = match core {
            None => Command::new(this),
            Some(core) => {
                let mut pinned = Command::new("taskset");
                pinned.args(["--cpu-list", &core.to_string()]).arg(this);
                pinned
            }
        };
        command.args(args);
        Self::start(command).await
    }

    /// Runs this program with these arguments on a host of a lab and one processor, until this is dropped.
    ///
    /// # Errors
    /// It cannot be run, or prints nothing.
    #[cfg(target_os = "linux")]
    pub async fn run_at(
        host: &peerway_lab::Home,
        args: &[&str],
        core: u32,
    ) -> Result<Self, Failure> {
        let mut command = host.command("taskset");
        command.args(["--cpu-list", &core.to_string()]);
        command.arg(std::env::current_exe()?).args(args);
        Self::start(command.into()).await
    }

    async fn start(mut command: Command) -> Result<Self, Failure> {
        command.kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let output = child.stdout.take().ok_or("no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).await?;
        line.truncate(line.trim_end().len());
        Ok(Self { child, line })
    }

    /// Its process id.
    ///
    /// # Errors
    /// It has ended.
    pub fn pid(&self) -> Result<u32, Failure> {
        self.child.id().ok_or_else(|| "the server ended".into())
    }

    /// Ends it without a word, and waits until it has ended.
    ///
    /// # Errors
    /// The system's.
    pub async fn kill(mut self) -> io::Result<()> {
        self.child.kill().await
    }
}

/// Processor time that this process has used.
///
/// # Errors
/// The system's.
pub fn cpu_of_this_process() -> Result<Duration, Failure> {
    Ok(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map(Duration::from)?)
}

/// Processor time that the living threads of a process have used, to the nanosecond.
///
/// # Errors
/// There is no such process.
pub fn cpu(pid: u32) -> io::Result<Duration> {
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = task?.path().join("schedstat");
        let text = fs::read_to_string(path)?;
        let first = text.split_whitespace().next();
        nanos += first.and_then(|used| used.parse().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanos))
}

/// Private memory of a process that is in RAM, KiB.
///
/// # Errors
/// There is no such process.
pub fn memory_kib(pid: u32) -> io::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok());
    kib.ok_or_else(|| io::Error::other("no RssAnon in /proc"))
}

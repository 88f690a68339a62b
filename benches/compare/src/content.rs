//! A file that one computer has and another fetches over a line with delay: `peerway share` and `get`, `sendme send` and `receive`, in turns.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use peerway_benches::Failure;
use peerway_lab::{self as lab, Bottleneck, Home, Lab, Line, NatKind};
use tempfile::TempDir;

use crate::median;

const MEGABYTE: u64 = 1_000_000;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The program, as target/release/peerway.
    #[arg(long)]
    peerway: PathBuf,
    /// Of the crate of that name.
    #[arg(long)]
    sendme: PathBuf,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    #[arg(long, default_value_t = 200)]
    megabytes: u64,
    /// Milliseconds each way.
    #[arg(long, default_value_t = 20)]
    delay: u64,
    /// Mbit/s of the line, with a queue of a tenth of a second; as fast as the computer is without it.
    #[arg(long)]
    rate: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Peerway,
    Sendme,
}

/// Measures both. To be called before the process has threads: it starts anew in namespaces.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    lab::enter()?;
    let mut lab = Lab::new()?;
    let line = Line {
        bottleneck: args.rate.map(|rate| Bottleneck {
            rate: rate * MEGABYTE,
            queue: rate * MEGABYTE / 80,
        }),
        ..Line::delayed(Duration::from_millis(args.delay) / 2)
    };
    let here = lab.home_on("here", NatKind::Public, line)?;
    let there = lab.home_on("there", NatKind::Public, line)?;
    let folder = TempDir::new_in("/dev/shm")?;
    let file = folder.path().join("content");
    let mut bytes = vec![0; (args.megabytes * MEGABYTE) as usize];
    getrandom::fill(&mut bytes)?;
    fs::write(&file, &bytes)?;
    let mut ratios = Vec::new();
    for round in 1..=args.rounds {
        let mut order = [Whose::Peerway, Whose::Sendme];
        order.rotate_left(round % 2);
        let mut seconds = [0.0; 2];
        for whose in order {
            let run = Run {
                here: &here,
                there: &there,
                folder: TempDir::new_in(folder.path())?,
                file: &file,
            };
            let took = match whose {
                Whose::Peerway => run.peerway(&args.peerway)?,
                Whose::Sendme => run.sendme(&args.sendme)?,
            };
            if fs::read(run.folder.path().join("content"))? != bytes {
                return Err(format!("{whose:?} brought something else").into());
            }
            let rate = args.megabytes as f64 / took.as_secs_f64();
            println!("round {round}  {whose:?}  {rate:5.1} MB/s, start and end included");
            seconds[whose as usize] = took.as_secs_f64();
        }
        ratios.push(seconds[1] / seconds[0]);
    }
    println!("speed, of sendme's: median {:.2}", median(&mut ratios));
    Ok(())
}

struct Run<'a> {
    here: &'a Home,
    there: &'a Home,
    folder: TempDir,
    file: &'a Path,
}

impl Run<'_> {
    fn peerway(&self, program: &Path) -> Result<Duration, Failure> {
        let quiet = |command: &mut Command, at: &Home, state: &str| {
            let bind = format!("{}:0", at.addr());
            command.args(["--bind", &bind, "--no-dht", "--no-lan", "--json"]);
            command.arg("--state-dir").arg(self.folder.path().join(state));
            command.env("XDG_RUNTIME_DIR", "/nonexistent");
        };
        let mut share = self.command(self.there, program);
        share.args(["share", "--public"]).arg(self.file);
        quiet(&mut share, self.there, "there");
        let (_sharing, link) = Served::start(share, |line| {
            let rest = line.split_once("\"link\":\"")?.1;
            Some(rest.split_once('"')?.0.to_owned())
        })?;
        let mut get = self.command(self.here, program);
        get.args(["get", &link]);
        quiet(&mut get, self.here, "here");
        timed(get)
    }

    fn sendme(&self, program: &Path) -> Result<Duration, Failure> {
        let mut send = self.command(self.there, program);
        send.arg("send").arg(self.file);
        send.args(["--relay", "disabled", "--ticket-type", "addresses", "--no-progress"]);
        let (_sending, ticket) = Served::start(send, |line| {
            Some(line.trim().strip_prefix("sendme receive ")?.to_owned())
        })?;
        let mut receive = self.command(self.here, program);
        receive.args(["receive", &ticket, "--relay", "disabled", "--no-progress"]);
        timed(receive)
    }

    fn command(&self, at: &Home, program: &Path) -> Command {
        let mut command = at.command(&program.to_string_lossy());
        command.current_dir(self.folder.path());
        command.stdin(Stdio::null()).stderr(Stdio::null());
        command
    }
}

fn timed(mut command: Command) -> Result<Duration, Failure> {
    let start = Instant::now();
    let status = command.stdout(Stdio::null()).status()?;
    if !status.success() {
        return Err(format!("{command:?}: {status}").into());
    }
    Ok(start.elapsed())
}

/// A program that serves until this is dropped.
struct Served {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Served {
    /// Waits for what is looked for in its lines.
    fn start<T>(
        mut command: Command,
        look: impl Fn(&str) -> Option<T>,
    ) -> Result<(Self, T), Failure> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or("no output")?;
        let mut served = Self {
            child,
            output: BufReader::new(output),
        };
        let mut line = String::new();
        while served.output.read_line(&mut line)? > 0 {
            if let Some(found) = look(&line) {
                return Ok((served, found));
            }
            line.clear();
        }
        Err(format!("{command:?} ended").into())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

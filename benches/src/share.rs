//! A file from one node that has it and from several, beside libtorrent: speed, and the processor time of all nodes together.
//!
//! Each node is a process. What it takes until it is ready, as to check its file, does not count.

pub(crate) mod crowd;
mod node;
mod torrent;

use std::{
    fmt, fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::{TimeVal, TimeValLike},
};

pub(crate) use node::{Role, run as node};

use crate::{Failure, stats::Estimate};

/// What is measured.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Runs of each side for each number of seeds; which side goes first alternates.
    #[arg(long, default_value_t = 9)]
    runs: usize,
    /// Megabytes of the file.
    #[arg(long, default_value_t = 512)]
    megabytes: usize,
    /// Nodes that have it.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4])]
    seeds: Vec<usize>,
    /// A Python with the package libtorrent; Peerway alone without one.
    #[arg(long)]
    python: Option<PathBuf>,
    /// Where the file and its copies are; best in memory.
    #[arg(long, default_value = "/dev/shm")]
    folder: PathBuf,
}

/// Runs all and prints each, then the medians, and those of Peerway's ratios to libtorrent.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let folder = tempfile::tempdir_in(&args.folder)?;
    let file = folder.path().join("file");
    write(&file, args.megabytes)?;
    let mut sides = vec![Side::Peerway];
    if let Some(python) = &args.python {
        torrent::describe(python, &file)?;
        sides.push(Side::Libtorrent(python.clone()));
    }
    for seeds in &args.seeds {
        let mut figures = vec![Vec::new(); sides.len()];
        for run in 0..args.runs {
            let mut order: Vec<_> = sides.iter().zip(&mut figures).collect();
            if run % 2 == 1 {
                order.reverse();
            }
            for (side, figures) in order {
                let got = fetch(side, &file, *seeds)?;
                println!("{seeds} seeds  run {:2}  {side:10}  {got}", run + 1);
                figures.push(got);
            }
        }
        for (side, figures) in sides.iter().zip(&figures) {
            let (speed, cpu) = estimates(figures.iter().map(|it| (it.speed, it.cpu)));
            println!("{seeds} seeds  {side:10}  MB/s       {speed}");
            println!("{seeds} seeds  {side:10}  CPU s/GB   {cpu}");
        }
        if let [ours, theirs] = &figures[..] {
            let pairs = ours.iter().zip(theirs);
            let ratios =
                pairs.map(|(ours, theirs)| (ours.speed / theirs.speed, ours.cpu / theirs.cpu));
            let (speed, cpu) = estimates(ratios);
            println!("{seeds} seeds  ratio       speed      {speed}");
            println!("{seeds} seeds  ratio       CPU        {cpu}");
        }
    }
    Ok(())
}

fn estimates(pairs: impl Iterator<Item = (f64, f64)>) -> (Estimate, Estimate) {
    let (speed, cpu) = pairs.unzip();
    (Estimate::of(speed), Estimate::of(cpu))
}

/// Whose nodes.
enum Side {
    Peerway,
    Libtorrent(PathBuf),
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Peerway => "Peerway",
            Self::Libtorrent(_) => "libtorrent",
        })
    }
}

/// What one run came to.
#[derive(Clone, Copy)]
struct Figures {
    /// Megabytes a second.
    speed: f64,
    /// Seconds of processor time for a gigabyte, of all nodes.
    cpu: f64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:6.1} MB/s  {:5.2} CPU s/GB", self.speed, self.cpu)
    }
}

/// Random bytes, of which no two units are alike.
fn write(file: &Path, megabytes: usize) -> Result<(), Failure> {
    let mut out = fs::File::create(file)?;
    let mut block = vec![0; 1_000_000];
    for _ in 0..megabytes {
        getrandom::fill(&mut block)?;
        out.write_all(&block)?;
    }
    Ok(())
}

/// One node fetches the file from so many.
fn fetch(side: &Side, file: &Path, seeds: usize) -> Result<Figures, Failure> {
    let before = cpu_of_children()?;
    let target = tempfile::tempdir_in(file.parent().ok_or("no folder")?)?;
    let mut nodes = Vec::new();
    for _ in 0..seeds {
        nodes.push(Node::start(side, "seed", file)?);
    }
    let mut getter = Node::start(side, "get", target.path())?;
    let words = nodes.iter().map(|node| node.contact.as_str());
    let contacts = words.collect::<Vec<_>>().join(" ");
    writeln!(getter.input, "{contacts}")?;
    let seconds: f64 = getter.said("done")?.parse()?;
    let got = target.path().join(file.file_name().ok_or("no name")?);
    if fs::metadata(&got)?.len() != fs::metadata(file)?.len() {
        return Err("not all came".into());
    }
    nodes.push(getter);
    let mut until_ready = Duration::ZERO;
    for node in nodes {
        until_ready += node.end()?;
    }
    let cpu = cpu_of_children()?.saturating_sub(before + until_ready);
    let gigabytes = fs::metadata(file)?.len() as f64 / 1e9;
    Ok(Figures {
        speed: 1000.0 * gigabytes / seconds,
        cpu: cpu.as_secs_f64() / gigabytes,
    })
}

/// Processor time of all processes that were run and have ended.
fn cpu_of_children() -> Result<Duration, Failure> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let of = |time: TimeVal| Duration::from_micros(time.num_microseconds().unsigned_abs());
    Ok(of(usage.user_time()) + of(usage.system_time()))
}

/// A process, of either side.
struct Node {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Processor time that it took until it was ready.
    until_ready: Duration,
    /// What a getter is told to reach it.
    contact: String,
}

impl Node {
    fn start(side: &Side, role: &str, path: &Path) -> Result<Self, Failure> {
        let mut command = match side {
            Side::Peerway => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["share-node", role]);
                command
            }
            Side::Libtorrent(python) => torrent::command(python, role),
        };
        command
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let (input, output) = child
            .stdin
            .take()
            .zip(child.stdout.take())
            .ok_or("no pipes")?;
        let mut node = Self {
            child,
            input,
            output: BufReader::new(output),
            until_ready: Duration::ZERO,
            contact: String::new(),
        };
        let said = node.said("ready")?;
        let (cpu, contact) = said.split_once(' ').unwrap_or((&said, ""));
        node.until_ready = Duration::from_secs_f64(cpu.parse()?);
        node.contact = contact.to_owned();
        Ok(node)
    }

    /// What comes behind this word in the next line.
    fn said(&mut self, word: &str) -> Result<String, Failure> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let said = line.trim_end().strip_prefix(word);
        Ok(said
            .ok_or_else(|| format!("not {word}: {line}"))?
            .trim_start()
            .to_owned())
    }

    fn end(mut self) -> Result<Duration, Failure> {
        drop(self.input);
        self.child.wait()?;
        Ok(self.until_ready)
    }
}

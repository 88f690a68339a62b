//! One network namespace: threads enter it, commands run in it, the tools that configure it are fed their scripts.

use std::{
    fs::File,
    io::{self, Write as _},
    panic,
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
    thread,
};

use nix::sched::{CloneFlags, setns};

use super::LabError;

/// A network namespace, known to the tools as `/run/netns/NAME`.
#[derive(Clone, Debug)]
pub(super) struct Netns {
    name: String,
    file: Arc<File>,
}

impl Netns {
    pub(super) fn new(name: &str) -> Result<Self, LabError> {
        feed(tool("ip").args(["netns", "add", name]), "")?;
        let path = path(name);
        let file =
            File::open(&path).map_err(LabError::system(format!("open {}", path.display())))?;
        let netns = Self {
            name: name.to_owned(),
            file: Arc::new(file),
        };
        netns.ip("link set lo up")?;
        // Nobody else has the addresses of the lab's interfaces. Without probes the kernel would still wait for up to a second
        // before it uses a link-local one, and a router asks for its neighbours from that.
        netns.sysctl("ipv6/conf/default/accept_dad", "0")?;
        Ok(netns)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn path(&self) -> PathBuf {
        path(&self.name)
    }

    /// Moves the calling thread, and every thread it starts later, into this namespace.
    pub(super) fn enter(&self) -> io::Result<()> {
        Ok(setns(&*self.file, CloneFlags::CLONE_NEWNET)?)
    }

    /// Runs `work` on a thread inside and waits for it.
    pub(super) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        let inside = || self.enter().map(|()| work());
        thread::scope(|scope| scope.spawn(inside).join())
            .unwrap_or_else(|panic| panic::resume_unwind(panic))
    }

    /// A command that will run inside.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = tool("nsenter");
        command
            .arg(format!("--net={}", self.path().display()))
            .arg(program);
        command
    }

    /// Runs lines of `ip` commands.
    pub(super) fn ip(&self, script: &str) -> Result<(), LabError> {
        let mut ip = self.command("ip");
        feed(ip.args(["-batch", "-"]), script).map(drop)
    }

    /// Runs an nft script.
    pub(super) fn nft(&self, script: &str) -> Result<(), LabError> {
        feed(self.command("nft").args(["--file", "-"]), script).map(drop)
    }

    /// What `nft list` has to say about `object`, as JSON.
    pub(super) fn nft_list(&self, object: &str) -> Result<String, LabError> {
        let mut nft = self.command("nft");
        feed(nft.args(["--json", "list"]).args(object.split(' ')), "")
    }

    /// Sets a sysctl below `/proc/sys/net`.
    pub(super) fn sysctl(&self, key: &str, value: &str) -> Result<(), LabError> {
        let path = format!("/proc/sys/net/{key}");
        self.run(|| std::fs::write(&path, value))
            .flatten()
            .map_err(LabError::system(format!("write {value} to {path}")))
    }
}

fn path(name: &str) -> PathBuf {
    PathBuf::from("/run/netns").join(name)
}

/// A system tool, also for users whose `PATH` lacks the folders where Debian keeps them.
pub(super) fn tool(program: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(program);
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

/// Runs a tool to its end with `script` on its standard input.
pub(super) fn feed(command: &mut Command, script: &str) -> Result<String, LabError> {
    let shown = format!("{command:?}");
    let failed = LabError::system(format!("run {shown}"));
    let mut run = || {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(script.as_bytes())?;
        }
        child.wait_with_output()
    };
    let output = run().map_err(failed)?;
    if !output.status.success() {
        return Err(LabError::Command {
            command: shown,
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

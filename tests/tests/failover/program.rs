//! The programs: a relay that can be started again, and nodes.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use peerway::RelayUrl;
use peerway_lab::{Home, Lab};
use peerway_tests::PROGRAMS;
use serde_json::Value;
use tempfile::TempDir;

use super::PATIENCE;

/// Where a relay is started, and started again.
pub(crate) struct Place {
    pub(crate) url: RelayUrl,
    folder: TempDir,
    port: u16,
}

impl Place {
    /// Lets a relay make its key.
    pub(crate) fn new(lab: &Lab) -> Self {
        Self::at(lab, 4433)
    }

    /// As [`Self::new`], at this port.
    pub(crate) fn at(lab: &Lab, port: u16) -> Self {
        let folder = TempDir::new().unwrap();
        let mut relay = start_relay(lab, &folder, port);
        let url = relay.wait_for(|line| line["event"] == "ready")["url"].clone();
        relay.kill();
        Self {
            url: url.as_str().unwrap().parse().unwrap(),
            folder,
            port,
        }
    }

    /// A relay that is ready.
    pub(crate) fn relay(&self, lab: &Lab) -> Program {
        let relay = start_relay(lab, &self.folder, self.port);
        let ready = relay.wait_for(|line| line["event"] == "ready");
        assert_eq!(ready["url"], self.url.to_string());
        relay
    }

    /// Asks the relay that runs to have its clients go elsewhere, and to end then.
    pub(crate) fn drain(&self, lab: &Lab) {
        self.ask_to_drain(lab, &[]);
    }

    /// As [`Self::drain`]; they are to go to this other relay for good.
    pub(crate) fn move_to(&self, lab: &Lab, other: &Self) {
        self.ask_to_drain(lab, &["--to", &other.url.to_string()]);
    }

    fn ask_to_drain(&self, lab: &Lab, options: &[&str]) {
        let program = PROGRAMS.join("peerway-relay");
        let mut command = lab.relay().command(program.to_str().unwrap());
        command
            .arg("--state-dir")
            .arg(self.folder.path().join("relay"));
        command.args(["drain", "--within", "10s"]).args(options);
        let asked = command.status();
        assert!(asked.unwrap().success());
    }

    pub(crate) fn peerway(&self, home: &Home, name: &str, arguments: &[&str]) -> Program {
        let mut command = home.command(PROGRAMS.join("peerway").to_str().unwrap());
        command.args(arguments).args(["--json", "--state-dir"]);
        command.arg(self.folder.path().join(name));
        command.args(["--relay", &self.url.to_string()]);
        Program::start(command)
    }
}

fn start_relay(lab: &Lab, folder: &TempDir, port: u16) -> Program {
    let host = lab.relay();
    let mut command = host.command(PROGRAMS.join("peerway-relay").to_str().unwrap());
    command.args(["--bind", &format!("{}:{port}", host.public_addr())]);
    command
        .args(["--json", "--state-dir"])
        .arg(folder.path().join("relay"));
    Program::start(command)
}

/// A running program and the lines of JSON that it prints.
pub(crate) struct Program {
    child: Child,
    lines: mpsc::Receiver<Value>,
}

impl Program {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines() {
                let Ok(()) = sender.send(line.unwrap().parse().unwrap()) else {
                    return;
                };
            }
        });
        Self { child, lines }
    }

    /// The first line from here on that is wanted.
    pub(crate) fn wait_for(&self, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let patience = end.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(patience).unwrap();
            if wanted(&line) {
                return line;
            }
        }
    }

    pub(crate) fn wait_for_path(&self, kind: &str) {
        self.wait_for(|line| line["event"] == "path_changed" && line["path"]["kind"] == kind);
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Freezes it, as a computer that sleeps.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits until it ended by itself.
    pub(crate) fn ended(&mut self) {
        let end = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < end, "it goes on");
            thread::sleep(Duration::from_millis(10));
        };
        assert!(status.success(), "{status}");
    }

    /// Ends it as a service manager does.
    pub(crate) fn terminate(&mut self) {
        self.signal("-TERM");
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

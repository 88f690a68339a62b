//! A computer of the lab as somebody sits at it: with a name, an account of its own, and the programs.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use peerway_lab::Home;
use serde_json::Value;

use crate::{PROGRAMS, terminal::Terminal};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A host of the lab whose account knows nothing yet.
#[derive(Debug)]
pub struct Computer {
    /// Where it is.
    pub home: Home,
    name: String,
    folder: PathBuf,
    /// Commands that were typed before and hold for all that follow.
    exports: Vec<String>,
}

impl Computer {
    /// A computer called `name`, whose account's folder is made in `folder`.
    ///
    /// # Panics
    /// When the folder cannot be made.
    pub fn new(home: Home, name: &str, folder: &Path) -> Self {
        let folder = folder.join(name);
        std::fs::create_dir(&folder).expect("a home folder is made");
        Self {
            home,
            name: name.to_owned(),
            folder,
            exports: Vec::new(),
        }
    }

    /// Has a line like `export A=B` hold from now on.
    pub fn export(&mut self, line: &str) {
        self.exports.push(line.to_owned());
    }

    /// What somebody types there.
    #[must_use]
    pub fn line(&self, line: &str) -> Command {
        let name = &self.name;
        let exports: String = self.exports.iter().map(|it| format!("{it}; ")).collect();
        let mut command = self.program("unshare");
        let script = format!("hostname {name}; {exports}exec {line}");
        command.args(["--uts", "--", "sh", "-c", &script]);
        command
    }

    /// Types a line and waits for its end; what it printed on stdout.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&self, line: &str) -> String {
        let output = self.line(line).output().expect("a shell runs it");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line} on {}: {said}", self.name);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The same, of a command with `--json`: its lines.
    ///
    /// # Panics
    /// When it fails, or prints something else.
    pub fn json(&self, line: &str) -> Vec<Value> {
        let printed = self.run(&format!("{line} --json"));
        let lines = printed.lines().map(str::parse);
        lines.map(|line| line.expect("a line of JSON")).collect()
    }

    /// The ticket of the node that it has or would have.
    ///
    /// # Panics
    /// When none is printed.
    pub fn ticket(&self) -> String {
        let line = self.json("peerway ticket").swap_remove(0);
        let ticket = line["ticket"].as_str();
        ticket.expect("a ticket").to_owned()
    }

    /// Types a line that stays.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(&self, line: &str) -> Running {
        let mut child = self
            .line(line)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell runs it");
        let stdout = child.stdout.take().expect("stdout is piped");
        let (print, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if print.send(line).is_err() {
                    return;
                }
            }
        });
        Running {
            what: format!("{line} on {}", self.name),
            child,
            lines,
        }
    }

    /// A terminal there.
    pub fn terminal(&self) -> Terminal {
        let mut terminal = Terminal::start(self.program("script"));
        for export in &self.exports {
            terminal.run(export);
        }
        terminal
    }

    /// A program in this account, where `peerway` is installed.
    fn program(&self, program: &str) -> Command {
        let mut command = self.home.command(program);
        let path = std::env::var("PATH").unwrap_or_default();
        let programs = PROGRAMS.display();
        command.env("PATH", format!("{programs}:{path}:/usr/sbin:/sbin"));
        for (variable, _) in std::env::vars_os() {
            let text = variable.to_string_lossy();
            if text.starts_with("XDG_") || text.starts_with("PEERWAY_") || text == "NO_COLOR" {
                command.env_remove(&variable);
            }
        }
        command.env("HOME", &self.folder).env("LANG", "C.UTF-8");
        command.current_dir(&self.folder);
        command
    }
}

/// A command that stays. It ends with the lab at the latest.
#[derive(Debug)]
pub struct Running {
    what: String,
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    /// The next line that it prints.
    ///
    /// # Panics
    /// When none comes.
    pub fn line(&self) -> String {
        let line = self.lines.recv_timeout(PATIENCE);
        line.unwrap_or_else(|error| panic!("{}: {error}", self.what))
    }

    /// The first line of JSON from here on that is such a one.
    ///
    /// # Panics
    /// When none comes.
    pub fn wait_for(&self, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line: Value = self.line().parse().expect("a line of JSON");
            if is_it(&line) {
                return line;
            }
        }
    }

    /// Waits until it has ended well, for what it printed until then.
    ///
    /// # Panics
    /// When it failed.
    pub fn finish(mut self) -> Vec<String> {
        let lines = self.lines.iter().collect();
        let status = self.child.wait().expect("a child is waited for");
        assert!(status.success(), "{}: {status}", self.what);
        lines
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! The dashboard as a guest in a real terminal, under a real shell.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

const TAKEN: &str = "\x1b[?1049h";
const GIVEN_BACK: &str = "\x1b[?1049l";

/// Longer than anything here takes on the busiest computer.
struct Patience(Instant);

#[expect(
    clippy::disallowed_methods,
    reason = "what is under test prints for ever"
)]
impl Patience {
    fn new() -> Self {
        Self(Instant::now() + Duration::from_secs(60))
    }

    fn left(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// A shell with jobs in a terminal of its own.
struct Shell {
    script: Child,
    keyboard: ChildStdin,
    screen: Receiver<Vec<u8>>,
    /// What was printed and not waited for yet.
    seen: String,
    /// The same, and all before it, as it stands on the screen.
    shown: vt100::Parser,
}

impl Shell {
    fn start() -> Self {
        let mut script = Command::new("script")
            .args(["--quiet", "--flush", "--command"])
            .args(["env PS1='ready> ' bash --norc --noprofile -i", "/dev/null"])
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script, of util-linux, gives programs a terminal");
        let keyboard = script.stdin.take().expect("stdin is piped");
        let mut stdout = script.stdout.take().expect("stdout is piped");
        let (printed, screen) = channel();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut bytes) {
                if printed.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let mut session = Self {
            script,
            keyboard,
            screen,
            seen: String::new(),
            shown: vt100::Parser::default(),
        };
        session.until("ready> ");
        let (rows, columns) = session.shown.screen().size();
        session.run(&format!("stty rows {rows} cols {columns}"));
        session
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
    }

    /// What is printed up to `text`.
    fn until(&mut self, text: &str) -> String {
        let patience = Patience::new();
        loop {
            if let Some(at) = self.seen.find(text) {
                let rest = self.seen.split_off(at + text.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            assert!(self.more(&patience), "no {text:?} in {:?}", self.seen);
        }
    }

    /// Waits until all of `texts` stand on the screen at once.
    fn shows(&mut self, texts: &[&str]) {
        let patience = Patience::new();
        loop {
            let screen = self.shown.screen().contents();
            let Some(missing) = texts.iter().find(|text| !screen.contains(**text)) else {
                return;
            };
            assert!(self.more(&patience), "no {missing:?} on\n{screen}");
        }
    }

    /// Takes in what is printed next, if anything is while `patience` lasts.
    fn more(&mut self, patience: &Patience) -> bool {
        let Ok(bytes) = self.screen.recv_timeout(patience.left()) else {
            return false;
        };
        self.seen.push_str(&String::from_utf8_lossy(&bytes));
        self.shown.process(&bytes);
        true
    }

    /// What a command prints.
    fn run(&mut self, command: &str) -> String {
        self.press(&format!("{command}\n"));
        self.until("\n");
        self.until("ready> ")
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

/// A node that talks to nobody.
fn dashboard(folder: &tempfile::TempDir) -> String {
    format!(
        "{} --state-dir {} --bind 127.0.0.1:0 --no-lan --no-tcp",
        env!("CARGO_BIN_EXE_peerway"),
        folder.path().display()
    )
}

#[test]
fn the_dashboard_stops_as_a_job_and_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = Shell::start();
    let modes = session.run("stty -g");
    session.press(&format!("{}\n", dashboard(&folder)));
    session.until(TAKEN);
    session.until("LIVE");
    for _ in 0..2 {
        session.press("\x1a");
        let last = session.until("Stopped");
        assert!(last.contains(GIVEN_BACK), "{last:?}");
        assert!(last.contains("\x1b[?25h"), "the cursor is shown: {last:?}");
        assert!(last.contains("stand still until fg"), "{last:?}");
        session.until("ready> ");
        assert_eq!(session.run("stty -g"), modes);
        session.press("fg\n");
        session.until(TAKEN);
        let frame = session.until("LIVE");
        assert!(frame.contains("Peers"), "every cell is painted: {frame:?}");
    }
    session.press("q");
    session.until(GIVEN_BACK);
    session.until("ready> ");
    assert_eq!(session.run("stty -g"), modes);
}

#[test]
fn the_demo_shows_its_two_homes_and_the_relay_before_the_direct_path() {
    let mut session = Shell::start();
    session.press(&format!("{} demo\n", env!("CARGO_BIN_EXE_peerway")));
    session.until(TAKEN);
    session.shows(&["home A", "home B", "◌ hello", "◐ relay", "● direct v4"]);
    session.press("q");
    session.until(GIVEN_BACK);
}

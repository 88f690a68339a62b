//! A real terminal, and a shell with jobs in it.

use std::{
    io::{Read, Write},
    mem,
    num::NonZero,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

/// What takes the terminal over.
pub const TAKEN: &str = "\x1b[?1049h";
/// What gives it back.
pub const GIVEN_BACK: &str = "\x1b[?1049l";

/// Longer than anything here takes on the busiest computer.
const PATIENCE: Duration = Duration::from_secs(60);
const PROMPT: &str = "ready> ";

/// A terminal with a shell.
#[derive(Debug)]
pub struct Terminal {
    script: Child,
    keyboard: ChildStdin,
    printed: Receiver<Vec<u8>>,
    /// What was printed and not waited for yet.
    seen: String,
    /// The same, and all before it, as it stands on the screen.
    shown: Shown,
    /// The terminal's file.
    file: String,
}

/// The parser has no `Debug`.
struct Shown(vt100::Parser);

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.screen().contents())
    }
}

impl Terminal {
    /// Starts one of 24 rows of 80 characters with `script`, the command of that name of util-linux, which gives programs a
    /// terminal.
    ///
    /// # Panics
    /// When `script` or bash cannot be started.
    pub fn start(mut script: Command) -> Self {
        script
            .args(["--quiet", "--flush", "--command"])
            .arg(format!("env PS1='{PROMPT}' bash --norc --noprofile -i"))
            .arg("/dev/null")
            .env("LANG", "C.UTF-8");
        let mut script = script
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script, of util-linux, gives programs a terminal");
        let keyboard = script.stdin.take().expect("stdin is piped");
        let mut stdout = script.stdout.take().expect("stdout is piped");
        let (print, printed) = channel();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut bytes) {
                if print.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let mut terminal = Self {
            script,
            keyboard,
            printed,
            seen: String::new(),
            shown: Shown(vt100::Parser::default()),
            file: String::new(),
        };
        terminal.until(PROMPT);
        let file = terminal.run("tty");
        // The shell says before it that nothing is pasted now.
        let file = file.find("/dev/").and_then(|at| file[at..].lines().next());
        let file = file.expect("a terminal has a file");
        file.trim().clone_into(&mut terminal.file);
        let (rows, columns) = terminal.shown.0.screen().size();
        terminal.resize(columns.get(), rows.get());
        terminal
    }

    /// Makes it as wide and high as this. Programs in it are told; where no cell would be left, what is shown stays as it is.
    ///
    /// # Panics
    /// When `stty` cannot do it.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        let size = ["rows", &rows.to_string(), "cols", &columns.to_string()].map(str::to_owned);
        let stty = Command::new("stty")
            .args(["-F", &self.file])
            .args(size)
            .status();
        assert!(stty.is_ok_and(|status| status.success()), "stty failed");
        if let (Some(rows), Some(columns)) = (NonZero::new(rows), NonZero::new(columns)) {
            self.shown.0.screen_mut().set_size(rows, columns);
        }
    }

    /// Types.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn press(&mut self, keys: &str) {
        let pressed = self.keyboard.write_all(keys.as_bytes());
        pressed.expect("the terminal reads what is typed");
        self.keyboard
            .flush()
            .expect("the terminal reads what is typed");
    }

    /// What is printed up to `text`.
    ///
    /// # Panics
    /// When that does not come.
    pub fn until(&mut self, text: &str) -> String {
        let begin = now();
        loop {
            if let Some(at) = self.seen.find(text) {
                let rest = self.seen.split_off(at + text.len());
                return mem::replace(&mut self.seen, rest);
            }
            let left = PATIENCE.saturating_sub(begin.elapsed());
            assert!(self.more(left), "no {text:?} in {:?}", self.seen);
        }
    }

    /// What a command prints.
    pub fn run(&mut self, command: &str) -> String {
        self.press(&format!("{command}\n"));
        self.until("\n");
        self.until(PROMPT)
    }

    /// Waits until all of `texts` stand on the screen at once.
    ///
    /// # Panics
    /// When they do not.
    pub fn shows(&mut self, texts: &[&str]) -> String {
        let shown = |screen: &str| texts.iter().all(|text| screen.contains(text));
        self.shows_what(&format!("{texts:?}"), shown)
    }

    /// Waits until the screen is as `holds` wants it, which `what` names.
    ///
    /// # Panics
    /// When it does not get so.
    pub fn shows_what(&mut self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        let begin = now();
        loop {
            let screen = self.screen();
            if holds(&screen) {
                return screen;
            }
            let left = PATIENCE.saturating_sub(begin.elapsed());
            assert!(self.more(left), "not {what} on\n{screen}");
        }
    }

    /// What stands on the screen once nothing was printed for `pause`.
    ///
    /// # Panics
    /// When it is never at rest.
    pub fn at_rest(&mut self, pause: Duration) -> String {
        let begin = now();
        while self.more(pause) {
            assert!(begin.elapsed() < PATIENCE, "it prints without end");
        }
        self.screen()
    }

    /// What stands on the screen.
    #[must_use]
    pub fn screen(&self) -> String {
        self.shown.0.screen().contents()
    }

    /// What stands in each row, with its blanks at the end.
    #[must_use]
    pub fn rows(&self) -> Vec<String> {
        let screen = self.shown.0.screen();
        let (rows, columns) = screen.size();
        let cells = |row| (0..columns.get()).filter_map(move |column| screen.cell(row, column));
        (0..rows.get())
            .map(|row| {
                let shown = cells(row).filter(|cell| !cell.is_wide_continuation());
                shown
                    .map(|cell| {
                        if cell.has_contents() {
                            cell.contents()
                        } else {
                            " "
                        }
                    })
                    .collect()
            })
            .collect()
    }

    /// Takes in what is printed next, if anything is within `patience`.
    fn more(&mut self, patience: Duration) -> bool {
        match self.printed.recv_timeout(patience) {
            Ok(bytes) => {
                self.seen.push_str(&String::from_utf8_lossy(&bytes));
                self.shown.0.process(&bytes);
                true
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => panic!("the terminal ended: {}", self.seen),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is in a terminal lives in real time"
)]
fn now() -> Instant {
    Instant::now()
}

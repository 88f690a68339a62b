//! What the README has a newcomer type, word by word, on two computers that know nothing yet.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs::OpenOptions,
    io::Write as _,
    path::{Path, PathBuf},
    sync::LazyLock,
    time::Duration,
};

use peerway_lab::{self as lab, Home, NatKind};
use peerway_tests::{
    PROGRAMS,
    computer::{Computer, Running},
    terminal::GIVEN_BACK,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const README: &str = include_str!("../../README.md");
const BUDGET: Duration = Duration::from_secs(240);
/// The code that the README has in place of one.
const CODE: &str = "7k3m-q9x2f";
/// The key that it has in place of one.
const KEY: &str = "KEY";
const RELAY: &str = "relay.example.org";
const PICTURE: &[u8] = b"a beach";
const PAGE: &str = "what is kept in the attic";

#[test]
fn a_newcomer_reaches_the_web_server_of_a_computer_on_the_same_network_that_has_no_internet() {
    LazyLock::force(&PROGRAMS);
    lab::test(BUDGET, |mut lab| {
        let attic = lab.home("a", NatKind::PortRestricted).unwrap();
        let laptop = lab.host_beside(&attic, "b").unwrap();
        for home in [&attic, &laptop] {
            let cut = home
                .command("ip")
                .args(["route", "del", "default"])
                .status();
            assert!(cut.unwrap().success());
        }
        let folder = TempDir::new().unwrap();
        let server = lab.home("server", NatKind::Public).unwrap();
        let mut walk = Walk::new([attic, laptop, server], folder.path());
        walk.go(&steps(&section()[0]));
        watch(&walk.attic, "direct lan");
    });
}

#[test]
fn a_newcomer_reaches_the_web_server_of_a_computer_elsewhere_with_the_help_of_a_relay() {
    LazyLock::force(&PROGRAMS);
    lab::test(BUDGET, |mut lab| {
        let attic = lab.home("a", NatKind::PortRestricted).unwrap();
        let laptop = lab.home("b", NatKind::PortRestricted).unwrap();
        let server = lab.home("server", NatKind::Public).unwrap();
        name_relay(&server);
        let folder = TempDir::new().unwrap();
        let mut walk = Walk::new([attic, laptop, server], folder.path());
        let [near, far, ..] = &section()[..] else {
            panic!("the README walks on one network, and then over a relay");
        };
        // It is to be typed before all else.
        walk.go(&steps(far));
        walk.go(&steps(near));
        watch(&walk.attic, "direct v4");
    });
}

#[test]
fn each_side_of_the_walk_has_three_commands_and_a_code_of_nine_characters_to_type() {
    for computer in ["attic", "laptop"] {
        let near = steps(&section()[0]);
        let typed = near.iter().filter(|step| step.computer == computer);
        let commands = typed.filter(|step| step.line.starts_with("peerway "));
        assert_eq!(commands.count(), 3, "on {computer}");
    }
    assert_eq!(CODE.replace('-', "").len(), 9);
}

/// What is typed somewhere, and some of what is printed then.
struct Step {
    computer: String,
    line: String,
    prints: Vec<String>,
}

/// The code blocks about two computers.
fn section() -> Vec<String> {
    let (_, from) = README.split_once("\n## Two computers\n").unwrap();
    let (section, _) = from.split_once("\n## ").unwrap();
    let mut blocks = vec![String::new()];
    for line in section.lines() {
        match line.strip_prefix("    ") {
            Some(code) => *blocks.last_mut().unwrap() += &format!("{code}\n"),
            None if blocks.last().unwrap().is_empty() => {}
            None => blocks.push(String::new()),
        }
    }
    blocks
}

/// Reads lines like `attic$ peerway pair   # a word about it`, each followed by what it prints.
fn steps(block: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in block.lines() {
        let (line, _) = line.split_once("  #").unwrap_or((line, ""));
        match line.split_once("$ ") {
            Some((computer, typed)) => steps.push(Step {
                computer: computer.to_owned(),
                line: typed.trim().to_owned(),
                prints: Vec::new(),
            }),
            None => steps.last_mut().unwrap().prints.push(line.to_owned()),
        }
    }
    steps
}

/// Two computers and the server of a relay, and what was printed on them.
struct Walk {
    attic: Computer,
    laptop: Computer,
    server: Computer,
    folder: PathBuf,
    code: String,
    key: String,
    /// The commands that stay.
    running: Vec<(String, Running)>,
}

impl Walk {
    fn new([attic, laptop, server]: [Home; 3], folder: &Path) -> Self {
        attic.spawn(serve_page());
        let covering = ["-t", "tmpfs", "none", "/var/lib"];
        let covered = server.command("mount").args(covering).status();
        assert!(covered.unwrap().success());
        Self {
            attic: Computer::new(attic, "attic", folder),
            laptop: Computer::new(laptop, "laptop", folder),
            server: Computer::new(server, "server", folder),
            folder: folder.to_owned(),
            code: CODE.to_owned(),
            key: KEY.to_owned(),
            running: Vec::new(),
        }
    }

    fn go(&mut self, steps: &[Step]) {
        for step in steps {
            self.take(step);
        }
    }

    fn take(&mut self, step: &Step) {
        let line = step.line.replace(CODE, &self.code).replace(KEY, &self.key);
        if line.starts_with("export ") {
            assert_eq!(step.computer, "both");
            self.attic.export(&line);
            self.laptop.export(&line);
            return;
        }
        let computer = match &*step.computer {
            "attic" => &self.attic,
            "laptop" => &self.laptop,
            "server" => &self.server,
            other => panic!("{other} is no computer of this walk"),
        };
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["curl", _] => assert_eq!(computer.run(&line), PAGE),
            ["peerway", "expose", "add", _] => assert_prints(step, &computer.run(&line)),
            ["peerway", "send", file, "--to", "attic"] => {
                std::fs::write(self.folder.join("laptop").join(file), PICTURE).unwrap();
                assert_prints(step, &computer.run(&line));
                let inbox = self.folder.join("attic/inbox");
                assert_eq!(std::fs::read(inbox.join(file)).unwrap(), PICTURE);
            }
            ["peerway", "pair", _] => {
                assert_prints(step, &computer.run(&line));
                let waited = self.running.pop().unwrap().1;
                assert!(waited.finish()[0].starts_with("paired with laptop"));
            }
            _ => {
                let running = computer.start(&line);
                let first = running.line();
                assert_prints(step, &first);
                match words[1..] {
                    ["pair"] => self.code = last_word(&first),
                    _ if words[0] == "peerway-relay" => {
                        let url = last_word(&first);
                        let key = url
                            .strip_prefix("relay://")
                            .and_then(|rest| rest.split_once('@'));
                        self.key = key.unwrap().0.to_owned();
                    }
                    _ => {}
                }
                self.running.push((line, running));
            }
        }
    }
}

fn last_word(line: &str) -> String {
    line.split_whitespace().next_back().unwrap().to_owned()
}

/// What the README shows is printed, but for the code, a key, and an id in brackets.
fn assert_prints(step: &Step, printed: &str) {
    let like = |shown: &str, word: &str| {
        shown == word || shown == CODE || shown.contains(KEY) || shown.starts_with('(')
    };
    for shown in &step.prints {
        let is_like = |line: &str| {
            let (shown, line) = (shown.split_whitespace(), line.split_whitespace());
            shown.clone().count() == line.clone().count()
                && shown.zip(line).all(|(shown, word)| like(shown, word))
        };
        assert!(printed.lines().any(is_like), "no {shown:?} in {printed}");
    }
}

/// Looks at the dashboard for the other computer, and leaves.
fn watch(computer: &Computer, path: &str) {
    let mut terminal = computer.terminal();
    terminal.press("peerway\n");
    terminal.shows(&["● laptop", path]);
    terminal.press("q");
    terminal.until(GIVEN_BACK);
}

/// The name that the README has for the server.
fn name_relay(server: &Home) {
    let mut names = OpenOptions::new().append(true).open("/etc/hosts").unwrap();
    writeln!(names, "{} {RELAY}", server.addr()).unwrap();
}

/// A web server with one page.
async fn serve_page() {
    let server = TcpListener::bind("127.0.0.1:8080").await.unwrap();
    loop {
        let (mut tcp, _) = server.accept().await.unwrap();
        let mut request = [0; 1024];
        let _ = tcp.read(&mut request).await;
        let length = PAGE.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{PAGE}"
        );
        let _ = tcp.write_all(answer.as_bytes()).await;
        let _ = tcp.shutdown().await;
    }
}

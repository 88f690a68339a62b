//! A walk through the dashboard on a live swarm of eight nodes: every view and every key at every size, and whether it says what
//! the lab knows.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, path::Path, sync::LazyLock, time::Duration};

use peerway_lab::{self as lab, Access, Lab, NatKind};
use peerway_tests::{
    PROGRAMS,
    computer::{Computer, Running},
    pair,
    terminal::{GIVEN_BACK, TAKEN, Terminal},
};
use serde_json::Value;
use tempfile::TempDir;

const BUDGET: Duration = Duration::from_secs(240);
const SIZES: [(u16, u16); 5] = [(200, 50), (120, 40), (80, 24), (60, 20), (40, 10)];
const DOCS: &str = include_str!("../../docs/dashboard.md");
/// Esc in the one form that no key after it changes.
const ESC: &str = "\x1b[27u";
/// Who is linked to `desk`, whose router chooses ports at random, and what of that the lab knows.
const LINKS: [(&str, &str); 6] = [
    ("nas", "● direct lan"),
    ("laptop", "● direct v4"),
    ("office", "● direct v4"),
    ("studio", "● direct v6"),
    ("phone", "◐ relay"),
    ("cafe", "◐ relay"),
];

#[test]
fn the_dashboard_tells_the_truth_about_a_swarm_in_every_view_by_every_key_at_every_size() {
    LazyLock::force(&PROGRAMS);
    lab::test(BUDGET, |mut lab| {
        let folder = TempDir::new().unwrap();
        let swarm = Swarm::new(&mut lab, folder.path());
        for (from, to) in [
            ("desk", &LINKS.map(|(name, _)| name)[..]),
            ("cafe", &["office"]),
        ] {
            swarm.introduce(from);
            swarm.link(from, to);
        }
        // What keys change, as policies, is not the lab's truth any more: they come last.
        let mut window = swarm.computers["cafe"].terminal();
        window.press("peerway\r");
        window.shows(&["● office", "direct tcp", "◐ desk"]);
        press(&mut window, "/desk\r", 80);
        press(&mut window, "w", 80);
        window.shows(&["UDP is blocked on this network"]);
        leave(&mut window);

        let mut window = swarm.computers["desk"].terminal();
        window.press("peerway\r");
        window.until(TAKEN);
        window.resize(200, 50);
        tells_what_the_lab_knows(&mut window);
        says_why_two_are_relayed(&mut window);
        for (columns, rows) in SIZES {
            window.resize(columns, rows);
            walk(&mut window, columns);
        }
        leave(&mut window);
    });
}

#[test]
fn a_session_of_a_swarm_is_recorded_and_shown_again() {
    LazyLock::force(&PROGRAMS);
    lab::test(BUDGET, |mut lab| {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("session.jsonl");
        let swarm = Swarm::new(&mut lab, folder.path());
        let desk = &swarm.computers["desk"];
        swarm.introduce("desk");
        let mut window = desk.terminal();
        window.resize(120, 40);
        window.press(&format!("peerway --record {}\r", file.display()));
        window.until(TAKEN);
        swarm.link("desk", &LINKS.map(|(name, _)| name));
        window.shows(&["● nas", "◐ phone", "◐ cafe"]);
        leave(&mut window);

        let mut window = desk.terminal();
        window.resize(120, 40);
        window.press(&format!("peerway --replay {}\r", file.display()));
        window.shows(&["● nas", "◐ phone", "◐ cafe"]);
        leave(&mut window);
    });
}

/// All of the swarm share their links, and some carry something.
#[test]
#[ignore = "it takes a minute; docs/pictures/make says where to"]
fn a_session_is_recorded_for_the_pictures() {
    LazyLock::force(&PROGRAMS);
    lab::test(BUDGET, |mut lab| {
        let folder = TempDir::new().unwrap();
        let aside = folder.path().join("session.jsonl").display().to_string();
        let file = std::env::var("SESSION_FILE").unwrap_or(aside);
        let swarm = Swarm::new(&mut lab, folder.path());
        for (name, computer) in &swarm.computers {
            swarm.introduce(name);
            let others = swarm.computers.keys().filter(|other| *other != name);
            let others: Vec<_> = others.copied().collect();
            computer.run(&format!("peerway group add home {}", others.join(" ")));
            computer.run("peerway group share home on");
        }
        for (from, to) in [("laptop", &["office", "phone"][..]), ("cafe", &["office"])] {
            swarm.link(from, to);
        }
        let desk = &swarm.computers["desk"];
        let mut window = desk.terminal();
        window.resize(120, 40);
        window.press(&format!("peerway --record {file}\r"));
        window.until(TAKEN);
        swarm.link("desk", &LINKS.map(|(name, _)| name));
        let busy = [("desk", "laptop"), ("desk", "nas"), ("office", "desk")];
        let busy = busy.map(|(from, to)| {
            swarm.computers[from].start(&format!("peerway speed {to} --seconds 15"))
        });
        for run in busy {
            run.finish();
        }
        leave(&mut window);
        let recorded = std::fs::read_to_string(&file).unwrap();
        assert!(recorded.lines().count() > 10, "{recorded}");
    });
}

fn tells_what_the_lab_knows(window: &mut Terminal) {
    let all_linked = |screen: &str| {
        LINKS.iter().all(|(name, link)| {
            let (glyph, path) = link.split_once(' ').unwrap();
            let begin = format!("{glyph} {name} ");
            let mut rows = screen.lines();
            rows.any(|row| row.contains(&begin) && row.contains(path))
        })
    };
    window.shows_what("how all of the swarm are linked", all_linked);
}

fn says_why_two_are_relayed(window: &mut Terminal) {
    for (name, told) in [
        (
            "phone",
            &[
                "Why is phone relayed?",
                "both routers choose random ports",
                "your NAT: symmetric, random ports",
                "phone's NAT: symmetric, random ports",
                "Switch on UPnP or PCP in either router",
            ][..],
        ),
        (
            "cafe",
            &["Why is cafe relayed?", "the peer's network blocks UDP"],
        ),
    ] {
        press(window, &format!("/{name}\r"), 200);
        press(window, "\r", 200);
        window.shows(told);
        press(window, ESC, 200);
        press(window, "w", 200);
        window.shows(&told[1..2]);
        press(window, ESC, 200);
        press(window, ESC, 200);
    }
    press(window, "1", 200);
}

/// All views and all keys at the size that it has.
fn walk(window: &mut Terminal, columns: u16) {
    for (number, peers) in [
        ("1", true),
        ("2", true),
        ("3", false),
        ("4", true),
        ("5", true),
        ("6", false),
    ] {
        press(window, number, columns);
        if peers && columns >= 80 {
            window.shows(&["phone"]);
        }
    }
    press(window, "2", columns);
    press(window, "\r", columns);
    let keys = keys();
    assert!(keys.len() > 50, "{keys:?}");
    let views: &[&str] = match columns {
        200 => &["1"],
        120 => &["2\r", "5"],
        80 => &["1", "4"],
        60 => &["6"],
        _ => &["3"],
    };
    for view in views {
        for key in &keys {
            window.press(view);
            for pressed in key {
                press(window, pressed, columns);
            }
            window.press(&ESC.repeat(3));
        }
    }
    press(window, "1", columns);
}

/// Presses keys, and waits until every row of the screen is whole.
fn press(window: &mut Terminal, keys: &str, columns: u16) {
    window.press(keys);
    window.at_rest(Duration::from_millis(25));
    if torn(&window.rows(), columns).is_some() {
        window.at_rest(Duration::from_millis(500));
        let rows = window.rows();
        let torn = torn(&rows, columns);
        assert_eq!(torn, None, "after {keys:?}:\n{}", rows.join("\n"));
    }
}

/// A row of panels that has no end, or is too long.
fn torn(rows: &[String], columns: u16) -> Option<&String> {
    rows.iter().find(|row| {
        let is_of_panels = row.starts_with(['┌', '└', '│']);
        let ends = row.ends_with(['┐', '┘', '│']);
        (is_of_panels && !ends) || row.chars().count() > usize::from(columns)
    })
}

/// The keys of the documentation, which are those of the program, but for those that leave.
fn keys() -> Vec<Vec<String>> {
    let (_, from) = DOCS.split_once("<!-- keys").unwrap();
    let (table, _) = from.split_once("<!-- end -->").unwrap();
    let (stays, _) = table.split_once("| Leaving |").unwrap();
    let rows = stays.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cell = row.split(" | ").next().unwrap();
        cell.split('`').skip(1).step_by(2).map(bytes).collect()
    })
    .collect()
}

fn bytes(key: &str) -> String {
    let control = key
        .strip_prefix('^')
        .and_then(|letter| letter.chars().next());
    let named = match key {
        "Enter" => "\r",
        "Tab" => "\t",
        "Shift-Tab" => "\x1b[Z",
        "Left" => "\x1b[D",
        "↑" => "\x1b[A",
        "↓" => "\x1b[B",
        "Home" => "\x1b[H",
        "End" => "\x1b[F",
        "PgUp" => "\x1b[5~",
        "PgDn" => "\x1b[6~",
        "Space" => " ",
        _ => match control {
            Some(letter) => return char::from(letter as u8 & 0x1f).to_string(),
            None => key,
        },
    };
    named.to_owned()
}

fn leave(window: &mut Terminal) {
    window.press("q");
    window.until(GIVEN_BACK);
    window.until("ready> ");
    assert!(window.run("echo ended by $?").contains("ended by 0"));
}

/// Eight computers with a node each. Two of their pairs need the relay and one needs TCP.
struct Swarm {
    computers: BTreeMap<&'static str, Computer>,
    /// The control sockets and tickets of their nodes.
    nodes: BTreeMap<&'static str, (Running, String, String)>,
}

impl Swarm {
    fn new(lab: &mut Lab, folder: &Path) -> Self {
        let relay = pair::named_relay(lab);
        let both = |kind: NatKind| Access {
            ipv6: true,
            ..kind.into()
        };
        let desk = lab.home("desk", both(NatKind::Symmetric)).unwrap();
        let mut homes = vec![
            ("nas", lab.host_beside(&desk, "nas").unwrap()),
            ("desk", desk),
        ];
        for (name, access) in [
            ("laptop", NatKind::PortRestricted.into()),
            ("office", NatKind::Public.into()),
            ("studio", both(NatKind::PortRestricted)),
            ("phone", NatKind::Symmetric.into()),
            ("cafe", NatKind::Blocked.into()),
            // Who is in the address books, and linked to nobody.
            ("cabin", NatKind::DoubleNat.into()),
        ] {
            homes.push((name, lab.home(name, access).unwrap()));
        }
        let computer = |(name, home)| {
            let mut computer = Computer::new(home, name, folder);
            computer.export(&format!("export PEERWAY_RELAY={relay}"));
            (name, computer)
        };
        let computers: BTreeMap<_, _> = homes.into_iter().map(computer).collect();
        let started = |(name, computer): (&&'static str, &Computer)| {
            (
                *name,
                computer.start("peerway expose 8080 --name web --json"),
            )
        };
        let started: Vec<_> = computers.iter().map(started).collect();
        let ready = |(name, node): (&'static str, Running)| {
            let line: Value = node.line().parse().unwrap();
            let text = |key: &str| line[key].as_str().unwrap().to_owned();
            let (socket, ticket) = (text("socket"), text("ticket"));
            (name, (node, socket, ticket))
        };
        let nodes = started.into_iter().map(ready).collect();
        Self { computers, nodes }
    }

    /// Writes all others into a computer's address book.
    fn introduce(&self, to: &str) {
        for (name, (_, _, ticket)) in &self.nodes {
            if *name != to {
                self.computers[to].run(&format!("peerway add {name} {ticket}"));
            }
        }
    }

    /// Has a computer's node keep links to others.
    fn link(&self, from: &str, to: &[&str]) {
        let (_, socket, _) = &self.nodes[from];
        for name in to {
            let (_, _, ticket) = &self.nodes[name];
            let body = format!("{{\"ticket\":\"{ticket}\"}}");
            self.computers[from].run(&format!(
                "curl -sf --unix-socket {socket} --json '{body}' http://peerway/v1/peers"
            ));
        }
    }
}

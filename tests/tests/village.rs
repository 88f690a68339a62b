//! Twelve homes in one group, watched in the dashboard: who is there and how, a file that spreads, and a home that leaves.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, path::Path, sync::LazyLock, time::Duration};

use peerway_lab::{self as lab, Lab, NatKind};
use peerway_tests::{
    PROGRAMS,
    computer::{Computer, Running},
    pair,
    terminal::{GIVEN_BACK, TAKEN, Terminal},
};
use tempfile::TempDir;

const BUDGET: Duration = Duration::from_secs(280);
/// Four kinds of NAT, no NAT, and one without UDP.
const HOMES: [(&str, NatKind); 12] = [
    ("office", NatKind::Public),
    ("desk", NatKind::Symmetric),
    ("attic", NatKind::FullCone),
    ("barn", NatKind::PortRestricted),
    ("cafe", NatKind::Blocked),
    ("dorm", NatKind::DoubleNat),
    ("farm", NatKind::PortRestricted),
    ("flat", NatKind::Symmetric),
    ("hall", NatKind::PortRestricted),
    ("inn", NatKind::FullCone),
    ("mill", NatKind::PortRestricted),
    ("villa", NatKind::Symmetric),
];
/// Who has the file and founded the group, who is looked over the shoulder, and who leaves.
const SEED: &str = "office";
const WATCHED: &str = "desk";
const LEAVING: &str = "hall";

#[test]
fn a_group_of_twelve_homes_is_seen_to_gather_share_a_file_and_lose_a_member() {
    LazyLock::force(&PROGRAMS);
    lab::test(BUDGET, |mut lab| {
        let folder = TempDir::new().unwrap();
        let village = Village::new(&mut lab, folder.path());
        let mut window = village.watch("");
        village.live(&mut window, 8);
        leave(&mut window);
    });
}

/// The same with a larger file, for pictures.
#[test]
#[ignore = "it takes a minute; docs/pictures/make says where to"]
fn twelve_homes_are_recorded_for_the_pictures() {
    LazyLock::force(&PROGRAMS);
    lab::test(BUDGET, |mut lab| {
        let folder = TempDir::new().unwrap();
        let aside = folder.path().join("session.jsonl").display().to_string();
        let file = std::env::var("SESSION_FILE").unwrap_or(aside);
        let village = Village::new(&mut lab, folder.path());
        let mut window = village.watch(&format!(" --record {file}"));
        village.live(&mut window, 64);
        leave(&mut window);
    });
}

/// Computers with a node each, all of one group.
struct Village {
    computers: BTreeMap<&'static str, Computer>,
    /// They end with it.
    _nodes: Vec<Running>,
}

impl Village {
    fn new(lab: &mut Lab, folder: &Path) -> Self {
        let relay = pair::named_relay(lab);
        let mut computers = BTreeMap::new();
        for (name, nat) in HOMES {
            let mut computer = Computer::new(lab.home(name, nat).unwrap(), name, folder);
            computer.export(&format!("export PEERWAY_RELAY={relay}"));
            computers.insert(name, computer);
        }
        let nodes: Vec<_> = computers
            .values()
            .map(|computer| computer.start("peerway up --json"))
            .collect();
        for node in &nodes {
            node.line();
        }
        let seed = &computers[SEED];
        seed.run("peerway group create village");
        let invite = seed.json("peerway group invite village --uses 20");
        let invite = invite[0]["invite"].as_str().unwrap();
        // One after the other: an invite's key is at the relay once.
        for (name, computer) in &computers {
            if *name != SEED {
                computer.run(&format!("peerway group join {invite}"));
            }
        }
        let village = Self {
            computers,
            _nodes: nodes,
        };
        village.introduce();
        for computer in village.computers.values() {
            computer.run("peerway group share village on");
        }
        village
    }

    /// At the one that is watched all others have names.
    fn introduce(&self) {
        let watched = &self.computers[WATCHED];
        for (name, computer) in &self.computers {
            if *name != WATCHED {
                let id = computer.json("peerway id")[0]["id"].clone();
                watched.run(&format!("peerway add {name} {}", id.as_str().unwrap()));
            }
        }
    }

    fn watch(&self, options: &str) -> Terminal {
        let mut window = self.computers[WATCHED].terminal();
        window.resize(120, 40);
        window.press(&format!("peerway{options}\r"));
        window.until(TAKEN);
        window
    }

    /// What happens there, and what is seen of it.
    fn live(&self, window: &mut Terminal, megabytes: usize) {
        let members = HOMES.len();
        window.press("8");
        window.shows(&["village", &format!("{members} of {members} online")]);
        let seed = &self.computers[SEED];
        seed.run("peerway group post village the film is there");
        window.shows(&["1 unread", "the film is there"]);

        seed.run(&format!(
            "dd if=/dev/urandom of=film.mkv bs=1M count={megabytes} status=none"
        ));
        let shared = seed.json("peerway share film.mkv --public");
        let link = shared[0]["link"].as_str().unwrap();
        let others = self.computers.iter().filter(|(name, _)| **name != SEED);
        let fetching: Vec<_> = others
            .map(|(_, computer)| computer.start(&format!("peerway get {link}")))
            .collect();
        window.press("7");
        window.shows(&["film.mkv", "fetching", "pieces"]);
        window.press("8");
        window.shows_what("why two symmetric NATs are relayed", |screen| {
            let mut rows = screen.lines();
            rows.any(|row| row.contains("◐ ") && row.contains("relay") && row.contains("hard NATs"))
        });
        window.press("7");
        for fetch in fetching {
            fetch.finish();
        }
        window.shows(&["film.mkv", "fetched"]);

        self.computers[LEAVING].run("peerway group leave village");
        window.press("8");
        let left = |screen: &str| {
            let mut rows = screen.lines();
            rows.any(|row| row.contains(LEAVING) && row.contains("left"))
        };
        window.shows_what("that a home has left", left);
        // Who leaves is linked to no member, but the others are to each other.
        let others = members - 1;
        window.shows(&[&format!("{others} of {others} online")]);
    }
}

fn leave(window: &mut Terminal) {
    window.press("q");
    window.until(GIVEN_BACK);
    window.until("ready> ");
}

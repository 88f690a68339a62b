//! The dashboard of a node that is behind another router.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{sync::LazyLock, time::Duration};

use peerway_lab::{self as lab, NatKind};
use peerway_tests::{
    PROGRAMS,
    computer::{Computer, Running},
    pair,
    terminal::{GIVEN_BACK, TAKEN},
};
use serde_json::Value;
use tempfile::TempDir;

const BUDGET: Duration = Duration::from_secs(120);

#[test]
fn a_node_behind_another_router_is_watched_by_its_admin_and_by_nobody_else() {
    LazyLock::force(&PROGRAMS);
    lab::test(BUDGET, |mut lab| {
        let folder = TempDir::new().unwrap();
        let relay = pair::named_relay(&lab);
        let [desk, nas] = ["desk", "nas"].map(|name| {
            let home = lab.home(name, NatKind::PortRestricted).unwrap();
            let mut computer = Computer::new(home, name, folder.path());
            computer.export(&format!("export PEERWAY_RELAY={relay}"));
            computer
        });
        let (_desk_node, desk_ticket) = up(&desk);
        let (_nas_node, nas_ticket) = up(&nas);
        desk.run(&format!("peerway add nas {nas_ticket}"));
        nas.run(&format!("peerway add desk {desk_ticket}"));

        let mut window = desk.terminal();
        window.resize(120, 40);
        window.press("peerway top nas\r");
        window.until("is no admin there: `peerway admin");
        window.until("ready> ");
        assert!(window.run("echo ended by $?").contains("ended by 8"));

        nas.run("peerway admin desk read");
        window.press("peerway top nas\r");
        window.until(TAKEN);
        // Who looks is itself among the peers.
        window.shows(&[
            "the node of nas, to look at",
            "READ-ONLY",
            "● desk",
            "direct v4",
        ]);
        window.press("q");
        window.until(GIVEN_BACK);
        window.until("ready> ");

        nas.run("peerway admin desk full");
        window.press("peerway top nas\r");
        window.until(TAKEN);
        window.shows(&[
            "the node of nas, asked by the node that runs here",
            "● desk",
        ]);
        // What it no more may shows at once, comes back when it may again, and leaves the terminal as it was.
        nas.run("peerway admin desk none");
        window.shows(&[
            "LOST",
            "no contact with the node since",
            "is no admin there",
        ]);
        nas.run("peerway admin desk read");
        window.shows_what("contact", |screen| {
            screen.contains("LIVE") && !screen.contains("no contact")
        });
        window.press("q");
        window.until(GIVEN_BACK);
        window.until("ready> ");
        assert!(window.run("echo ended by $?").contains("ended by 0"));
    });
}

/// A node that runs there, and its ticket.
fn up(computer: &Computer) -> (Running, String) {
    let node = computer.start("peerway up --json");
    let line: Value = node.line().parse().unwrap();
    (node, line["ticket"].as_str().unwrap().to_owned())
}

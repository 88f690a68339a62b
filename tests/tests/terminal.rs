//! The dashboard as a guest in a real terminal, under a real shell.

#![cfg(target_os = "linux")]

use std::process::Command;

use peerway_tests::{
    PROGRAMS,
    terminal::{GIVEN_BACK, TAKEN, Terminal},
};

/// A node that talks to nobody.
fn dashboard(folder: &tempfile::TempDir) -> String {
    format!(
        "{} --state-dir {} --bind 127.0.0.1:0 --no-lan --no-tcp",
        PROGRAMS.join("peerway").display(),
        folder.path().display()
    )
}

#[test]
fn the_dashboard_stops_as_a_job_and_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = Terminal::start(Command::new("script"));
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
    let mut session = Terminal::start(Command::new("script"));
    session.press(&format!("{} demo\n", PROGRAMS.join("peerway").display()));
    session.until(TAKEN);
    session.shows(&["home A", "home B", "◌ hello", "◐ relay", "● direct v4"]);
    session.press("q");
    session.until(GIVEN_BACK);
}

//! The dashboard as a guest in a real terminal, under a real shell.

#![cfg(target_os = "linux")]

use std::{process::Command, sync::Arc};

use futures_util::{StreamExt, stream};
use peerway::NodeSnapshot;
use peerway_tests::{
    PROGRAMS,
    terminal::{GIVEN_BACK, TAKEN, Terminal},
};
use peerway_tui::dash::{self, Feed, Options};
use tokio::sync::{mpsc, watch};

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
fn a_window_on_a_node_says_that_it_is_gone_and_shows_it_again_once_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let peerway = |command: &str| {
        let line = format!("{} {command}", dashboard(&folder));
        let ran = Command::new("sh").args(["-c", &line]).output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
    };
    peerway("up --detach");
    let mut session = Terminal::start(Command::new("script"));
    session.press(&format!("{}\n", dashboard(&folder)));
    session.until(TAKEN);
    session.shows(&["LIVE"]);
    for _ in 0..2 {
        peerway("down");
        session.shows(&[
            "LOST",
            "no contact with the node since",
            "the node has ended",
        ]);
        peerway("up --detach");
        session.shows_what("the node that is back", |screen| {
            screen.contains("LIVE") && !screen.contains("no contact")
        });
    }
    session.press("q");
    session.until(GIVEN_BACK);
    peerway("down");
}

#[test]
fn who_ends_the_dashboard_by_a_signal_gets_the_terminal_back() {
    for signal in ["TERM", "HUP", "INT"] {
        let folder = tempfile::tempdir().unwrap();
        let mut session = Terminal::start(Command::new("script"));
        let modes = session.run("stty -g");
        let pid = folder.path().join("pid");
        let dashboard = dashboard(&folder);
        session.press(&format!(
            "sh -c 'echo $$ > {}; exec {dashboard}'\n",
            pid.display()
        ));
        session.until(TAKEN);
        session.until("LIVE");
        let pid = std::fs::read_to_string(pid).unwrap();
        let killed = Command::new("kill")
            .args([&format!("-{signal}"), pid.trim()])
            .status();
        assert!(killed.unwrap().success());
        let last = session.until(GIVEN_BACK);
        session.until("ready> ");
        assert!(!last.contains("panicked"), "{last:?}");
        let ended = session.run("echo ended by $?");
        assert!(ended.contains("ended by 0"), "{signal}: {ended:?}");
        assert_eq!(session.run("stty -g"), modes, "{signal}");
        drop(session);
    }
}

#[test]
fn a_terminal_of_no_cells_and_one_of_very_many_are_survived() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = Terminal::start(Command::new("script"));
    let modes = session.run("stty -g");
    session.press(&format!("{}\n", dashboard(&folder)));
    session.until(TAKEN);
    session.until("LIVE");
    for (columns, rows) in [(0, 0), (1, 1), (500, 200), (0, 24), (80, 0)] {
        session.resize(columns, rows);
        // Each key is a frame, at whatever size.
        session.press("2\r1?\x1b[27u5");
        session.at_rest(std::time::Duration::from_millis(200));
    }
    session.resize(39, 9);
    session.shows(&["too small"]);
    session.resize(80, 24);
    session.shows(&["LIVE", "Map"]);
    session.press("q");
    session.until(GIVEN_BACK);
    session.until("ready> ");
    assert!(session.run("echo ended by $?").contains("ended by 0"));
    assert_eq!(session.run("stty -g"), modes);
}

/// Set where the dashboard is to panic.
const PANICS: &str = "DASHBOARD_PANICS";

/// What it says stands below what was there before, and not on the dashboard.
#[test]
fn a_panic_gives_the_terminal_back_before_it_is_told() {
    let mut session = Terminal::start(Command::new("script"));
    let modes = session.run("stty -g");
    let this = std::env::current_exe().unwrap();
    session.press(&format!(
        "RUST_BACKTRACE=0 {PANICS}=1 {} --exact terminal::dashboard_that_panics --ignored --nocapture\n",
        this.display()
    ));
    session.until(TAKEN);
    session.until(GIVEN_BACK);
    let told = session.until("ready> ");
    assert!(told.contains("a part of it panics"), "{told:?}");
    assert!(!told.contains(TAKEN), "{told:?}");
    assert_eq!(session.run("stty -g"), modes);
}

#[tokio::test]
#[ignore = "it is run in a terminal by another test"]
async fn dashboard_that_panics() {
    if std::env::var_os(PANICS).is_none() {
        return;
    }
    let id = peerway::SecretKey::from_seed(&[1; 32]).id();
    let (_samples, snapshots) = watch::channel(Arc::new(NodeSnapshot::empty(id)));
    let (commands, _requests) = mpsc::channel(1);
    let feed = Feed {
        snapshots,
        events: stream::pending().boxed(),
        outages: stream::pending().boxed(),
        commands,
        people: stream::once(async { panic!("a part of it panics") }).boxed(),
        commons: stream::pending().boxed(),
        swarm: stream::pending().boxed(),
    };
    dash::run(feed, Options::default()).await.unwrap();
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

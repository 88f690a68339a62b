//! A node that runs, and the commands and programs that are about it.

use std::{os::unix::fs::MetadataExt, path::Path, process::Stdio};

use peerway_tests::PROGRAMS;
use serde_json::Value;
use tokio::{process::Command, time::timeout};

use crate::commands::{PATIENCE, Running, World};

const PAGE: &str = include_str!("../../docs/control.md");

#[tokio::test]
async fn commands_are_about_the_node_that_runs_and_end_it() {
    let world = World::new().await;
    let mut up = world.start("a", &["up"]);
    let ticket = up.ready().await;
    let (_peer, peer_ticket) = world.up("b").await;

    let status = world.run("a", &["status"]).await;
    assert_eq!(
        status.lines[0]["ticket"],
        ticket.as_str(),
        "{}",
        status.stderr
    );
    let mut events = world.start("a", &["events"]);
    let ping = world.run("b", &["ping", &ticket, "-c", "1"]).await;
    assert_eq!(ping.code, 0, "{}", ping.stderr);
    events.wait_for("connected").await;
    let other = world.run("c", &["events"]).await;
    assert_eq!(other.code, 6, "{}", other.stderr);
    assert!(other.stderr.contains("peerway up"), "{}", other.stderr);

    let down = world.run("a", &["down"]).await;
    assert_eq!(down.code, 0, "{}", down.stderr);
    events.finish(0).await;
    up.finish(0).await;
    let again = world.run("a", &["down"]).await;
    assert_eq!(again.code, 6, "{}", again.stderr);
    // Its identity is free at once.
    let (up, _) = world.up("a").await;
    let reached = world.run("a", &["ping", &peer_ticket, "-c", "1"]).await;
    assert_eq!(reached.code, 0, "{}", reached.stderr);
    up.terminate().await;
}

#[tokio::test]
async fn a_node_in_the_background_is_ready_when_the_command_ends_and_is_not_started_twice() {
    let world = World::new().await;
    let first = world.run("a", &["up", "--detach"]).await;
    assert_eq!(first.code, 0, "{}", first.stderr);
    let ticket = first.lines[0]["ticket"].as_str().unwrap();
    let ping = world.run("b", &["ping", ticket, "-c", "1"]).await;
    assert_eq!(ping.code, 0, "{}", ping.stderr);
    let mut watch = world.start("a", &["watch"]);
    assert_eq!(watch.line().await["ticket"], ticket);
    let said = world.run("a", &["logs"]).await;
    assert_eq!(said.code, 0, "{}", said.stderr);
    let started = said.lines[0]["line"].as_str().unwrap();
    assert!(started.ends_with("started in the background"), "{started}");
    let nothing = world.run("b", &["logs"]).await;
    assert_eq!(nothing.code, 1, "{}", nothing.stderr);
    let second = world.run("a", &["up", "--detach"]).await;
    assert_eq!(second.code, 1, "{}", second.stderr);
    assert!(second.stderr.contains("peerway down"), "{}", second.stderr);
    let down = world.run("a", &["down"]).await;
    assert_eq!(down.code, 0, "{}", down.stderr);
    watch.finish(0).await;

    let relay = world.relay.replace("127.0.0.1", "256.0.0.1");
    let wrong = world
        .run("a", &["up", "--detach", "--fail-fast", "--relay", &relay])
        .await;
    assert_ne!(wrong.code, 0);
    assert!(wrong.stderr.contains("256.0.0.1"), "{}", wrong.stderr);
}

#[tokio::test]
async fn all_that_is_to_be_known_of_a_node_is_told_before_it_is_left_in_the_background() {
    let world = World::new().await;
    let json = world.command("a", &["up"]);
    let mut command = Command::new(PROGRAMS.join("peerway"));
    command.args(["up", "--detach", "--serve-relay", "127.0.0.1:0"]);
    let variables = json.as_std().get_envs();
    command.envs(variables.filter_map(|(name, value)| Some((name, value?))));
    let started = timeout(PATIENCE, command.output()).await.unwrap().unwrap();
    let said = String::from_utf8(started.stdout).unwrap();
    for start in [
        "ready as ",
        "a relay for others: --relay relay://",
        "on the other side: ",
    ] {
        assert!(said.lines().any(|line| line.starts_with(start)), "{said}");
    }
    let down = world.run("a", &["down"]).await;
    assert_eq!(down.code, 0, "{}", down.stderr);
}

/// S10: nobody else gets at the socket, whatever mask files are made under.
#[tokio::test]
async fn the_socket_is_its_owners_alone_under_any_umask() {
    for umask in ["000", "077"] {
        let world = World::new().await;
        let up = world.command("a", &["up"]);
        let mut command = Command::new("sh");
        command.args(["-c", &format!("umask {umask}; exec \"$0\" up --json")]);
        command.arg(PROGRAMS.join("peerway"));
        for (name, value) in up.as_std().get_envs() {
            command.env(name, value.unwrap());
        }
        let mut up = Running::start(command);
        let ready = up.line().await;
        let socket = Path::new(ready["socket"].as_str().unwrap());
        let mode = |path: &Path| path.symlink_metadata().unwrap().mode() & 0o777;
        assert_eq!(mode(socket), 0o600, "{umask}");
        assert_eq!(mode(socket.parent().unwrap()), 0o700, "{umask}");
        up.terminate().await;
        assert!(!socket.exists(), "it is gone with its node");
    }
}

#[tokio::test]
async fn a_node_that_was_killed_leaves_nothing_in_the_way_of_the_next() {
    let world = World::new().await;
    let (up, _) = world.up("a").await;
    up.kill().await;
    let gone = world.run("a", &["down"]).await;
    assert_eq!(gone.code, 6, "{}", gone.stderr);
    let (up, ticket) = world.up("a").await;
    let status = world.run("a", &["status"]).await;
    assert_eq!(status.lines[0]["ticket"], ticket.as_str());
    up.terminate().await;
}

#[tokio::test]
async fn what_the_page_has_curl_ask_is_answered() {
    let world = World::new().await;
    let mut up = world.start("a", &["up"]);
    let ready = up.line().await;
    let (peer, ticket) = world.up("b").await;
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().to_str().unwrap();
    let mut taking = world.start("b", &["receive", into, "--yes"]);
    taking.ready().await;
    let asked: Vec<_> = PAGE
        .lines()
        .filter(|line| line.starts_with("curl "))
        .collect();
    assert!(asked.len() > 5, "{asked:?}");
    for line in asked {
        let curl = Command::new("sh")
            .args(["-c", line])
            .env("SOCKET", ready["socket"].as_str().unwrap())
            .env("PEER", &ticket)
            .stderr(Stdio::inherit())
            .output();
        let output = timeout(PATIENCE, curl).await.unwrap().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let json = text.strip_prefix("data: ").unwrap_or(&text);
        // The last step of what was measured or sent.
        let is_last = [r#"{"event":"done"}"#, r#"{"event":"sent","#]
            .iter()
            .any(|last| json.starts_with(last));
        assert_eq!(line.ends_with("| tail -n 2"), is_last, "{line}: {text}");
        let is_json = serde_json::from_str::<Value>(json).is_ok();
        let is_metrics = line.ends_with("/metrics") && text.ends_with("# EOF\n");
        let is_done = line.contains("--json") && text.is_empty();
        assert!(is_json || is_metrics || is_done, "{line}: {text}");
    }
    taking.terminate().await;
    peer.terminate().await;
    up.terminate().await;
}

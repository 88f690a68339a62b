//! The program `peerway-relay`, as scripts see it.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
};

use peerway::RelayUrl;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peerway-relay"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Starts the program and reads its first line.
fn start(state_dir: &std::path::Path, options: &[&str]) -> (Child, String) {
    let mut child = program()
        .args(["--bind", "127.0.0.1:0", "--state-dir"])
        .arg(state_dir)
        .args(options)
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    (child, line)
}

fn url_of(line: &str) -> RelayUrl {
    let ready: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(ready["event"], "ready");
    ready["url"].as_str().unwrap().parse().unwrap()
}

fn terminate(child: &Child) {
    let sent = Command::new("kill").arg(child.id().to_string()).status();
    assert!(sent.unwrap().success());
}

#[test]
fn the_first_line_names_the_url_and_a_terminated_relay_ends_well() {
    let state = tempfile::tempdir().unwrap();
    let (mut child, line) = start(state.path(), &["--json"]);
    let url = url_of(&line);
    assert_eq!(url.host(), "127.0.0.1");
    terminate(&child);
    assert_eq!(child.wait().unwrap().code(), Some(0));

    let (mut again, line) = start(state.path(), &["--json", "--host", "relay.example.org"]);
    assert_eq!(url_of(&line).key(), url.key(), "the key was kept");
    assert_eq!(url_of(&line).host(), "relay.example.org");
    terminate(&again);
    assert_eq!(again.wait().unwrap().code(), Some(0));
}

#[test]
fn a_port_in_use_is_a_one_line_cause() {
    let state = tempfile::tempdir().unwrap();
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let output = program()
        .args(["--bind", &taken.local_addr().unwrap().to_string()])
        .arg("--state-dir")
        .arg(state.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains("cannot open UDP"), "{stderr}");
}

#[test]
fn a_bad_value_names_the_expected_form() {
    for (option, value, expected) in [
        ("--bind", "here", "0.0.0.0:4433"),
        ("--client-rate", "fast", "64M"),
        ("--host", "a b", "relay.example.org"),
    ] {
        let mut child = program()
            .args(["--state-dir", "unused", option, value])
            .spawn()
            .unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(2));
        let mut stderr = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        assert!(stderr.contains(expected), "{stderr}");
    }
}

#[test]
fn options_can_come_from_the_environment() {
    let state = tempfile::tempdir().unwrap();
    let output = program()
        .env("PEERWAY_RELAY_STATE_DIR", state.path())
        .env("PEERWAY_RELAY_BIND", "nowhere")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_key_that_others_can_read_stops_the_program() {
    use std::os::unix::fs::PermissionsExt;
    let state = tempfile::tempdir().unwrap();
    let key = state.path().join("relay.key");
    peerway::keyfile::load_or_create(&key).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let output = program()
        .args(["--bind", "127.0.0.1:0", "--state-dir"])
        .arg(state.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("chmod 600"), "{stderr}");
}

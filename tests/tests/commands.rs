//! The programs as scripts use them: built, started on loopback with a relay between them, and read line by line.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{process::Stdio, time::Duration};

use peerway::Ticket;
use peerway_tests::PROGRAMS;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdout, Command},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

/// Far longer than anything takes, for a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Before a dial ends that goes on because the peer may have been forgotten.
const SOON: Duration = Duration::from_secs(24);

#[tokio::test]
async fn a_peer_answers_ping_and_speed_and_becomes_direct() {
    let world = World::new().await;
    let (up, ticket) = world.up("a").await;

    let ping = world.run("b", &["ping", &ticket, "-c", "2"]).await;
    assert_eq!(ping.code, 0, "{}", ping.stderr);
    let [first, _, summary] = &ping.lines[..] else {
        panic!("expected two replies and a summary, got {:?}", ping.lines);
    };
    assert_eq!(first["event"], "reply");
    assert_eq!(first["seq"], 1);
    assert!(first["rtt_ms"].as_f64().unwrap() > 0.0);
    assert!(["relay", "direct"].contains(&first["path"]["kind"].as_str().unwrap()));
    assert_eq!(summary["event"], "summary");
    assert_eq!(
        (&summary["sent"], &summary["received"]),
        (&2.into(), &2.into())
    );
    for clock in ["online_ms", "connected_ms", "first_reply_ms"] {
        assert!(summary[clock].as_f64().unwrap() > 0.0, "{clock}");
    }

    let direct = world.run("b", &["ping", &ticket, "--until-direct"]).await;
    assert_eq!(direct.code, 0, "{}", direct.stderr);
    let summary = direct.lines.last().unwrap();
    assert_eq!(summary["path_kind"], "direct");
    assert!(summary["direct_ms"].is_f64());

    let speed = world
        .run("b", &["speed", &ticket, "--seconds", "0.5"])
        .await;
    assert_eq!(speed.code, 0, "{}", speed.stderr);
    let summary = speed.lines.last().unwrap();
    assert!(summary["down_mbps"].as_f64().unwrap() > 0.0);
    assert!(summary["up_mbps"].as_f64().unwrap() > 0.0);
    up.terminate().await;
}

#[tokio::test]
async fn a_command_beside_a_running_node_leaves_it_its_identity() {
    let world = World::new().await;
    let (up, ticket) = world.up("a").await;
    let itself = world.run("a", &["ping", &ticket, "-c", "1"]).await;
    assert_eq!(itself.code, 2, "{}", itself.stderr);
    let told = "cannot dial itself";
    assert!(itself.stderr.contains(told), "{}", itself.stderr);
    let second = world.run("a", &["up"]).await;
    assert_eq!(second.code, 1);
    assert!(second.stderr.contains("--state-dir"), "{}", second.stderr);
    let other = world.run("b", &["ping", &ticket, "-c", "1"]).await;
    assert_eq!(other.code, 0, "{}", other.stderr);
    up.terminate().await;
}

#[tokio::test]
async fn two_nodes_meet_at_the_relay_that_a_third_one_is_as_long_as_that_runs() {
    let world = World::new().await;
    let mut third = world.start("third", &["up", "--serve-relay", "127.0.0.1:0"]);
    let ready = third.line().await;
    let relay = ready["relay"].as_str().unwrap();
    let options = ["--relay-only", "--relay", relay];
    let mut up = world.start("a", &[&["up"], &options[..]].concat());
    let ticket = up.ready().await;
    let ping = [&["ping", &ticket, "-c", "2"], &options[..]].concat();
    let pinged = world.run("b", &ping).await;
    assert_eq!(pinged.code, 0, "{}", pinged.stderr);
    let by = &pinged.lines[0]["path"];
    assert_eq!(
        (&by["kind"], &by["remote"]),
        (&"relay".into(), &relay.into())
    );

    let own = ready["ticket"].as_str().unwrap();
    let pinged = world.run("b", &["ping", own, "-c", "1"]).await;
    assert_eq!(pinged.code, 0, "{}", pinged.stderr);

    third.terminate().await;
    up.wait_for("relay_down").await;
    up.terminate().await;
}

#[tokio::test]
async fn a_peer_that_answers_no_pings_is_linked_all_the_same() {
    let world = World::new().await;
    let mut up = world.start("a", &["up", "--no-diagnostics"]);
    let ticket = up.ready().await;
    let why = world.run("b", &["why", &ticket]).await;
    assert_eq!(why.code, 0, "{}", why.stderr);
    assert_eq!(why.lines[0]["state"], "direct");
    for command in ["ping", "speed"] {
        let refused = world.run("b", &[command, &ticket]).await;
        assert_eq!(refused.code, 1, "{}", refused.stderr);
        let told = "is linked, but answers neither";
        assert!(refused.stderr.contains(told), "{}", refused.stderr);
    }
    up.terminate().await;
}

#[tokio::test]
async fn a_peer_that_was_dialled_once_is_named_by_eight_letters() {
    let world = World::new().await;
    let (up, ticket) = world.up("a").await;
    let id = world.run("a", &["id"]).await.lines[0]["id"].clone();
    let letters = &id.as_str().unwrap()[..8];
    for (peer, code) in [(letters, 2), (&ticket, 0), (letters, 0)] {
        let ping = world.run("b", &["ping", peer, "-c", "1"]).await;
        assert_eq!(ping.code, code, "{}", ping.stderr);
        assert_eq!(ping.stderr.contains("its whole id"), code == 2);
    }
    up.terminate().await;
}

#[tokio::test]
async fn a_peer_is_named_as_the_address_book_does() {
    let world = World::new().await;
    let (up, ticket) = world.up("a").await;
    let added = world.run("b", &["add", "nas", &ticket]).await;
    assert_eq!(added.code, 0, "{}", added.stderr);
    assert_eq!(
        (&added.lines[0]["name"], &added.lines[0]["ticket"]),
        (&"nas".into(), &ticket.clone().into())
    );
    for (arguments, code, told) in [
        (&["ping", "nas", "-c", "1"][..], 0, ""),
        (&["add", "nas", &ticket[..60]], 2, "PEERWAY1"),
        (&["rename", "nas", "archive"], 0, ""),
        (&["ping", "nas"], 2, "called nas"),
        (&["ping", "archiv"], 2, "did you mean archive?"),
        (&["why", "archive"], 0, ""),
        (&["block", "archive"], 0, ""),
        (&["ping", "archive"], 1, "`peerway allow archive` first"),
        (&["ping", &ticket], 1, "`peerway allow archive` first"),
        (&["allow", "archive"], 0, ""),
        (&["speed", "archive", "--seconds", "0.1"], 0, ""),
        (&["remove", "archive"], 0, ""),
        (&["remove", &ticket], 2, "not in the address book"),
    ] {
        let done = world.run("b", arguments).await;
        assert_eq!(done.code, code, "{arguments:?}: {}", done.stderr);
        assert!(done.stderr.contains(told), "{arguments:?}: {}", done.stderr);
    }
    let itself = world.run("a", &["add", "me", &ticket]).await;
    assert_eq!(itself.code, 2, "{}", itself.stderr);
    let known = world.run("b", &["peers"]).await;
    assert_eq!(
        known.lines[0]["name"],
        Value::Null,
        "dialled, but forgotten"
    );
    assert_eq!(known.lines.last().unwrap()["strangers"], "allow");
    up.terminate().await;
}

#[tokio::test]
async fn a_running_node_lets_in_whom_the_address_book_allows_from_one_change_to_the_next() {
    let world = World::new().await;
    let mut command = world.command("a", &["up"]);
    command.stderr(Stdio::piped());
    let mut up = Running::start(command);
    let mut said = BufReader::new(up.child.stderr.take().unwrap()).lines();
    let ticket = up.ready().await;
    let caller = world.run("b", &["id"]).await.lines[0]["id"].clone();
    let caller = caller.as_str().unwrap();
    let ping = ["ping", &ticket, "-c", "1", "--timeout", "2"];
    let until = async |code| while world.run("b", &ping).await.code != code {};
    let unreachable = 4;
    let steps: [(&[&str], i32); 6] = [
        (&["block", caller], unreachable),
        (&["allow", caller], 0),
        (&["block", "--strangers"], 0),
        (&["remove", caller], unreachable),
        (&["add", "friend", caller], 0),
        (&["allow", "--strangers"], 0),
    ];
    for (arguments, then) in steps {
        let changed = world.run("a", arguments).await;
        assert_eq!(changed.code, 0, "{arguments:?}: {}", changed.stderr);
        timeout(PATIENCE, until(then)).await.unwrap();
    }
    let book = world.folder.path().join("a/book.toml");
    let good = tokio::fs::read_to_string(&book).await.unwrap();
    let nonsense = format!("{good}trust = \"blokc\"\n");
    tokio::fs::write(&book, &nonsense).await.unwrap();
    let line = nonsense.lines().count();
    let told = format!("book.toml, line {line}: trust is");
    let complaint = async { while !said.next_line().await.unwrap().unwrap().contains(&told) {} };
    timeout(PATIENCE, complaint).await.unwrap();
    assert_eq!(world.run("b", &ping).await.code, 0, "as it was");
    up.terminate().await;
    let refused = world.run("a", &["up"]).await;
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains(&told), "{}", refused.stderr);
}

#[tokio::test]
async fn waiting_for_a_direct_path_in_vain_ends_with_the_cause_and_what_would_help() {
    let world = World::new().await;
    let mut up = world.start("a", &["up", "--relay-only"]);
    let ticket = up.ready().await;
    let ping = ["ping", &ticket, "--until-direct", "--timeout", "2"];
    let ping = world.run("b", &ping).await;
    assert_eq!(ping.code, 3, "{}", ping.stderr);
    for told in ["was told to use relays only", "Ask the peer to start"] {
        assert!(ping.stderr.contains(told), "{}", ping.stderr);
    }
    up.terminate().await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_node_whose_output_nobody_reads_serves_peers_and_ends_when_told() {
    let world = World::new().await;
    let id = world.run("a", &["id"]).await.lines[0]["id"].clone();
    let id = id.as_str().unwrap();
    let (full, _reader) = tokio::net::unix::pipe::pipe().unwrap();
    full.writable().await.unwrap();
    while full.try_write(&[b'\n'; 4096]).is_ok() {}
    let mut up = world.command("a", &["up"]);
    up.stdout(full.into_blocking_fd().unwrap());
    let mut up = up.kill_on_drop(true).spawn().unwrap();
    let answered = async { while world.run("b", &["ping", id, "-c", "1"]).await.code != 0 {} };
    timeout(PATIENCE, answered).await.unwrap();
    terminate(&mut up).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_node_ends_with_its_terminal_unless_it_was_told_to_outlive_it() {
    let world = World::new().await;
    for (hangups, ends) in [
        ("--default-signal=HUP", true),
        ("--ignore-signal=HUP", false),
    ] {
        let plain = world.command("a", &["up"]);
        let mut command = Command::new("env");
        command.arg(hangups).arg(plain.as_std().get_program());
        command.args(plain.as_std().get_args());
        command.envs(
            plain
                .as_std()
                .get_envs()
                .filter_map(|(key, value)| Some((key, value?))),
        );
        let mut up = Running::start(command);
        up.ready().await;
        send_signal(&up.child, "-HUP").await;
        if !ends {
            let alive = timeout(Duration::from_secs(1), up.child.wait()).await;
            assert!(alive.is_err(), "it ended");
            send_signal(&up.child, "-TERM").await;
        }
        let status = timeout(PATIENCE, up.child.wait()).await.unwrap().unwrap();
        assert_eq!(status.code(), Some(0));
    }
}

#[tokio::test]
async fn the_network_is_reported_with_every_key() {
    let world = World::new().await;
    let report = world.run("a", &["netcheck"]).await;
    assert_eq!(report.code, 0, "{}", report.stderr);
    let [report] = &report.lines[..] else {
        panic!("expected one object, got {:?}", report.lines);
    };
    assert_eq!(report["udp"], true);
    assert!(report["ipv4"]["public"].is_string());
    for axis in ["mapping", "filtering"] {
        assert!(report["nat"][axis].is_string(), "{axis}");
    }
    assert_eq!(report["relays"][0]["url"], world.relay);
    assert!(report["relays"][0]["rtt_ms"].is_number());

    let status = world.run("a", &["status"]).await;
    assert_eq!(status.code, 0, "{}", status.stderr);
    assert!(status.lines[0]["id"].is_string());
}

#[tokio::test]
async fn bytes_go_through_a_forward_unchanged_and_it_outlives_a_restart_of_the_other_side() {
    let world = World::new().await;
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = server.local_addr().unwrap().to_string();
    let mut serving = JoinSet::new();
    serving.spawn(echo(server));

    let arguments = ["expose", &target, "--name", "web"];
    let mut expose = world.start("a", &arguments);
    let ticket = expose.ready().await;
    let service = format!("{ticket}/web");
    let mut forward = world.start("b", &["forward", &service, "--listen", "127.0.0.1:0"]);
    let listening = forward.line().await;
    assert_eq!(listening["event"], "listening");
    let addr = listening["addr"].as_str().unwrap().to_owned();
    // It goes on when nobody reads by which paths.
    let Running { mut child, lines } = forward;
    drop(lines);

    let mut transfers = JoinSet::new();
    for seed in 0..8 {
        transfers.spawn(send_and_compare(addr.clone(), seed));
    }
    while let Some(done) = transfers.join_next().await {
        done.unwrap();
    }

    let mut open = TcpStream::connect(&addr).await.unwrap();
    open.write_all(b"x").await.unwrap();
    open.read_exact(&mut [0]).await.unwrap();
    expose.child.kill().await.unwrap();
    let mut expose = world.start("a", &arguments);
    assert_eq!(expose.ready().await, ticket);
    timeout(PATIENCE, send_and_compare(addr, 9)).await.unwrap();
    // What the former process held is not waited for.
    let ended = timeout(PATIENCE / 4, open.read(&mut [0])).await.unwrap();
    assert!(ended.is_err() || ended.is_ok_and(|read| read == 0));
    terminate(&mut child).await;
    expose.terminate().await;
}

#[tokio::test]
async fn a_node_and_a_forward_start_before_their_relay_and_their_peer() {
    let world = World::new().await;
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = server.local_addr().unwrap().to_string();
    let mut serving = JoinSet::new();
    serving.spawn(echo(server));
    let id = world.run("a", &["id"]).await.lines[0]["id"].clone();
    let service = format!("{}/web", id.as_str().unwrap());

    let forward = ["forward", &service, "--listen", "127.0.0.1:0"];
    let mut forward = world.start("b", &forward);
    let listening = forward.line().await;
    let addr = listening["addr"].as_str().unwrap().to_owned();
    let refused = TcpStream::connect(&addr).await.unwrap();
    let told = forward.line().await;
    assert_eq!(
        (&told["event"], &told["by"]),
        (&"refused".into(), &"way".into())
    );
    drop(refused);

    // Nobody is at the discard port.
    let key = id.as_str().unwrap();
    let relays = format!("relay://{key}@127.0.0.1:9,{}", world.relay);
    let arguments = ["expose", &target, "--name", "web", "--relay", &relays];
    let mut expose = world.start("a", &arguments);
    expose.ready().await;
    forward.wait_for("path_changed").await;
    timeout(PATIENCE, send_and_compare(addr.clone(), 3))
        .await
        .unwrap();

    let mut open = TcpStream::connect(&addr).await.unwrap();
    open.write_all(b"x").await.unwrap();
    open.read_exact(&mut [0]).await.unwrap();
    expose.child.kill().await.unwrap();
    let mut expose = world.start("a", &arguments);
    expose.ready().await;
    timeout(PATIENCE, send_and_compare(addr, 4)).await.unwrap();
    forward.wait_for("cut").await;
    forward.terminate().await;
    expose.terminate().await;
}

#[tokio::test]
async fn a_relay_with_another_key_is_told_of_once_and_measures_nothing() {
    let world = World::new().await;
    let id = world.run("b", &["id"]).await.lines[0]["id"].clone();
    let key = world.relay.split(['/', '@']).nth(2).unwrap();
    let impostor = world.relay.replace(key, id.as_str().unwrap());
    let status = world.run("c", &["status", "--relay", &impostor]).await;
    assert_eq!(status.code, 0, "{}", status.stderr);
    let seen = &status.lines[0];
    assert_eq!(seen["relays"][0]["impostor"], true);
    let network = &seen["network"];
    for unknown in [&network["nat"]["mapping"], &network["nat"]["filtering"]] {
        assert_eq!(unknown, "unknown", "{network}");
    }
    assert_eq!(network["nat_evidence"]["answered"], 0, "{network}");

    let mut up = world.command("c", &["up", "--relay", &impostor]);
    let mut up = up
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    // It has tried several times when it says that nobody but neighbours reaches it.
    let mut said = BufReader::new(up.stderr.take().unwrap()).lines();
    let complaint = timeout(PATIENCE, said.next_line()).await.unwrap().unwrap();
    assert!(complaint.unwrap().contains("does not hold the key"));
    terminate(&mut up).await;
    let mut told = String::new();
    let mut stdout = up.stdout.take().unwrap();
    stdout.read_to_string(&mut told).await.unwrap();
    assert_eq!(told.matches("relay_down").count(), 1, "{told}");
}

#[tokio::test]
async fn every_server_that_is_exposed_has_a_name() {
    let world = World::new().await;
    let arguments = ["expose", "80", "81", "--name", "web"];
    let nameless = world.run("a", &arguments).await;
    assert_eq!(nameless.code, 2);
    let told = "2 servers need as many names";
    assert!(nameless.stderr.contains(told), "{}", nameless.stderr);
    let arguments = ["expose", "80", "81", "--name", "web,web"];
    let twice = world.run("a", &arguments).await;
    assert_eq!(twice.code, 2);
    assert!(twice.stderr.contains("named web"), "{}", twice.stderr);
}

#[tokio::test]
async fn a_variable_that_is_set_to_nothing_counts_as_not_set() {
    let world = World::new().await;
    let mut command = world.command("a", &["ticket"]);
    command.env("PEERWAY_RELAY", "").env("PEERWAY_QR", "");
    let output = timeout(PATIENCE, command.output()).await.unwrap().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("on this network only"), "{stderr}");
}

#[tokio::test]
async fn what_cannot_be_done_ends_soon_with_a_cause_and_its_own_exit_code() {
    let world = World::new().await;
    let (up, ticket) = world.up("a").await;
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let key = world.relay.split(['/', '@']).nth(2).unwrap();
    let nowhere = format!("relay://{key}@127.0.0.1:9");
    let id = world.run("b", &["id"]).await.lines[0]["id"].clone();
    let absent = id.as_str().unwrap().to_owned();
    let wrong_key = world.relay.replace(key, &absent);
    let service = format!("{ticket}/nothing");
    let lost = format!("{absent}/web");
    let held = world.relay.rsplit(['@', '/']).next().unwrap();

    let cases: &[(&str, &[&str], i32, &str)] = &[
        ("c", &["ping", &absent], 4, "not registered"),
        ("c", &["ping", &absent, "--relay", &nowhere], 4, "relay"),
        ("c", &["up", "--fail-fast", "--relay", &nowhere], 4, "relay"),
        (
            "c",
            &["up", "--fail-fast", "--relay", &wrong_key],
            4,
            "not hold the key",
        ),
        (
            "c",
            &["ping", &absent, "--relay", &wrong_key],
            4,
            "not hold the key",
        ),
        ("c", &["up", "--bind", held], 1, "another address or port"),
        (
            "c",
            &[
                "forward",
                &lost,
                "--listen",
                "127.0.0.1:0",
                "--fail-fast",
                "--relay",
                &nowhere,
            ],
            4,
            "relay",
        ),
        ("c", &["netcheck", "--relay", &nowhere], 4, "relay"),
        (
            "c",
            &["forward", &service, "--listen", "127.0.0.1:0"],
            1,
            "`peerway services",
        ),
        (
            "c",
            &["forward", &service, "--listen", &taken],
            1,
            "--listen",
        ),
        ("b", &["ping", &absent], 2, "itself"),
    ];
    for (state, arguments, code, cause) in cases {
        let started = Instant::now();
        let done = world.run(state, arguments).await;
        let said = beside_what_it_does_by_itself(&done.stderr);
        assert_eq!(done.code, *code, "{arguments:?}: {said}");
        assert!(said.contains(cause), "{arguments:?}: {said}");
        assert!(!said.contains('\n'), "{arguments:?}: {said}");
        assert!(!said.contains("relay://"), "{arguments:?}: {said}");
        assert!(started.elapsed() < SOON, "{arguments:?}");
    }
    up.terminate().await;
}

/// What is said while something takes long.
const TRYING: &str = " yet, trying on: ";

#[tokio::test]
async fn who_waits_is_told_within_a_moment_for_what() {
    let world = World::new().await;
    let id = world.run("b", &["id"]).await.lines[0]["id"].clone();
    let away = Ticket::new(
        id.as_str().unwrap().parse().unwrap(),
        Vec::new(),
        vec!["127.0.0.1:9".parse().unwrap()],
    );
    let away = away.to_string();
    let key = world.relay.split(['/', '@']).nth(2).unwrap();
    let nowhere = format!("relay://{key}@127.0.0.1:9");
    let cases: &[(&[&str], &str)] = &[
        (&["ping", &away], "the address 127.0.0.1:9"),
        (&["services", &away], "the address 127.0.0.1:9"),
        (
            &["ping", &away, "--relay", &nowhere],
            "the relay 127.0.0.1:9",
        ),
    ];
    for (arguments, what) in cases {
        let mut command = world.command("c", arguments);
        command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        // Before it ends, and not with the reason why.
        let first = timeout(PATIENCE, said.next_line()).await.unwrap();
        let first = first.unwrap().unwrap();
        assert!(first.contains(TRYING) && first.contains(what), "{first}");
        let status = timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
        assert_eq!(status.code(), Some(4), "{arguments:?}");
    }
}

/// A command that a node would serve for says so where none runs.
fn beside_what_it_does_by_itself(stderr: &str) -> String {
    let told = stderr
        .lines()
        .filter(|line| !line.starts_with("no node runs here") && !line.contains(TRYING));
    told.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn what_is_malformed_is_named_with_the_form_that_was_expected() {
    let world = World::new().await;
    let (up, ticket) = world.up("a").await;
    up.terminate().await;
    let id = world.run("a", &["id"]).await.lines[0]["id"].clone();
    let id = id.as_str().unwrap();
    let (cut_ticket, cut_id) = (&ticket[..60], &id[..51]);
    let port = format!("relay://{id}@127.0.0.1:99999");
    let service = format!("{id}/two words");

    let cases: &[(&[&str], &str, &str)] = &[
        (&["ping", "nobody"], "called nobody", "`peerway add nobody"),
        (&["ping", cut_id], cut_id, "this has 51"),
        (&["ping", cut_ticket], cut_ticket, "PEERWAY1"),
        (
            &["ping", id, "--relay", "http://x"],
            "http://x",
            "relay://KEY@",
        ),
        (
            &["ping", id, "--relay", "relay://abc@host"],
            "relay://abc@host",
            "52 characters",
        ),
        (&["ping", id, "--relay", &port], "99999", "1 to 65535"),
        (&["ping", id, "--timeout", "soon"], "soon", "seconds"),
        (&["speed", id, "--seconds", "99"], "99", "at most 60"),
        (&["up", "--bind", "here"], "here", "127.0.0.1:8080"),
        (
            &["expose", "localhost", "--name", "web"],
            "localhost",
            "127.0.0.1:8080",
        ),
        (&["forward", id, "--listen", "127.0.0.1:0"], id, "PEER/NAME"),
        (
            &["forward", &service, "--listen", "127.0.0.1:0"],
            "two words",
            "letters",
        ),
    ];
    for (arguments, part, form) in cases {
        let done = world.run("c", arguments).await;
        assert_eq!(done.code, 2, "{arguments:?}: {}", done.stderr);
        for expected in [part, form] {
            assert!(
                done.stderr.contains(expected),
                "{arguments:?}: {}",
                done.stderr
            );
        }
    }
}

/// A relay, and a folder for the state of nodes.
pub(crate) struct World {
    pub(crate) relay: String,
    folder: TempDir,
    _relay: Running,
}

impl World {
    pub(crate) async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let mut command = Command::new(PROGRAMS.join("peerway-relay"));
        command.args(["--bind", "127.0.0.1:0", "--json", "--state-dir"]);
        command.arg(folder.path().join("relay"));
        let mut running = Running::start(command);
        let ready = running.line().await;
        assert_eq!(ready["event"], "ready");
        Self {
            relay: ready["url"].as_str().unwrap().to_owned(),
            folder,
            _relay: running,
        }
    }

    /// Starts a command with `--json`, with its own state folder `state`.
    pub(crate) fn start(&self, state: &str, arguments: &[&str]) -> Running {
        Running::start(self.command(state, arguments))
    }

    /// The folder of its key and its address book.
    pub(crate) fn folder(&self, state: &str) -> std::path::PathBuf {
        self.folder.path().join(state)
    }

    /// A node that is reachable, and its ticket.
    pub(crate) async fn up(&self, state: &str) -> (Running, String) {
        let mut up = self.start(state, &["up"]);
        let ticket = up.ready().await;
        (up, ticket)
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, state: &str, arguments: &[&str]) -> Done {
        Done::of(self.command(state, arguments)).await
    }

    /// Runs a command that does not fail.
    pub(crate) async fn done(&self, state: &str, arguments: &[&str]) -> Done {
        let done = self.run(state, arguments).await;
        assert_eq!(done.code, 0, "{arguments:?} at {state}: {}", done.stderr);
        done
    }

    /// Waits until the posts that this command reads there are these texts, in this order, and nothing else.
    pub(crate) async fn reads(&self, state: &str, command: &[&str], texts: &[&str]) {
        let wanted: Vec<_> = texts.iter().copied().map(Some).collect();
        let begun = Instant::now();
        loop {
            let posts = self.done(state, command).await.lines;
            let found: Vec<_> = posts.iter().map(|post| post["text"].as_str()).collect();
            if found == wanted {
                return;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{state} reads {found:?}, not {texts:?}"
            );
            sleep(Duration::from_millis(100)).await;
        }
    }

    pub(crate) fn command(&self, state: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAMS.join("peerway"));
        command.args(arguments).arg("--json");
        if !arguments.contains(&"--relay") {
            command.env("PEERWAY_RELAY", &self.relay);
        }
        command.env("PEERWAY_STATE_DIR", self.folder.path().join(state));
        // Nothing of a test leaves this computer.
        command.env("PEERWAY_BIND", "127.0.0.1:0");
        command.env("PEERWAY_NO_DHT", "1");
        command
    }
}

/// A finished command.
pub(crate) struct Done {
    pub(crate) lines: Vec<Value>,
    pub(crate) stderr: String,
    pub(crate) code: i32,
}

impl Done {
    /// Runs a command to its end.
    pub(crate) async fn of(mut command: Command) -> Self {
        let output = timeout(PATIENCE, command.output()).await.unwrap().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        Self {
            lines: stdout.lines().map(|line| line.parse().unwrap()).collect(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            code: output.status.code().unwrap(),
        }
    }

    /// What `ticket` printed.
    pub(crate) fn ticket(&self) -> Ticket {
        self.lines[0]["ticket"].as_str().unwrap().parse().unwrap()
    }
}

/// A running command.
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    pub(crate) async fn line(&mut self) -> Value {
        let line = timeout(PATIENCE, self.lines.next_line()).await.unwrap();
        line.unwrap().unwrap().parse().unwrap()
    }

    /// None once it has said all.
    pub(crate) async fn try_line(&mut self) -> Option<Value> {
        let line = timeout(PATIENCE, self.lines.next_line()).await.unwrap();
        line.unwrap().map(|line| line.parse().unwrap())
    }

    /// Reads on until something of this kind is told.
    pub(crate) async fn wait_for(&mut self, event: &str) {
        while self.line().await["event"] != event {}
    }

    pub(crate) async fn ready(&mut self) -> String {
        let ready = self.line().await;
        assert_eq!(ready["event"], "ready");
        assert!(ready["id"].is_string());
        ready["ticket"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn terminate(mut self) {
        terminate(&mut self.child).await;
    }

    /// Waits until it ends by itself.
    pub(crate) async fn finish(mut self, code: i32) {
        let status = timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap();
        assert_eq!(status.code(), Some(code));
    }

    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// Ends a command as a service manager does.
async fn terminate(child: &mut Child) {
    send_signal(child, "-TERM").await;
    let status = timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
}

async fn send_signal(child: &Child, signal: &str) {
    let pid = child.id().unwrap().to_string();
    let kill = Command::new("kill").args([signal, &pid]).status();
    assert!(kill.await.unwrap().success());
}

pub(crate) async fn echo(server: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        let (mut tcp, _) = server.accept().await.unwrap();
        connections.spawn(async move {
            let (mut reader, mut writer) = tcp.split();
            tokio::io::copy(&mut reader, &mut writer).await?;
            writer.shutdown().await
        });
    }
}

pub(crate) async fn send_and_compare(addr: String, seed: u8) {
    let sent: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8 ^ seed).collect();
    let mut tcp = TcpStream::connect(addr).await.unwrap();
    let (mut reader, mut writer) = tcp.split();
    let mut received = Vec::new();
    let (reading, writing) = tokio::join!(reader.read_to_end(&mut received), async {
        writer.write_all(&sent).await?;
        writer.shutdown().await
    });
    writing.unwrap();
    reading.unwrap();
    assert!(received == sent, "bytes of connection {seed} were changed");
}

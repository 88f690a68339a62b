//! What commands have the node do that runs here: with its identity, and beside each other.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Output, Stdio};

use peerway_tests::PROGRAMS;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    task::{JoinSet, yield_now},
    time::timeout,
};

use crate::commands::{PATIENCE, World, echo, send_and_compare};

/// Two nodes that let in each other and nobody else; the ticket of the second.
pub(crate) async fn friends(world: &World) -> String {
    let mut tickets = Vec::new();
    for (state, other) in [("a", "b"), ("b", "a")] {
        let id = world.run(other, &["id"]).await.lines[0]["id"].clone();
        let added = world
            .run(state, &["add", other, id.as_str().unwrap()])
            .await;
        assert_eq!(added.code, 0, "{}", added.stderr);
        let blocked = world.run(state, &["block", "--strangers"]).await;
        assert_eq!(blocked.code, 0, "{}", blocked.stderr);
        let up = world.run(state, &["up", "--detach"]).await;
        assert_eq!(up.code, 0, "{}", up.stderr);
        tickets.push(up.lines[0]["ticket"].as_str().unwrap().to_owned());
    }
    tickets.remove(1)
}

pub(crate) async fn part(world: &World) {
    for state in ["a", "b"] {
        let down = world.run(state, &["down"]).await;
        assert_eq!(down.code, 0, "{}", down.stderr);
    }
}

#[tokio::test]
async fn commands_measure_with_the_identity_of_the_node_that_runs_here() {
    let world = World::new().await;
    let ticket = friends(&world).await;
    for arguments in [
        &["ping", &ticket, "-c", "1"][..],
        &["ping", "b", "--until-direct"],
        &["why", "b"],
        &["speed", "b", "--seconds", "0.2"],
        &["netcheck"],
    ] {
        let done = world.run("a", arguments).await;
        assert_eq!(done.code, 0, "{arguments:?}: {}", done.stderr);
        assert!(!done.stderr.contains("temporary"), "{}", done.stderr);
        let other = world.run("c", arguments).await;
        assert_eq!(arguments[0] == "netcheck", other.code == 0);
    }
    // As of a node of one's own, whoever it is that fails.
    let refused = world.run("a", &["ping", "c"]).await;
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    let nobody = peerway::SecretKey::generate().unwrap().id().to_string();
    let silent = ["ping", &nobody, "--timeout", "1"];
    let silent = world.run("a", &silent).await;
    assert_eq!(silent.code, 4, "{}", silent.stderr);
    assert_eq!(silent.lines.last().unwrap()["event"], "summary");
    part(&world).await;
}

#[tokio::test]
async fn which_paths_lead_to_a_peer_is_told_to_the_node_that_runs_here_and_asked_of_it() {
    let world = World::new().await;
    friends(&world).await;
    let id = world.run("b", &["id"]).await.lines[0]["id"].clone();
    for (arguments, policy) in [
        (&["policy", "b"][..], "auto"),
        (&["policy", "b", "relay-only"], "relay_only"),
        (&["policy", "b"], "relay_only"),
        (&["policy", "b", "auto"], "auto"),
        (&["policy", "b"], "auto"),
    ] {
        let done = world.run("a", arguments).await;
        assert_eq!(done.code, 0, "{arguments:?}: {}", done.stderr);
        let said = serde_json::json!({"peer": id, "policy": policy});
        assert_eq!(done.lines, [said], "{arguments:?}");
    }
    for (state, arguments, code) in [
        ("c", &["policy", id.as_str().unwrap()][..], 6),
        ("a", &["policy", "c"], 2),
        ("a", &["policy", "b", "relay"], 2),
    ] {
        let refused = world.run(state, arguments).await;
        assert_eq!(refused.code, code, "{arguments:?}: {}", refused.stderr);
    }
    part(&world).await;
}

#[tokio::test]
async fn what_the_node_sends_goes_by_the_address_that_is_forced_as_why_says() {
    let world = World::new().await;
    friends(&world).await;
    let link = world.start("a", &["ping", "b", "-c", "100000"]);
    let direct = world.run("a", &["ping", "b", "--until-direct"]).await;
    assert_eq!(direct.code, 0, "{}", direct.stderr);
    let used = world.run("a", &["pairs", "b"]).await.lines.remove(0);
    assert_eq!(used["state"], "used");
    let addr = used["remote"].as_str().unwrap();
    for (action, is_forced) in [("force", true), ("release", false)] {
        let done = world.run("a", &["pairs", "b", action, addr]).await;
        assert_eq!(done.code, 0, "{}", done.stderr);
        assert_eq!(done.lines[0]["action"], action);
        // What is shown follows at once, but not before the answer.
        let shown = async {
            while (world.run("a", &["pairs", "b"]).await.lines[0]["forced"] == true) != is_forced {}
        };
        timeout(PATIENCE, shown).await.unwrap();
        let why = world.run("a", &["why", "b"]).await.lines.remove(0);
        let says = why["line"].as_str().unwrap().ends_with(", forced");
        assert_eq!(says, is_forced, "{why}");
    }
    for (arguments, is_dropped) in [
        (&["pairs", "b", "drop", addr][..], true),
        (&["pairs", "b", "retry"], false),
        (&["pairs", "b", "probe", addr], false),
    ] {
        let done = world.run("a", arguments).await;
        assert_eq!(done.code, 0, "{arguments:?}: {}", done.stderr);
        let shown = async {
            let is_so = |pair: &serde_json::Value| pair["state"] == "dropped";
            while world
                .run("a", &["pairs", "b"])
                .await
                .lines
                .iter()
                .any(is_so)
                != is_dropped
            {}
        };
        timeout(PATIENCE, shown).await.unwrap();
    }
    for arguments in [
        &["pairs", "b", "force"][..],
        &["pairs", "b", "force", "here"],
        &["pairs", "b", "force", "127.0.0.1:9"],
    ] {
        let refused = world.run("a", arguments).await;
        assert_eq!(refused.code, 2, "{arguments:?}: {}", refused.stderr);
    }
    link.kill().await;
    part(&world).await;
}

#[tokio::test]
async fn an_option_of_another_node_is_heeded_by_one_of_the_command_s_own() {
    let world = World::new().await;
    let ticket = friends(&world).await;
    let ping = ["ping", &ticket, "-c", "1", "--relay-only", "--timeout", "2"];
    let refused = world.run("a", &ping).await;
    assert_eq!(refused.code, 4, "{}", refused.stderr);
    for told in ["without this --relay-only", "temporary identity"] {
        assert!(refused.stderr.contains(told), "{}", refused.stderr);
    }
    world.run("b", &["allow", "--strangers"]).await;
    let relayed = ["ping", &ticket, "-c", "1", "--relay-only"];
    let relayed = world.run("a", &relayed).await;
    assert_eq!(relayed.code, 0, "{}", relayed.stderr);
    assert_eq!(relayed.lines[0]["path"]["kind"], "relay");
    part(&world).await;
}

#[tokio::test]
async fn an_invitation_is_used_for_the_node_that_runs_here() {
    let world = World::new().await;
    world.run("b", &["block", "--strangers"]).await;
    let (host, _) = world.up("b").await;
    let (guest, _) = world.up("a").await;
    let made = world.run("b", &["invite", "--name", "guest"]).await;
    let invitation = made.lines[0]["invitation"].as_str().unwrap().to_owned();
    let ping = ["ping", &invitation, "-c", "1", "--timeout", "60"];
    let pinged = world.run("a", &ping).await;
    assert_eq!(pinged.code, 0, "{}", pinged.stderr);
    assert!(!pinged.stderr.contains("temporary"), "{}", pinged.stderr);
    let status = world.run("a", &["status"]).await;
    let book = world.run("b", &["peers"]).await;
    assert_eq!(book.lines[0]["id"], status.lines[0]["id"]);
    guest.terminate().await;
    host.terminate().await;
}

#[tokio::test]
async fn what_is_exposed_and_forwarded_by_the_nodes_that_run_ends_with_the_commands() {
    let world = World::new().await;
    friends(&world).await;
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("web={}", server.local_addr().unwrap());
    let mut serving = JoinSet::new();
    serving.spawn(echo(server));
    let mut expose = world.start("b", &["expose", &target]);
    expose.ready().await;
    let taken = world.run("b", &["expose", &target]).await;
    assert_eq!(taken.code, 1, "{}", taken.stderr);
    assert!(taken.stderr.contains("choose another name"));

    // Nobody but this node is let in there.
    let arguments = ["forward", "b/web", "--listen", "127.0.0.1:0", "--fail-fast"];
    let mut forward = world.start("a", &arguments);
    let addr = forward.line().await["addr"].as_str().unwrap().to_owned();
    timeout(PATIENCE, send_and_compare(addr.clone(), 1))
        .await
        .unwrap();
    forward.kill().await;
    let freed = async {
        while TcpListener::bind(&addr).await.is_err() {
            yield_now().await;
        }
    };
    timeout(PATIENCE, freed).await.unwrap();

    expose.terminate().await;
    let nothing = world.run("a", &arguments).await;
    assert_eq!(nothing.code, 1, "{}", nothing.stderr);
    assert!(nothing.stderr.contains("exposes nothing under the name"));
    part(&world).await;
}

/// What `pipe` prints of what it was given, and how it ended.
async fn piped(world: &World, state: &str, service: &str, said: &'static [u8]) -> Output {
    let mut command = world.command(state, &["pipe", service]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut pipe = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = pipe.stdin.take().unwrap();
    stdin.write_all(said).await.unwrap();
    drop(stdin);
    let output = timeout(PATIENCE, pipe.wait_with_output());
    output.await.unwrap().unwrap()
}

#[tokio::test]
async fn services_are_listed_piped_and_led_to_by_the_node_that_runs() {
    let world = World::new().await;
    friends(&world).await;
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = server.local_addr().unwrap().to_string();
    let mut serving = JoinSet::new();
    serving.spawn(echo(server));
    let mut expose = world.start("b", &["expose", &format!("web={target}"), "dns=udp://53"]);
    expose.ready().await;

    // Nobody but this node is let in there.
    let listed = world.run("a", &["services", "b"]).await;
    assert_eq!(listed.code, 0, "{}", listed.stderr);
    assert_eq!(listed.stderr, "", "nothing is to be said");
    let names: Vec<_> = listed.lines.iter().map(|line| &line["service"]).collect();
    assert_eq!(names, ["dns", "web"]);
    let heard = piped(&world, "a", "b/web", b"there and back").await;
    assert!(heard.status.success(), "{heard:?}");
    assert_eq!(heard.stdout, b"there and back");
    assert_eq!(heard.stderr, b"");
    for (service, told) in [("b/mail", "exposes nothing"), ("b/dns", "is a UDP server")] {
        let refused = piped(&world, "a", service, b"").await;
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(said.contains(told), "{said}");
    }

    let mut proxy = world.start("a", &["proxy", "--listen", "127.0.0.1:0"]);
    let addr = proxy.line().await["addr"].as_str().unwrap().to_owned();
    let mut program = TcpStream::connect(&addr).await.unwrap();
    let ask = b"CONNECT web.b.peer:80 HTTP/1.1\r\n\r\nhello";
    program.write_all(ask).await.unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"hello") {
        let read = timeout(PATIENCE, program.read_buf(&mut heard)).await;
        assert!(read.unwrap().unwrap() > 0, "{heard:?}");
    }
    proxy.terminate().await;
    expose.terminate().await;
    part(&world).await;
    for command in [&["services", "b"][..], &["pipe", "b/web"]] {
        let away = world.run("a", command).await;
        assert_eq!(away.code, 4, "{command:?}: {}", away.stderr);
    }
}

/// Of the node that runs here, and of the command's own where none does.
#[tokio::test]
async fn a_proxy_serves_on_when_nobody_reads_what_it_says() {
    let world = World::new().await;
    friends(&world).await;
    for state in ["a", "c"] {
        let mut command = world.command(state, &["proxy", "--listen", "127.0.0.1:0"]);
        let mut proxy = command
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut said = BufReader::new(proxy.stdout.take().unwrap()).lines();
        let line = timeout(PATIENCE, said.next_line()).await.unwrap();
        let line: serde_json::Value = line.unwrap().unwrap().parse().unwrap();
        let addr = line["addr"].as_str().unwrap();
        drop(said);
        // Each is refused, which it has to say to nobody.
        for _ in 0..3 {
            let mut program = TcpStream::connect(addr).await.unwrap();
            program.write_all(&[5, 1, 0]).await.unwrap();
            let mut chosen = [0; 2];
            let read = program.read_exact(&mut chosen);
            timeout(PATIENCE, read).await.unwrap().unwrap();
            assert_eq!(chosen, [5, 0]);
            let name = b"web.nobody.peer";
            let ask = [&[5, 1, 0, 3, name.len() as u8][..], name, &[0, 80]].concat();
            program.write_all(&ask).await.unwrap();
            let mut answer = [0; 2];
            let read = program.read_exact(&mut answer);
            timeout(PATIENCE, read).await.unwrap().unwrap();
            assert_eq!(answer[0], 5);
            assert_ne!(answer[1], 0, "nobody is there");
        }
    }
    part(&world).await;
}

#[tokio::test]
async fn a_pipe_ends_when_its_node_does() {
    let world = World::new().await;
    friends(&world).await;
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("web={}", server.local_addr().unwrap());
    let mut serving = JoinSet::new();
    serving.spawn(echo(server));
    let mut expose = world.start("b", &["expose", &target]);
    expose.ready().await;
    let mut command = world.command("a", &["pipe", "b/web"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut pipe = command.kill_on_drop(true).spawn().unwrap();
    let mut stdin = pipe.stdin.take().unwrap();
    stdin.write_all(b"x").await.unwrap();
    let read = pipe.stdout.as_mut().unwrap().read_u8();
    assert_eq!(timeout(PATIENCE, read).await.unwrap().unwrap(), b'x');
    let down = world.run("a", &["down"]).await;
    assert_eq!(down.code, 0, "{}", down.stderr);
    let ended = timeout(PATIENCE, pipe.wait()).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(4));
    expose.terminate().await;
    let down = world.run("b", &["down"]).await;
    assert_eq!(down.code, 0, "{}", down.stderr);
}

#[tokio::test]
async fn commands_about_nobody_or_nothing_of_a_name_end_with_the_code_of_wrong_usage() {
    let world = World::new().await;
    let (up, _) = world.up("a").await;
    let folder = world.folder("in");
    let folder = folder.to_str().unwrap();
    let commands: &[&[&str]] = &[
        &["ping", "nobody"],
        &["why", "nobody"],
        &["speed", "nobody"],
        &["status", "nobody"],
        &["watch", "nobody"],
        &["events", "nobody"],
        &["services", "nobody"],
        &["pipe", "nobody/web"],
        &["forward", "nobody/web", "--listen", "127.0.0.1:0"],
        &["forward", "remove", "nobody/web"],
        &["expose", "remove", "nothing"],
        &["send", "/etc/hostname", "--to", "nobody"],
        &["receive", folder, "--from", "nobody", "--yes"],
        &["share", "--stop", "nothing"],
        &["unpin", "nothing"],
        &["search", "word", "--group", "nothing"],
        &["browse", "nobody"],
        &["rename", "nobody", "somebody"],
        &["remove", "nobody"],
        &["block", "nobody"],
        &["allow", "nobody"],
        &["ask", "nobody"],
        &["admin", "nobody", "read"],
        &["accept", "nobody"],
        &["invite", "--revoke", "nothing"],
        &["group", "add", "home", "nobody"],
        &["group", "remove", "home", "nobody"],
        &["group", "invite", "nothing"],
        &["group", "members", "nothing"],
        &["group", "post", "nothing", "word"],
        &["group", "read", "nothing"],
        &["group", "follow", "nothing"],
        &["group", "leave", "nothing"],
        &["ssh", "nobody"],
        &["link", "nobody"],
        &["link", "add", "nobody"],
        &["link", "remove", "nobody"],
        &["feed", "read", "nothing"],
        &["feed", "profile", "nothing"],
        &["feed", "unfollow", "nothing"],
        &["swarm", "nothing"],
    ];
    for arguments in commands {
        let done = world.run("a", arguments).await;
        assert_eq!(done.code, 2, "{arguments:?}: {}", done.stderr);
        assert!(done.lines.is_empty(), "{arguments:?}: {:?}", done.lines);
        let said = done.stderr.lines().count();
        assert_eq!(said, 1, "{arguments:?}: {}", done.stderr);
    }
    up.terminate().await;
}

/// A dashboard of `a`, in a terminal of its own, once it has drawn itself.
async fn dashboard(world: &World) -> Child {
    let variables = world.command("a", &[]);
    let mut command = Command::new("script");
    command.args(["--quiet", "--flush", "--command"]);
    let program = PROGRAMS.join("peerway");
    command.args([program.to_str().unwrap(), "/dev/null"]);
    let variables = variables.as_std().get_envs();
    command.envs(variables.filter_map(|(name, value)| Some((name, value?))));
    // Whoever keeps the keyboard open keeps it running.
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut shown = command.kill_on_drop(true).spawn().unwrap();
    let mut screen = BufReader::new(shown.stdout.take().unwrap());
    let drawn = async {
        let mut seen = Vec::new();
        // The terminal's other screen.
        while !seen.ends_with(b"\x1b[?1049h") {
            assert!(screen.read_until(b'h', &mut seen).await.unwrap() > 0);
        }
    };
    timeout(PATIENCE, drawn).await.unwrap();
    // Read on, so that it is not held up.
    #[expect(clippy::disallowed_methods, reason = "a test")]
    tokio::spawn(async move {
        let mut rest = tokio::io::sink();
        let _ = tokio::io::copy(&mut screen, &mut rest).await;
    });
    shown
}

fn curl_events(
    socket: &str,
) -> (
    Child,
    tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
) {
    let mut curl = Command::new("curl");
    curl.args(["-sfN", "--unix-socket", socket, "http://peerway/v1/events"]);
    let mut curl = curl
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let lines = BufReader::new(curl.stdout.take().unwrap()).lines();
    (curl, lines)
}

/// Done-when 3 of what the node's interface has to bear.
#[tokio::test]
async fn two_dashboards_a_listener_and_ten_commands_are_served_at_once_and_killing_any_harms_nothing()
 {
    let world = World::new().await;
    let mut up = world.start("a", &["up"]);
    let ready = up.line().await;
    let (peer, ticket) = world.up("b").await;
    let (mut killed, _kept) = (dashboard(&world).await, dashboard(&world).await);
    let socket = ready["socket"].as_str().unwrap();
    let (mut deaf, _) = curl_events(socket);
    let (_listening, mut events) = curl_events(socket);

    let ping = ["ping", &ticket, "-c", "2"];
    let commands = [
        &ping[..],
        &["why", &ticket],
        &["speed", &ticket, "--seconds", "0.2"],
        &["netcheck"],
        &["status"],
        &["peers"],
        &["ticket"],
        &["swarm"],
        &["accept"],
        &ping,
    ];
    let mut running = JoinSet::new();
    for arguments in commands {
        let mut command = world.command("a", arguments);
        command.kill_on_drop(true).stdout(Stdio::piped());
        let name = arguments[0].to_owned();
        running.spawn(async move { (name, command.output().await.unwrap()) });
    }
    // Others that will not come to an end, of which each is killed at another point.
    for wait in [0, 50, 300] {
        let mut command = world.command("a", &["ping", &ticket, "-c", "1000"]);
        let mut endless = command.stdout(Stdio::null()).spawn().unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(wait)).await;
        endless.kill().await.unwrap();
    }
    killed.kill().await.unwrap();
    deaf.kill().await.unwrap();
    let all = async {
        while let Some(done) = running.join_next().await {
            let (name, output) = done.unwrap();
            assert!(output.status.success(), "{name}: {output:?}");
        }
    };
    timeout(PATIENCE, all).await.unwrap();
    // It may have begun to listen after all of them had dialled.
    let dialling = async {
        loop {
            assert_eq!(world.run("a", &ping).await.code, 0);
        }
    };
    let heard = async {
        loop {
            let line = events.next_line().await.unwrap().unwrap();
            if line.contains(r#""event":"connected""#) {
                break;
            }
        }
    };
    tokio::select! {
        heard = timeout(PATIENCE, heard) => heard.unwrap(),
        () = dialling => {}
    }
    // What the killed ones had under way ends too.
    let over = async {
        loop {
            let status = world.run("a", &["status"]).await;
            assert_eq!(status.code, 0, "{}", status.stderr);
            let peers = status.lines[0]["peers"].as_array().unwrap();
            if peers.iter().all(|peer| peer["connections"] == 0) {
                break;
            }
        }
    };
    timeout(PATIENCE, over).await.unwrap();
    let again = world.run("a", &ping).await;
    assert_eq!(again.code, 0, "{}", again.stderr);
    peer.terminate().await;
    up.terminate().await;
}

#[tokio::test]
async fn a_peers_node_is_looked_at_by_its_admins_and_by_nobody_else() {
    let world = World::new().await;
    friends(&world).await;
    let refused = world.run("a", &["status", "b"]).await;
    assert_eq!(refused.code, 8, "{}", refused.stderr);
    let id = world.run("a", &["id"]).await.lines[0]["id"].clone();
    let command = format!("`peerway admin {} read`", id.as_str().unwrap());
    assert!(refused.stderr.contains(&command), "{}", refused.stderr);

    let made = world.run("b", &["admin", "a", "read"]).await;
    assert_eq!(made.lines[0]["admin"], "read", "{}", made.stderr);
    let seen = world.run("a", &["status", "b"]).await;
    assert_eq!(seen.code, 0, "{}", seen.stderr);
    let other = world.run("b", &["id"]).await.lines[0]["id"].clone();
    assert_eq!(seen.lines[0]["id"], other);

    // Without a node here, by one of the command's own, which says so.
    let down = world.run("a", &["down"]).await;
    assert_eq!(down.code, 0, "{}", down.stderr);
    let seen = world.run("a", &["status", "b"]).await;
    assert_eq!(seen.code, 0, "{}", seen.stderr);
    assert!(seen.stderr.contains("no node runs here"), "{}", seen.stderr);
    assert_eq!(seen.lines[0]["id"], other);

    let unmade = world.run("b", &["admin", "a", "none"]).await;
    assert_eq!(unmade.lines[0]["admin"], serde_json::Value::Null);
    let refused = world.run("a", &["status", "b"]).await;
    assert_eq!(refused.code, 8, "{}", refused.stderr);
    let stranger = world.run("b", &["admin", "nobody", "read"]).await;
    assert_eq!(stranger.code, 2, "{}", stranger.stderr);
    let down = world.run("b", &["down"]).await;
    assert_eq!(down.code, 0, "{}", down.stderr);
}

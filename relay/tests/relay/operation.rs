//! What an operator does to the running program, and what outlives it.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::{
        fd::OwnedFd,
        unix::net::{UnixDatagram, UnixStream},
    },
    path::Path,
    process::{Command, Output, Stdio},
};

use peerway::{
    InviteToken, RelayUrl,
    wire::relay::{CloseReason, Frame, ToClient, ToRelay, VERSION},
};
use quinn::ConnectionError;
use tokio::time::timeout;

use crate::{
    program::{Program, command, command_with_terminal},
    world::{Client, PATIENCE, id},
};

fn ask(state: &Path, words: &[&str]) -> Output {
    let mut command = command();
    command.arg("--state-dir").arg(state).args(words);
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn addr(url: &RelayUrl) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], url.port()))
}

/// Says what comes before HELLO, and HELLO: registered, or why not and in which words.
async fn try_to_register(
    url: &RelayUrl,
    seed: u8,
    before: Option<ToRelay>,
) -> Result<Client, (CloseReason, String)> {
    let connected = Client::try_connect_at(addr(url), url.key(), seed).await;
    let mut client = connected.map_err(|error| reason(&error))?;
    let mut bytes = Vec::new();
    for frame in before
        .into_iter()
        .chain([ToRelay::Hello { version: VERSION }])
    {
        frame.emit(&mut bytes);
    }
    // Who is turned away cannot write any more.
    let _ = client.send.write_all(&bytes).await;
    let connection = client.connection.clone();
    tokio::select! {
        biased;
        closed = connection.closed() => Err(reason(&closed)),
        heard = client.hear() => {
            assert!(matches!(heard, ToClient::Welcome { .. }), "{heard:?}");
            Ok(client)
        }
    }
}

fn reason(error: &ConnectionError) -> (CloseReason, String) {
    let ConnectionError::ApplicationClosed(close) = error else {
        panic!("{error:?}");
    };
    let reason = CloseReason::from_code(close.error_code.into_inner()).unwrap();
    (reason, String::from_utf8(close.reason.to_vec()).unwrap())
}

async fn closed(client: &Client) -> (CloseReason, String) {
    let closed = timeout(PATIENCE, client.connection.closed()).await;
    reason(&closed.unwrap())
}

#[tokio::test]
async fn whoever_has_an_invitation_is_let_in_and_stays_until_it_is_revoked() {
    let state = tempfile::tempdir().unwrap();
    let options = ["--json", "--invited-only", "-v"];
    let relay = Program::start(state.path(), 0, &options);
    let plain = relay.url();
    let refused = try_to_register(&plain, 1, None).await.err().unwrap();
    assert_eq!(refused.0, CloseReason::Forbidden);

    let url = said(&ask(
        state.path(),
        &["invite", "--uses", "1", "--expires", "7d"],
    ));
    let url: RelayUrl = url.trim().parse().unwrap();
    assert_eq!(url, plain);
    let token = url.invite().unwrap().clone();
    let invited = || {
        Some(ToRelay::Invited {
            token: token.clone(),
        })
    };
    let member = try_to_register(&plain, 1, invited()).await.unwrap();
    let late = try_to_register(&plain, 2, invited()).await.err().unwrap();
    assert_eq!(late.0, CloseReason::NotInvited);
    let visitor = try_to_register(&plain, 3, Some(ToRelay::Visit)).await;
    assert!(visitor.is_ok());

    drop(member);
    assert_eq!(relay.terminate(), Some(0));
    let mut relay = Program::start(state.path(), 0, &options);
    let plain = relay.url();
    let member = try_to_register(&plain, 1, None).await.unwrap();
    let listed = said(&ask(state.path(), &["invites"]));
    assert!(listed.contains("0 uses left"), "{listed}");
    assert!(listed.contains(&id(1).to_string()), "{listed}");
    let invite = listed.split_whitespace().next().unwrap();
    let revoked = ask(state.path(), &["revoke", invite, "--members"]);
    assert!(said(&revoked).contains("Revoked"));
    assert_eq!(closed(&member).await.0, CloseReason::Forbidden);
    let unknown = ask(state.path(), &["revoke", invite]);
    let words = String::from_utf8(unknown.stderr).unwrap();
    assert!(words.contains("no such invitation"), "{words}");

    relay.signal("-TERM");
    let mut log = String::new();
    while let line = relay.next_log_line()
        && !line.is_empty()
    {
        log.push_str(&line);
    }
    assert!(log.contains("registered"), "{log}");
    for secret in [token.reveal(), id(1).to_string(), addr(&plain).to_string()] {
        assert!(!log.contains(&secret), "{log}");
    }
}

#[tokio::test]
async fn a_months_volume_ends_with_a_date_and_outlives_the_relay() {
    let state = tempfile::tempdir().unwrap();
    let options = ["--json", "--client-volume", "2k"];
    let relay = Program::start(state.path(), 0, &options);
    let url = relay.url();
    let mut a = try_to_register(&url, 1, None).await.unwrap();
    let mut b = try_to_register(&url, 2, None).await.unwrap();
    a.signal(2, b"hello").await;
    b.hear().await;
    b.signal(1, b"hello").await;
    a.hear().await;
    for _ in 0..3 {
        a.lane(2, &[7; 1000]).await;
        b.expect_lane().await;
    }
    let (reason, words) = closed(&a).await;
    assert_eq!(reason, CloseReason::VolumeUsedUp);
    let day = words.rsplit(' ').next().unwrap();
    assert!(day.len() == 10 && day.ends_with("-01"), "{words}");
    assert!(b.connection.close_reason().is_none(), "others are served");
    let status = said(&ask(state.path(), &["status", "--json"]));
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert!(status["month_bytes"].as_u64().unwrap() > 3000, "{status}");
    assert_eq!(status["client_volume"], 2048);

    assert_eq!(relay.terminate(), Some(0));
    let again = Program::start(state.path(), 0, &options);
    let refused = try_to_register(&again.url(), 1, None).await.err().unwrap();
    assert_eq!(refused.0, CloseReason::VolumeUsedUp);
    assert!(try_to_register(&again.url(), 2, None).await.is_ok());
}

#[tokio::test]
async fn a_relay_that_drains_serves_its_clients_until_they_left_and_takes_no_others() {
    let state = tempfile::tempdir().unwrap();
    for by_signal in [false, true] {
        let relay = Program::start(state.path(), 0, &["--json"]);
        let url = relay.url();
        let mut a = try_to_register(&url, 1, None).await.unwrap();
        let mut b = try_to_register(&url, 2, None).await.unwrap();
        if by_signal {
            relay.signal("-USR1");
        } else {
            let answer = said(&ask(state.path(), &["drain", "--within", "10m"]));
            assert!(answer.contains("600 s"), "{answer}");
        }
        let late = loop {
            match try_to_register(&url, 3, None).await {
                Ok(_) => tokio::task::yield_now().await,
                Err((reason, _)) => break reason,
            }
        };
        assert_eq!(late, CloseReason::GoingAway);
        a.signal(2, b"still here?").await;
        loop {
            match b.hear().await {
                ToClient::Deliver { .. } => break,
                ToClient::Drain { reconnect_in_ms } => assert!(reconnect_in_ms > 1000),
                other => panic!("{other:?}"),
            }
        }
        for client in [&a, &b] {
            client.connection.close(0_u32.into(), b"");
            client.endpoint.wait_idle().await;
        }
        assert_eq!(relay.exit_code(), Some(0));
    }
}

#[tokio::test]
async fn a_drain_names_the_relay_that_takes_the_place_with_an_invitation_to_it() {
    let state = tempfile::tempdir().unwrap();
    let relay = Program::start(state.path(), 0, &["--json"]);
    let url = relay.url();
    let mut early = try_to_register(&url, 1, None).await.unwrap();
    let to = RelayUrl::new(id(9), "relay.example.org", 4433).unwrap();
    for (wrong, why) in [
        (url.to_string(), "that is this relay's own key"),
        (
            "relay.example.org".to_owned(),
            "a relay URL starts with relay://",
        ),
    ] {
        let refused = ask(state.path(), &["drain", "--to", &wrong]);
        assert!(!refused.status.success());
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(said.contains(why), "{said}");
    }
    let token = InviteToken::from_bytes([3; 16]);
    let invited = format!("{to}?invite={}", token.reveal());
    let answer = said(&ask(
        state.path(),
        &["drain", "--within", "10m", "--to", &invited],
    ));
    assert!(
        answer.contains(&to.to_string()) && !answer.contains("invite"),
        "{answer}"
    );
    let mut late = try_to_register(&url, 2, None).await.unwrap();
    for client in [&mut early, &mut late] {
        let ToClient::Moved { to: named } = client.hear().await else {
            panic!("the other relay is named first");
        };
        assert_eq!((&named, named.invite()), (&to, Some(&token)));
        assert!(matches!(client.hear().await, ToClient::Drain { .. }));
    }
    for client in [&early, &late] {
        client.connection.close(0_u32.into(), b"");
        client.endpoint.wait_idle().await;
    }
    // Nobody is there, but somebody may have been away.
    let mut back = try_to_register(&url, 3, None).await.unwrap();
    assert!(matches!(back.hear().await, ToClient::Moved { to: named } if named == to));
    assert_eq!(relay.terminate(), Some(0));
}

#[test]
fn a_drain_that_is_too_slow_is_hastened_by_a_second_request_to_stop() {
    let state = tempfile::tempdir().unwrap();
    let relay = Program::start(state.path(), 0, &["--json"]);
    said(&ask(state.path(), &["drain", "--within", "1h"]));
    assert_eq!(relay.terminate(), Some(0));
}

#[test]
fn connections_that_say_nothing_take_no_descriptor_that_the_operator_needs() {
    let state = tempfile::tempdir().unwrap();
    let mut command = Command::new("prlimit");
    command.args(["--nofile=100:100", env!("CARGO_BIN_EXE_peerway-relay")]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let relay = Program::start_by(command, state.path(), 0, &["--json"]);
    let at = addr(&relay.url());
    let silent: Vec<_> = (0..200).map(|_| TcpStream::connect(at).unwrap()).collect();
    for _ in 0..20 {
        assert!(said(&ask(state.path(), &["status"])).contains("clients"));
    }
    let mut asking = TcpStream::connect(at).unwrap();
    asking.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    asking.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(silent);
}

/// As behind a pager that was left open.
#[test]
fn a_relay_whose_log_nobody_reads_serves_on() {
    let state = tempfile::tempdir().unwrap();
    let (unread, mut log) = UnixStream::pair().unwrap();
    log.set_nonblocking(true).unwrap();
    while log.write(b"an unread line\n").is_ok() {}
    log.set_nonblocking(false).unwrap();
    let mut command = command();
    command.stderr(OwnedFd::from(log));
    let relay = Program::start_by(command, state.path(), 0, &["--json", "-vvv"]);
    let at = addr(&relay.url());
    for _ in 0..100 {
        let mut asking = TcpStream::connect(at).unwrap();
        asking.set_read_timeout(Some(PATIENCE)).unwrap();
        asking.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").unwrap();
        let mut answer = String::new();
        asking.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    drop(unread);
}

#[tokio::test]
async fn a_second_drain_takes_the_place_of_the_first() {
    let state = tempfile::tempdir().unwrap();
    let relay = Program::start(state.path(), 0, &["--json"]);
    let staying = try_to_register(&relay.url(), 1, None).await.unwrap();
    for within in ["1h", "1s"] {
        said(&ask(state.path(), &["drain", "--within", within]));
    }
    let ended = timeout(PATIENCE, staying.connection.closed()).await;
    let ended = ended.expect("the relay waits no longer");
    assert!(
        matches!(ended, ConnectionError::ApplicationClosed(_)),
        "{ended}"
    );
    assert_eq!(relay.exit_code(), Some(0));
}

#[test]
fn systemd_is_told_when_the_relay_is_ready_and_when_it_stops() {
    let state = tempfile::tempdir().unwrap();
    let path = state.path().join("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(PATIENCE)).unwrap();
    let heard = || {
        let mut buffer = [0; 512];
        let len = systemd.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    };
    let mut command = command_with_terminal();
    command.env("NOTIFY_SOCKET", &path);
    let relay = Program::start_by(command, state.path(), 0, &["--json"]);
    assert_eq!(heard().trim(), "READY=1");
    relay.signal("-HUP");
    let reloading = heard();
    assert!(reloading.contains("RELOADING=1") && reloading.contains("MONOTONIC_USEC="));
    assert_eq!(heard().trim(), "READY=1");
    relay.signal("-TERM");
    assert_eq!(heard().trim(), "STOPPING=1");
    assert_eq!(relay.exit_code(), Some(0));
}

#[test]
fn the_manual_and_completions_need_no_relay() {
    let page = command().arg("man").output().unwrap();
    let page = said(&page);
    assert!(page.contains(".TH peerway-relay"), "{page}");
    assert!(page.contains("client\\-volume"), "{page}");
    let bash = command().args(["completions", "bash"]).output().unwrap();
    assert!(said(&bash).contains("--relay-volume"));
    let nowhere = command().arg("status").output().unwrap();
    let words = String::from_utf8(nowhere.stderr).unwrap();
    assert!(words.contains("say which relay"), "{words}");
}

/// Starts a relay that cannot work: nothing is said to be ready, and one line says why.
fn refused(state: &Path, options: &[&str]) -> String {
    let output = command()
        .args(["--bind", "127.0.0.1:0", "--state-dir"])
        .arg(state)
        .args(options)
        .output()
        .unwrap();
    assert!(
        !output.status.success() && output.stdout.is_empty(),
        "{output:?}"
    );
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_relay_starts_only_where_it_can_work() {
    let state = tempfile::tempdir().unwrap();
    let state = state.path();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let words = refused(state, &["--tcp", &port]);
    assert!(
        words.contains(&format!("cannot open TCP 127.0.0.1:{port}")),
        "{words}"
    );
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let words = refused(state, &["--stun-port", &port]);
    assert!(
        words.contains(&format!("cannot open UDP 127.0.0.1:{port}")),
        "{words}"
    );
    let words = refused(state, &["--host", "no such host"]);
    assert!(words.contains("DNS name"), "{words}");
    let words = refused(
        state,
        &["--tls-cert", "/nowhere.pem", "--tls-key", "/nowhere.key"],
    );
    assert!(words.contains("/nowhere.pem"), "{words}");

    std::fs::rename(state.join("relay.redb"), state.join("away")).unwrap();
    std::fs::create_dir(state.join("relay.redb")).unwrap();
    let words = refused(state, &[]);
    assert!(words.contains("relay.redb"), "{words}");
    std::fs::remove_dir(state.join("relay.redb")).unwrap();
    std::fs::create_dir(state.join("relay.sock")).unwrap();
    let words = refused(state, &[]);
    assert!(words.contains("relay.sock"), "{words}");
    std::fs::remove_dir(state.join("relay.sock")).unwrap();
    std::fs::write(state.join("relay.key"), "no key").unwrap();
    let words = refused(state, &[]);
    assert!(
        words.contains("relay.key") && words.contains("damaged"),
        "{words}"
    );
    let words = refused(&state.join("relay.key"), &[]);
    assert!(words.contains("relay.key"), "{words}");
}

#[test]
fn a_second_relay_in_the_same_folder_is_refused() {
    let state = tempfile::tempdir().unwrap();
    let _first = Program::start(state.path(), 0, &["--json"]);
    let words = refused(state.path(), &[]);
    assert!(words.contains("relay.redb"), "{words}");
}

/// A certificate for `named.example` in this folder.
#[cfg(target_os = "linux")]
fn certificate(folder: &Path) {
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt"]);
    openssl.args(["ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=x"]);
    openssl.args(["-days", "1", "-addext", "subjectAltName=DNS:named.example"]);
    openssl.arg("-keyout").arg(folder.join("key.pem"));
    openssl.arg("-out").arg(folder.join("chain.pem"));
    assert!(openssl.stderr(Stdio::null()).status().unwrap().success());
}

#[cfg(target_os = "linux")]
#[test]
fn a_certificate_for_another_name_is_said_and_served() {
    let state = tempfile::tempdir().unwrap();
    certificate(state.path());
    let [chain, key] = ["chain.pem", "key.pem"].map(|name| state.path().join(name));
    let tls = [
        "--tls-cert",
        chain.to_str().unwrap(),
        "--tls-key",
        key.to_str().unwrap(),
    ];
    for (host, is_said) in [("other.example", true), ("named.example", false)] {
        let options = [&["--json", "-v", "--host", host], &tls[..]].concat();
        let mut relay = Program::start(state.path(), 0, &options);
        // So that something is logged in any case.
        relay.signal("-USR1");
        let line = relay.next_log_line();
        let says = line.contains("not valid for name") && line.contains(tls[1]);
        assert_eq!(says, is_said, "{line}");
    }
}

/// Starts it with these limits of descriptors.
#[cfg(target_os = "linux")]
fn with_descriptors(state: &Path, limits: &str) -> Program {
    let mut limited = Command::new("prlimit");
    limited.arg(format!("--nofile={limits}"));
    limited.arg(env!("CARGO_BIN_EXE_peerway-relay"));
    limited.stdout(Stdio::piped());
    limited.stderr(Stdio::piped());
    Program::start_by(limited, state, 0, &["--json", "--clients", "1000"])
}

#[cfg(target_os = "linux")]
#[test]
fn descriptors_are_taken_for_clients_over_tcp_and_too_few_of_them_are_said() {
    let state = tempfile::tempdir().unwrap();
    let relay = with_descriptors(state.path(), "64:1000");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", relay.pid())).unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let files: Vec<_> = files.unwrap().split_whitespace().collect();
    assert_eq!(files[3..5], ["1000", "1000"]);
    drop(relay);

    let mut relay = with_descriptors(state.path(), "64:900");
    let line = relay.next_log_line();
    assert!(
        line.contains("descriptors") && line.contains("900"),
        "{line}"
    );
}

/// The folder is on a disk of its own, in a namespace of an ordinary user, which the test fills.
#[tokio::test]
async fn a_full_disk_is_said_once_and_serving_goes_on() {
    let state = tempfile::tempdir().unwrap();
    let mut on_small_disk = Command::new("unshare");
    on_small_disk.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    on_small_disk.arg("mount -t tmpfs -o size=2m,mode=700 none \"$STATE\" && exec \"$0\" \"$@\"");
    on_small_disk.arg(env!("CARGO_BIN_EXE_peerway-relay"));
    on_small_disk.env("STATE", state.path());
    on_small_disk.stdout(Stdio::piped());
    on_small_disk.stderr(Stdio::piped());
    let options = ["--json", "--invited-only", "-v"];
    let mut relay = Program::start_by(on_small_disk, state.path(), 0, &options);
    let inside = format!("/proc/{}/root{}", relay.pid(), state.path().display());
    let inside = Path::new(&inside);
    let fill = inside.join("fill");
    let full = std::fs::write(&fill, vec![0; 4 << 20]);
    assert!(full.is_err(), "the disk is small");

    let url = loop {
        let answer = ask(inside, &["invite", "--json"]);
        let answer: serde_json::Value = serde_json::from_str(&said(&answer)).unwrap();
        if answer["written"] == false {
            break answer["url"].as_str().unwrap().to_owned();
        }
    };
    let url: RelayUrl = url.parse().unwrap();
    let token = url.invite().unwrap().clone();
    let member = try_to_register(&url, 1, Some(ToRelay::Invited { token })).await;
    assert!(member.is_ok());
    let more = ask(inside, &["invite"]);
    let words = String::from_utf8(more.stderr).unwrap();
    assert!(words.contains("cannot write this to its disk"), "{words}");

    std::fs::remove_file(&fill).unwrap();
    let answer = ask(inside, &["invite"]);
    assert!(
        answer.status.success() && answer.stderr.is_empty(),
        "{answer:?}"
    );
    relay.signal("-TERM");
    let lines = std::iter::from_fn(|| Some(relay.next_log_line()).filter(|it| !it.is_empty()));
    let log: Vec<_> = lines.collect();
    let warnings = log.iter().filter(|line| line.contains("serving on"));
    assert_eq!(warnings.count(), 1, "{log:?}");
    assert!(
        log.iter().any(|line| line.contains("written again")),
        "{log:?}"
    );
    drop(member);
}

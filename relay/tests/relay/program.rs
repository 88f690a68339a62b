//! The program `peerway-relay`, as scripts see it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
};

use peerway::{
    RelayUrl, stun,
    wire::relay::{GoneReason, ToClient},
};
use tokio::{net::UdpSocket, time::timeout};

use crate::world::{ANY, Client, PATIENCE, id, lane_datagram, own_addr};

pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peerway-relay"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The same, which SIGHUP reaches also where whoever runs the tests told them to outlive the terminal.
pub(crate) fn command_with_terminal() -> Command {
    let mut command = Command::new("env");
    command.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_peerway-relay")]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A running relay, killed when dropped.
pub(crate) struct Program {
    child: Child,
    first_line: String,
    log: Option<BufReader<ChildStderr>>,
}

impl Program {
    /// Starts it at a port of the loopback address, and waits for its first line.
    pub(crate) fn start(state_dir: &Path, port: u16, options: &[&str]) -> Self {
        Self::start_by(command(), state_dir, port, options)
    }

    /// The same at any address.
    pub(crate) fn start_at(bind: SocketAddr, state_dir: &Path, options: &[&str]) -> Self {
        Self::run(command(), bind, state_dir, options)
    }

    /// The same by a command that ends in starting it.
    pub(crate) fn start_by(
        command: Command,
        state_dir: &Path,
        port: u16,
        options: &[&str],
    ) -> Self {
        let bind = SocketAddr::new(ANY.ip(), port);
        Self::run(command, bind, state_dir, options)
    }

    fn run(mut command: Command, bind: SocketAddr, state_dir: &Path, options: &[&str]) -> Self {
        let mut child = command
            .args(["--bind", &bind.to_string(), "--state-dir"])
            .arg(state_dir)
            .args(options)
            .spawn()
            .unwrap();
        let mut first_line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut first_line)
            .unwrap();
        Self {
            child,
            first_line,
            log: None,
        }
    }

    pub(crate) fn url(&self) -> RelayUrl {
        let ready: serde_json::Value = serde_json::from_str(&self.first_line).unwrap();
        assert_eq!(ready["event"], "ready");
        ready["url"].as_str().unwrap().parse().unwrap()
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// From now on it has what sockets and files it has, and gets no other.
    fn confine(&self) {
        let pid = self.child.id().to_string();
        let limited = Command::new("prlimit")
            .args(["--pid", &pid, "--nofile=0:0"])
            .status();
        assert!(limited.unwrap().success());
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end, and returns the exit code.
    pub(crate) fn exit_code(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Has it read its configuration again, and returns what it logs then.
    fn reload(&mut self) -> String {
        self.signal("-HUP");
        self.next_log_line()
    }

    pub(crate) fn next_log_line(&mut self) -> String {
        let mut line = String::new();
        let log = self.log.get_or_insert_with(|| {
            let stderr = self.child.stderr.take().unwrap();
            BufReader::new(stderr)
        });
        log.read_line(&mut line).unwrap();
        line
    }

    /// Sends SIGTERM, and returns the exit code.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        let sent = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        assert!(sent.unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

#[test]
fn the_first_line_names_the_url_and_a_terminated_relay_ends_well() {
    let state = tempfile::tempdir().unwrap();
    let relay = Program::start(state.path(), 0, &["--json"]);
    let url = relay.url();
    assert_eq!(url.host(), "127.0.0.1");
    assert_eq!(relay.terminate(), Some(0));

    let again = Program::start(state.path(), 0, &["--json", "--host", "relay.example.org"]);
    assert_eq!(again.url().key(), url.key(), "the key was kept");
    assert_eq!(again.url().host(), "relay.example.org");
    assert_eq!(again.terminate(), Some(0));
}

#[test]
fn sighup_has_the_file_read_again_and_a_bad_one_changes_nothing() {
    let state = tempfile::tempdir().unwrap();
    let file = state.path().join("relay.toml");
    let configure = |text: &str| std::fs::write(&file, text).unwrap();
    configure("json = true\nhost = \"one.example\"\nverbose = 1");
    let named = format!("--config={}", file.display());
    let mut relay = Program::start_by(command_with_terminal(), state.path(), 0, &[&named]);
    assert_eq!(relay.url().host(), "one.example");

    configure("json = true\nhost = \"one.example\"\nverbose = 1\nclient_rat = \"1M\"");
    let said = relay.reload();
    assert!(
        said.contains("`client_rate`") && said.contains("stays in force"),
        "{said}"
    );
    configure("json = true\nhost = \"one.example\"\nverbose = 1\nclient_rate = \"1M\"");
    let said = relay.reload();
    assert!(said.contains("read again"), "{said}");
    configure("json = true\nhost = \"two.example\"\nverbose = 1");
    relay.reload();
    let said = relay.reload();
    assert!(
        said.contains("host") && said.contains("started again"),
        "{said}"
    );
    assert_eq!(relay.terminate(), Some(0));
}

#[tokio::test]
async fn the_status_is_told_to_the_owner_of_the_folder() {
    use std::os::unix::fs::PermissionsExt;
    let state = tempfile::tempdir().unwrap();
    let status = || {
        let mut command = command();
        command.arg("--state-dir").arg(state.path());
        command.args(["status", "--json"]).output().unwrap()
    };
    let nobody = String::from_utf8(status().stderr).unwrap();
    assert!(nobody.contains("is it running"), "{nobody}");

    let relay = Program::start(state.path(), 0, &["--json"]);
    let url = relay.url();
    let addr = SocketAddr::from(([127, 0, 0, 1], url.port()));
    let _client = Client::register_at(addr, url.key(), 1).await;
    let told: serde_json::Value = serde_json::from_slice(&status().stdout).unwrap();
    assert_eq!(told["url"].as_str().unwrap(), url.to_string());
    assert_eq!(told["clients"], 1);
    let mut text = command();
    text.arg("--state-dir").arg(state.path()).arg("status");
    let text = String::from_utf8(text.output().unwrap().stdout).unwrap();
    assert!(text.starts_with("url"), "{text}");
    let socket = state.path().join("relay.sock");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let _idle = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    assert!(
        status().status.success(),
        "whoever does not read keeps nobody waiting"
    );
    assert_eq!(relay.terminate(), Some(0));
    let again = Program::start(state.path(), 0, &["--json"]);
    assert!(status().status.success(), "what the first left is replaced");
    drop(again);
}

#[test]
fn without_json_the_first_line_is_for_people() {
    let state = tempfile::tempdir().unwrap();
    let relay = Program::start(state.path(), 0, &[]);
    assert!(
        relay.first_line.contains("--relay relay://"),
        "{}",
        relay.first_line
    );
}

#[test]
fn a_port_in_use_is_a_one_line_cause() {
    let state = tempfile::tempdir().unwrap();
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let output = command()
        .args(["--bind", &taken.local_addr().unwrap().to_string()])
        .arg("--state-dir")
        .arg(state.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains("cannot open UDP"), "{stderr}");
    assert!(stderr.contains("another address or port"), "{stderr}");
}

#[test]
fn a_bad_value_names_the_expected_form() {
    for (option, value, expected) in [
        ("--bind", "here", "0.0.0.0:4433"),
        ("--client-rate", "fast", "64M"),
        ("--host", "a b", "relay.example.org"),
    ] {
        let mut child = command()
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

/// So no message of anybody's makes it open one towards a third party.
#[tokio::test]
async fn a_relay_needs_no_sockets_but_those_it_began_with() {
    let state = tempfile::tempdir().unwrap();
    let relay = Program::start(state.path(), 0, &["--json"]);
    let url = relay.url();
    let addr = SocketAddr::from(([127, 0, 0, 1], url.port()));
    relay.confine();

    let mut a = Client::register_at(addr, url.key(), 1).await;
    let mut b = Client::register_at(addr, url.key(), 2).await;
    a.signal(2, b"198.51.100.1:53").await;
    assert!(matches!(b.hear().await, ToClient::Deliver { .. }));
    a.lane(2, b"there").await;
    assert_eq!(b.expect_lane().await, lane_datagram(id(1), id(2), b"there"));
    a.lane(9, b"to nobody").await;
    a.signal(9, b"198.51.100.1:53").await;
    let gone = ToClient::Gone {
        peer: id(9),
        reason: GoneReason::NotRegistered,
    };
    assert_eq!(a.hear().await, gone);

    let socket = UdpSocket::bind(ANY).await.unwrap();
    let request = stun::binding_request([3; 12], true);
    socket.send_to(&request, addr).await.unwrap();
    let mut buffer = [0; 1500];
    let answer = timeout(PATIENCE, socket.recv_from(&mut buffer)).await;
    let (_, from) = answer.unwrap().unwrap();
    assert_eq!((from.ip(), from == addr), (addr.ip(), false));

    let mut bad = Client::register_at(addr, url.key(), 3).await;
    bad.send.write_all(&[0xff; 3]).await.unwrap();
    let closed = timeout(PATIENCE, bad.connection.closed()).await;
    assert!(closed.is_ok());
    Client::register_at(addr, url.key(), 3).await;
}

#[test]
fn options_can_come_from_the_environment() {
    let state = tempfile::tempdir().unwrap();
    let output = command()
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
    let output = command()
        .args(["--bind", "127.0.0.1:0", "--state-dir"])
        .arg(state.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("chmod 600"), "{stderr}");
}

#[test]
fn monitoring_gets_the_counters_and_a_port_in_use_for_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let addr = own_addr().to_string();
    let taken = std::net::TcpListener::bind(&addr).unwrap();
    let refused = command()
        .args(["--bind", "127.0.0.1:0", "--metrics", &addr, "--state-dir"])
        .arg(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        said.contains(&format!("cannot open TCP {addr} for metrics")),
        "{said}"
    );
    assert!(!refused.status.success() && refused.stdout.is_empty());

    drop(taken);
    let _relay = Program::start(folder.path(), 0, &["--json", "--metrics", &addr]);
    let get = |path: &str| {
        let mut stream = std::net::TcpStream::connect(&addr).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: relay\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let metrics = get("/metrics");
    assert!(metrics.starts_with("HTTP/1.1 200 OK"), "{metrics}");
    assert!(metrics.contains("\npeerway_relay_clients 0\n"), "{metrics}");
    assert!(get("/").starts_with("HTTP/1.1 404"));
}

//! Services of one home that another uses, both behind their routers, through the loss of the direct path: what people run, kept by
//! `peerway up`.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::UdpSocket,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Stdio},
    sync::LazyLock,
    time::Duration,
};

use peerway_lab::{self as lab, Fault, Lab, NatKind};
use peerway_tests::{
    PROGRAMS,
    computer::{Computer, Running},
    pair,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    task::JoinSet,
    time::Instant,
};

const BUDGET: Duration = Duration::from_secs(240);
/// Far longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two datagrams of a program.
const PACE: Duration = Duration::from_millis(50);
/// A user that nobody has.
const GUEST: u32 = 12_345;

#[test]
fn a_udp_service_answers_on_when_the_direct_path_is_cut() {
    LazyLock::force(&PROGRAMS);
    lab::test(BUDGET, |mut lab| {
        let folder = TempDir::new().unwrap();
        let (nas, laptop) = homes(&mut lab, folder.path());
        nas.home.spawn(async {
            let server = tokio::net::UdpSocket::bind("127.0.0.1:7000").await.unwrap();
            let mut datagram = vec![0; 65_536];
            loop {
                let (len, client) = server.recv_from(&mut datagram).await.unwrap();
                server.send_to(&datagram[..len], client).await.unwrap();
            }
        });
        nas.json("peerway expose add echo=udp://7000");
        laptop.json("peerway forward add nas/echo --listen udp://7001");
        let _nodes = nodes(&nas, &laptop);
        until_ready(&laptop, "peerway forward list");
        let client = laptop.home.run(|| {
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            client.connect("127.0.0.1:7001").unwrap();
            client.set_read_timeout(Some(PACE)).unwrap();
            client
        });
        until_answered(&client);
        until_path(&laptop, "direct");
        answers_all(&client, 20);
        lab.begin(Fault::Cut(&nas.home, &laptop.home)).unwrap();
        let cut = Instant::now();
        until_answered(&client);
        let gap = cut.elapsed();
        assert!(gap < Duration::from_secs(10), "{gap:?}");
        until_path(&laptop, "relay");
        answers_all(&client, 20);
        // The longest that UDP has.
        let large = vec![7; 65_507];
        let mut echoed = vec![0; 65_536];
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.send(&large).unwrap();
        loop {
            let len = client.recv(&mut echoed).unwrap();
            if echoed[..len] == large[..] {
                break;
            }
        }
        lab.end(Fault::Cut(&nas.home, &laptop.home)).unwrap();
    });
}

#[test]
fn a_unix_socket_leads_to_a_unix_socket_of_another_home() {
    LazyLock::force(&PROGRAMS);
    lab::test(BUDGET, |mut lab| {
        let folder = TempDir::new().unwrap();
        let (nas, laptop) = homes(&mut lab, folder.path());
        let server = folder.path().join("server.sock");
        let local = folder.path().join("local.sock");
        let (served, reached) = (server.display(), local.display());
        nas.json(&format!("peerway expose add box=unix:{served}"));
        laptop.json(&format!(
            "peerway forward add nas/box --listen unix:{reached}"
        ));
        let (_nas, node) = nodes(&nas, &laptop);
        let at = server.clone();
        nas.home.spawn(async move {
            let listener = UnixListener::bind(at).unwrap();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (mut reader, mut writer) = stream.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
                let _ = writer.shutdown().await;
            }
        });
        until_ready(&laptop, "peerway forward list");
        let said = laptop.home.block_on(async {
            let mut stream = UnixStream::connect(&local).await.unwrap();
            stream.write_all(b"through both homes").await.unwrap();
            stream.shutdown().await.unwrap();
            let mut said = String::new();
            stream.read_to_string(&mut said).await.unwrap();
            said
        });
        assert_eq!(said, "through both homes");
        laptop.run("peerway down");
        node.finish();
        assert!(!local.exists(), "the socket goes with its node");
    });
}

#[test]
fn a_shell_at_another_home_answers_every_key_when_the_direct_path_is_cut() {
    LazyLock::force(&PROGRAMS);
    lab::test(BUDGET, |mut lab| {
        let folder = TempDir::new().unwrap();
        let (nas, laptop) = homes(&mut lab, folder.path());
        let server = Sshd::start(&nas, &laptop, folder.path());
        nas.json("peerway expose add ssh=127.0.0.1:2022");
        let _nodes = nodes(&nas, &laptop);
        until_ready(&nas, "peerway expose list");
        let mut shell = Shell::open(&laptop, &server.options);
        shell.types("first");
        until_path(&nas, "direct");
        lab.begin(Fault::Cut(&nas.home, &laptop.home)).unwrap();
        shell.types("through the cut");
        until_path(&nas, "relay");
        lab.end(Fault::Cut(&nas.home, &laptop.home)).unwrap();
        shell.types("and after it");
    });
}

/// Runs a server that does this with each who comes.
pub(crate) async fn serve<F>(at: &'static str, each: impl Fn(TcpStream) -> F)
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind(at).await.unwrap();
    let mut served = JoinSet::new();
    loop {
        served.spawn(each(listener.accept().await.unwrap().0));
    }
}

pub(crate) async fn echo(mut client: TcpStream) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let (mut reader, mut writer) = client.split();
    tokio::io::copy(&mut reader, &mut writer).await.map(drop)
}

/// Two homes behind port-restricted routers that know each other, and a relay.
pub(crate) fn homes(lab: &mut Lab, folder: &Path) -> (Computer, Computer) {
    let relay = pair::named_relay(lab);
    let computer = |name: &str, home| {
        let mut computer = Computer::new(home, name, folder);
        computer.export(&format!("export PEERWAY_RELAY={relay}"));
        computer
    };
    let [nas, laptop] =
        ["nas", "laptop"].map(|name| lab.home(name, NatKind::PortRestricted).unwrap());
    let (nas, laptop) = (computer("nas", nas), computer("laptop", laptop));
    laptop.json(&format!("peerway add nas {}", nas.ticket()));
    (nas, laptop)
}

/// The nodes of both.
pub(crate) fn nodes(nas: &Computer, laptop: &Computer) -> (Running, Running) {
    let both = [nas, laptop].map(|computer| computer.start("peerway up --json"));
    for node in &both {
        let ready: Value = node.line().parse().unwrap();
        assert_eq!(ready["event"], "ready");
    }
    both.into()
}

pub(crate) fn until_ready(computer: &Computer, list: &str) {
    let start = Instant::now();
    while computer.json(list)[0]["state"] != "ready" {
        assert!(start.elapsed() < PATIENCE, "{:?}", computer.json(list));
    }
}

pub(crate) fn until_path(computer: &Computer, kind: &str) {
    let start = Instant::now();
    loop {
        let status = computer.json("peerway status").swap_remove(0);
        let peers = status["peers"].as_array().unwrap();
        if peers.iter().any(|peer| peer["path"]["kind"] == kind) {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "not {kind}: {status}");
    }
}

/// Sends until an answer comes to one of these datagrams.
fn until_answered(client: &UdpSocket) {
    let start = Instant::now();
    let mark = format!("{start:?}");
    let mut buffer = [0; 1024];
    loop {
        client.send(mark.as_bytes()).unwrap();
        match client.recv(&mut buffer) {
            Ok(len) if buffer[..len] == *mark.as_bytes() => return,
            Ok(_) => {}
            Err(error) => assert!(is_late(&error), "{error}"),
        }
        assert!(start.elapsed() < PATIENCE, "no answer");
    }
}

/// Sends so many, one after the other, and most of them are answered in time, each with what it says.
fn answers_all(client: &UdpSocket, count: usize) {
    let mut answered = 0;
    let mut buffer = [0; 1024];
    for number in 0..count {
        let sent = format!("datagram {number} of {count}");
        client.send(sent.as_bytes()).unwrap();
        let start = Instant::now();
        while start.elapsed() < PATIENCE / 60 {
            match client.recv(&mut buffer) {
                Ok(len) if buffer[..len] == *sent.as_bytes() => {
                    answered += 1;
                    break;
                }
                Ok(_) => {}
                Err(error) => assert!(is_late(&error), "{error}"),
            }
        }
    }
    assert!(answered * 10 >= count * 9, "{answered} of {count}");
}

fn is_late(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// OpenSSH's server for the account of this test, with keys made for it.
struct Sshd {
    child: Child,
    /// What `ssh` has to be given to get in.
    options: String,
}

impl Sshd {
    fn start(computer: &Computer, client: &Computer, folder: &Path) -> Self {
        let at = |name: &str| folder.join(name).display().to_string();
        let (host, user) = (at("host_key"), at("user_key"));
        for key in [&host, &user] {
            client.run(&format!("ssh-keygen -q -t ed25519 -N '' -f {key}"));
        }
        let lines = [
            "Port 2022".to_owned(),
            "ListenAddress 127.0.0.1".to_owned(),
            format!("HostKey {host}"),
            format!("PidFile {}", at("sshd.pid")),
            format!("AuthorizedKeysFile {user}.pub"),
            "StrictModes no".to_owned(),
            "UsePAM no".to_owned(),
        ];
        let config = at("sshd_config");
        std::fs::write(&config, lines.join("\n")).unwrap();
        // Of the account of nobody else here, which takes a name, no rights.
        let users = std::fs::read_to_string("/etc/passwd").unwrap();
        let guest = format!("guest:x:{GUEST}:{GUEST}::/tmp:/bin/sh\n{users}");
        std::fs::write(at("passwd"), guest).unwrap();
        let cover = ["--bind", &at("passwd"), "/etc/passwd"];
        let covered = computer.home.command("mount").args(cover).status();
        assert!(covered.unwrap().success());
        let mut command = computer.home.command("unshare");
        command.arg("--user");
        command.arg(format!("--map-user={GUEST}"));
        command.arg(format!("--map-group={GUEST}"));
        command.args(["/usr/sbin/sshd", "-D", "-e", "-f", &config]);
        let child = command.spawn().unwrap();
        let options = format!(
            "-F /dev/null -i {user} -o StrictHostKeyChecking=no -o UserKnownHostsFile={}",
            at("known_hosts")
        );
        Self { child, options }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `cat` behind `peerway ssh`, which says back what is typed.
struct Shell {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
}

impl Shell {
    fn open(computer: &Computer, options: &str) -> Self {
        let mut command = computer.line(&format!("peerway ssh guest@nas -- {options} cat"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        Self {
            stdin: child.stdin.take().unwrap(),
            stdout: child.stdout.take().unwrap(),
            child,
        }
    }

    fn types(&mut self, text: &str) {
        for key in text.bytes() {
            self.stdin.write_all(&[key]).unwrap();
            self.stdin.flush().unwrap();
            let mut echoed = [0];
            self.stdout.read_exact(&mut echoed).unwrap();
            assert_eq!(echoed, [key], "of {text:?}");
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

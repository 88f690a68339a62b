//! Links outlive their path, their relay and their routers' memory: real programs and real kernel NATs.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "this is all test code, and the lab's time is real"
)]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use bytes::Bytes;
use peerway::{Connection, Endpoint, EventKind, PeerState, RelayUrl};
use peerway_tests::PROGRAMS;
use peerway_tui::lab::{self, Home, Lab, Line, NatKind};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{interval, timeout};

const ALPN: &[u8] = b"failover/1";
const BUDGET: Duration = Duration::from_secs(300);
/// Longer than a relay that died unnoticed, or a path that died, takes to be tried again.
const PATIENCE: Duration = Duration::from_secs(60);
/// 40 ms between homes.
const NEAR: Line = Line {
    delay: Duration::from_millis(10),
    loss: 0.0,
};
/// 80 ms between homes.
const FAR: Line = Line {
    delay: Duration::from_millis(20),
    loss: 0.0,
};
const TICK: Duration = Duration::from_millis(10);
/// What is asked of every switch here; what it really takes is printed.
const LONGEST_GAP: Duration = Duration::from_secs(3);

/// The same for a relay that is back at once: without a check of the silent relay it would be half a minute.
const LONGEST_ABSENCE: Duration = Duration::from_secs(10);

const FILE_SIZE: u64 = 100_000_000;
const BLOCK: usize = 50_000;
/// The pause after each block of a download that is not to end yet: a minute for the whole file.
const PAUSE: Duration = Duration::from_millis(30);
/// A download that got this much further goes on.
const PROGRESS: u64 = 5_000_000;

#[test]
fn a_download_goes_on_over_the_relay_while_the_direct_path_is_cut() {
    in_lab(|mut lab| {
        let tunnel = Tunnel::new(&mut lab);
        let download = tunnel.download();
        tunnel.exposing.wait_for_path("direct");
        download.advance();
        cut_and_restore(&lab, &tunnel, &download);
        download.finish();
    });
}

#[test]
fn a_download_does_not_notice_that_the_relay_is_killed_and_can_fall_back_to_its_successor() {
    in_lab(|mut lab| {
        let mut tunnel = Tunnel::new(&mut lab);
        let download = tunnel.download();
        tunnel.exposing.wait_for_path("direct");
        download.longest_gap();
        tunnel.relay.kill();
        download.advance();
        let gap = download.longest_gap();
        println!("longest gap while the relay was killed: {gap:?}");
        assert!(gap < LONGEST_GAP);
        tunnel.relay = tunnel.place.relay(&lab);
        let start = Instant::now();
        let back = tunnel.exposing.wait_for(|line| {
            assert_ne!(line["event"], "path_changed", "{line}");
            line["event"] == "relay_up"
        });
        println!("registered again {:?} later: {back}", start.elapsed());
        cut_and_restore(&lab, &tunnel, &download);
        download.finish();
    });
}

#[test]
fn datagrams_pause_only_shortly_when_the_path_or_a_router_forgets_them() {
    in_lab(|mut lab| {
        let relay = Place::new(&lab);
        let _program = relay.relay(&lab);
        let a = lab.home_on("a", NatKind::PortRestricted, FAR).unwrap();
        let b = lab.home_on("b", NatKind::PortRestricted, FAR).unwrap();
        let link = Link::new(&a, &b, &relay.url);
        link.wait_for(PeerState::Direct);
        let flow = Flow::of_datagrams(&a, &b, &link);

        println!("undisturbed: {:?}", flow.gap_of(200));
        for (what, homes) in [("one router", &[&a][..]), ("both routers", &[&a, &b])] {
            for home in homes {
                home.flush_conntrack().unwrap();
            }
            let gap = flow.gap_of(300);
            println!("conntrack of {what} flushed: {gap:?}");
            assert!(gap < LONGEST_GAP);
        }
        for (what, act) in [("cut", Lab::cut as Act), ("restored", Lab::restore)] {
            act(&lab, &a, &b).unwrap();
            let start = Instant::now();
            link.wait_for(if what == "cut" {
                PeerState::Relayed
            } else {
                PeerState::Direct
            });
            let (settled, gap) = (start.elapsed(), flow.gap_of(100));
            println!("direct path {what}: {gap:?}, settled after {settled:?}");
            assert!(gap < LONGEST_GAP);
        }
    });
}

type Act = fn(&Lab, &Home, &Home) -> Result<(), lab::LabError>;

#[test]
fn a_link_that_carries_nothing_stays_as_it_is() {
    in_lab(|mut lab| {
        let relay = Place::new(&lab);
        let _program = relay.relay(&lab);
        let a = lab.home_on("a", NatKind::PortRestricted, FAR).unwrap();
        let b = lab.home_on("b", NatKind::PortRestricted, FAR).unwrap();
        let link = Link::new(&a, &b, &relay.url);
        link.wait_for(PeerState::Direct);
        let mut events = [link.from.events(), link.to.events()];
        thread::sleep(Duration::from_secs(1));
        for events in &mut events {
            while events.try_recv().is_ok() {}
        }
        // Longer than the pause between QUIC's keep-alives.
        thread::sleep(Duration::from_secs(20));
        for events in &mut events {
            while let Ok(event) = events.try_recv() {
                assert!(
                    !matches!(event.kind, EventKind::PeerState { .. }),
                    "{event:?}"
                );
            }
        }
    });
}

#[test]
fn a_relayed_stream_goes_on_when_its_relay_is_back() {
    in_lab(|mut lab| {
        let place = Place::new(&lab);
        let mut relay = place.relay(&lab);
        let a = lab.home_on("a", NatKind::Symmetric, FAR).unwrap();
        let b = lab.home_on("b", NatKind::PortRestricted, FAR).unwrap();
        let link = Link::new(&a, &b, &place.url);
        link.wait_for(PeerState::Relayed);
        let flow = Flow::of_a_stream(&a, &b, &link);
        println!("undisturbed: {:?}", flow.gap_of(200));
        for end in [Program::kill, Program::terminate] {
            let start = Instant::now();
            end(&mut relay);
            relay = place.relay(&lab);
            let down = start.elapsed();
            let gap = flow.gap_of(200);
            println!("relay away for {down:?}: {gap:?}");
            assert!(gap < LONGEST_ABSENCE);
        }
    });
}

fn in_lab<F: FnOnce(Lab)>(body: F) {
    LazyLock::force(&PROGRAMS);
    lab::test(BUDGET, body);
}

/// Cuts the direct path and waits until the download goes on without it; lifts the cut and waits for the path to be back.
fn cut_and_restore(lab: &Lab, tunnel: &Tunnel, download: &Download) {
    download.longest_gap();
    lab.cut(&tunnel.a, &tunnel.b).unwrap();
    tunnel.exposing.wait_for_path("relay");
    download.advance();
    let gap = download.longest_gap();
    lab.restore(&tunnel.a, &tunnel.b).unwrap();
    let start = Instant::now();
    tunnel.exposing.wait_for_path("direct");
    println!(
        "direct path cut: longest gap {gap:?}; direct again {:?} after the cut was lifted",
        start.elapsed()
    );
    assert!(gap < LONGEST_GAP);
    download.advance();
}

/// Where a relay is started, and started again.
struct Place {
    url: RelayUrl,
    folder: TempDir,
}

impl Place {
    /// Lets a relay make its key.
    fn new(lab: &Lab) -> Self {
        let folder = TempDir::new().unwrap();
        let mut relay = start_relay(lab, &folder);
        let url = relay.wait_for(|line| line["event"] == "ready")["url"].clone();
        relay.kill();
        Self {
            url: url.as_str().unwrap().parse().unwrap(),
            folder,
        }
    }

    /// A relay that is ready.
    fn relay(&self, lab: &Lab) -> Program {
        let relay = start_relay(lab, &self.folder);
        let ready = relay.wait_for(|line| line["event"] == "ready");
        assert_eq!(ready["url"], self.url.to_string());
        relay
    }

    fn peerway(&self, home: &Home, name: &str, arguments: &[&str]) -> Program {
        let mut command = home.command(PROGRAMS.join("peerway").to_str().unwrap());
        command.args(arguments).args(["--json", "--state-dir"]);
        command.arg(self.folder.path().join(name));
        command.args(["--relay", &self.url.to_string()]);
        Program::start(command)
    }
}

fn start_relay(lab: &Lab, folder: &TempDir) -> Program {
    let host = lab.relay();
    let mut command = host.command(PROGRAMS.join("peerway-relay").to_str().unwrap());
    command.args(["--bind", &format!("{}:4433", host.public_addr())]);
    command
        .args(["--json", "--state-dir"])
        .arg(folder.path().join("relay"));
    Program::start(command)
}

/// A running program and the lines of JSON that it prints.
struct Program {
    child: Child,
    lines: mpsc::Receiver<Value>,
}

impl Program {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines() {
                let Ok(()) = sender.send(line.unwrap().parse().unwrap()) else {
                    return;
                };
            }
        });
        Self { child, lines }
    }

    /// The first line from here on that is wanted.
    fn wait_for(&self, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let patience = end.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(patience).unwrap();
            if wanted(&line) {
                return line;
            }
        }
    }

    fn wait_for_path(&self, kind: &str) {
        self.wait_for(|line| line["event"] == "path_changed" && line["path"]["kind"] == kind);
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it as a service manager does.
    fn terminate(&mut self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(sent.unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A web server in one home that is exposed to another one, all by programs.
struct Tunnel {
    place: Place,
    relay: Program,
    a: Home,
    b: Home,
    exposing: Program,
    _forwarding: Program,
    url: String,
    hurry: Arc<AtomicBool>,
}

impl Tunnel {
    fn new(lab: &mut Lab) -> Self {
        let place = Place::new(lab);
        let relay = place.relay(lab);
        let a = lab.home_on("a", NatKind::PortRestricted, NEAR).unwrap();
        let b = lab.home_on("b", NatKind::PortRestricted, NEAR).unwrap();
        let hurry = Arc::new(AtomicBool::new(false));
        let server = serve(&a, hurry.clone());
        let exposing = place.peerway(&a, "a", &["expose", &server, "--name", "web"]);
        let ready = exposing.wait_for(|line| line["event"] == "ready");
        let service = format!("{}/web", ready["ticket"].as_str().unwrap());
        let arguments = ["forward", &service, "--listen", "127.0.0.1:0"];
        let forwarding = place.peerway(&b, "b", &arguments);
        let listening = forwarding.wait_for(|line| line["event"] == "listening");
        Self {
            url: format!("http://{}/file", listening["addr"].as_str().unwrap()),
            place,
            relay,
            a,
            b,
            exposing,
            _forwarding: forwarding,
            hurry,
        }
    }

    fn download(&self) -> Download {
        Download::start(&self.b, &self.url, self.hurry.clone())
    }
}

/// Serves the file in a home, in no hurry until there is one.
fn serve(home: &Home, hurry: Arc<AtomicBool>) -> String {
    let listener = home.run(|| TcpListener::bind("127.0.0.1:0")).unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            answer(client.unwrap(), &hurry);
        }
    });
    addr.to_string()
}

fn answer(mut client: TcpStream, hurry: &AtomicBool) {
    let request = BufReader::new(client.try_clone().unwrap()).lines();
    let head = request
        .map(Result::unwrap)
        .take_while(|line| !line.is_empty());
    assert!(head.count() > 0, "a request has a head");
    write!(
        client,
        "HTTP/1.1 200 OK\r\nContent-Length: {FILE_SIZE}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    for at in (0..FILE_SIZE).step_by(BLOCK) {
        client.write_all(&block(at)).unwrap();
        if !hurry.load(Ordering::Relaxed) {
            thread::sleep(PAUSE);
        }
    }
}

/// The file's bytes from `at` on, no two blocks alike.
fn block(at: u64) -> Vec<u8> {
    let words = (at / 8..).map(|word| word.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
    words.take(BLOCK / 8).flatten().collect()
}

/// A running curl, whose output is compared as it comes.
struct Download {
    curl: Child,
    comparing: JoinHandle<()>,
    progress: Arc<Progress>,
    hurry: Arc<AtomicBool>,
}

impl Download {
    fn start(home: &Home, url: &str, hurry: Arc<AtomicBool>) -> Self {
        let mut command = home.command("curl");
        command.args(["--silent", "--show-error", "--fail", "--no-buffer", url]);
        let mut curl = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut body = curl.stdout.take().unwrap();
        let progress = Arc::new(Progress::default());
        let seen = progress.clone();
        let comparing = thread::spawn(move || {
            for at in (0..FILE_SIZE).step_by(BLOCK) {
                let mut received = vec![0; BLOCK];
                body.read_exact(&mut received).unwrap();
                assert!(received == block(at), "changed in the block at {at}");
                seen.add(BLOCK as u64);
            }
        });
        Self {
            curl,
            comparing,
            progress,
            hurry,
        }
    }

    /// Waits until some more has come.
    fn advance(&self) {
        self.progress.advance(PROGRESS);
        let all = self.progress.count.load(Ordering::Relaxed);
        assert!(all < FILE_SIZE, "the file ended before the test did");
    }

    /// The longest time without a block since this was last asked.
    fn longest_gap(&self) -> Duration {
        self.progress.take_gap()
    }

    /// Lets the rest come as fast as it can.
    fn finish(mut self) {
        self.hurry.store(true, Ordering::Relaxed);
        self.comparing.join().unwrap();
        assert!(self.curl.wait().unwrap().success());
        assert_eq!(self.progress.count.load(Ordering::Relaxed), FILE_SIZE);
    }
}

/// How much has come, and how long nothing came.
#[derive(Default)]
struct Progress {
    count: AtomicU64,
    /// When something last came, and the longest pause since somebody asked.
    pause: Mutex<(Option<Instant>, Duration)>,
}

impl Progress {
    fn add(&self, count: u64) {
        let now = Instant::now();
        let mut pause = self.pause.lock().unwrap();
        let last = pause.0.replace(now).unwrap_or(now);
        pause.1 = pause.1.max(now - last);
        drop(pause);
        self.count.fetch_add(count, Ordering::Relaxed);
    }

    /// Waits until `more` has come.
    fn advance(&self, more: u64) {
        let wanted = self.count.load(Ordering::Relaxed) + more;
        let end = Instant::now() + PATIENCE;
        while self.count.load(Ordering::Relaxed) < wanted {
            assert!(Instant::now() < end, "nothing comes any more");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn take_gap(&self) -> Duration {
        std::mem::take(&mut self.pause.lock().unwrap().1)
    }
}

/// Two nodes and a connection between them.
struct Link {
    from: Endpoint,
    to: Endpoint,
    outgoing: Connection,
    incoming: Connection,
}

impl Link {
    fn new(a: &Home, b: &Home, relay: &RelayUrl) -> Self {
        let [from, to] = [a, b].map(|home| node(home, relay));
        let (listener, dialler, ticket) = (to.clone(), from.clone(), to.ticket());
        let accepting = b.spawn(async move { listener.accept().await.unwrap() });
        let outgoing = a.block_on(async move { dialler.connect(ticket, ALPN).await.unwrap() });
        let incoming = b.block_on(async { timeout(PATIENCE, accepting).await });
        Self {
            from,
            to,
            outgoing,
            incoming: incoming.unwrap().unwrap(),
        }
    }

    /// Waits until both sides see the link in this state.
    fn wait_for(&self, state: PeerState) {
        for connection in [&self.outgoing, &self.incoming] {
            let mut path = connection.path();
            let end = Instant::now() + PATIENCE;
            while path.borrow_and_update().state != state {
                assert!(Instant::now() < end, "never {state:?}: {path:?}");
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

/// A node in a home, registered with the relay.
fn node(home: &Home, relay: &RelayUrl) -> Endpoint {
    let builder = Endpoint::builder()
        .relays([relay.clone()])
        .alpns([ALPN])
        .port_mapping(false);
    home.block_on(async {
        let node = builder.bind().await.unwrap();
        timeout(PATIENCE, node.online()).await.unwrap();
        node
    })
}

/// Something small that leaves one home every [`TICK`] and is awaited in the other.
struct Flow(Arc<Progress>);

impl Flow {
    fn of_datagrams(a: &Home, b: &Home, link: &Link) -> Self {
        let progress = Arc::new(Progress::default());
        let (outgoing, incoming, seen) = (
            link.outgoing.clone(),
            link.incoming.clone(),
            progress.clone(),
        );
        a.spawn(async move {
            let mut ticks = interval(TICK);
            while outgoing
                .send_datagram(Bytes::from_static(&[1; 100]))
                .is_ok()
            {
                ticks.tick().await;
            }
        });
        b.spawn(async move {
            while incoming.read_datagram().await.is_ok() {
                seen.add(1);
            }
        });
        Self(progress)
    }

    /// Numbers on a stream, which must come in order.
    fn of_a_stream(a: &Home, b: &Home, link: &Link) -> Self {
        let progress = Arc::new(Progress::default());
        let (outgoing, incoming, seen) = (
            link.outgoing.clone(),
            link.incoming.clone(),
            progress.clone(),
        );
        a.spawn(async move {
            let mut stream = outgoing.open_uni().await.unwrap();
            let mut ticks = interval(TICK);
            let mut number = 0_u64;
            while stream.write_all(&number.to_be_bytes()).await.is_ok() {
                number += 1;
                ticks.tick().await;
            }
        });
        b.spawn(async move {
            let mut stream = incoming.accept_uni().await.unwrap();
            let (mut number, mut received) = (0_u64, [0; 8]);
            while stream.read_exact(&mut received).await.is_ok() {
                assert_eq!(u64::from_be_bytes(received), number);
                number += 1;
                seen.add(1);
            }
        });
        Self(progress)
    }

    /// The longest pause from what came last on, until `count` more came.
    fn gap_of(&self, count: u64) -> Duration {
        self.0.advance(count);
        self.0.take_gap()
    }
}

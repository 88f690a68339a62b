//! A file that curl fetches from one home into another, through `peerway expose` and `peerway forward`.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use peerway_lab::{Home, Lab, Line, NatKind};

use super::{
    program::{Place, Program},
    progress::Progress,
};

/// 40 ms between homes.
const NEAR: Line = Line::delayed(Duration::from_millis(10));
const FILE_SIZE: u64 = 100_000_000;
const BLOCK: usize = 50_000;
/// The pause after each block of a download that is not to end yet: a minute for the whole file.
const PAUSE: Duration = Duration::from_millis(30);
/// A download that got this much further goes on.
const PROGRESS: u64 = 5_000_000;

/// A web server in one home that is exposed to another one, all by programs.
pub(crate) struct Tunnel {
    pub(crate) place: Place,
    pub(crate) relay: Program,
    pub(crate) a: Home,
    pub(crate) b: Home,
    pub(crate) exposing: Program,
    pub(crate) forwarding: Program,
    url: String,
    hurry: Arc<AtomicBool>,
}

impl Tunnel {
    pub(crate) fn new(lab: &mut Lab) -> Self {
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
            forwarding,
            hurry,
        }
    }

    pub(crate) fn download(&self) -> Download {
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
pub(crate) struct Download {
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
    pub(crate) fn advance(&self) {
        self.progress.advance(PROGRESS);
        let all = self.progress.count();
        assert!(all < FILE_SIZE, "the file ended before the test did");
    }

    /// The longest time without a block since this was last asked.
    pub(crate) fn longest_gap(&self) -> Duration {
        self.progress.take_gap()
    }

    /// Lets the rest come as fast as it can.
    pub(crate) fn finish(mut self) {
        self.hurry.store(true, Ordering::Relaxed);
        self.comparing.join().unwrap();
        assert!(self.curl.wait().unwrap().success());
        assert_eq!(self.progress.count(), FILE_SIZE);
    }
}

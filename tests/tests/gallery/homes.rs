//! The homes, what runs in their rooms, and the links between them.

mod daemon;
mod disturbed;

use std::{
    cell::RefCell,
    env,
    fs::{self, File},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::LazyLock,
    thread,
    time::Duration,
};

use peerway_lab::{Bottleneck, Fault, Lab, Line, NatKind, Room};
use peerway_tests::{
    PROGRAMS,
    computer::{Computer, Running},
};
use tempfile::TempDir;

use crate::failover::program::{Place, Program as Relay};

/// How long each test may take.
pub(super) const BUDGET: Duration = Duration::from_secs(180);
/// How often something is asked in a minute, every [`PAUSE`].
const TRIES: usize = 1200;
const PAUSE: Duration = Duration::from_millis(50);
/// Where Debian has programs.
const FOLDERS: [&str; 3] = ["/usr/bin", "/usr/sbin", "/usr/games"];
/// How much of its log is shown of a program whose test failed.
const SHOWN_LINES: usize = 50;

/// Builds our programs and looks for those of others, each given with its package.
pub(super) fn need(programs: &[(&str, &str)]) {
    for (program, package) in programs {
        let mut folders = FOLDERS.iter().map(Path::new);
        let is_there = folders.any(|folder| folder.join(program).exists());
        assert!(is_there, "`{program}` is missing: install {package}");
    }
    LazyLock::force(&PROGRAMS);
}

/// A server's home and those of its users, and a relay.
pub(super) struct Homes {
    /// Behind a port-restricted NAT.
    pub(super) attic: Home,
    /// Behind another one.
    pub(super) laptop: Home,
    /// Behind a symmetric NAT.
    pub(super) phone: Home,
    lab: Lab,
    place: Place,
    relay: RefCell<Relay>,
    _folder: TempDir,
}

impl Homes {
    pub(super) fn new(mut lab: Lab) -> Self {
        let folder = TempDir::new().unwrap();
        let place = Place::new(&lab);
        let relay = place.relay(&lab).into();
        let mut home = |name, nat| Home::new(&mut lab, (name, nat), &place, folder.path());
        Self {
            attic: home("attic", NatKind::PortRestricted),
            laptop: home("laptop", NatKind::PortRestricted),
            phone: home("phone", NatKind::Symmetric),
            lab,
            place,
            relay,
            _folder: folder,
        }
    }

    /// Nothing passes between the two homes from now on.
    pub(super) fn cut(&self) {
        let homes = [&self.attic, &self.laptop].map(|home| &home.computer.home);
        self.lab.begin(Fault::Cut(homes[0], homes[1])).unwrap();
    }

    /// So many bits a second pass a home's line from now on.
    pub(super) fn narrow(&self, home: &Home, rate: u64) {
        let line = Line {
            bottleneck: Some(Bottleneck {
                rate,
                queue: 64_000,
            }),
            ..Line::delayed(Duration::ZERO)
        };
        self.lab.set_line(&home.computer.home, line).unwrap();
    }

    /// Bytes that came to a home so far since a line was narrow.
    pub(super) fn came_to(&self, home: &Home) -> u64 {
        self.lab.traffic(&home.computer.home).down.bytes
    }

    /// That the programs of attic and laptop said at least so many bytes to each other over the links, and tried to reach
    /// nobody else.
    pub(super) fn assert_carried(&self, bytes: u64) {
        self.attic.assert_carried(bytes);
        self.assert_reached_by(&self.laptop, bytes);
    }

    /// The same of one home and attic, and that packets went straight between the two.
    fn assert_reached_by(&self, user: &Home, bytes: u64) {
        user.assert_carried(bytes);
        let ends = [&self.attic, user].map(|home| &home.computer.home);
        let [there, back] = [[0, 1], [1, 0]]
            .map(|[from, to]| self.lab.packets_between(ends[from], ends[to]).unwrap());
        assert!(there > 0 && back > 0, "{there} and {back} direct packets");
    }
}

/// One of them.
pub(super) struct Home {
    pub(super) name: &'static str,
    pub(super) computer: Computer,
    pub(super) room: Room,
    /// Of the room: programs start in it, and it is their account's.
    pub(super) folder: PathBuf,
}

impl Home {
    fn new(
        lab: &mut Lab,
        (name, nat): (&'static str, NatKind),
        place: &Place,
        folder: &Path,
    ) -> Self {
        let home = lab.home(name, nat).unwrap();
        let room = lab.room_behind(&home).unwrap();
        let mut computer = Computer::new(home, name, folder);
        computer.export(&format!("export PEERWAY_RELAY={}", place.url));
        let folder = folder.join(format!("{name}-room"));
        fs::create_dir(&folder).unwrap();
        Self {
            name,
            computer,
            room,
            folder,
        }
    }

    fn assert_carried(&self, bytes: u64) {
        let (room, name) = (&self.room, self.name);
        let carried = room.carried().unwrap();
        assert!(carried >= bytes, "{name}: {carried} of {bytes} bytes");
        assert_eq!(room.strayed().unwrap(), 0, "packets from {name}");
        let routes = room.routes().unwrap();
        assert_eq!(routes.lines().count(), 1, "{name}: {routes}");
    }

    /// Exposes what listens in the room, each as `NAME=PORT` or `NAME=udp:PORT`.
    pub(super) fn expose(&self, services: &[&str]) -> Exposed {
        let line = format!("peerway expose{} --json", self.targets(services));
        let running = self.computer.start(&line);
        let ready = running.wait_for(|line| line["event"] == "ready");
        Exposed {
            ticket: ready["ticket"].as_str().unwrap().to_owned(),
            _running: running,
        }
    }

    /// Servers in the room, as `expose` takes them.
    fn targets(&self, services: &[&str]) -> String {
        let targets = services.iter().map(|service| {
            let (name, port) = service.split_once('=').unwrap();
            format!(" {name}={}", at(self.room.addr(), port))
        });
        targets.collect()
    }

    /// Leads a port at the room's gate to a service of the other home, and waits until the link is direct.
    pub(super) fn forward(&self, to: &Exposed, name: &str, listen: &str) -> Forward {
        self.forward_by(to, name, listen, "direct")
    }

    /// The same by another kind of path.
    pub(super) fn forward_by(&self, to: &Exposed, name: &str, listen: &str, path: &str) -> Forward {
        let (ticket, addr) = (&to.ticket, at(self.room.gate(), listen));
        let line = format!("peerway forward {ticket}/{name} --listen {addr} --json");
        let forward = Forward {
            running: self.computer.start(&line),
        };
        forward.until_path(path);
        forward
    }

    /// A program in the room.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = self.room.command(program);
        let path = env::var("PATH").unwrap_or_default();
        command
            .env("PATH", format!("{path}:{}", FOLDERS.join(":")))
            .env("HOME", &self.folder)
            .current_dir(&self.folder)
            .stdin(Stdio::null());
        command
    }

    /// What a program prints that ends well.
    pub(super) fn output(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(program).args(arguments).output().unwrap();
        let [out, err] =
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        assert!(output.status.success(), "{program}: {out}{err}");
        out
    }

    /// A program that stays.
    pub(super) fn start(&self, program: &str, arguments: &[&str]) -> Program {
        let mut command = self.command(program);
        command.args(arguments);
        let name = Path::new(program).file_name().unwrap().display();
        self.start_command(&name.to_string(), command)
    }

    /// The same of a command of the room, whose log is called by this name.
    pub(super) fn start_command(&self, name: &str, mut command: Command) -> Program {
        let logs = (1..).map(|number| self.folder.join(format!("{name}-{number}.log")));
        let log = logs.into_iter().find(|log| !log.exists()).unwrap();
        let file = File::create(&log).unwrap();
        command.stdout(file.try_clone().unwrap()).stderr(file);
        Program {
            child: command.spawn().unwrap(),
            log,
        }
    }

    /// Writes a file into the room's folder.
    pub(super) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.folder.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// A port there, which is one of UDP if `udp:` is before it.
pub(super) fn at(addr: Ipv4Addr, port: &str) -> String {
    match port.strip_prefix("udp:") {
        Some(port) => format!("udp://{addr}:{port}"),
        None => format!("{addr}:{port}"),
    }
}

/// A node that exposes.
pub(super) struct Exposed {
    ticket: String,
    _running: Running,
}

/// A node that forwards.
pub(super) struct Forward {
    running: Running,
}

impl Forward {
    /// Waits until its link goes this way.
    pub(super) fn until_path(&self, kind: &str) {
        self.running
            .wait_for(|line| line["event"] == "path_changed" && line["path"]["kind"] == kind);
    }
}

/// A program of others. When the test failed, the end of what it said is shown.
pub(super) struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    /// What it has printed so far.
    pub(super) fn said(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Waits until it has printed this.
    pub(super) fn until_said(&self, text: &str) {
        until(text, || self.said().contains(text));
    }

    /// Waits until it has ended well.
    pub(super) fn finish(mut self) -> String {
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{}: {status}", self.said());
        self.said()
    }
}

impl Drop for Program {
    #[expect(clippy::print_stderr, reason = "libtest shows it of tests that failed")]
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let said = self.said();
            let lines: Vec<_> = said.lines().collect();
            let last = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
            eprintln!("{}:\n{}", self.log.display(), last.join("\n"));
        }
    }
}

/// Asks again until it is so, for a minute.
pub(super) fn until(what: &str, is_so: impl FnMut() -> bool) {
    until_within(1, what, is_so);
}

/// The same for so many minutes.
pub(super) fn until_within(minutes: usize, what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..minutes * TRIES {
        if is_so() {
            return;
        }
        thread::sleep(PAUSE);
    }
    panic!("never: {what}");
}

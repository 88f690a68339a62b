//! A network with a server that knows who has what: two aMules, which are told addresses of each other, joined by `peerway link`.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener},
    time::Duration,
};

use peerway_lab as lab;
use peerway_tests::computer::Running;

use super::linked::link;
use crate::gallery::homes::{Home, Homes, need, until, until_within};

mod server;

use server::Server;

/// An aMule tells its server what it has when it has run for a minute.
const BUDGET: Duration = Duration::from_secs(300);
/// Of large files it gives a part, and then lets others wait.
const LEN: usize = 400_000;
/// Bits a second that leave time to cut the path: an aMule writes what came to its disk, and counts it, in large pieces.
const RATE: u64 = 320_000;
/// Not even a daemon starts without a port for its remote control, which nobody uses here.
const CONFIG: &str = "
[eMule]
Nick=NAME
Address=ADDR
Port=4662
UDPEnable=0
MaxUpload=5000
MaxDownload=0
SlotAllocation=100
ConnectToED2K=1
ConnectToKad=0
Autoconnect=1
Serverlist=0
FilterLanIPs=0
IPFilterClients=0
IPFilterServers=0
IncomingDir=FOLDER/in
TempDir=FOLDER/part
[Obfuscation]
IsClientCryptLayerSupported=0
IsCryptLayerRequested=0
[ExternalConnect]
AcceptExternalConnections=1
ECAddress=127.0.0.1
ECPassword=5ebe2294ecd0e0f08eab7690d2a6ee69
";

#[test]
#[ignore = "needs amule-daemon and amule-utils"]
fn two_amules_find_each_other_by_a_server_and_go_on_where_the_direct_path_is_cut() {
    need(&[("amuled", "amule-daemon"), ("alcc", "amule-utils")]);
    lab::test(BUDGET, |lab| {
        let homes = Homes::new(lab);
        let (attic, laptop) = (&homes.attic, &homes.laptop);
        let [(there, _link), (here, _other)] = link(&homes);
        let bind = || TcpListener::bind((there, server::PORT)).unwrap();
        let server = Server::serve(attic.computer.home.run(bind));
        let film = noise();
        fs::create_dir_all(attic.folder.join("in")).unwrap();
        attic.write("in/film", &film);
        let _programs = [(attic, there), (laptop, here)].map(|(home, addr)| {
            let program = share(home, addr, there);
            until("it is connected", || {
                log(home).contains("Connected to lab with HighID")
            });
            program
        });
        until_within(2, "it is offered", || server.offers() == 1);

        homes.narrow(attic, RATE);
        fetch(attic, laptop, "film");
        let before = homes.came_to(laptop);
        let came = || (homes.came_to(laptop) - before) as usize;
        until("some of it has come", || came() > LEN / 4);
        homes.cut();
        assert!(came() < LEN, "too fast");
        let path = laptop.folder.join("in").join("film");
        until("it is complete", || path.exists());
        assert!(fs::read(path).unwrap() == film);
        let status = laptop.computer.json("peerway status").swap_remove(0);
        assert_eq!(status["peers"][0]["path"]["kind"], "relay", "{status}");
    });
}

/// A program that keeps what it has and fetches in the folder of the room, and knows the server at that address.
fn share(home: &Home, own: Ipv4Addr, server: Ipv4Addr) -> Running {
    let folder = home.folder.to_str().unwrap();
    let config = CONFIG
        .replace("NAME", home.name)
        .replace("ADDR", &own.to_string())
        .replace("FOLDER", folder);
    home.write("amule.conf", config);
    let port = server::PORT;
    home.write("staticservers.dat", format!("{server}:{port},1,lab\n"));
    for name in ["in", "part"] {
        fs::create_dir_all(home.folder.join(name)).unwrap();
    }
    home.computer.start(&format!("amuled -c {folder}"))
}

/// Has a file of the one home be fetched by the other, whose program looks for such links each second.
fn fetch(from: &Home, to: &Home, name: &str) {
    let path = from.folder.join("in").join(name);
    let said = from.computer.run(&format!("alcc {}", path.display()));
    let link = said.lines().find(|line| line.starts_with("ed2k:")).unwrap();
    let links = to.folder.join("ED2KLinks");
    let mut links = OpenOptions::new()
        .create(true)
        .append(true)
        .open(links)
        .unwrap();
    writeln!(links, "{link}").unwrap();
}

/// Nothing that would be smaller when it is packed, as an aMule does with what it sends.
fn noise() -> Vec<u8> {
    let mut noise = vec![0; LEN];
    let mut random = File::open("/dev/urandom").unwrap();
    random.read_exact(&mut noise).unwrap();
    noise
}

fn log(home: &Home) -> String {
    let log = fs::read(home.folder.join("logfile")).unwrap_or_default();
    String::from_utf8_lossy(&log).into_owned()
}

//! A torrent whose tracker and web seed are names of `peerway proxy`: qBittorrent, with SOCKS5 for all it does. Its tracker is
//! reached by UDP ASSOCIATE.

use std::{fs, net::UdpSocket};

use peerway_lab as lab;
use peerway_tests::computer::Computer;
use serde_json::Value;

use super::{
    film::{self, film},
    homes::{BUDGET, Homes, need, until},
    python::PYTHON,
    tracker::Tracker,
};

const LEN: usize = 24 << 20;
/// Megabytes a second: slow enough for the path to be cut in the midst.
const RATE: usize = 5;
/// Makes a torrent of a file.
const TORRENT: &str = r#"
import hashlib, sys
name, tracker, seed = sys.argv[1:]
data, size = open(name, "rb").read(), 1 << 18
hashes = b"".join(hashlib.sha1(data[at:at + size]).digest() for at in range(0, len(data), size))
text = lambda it: b"%d:%s" % (len(it), it)
whole = lambda it: b"i%de" % it
info = b"6:length" + whole(len(data)) + b"4:name" + text(name.encode()) + b"12:piece length" + whole(size) + b"6:pieces" + text(hashes)
torrent = b"8:announce" + text(tracker.encode()) + b"4:infod" + info + b"e8:url-list" + text(seed.encode())
open(name + ".torrent", "wb").write(b"d" + torrent + b"e")
"#;
const QBITTORRENT: &str = r"
[LegalNotice]
Accepted=true
[Preferences]
WebUI\LocalHostAuth=false
WebUI\Address=127.0.0.1
WebUI\Port=8081
[Network]
Proxy\Type=SOCKS5
Proxy\IP=127.0.0.1
Proxy\Port=1080
[BitTorrent]
Session\ProxyPeerConnections=true
Session\DHTEnabled=false
Session\LSDEnabled=false
Session\PeXEnabled=false
";
const API: &str = "http://127.0.0.1:8081/api/v2";

#[test]
#[ignore = "needs qbittorrent-nox, nginx-light and curl"]
fn qbittorrent_fetches_by_names_of_the_proxy_where_the_direct_path_is_cut_and_tells_its_tracker() {
    need(&[
        ("qbittorrent-nox", "qbittorrent-nox"),
        ("nginx", "nginx-light"),
        ("curl", "curl"),
    ]);
    lab::test(BUDGET, |lab| {
        let homes = Homes::new(lab);
        let (attic, laptop) = (&homes.attic, &homes.laptop.computer);
        let film = film(LEN);
        attic.write("film", &film);
        let _nginx = film::serve(attic, RATE);
        let room = &attic.room;
        let socket = room.run(|| UdpSocket::bind((room.addr(), 6969)).unwrap());
        let tracker = Tracker::serve(socket.unwrap());
        let names = [
            "udp://tracker.attic.peer:6969",
            "http://web.attic.peer/film",
        ];
        attic.output(PYTHON, &["-c", TORRENT, "film", names[0], names[1]]);
        let _exposed = attic.expose(&["web=8080", "tracker=udp:6969"]);

        let ticket = attic.computer.ticket();
        laptop.run(&format!("peerway add attic {ticket}"));
        let node = laptop.start("peerway up --json");
        assert!(node.line().contains("ready"));
        let proxy = laptop.start("peerway proxy --json");
        assert!(proxy.line().contains("listening"));
        laptop.run("peerway ping attic --until-direct --timeout 60");
        let profile = homes.laptop.folder.join("qBittorrent/config");
        fs::create_dir_all(&profile).unwrap();
        fs::write(profile.join("qBittorrent.conf"), QBITTORRENT).unwrap();
        let profile = homes.laptop.folder.display();
        let _program = laptop.start(&format!("qbittorrent-nox --profile={profile}"));
        let add = format!(
            "curl -sSf --retry 30 --retry-connrefused --retry-delay 1 -F torrents=@{folder}/film.torrent -F savepath={profile} {API}/torrents/add",
            folder = attic.folder.display()
        );
        assert_eq!(laptop.run(&add), "Ok.");

        until("a quarter is there", || done(laptop) > 0.25);
        homes.cut();
        assert!(done(laptop) < 1.0, "too fast");
        until("it is complete", || done(laptop) == 1.0);
        assert!(fs::read(homes.laptop.folder.join("film")).unwrap() == film);
        let status = laptop.json("peerway status").swap_remove(0);
        assert_eq!(status["peers"][0]["path"]["kind"], "relay", "{status}");
        until("the tracker knows", || tracker.completed() == 1);
        assert!(room.carried().unwrap() > LEN as u64);
        assert_eq!(room.strayed().unwrap(), 0);
    });
}

/// How much of it is there, of 1.
fn done(laptop: &Computer) -> f64 {
    let torrents = laptop.run(&format!("curl -sSf {API}/torrents/info"));
    let torrents: Value = torrents.parse().unwrap();
    torrents[0]["progress"].as_f64().unwrap_or(0.0)
}

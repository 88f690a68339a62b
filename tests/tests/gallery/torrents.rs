//! Torrents: two libtorrents, one of which has all of a file, over TCP and over uTP.

use std::fs;

use peerway_lab as lab;

use super::{
    film::film,
    homes::{BUDGET, Home, Homes, Program, need, until},
    python::{PYTHON, need_module},
};

const LEN: usize = 48 << 20;
const SHORT: usize = 2 << 20;
/// Bytes a second that are fetched until there is hurry.
const RATE: &str = "1000000";
/// What has come before a torrent is seen to go on.
const MORE: usize = 512 << 10;
const PORT: &str = "6881";
/// Has a file, and says so once it listens.
const SEED: &str = r#"
import sys, time, libtorrent
address, name = sys.argv[1:]
files = libtorrent.file_storage()
libtorrent.add_files(files, name)
torrent = libtorrent.create_torrent(files)
libtorrent.set_piece_hashes(torrent, ".")
with open(name + ".torrent", "wb") as out:
    out.write(libtorrent.bencode(torrent.generate()))
session = libtorrent.session({
    "listen_interfaces": address, "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
    "allow_multiple_connections_per_ip": True,
})
handle = session.add_torrent({"ti": libtorrent.torrent_info(name + ".torrent"), "save_path": "."})
while not handle.status().is_seeding:
    time.sleep(0.05)
print("seeding", flush=True)
while True:
    time.sleep(60)
"#;
/// Fetches it from one peer, and says how much it has and by what.
const FETCH: &str = r#"
import os, sys, time, libtorrent
host, port, name, carrier, rate = sys.argv[1:]
utp = carrier == "utp"
session = libtorrent.session({
    "listen_interfaces": "", "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
    "enable_outgoing_utp": utp, "enable_outgoing_tcp": not utp,
})
if utp:
    session.apply_settings({"listen_interfaces": "0.0.0.0:0"})
handle = session.add_torrent({"ti": libtorrent.torrent_info(name + ".torrent"), "save_path": "."})
handle.set_download_limit(int(rate))
carriers = set()
while not handle.status().is_seeding:
    if not handle.status().num_peers:
        handle.connect_peer((host, int(port)))
    for peer in handle.get_peer_info():
        # peer_info::utp_socket, which Python has no name for.
        carriers.add("utp" if peer.flags & 1 << 17 else "tcp")
    print("has", handle.status().total_done, flush=True)
    if os.path.exists("hurry"):
        handle.set_download_limit(0)
    time.sleep(0.2)
print("done by", *sorted(carriers), flush=True)
"#;

#[test]
#[ignore = "needs python3-libtorrent"]
fn torrents_go_on_whatever_happens_to_their_links_over_tcp_and_utp() {
    need(&[("python3", "python3")]);
    need_module("libtorrent", "python3-libtorrent");
    lab::test(BUDGET, |lab| {
        let homes = Homes::new(lab);
        let (attic, users) = (&homes.attic, homes.users());
        let films = [("film", LEN), ("short", SHORT)].map(|(name, len)| {
            let film = film(len);
            attic.write(name, &film);
            (name, film)
        });
        let address = format!("{}:{PORT}", attic.room.addr());
        let exposed = ["torrents=6881", "torrents-udp=udp:6881"];
        let forwarded = [("torrents", PORT), ("torrents-udp", "udp:6881")];
        let mut links = homes.disturbed(&exposed, &forwarded);

        let [(film, whole), (short, other)] = films;
        let seed = seed(attic, &address, film);
        let fetching = users.map(|user| fetch(attic, user, film, "tcp"));
        let get_on = || {
            let before = fetching.each_ref().map(has);
            for (fetching, before) in fetching.iter().zip(before) {
                until("more is there", || has(fetching) > before + MORE);
                assert!(has(fetching) < LEN, "too fast");
            }
        };
        get_on();
        links.outlive(get_on, || ());
        links.restart_far(get_on);
        for (user, fetching) in users.into_iter().zip(fetching) {
            user.write("hurry", "");
            assert!(fetching.finish().ends_with("done by tcp\n"));
            assert!(fs::read(user.folder.join(film)).unwrap() == whole);
        }
        drop(seed);

        let _seed = self::seed(attic, &address, short);
        for user in users {
            let fetching = fetch(attic, user, short, "utp");
            assert!(fetching.finish().ends_with("done by utp\n"));
            assert!(fs::read(user.folder.join(short)).unwrap() == other);
        }
        links.assert_carried((LEN + SHORT) as u64);
        println!("libtorrent: {links}");
    });
}

fn seed(home: &Home, address: &str, name: &str) -> Program {
    let program = home.start(PYTHON, &["-c", SEED, address, name]);
    program.until_said("seeding");
    program
}

/// What the torrent is, is told by other means.
fn fetch(from: &Home, to: &Home, name: &str, carrier: &str) -> Program {
    let torrent = format!("{name}.torrent");
    to.write(&torrent, fs::read(from.folder.join(&torrent)).unwrap());
    let gate = to.room.gate().to_string();
    to.start(PYTHON, &["-c", FETCH, &gate, PORT, name, carrier, RATE])
}

/// How many bytes it said last that it has.
fn has(fetching: &Program) -> usize {
    let said = fetching.said();
    let mut counts = said
        .lines()
        .rev()
        .filter_map(|line| line.strip_prefix("has "));
    counts.find_map(|count| count.parse().ok()).unwrap_or(0)
}

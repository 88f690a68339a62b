//! Programs that are told addresses of each other and dial these: they are joined by `peerway link`. Transmission.

use std::{
    fs,
    net::{Ipv4Addr, UdpSocket},
};

use peerway_lab as lab;
use peerway_tests::computer::{Computer, Running};
use serde_json::json;

use crate::gallery::{
    film::film,
    homes::{BUDGET, Home, Homes, need, until},
    tracker::Tracker,
};

const LEN: usize = 16 << 20;
/// Which kilobytes a second leave time to cut the path.
const RATE: usize = 4000;

#[test]
#[ignore = "needs transmission-daemon and transmission-cli"]
fn two_transmissions_find_each_other_by_a_tracker_and_go_on_where_the_direct_path_is_cut() {
    need(&[
        ("transmission-daemon", "transmission-daemon"),
        ("transmission-create", "transmission-cli"),
        ("transmission-remote", "transmission-cli"),
    ]);
    lab::test(BUDGET, |lab| {
        let homes = Homes::new(lab);
        let (attic, laptop) = (&homes.attic, &homes.laptop);
        let [(there, _link), (here, _other)] = link(&homes);
        let socket = attic
            .computer
            .home
            .run(|| UdpSocket::bind((there, 6969)).unwrap());
        let tracker = Tracker::serve(socket);
        let film = film(LEN);
        let path = attic.write("film", &film);
        let torrent = attic.folder.join("film.torrent");
        let torrent = torrent.display();
        let announce = format!("udp://{there}:6969");
        attic.computer.run(&format!(
            "transmission-create -o {torrent} -t {announce} {path}"
        ));

        let _programs = [(attic, there), (laptop, here)].map(|(home, addr)| {
            let program = transmit(home, addr);
            until("it is told of the torrent", || {
                let add = format!("transmission-remote -a {torrent}");
                let added = home.computer.line(&add).output().unwrap();
                added.status.success()
            });
            program
        });
        until("a quarter is there", || done(laptop) > 25.0);
        homes.cut();
        assert!(done(laptop) < 100.0, "too fast");
        until("it is complete", || done(laptop) == 100.0);
        assert!(fs::read(laptop.folder.join("film")).unwrap() == film);
        until("the tracker knows", || tracker.completed() == 1);
        let status = laptop.computer.json("peerway status").swap_remove(0);
        assert_eq!(status["peers"][0]["path"]["kind"], "relay", "{status}");
    });
}

/// Joins both homes, directly: their addresses, and what lasts as long as the link.
pub(super) fn link(homes: &Homes) -> [(Ipv4Addr, Running); 2] {
    let computers = [&homes.attic.computer, &homes.laptop.computer];
    let tickets = computers.map(Computer::ticket);
    for (computer, ticket) in computers.iter().zip(tickets.iter().rev()) {
        computer.json(&format!("peerway add other {ticket}"));
    }
    let links = computers.map(|computer| computer.start("peerway link other --json"));
    let linked = links.map(|link| {
        let device = link.wait_for(|line| line["event"] == "device");
        link.wait_for(|line| line["up"] == true);
        (device["v4"].as_str().unwrap().parse().unwrap(), link)
    });
    computers[0].run("peerway ping other --until-direct --timeout 60");
    linked
}

/// A program that keeps what it has and fetches in the folder of the room, and is to be found at this address alone.
fn transmit(home: &Home, addr: Ipv4Addr) -> Running {
    let folder = home.folder.to_str().unwrap();
    let settings = json!({
        "bind-address-ipv4": addr,
        "download-dir": folder,
        "speed-limit-down": RATE,
        "speed-limit-down-enabled": true,
        "dht-enabled": false,
        "lpd-enabled": false,
        "port-forwarding-enabled": false,
        "rpc-bind-address": "127.0.0.1",
    });
    home.write("settings.json", settings.to_string());
    home.computer
        .start(&format!("transmission-daemon -f -g {folder}"))
}

/// Percent of the torrent.
fn done(home: &Home) -> f64 {
    let torrent = home.computer.run("transmission-remote -t 1 -i");
    let mut lines = torrent.lines();
    let percent = lines.find_map(|line| line.trim().strip_prefix("Percent Done: "));
    let percent = percent.map_or("0", |percent| percent.trim_end_matches('%'));
    percent.parse().unwrap_or(0.0)
}

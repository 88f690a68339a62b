//! Homes whose networks are joined by a TUN device.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    sync::LazyLock,
    thread,
    time::Duration,
};

use peerway::{
    Endpoint, PeerId, PeerState, RelayUrl, Router, Ticket,
    services::subnet::{self, Dropped, IpNet, LinkState, Offer, Refusal, Status, Subnet},
};
use peerway_lab::{self as lab, Fault, Home, Lab, NatKind};
use peerway_tests::{
    PROGRAMS,
    computer::{Computer, Running},
    pair,
};
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};
use tempfile::TempDir;
use tokio::time::{Instant, timeout};

const BUDGET: Duration = Duration::from_secs(120);
const PATIENCE: Duration = Duration::from_secs(40);
/// Longer than any round trip here.
const ANSWER: Duration = Duration::from_secs(2);

#[test]
fn two_homes_behind_port_restricted_routers_ping_each_other_and_carry_tcp() {
    lab::test(BUDGET, |mut lab| {
        let (a, b) = joined(&mut lab, [NatKind::PortRestricted; 2], [none(), none()]);
        assert_pings(&a, &b);
        assert_pings(&b, &a);
        assert_eq!(transfer(&a, &b, 20 << 20), 20 << 20);
        assert_eq!(transfer_v6(&b, &a, 4 << 20), 4 << 20);
    });
}

#[test]
fn a_home_behind_a_symmetric_router_is_joined_too() {
    lab::test(BUDGET, |mut lab| {
        let kinds = [NatKind::PortRestricted, NatKind::Symmetric];
        let (a, b) = joined(&mut lab, kinds, [none(), none()]);
        assert_pings(&a, &b);
        assert_eq!(transfer(&b, &a, 4 << 20), 4 << 20);
    });
}

#[test]
fn a_transfer_outlives_its_path() {
    lab::test(BUDGET, |mut lab| {
        let (a, b) = joined(&mut lab, [NatKind::PortRestricted; 2], [none(), none()]);
        a.until_direct();
        let addr: IpAddr = b.status().v4.into();
        let listener = b.home.run(|| TcpListener::bind((addr, 0)).unwrap());
        let target = SocketAddr::from((addr, listener.local_addr().unwrap().port()));
        let reading = thread::spawn(move || read_all(&listener));
        a.home.run(|| {
            let mut stream = TcpStream::connect(target).unwrap();
            write_all(&mut stream, 251 << 14);
            lab.begin(Fault::Cut(&a.home, &b.home)).unwrap();
            write_all(&mut stream, 251 << 14);
        });
        assert_eq!(reading.join().unwrap(), 251 << 15);
        assert!(a.home.run(|| ping(addr)).unwrap());
    });
}

#[test]
fn a_host_behind_a_home_with_the_same_range_is_reached_in_another() {
    lab::test(BUDGET, |mut lab| {
        let lan = net("192.168.1.0/24");
        let advertises = Offer {
            advertised: vec![lan, net("10.7.7.0/24")],
            accepted: vec![],
        };
        let accepts = Offer {
            advertised: vec![],
            accepted: vec![lan, net("10.7.0.0/16")],
        };
        let kinds = [NatKind::PortRestricted; 2];
        let (a, b) = joined(&mut lab, kinds, [accepts, advertises]);
        let link = a.until(|link| link.routes.len() == 2);
        let [stands, plain] = &link.routes[..] else {
            panic!("{link:?}");
        };
        assert_eq!((stands.net, plain.net), (lan, net("10.7.7.0/24")));
        assert_eq!(plain.seen_as, plain.net);
        assert_ne!(stands.seen_as, lan);

        let nas = lab.host_beside(&b.home, "nas").unwrap();
        let seen = |host: &Home| shifted(host.addr(), stands.seen_as);
        assert!(a.home.run(|| ping(seen(&nas))).unwrap());
        let arrived = transfer_to(&a, &nas, [seen(&nas), nas.addr()], 4 << 20);
        assert_eq!(arrived, 4 << 20);
        assert!(a.home.run(|| ping(seen(&b.home))).unwrap());
        let mut add = b.home.command("ip");
        add.args(["address", "add", "10.7.7.1/32", "dev", "lo"]);
        assert!(add.status().unwrap().success());
        assert!(a.home.run(|| ping("10.7.7.1".parse().unwrap())).unwrap());
        assert_eq!(b.dropped().source, 0);
    });
}

#[test]
fn a_node_that_runs_links_networks_for_as_long_as_a_command_has_it_do_so() {
    LazyLock::force(&PROGRAMS);
    lab::test(BUDGET, |mut lab| {
        let folder = TempDir::new().unwrap();
        let relay = pair::named_relay(&lab);
        let both = ["nas", "laptop"].map(|name| {
            let home = lab.home(name, NatKind::PortRestricted).unwrap();
            let mut computer = Computer::new(home, name, folder.path());
            computer.export(&format!("export PEERWAY_RELAY={relay}"));
            computer
        });
        let [nas, laptop] = &both;
        for (one, other, name) in [(nas, laptop, "laptop"), (laptop, nas, "nas")] {
            let ticket = other.ticket();
            one.json(&format!("peerway add {name} {ticket}"));
        }
        let nodes = both.each_ref().map(|it| it.start("peerway up --json"));
        for node in &nodes {
            assert_eq!(said(node)["event"], "ready");
        }
        let there = nas.start("peerway link laptop --json");
        let addr: IpAddr = said(&there)["v4"].as_str().unwrap().parse().unwrap();
        for _ in 0..2 {
            // Killed after the first time, and made anew.
            let here = laptop.start("peerway link nas --json");
            while said(&here)["up"] != true {}
            assert!(laptop.home.run(|| ping(addr)).unwrap());
            let second = laptop.line("peerway link nas").output().unwrap();
            assert_eq!(second.status.code(), Some(5), "one at a time");
            drop(here);
            let begin = Instant::now();
            while has_device(laptop) {
                assert!(begin.elapsed() < PATIENCE, "the device stays");
            }
        }
        assert!(has_device(nas), "its command goes on");
        nas.run("peerway down");
    });
}

#[test]
fn a_link_that_is_kept_comes_back_with_a_node_that_was_killed_and_goes_without_the_others() {
    LazyLock::force(&PROGRAMS);
    lab::test(BUDGET, |mut lab| {
        let folder = TempDir::new().unwrap();
        let relay = pair::named_relay(&lab);
        let all = ["nas", "attic", "laptop"].map(|name| {
            let home = lab.home(name, NatKind::PortRestricted).unwrap();
            let mut computer = Computer::new(home, name, folder.path());
            computer.export(&format!("export PEERWAY_RELAY={relay}"));
            computer
        });
        let [nas, attic, laptop] = &all;
        for (other, name) in [(nas, "nas"), (attic, "attic")] {
            laptop.json(&format!("peerway add {name} {}", other.ticket()));
            other.json(&format!("peerway add laptop {}", laptop.ticket()));
            let added = other.json("peerway link add laptop").swap_remove(0);
            assert_eq!(added["state"], Value::Null, "no node runs yet");
        }
        let up = |computer: &Computer, line: &str| {
            let node = computer.start(line);
            assert_eq!(said(&node)["event"], "ready");
            node
        };
        let _others = [nas, attic].map(|it| up(it, "peerway up --json"));

        // Without the right to make a device the node runs all the same, and says what is missing.
        let unable = "setpriv --bounding-set -net_admin peerway up --json";
        let node = up(laptop, unable);
        let added = laptop.json("peerway link add nas attic");
        for line in &added {
            let reason = line["reason"].as_str().unwrap();
            assert_eq!(line["state"], "failed", "{line}");
            assert!(reason.contains("setcap cap_net_admin"), "{reason}");
        }
        assert!(laptop.run("peerway status").contains("setcap"));
        drop(node);

        let mut addr = Vec::new();
        for _ in 0..2 {
            // Killed after the first time, too.
            let node = up(laptop, "peerway up --json");
            addr = ["nas", "attic"]
                .map(|peer| until_kept(laptop, peer, "ready"))
                .to_vec();
            for addr in &addr {
                assert!(laptop.home.run(|| ping(*addr)).unwrap());
            }
            drop(node);
        }

        let node = up(laptop, "peerway up --json");
        until_kept(laptop, "nas", "ready");
        until_kept(laptop, "attic", "ready");
        let second = laptop.line("peerway link nas").output().unwrap();
        let told = String::from_utf8_lossy(&second.stderr).into_owned();
        assert!(told.contains("keeps a link with nas already"), "{told}");
        laptop.run("peerway link remove nas");
        let begin = Instant::now();
        while laptop.run("ip -o route").contains(&addr[0].to_string()) {
            assert!(begin.elapsed() < PATIENCE, "the route stays");
        }
        assert!(laptop.home.run(|| ping(addr[1])).unwrap(), "the other one");
        laptop.run("peerway block attic");
        until_kept(laptop, "attic", "failed");
        laptop.run("peerway allow attic");
        until_kept(laptop, "attic", "ready");
        laptop.run("peerway rename attic loft");
        until_kept(laptop, "loft", "ready");
        assert!(laptop.home.run(|| ping(addr[1])).unwrap());
        // Somebody removes the device, which is made anew.
        laptop.run("ip link delete $(ip -o link | grep -o 'peerway[0-9]*' | head -n 1)");
        let begin = Instant::now();
        while !laptop.home.run(|| ping(addr[1])).unwrap_or(false) {
            assert!(begin.elapsed() < PATIENCE, "it does not come back");
        }
        laptop.run("peerway link remove loft");
        let begin = Instant::now();
        while has_device(laptop) {
            assert!(begin.elapsed() < PATIENCE, "the device stays");
        }
        drop(node);
    });
}

/// Waits until a kept link fares so; the peer's address.
fn until_kept(computer: &Computer, peer: &str, state: &str) -> IpAddr {
    let begin = Instant::now();
    loop {
        let lines = computer.json("peerway link list");
        let line = lines.iter().find(|it| it["peer"] == peer);
        if let Some(line) = line.filter(|it| it["state"] == state) {
            let addr = line["addresses"][0].as_str();
            return addr.map_or_else(|| [0; 4].into(), |addr| addr.parse().unwrap());
        }
        assert!(
            begin.elapsed() < PATIENCE,
            "{peer} is not {state}: {line:?}"
        );
    }
}

/// Where `addr` is in a range of 256 that stands for its own.
fn shifted(addr: IpAddr, range: IpNet) -> IpAddr {
    let (IpAddr::V4(addr), IpNet::V4(range)) = (addr, range) else {
        panic!("IPv4");
    };
    let mut octets = range.network().octets();
    octets[3] = addr.octets()[3];
    IpAddr::from(octets)
}

#[test]
fn a_peer_that_sends_as_another_is_not_heard_and_that_is_counted() {
    lab::test(BUDGET, |mut lab| {
        let relay = pair::relay(&lab);
        let homes = ["a", "b"].map(|name| lab.home(name, NatKind::PortRestricted).unwrap());
        let [home, other] = homes;
        let liar = pair::node(&other, &relay);
        let node = pair::node(&home, &relay);
        let honest = begin((node.clone(), home), &liar.ticket(), none());
        let own = honest.status().v4;
        let answer = other.block_on(async {
            let connection = liar.connect(node.ticket(), subnet::ALPN).await.unwrap();
            let (mut send, mut recv) = connection.open_bi().await.unwrap();
            let mut hello = vec![0, 22, 1, 100, 64, 9, 9];
            hello.extend([0; 17]);
            send.write_all(&hello).await.unwrap();
            recv.read_exact(&mut [0; 24]).await.unwrap();
            for source in [[9, 9, 9, 9], [100, 64, 9, 8], [100, 64, 9, 9]] {
                let echo = echo(source, own.octets());
                connection.send_datagram(echo.into()).unwrap();
            }
            let answer = timeout(PATIENCE, connection.read_datagram()).await;
            answer.unwrap().unwrap()
        });
        assert_eq!(answer[16..20], [100, 64, 9, 9]);
        assert_eq!(honest.dropped().source, 2);
    });
}

/// An ICMP echo of IPv4.
fn echo(source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
    let head = [
        &[0x45, 0, 0, 28, 0, 1, 0, 0, 64, 1, 0, 0],
        &source[..],
        &destination,
    ];
    let with_sum = |mut bytes: Vec<u8>, at: usize| {
        let sum = !sum(&bytes);
        bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        bytes
    };
    let body = vec![8, 0, 0, 0, 0, 7, 0, 1];
    [with_sum(head.concat(), 10), with_sum(body, 2)].concat()
}

fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2);
    let sum: u32 = words
        .map(|it| u32::from(it[0]) << 8 | u32::from(it[1]))
        .sum();
    (sum % 0xffff) as u16
}

#[test]
fn what_would_swallow_the_way_there_is_refused_with_the_reason() {
    lab::test(BUDGET, |mut lab| {
        let wide = net("62.0.0.0/8");
        let advertises = Offer {
            advertised: vec![wide],
            accepted: vec![],
        };
        let accepts = Offer {
            advertised: vec![],
            accepted: vec![wide, net("10.0.0.0/8")],
        };
        let kinds = [NatKind::PortRestricted; 2];
        let (a, b) = joined(&mut lab, kinds, [accepts, advertises]);
        let link = a.until(|link| link.refused.len() == 2);
        assert_eq!(link.routes, []);
        let [
            (_, Refusal::WayThere { what, .. }),
            (_, Refusal::NotAdvertised { .. }),
        ] = link.refused[..]
        else {
            panic!("{link:?}");
        };
        assert!(["the relay", "the peer"].contains(&what), "{what}");
        assert_pings(&a, &b);
        let all = Offer {
            advertised: vec![],
            accepted: vec![net("0.0.0.0/0")],
        };
        let opened = a.home.block_on(Subnet::open(a.node.clone(), [], all));
        let told = opened.err().unwrap().to_string();
        assert!(told.contains("default route"), "{told}");
    });
}

#[test]
fn nobody_is_linked_who_is_not_named() {
    lab::test(BUDGET, |mut lab| {
        let relay = pair::relay(&lab);
        let homes = ["a", "b", "c"].map(|name| lab.home(name, NatKind::PortRestricted).unwrap());
        let [a, b, c] = homes.map(|home| (pair::node(&home, &relay), home));
        let (unnamed, named, ticket) = (c.0.id(), a.0.ticket(), b.0.ticket());
        let b = begin(b, &named, none());
        let c = begin(c, &ticket, none());
        let link = c.until(|link| link.trouble.is_some());
        let told = link.trouble.unwrap();
        assert!(told.contains("does not link with this computer"), "{told}");
        assert!(!b.status().links.contains_key(&unnamed));
        let a = begin(a, &ticket, none());
        a.until(|link| link.is_up);
        b.until(|link| link.is_up);
    });
}

/// A home and what runs in it.
struct Joined {
    home: Home,
    subnet: Subnet,
    node: Endpoint,
    other: PeerId,
}

impl Joined {
    fn status(&self) -> Status {
        self.subnet.watch().borrow().clone()
    }

    fn link(&self) -> LinkState {
        self.status().links[&self.other].clone()
    }

    /// Waits until the link is so.
    fn until(&self, is_so: impl Fn(&LinkState) -> bool + Send + Sync) -> LinkState {
        let mut status = self.subnet.watch();
        let other = self.other;
        self.home.block_on(async {
            let so = status.wait_for(|status| is_so(&status.links[&other]));
            let so = timeout(PATIENCE, so).await;
            let links = self.subnet.watch().borrow().links.clone();
            let so = so.unwrap_or_else(|_| panic!("{links:?}")).unwrap();
            so.links[&other].clone()
        })
    }

    fn until_direct(&self) {
        let mut snapshots = self.node.snapshots();
        self.home.block_on(async {
            let direct = snapshots.wait_for(|node| {
                let mut peers = node.peers.iter();
                peers.any(|peer| peer.id == self.other && peer.state == PeerState::Direct)
            });
            timeout(PATIENCE, direct).await.unwrap().unwrap();
        });
    }

    /// Addresses of the other one.
    fn there(&self) -> [IpAddr; 2] {
        self.link().addresses.try_into().unwrap()
    }

    fn dropped(&self) -> Dropped {
        self.subnet.dropped()
    }
}

fn none() -> Offer {
    Offer::default()
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn joined(lab: &mut Lab, kinds: [NatKind; 2], offers: [Offer; 2]) -> (Joined, Joined) {
    let relay = pair::relay(lab);
    let homes = [
        lab.home("a", kinds[0]).unwrap(),
        lab.home("b", kinds[1]).unwrap(),
    ];
    join(&relay, homes, offers)
}

fn join(relay: &RelayUrl, homes: [Home; 2], offers: [Offer; 2]) -> (Joined, Joined) {
    let [a, b] = homes.map(|home| (pair::node(&home, relay), home));
    let tickets = [a.0.ticket(), b.0.ticket()];
    let [ours, theirs] = offers;
    let a = begin(a, &tickets[1], ours);
    let b = begin(b, &tickets[0], theirs);
    a.until(|link| link.is_up);
    b.until(|link| link.is_up);
    (a, b)
}

fn begin((node, home): (Endpoint, Home), other: &Ticket, offer: Offer) -> Joined {
    let peers = [other.clone()];
    let subnet = home
        .block_on(Subnet::open(node.clone(), peers, offer))
        .unwrap();
    let served = subnet.clone();
    let router = Router::new(node.clone()).accept(subnet::ALPN, move |connection| {
        served.clone().serve(connection)
    });
    home.spawn(router.run());
    home.spawn(subnet.clone().run());
    let other = other.id();
    Joined {
        home,
        subnet,
        node,
        other,
    }
}

fn assert_pings(from: &Joined, to: &Joined) {
    let own = to.status();
    for addr in [own.v4.into(), own.v6.unwrap().into()] {
        assert!(from.there().contains(&addr));
        assert!(from.home.run(|| ping(addr)).unwrap(), "{addr} answers");
    }
}

/// Whether an ICMP echo comes back.
fn ping(addr: IpAddr) -> io::Result<bool> {
    let (domain, protocol, kind) = match addr {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, 8),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, 128),
    };
    let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
    socket.set_read_timeout(Some(ANSWER))?;
    socket.connect(&SocketAddr::from((addr, 0)).into())?;
    let mut echo = [kind, 0, 0, 0, 7, 7, 0, 1, b'h', b'i'];
    let sum = !sum(&echo);
    echo[2..4].copy_from_slice(&sum.to_be_bytes());
    socket.send(&echo)?;
    let mut socket = socket;
    let mut answer = [0; 128];
    loop {
        match socket.read(&mut answer) {
            Ok(length)
                if answer[..length].ends_with(b"hi") && !answer[..length].ends_with(&echo) =>
            {
                return Ok(true);
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

/// Bytes that arrive of so many by TCP.
fn transfer(from: &Joined, to: &Joined, bytes: usize) -> usize {
    let addr = to.status().v4.into();
    transfer_to(from, &to.home, [addr, addr], bytes)
}

fn transfer_v6(from: &Joined, to: &Joined, bytes: usize) -> usize {
    let addr = to.status().v6.unwrap().into();
    transfer_to(from, &to.home, [addr, addr], bytes)
}

/// The sender sees the host at `addr`; it is at `own` itself.
fn transfer_to(from: &Joined, to: &Home, [addr, own]: [IpAddr; 2], bytes: usize) -> usize {
    let listener = to.run(|| TcpListener::bind((own, 0)).unwrap());
    let port = listener.local_addr().unwrap().port();
    let reading = thread::spawn(move || read_all(&listener));
    from.home.run(|| {
        let mut stream = TcpStream::connect((addr, port)).unwrap();
        write_all(&mut stream, bytes);
    });
    reading.join().unwrap()
}

/// A pattern, so that it is noticed if anything is swapped.
fn write_all(stream: &mut TcpStream, bytes: usize) {
    let block: Vec<u8> = (0..=250).cycle().take(251 * 256).collect();
    let mut left = bytes;
    while left > 0 {
        let now = left.min(block.len());
        stream.write_all(&block[..now]).unwrap();
        left -= now;
    }
}

fn read_all(listener: &TcpListener) -> usize {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut buffer, mut at) = (vec![0; 1 << 16], 0);
    loop {
        let length = stream.read(&mut buffer).unwrap();
        if length == 0 {
            return at;
        }
        for byte in &buffer[..length] {
            assert_eq!(usize::from(*byte), at % 251);
            at += 1;
        }
    }
}

fn said(running: &Running) -> Value {
    running.line().parse().unwrap()
}

fn has_device(computer: &Computer) -> bool {
    computer.run("ip -o link show").contains("peerway")
}

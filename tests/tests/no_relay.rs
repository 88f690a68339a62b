//! Homes that have no relay meet by way of the Mainline DHT alone: thirty nodes on the lab's internet, half of them libtorrent's.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is all test code"
)]

use std::{
    io::{BufRead, BufReader},
    net::Ipv4Addr,
    path::Path,
    process::{Child, Stdio},
    sync::LazyLock,
    time::Duration,
};

use mainline::Dht;
use peerway::{ConnectError, DiscoverySecret, Endpoint, PeerState, RelayUrl, SecretKey, Ticket};
use peerway_lab::{self as lab, Home, Lab, Line, NatKind};
use peerway_relay::{Config, Relay};
use peerway_swarm::{
    call::listen::Switchboard,
    directory::{Directory, Entrance},
    discovery::Discovery,
    publish::{Audience, Publisher},
};
use peerway_tests::{
    PROGRAMS,
    computer::{Computer, Running},
    pair,
};
use serde_json::Value;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

const ALPN: &[u8] = b"no-relay/1";
const BUDGET: Duration = Duration::from_secs(1500);
/// Until a node has published where it is, on a busy computer.
const PUBLISHING: Duration = Duration::from_secs(90);
/// 80 ms between homes.
const DELAY: Duration = Duration::from_millis(20);
/// Nodes of each kind.
const NODES: u8 = 15;
const PORT: u16 = 6881;
/// After this long a node that nobody calls reads its calls once a minute.
const EAGER_FOR: Duration = Duration::from_secs(300);

/// Nodes of libtorrent at the addresses that are its arguments; the first is where the others begin. Ends with its standard input.
const TORRENTS: &str = r#"
import sys
import libtorrent
addrs = sys.argv[1:]
sessions = []
for addr in addrs:
    session = libtorrent.session({
        "listen_interfaces": addr + ":6881", "enable_dht": True, "dht_bootstrap_nodes": "", "enable_lsd": False, "enable_upnp": False,
        "enable_natpmp": False, "dht_ignore_dark_internet": False, "dht_restrict_routing_ips": False, "dht_restrict_search_ips": False})
    sessions.append(session)
for session in sessions:
    for addr in addrs:
        session.add_dht_node((addr, 6881))
# Each has to know half of the others, as it tells in its statistics, before it is of use to anybody.
known = [0] * len(sessions)
while min(known) < len(addrs) // 2:
    for at, session in enumerate(sessions):
        session.post_session_stats()
        if session.wait_for_alert(1000):
            for alert in session.pop_alerts():
                if isinstance(alert, libtorrent.session_stats_alert):
                    known[at] = alert.values["dht.dht_nodes"]
print("ready", flush=True)
sys.stdin.read()
"#;

/// A DHT of its own on the lab's internet.
struct World {
    lab: Lab,
    bootstrap: Vec<String>,
    nodes: Vec<Dht>,
    torrents: Child,
}

impl World {
    fn new(lab: Lab) -> Self {
        let host = lab.relay();
        let addr = |number: u8| Ipv4Addr::new(62, 10, 0, 100 + number);
        for number in 0..2 * NODES {
            let addr = format!("{}/24", addr(number));
            let mut ip = host.command("ip");
            let added = ip.args(["address", "add", &addr, "dev", "eth0"]).status();
            assert!(added.unwrap().success());
        }
        let theirs: Vec<String> = (NODES..2 * NODES).map(|it| addr(it).to_string()).collect();
        // Debian's, whatever else is installed.
        let mut torrents = host.command("/usr/bin/python3");
        torrents.args(["-c", TORRENTS]).args(&theirs);
        torrents.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut torrents = torrents.spawn().unwrap();
        let mut line = String::new();
        let mut said = BufReader::new(torrents.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "is python3-libtorrent installed?");
        let bootstrap = vec![
            format!("{}:{PORT}", addr(0)),
            format!("{}:{PORT}", addr(NODES)),
        ];
        let nodes = (0..NODES).map(|number| {
            let mut builder = Dht::builder();
            builder.bind_address(addr(number)).public_ip(addr(number));
            builder.port(PORT).server_mode().bootstrap(&bootstrap);
            host.run(|| builder.build().unwrap())
        });
        let nodes: Vec<Dht> = nodes.collect();
        let asked: Vec<_> = nodes.iter().map(|node| node.clone().as_async()).collect();
        host.block_on(async move {
            for node in asked {
                assert!(node.bootstrapped().await);
            }
        });
        Self {
            lab,
            bootstrap,
            nodes,
            torrents,
        }
    }

    /// A relay in a home, which uses the DHT as well.
    fn relay(&self, host: &Home) -> RelayUrl {
        let entrance = self.entrance();
        let mut config = Config::new(
            (host.public_addr(), 4433).into(),
            SecretKey::generate().unwrap(),
        );
        let relay = host.block_on(async {
            config.directory = Some(Directory::new(entrance).dht().clone());
            Relay::bind(config).await.unwrap()
        });
        let url = relay.url();
        host.spawn(async move { relay.run().await });
        url
    }

    fn home(&mut self, name: &str, nat: NatKind) -> Home {
        let line = Line::delayed(DELAY);
        self.lab.home_on(name, nat, line).unwrap()
    }

    fn entrance(&self) -> Entrance {
        Entrance::at(self.bootstrap.clone())
    }

    /// A node that others are to reach, and what it is called by.
    fn callee(&self, home: &Home, relay: Option<RelayUrl>) -> Callee {
        let key = SecretKey::generate().unwrap();
        let secret = DiscoverySecret::from_bytes(*key.seed().first_chunk().unwrap());
        let (entrance, runtime) = (self.entrance(), home.runtime());
        home.block_on(async move {
            let endpoint = node(&key, relay).await;
            let directory = Directory::new(entrance);
            let discovery = Discovery::start(&endpoint, key.clone(), directory.clone()).await;
            let secrets = vec![secret];
            let audience = Audience::new(secrets.clone());
            let publisher = Publisher::new(key.clone(), audience, directory.clone());
            let switchboard = Switchboard::new(key.clone(), secrets, directory);
            let online = endpoint.clone();
            let task = runtime.spawn(async move {
                tokio::join!(publisher.run(&online), switchboard.run(&online));
            });
            let mut snapshots = endpoint.snapshots();
            let published = snapshots.wait_for(|it| {
                let words = it.network.publishing.as_deref();
                words.is_some_and(|words| words.starts_with("published at"))
            });
            let published = timeout(PUBLISHING, published).await.map(|it| it.is_ok());
            let words = endpoint.snapshot().network.publishing.clone();
            assert_eq!(published, Ok(true), "{words:?}");
            Callee {
                ticket: Ticket::from(key.id()).with_discovery(Some(secret)),
                endpoint,
                _task: task,
                _discovery: discovery,
            }
        })
    }

    /// Dials by a node that knows nothing but the ticket. How long it took until the connection and until the direct path.
    fn dial(&self, home: &Home, callee: &Ticket) -> Result<(Duration, Duration), ConnectError> {
        self.dial_by(home, None, callee)
            .map(|(connected, direct)| (connected, direct.expect("there is no other way")))
    }

    /// The same by a node that has a relay, if one is named; it need not become direct then.
    fn dial_by(
        &self,
        home: &Home,
        relay: Option<&RelayUrl>,
        callee: &Ticket,
    ) -> Result<(Duration, Option<Duration>), ConnectError> {
        let relay = relay.cloned();
        let (entrance, callee) = (self.entrance(), callee.clone());
        home.block_on(async move {
            let key = SecretKey::generate().unwrap();
            let by_relay = relay.is_some();
            let endpoint = node(&key, relay).await;
            if by_relay {
                endpoint.online().await.unwrap();
            }
            let _discovery = Discovery::start(&endpoint, key, Directory::new(entrance)).await;
            let begun = Instant::now();
            let dialled = endpoint.connect(callee, ALPN).await;
            let connected = begun.elapsed();
            let connection = match dialled {
                Ok(connection) => connection,
                Err(error) => {
                    endpoint.close().await;
                    return Err(error);
                }
            };
            if by_relay {
                endpoint.close().await;
                return Ok((connected, None));
            }
            let mut status = connection.watch_status();
            let direct = status.wait_for(|it| it.state == PeerState::Direct);
            timeout(PUBLISHING, direct).await.unwrap().unwrap();
            let direct = begun.elapsed();
            endpoint.close().await;
            Ok((connected, Some(direct)))
        })
    }

    fn close(mut self) {
        drop(self.torrents.stdin.take());
        self.torrents.wait().unwrap();
        drop(self.nodes);
    }
}

struct Callee {
    endpoint: Endpoint,
    ticket: Ticket,
    _task: JoinHandle<()>,
    _discovery: Discovery,
}

async fn node(key: &SecretKey, relay: Option<RelayUrl>) -> Endpoint {
    let builder = Endpoint::builder().secret_key(key.clone()).alpns([ALPN]);
    let builder = builder.relays(relay).port_mapping(false);
    builder.bind().await.unwrap()
}

/// The largest of what was measured, and all of it.
fn tally(title: &str, mut took: Vec<Duration>) -> Duration {
    took.sort();
    let worst = took.last().copied().unwrap();
    let median = took[took.len() / 2];
    println!(
        "{title}: {} dials, median {median:.1?}, worst {worst:.1?}: {took:.1?}",
        took.len()
    );
    worst
}

#[test]
#[ignore = "needs python3-libtorrent"]
fn port_restricted_homes_without_a_relay_are_linked_within_fifteen_seconds_when_both_wait() {
    lab::test(BUDGET, |lab| {
        let mut world = World::new(lab);
        for (number, nat) in [NatKind::PortRestricted, NatKind::PortRestrictedAccept]
            .into_iter()
            .enumerate()
        {
            let a = world.home(&format!("a{number}"), nat);
            let b = world.home(&format!("b{number}"), nat);
            let (mut callee, mut took) = (world.callee(&a, None), Vec::new());
            for run in 0..pair::runs(2) {
                // Four can call one node at a time, and calls of now lie there for a while.
                if run > 0 && run % 4 == 0 {
                    a.block_on(callee.endpoint.close());
                    callee = world.callee(&a, None);
                }
                took.push(world.dial(&b, &callee.ticket).unwrap().1);
            }
            let worst = tally("both wait", took);
            assert!(worst <= Duration::from_secs(15), "{worst:?}");
            a.block_on(callee.endpoint.close());
        }
        world.close();
    });
}

#[test]
#[ignore = "takes ten minutes, as a node reads its calls often in its first five: `.ci/nightly` does it"]
fn homes_without_a_relay_are_linked_within_ninety_seconds_when_nobody_waits() {
    lab::test(BUDGET, |lab| {
        let mut world = World::new(lab);
        let homes: Vec<(Home, Home)> = (0..pair::runs(4))
            .map(|number| {
                let a = world.home(&format!("a{number}"), NatKind::PortRestricted);
                (
                    a,
                    world.home(&format!("b{number}"), NatKind::PortRestricted),
                )
            })
            .collect();
        let callees: Vec<Callee> = homes.iter().map(|(a, _)| world.callee(a, None)).collect();
        world.lab.relay().block_on(async { sleep(EAGER_FOR).await });
        let pairs = homes.iter().zip(&callees);
        let dials = pairs.map(|((_, b), callee)| world.dial(b, &callee.ticket).unwrap().1);
        let worst = tally("nobody waits", dials.collect());
        assert!(worst <= Duration::from_secs(90), "{worst:?}");
        world.close();
    });
}

#[test]
#[ignore = "needs python3-libtorrent"]
fn a_peer_is_found_at_a_relay_that_only_its_record_names_within_three_seconds() {
    lab::test(BUDGET, |lab| {
        let mut world = World::new(lab);
        let relay = pair::relay(&world.lab);
        let a = world.home("a", NatKind::PortRestricted);
        let b = world.home("b", NatKind::PortRestricted);
        let callee = world.callee(&a, Some(relay));
        let dials = (0..pair::runs(2)).map(|_| world.dial(&b, &callee.ticket).unwrap().0);
        let worst = tally("by a record with a relay", dials.collect());
        assert!(worst <= Duration::from_secs(3), "{worst:?}");
        world.close();
    });
}

#[test]
#[ignore = "needs python3-libtorrent"]
fn where_udp_is_dropped_the_relay_looks_up_and_publishes() {
    lab::test(BUDGET, |lab| {
        let mut world = World::new(lab);
        let hosts = ["near", "far"].map(|name| world.home(name, NatKind::Public));
        let [near, far] = hosts.each_ref().map(|host| world.relay(host));
        let blocked = world.home("blocked", NatKind::Blocked);
        let other = world.home("other", NatKind::PortRestricted);
        let callee = world.callee(&other, Some(far.clone()));
        let dial = |from: &Home, relay: &RelayUrl, to: &Callee| {
            world.dial_by(from, Some(relay), &to.ticket).unwrap().0
        };
        let dials = (0..pair::runs(2)).map(|_| dial(&blocked, &near, &callee));
        let worst = tally("looked up by a relay", dials.collect());
        assert!(worst <= Duration::from_secs(3), "{worst:?}");
        let callee = world.callee(&blocked, Some(near.clone()));
        let dials = (0..pair::runs(2)).map(|_| dial(&other, &far, &callee));
        let worst = tally("published by a relay", dials.collect());
        assert!(worst <= Duration::from_secs(3), "{worst:?}");
        world.close();
    });
}

#[test]
#[ignore = "needs python3-libtorrent"]
fn a_ticket_is_all_that_two_commands_need() {
    LazyLock::force(&PROGRAMS);
    lab::test(BUDGET, |lab| {
        let mut world = World::new(lab);
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = two_computers(&mut world, folder.path());
        let _up = a.start("peerway up");
        let ticket = a.run("peerway ticket");
        let ping = format!("peerway ping {} -c 1", ticket.trim());
        let begun = Instant::now();
        let linked = loop {
            let pinged = b.line(&ping).output().unwrap();
            let said = String::from_utf8_lossy(&pinged.stderr);
            println!(
                "{:.1?} {}{said}",
                begun.elapsed(),
                String::from_utf8_lossy(&pinged.stdout)
            );
            if pinged.status.success() || begun.elapsed() > PUBLISHING {
                break pinged.status.success();
            }
        };
        assert!(linked);
        println!("{}", a.run("peerway status"));
        println!("{}", a.run("peerway netcheck"));
        world.close();
    });
}

/// Two computers in homes of their own, which have the DHT and nothing else.
fn two_computers(world: &mut World, folder: &Path) -> [Computer; 2] {
    let export = format!("export PEERWAY_DHT_NODE={}", world.bootstrap.join(","));
    ["a", "b"].map(|name| {
        let home = world.home(name, NatKind::PortRestricted);
        let mut computer = Computer::new(home, name, folder);
        computer.export(&export);
        computer
    })
}

/// The code that a command shows.
fn code(shows: &Running) -> String {
    let line: Value = shows.line().parse().unwrap();
    line["code"].as_str().unwrap().to_owned()
}

#[test]
#[ignore = "needs python3-libtorrent"]
fn homes_without_a_relay_pair_by_a_code_within_fifteen_seconds() {
    LazyLock::force(&PROGRAMS);
    lab::test(BUDGET, |lab| {
        let mut world = World::new(lab);
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = two_computers(&mut world, folder.path());
        let (mut shown, mut paired) = (Vec::new(), Vec::new());
        for _ in 0..pair::runs(2) {
            let begun = Instant::now();
            let shows = a.start("peerway pair --as attic --json");
            let code = code(&shows);
            shown.push(begun.elapsed());
            let begun = Instant::now();
            let known = b.json(&format!("peerway pair {code} --as laptop"));
            paired.push(begun.elapsed());
            assert_eq!(known[0]["name"], "attic");
            assert!(shows.finish()[0].contains("laptop"));
        }
        tally("until the code is shown", shown);
        let worst = tally("pair", paired);
        assert!(worst <= Duration::from_secs(15), "{worst:?}");
        world.close();
    });
}

#[test]
#[ignore = "needs python3-libtorrent"]
fn homes_without_a_relay_send_and_receive_by_a_code() {
    LazyLock::force(&PROGRAMS);
    lab::test(BUDGET, |lab| {
        let mut world = World::new(lab);
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = two_computers(&mut world, folder.path());
        let file = folder.path().join("a/letter");
        std::fs::write(&file, vec![7; 1 << 20]).unwrap();
        let mut took = Vec::new();
        for run in 0..pair::runs(2) {
            let sends = a.start("peerway send letter --json");
            let code = code(&sends);
            std::fs::create_dir(folder.path().join(format!("b/{run}"))).unwrap();
            let begun = Instant::now();
            b.json(&format!("peerway receive {code} {run} --yes"));
            took.push(begun.elapsed());
            sends.finish();
            let received = folder.path().join(format!("b/{run}/letter"));
            assert_eq!(std::fs::read(received).unwrap(), vec![7; 1 << 20]);
        }
        tally("send and receive", took);
        world.close();
    });
}

#[test]
#[ignore = "needs python3-libtorrent"]
fn who_cannot_be_said_hello_to_is_told_that_one_of_the_two_needs_a_relay() {
    lab::test(BUDGET, |lab| {
        let mut world = World::new(lab);
        let a = world.home("a", NatKind::PortRestricted);
        let b = world.home("b", NatKind::Symmetric);
        let callee = world.callee(&a, None);
        let error = world.dial(&b, &callee.ticket).unwrap_err().to_string();
        assert!(error.contains("another port"), "{error}");
        assert!(error.contains("needs a relay"), "{error}");
        let blocked = world.home("c", NatKind::Blocked);
        let error = world
            .dial(&blocked, &callee.ticket)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("no node of the Mainline DHT answers"),
            "{error}"
        );
        world.close();
    });
}

//! IPv4, IPv6 and the way between them, in the kernel.

#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is all test code"
)]

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use peerway::NodeSnapshot;
use peerway_lab::{self as lab, Access, Line, NatKind};
use peerway_tests::pair::{self, HomePair};
use tokio::time::timeout;

const BUDGET: Duration = Duration::from_secs(240);
const DELAY: Duration = Duration::from_millis(20);
const RUNS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(10);

const TAYGA: &str = "
tun-device nat64
ipv4-addr 10.99.0.1
ipv6-addr 2a00:99::2
prefix 64:ff9b::/96
dynamic-pool 10.99.0.0/24
data-dir /run
";
const ROUTES: &str = "
link set nat64 up
address add 10.98.0.1/32 dev nat64
address add 2a00:99::1/128 dev nat64
route add 10.99.0.0/24 dev nat64
route add 64:ff9b::/96 dev nat64
";
const OUTSIDE: &str = "
table ip nat64 {
    chain outside {
        type nat hook postrouting priority srcnat;
        ip saddr 10.99.0.0/24 oifname != nat64 snat to 62.99.0.1
    }
}";

#[test]
fn a_home_with_both_families_learns_its_public_address_in_both_from_one_relay() {
    lab::test(BUDGET, |mut lab| {
        let relay = pair::named_relay(&lab);
        let access = Access {
            ipv6: true,
            ..NatKind::PortRestricted.into()
        };
        let home = lab.home("both", access).unwrap();
        let node = pair::node(&home, &relay);
        let network = home.block_on(async {
            let mut snapshots = node.snapshots();
            let both = |snapshot: &Arc<NodeSnapshot>| {
                let network = &snapshot.network;
                network.public_v4.is_some() && network.public_v6.is_some()
            };
            let known = timeout(PATIENCE, snapshots.wait_for(both)).await;
            known.unwrap().unwrap().network.clone()
        });
        let [v4, v6] = [network.public_v4, network.public_v6].map(|addr| addr.unwrap().ip());
        assert_eq!((v4, v6), (home.public_addr(), home.addr6().unwrap().into()));
    });
}

/// The translator is tayga, in the middle of the internet.
#[test]
#[ignore = "needs tayga"]
fn a_home_with_ipv6_alone_goes_direct_to_homes_with_ipv4_alone_in_both_roles() {
    lab::test(BUDGET, |mut lab| {
        let mut translator = translate();
        let relay = pair::relay(&lab);
        let line = Line::delayed(DELAY);
        let six = lab.home_on("six", Access::IPV6_ONLY, line).unwrap();
        let four = [
            NatKind::Public,
            NatKind::FullCone,
            NatKind::PortRestricted,
            NatKind::DoubleNat,
        ]
        .map(|nat| (nat, lab.home_on(nat.name(), nat, line).unwrap()));
        for (nat, four) in &four {
            for (from, to) in [(&six, four), (four, &six)] {
                let pair = HomePair {
                    lab: &lab,
                    from,
                    to,
                    relay: &relay,
                    limit: Duration::from_secs(10),
                };
                let tally = pair.dial(pair::runs(RUNS));
                println!("{nat:?}: {tally}");
                assert_eq!(tally.direct(), tally.dials.len(), "{nat:?}: {tally:#?}");
            }
        }
        translator.kill().unwrap();
        translator.wait().unwrap();
    });
}

/// Puts a translator into the internet, and lets resolvers say so.
fn translate() -> Child {
    fs::write("/run/tayga.conf", TAYGA).unwrap();
    run("tayga", &["-c", "/run/tayga.conf", "--mktun"], "");
    run("ip", &["-batch", "-"], ROUTES);
    run("nft", &["--file", "-"], OUTSIDE);
    let mut hosts = OpenOptions::new().append(true).open("/etc/hosts").unwrap();
    writeln!(hosts, "64:ff9b::192.0.0.170 ipv4only.arpa").unwrap();
    core("tayga")
        .args(["-c", "/run/tayga.conf", "--nodetach"])
        .spawn()
        .unwrap()
}

/// A command that runs on the router that is the internet.
fn core(program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["--net=/run/netns/core", program]);
    command
}

fn run(program: &str, args: &[&str], script: &str) {
    let mut child = core(program)
        .args(args)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(script.as_bytes()).unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success(), "{program} {args:?}");
}

//! The router software of many homes, on the far side of a link in a network of the test's own.

use std::{
    io::{BufRead, BufReader},
    num::NonZeroU16,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use crate::{MappingProtocol, PortMapping, net::portmap::PortMapper};

/// Set where the test runs itself again inside of its network.
const INSIDE: &str = "PEERWAY_TEST_INSIDE_NETNS";

const LIFE: Duration = Duration::from_secs(6);
/// A lease lasts two hours, and its renewal is due after one.
const AGAIN: Duration = Duration::from_secs(120);

const HOME_WITH_ROUTER: &str = r#"
mount -t tmpfs none /run
ip netns add router
ip link set lo up
ip link add home type veth peer name lan netns router
ip addr add 192.168.1.2/24 dev home
ip addr add 2a00:1::2/64 dev home nodad
ip link set home up
ip netns exec router sh -e -c '
    ip link set lo up
    ip addr add 192.168.1.1/24 dev lan
    ip addr add fe80::1/64 dev lan nodad
    ip addr add 2a00:1::1/64 dev lan nodad
    ip link set lan up
    ip link add wan type veth peer name internet
    ip addr add 9.9.9.9/24 dev wan
    ip addr add 2a00:9::9/64 dev wan nodad
    ip link set wan up
    ip link set internet up
    nft add table inet filter
    nft add chain inet filter input "{ type filter hook input priority 0; }"
    nft add rule inet filter input udp dport 5351 $0
    nft add chain inet filter miniupnpd "{ type filter hook forward priority 0; }"
    nft add chain inet filter prerouting_miniupnpd "{ type nat hook prerouting priority -100; }"
    nft add chain inet filter postrouting_miniupnpd "{ type nat hook postrouting priority 100; }"
' "$1"
ip route add default via 192.168.1.1
ip route add default via fe80::1 dev home
while ip -6 addr show dev home tentative | grep -q 2a00; do sleep 0.05; done
while ip -n router -6 addr show dev lan tentative | grep -q fe80; do sleep 0.05; done
"#;

const CONFIG: &str = "\
ext_ifname=wan
listening_ip=lan
enable_upnp=yes
enable_natpmp=yes
secure_mode=yes
uuid=4d2e1a3c-0000-4000-8000-000000000001
allow 1024-65535 0.0.0.0/0 1024-65535
";

#[test]
#[ignore = "needs miniupnpd, nft and user namespaces"]
fn miniupnpd_grants_and_takes_back_a_port_by_pcp() {
    let test = "miniupnpd_grants_and_takes_back_a_port_by_pcp";
    check(
        test,
        "accept",
        PortMapper::spawn,
        granted(MappingProtocol::Pcp, "9.9.9.9:41000"),
    );
}

#[test]
#[ignore = "needs miniupnpd, nft and user namespaces"]
fn miniupnpd_grants_and_takes_back_a_port_by_upnp() {
    let test = "miniupnpd_grants_and_takes_back_a_port_by_upnp";
    check(
        test,
        "reject",
        PortMapper::spawn,
        granted(MappingProtocol::Upnp, "9.9.9.9:41000"),
    );
}

#[test]
#[ignore = "needs miniupnpd, nft and user namespaces"]
fn miniupnpd_opens_and_closes_its_ipv6_firewall_by_pcp() {
    let test = "miniupnpd_opens_and_closes_its_ipv6_firewall_by_pcp";
    check(
        test,
        "accept",
        PortMapper::spawn_v6,
        granted(MappingProtocol::Pcp, "[2a00:1::2]:41000"),
    );
}

fn granted(protocol: MappingProtocol, external: &str) -> PortMapping {
    PortMapping::new(
        protocol,
        external.parse().unwrap(),
        Some(Duration::from_secs(7200)),
    )
}

type Spawn = fn(NonZeroU16, [u8; 32], mpsc::Sender<Option<PortMapping>>) -> PortMapper;

/// `port_control` is what the router's firewall does with PCP and NAT-PMP.
fn check(test: &str, port_control: &str, spawn: Spawn, expected: PortMapping) {
    in_a_home(test, port_control, async |router| {
        let (mapper, _updates, mapping) = obtained(spawn).await;
        assert_eq!(mapping, expected);
        assert!(forwards_our_port());
        mapper.close().await;
        assert!(!forwards_our_port());
        router
    });
}

#[test]
#[ignore = "needs miniupnpd, nft and user namespaces"]
fn a_port_is_mapped_again_when_miniupnpd_forgot_it_or_has_another_address() {
    let test = "a_port_is_mapped_again_when_miniupnpd_forgot_it_or_has_another_address";
    in_a_home(test, "accept", async |mut router| {
        let (mapper, mut updates, _) = obtained(PortMapper::spawn).await;
        // Its clock has to show that it began anew, and counts seconds (RFC 6887 section 8.5).
        sleep(LIFE).await;
        end(&mut router);
        for chain in ["miniupnpd", "prerouting_miniupnpd", "postrouting_miniupnpd"] {
            in_router(&format!("nft flush chain inet filter {chain}"));
        }
        assert!(!forwards_our_port());
        let router = miniupnpd();
        let again = async {
            while !forwards_our_port() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(AGAIN, again).await.expect("not asked again");
        in_router("ip addr del 9.9.9.9/24 dev wan");
        in_router("ip addr add 9.9.9.10/24 dev wan");
        let moved = granted(MappingProtocol::Pcp, "9.9.9.10:41000");
        let learnt = async { while updates.recv().await.unwrap().as_ref() != Some(&moved) {} };
        timeout(AGAIN, learnt).await.expect("not asked again");
        mapper.close().await;
        router
    });
}

/// Runs `body` in a home with this router, which it gives back at the end.
fn in_a_home(test: &str, port_control: &str, body: impl AsyncFnOnce(Child) -> Child) {
    if std::env::var_os(INSIDE).is_none() {
        return in_a_network_of_its_own(test);
    }
    run("sh", &["-e", "-c", HOME_WITH_ROUTER, "sh", port_control]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut router = runtime.block_on(body(miniupnpd()));
    end(&mut router);
}

async fn obtained(spawn: Spawn) -> (PortMapper, mpsc::Receiver<Option<PortMapping>>, PortMapping) {
    // On a busy machine it may refuse the first time; why is not known.
    for _ in 0..3 {
        let (sender, mut updates) = mpsc::channel(1);
        let mapper = spawn(41000.try_into().unwrap(), [1; 32], sender);
        if let Some(mapping) = updates.recv().await.unwrap() {
            return (mapper, updates, mapping);
        }
    }
    panic!("no port is mapped");
}

fn end(router: &mut Child) {
    router.kill().unwrap();
    router.wait().unwrap();
}

fn in_router(command: &str) {
    let words: Vec<&str> = "netns exec router"
        .split(' ')
        .chain(command.split(' '))
        .collect();
    run("ip", &words);
}

fn miniupnpd() -> Child {
    std::fs::write("/run/miniupnpd.conf", CONFIG).unwrap();
    let mut router = Command::new("ip")
        .args("netns exec router miniupnpd -d -f /run/miniupnpd.conf".split(' '))
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(router.stderr.take().unwrap()).lines();
    let ready = log.any(|line| line.unwrap().contains("Listening for NAT-PMP/PCP traffic"));
    assert!(ready, "miniupnpd ended");
    std::thread::spawn(move || log.for_each(drop));
    router
}

fn forwards_our_port() -> bool {
    let rules = Command::new("ip")
        .args("netns exec router nft list ruleset".split(' '))
        .output()
        .unwrap();
    let rules = String::from_utf8(rules.stdout).unwrap();
    rules.contains("192.168.1.2:41000") || rules.contains("th dport 41000")
}

fn in_a_network_of_its_own(test: &str) {
    let test = format!("{}::{test}", module_path!().trim_start_matches("peerway::"));
    let status = Command::new("unshare")
        .args("--user --map-root-user --net --mount --pid --fork --kill-child".split(' '))
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", &test])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success());
}

fn run(program: &str, args: &[&str]) {
    assert!(Command::new(program).args(args).status().unwrap().success());
}

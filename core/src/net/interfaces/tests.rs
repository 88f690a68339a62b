use netdev::{
    NetworkDevice,
    ipnet::{Ipv4Net, Ipv6Net},
};

use super::*;

#[test]
fn loopback_is_offered_only_where_nothing_else_is() {
    let lo = interface(
        "lo",
        &["127.0.0.1/8"],
        &[("::1/128", Ipv6AddrFlags::default())],
    );
    let eth = interface("eth0", &["192.168.1.2/24"], &[]);
    let alone = Interfaces::from_list(std::slice::from_ref(&lo), &[]);
    assert_eq!(shown(&alone), ["127.0.0.1/8", "::1/128"]);
    assert_eq!(
        shown(&Interfaces::from_list(&[lo, eth], &[])),
        ["192.168.1.2/24"]
    );
}

#[test]
fn of_an_ipv6_network_the_temporary_address_is_offered_and_nothing_unusable() {
    let flags = Ipv6AddrFlags::default();
    let temporary = Ipv6AddrFlags {
        temporary: true,
        ..flags
    };
    let eth = interface(
        "eth0",
        &[],
        &[
            ("fe80::1/64", flags),
            ("2a00:1::1/64", flags),
            ("2a00:1::2/64", temporary),
            (
                "2a00:1::3/64",
                Ipv6AddrFlags {
                    deprecated: true,
                    ..temporary
                },
            ),
            ("2a00:2::1/64", flags),
            (
                "2a00:2::2/64",
                Ipv6AddrFlags {
                    tentative: true,
                    ..temporary
                },
            ),
            (
                "2a00:2::3/64",
                Ipv6AddrFlags {
                    duplicated: true,
                    ..flags
                },
            ),
        ],
    );
    let offered = Interfaces::from_list(&[eth], &[]);
    assert_eq!(shown(&offered), ["2a00:1::2/64", "2a00:2::1/64"]);
}

#[test]
fn a_family_with_an_address_that_strangers_can_reach_is_not_secluded() {
    let flags = Ipv6AddrFlags::default();
    let mut list = [
        interface(
            "home",
            &["192.168.1.2/24"],
            &[("fe80::1/64", flags), ("fd00::1/64", flags)],
        ),
        interface(
            "dual",
            &["10.0.0.2/24"],
            &[("fe80::1/64", flags), ("2a00:1::1/64", flags)],
        ),
        interface("server", &["5.9.0.1/24", "10.19.0.5/16"], &[]),
        interface("mobile", &["100.64.0.2/10"], &[]),
        interface("lo", &["127.0.0.1/8"], &[]),
    ];
    for (index, one) in (1..).zip(&mut list) {
        one.index = index;
    }
    let families = |v4, v6| Families { v4, v6 };
    assert_eq!(
        Interfaces::from_list(&list, &[]).secluded,
        BTreeMap::from([
            (1, families(true, true)),
            (2, families(true, false)),
            (3, families(false, true)),
            (4, families(false, true)),
        ])
    );
}

#[test]
fn an_interface_without_a_carrier_offers_nothing() {
    let mut bridge = interface("docker0", &["172.17.0.1/16"], &[]);
    bridge.flags = UP;
    let eth = interface("eth0", &["192.168.1.2/24"], &[]);
    assert_eq!(
        shown(&Interfaces::from_list(&[bridge, eth], &[])),
        ["192.168.1.2/24"]
    );
}

#[test]
fn the_gateway_is_that_of_the_route_to_the_internet_and_in_our_network() {
    let lan = with_gateway(interface("eth0", &["192.168.1.2/24"], &[]), "192.168.1.1");
    let other = with_gateway(interface("eth1", &["10.0.0.2/24"], &[]), "10.0.0.1");
    let list = [other, lan];
    let source = "192.168.1.2".parse().unwrap();
    let found = Interfaces::from_list(&list, &[source]);
    let local = LocalAddr {
        ip: source,
        prefix_len: 24,
    };
    assert_eq!(
        found.gateway,
        Some(Gateway {
            router: "192.168.1.1".parse().unwrap(),
            zone: 0,
            local
        })
    );
    assert!(!found.sources.is_empty());
    let far = with_gateway(interface("eth0", &["192.168.1.2/24"], &[]), "192.168.2.1");
    assert_eq!(Interfaces::from_list(&[far], &[source]).gateway, None);
    assert!(Interfaces::from_list(&list, &[]).sources.is_empty());
}

#[test]
fn the_ipv6_gateway_comes_with_the_address_that_peers_are_told_and_its_zone() {
    let flags = Ipv6AddrFlags::default();
    let temporary = Ipv6AddrFlags {
        temporary: true,
        ..flags
    };
    let addresses = [
        ("fd00:1::1/64", flags),
        ("2a00:1::1/64", flags),
        ("2a00:1::2/64", temporary),
    ];
    let mut eth = interface("eth0", &[], &addresses);
    eth.index = 7;
    let mut device = NetworkDevice::new();
    device.ipv6.push("fe80::1".parse().unwrap());
    eth.gateway = Some(device);
    let gateway = Interfaces::from_list(&[eth], &[]).gateway_v6.unwrap();
    assert_eq!(gateway.router, "fe80::1".parse::<IpAddr>().unwrap());
    assert_eq!(gateway.zone, 7);
    assert_eq!(gateway.local.ip, "2a00:1::2".parse::<IpAddr>().unwrap());
}

#[test]
fn a_network_of_local_ipv6_addresses_has_no_ipv6_gateway() {
    let mut eth = interface("eth0", &[], &[("fd00:1::1/64", Ipv6AddrFlags::default())]);
    let mut device = NetworkDevice::new();
    device.ipv6.push("fe80::1".parse().unwrap());
    eth.gateway = Some(device);
    assert_eq!(Interfaces::from_list(&[eth], &[]).gateway_v6, None);
}

#[tokio::test]
async fn this_computer_has_an_address() {
    assert!(!Interfaces::read().await.addresses.is_empty());
}

/// Runs itself again, as the limit is the whole process's.
#[cfg(target_os = "linux")]
#[test]
fn without_descriptors_nothing_is_seen_rather_than_no_network() {
    use nix::sys::resource::{Resource::RLIMIT_NOFILE, setrlimit};
    const INSIDE: &str = "PEERWAY_TEST_WITHOUT_DESCRIPTORS";
    if std::env::var_os(INSIDE).is_none() {
        let name =
            "net::interfaces::tests::without_descriptors_nothing_is_seen_rather_than_no_network";
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env(INSIDE, "1")
            .status();
        return assert!(status.unwrap().success());
    }
    setrlimit(RLIMIT_NOFILE, 64, 64).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let taken: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
    assert_eq!(runtime.block_on(Interfaces::look()), None);
    drop(taken);
    assert!(runtime.block_on(Interfaces::look()).is_some());
}

/// Runs itself again in a network of its own, where it may change interfaces, if this computer allows user namespaces.
#[cfg(target_os = "linux")]
#[test]
fn changes_are_told_and_a_lost_default_route_with_them() {
    const INSIDE: &str = "PEERWAY_TEST_INSIDE_NETNS";
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        return runtime.block_on(follow_changes_of_a_network());
    }
    let unshare = || {
        let mut command = std::process::Command::new("unshare");
        command.args("--user --map-root-user --net".split(' '));
        command
    };
    if !unshare()
        .arg("true")
        .status()
        .is_ok_and(|done| done.success())
    {
        return;
    }
    let name = "net::interfaces::tests::changes_are_told_and_a_lost_default_route_with_them";
    let status = unshare()
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success());
}

#[cfg(target_os = "linux")]
async fn follow_changes_of_a_network() {
    ip("link set lo up");
    let (start, mut changes) = Interfaces::watch().await;
    assert_eq!((&start.sources[..], start.gateway), (&[][..], None));
    assert_eq!(shown(&start), ["127.0.0.1/8", "::1/128"]);

    ip("link add home type veth peer name router");
    ip("link set router up");
    ip("link set home up");
    ip("addr add 192.168.1.2/24 dev home");
    ip("route add default via 192.168.1.1");
    let online = loop {
        let change = changes.recv().await.unwrap();
        assert!(!change.rerouted);
        if !change.now.sources.is_empty() {
            break change.now;
        }
    };
    assert_eq!(shown(&online), ["192.168.1.2/24"]);
    assert_eq!(
        online.gateway.unwrap().router,
        "192.168.1.1".parse::<IpAddr>().unwrap()
    );

    ip("route add default via 192.168.1.9 table 50");
    ip("addr add 192.168.1.3/24 dev home");
    let change = changes.recv().await.unwrap();
    assert_eq!(
        change.now.gateway, online.gateway,
        "a table that no rule leads to says nothing"
    );
    ip("addr del 192.168.1.3/24 dev home");
    ip("route flush table 50");
    changes.recv().await.unwrap();

    ip("route replace default nexthop via 192.168.1.1 nexthop via 192.168.1.1 weight 2");
    ip("addr add 192.168.1.3/24 dev home");
    let change = changes.recv().await.unwrap();
    assert_eq!(
        change.now.gateway, online.gateway,
        "one of several next hops"
    );
    ip("addr del 192.168.1.3/24 dev home");
    changes.recv().await.unwrap();

    ip("route del default");
    let change = changes.recv().await.unwrap();
    assert!(change.rerouted);
    assert_eq!(change.now.gateway, None);

    ip("link del home");
    let change = changes.recv().await.unwrap();
    assert!(!change.rerouted);
    assert_eq!(change.now, start);
}

#[cfg(target_os = "linux")]
fn ip(command: &str) {
    let status = std::process::Command::new("ip")
        .args(command.split(' '))
        .status()
        .unwrap();
    assert!(status.success(), "ip {command}");
}

const UP: u32 = 0x1;
const RUNNING: u32 = 0x40;

fn interface(name: &str, v4: &[&str], v6: &[(&str, Ipv6AddrFlags)]) -> Interface {
    let mut interface = Interface::dummy();
    name.clone_into(&mut interface.name);
    interface.flags = UP | RUNNING;
    interface.ipv4 = v4
        .iter()
        .map(|net| net.parse::<Ipv4Net>().unwrap())
        .collect();
    interface.ipv6 = v6
        .iter()
        .map(|(net, _)| net.parse::<Ipv6Net>().unwrap())
        .collect();
    interface.ipv6_addr_flags = v6.iter().map(|(_, flags)| *flags).collect();
    interface
}

fn with_gateway(mut interface: Interface, router: &str) -> Interface {
    let mut device = NetworkDevice::new();
    device.ipv4.push(router.parse().unwrap());
    interface.gateway = Some(device);
    interface
}

fn shown(interfaces: &Interfaces) -> Vec<String> {
    interfaces
        .addresses
        .iter()
        .map(|local| format!("{}/{}", local.ip, local.prefix_len))
        .collect()
}

#[test]
fn where_nothing_is_listed_the_addresses_are_those_that_sockets_show() {
    let source: IpAddr = "192.168.1.7".parse().unwrap();
    let seen = Interfaces::from_sources(&[source]);
    let shown = LocalAddr {
        ip: source,
        prefix_len: 24,
    };
    assert_eq!(seen.addresses, [shown]);
    assert!(seen.routes.v4 && !seen.routes.v6 && seen.unread);
    assert_eq!(seen.gateway, None);
}

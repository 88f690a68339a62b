use proptest::prelude::*;

use super::*;

/// Every range of the registries: its first and last address, and what it is.
const EXPECTED: &[(&str, &str, Scope)] = &[
    ("0.0.0.0", "0.0.0.0", Scope::Unspecified),
    ("0.0.0.1", "0.255.255.255", Scope::ThisNetwork),
    ("1.0.0.0", "9.255.255.255", Scope::Global),
    ("10.0.0.0", "10.255.255.255", Scope::Private),
    ("11.0.0.0", "100.63.255.255", Scope::Global),
    ("100.64.0.0", "100.127.255.255", Scope::Shared),
    ("100.128.0.0", "126.255.255.255", Scope::Global),
    ("127.0.0.0", "127.255.255.255", Scope::Loopback),
    ("128.0.0.0", "169.253.255.255", Scope::Global),
    ("169.254.0.0", "169.254.255.255", Scope::LinkLocal),
    ("169.255.0.0", "172.15.255.255", Scope::Global),
    ("172.16.0.0", "172.31.255.255", Scope::Private),
    ("172.32.0.0", "191.255.255.255", Scope::Global),
    ("192.0.0.0", "192.0.0.255", Scope::Protocol),
    ("192.0.1.0", "192.0.1.255", Scope::Global),
    ("192.0.2.0", "192.0.2.255", Scope::Documentation),
    ("192.0.3.0", "192.31.195.255", Scope::Global),
    ("192.31.196.0", "192.31.196.255", Scope::Protocol),
    ("192.31.197.0", "192.52.192.255", Scope::Global),
    ("192.52.193.0", "192.52.193.255", Scope::Protocol),
    ("192.52.194.0", "192.88.98.255", Scope::Global),
    ("192.88.99.0", "192.88.99.255", Scope::Protocol),
    ("192.88.100.0", "192.167.255.255", Scope::Global),
    ("192.168.0.0", "192.168.255.255", Scope::Private),
    ("192.169.0.0", "192.175.47.255", Scope::Global),
    ("192.175.48.0", "192.175.48.255", Scope::Protocol),
    ("192.175.49.0", "198.17.255.255", Scope::Global),
    ("198.18.0.0", "198.19.255.255", Scope::Benchmarking),
    ("198.20.0.0", "198.51.99.255", Scope::Global),
    ("198.51.100.0", "198.51.100.255", Scope::Documentation),
    ("198.51.101.0", "203.0.112.255", Scope::Global),
    ("203.0.113.0", "203.0.113.255", Scope::Documentation),
    ("203.0.114.0", "223.255.255.255", Scope::Global),
    ("224.0.0.0", "239.255.255.255", Scope::Multicast),
    ("240.0.0.0", "255.255.255.254", Scope::Reserved),
    ("255.255.255.255", "255.255.255.255", Scope::Broadcast),
    ("::", "::", Scope::Unspecified),
    ("::1", "::1", Scope::Loopback),
    ("::2", "::ff:ffff", Scope::ThisNetwork),
    ("::1:0:0", "::fffe:ffff:ffff", Scope::Reserved),
    (
        "::1:0:0:0",
        "64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff",
        Scope::Reserved,
    ),
    (
        "64:ff9b::1:0:0",
        "64:ff9b:0:ffff:ffff:ffff:ffff:ffff",
        Scope::Reserved,
    ),
    (
        "64:ff9b:1::",
        "64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
        Scope::LocalTranslation,
    ),
    (
        "64:ff9b:2::",
        "ff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        Scope::Reserved,
    ),
    ("100::", "100:0:0:1:ffff:ffff:ffff:ffff", Scope::Discard),
    (
        "100:0:0:2::",
        "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        Scope::Reserved,
    ),
    (
        "2000::",
        "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        Scope::Global,
    ),
    (
        "2001::",
        "2001:0:ffff:ffff:ffff:ffff:ffff:ffff",
        Scope::Teredo,
    ),
    (
        "2001:1::",
        "2001:1:ffff:ffff:ffff:ffff:ffff:ffff",
        Scope::Protocol,
    ),
    (
        "2001:2::",
        "2001:2:0:ffff:ffff:ffff:ffff:ffff",
        Scope::Benchmarking,
    ),
    (
        "2001:2:1::",
        "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
        Scope::Protocol,
    ),
    (
        "2001:200::",
        "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
        Scope::Global,
    ),
    (
        "2001:db8::",
        "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
        Scope::Documentation,
    ),
    (
        "2001:db9::",
        "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        Scope::Global,
    ),
    (
        "2003::",
        "2620:4f:7fff:ffff:ffff:ffff:ffff:ffff",
        Scope::Global,
    ),
    (
        "2620:4f:8000::",
        "2620:4f:8000:ffff:ffff:ffff:ffff:ffff",
        Scope::Protocol,
    ),
    (
        "2620:4f:8001::",
        "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        Scope::Global,
    ),
    (
        "3fff::",
        "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
        Scope::Documentation,
    ),
    (
        "3fff:1000::",
        "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        Scope::Global,
    ),
    (
        "4000::",
        "5eff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        Scope::Reserved,
    ),
    (
        "5f00::",
        "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        Scope::Protocol,
    ),
    (
        "5f01::",
        "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        Scope::Reserved,
    ),
    (
        "fc00::",
        "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        Scope::UniqueLocal,
    ),
    (
        "fe00::",
        "fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        Scope::Reserved,
    ),
    (
        "fe80::",
        "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        Scope::LinkLocal,
    ),
    (
        "fec0::",
        "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        Scope::Reserved,
    ),
    (
        "ff00::",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        Scope::Multicast,
    ),
];

const STRANGER: ProbeContext<'static> = ProbeContext {
    own: &[],
    interfaces: &[],
    own_public: &[],
    peer_attested: &[],
    relay_is_loopback: false,
};

#[test]
fn every_special_range_is_recognised_up_to_its_edges() {
    for (first, last, scope) in EXPECTED {
        assert_eq!(Scope::of(ip(first)), *scope, "{first}");
        assert_eq!(Scope::of(ip(last)), *scope, "{last}");
    }
}

#[test]
fn a_stranger_may_name_nothing_but_global_addresses() {
    for (first, last, scope) in EXPECTED {
        for edge in [first, last] {
            let verdict = may_probe(SocketAddr::new(ip(edge), 4000), &STRANGER);
            assert_eq!(
                verdict.is_ok(),
                *scope == Scope::Global,
                "{edge}: {verdict:?}"
            );
        }
    }
}

#[test]
fn attestation_opens_every_unicast_range_but_loopback() {
    for (first, last, scope) in EXPECTED {
        for edge in [first, last] {
            let attested = [ip(edge)];
            let ctx = ProbeContext {
                peer_attested: &attested,
                ..STRANGER
            };
            let closed = matches!(
                scope,
                Scope::Unspecified
                    | Scope::ThisNetwork
                    | Scope::Loopback
                    | Scope::Multicast
                    | Scope::Broadcast
                    | Scope::Reserved
            );
            let verdict = may_probe(SocketAddr::new(ip(edge), 4000), &ctx);
            assert_eq!(verdict.is_err(), closed, "{edge}: {verdict:?}");
        }
    }
}

#[test]
fn loopback_is_open_only_where_the_relay_is_on_loopback_too() {
    for loopback in ["127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1"] {
        let addr = SocketAddr::new(ip(loopback), 4000);
        assert_eq!(
            may_probe(addr, &STRANGER),
            Err(Forbidden::Scope(Scope::Loopback))
        );
        let ctx = ProbeContext {
            relay_is_loopback: true,
            ..STRANGER
        };
        assert_eq!(may_probe(addr, &ctx), Ok(()));
    }
}

#[test]
fn local_addresses_need_a_shared_prefix_or_a_shared_public_address() {
    let interfaces = [
        LocalAddr {
            ip: ip("192.168.7.20"),
            prefix_len: 24,
        },
        LocalAddr {
            ip: ip("fd00:1::20"),
            prefix_len: 64,
        },
    ];
    let home = ProbeContext {
        interfaces: &interfaces,
        ..STRANGER
    };
    for (addr, open) in [
        ("192.168.7.1", true),
        ("192.168.6.255", false),
        ("192.168.8.1", false),
        ("10.0.0.1", false),
        ("100.64.0.1", false),
        ("169.254.1.1", false),
        ("fd00:1::1", true),
        ("fd00:1:0:1::1", false),
        ("fe80::1", false),
    ] {
        let addr = SocketAddr::new(ip(addr), 4000);
        assert_eq!(may_probe(addr, &home).is_ok(), open, "{addr}");
        let same_nat = ProbeContext {
            own_public: &[IpAddr::V4(Ipv4Addr::new(9, 9, 9, 9))],
            peer_attested: &[IpAddr::V4(Ipv4Addr::new(9, 9, 9, 9))],
            ..home
        };
        assert_eq!(may_probe(addr, &same_nat), Ok(()), "{addr}");
    }
}

#[test]
fn our_own_addresses_are_not_for_others_to_aim_at() {
    let own = [sock("192.168.7.20:4000"), sock("[2a00::20]:4000")];
    let interfaces = [LocalAddr {
        ip: ip("192.168.7.20"),
        prefix_len: 24,
    }];
    let ctx = ProbeContext {
        own: &own,
        interfaces: &interfaces,
        ..STRANGER
    };
    for addr in [
        "192.168.7.20:4000",
        "192.168.7.20:8080",
        "[2a00::20]:4000",
        "[2a00::20]:8080",
    ] {
        assert_eq!(may_probe(sock(addr), &ctx), Err(Forbidden::Own), "{addr}");
    }
    let here = [ip("192.168.7.20")];
    let same_computer = ProbeContext {
        peer_attested: &here,
        ..ctx
    };
    assert_eq!(may_probe(sock("192.168.7.20:8080"), &same_computer), Ok(()));
    assert_eq!(
        may_probe(sock("192.168.7.20:4000"), &same_computer),
        Err(Forbidden::Own)
    );
}

#[test]
fn the_broadcast_addresses_of_our_networks_stay_closed_even_if_attested() {
    let interfaces = [
        LocalAddr {
            ip: ip("192.168.7.20"),
            prefix_len: 24,
        },
        LocalAddr {
            ip: ip("10.1.2.4"),
            prefix_len: 31,
        },
    ];
    for (addr, open) in [
        ("192.168.7.255", false),
        ("192.168.7.0", false),
        ("192.168.7.254", true),
        ("10.1.2.5", true),
    ] {
        let attested = [ip(addr)];
        let ctx = ProbeContext {
            interfaces: &interfaces,
            peer_attested: &attested,
            ..STRANGER
        };
        assert_eq!(
            may_probe(SocketAddr::new(ip(addr), 4000), &ctx).is_ok(),
            open,
            "{addr}"
        );
    }
}

#[test]
fn ports_of_other_services_stay_closed_even_if_attested() {
    let attested = [ip("9.9.9.9")];
    let ctx = ProbeContext {
        peer_attested: &attested,
        ..STRANGER
    };
    for (port, open) in [
        (0, false),
        (1, false),
        (442, false),
        (443, true),
        (444, false),
        (1023, false),
        (1024, true),
        (1899, true),
        (1900, false),
        (1901, true),
        (3701, true),
        (3702, false),
        (3703, true),
        (5352, true),
        (5353, false),
        (5354, true),
        (11210, true),
        (11211, false),
        (11212, true),
        (65535, true),
    ] {
        for host in ["9.9.9.9", "8.8.8.8"] {
            assert_eq!(
                may_probe(SocketAddr::new(ip(host), port), &ctx).is_ok(),
                open,
                "{host} {port}"
            );
        }
    }
}

proptest! {
    #[test]
    fn wrapping_an_address_never_changes_the_verdict(bits: u32, port: u16, other in any::<[u16; 5]>()) {
        let v4 = Ipv4Addr::from_bits(bits);
        let [a, b, c, d] = v4.octets();
        let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let [e, f, g, h, i] = other;
        let mut wrapped = vec![
            v4.to_ipv6_mapped(),
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0x2002, high, low, e, f, g, h, i),
        ];
        if bits > 1 {
            wrapped.push(Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low));
        }
        let interfaces = [LocalAddr { ip: ip("192.168.7.20"), prefix_len: 16 }];
        let ctx = ProbeContext { interfaces: &interfaces, ..STRANGER };
        let plain = SocketAddr::new(v4.into(), port);
        for v6 in wrapped {
            let addr = SocketAddr::new(v6.into(), port);
            prop_assert_eq!(canonical(addr), plain);
            prop_assert_eq!(may_probe(addr, &ctx), may_probe(plain, &ctx));
        }
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn sock(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

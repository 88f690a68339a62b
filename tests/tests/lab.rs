//! The lab's NATs are what they claim to be, seen through plain UDP sockets.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is all test code"
)]

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use peerway_lab::{self as lab, Access, Bottleneck, Fault, Home, Lab, Line, NatKind};

const BUDGET: Duration = Duration::from_secs(60);

#[test]
fn endpoint_independent_nats_keep_one_mapping_for_all_destinations() {
    lab::test(BUDGET, |mut lab| {
        for (name, kind) in [
            ("full", NatKind::FullCone),
            ("address", NatKind::AddressRestricted),
            ("port", NatKind::PortRestricted),
            ("short", NatKind::ShortTimeout),
            ("accept", NatKind::PortRestrictedAccept),
            ("double", NatKind::DoubleNat),
        ] {
            let home = lab.home(name, kind).unwrap();
            let [first, second, third] = mappings(&lab, &home);
            assert_eq!(first.ip(), home.public_addr(), "{kind:?}");
            assert_eq!([first, first], [second, third], "{kind:?}");
        }
    });
}

#[test]
fn symmetric_nats_give_every_destination_another_port() {
    lab::test(BUDGET, |mut lab| {
        for (name, kind) in [
            ("plain", NatKind::Symmetric),
            ("upnp", NatKind::SymmetricUpnp),
        ] {
            let home = lab.home(name, kind).unwrap();
            let [first, second, third] = mappings(&lab, &home).map(|mapping| mapping.port());
            assert!(
                first != second && second != third && first != third,
                "{kind:?}"
            );
        }
    });
}

#[test]
fn a_counting_nat_takes_one_port_after_the_other() {
    lab::test(BUDGET, |mut lab| {
        let home = lab.home("counting", NatKind::Sequential).unwrap();
        let [first, second, third] = mappings(&lab, &home).map(|mapping| mapping.port());
        assert_eq!([second, third], [first + 1, first + 2]);
    });
}

#[test]
fn a_nat_with_a_block_chooses_ports_out_of_2048() {
    lab::test(BUDGET, |mut lab| {
        let home = lab.home("block", NatKind::SymmetricBlock).unwrap();
        let ports = mappings(&lab, &home).map(|mapping| mapping.port());
        let block = 20_480..22_528;
        assert!(ports.iter().all(|port| block.contains(port)), "{ports:?}");
        assert!(ports[0] != ports[1] && ports[1] != ports[2], "{ports:?}");
    });
}

#[test]
fn a_nat_with_a_short_memory_forgets_within_half_a_minute() {
    lab::test(BUDGET, |mut lab| {
        let home = lab.home("short", NatKind::ShortTimeout).unwrap();
        let [relay, ..] = relay_sockets(&lab);
        let socket = open(&home);
        let mapping = arrive(&socket, &relay);
        relay.send_to(b"in time", mapping).unwrap();
        assert_eq!(receive(&socket), "in time");
        thread::sleep(Duration::from_secs(25));
        relay.send_to(b"too late", mapping).unwrap();
        arrive(&socket, &relay);
        relay.send_to(b"again", mapping).unwrap();
        assert_eq!(receive(&socket), "again");
    });
}

#[test]
fn ipv6_is_filtered_and_not_translated() {
    lab::test(BUDGET, |mut lab| {
        let dual = "symmetric+ipv6".parse::<Access>().unwrap();
        for (name, access) in [("dual", dual), ("single", Access::IPV6_ONLY)] {
            let home = lab.home(name, access).unwrap();
            let addr = home.addr6().unwrap();
            let relay = lab.relay().addr6().unwrap().into();
            let [relay, stranger] = [(); 2].map(|()| open_at(lab.relay(), relay));
            let socket = open_at(&home, Ipv6Addr::UNSPECIFIED.into());
            let seen = arrive(&socket, &relay);
            assert_eq!(seen, (addr, socket.local_addr().unwrap().port()).into());
            stranger.send_to(b"stranger", seen).unwrap();
            relay.send_to(b"relay", seen).unwrap();
            assert_eq!(receive(&socket), "relay", "{access}");
        }
    });
}

#[test]
fn homes_with_ipv6_alone_have_no_way_to_ipv4() {
    lab::test(BUDGET, |mut lab| {
        let home = lab.home("six", Access::IPV6_ONLY).unwrap();
        let [relay, ..] = relay_sockets(&lab);
        let socket = open(&home);
        let error = socket.send_to(b"lost", relay.local_addr().unwrap());
        assert_eq!(error.unwrap_err().kind(), ErrorKind::NetworkUnreachable);
    });
}

#[test]
fn homes_behind_one_carrier_share_its_address() {
    lab::test(BUDGET, |mut lab| {
        let line = Line::default();
        let carrier = lab.carrier("cgn", NatKind::PortRestricted, line).unwrap();
        let homes = ["a", "b"].map(|name| {
            lab.home_behind(&carrier, name, NatKind::PortRestricted)
                .unwrap()
        });
        let seen = homes.each_ref().map(|home| mappings(&lab, home)[0].ip());
        assert_eq!(seen[0], seen[1]);
        assert_eq!(homes.each_ref().map(Home::public_addr), seen);
    });
}

#[test]
fn hosts_in_one_home_reach_each_other_by_multicast() {
    lab::test(BUDGET, |mut lab| {
        let first = lab.home("a", NatKind::PortRestricted).unwrap();
        let second = lab.host_beside(&first, "b").unwrap();
        let listener = open_at(&second, Ipv4Addr::UNSPECIFIED.into());
        let group = Ipv4Addr::new(224, 0, 0, 251);
        let IpAddr::V4(interface) = second.addr() else {
            panic!("{}", second.addr());
        };
        second.run(|| listener.join_multicast_v4(&group, &interface).unwrap());
        let port = listener.local_addr().unwrap().port();
        open(&first).send_to(b"anybody?", (group, port)).unwrap();
        assert_eq!(receive(&listener), "anybody?");
    });
}

#[test]
fn a_home_with_a_new_address_is_not_found_at_the_former_one_and_its_host_notices_nothing() {
    lab::test(BUDGET, |mut lab| {
        let home = lab.home("a", NatKind::FullCone).unwrap();
        let socket = open(&home);
        let [relay, ..] = relay_sockets(&lab);
        let former = arrive(&socket, &relay);
        let own = home.addr();
        for _ in 0..2 {
            lab.renumber(&home).unwrap();
            let now = arrive(&socket, &relay);
            assert_eq!(now.ip(), home.public_addr());
            assert_ne!(now.ip(), former.ip());
            relay.send_to(b"nobody is there", former).unwrap();
            relay.send_to(b"found", now).unwrap();
            assert_eq!(receive(&socket), "found");
        }
        assert_eq!(home.addr(), own);
        assert!(lab.renumber(lab.relay()).is_err());
    });
}

#[test]
fn a_host_that_moves_is_somebody_else_to_the_internet() {
    lab::test(BUDGET, |mut lab| {
        let mut home = lab.home("a", NatKind::PortRestricted).unwrap();
        let socket = open(&home);
        let [relay, ..] = relay_sockets(&lab);
        assert_eq!(arrive(&socket, &relay).ip(), home.public_addr());
        let before = (home.addr(), home.public_addr());
        lab.relocate(&mut home, "b", NatKind::FullCone, Line::default())
            .unwrap();
        assert_eq!(arrive(&socket, &relay).ip(), home.public_addr());
        assert!(home.addr() != before.0 && home.public_addr() != before.1);
    });
}

#[test]
fn faults_stop_what_they_say_and_nothing_else() {
    lab::test(BUDGET, |mut lab| {
        let a = lab.home("a", NatKind::Public).unwrap();
        let b = lab.home("b", NatKind::Public).unwrap();
        let (left, right) = (open(&a), open(&b));
        let to_right = (b.public_addr(), right.local_addr().unwrap().port());
        let to_left = (a.public_addr(), left.local_addr().unwrap().port());
        let pass = |size: usize| left.send_to(&vec![b'x'; size], to_right).map(drop);
        for (fault, size) in [
            (Fault::OneWay(&a, &b), 20),
            (Fault::Narrow(&a, &b), 1300),
            (Fault::NoUdp(&a), 20),
        ] {
            lab.begin(fault).unwrap();
            pass(size).unwrap();
            if !matches!(fault, Fault::NoUdp(_)) {
                right.send_to(b"the other way", to_left).unwrap();
                assert_eq!(receive(&left), "the other way", "{fault:?}");
            }
            lab.end(fault).unwrap();
            pass(10).unwrap();
            assert_eq!(receive(&right).len(), 10, "{fault:?}");
        }
    });
}

#[test]
fn each_nat_filters_as_rfc_4787_says() {
    let everybody = ["other address", "other port", "same"];
    let cases = [
        ("public", NatKind::Public, 0),
        ("full", NatKind::FullCone, 0),
        ("address", NatKind::AddressRestricted, 1),
        ("port", NatKind::PortRestricted, 2),
        ("accept", NatKind::PortRestrictedAccept, 2),
        ("short", NatKind::ShortTimeout, 2),
        ("double", NatKind::DoubleNat, 2),
        ("counting", NatKind::Sequential, 2),
        ("block", NatKind::SymmetricBlock, 2),
        ("random", NatKind::Symmetric, 2),
    ];
    lab::test(BUDGET, |mut lab| {
        for (name, kind, kept_out) in cases {
            let home = lab.home(name, kind).unwrap();
            let socket = open(&home);
            let [same, other_port, other_address] = relay_sockets(&lab);
            let mapping = arrive(&socket, &same);
            other_address.send_to(b"other address", mapping).unwrap();
            other_port.send_to(b"other port", mapping).unwrap();
            same.send_to(b"same", mapping).unwrap();
            for expected in &everybody[kept_out..] {
                assert_eq!(receive(&socket), *expected, "{kind:?}");
            }
        }
    });
}

#[test]
fn blocked_homes_reach_the_internet_by_tcp_only() {
    lab::test(BUDGET, |mut lab| {
        let home = lab.home("blocked", NatKind::Blocked).unwrap();
        let relay = SocketAddr::from((lab.relay().public_addr(), 443));
        let listener = lab.relay().run(|| TcpListener::bind(relay).unwrap());
        open(&home)
            .send_to(b"lost", (Lab::SECOND_RELAY_ADDR, 443))
            .unwrap();
        let mut stream = home.run(|| TcpStream::connect(relay).unwrap());
        stream.write_all(b"arrives").unwrap();
        drop(stream);
        let (mut stream, from) = listener.accept().unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), from.ip()), ("arrives", home.public_addr()));
        assert_eq!(lab.packets_to(Lab::SECOND_RELAY_ADDR).unwrap(), 0);
    });
}

#[test]
fn where_routers_accept_packets_a_naive_punch_fails_on_both_sides() {
    lab::test(BUDGET, |mut lab| {
        let (a, b) = punching_pair(&mut lab, NatKind::PortRestrictedAccept);
        a.socket.send_to(b"early", b.mapping).unwrap();
        b.socket.send_to(b"late", a.mapping).unwrap();
        a.socket.send_to(b"again", b.mapping).unwrap();
        for side in [&a, &b] {
            side.relay.send_to(b"nothing came", side.mapping).unwrap();
            assert_eq!(receive(&side.socket), "nothing came");
        }
    });
}

#[test]
fn opening_with_a_low_ttl_connects_port_restricted_homes_whatever_their_routers_accept() {
    lab::test(BUDGET, |mut lab| {
        for kind in [
            NatKind::PortRestrictedAccept,
            NatKind::PortRestricted,
            NatKind::DoubleNat,
        ] {
            let (a, b) = punching_pair(&mut lab, kind);
            a.socket.set_ttl(5).unwrap();
            a.socket.send_to(b"opens only", b.mapping).unwrap();
            a.socket.set_ttl(64).unwrap();
            b.socket.send_to(b"from b", a.mapping).unwrap();
            assert_eq!(receive(&a.socket), "from b", "{kind:?}");
            a.socket.send_to(b"from a", b.mapping).unwrap();
            assert_eq!(receive(&b.socket), "from a", "{kind:?}");
        }
    });
}

#[test]
fn a_port_mapped_by_nat_pmp_lets_strangers_in_through_a_symmetric_nat() {
    lab::test(BUDGET, |mut lab| {
        let home = lab.home("mapped", NatKind::SymmetricUpnp).unwrap();
        let socket = open(&home);
        let port = socket.local_addr().unwrap().port();
        let mut request = vec![0, 1, 0, 0];
        request.extend(port.to_be_bytes());
        request.extend(port.to_be_bytes());
        request.extend(3600_u32.to_be_bytes());
        socket
            .send_to(&request, (Ipv4Addr::new(192, 168, 1, 1), 5351))
            .unwrap();
        let mut response = [0; 16];
        assert_eq!(socket.recv(&mut response).unwrap(), 16);
        assert_eq!(response[..4], [0, 129, 0, 0]);
        let external = u16::from_be_bytes([response[10], response[11]]);
        let [_, _, stranger] = relay_sockets(&lab);
        stranger
            .send_to(b"let in", (home.public_addr(), external))
            .unwrap();
        assert_eq!(receive(&socket), "let in");
    });
}

#[test]
fn homes_with_20_ms_lines_are_80_ms_apart() {
    lab::test(BUDGET, |mut lab| {
        let line = Line::delayed(Duration::from_millis(20));
        let a = lab.home_on("a", NatKind::Public, line).unwrap();
        let b = lab.home_on("b", NatKind::Public, line).unwrap();
        let (here, there) = (open(&a), open(&b));
        here.connect((b.public_addr(), there.local_addr().unwrap().port()))
            .unwrap();
        thread::spawn(move || echo(&there));
        let mut times: Vec<_> = (0..25).map(|_| round_trip(&here)).collect();
        times.sort_unstable();
        println!(
            "round trips: shortest {:?}, median {:?}, longest {:?}",
            times[0], times[12], times[24]
        );
        assert!(
            times[0] >= Duration::from_millis(80) && times[0] < Duration::from_millis(83),
            "{times:?}"
        );
    });
}

#[test]
fn a_line_loses_the_share_of_packets_it_was_told_to() {
    lab::test(BUDGET, |mut lab| {
        let lossy = Line {
            loss: 0.25,
            ..Line::default()
        };
        let home = lab.home_on("a", NatKind::Public, lossy).unwrap();
        let [to, ..] = relay_sockets(&lab);
        let socket = open(&home);
        let target = to.local_addr().unwrap();
        for text in [b"maybe"; 200].into_iter().chain([b"ended"; 50]) {
            socket.send_to(text, target).unwrap();
        }
        let arrived = (0..200).take_while(|_| receive(&to) == "maybe").count();
        assert!((120..180).contains(&arrived), "{arrived} of 200");
    });
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the lab's rate is real time")]
fn a_full_queue_drops_what_comes_too_fast() {
    lab::test(BUDGET, |mut lab| {
        let slow = Line {
            bottleneck: Some(Bottleneck {
                rate: 800_000,
                queue: 20_000,
            }),
            ..Line::default()
        };
        let home = lab.home_on("a", NatKind::Public, slow).unwrap();
        let [to, ..] = relay_sockets(&lab);
        let socket = open(&home);
        let started = Instant::now();
        // With its headers each is 1,000 bytes, which take 10 ms.
        for _ in 0..100 {
            socket
                .send_to(&[b'x'; 972], to.local_addr().unwrap())
                .unwrap();
        }
        receive(&to);
        let mut arrived = 1;
        while lab.traffic(&home).up.dropped + arrived < 100 {
            receive(&to);
            arrived += 1;
        }
        let up = lab.traffic(&home).up;
        assert_eq!((up.packets, up.bytes, up.lost), (100, 100_000, 0));
        assert!((20..60).contains(&arrived), "{arrived} of 100");
        let least = Duration::from_millis(10) * (arrived as u32 - 2);
        assert!(started.elapsed() > least, "faster than the line");
        assert_eq!(lab.overrun().unwrap(), 0);
    });
}

#[test]
fn a_line_sees_the_packets_of_which_the_kernel_made_batches() {
    lab::test(BUDGET, |mut lab| {
        let delayed = Line::delayed(Duration::from_millis(1));
        let home = lab.home_on("a", NatKind::Public, delayed).unwrap();
        let listener = lab
            .relay()
            .run(|| TcpListener::bind((lab.relay().addr(), 0)).unwrap());
        let target = listener.local_addr().unwrap();
        let reading = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_to_end(&mut Vec::new()).unwrap()
        });
        let mut stream = home.run(|| TcpStream::connect(target).unwrap());
        stream.write_all(&vec![0; 1 << 20]).unwrap();
        drop(stream);
        assert_eq!(reading.join().unwrap(), 1 << 20);
        let up = lab.traffic(&home).up;
        assert!(up.bytes / up.packets <= 1_500, "{up:?}");
        assert!(up.bytes > 1 << 20, "{up:?}");
    });
}

#[test]
fn a_cut_stops_two_homes_from_meeting_and_nothing_else() {
    lab::test(BUDGET, |mut lab| {
        let a = lab.home("a", NatKind::Public).unwrap();
        let b = lab.home("b", NatKind::Public).unwrap();
        let (from, to) = (open(&a), open(&b));
        let target = (b.public_addr(), to.local_addr().unwrap().port());
        from.send_to(b"before", target).unwrap();
        lab.begin(Fault::Cut(&a, &b)).unwrap();
        from.send_to(b"while cut", target).unwrap();
        let [relay, ..] = relay_sockets(&lab);
        arrive(&from, &relay);
        lab.end(Fault::Cut(&a, &b)).unwrap();
        from.send_to(b"after", target).unwrap();
        assert_eq!([receive(&to), receive(&to)], ["before", "after"]);
        assert_eq!(lab.packets_to(b.public_addr()).unwrap(), 3);
    });
}

#[test]
fn a_router_that_lost_its_connections_lets_nobody_in_until_the_host_sends_again() {
    lab::test(BUDGET, |mut lab| {
        let home = lab.home("a", NatKind::DoubleNat).unwrap();
        let [relay, ..] = relay_sockets(&lab);
        let socket = open(&home);
        let mapping = arrive(&socket, &relay);
        home.flush_conntrack().unwrap();
        relay.send_to(b"too early", mapping).unwrap();
        let mapping = arrive(&socket, &relay);
        relay.send_to(b"in time", mapping).unwrap();
        assert_eq!(receive(&socket), "in time");
    });
}

#[test]
fn commands_and_futures_run_on_their_host() {
    lab::test(BUDGET, |mut lab| {
        let home = lab.home("a", NatKind::PortRestricted).unwrap();
        let listing = home.command("ip").args(["-4", "address"]).output().unwrap();
        let listing = String::from_utf8(listing.stdout).unwrap();
        assert!(listing.contains(&home.addr().to_string()), "{listing}");
        let addr = SocketAddr::from((home.addr(), 0));
        home.block_on(async {
            tokio::net::UdpSocket::bind(addr).await.unwrap();
            tokio::task::spawn_blocking(move || UdpSocket::bind(addr).unwrap())
                .await
                .unwrap();
        });
        let bound = home.spawn(async move { tokio::net::TcpListener::bind(addr).await.map(drop) });
        home.block_on(bound).unwrap().unwrap();
    });
}

struct Side {
    socket: UdpSocket,
    relay: UdpSocket,
    mapping: SocketAddr,
    _home: Home,
}

fn punching_pair(lab: &mut Lab, kind: NatKind) -> (Side, Side) {
    let mut side = |name: &str| {
        let home = lab.home(&format!("{name}{}", kind as u8), kind).unwrap();
        let socket = open(&home);
        let [relay, ..] = relay_sockets(lab);
        let mapping = arrive(&socket, &relay);
        Side {
            socket,
            relay,
            mapping,
            _home: home,
        }
    };
    (side("a"), side("b"))
}

/// As what a new socket of the home appears to: the relay, another port of it, and its other address.
fn mappings(lab: &Lab, home: &Home) -> [SocketAddr; 3] {
    let socket = open(home);
    relay_sockets(lab).map(|relay| arrive(&socket, &relay))
}

/// Sockets at the relay's address, at the same address with another port, and at its other address.
fn relay_sockets(lab: &Lab) -> [UdpSocket; 3] {
    let first = lab.relay().public_addr();
    [first, first, Lab::SECOND_RELAY_ADDR.into()].map(|addr| open_at(lab.relay(), addr))
}

fn open(home: &Home) -> UdpSocket {
    open_at(home, Ipv4Addr::UNSPECIFIED.into())
}

fn open_at(home: &Home, addr: IpAddr) -> UdpSocket {
    let socket = home.run(|| UdpSocket::bind((addr, 0))).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    socket
}

/// Sends a datagram and says where it seems to come from.
fn arrive(from: &UdpSocket, to: &UdpSocket) -> SocketAddr {
    from.send_to(b"hello", to.local_addr().unwrap()).unwrap();
    let mut buffer = [0; 16];
    to.recv_from(&mut buffer).unwrap().1
}

fn receive(socket: &UdpSocket) -> String {
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

fn echo(socket: &UdpSocket) {
    let mut buffer = [0; 64];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        socket.send_to(&buffer[..length], from).unwrap();
    }
}

#[expect(clippy::disallowed_methods, reason = "the lab's delay is real time")]
fn round_trip(socket: &UdpSocket) -> Duration {
    let start = Instant::now();
    socket.send(b"ping").unwrap();
    assert_eq!(receive(socket), "ping");
    start.elapsed()
}

use proptest::prelude::*;

use super::{
    super::packet::tests::{make_fit, tcp, udp},
    *,
};
use crate::SecretKey;

fn peer(seed: u8) -> PeerId {
    SecretKey::from_seed(&[seed; 32]).id()
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn route(seed: u8, there: &str, seen_as: &str) -> Route {
    Route {
        peer: peer(seed),
        net: net(there),
        seen_as: net(seen_as),
    }
}

fn table() -> Table {
    Table {
        own: vec!["100.64.0.1".parse().unwrap()],
        advertised: [1, 2, 3]
            .map(|seed| (peer(seed), vec![net("192.168.1.0/24")]))
            .into(),
        ports: vec![4000],
        routes: vec![
            route(1, "100.64.0.2/32", "100.64.0.2/32"),
            route(1, "192.168.1.0/24", "100.90.1.0/24"),
            route(2, "10.0.0.0/8", "10.0.0.0/8"),
            route(2, "10.1.0.0/16", "10.1.0.0/16"),
            route(3, "10.1.2.0/24", "10.1.2.0/24"),
        ],
    }
}

fn outgoing(mut packet: Vec<u8>) -> Result<(PeerId, IpAddr), Refused> {
    let header = Header::read(&packet).ok_or(Refused::Malformed)?;
    let peer = table().outgoing(&mut packet, &header, Checksum::Complete)?;
    Ok((peer, Header::read(&packet).unwrap().destination))
}

fn incoming(seed: u8, mut packet: Vec<u8>) -> Result<IpAddr, Refused> {
    let header = Header::read(&packet).ok_or(Refused::Malformed)?;
    table().incoming(peer(seed), &mut packet, &header, Checksum::Complete)?;
    Ok(Header::read(&packet).unwrap().source)
}

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_packet_goes_to_whoever_has_the_smallest_range_with_its_destination() {
    for (destination, to) in [
        ("10.9.9.9", 2),
        ("10.1.9.9", 2),
        ("10.1.2.9", 3),
        ("100.64.0.2", 1),
    ] {
        let sent = outgoing(tcp("100.64.0.1", destination, b""));
        assert_eq!(sent, Ok((peer(to), addr(destination))));
    }
    let nowhere = outgoing(tcp("100.64.0.1", "8.8.8.8", b""));
    assert_eq!(nowhere, Err(Refused::NoRoute));
}

#[test]
fn what_stands_for_a_range_is_written_as_that_range_and_back() {
    let sent = outgoing(tcp("192.168.1.9", "100.90.1.7", b"x"));
    assert_eq!(sent, Ok((peer(1), addr("192.168.1.7"))));
    let came = incoming(1, tcp("192.168.1.7", "192.168.1.9", b"x"));
    assert_eq!(came, Ok(addr("100.90.1.7")));
}

#[test]
fn what_is_advertised_to_one_peer_is_closed_to_another() {
    let mut table = table();
    table.advertised.remove(&peer(2));
    let own = addr("100.64.0.1");
    for (destination, passes) in [(own, true), (addr("192.168.1.9"), false)] {
        let mut packet = tcp("10.9.9.9", &destination.to_string(), b"");
        let header = Header::read(&packet).unwrap();
        let came = table.incoming(peer(2), &mut packet, &header, Checksum::Complete);
        let refused = if passes {
            Ok(())
        } else {
            Err(Refused::Destination)
        };
        assert_eq!(came, refused, "{destination}");
        let mut packet = tcp(&destination.to_string(), "10.9.9.9", b"");
        let header = Header::read(&packet).unwrap();
        let sent = table.outgoing(&mut packet, &header, Checksum::Complete);
        assert_eq!(sent.is_ok(), passes, "{destination}");
    }
}

#[test]
fn nobody_sends_as_another() {
    for (from, source) in [
        (1, "10.0.0.1"),
        (2, "100.64.0.2"),
        (2, "192.168.1.7"),
        (1, "8.8.8.8"),
        (9, "10.0.0.1"),
    ] {
        let came = incoming(from, tcp(source, "100.64.0.1", b""));
        assert_eq!(came, Err(Refused::Source), "{source}");
    }
    let sent = outgoing(tcp("172.16.0.1", "10.0.0.1", b""));
    assert_eq!(sent, Err(Refused::Source));
}

#[test]
fn nobody_gets_further_than_to_what_is_advertised() {
    for destination in [
        "192.168.2.1",
        "8.8.8.8",
        "127.0.0.1",
        "224.0.0.251",
        "10.0.0.1",
    ] {
        let came = incoming(1, udp("100.64.0.2", destination, b""));
        assert_eq!(came, Err(Refused::Destination), "{destination}");
    }
    assert!(incoming(1, udp("100.64.0.2", "192.168.1.200", b"")).is_ok());
}

#[test]
fn a_link_does_not_go_through_itself() {
    let with_port = |mut packet: Vec<u8>, at: usize| {
        packet[at..at + 2].copy_from_slice(&4000u16.to_be_bytes());
        packet
    };
    let probe = with_port(udp("100.64.0.1", "10.0.0.1", b""), 20);
    assert_eq!(outgoing(probe), Err(Refused::Own));
    let probe = with_port(udp("100.64.0.2", "100.64.0.1", b""), 22);
    assert_eq!(incoming(1, probe), Err(Refused::Own));
    let announced = udp("100.64.0.1", "224.0.0.251", b"");
    assert_eq!(outgoing(announced), Err(Refused::Own));
}

#[test]
fn what_is_refused_is_counted() {
    let counters = Counters::default();
    for why in [
        Refused::Source,
        Refused::Source,
        Refused::Own,
        Refused::NoRoute,
    ] {
        counters.refused(why);
    }
    let dropped = counters.read();
    assert_eq!(
        (dropped.source, dropped.no_route, dropped.malformed),
        (2, 1, 0)
    );
}

proptest! {
    #[test]
    fn whatever_passes_comes_from_its_sender_to_what_is_open(
        mut bytes in prop::collection::vec(any::<u8>(), 0..120),
        source in prop::sample::select(vec!["100.64.0.2", "192.168.1.7", "10.1.2.3", "8.8.8.8"]),
        destination in prop::sample::select(vec!["100.64.0.1", "192.168.1.3", "192.168.9.3", "10.0.0.1"]),
        from in 1..4u8,
        v6 in any::<bool>(),
    ) {
        make_fit(&mut bytes, v6);
        if bytes.len() >= 60 && !v6 {
            for (at, text) in [(12, source), (16, destination)] {
                let IpAddr::V4(addr) = addr(text) else { unreachable!() };
                bytes[at..at + 4].copy_from_slice(&addr.octets());
            }
        }
        if let Some(header) = Header::read(&bytes) {
            let before = bytes.clone();
            let mut packet = bytes.clone();
            let came = table().incoming(peer(from), &mut packet, &header, Checksum::Complete);
            prop_assert_eq!(packet.len(), before.len());
            if came.is_ok() {
                let theirs = table().routes.into_iter().filter(|it| it.peer == peer(from)).any(|it| it.net.contains(&header.source));
                prop_assert!(theirs);
                prop_assert!(["100.64.0.1/32", "192.168.1.0/24"].iter().any(|it| net(it).contains(&header.destination)));
            }
            let _ = table().outgoing(&mut bytes, &header, Checksum::Partial);
        }
    }
}

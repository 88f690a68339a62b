use proptest::prelude::*;

use super::*;

/// A packet whose checksums are right; `body` follows the IP header.
pub(in crate::services::subnet) fn packet(
    source: &str,
    destination: &str,
    protocol: u8,
    body: &[u8],
) -> Vec<u8> {
    let (source, destination): (IpAddr, IpAddr) =
        (source.parse().unwrap(), destination.parse().unwrap());
    let mut packet = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut head = vec![0x45, 0, 0, 0, 0, 1, 0, 0, 64, protocol, 0, 0];
            head.extend(source.octets());
            head.extend(destination.octets());
            let total = u16::try_from(head.len() + body.len()).unwrap();
            head[2..4].copy_from_slice(&total.to_be_bytes());
            complete(&mut head, 0, 10).unwrap();
            head
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut head = vec![0x60, 0, 0, 0, 0, 0, protocol, 64];
            let length = u16::try_from(body.len()).unwrap();
            head[4..6].copy_from_slice(&length.to_be_bytes());
            head.extend(source.octets());
            head.extend(destination.octets());
            head
        }
        _ => panic!("one family"),
    };
    packet.extend(body);
    finish(&mut packet);
    packet
}

/// Writes the checksum of what is in it.
fn finish(packet: &mut [u8]) {
    let header = Header::read(packet).unwrap();
    let at = match header.protocol {
        TCP => 16,
        UDP => 6,
        ICMP | ICMPV6 => 2,
        _ => return,
    };
    let mut sum = pseudo(&header, packet.len() - header.payload);
    if header.protocol == ICMP {
        sum = 0;
    }
    packet[header.payload + at..][..2].copy_from_slice(&sum.to_be_bytes());
    complete(packet, header.payload, at).unwrap();
}

/// Whether every checksum is what it would be if it was made anew.
fn assert_checksums(packet: &[u8]) {
    let header = Header::read(packet).unwrap();
    let mut anew = packet.to_vec();
    if header.source.is_ipv4() {
        anew[10..12].fill(0);
        complete(&mut anew[..header.payload], 0, 10).unwrap();
    }
    finish(&mut anew);
    assert_eq!(anew, packet);
}

pub(in crate::services::subnet) fn tcp(source: &str, destination: &str, payload: &[u8]) -> Vec<u8> {
    let mut body = vec![
        0x30, 0x39, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 1, 0, 0, 0, 0, 0,
    ];
    body.extend(payload);
    packet(source, destination, TCP, &body)
}

pub(in crate::services::subnet) fn udp(source: &str, destination: &str, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap().to_be_bytes();
    let body = [&[0x30, 0x39, 0, 53], &length[..], &[0, 0], payload].concat();
    packet(source, destination, UDP, &body)
}

fn to(addr: &str) -> impl Fn(IpAddr) -> Option<IpAddr> {
    let addr: IpAddr = addr.parse().unwrap();
    move |_| Some(addr)
}

#[test]
fn a_packet_is_as_long_as_it_says_or_none() {
    let whole = udp("192.168.1.2", "192.168.2.3", b"query");
    let header = Header::read(&whole).unwrap();
    assert_eq!(header.ports(&whole), Some((12345, 53)));
    assert!(header.is_whole && header.begins);
    assert_eq!(Header::read(&whole[..whole.len() - 1]), None);
    assert_eq!(Header::read(&[&whole[..], b"!"].concat()), None);
    assert_eq!(Header::read(&[]), None);
    let mut fragment = whole;
    fragment[6] = 0x20;
    assert!(!Header::read(&fragment).unwrap().is_whole);
    fragment[7] = 1;
    let header = Header::read(&fragment).unwrap();
    assert!(!header.begins && header.ports(&fragment).is_none());
}

#[test]
fn extension_headers_are_looked_behind() {
    let inner = udp("fd00::1", "fd00::2", b"q");
    let body = [&[UDP, 0, 0, 0, 0, 0, 0, 0], &inner[40..]].concat();
    let packet = packet("fd00::1", "fd00::2", DESTINATION, &body);
    let header = Header::read(&packet).unwrap();
    assert_eq!((header.protocol, header.payload), (UDP, 48));
    assert_eq!(header.ports(&packet), Some((12345, 53)));
}

#[test]
fn addresses_change_and_checksums_with_them() {
    for (from, there, other) in [
        ("192.168.1.2", "192.168.1.3", "100.64.200.7"),
        ("fd00::2", "fd00::3", "fd70:6565:7278::9"),
    ] {
        let icmp = if from.contains(':') { ICMPV6 } else { ICMP };
        let echo = [128, 0, 0, 0, 0, 1, 0, 2, 9];
        for packet in [
            tcp(from, there, b"odd"),
            udp(from, there, b"even"),
            packet(from, there, icmp, &echo),
            packet(from, there, 47, b"something"),
        ] {
            for far in [Far::Source, Far::Destination] {
                let mut changed = packet.clone();
                let header = Header::read(&packet).unwrap();
                translate(&mut changed, &header, far, Checksum::Complete, to(other));
                let now = Header::read(&changed).unwrap();
                let other: IpAddr = other.parse().unwrap();
                match far {
                    Far::Source => {
                        assert_eq!((now.source, now.destination), (other, header.destination))
                    }
                    Far::Destination => {
                        assert_eq!((now.source, now.destination), (header.source, other))
                    }
                }
                assert_checksums(&changed);
            }
        }
    }
}

#[test]
fn a_udp_packet_without_a_checksum_stays_so() {
    let mut packet = udp("192.168.1.2", "192.168.1.3", b"plain");
    packet[26..28].fill(0);
    let header = Header::read(&packet).unwrap();
    translate(
        &mut packet,
        &header,
        Far::Source,
        Checksum::Complete,
        to("100.64.0.9"),
    );
    assert_eq!(packet[26..28], [0, 0]);
}

#[test]
fn the_sum_that_the_kernel_completes_is_that_of_the_new_addresses() {
    let mut packet = tcp("192.168.1.2", "192.168.1.3", b"rest");
    let header = Header::read(&packet).unwrap();
    let length = packet.len() - header.payload;
    packet[36..38].copy_from_slice(&pseudo(&header, length).to_be_bytes());
    translate(
        &mut packet,
        &header,
        Far::Source,
        Checksum::Partial,
        to("100.64.0.9"),
    );
    complete(&mut packet, 20, 16).unwrap();
    assert_checksums(&packet);
}

#[test]
fn an_error_names_the_packet_that_was_sent_as_its_sender_knows_it() {
    for (here, there, seen, kind) in [
        ("192.168.1.2", "192.168.1.3", "100.64.200.3", ICMP),
        ("fd00::2", "fd00::3", "fd70:6565:7278::3", ICMPV6),
    ] {
        let sent = udp(here, there, b"too long");
        let unreachable = if kind == ICMP { 3 } else { 1 };
        let body = [&[unreachable, 1, 0, 0, 0, 0, 0, 0], &sent[..]].concat();
        let mut error = packet(there, here, kind, &body);
        let header = Header::read(&error).unwrap();
        translate(
            &mut error,
            &header,
            Far::Source,
            Checksum::Complete,
            to(seen),
        );
        assert_checksums(&error);
        let inner = Header::read(&error[header.payload + 8..]).unwrap();
        assert_eq!(inner.destination, seen.parse::<IpAddr>().unwrap());
        assert_eq!(inner.source, here.parse::<IpAddr>().unwrap());
        let mut named = error[header.payload + 8..].to_vec();
        named.truncate(inner.payload);
        if kind == ICMP {
            let before = named.clone();
            named[10..12].fill(0);
            complete(&mut named, 0, 10).unwrap();
            assert_eq!(named, before);
        }
    }
}

#[test]
fn datagrams_that_are_one_become_many() {
    for (from, there) in [("192.168.1.2", "192.168.2.3"), ("fd00::1", "fd00::2")] {
        let one = udp(from, there, &[7; 2500]);
        let many = split_udp(&one, 1000).unwrap();
        let head = Header::read(&one).unwrap().payload + 8;
        let lengths: Vec<_> = many.iter().map(|it| it.len() - head).collect();
        assert_eq!(lengths, [1000, 1000, 500]);
        many.iter().for_each(|it| assert_checksums(it));
    }
    assert_eq!(split_udp(&udp("10.0.0.1", "10.0.0.2", b"x"), 0), None);
}

proptest! {
    #[test]
    fn any_bytes_may_come(mut bytes in prop::collection::vec(any::<u8>(), 0..200), fit in any::<bool>(), v6 in any::<bool>(), partial in any::<bool>()) {
        if fit {
            make_fit(&mut bytes, v6);
        }
        let length = bytes.len();
        let _ = split_udp(&bytes, 8);
        let _ = complete(&mut bytes.clone(), 150, 60);
        let Some(header) = Header::read(&bytes) else { return Ok(()) };
        let _ = (header.flow(&bytes), tcp_header(&bytes, &header), header.ports(&bytes));
        let checksum = if partial { Checksum::Partial } else { Checksum::Complete };
        let other = if header.source.is_ipv4() { "100.64.3.4" } else { "fd70::4" };
        for far in [Far::Source, Far::Destination] {
            translate(&mut bytes, &header, far, checksum, to(other));
        }
        prop_assert_eq!(bytes.len(), length);
    }

    #[test]
    fn there_and_back_is_the_same(payload in prop::collection::vec(any::<u8>(), 0..100), host in 1..255u8, alias in 1..255u8) {
        let (there, seen) = (format!("192.168.1.{host}"), format!("100.64.9.{alias}"));
        for before in [tcp("10.0.0.1", &there, &payload), udp("10.0.0.1", &there, &payload)] {
            let mut packet = before.clone();
            for addr in [&seen, &there] {
                let header = Header::read(&packet).unwrap();
                translate(&mut packet, &header, Far::Destination, Checksum::Complete, to(addr));
                assert_checksums(&packet);
            }
            prop_assert_eq!(packet, before);
        }
    }
}

/// Has bytes say that they are a packet of their length.
pub(in crate::services::subnet) fn make_fit(bytes: &mut [u8], v6: bool) {
    let length = bytes.len();
    if bytes.len() < 60 {
        return;
    }
    if v6 {
        bytes[0] = 0x60;
        bytes[4..6].copy_from_slice(&(length as u16 - 40).to_be_bytes());
    } else {
        bytes[0] = 0x40 | (5 + (bytes[0] & 7));
        bytes[2..4].copy_from_slice(&(length as u16).to_be_bytes());
    }
}

//! What an IP packet says of itself, and how its addresses are changed. Any bytes may come in.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMPV6: u8 = 58;

/// Where the header of UDP has its checksum; no other has one there.
const UDP_CHECKSUM: usize = 6;
/// A zero says there that there is none; this says the same sum.
const NO_ZERO: [u8; 2] = [0xff, 0xff];
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
/// Before the packet that an ICMP error is about.
const ICMP_HEADER: usize = 8;
/// Extension headers of IPv6 that are looked behind (RFC 8200 section 4).
const HOP_BY_HOP: u8 = 0;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;
const MAX_EXTENSIONS: usize = 8;

/// Where things are in a packet that is as long as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// What follows the IP header.
    pub(super) protocol: u8,
    /// Where that begins.
    pub(super) payload: usize,
    /// Whether that has a header of its own: of fragments only the first does.
    pub(super) begins: bool,
    /// Whether it is the whole of a packet.
    pub(super) is_whole: bool,
}

impl Header {
    /// None if these bytes are no IP packet of their length.
    pub(super) fn read(packet: &[u8]) -> Option<Self> {
        match packet.first()? >> 4 {
            4 => Self::read_v4(packet),
            6 => Self::read_v6(packet),
            _ => None,
        }
    }

    fn read_v4(packet: &[u8]) -> Option<Self> {
        let payload = usize::from(packet.first()? & 0xf) * 4;
        if payload < IPV4_HEADER || payload > packet.len() || word(packet, 2)? != packet.len() {
            return None;
        }
        let fragment = word(packet, 6)?;
        let begins = fragment & 0x1fff == 0;
        Some(Self {
            source: v4(packet, 12)?,
            destination: v4(packet, 16)?,
            protocol: *packet.get(9)?,
            payload,
            begins,
            is_whole: begins && fragment & 0x2000 == 0,
        })
    }

    fn read_v6(packet: &[u8]) -> Option<Self> {
        if word(packet, 4)? + IPV6_HEADER != packet.len() {
            return None;
        }
        let mut header = Self {
            source: v6(packet, 8)?,
            destination: v6(packet, 24)?,
            protocol: *packet.get(6)?,
            payload: IPV6_HEADER,
            begins: true,
            is_whole: true,
        };
        for _ in 0..MAX_EXTENSIONS {
            let at = header.payload;
            let length = match header.protocol {
                HOP_BY_HOP | DESTINATION => (usize::from(*packet.get(at + 1)?) + 1) * 8,
                FRAGMENT => {
                    let fragment = word(packet, at + 2)?;
                    header.begins = fragment & !7 == 0;
                    header.is_whole = header.begins && fragment & 1 == 0;
                    8
                }
                _ => break,
            };
            header.protocol = *packet.get(at)?;
            header.payload = at + length;
            if header.payload > packet.len() {
                return None;
            }
            if !header.begins {
                break;
            }
        }
        Some(header)
    }

    /// Where its UDP or TCP header names the ports; none if it has none.
    pub(super) fn ports(&self, packet: &[u8]) -> Option<(u16, u16)> {
        let has = self.begins && matches!(self.protocol, TCP | UDP);
        let port = |at| u16::try_from(word(packet, at)?).ok();
        has.then(|| Some((port(self.payload)?, port(self.payload + 2)?)))?
    }

    /// The same for all packets of a flow, and mostly another for another flow. Fragments of a datagram may differ from it.
    pub(super) fn flow(&self, packet: &[u8]) -> u64 {
        let ports = self.ports(packet).filter(|_| self.is_whole);
        let mut hasher = DefaultHasher::new();
        (self.source, self.destination, self.protocol, ports).hash(&mut hasher);
        hasher.finish()
    }

    /// Whether it is about another packet, whose beginning it has in it.
    fn is_error(&self, packet: &[u8]) -> bool {
        let kind = packet.get(self.payload);
        self.begins
            && match self.protocol {
                ICMP => matches!(kind, Some(3 | 11 | 12)),
                ICMPV6 => matches!(kind, Some(1..=4)),
                _ => false,
            }
    }

    /// Where the checksum is that covers the addresses too, if there is one.
    fn covering_checksum(&self, packet: &[u8]) -> Option<usize> {
        let at = match self.protocol {
            TCP => 16,
            UDP => UDP_CHECKSUM,
            ICMPV6 => 2,
            _ => return None,
        };
        let at = self.payload + at;
        let is_absent = self.protocol == UDP && self.source.is_ipv4() && word(packet, at)? == 0;
        (self.begins && !is_absent).then_some(at)
    }
}

/// How the checksum of TCP or UDP is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checksum {
    /// As it is sent.
    Complete,
    /// The sum of the pseudo header alone, which the kernel completes.
    Partial,
}

/// Which end of a packet lies beyond the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Far {
    Source,
    Destination,
}

/// Writes `real` for the address at the far end, and the same into the packet that an ICMP error is about; checksums stay right.
/// `header` is that of the packet before.
pub(super) fn translate(
    packet: &mut [u8],
    header: &Header,
    far: Far,
    checksum: Checksum,
    map: impl Fn(IpAddr) -> Option<IpAddr>,
) {
    let covering = header.covering_checksum(packet);
    let address = match far {
        Far::Source => header.source,
        Far::Destination => header.destination,
    };
    if let Some(to) = map(address) {
        let change = write_address(packet, far, to);
        if header.source.is_ipv4() {
            amend(packet, 10, change, Checksum::Complete);
        }
        if let Some(at) = covering {
            amend(packet, at, change, checksum);
            if header.protocol == UDP
                && checksum == Checksum::Complete
                && let Some(place @ [0, 0]) = packet.get_mut(at..at + 2)
            {
                place.copy_from_slice(&NO_ZERO);
            }
        }
    }
    if header.is_error(packet) {
        let change = translate_inner(packet, header.payload + ICMP_HEADER, far, &map);
        amend(packet, header.payload + 2, change, Checksum::Complete);
    }
}

/// The packet that an error is about went the other way. It may be cut anywhere.
fn translate_inner(
    packet: &mut [u8],
    at: usize,
    far: Far,
    map: impl Fn(IpAddr) -> Option<IpAddr>,
) -> u32 {
    let Some(inner) = packet.get_mut(at..) else {
        return 0;
    };
    let is_v4 = match inner.first().map(|byte| byte >> 4) {
        Some(4) if inner.len() >= IPV4_HEADER => true,
        Some(6) if inner.len() >= IPV6_HEADER => false,
        _ => return 0,
    };
    let turned = match far {
        Far::Source => Far::Destination,
        Far::Destination => Far::Source,
    };
    let address = match (is_v4, turned) {
        (true, Far::Source) => v4(inner, 12),
        (true, Far::Destination) => v4(inner, 16),
        (false, Far::Source) => v6(inner, 8),
        (false, Far::Destination) => v6(inner, 24),
    };
    let Some(to) = address.and_then(map) else {
        return 0;
    };
    let change = write_address(inner, turned, to);
    if !is_v4 {
        return change;
    }
    let before = word(inner, 10).unwrap_or_default() as u32;
    amend(inner, 10, change, Checksum::Complete);
    let after = word(inner, 10).unwrap_or_default() as u32;
    change + after + (!before & 0xffff)
}

/// Gives the change of the sum of all words (RFC 1624).
fn write_address(packet: &mut [u8], which: Far, to: IpAddr) -> u32 {
    let (start, bytes) = match (to, which) {
        (IpAddr::V4(to), Far::Source) => (12, to.octets().to_vec()),
        (IpAddr::V4(to), Far::Destination) => (16, to.octets().to_vec()),
        (IpAddr::V6(to), Far::Source) => (8, to.octets().to_vec()),
        (IpAddr::V6(to), Far::Destination) => (24, to.octets().to_vec()),
    };
    let Some(place) = packet.get_mut(start..start + bytes.len()) else {
        return 0;
    };
    let mut change = 0;
    for (old, new) in place.chunks_exact(2).zip(bytes.chunks_exact(2)) {
        change += u32::from(u16::from_be_bytes([new[0], new[1]]));
        change += u32::from(!u16::from_be_bytes([old[0], old[1]]));
    }
    place.copy_from_slice(&bytes);
    change
}

/// Brings the checksum at `at` up to a change of what it covers.
fn amend(packet: &mut [u8], at: usize, change: u32, checksum: Checksum) {
    let Some(place) = packet.get_mut(at..at + 2) else {
        return;
    };
    let old = u16::from_be_bytes([place[0], place[1]]);
    let new = match checksum {
        Checksum::Complete => !fold(u32::from(!old) + fold_once(change)),
        Checksum::Partial => fold(u32::from(old) + fold_once(change)),
    };
    place.copy_from_slice(&new.to_be_bytes());
}

fn fold_once(sum: u32) -> u32 {
    (sum & 0xffff) + (sum >> 16)
}

fn fold(sum: u32) -> u16 {
    let sum = fold_once(fold_once(sum));
    // Twice folded, it has 16 bits.
    sum as u16
}

/// Writes the checksum of a packet whose kernel left that to the device: over all from `start` on, with the sum of the pseudo
/// header where it belongs.
pub(super) fn complete(packet: &mut [u8], start: usize, offset: usize) -> Option<()> {
    let sum = sum(packet.get(start..)?);
    let place = packet.get_mut(start + offset..start + offset + 2)?;
    let checksum = (!fold(sum)).to_be_bytes();
    let is_udp = offset == UDP_CHECKSUM;
    place.copy_from_slice(if is_udp && checksum == [0, 0] {
        &NO_ZERO
    } else {
        &checksum
    });
    Some(())
}

fn sum(bytes: &[u8]) -> u32 {
    let words = bytes.chunks(2);
    // 65,535 bytes sum up to less than 2^31.
    words
        .map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |low| u32::from(*low)))
        .sum()
}

/// The datagrams of which the kernel made one, each with a payload of `size` bytes, the last with what is left (UDP_SEGMENT,
/// udp(7)).
pub(super) fn split_udp(packet: &[u8], size: usize) -> Option<Vec<Vec<u8>>> {
    let header = Header::read(packet)?;
    let head = header.payload + 8;
    if header.protocol != UDP || !header.is_whole || size == 0 {
        return None;
    }
    let (heads, payload) = packet.split_at_checked(head)?;
    let datagrams = payload.chunks(size).zip(0u16..);
    datagrams
        .map(|(payload, number)| {
            let mut datagram = [heads, payload].concat();
            let udp = u16::try_from(8 + payload.len()).ok()?;
            datagram[header.payload + 4..][..2].copy_from_slice(&udp.to_be_bytes());
            let total = u16::try_from(datagram.len()).ok()?;
            if header.source.is_ipv4() {
                let id = u16::from_be_bytes([datagram[4], datagram[5]]).wrapping_add(number);
                datagram[2..4].copy_from_slice(&total.to_be_bytes());
                datagram[4..6].copy_from_slice(&id.to_be_bytes());
                datagram[10..12].fill(0);
                let checksum = !fold(sum(&datagram[..header.payload]));
                datagram[10..12].copy_from_slice(&checksum.to_be_bytes());
            } else {
                let rest = total.checked_sub(IPV6_HEADER as u16)?;
                datagram[4..6].copy_from_slice(&rest.to_be_bytes());
            }
            let pseudo = pseudo(&header, usize::from(udp));
            datagram[header.payload + 6..][..2].copy_from_slice(&pseudo.to_be_bytes());
            complete(&mut datagram, header.payload, UDP_CHECKSUM)?;
            Some(datagram)
        })
        .collect()
}

/// The sum of the pseudo header of `length` bytes of TCP or UDP (RFC 9293 section 3.1, RFC 8200 section 8.1).
pub(super) fn pseudo(header: &Header, length: usize) -> u16 {
    let addresses = match (header.source, header.destination) {
        (IpAddr::V4(from), IpAddr::V4(to)) => sum(&from.octets()) + sum(&to.octets()),
        (IpAddr::V6(from), IpAddr::V6(to)) => sum(&from.octets()) + sum(&to.octets()),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => 0,
    };
    let length = u32::try_from(length).unwrap_or_default();
    fold(addresses + u32::from(header.protocol) + fold_once(length))
}

/// Length of the TCP header of a packet that has one, whole.
pub(super) fn tcp_header(packet: &[u8], header: &Header) -> Option<usize> {
    if header.protocol != TCP || !header.is_whole {
        return None;
    }
    let length = usize::from(packet.get(header.payload + 12)? >> 4) * 4;
    (length >= 20 && header.payload + length <= packet.len()).then_some(length)
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at + 2)?.try_into().ok()?;
    Some(usize::from(u16::from_be_bytes(bytes)))
}

fn v4(bytes: &[u8], at: usize) -> Option<IpAddr> {
    let octets: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(Ipv4Addr::from(octets).into())
}

fn v6(bytes: &[u8], at: usize) -> Option<IpAddr> {
    let octets: [u8; 16] = bytes.get(at..at + 16)?.try_into().ok()?;
    Some(Ipv6Addr::from(octets).into())
}

#[cfg(test)]
pub(super) mod tests;

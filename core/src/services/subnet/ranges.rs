//! Which addresses and ranges are ours to give: those of nodes, by their keys, and those that stand for ranges which both homes have.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use blake2::{Blake2s256, Digest};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::PeerId;

/// Between carriers and their customers (RFC 6598): homes have nothing there.
const SHARED: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10);
/// Unique local addresses (RFC 4193) of nodes.
const NODES: Ipv6Net =
    Ipv6Net::new_assert(Ipv6Addr::new(0xfd70, 0x6565, 0x7277, 0, 0, 0, 0, 0), 48);
/// And of ranges that stand for others.
const ALIASES: Ipv6Net =
    Ipv6Net::new_assert(Ipv6Addr::new(0xfd70, 0x6565, 0x7278, 0, 0, 0, 0, 0), 48);
/// Places that are tried before there is held to be no room.
const TRIES: u32 = 256;

/// A node's IPv4 address, the same for as long as its key is, unless the computer has another network there.
pub(super) fn node_v4(node: PeerId, taken: &[IpNet]) -> Option<Ipv4Addr> {
    (0..TRIES).find_map(|number| {
        let at = hash(b"address", node, SHARED.into(), number);
        let net = place(SHARED.into(), 32, at)?;
        let IpAddr::V4(addr) = net.addr() else {
            return None;
        };
        let is_odd =
            matches!(addr.octets()[3], 0 | 255) || addr == Ipv4Addr::new(100, 100, 100, 100);
        (!is_odd && is_free(net, taken)).then_some(addr)
    })
}

/// Whether a node may have it.
pub(super) fn is_of_nodes(addr: Ipv4Addr) -> bool {
    SHARED.contains(&addr)
}

/// A node's IPv6 address.
pub(super) fn node_v6(node: PeerId) -> Ipv6Addr {
    let at = hash(b"address", node, NODES.into(), 0);
    match place(NODES.into(), 128, at).map(|net| net.addr()) {
        Some(IpAddr::V6(addr)) => addr,
        Some(IpAddr::V4(_)) | None => NODES.addr(),
    }
}

/// A range as large as `net` that stands for it here; the same as before, unless something else is there now. None where it is too
/// large for that, or nothing is free.
pub(super) fn alias(peer: PeerId, net: IpNet, taken: &[IpNet]) -> Option<IpNet> {
    let whole = match net {
        IpNet::V4(_) => SHARED.into(),
        IpNet::V6(_) => IpNet::V6(ALIASES),
    };
    (0..TRIES).find_map(|number| {
        let at = hash(b"alias", peer, net, number);
        place(whole, net.prefix_len(), at).filter(|alias| is_free(*alias, taken))
    })
}

pub(super) fn is_free(net: IpNet, taken: &[IpNet]) -> bool {
    !taken.iter().any(|other| overlap(net, *other))
}

pub(super) fn overlap(one: IpNet, other: IpNet) -> bool {
    one.contains(&other) || other.contains(&one)
}

/// The address in `to` that stands where `addr` stands in `from`, which is as large.
pub(super) fn shift(addr: IpAddr, from: IpNet, to: IpNet) -> IpAddr {
    match (addr, from, to) {
        (IpAddr::V4(addr), IpNet::V4(from), IpNet::V4(to)) => {
            let host = addr.to_bits() & from.hostmask().to_bits();
            Ipv4Addr::from_bits(to.network().to_bits() | host).into()
        }
        (IpAddr::V6(addr), IpNet::V6(from), IpNet::V6(to)) => {
            let host = addr.to_bits() & from.hostmask().to_bits();
            Ipv6Addr::from_bits(to.network().to_bits() | host).into()
        }
        _ => addr,
    }
}

/// A range of a prefix of `len` bits in `whole`, the one that `at` says; none if it is larger than that.
fn place(whole: IpNet, len: u8, at: [u8; 16]) -> Option<IpNet> {
    let at = u128::from_be_bytes(at);
    if len < whole.prefix_len() {
        return None;
    }
    match whole {
        IpNet::V4(whole) => {
            let host = whole.hostmask().to_bits() & (at as u32);
            let addr = Ipv4Addr::from_bits(whole.network().to_bits() | host);
            Ipv4Net::new(addr, len).ok().map(|net| net.trunc().into())
        }
        IpNet::V6(whole) => {
            let host = whole.hostmask().to_bits() & at;
            let addr = Ipv6Addr::from_bits(whole.network().to_bits() | host);
            Ipv6Net::new(addr, len).ok().map(|net| net.trunc().into())
        }
    }
}

fn hash(purpose: &[u8], node: PeerId, net: IpNet, number: u32) -> [u8; 16] {
    let hash = Blake2s256::new()
        .chain_update(b"peerway subnet ")
        .chain_update(purpose)
        .chain_update(node.as_bytes())
        .chain_update(net.to_string())
        .chain_update(number.to_be_bytes())
        .finalize();
    let mut start = [0; 16];
    start.copy_from_slice(&hash[..16]);
    start
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    fn node(seed: u8) -> PeerId {
        SecretKey::from_seed(&[seed; 32]).id()
    }

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn a_node_keeps_its_address_until_something_else_is_there() {
        let addr = node_v4(node(1), &[]).unwrap();
        assert!(SHARED.contains(&addr));
        assert_eq!(node_v4(node(1), &[net("10.0.0.0/8")]), Some(addr));
        let there = IpNet::new(addr.into(), 24).unwrap().trunc();
        let other = node_v4(node(1), &[there]).unwrap();
        assert!(!there.contains(&IpAddr::from(other)));
        assert_ne!(node_v4(node(2), &[]), Some(addr));
        assert_eq!(node_v4(node(1), &[SHARED.into()]), None);
        assert!(NODES.contains(&node_v6(node(1))));
        assert_ne!(node_v6(node(1)), node_v6(node(2)));
    }

    #[test]
    fn a_range_is_stood_for_by_one_of_its_size_that_is_free() {
        let lan = net("192.168.1.0/24");
        let stands = alias(node(1), lan, &[]).unwrap();
        assert_eq!(
            (stands.prefix_len(), alias(node(1), lan, &[])),
            (24, Some(stands))
        );
        let other = alias(node(1), lan, &[stands]).unwrap();
        assert!(!overlap(stands, other));
        assert_eq!(alias(node(1), net("10.0.0.0/8"), &[]), None);
        let six = alias(node(1), net("fd00:1::/64"), &[]).unwrap();
        assert!(IpNet::V6(ALIASES).contains(&six));
        let host: IpAddr = "192.168.1.77".parse().unwrap();
        let shifted = shift(host, lan, stands);
        assert!(stands.contains(&shifted));
        assert_eq!(shift(shifted, stands, lan), host);
    }
}

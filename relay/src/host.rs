//! The host part of the relay's URL.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// A documentation address (RFC 5737, RFC 3849): routed like the internet, and nothing is sent to it.
const SOMEWHERE_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const SOMEWHERE_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

/// The address under which clients most likely reach a socket bound to `bind`: that address if it is one, else that of the
/// interface that leads to the internet, else loopback.
pub(crate) fn guess(bind: IpAddr) -> IpAddr {
    if !bind.is_unspecified() {
        return bind.to_canonical();
    }
    let candidates = match bind {
        IpAddr::V4(_) => &[SOMEWHERE_V4][..],
        IpAddr::V6(_) => &[SOMEWHERE_V4, SOMEWHERE_V6][..],
    };
    candidates
        .iter()
        .find_map(|somewhere| source_towards(*somewhere))
        .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

fn source_towards(remote: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match remote {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(SocketAddr::new(remote, 9)).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified()).then_some(ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_specific_bind_address_is_taken_as_it_is() {
        let ip = "192.0.2.7".parse().unwrap();
        assert_eq!(guess(ip), ip);
    }

    #[test]
    fn a_wildcard_becomes_an_address_that_can_be_dialled() {
        assert!(!guess(Ipv4Addr::UNSPECIFIED.into()).is_unspecified());
        assert!(!guess(Ipv6Addr::UNSPECIFIED.into()).is_unspecified());
    }
}

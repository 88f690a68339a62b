//! Whom a share is for.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The network that an address is in, as one party: an IPv4 address or an IPv6 /56.
///
/// One IPv4 address is what a subscriber or a rented computer has; a larger prefix would have neighbours answer for each
/// other. A carrier's NAT puts many subscribers behind one address: they have one share between them, which they only feel
/// where there is no room for all. An IPv6 /56 is what one home is delegated (RIPE-690); with a /64 it would be 256 parties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Network(IpAddr);

impl Network {
    pub(crate) fn of(addr: SocketAddr) -> Self {
        Self(match addr.ip().to_canonical() {
            IpAddr::V4(ip) => IpAddr::V4(ip),
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d & 0xff00, 0, 0, 0, 0))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_address_and_an_ipv6_56_are_parties_of_their_own() {
        let network = |text: &str| Network::of(SocketAddr::new(text.parse().unwrap(), 1));
        assert_eq!(network("192.0.2.1"), network("::ffff:192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("2001:db8:0:100::1"), network("2001:db8:0:1ff::2"));
        assert_ne!(network("2001:db8:0:100::1"), network("2001:db8:0:200::1"));
    }
}

//! IPv4 addresses as an IPv6-only network writes them for its translator (RFC 6052).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use super::Scope;

/// The prefix that a network's NAT64 stands behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nat64 {
    prefix: Ipv6Addr,
    /// One of [`LENGTHS`].
    len: u8,
}

/// Section 2.2, longest first: a longer match is the less likely accident.
const LENGTHS: [u8; 6] = [96, 64, 56, 48, 40, 32];

/// What `ipv4only.arpa` resolves to (RFC 7050 section 8.2).
const WELL_KNOWN: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 0, 170), Ipv4Addr::new(192, 0, 0, 171)];

impl Nat64 {
    /// The prefix out of an IPv6 address of `ipv4only.arpa`, which has none of its own (RFC 7050 section 3).
    pub fn of_ipv4only_arpa(addr: Ipv6Addr) -> Option<Self> {
        LENGTHS
            .map(|len| Self {
                prefix: addr & mask(len),
                len,
            })
            .into_iter()
            .find(|found| found.v4(addr).is_some_and(|v4| WELL_KNOWN.contains(&v4)))
    }

    /// What to send to in place of `addr`: itself, unless only the translator leads there.
    pub fn outward(self, addr: SocketAddr) -> SocketAddr {
        match addr {
            SocketAddr::V4(v4) if Scope::of(addr.ip()) == Scope::Global => {
                SocketAddrV6::new(self.v6(*v4.ip()), v4.port(), 0, 0).into()
            }
            SocketAddr::V4(_) | SocketAddr::V6(_) => addr,
        }
    }

    /// What `addr` really is: itself, unless it is one of the translator's.
    pub fn inward(self, addr: SocketAddr) -> SocketAddr {
        match addr.ip() {
            IpAddr::V6(ip) => self
                .v4(ip)
                .map_or(addr, |v4| SocketAddr::new(v4.into(), addr.port())),
            IpAddr::V4(_) => addr,
        }
    }

    fn v6(self, v4: Ipv4Addr) -> Ipv6Addr {
        let mut octets = self.prefix.octets();
        for (at, octet) in self.places().into_iter().zip(v4.octets()) {
            octets[at] = octet;
        }
        octets.into()
    }

    fn v4(self, v6: Ipv6Addr) -> Option<Ipv4Addr> {
        let octets = v6.octets();
        let v4 = Ipv4Addr::from(self.places().map(|at| octets[at]));
        (self.v6(v4) == v6).then_some(v4)
    }

    /// Where the four octets are: behind the prefix, but for octet 8, which stays 0.
    fn places(self) -> [usize; 4] {
        let first = usize::from(self.len / 8);
        let place = |at: usize| if first <= 8 && at >= 8 { at + 1 } else { at };
        [first, first + 1, first + 2, first + 3].map(place)
    }
}

fn mask(len: u8) -> Ipv6Addr {
    Ipv6Addr::from_bits(u128::MAX << (128 - u32::from(len)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of RFC 6052 section 2.4.
    const EXAMPLES: [(u8, &str, &str); 6] = [
        (32, "2001:db8::", "2001:db8:c000:221::"),
        (40, "2001:db8:100::", "2001:db8:1c0:2:21::"),
        (48, "2001:db8:122::", "2001:db8:122:c000:2:2100::"),
        (56, "2001:db8:122:300::", "2001:db8:122:3c0:0:221::"),
        (64, "2001:db8:122:344::", "2001:db8:122:344:c0:2:2100::"),
        (96, "2001:db8:122:344::", "2001:db8:122:344::c000:221"),
    ];

    fn nat64(prefix: &str, len: u8) -> Nat64 {
        Nat64 {
            prefix: prefix.parse().unwrap(),
            len,
        }
    }

    #[test]
    fn addresses_are_written_and_read_as_in_the_rfc() {
        for (len, prefix, expected) in EXAMPLES {
            let found = nat64(prefix, len);
            let v4 = Ipv4Addr::new(192, 0, 2, 33);
            let v6 = found.v6(v4);
            assert_eq!(v6, expected.parse::<Ipv6Addr>().unwrap(), "/{len}");
            assert_eq!(found.v4(v6), Some(v4), "/{len}");
        }
    }

    #[test]
    fn the_prefix_is_found_at_every_length() {
        for (len, prefix, _) in EXAMPLES {
            let expected = nat64(prefix, len);
            for v4 in WELL_KNOWN {
                let found = Nat64::of_ipv4only_arpa(expected.v6(v4));
                assert_eq!(found, Some(expected), "/{len}");
            }
        }
        let own = "2001:db8::1".parse().unwrap();
        assert_eq!(Nat64::of_ipv4only_arpa(own), None);
    }

    #[test]
    fn only_public_ipv4_goes_through_the_translator_and_comes_back_as_what_it_is() {
        let found = nat64("64:ff9b::", 96);
        let public: SocketAddr = "9.9.9.9:4000".parse().unwrap();
        let outside = found.outward(public);
        assert_eq!(outside, "[64:ff9b::909:909]:4000".parse().unwrap());
        assert_eq!(found.inward(outside), public);
        for other in ["192.168.1.1:4000", "[2a00::1]:4000", "127.0.0.1:4000"] {
            let other: SocketAddr = other.parse().unwrap();
            assert_eq!((found.outward(other), found.inward(other)), (other, other));
        }
    }
}

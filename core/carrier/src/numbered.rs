//! Addresses of streams: where the other end is, and a number that tells it from everything that came by UDP.
//!
//! The number is in the flow information of an IPv6 address (RFC 3493 section 3.3), which the kernel leaves zero in the sources
//! of datagrams. So tables of sources need no second kind of key, and whoever counts by network sees the real one.

use std::{
    net::{IpAddr, SocketAddr, SocketAddrV6},
    num::NonZeroU32,
};

/// The address of stream `number`, whose other end is at `real`.
#[must_use]
pub fn numbered(real: SocketAddr, number: NonZeroU32) -> SocketAddr {
    let ip = match real.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    SocketAddrV6::new(ip, real.port(), number.get(), 0).into()
}

/// The stream that an address stands for; none if it is one of UDP's.
#[must_use]
pub fn number_of(addr: SocketAddr) -> Option<NonZeroU32> {
    match addr {
        SocketAddr::V4(_) => None,
        SocketAddr::V6(addr) => NonZeroU32::new(addr.flowinfo()),
    }
}

/// An address as the kernel gave it, which is none of a stream whatever it is.
#[must_use]
pub fn of_datagram(addr: SocketAddr) -> SocketAddr {
    match addr {
        SocketAddr::V4(_) => addr,
        SocketAddr::V6(mut addr) => {
            addr.set_flowinfo(0);
            addr.into()
        }
    }
}

/// Where the other end really is.
#[must_use]
pub fn real(addr: SocketAddr) -> SocketAddr {
    match number_of(addr) {
        Some(_) => SocketAddr::new(addr.ip().to_canonical(), addr.port()),
        None => addr,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_has_an_address_of_its_own_that_tells_where_it_leads() {
        for text in ["192.0.2.1:443", "[2001:db8::1]:443"] {
            let addr: SocketAddr = text.parse().unwrap();
            let [one, two] = [1, 2].map(|number| numbered(addr, NonZeroU32::new(number).unwrap()));
            assert_ne!(one, two);
            assert_ne!(one, addr);
            assert_eq!(number_of(two).map(NonZeroU32::get), Some(2));
            assert_eq!(real(one), addr);
            assert_eq!(number_of(of_datagram(one)), None);
            assert_eq!((number_of(addr), real(addr)), (None, addr));
        }
    }
}

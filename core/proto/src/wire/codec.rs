//! Reads and writes the fields that the messages are made of. Numbers are big endian.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Malformed;

/// Reads fields from the front.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.0.split_first_chunk().ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    /// An address of 18 bytes; IPv4 is v4-mapped (RFC 4291 section 2.5.5.2).
    pub(crate) fn addr(&mut self) -> Result<SocketAddr, Malformed> {
        let ip = Ipv6Addr::from(self.array::<16>()?);
        Ok(SocketAddr::new(ip.to_canonical(), self.u16()?))
    }
}

/// Appends an address as [`Reader::addr`] reads it.
pub(crate) fn put_addr(out: &mut Vec<u8>, addr: SocketAddr) {
    out.extend_from_slice(&mapped(addr.ip()).octets());
    out.extend_from_slice(&addr.port().to_be_bytes());
}

fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => Ipv4Addr::to_ipv6_mapped(&ip),
        IpAddr::V6(ip) => ip,
    }
}

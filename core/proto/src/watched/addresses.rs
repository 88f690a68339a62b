//! The rules for addresses that others named, as the design states them.

use std::net::{IpAddr, SocketAddr};

use super::Watched;

impl Watched {
    pub(super) fn check_allowed(&self, to: SocketAddr) {
        let port = to.port();
        assert!(
            port == 443 || port >= 1024 && ![1900, 3702, 5353, 11211].contains(&port),
            "{to} belongs to another service"
        );
        let here = |ip: IpAddr| ip.to_canonical().is_loopback();
        // What really came from a loopback address was sent by this computer.
        let loopback =
            self.relays.values().any(|(addr, _)| here(addr.ip())) || self.seen.contains(&to);
        let IpAddr::V4(ip) = to.ip().to_canonical() else {
            let IpAddr::V6(ip) = to.ip() else { return };
            assert!(!ip.is_multicast() && !ip.is_unspecified(), "{to}");
            assert!(!ip.is_loopback() || loopback, "{to} is ourselves");
            return;
        };
        assert!(ip.octets()[0] != 0 && ip.octets()[0] < 224, "{to}");
        assert!(!ip.is_loopback() || loopback, "{to} is ourselves");
        if is_local(to.ip()) {
            let heard = self.seen.iter().any(|seen| seen.ip() == to.ip());
            let near = self
                .interfaces
                .iter()
                .any(|local| local.shares_prefix(to.ip()));
            let neighbours = self
                .relays
                .values()
                .any(|(_, observed)| self.attested.contains(&observed.ip()));
            let attested = self.attested.contains(&to.ip());
            assert!(heard || near || neighbours || attested, "a scan: {to}");
        }
    }
}

/// Whether an address is one of a network that translation or a first hop hides.
pub(super) fn is_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            ip.is_private() || ip.is_link_local() || shared
        }
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

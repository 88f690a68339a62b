//! Whether this network has a NAT64 and no IPv4 of its own (RFC 7050).

use std::{net::IpAddr, time::Duration};

use tokio::{net::lookup_host, time::timeout};

use crate::addr::Nat64;

/// Nobody waits for the answer; but one that comes later than this is about another network.
const LIMIT: Duration = Duration::from_secs(5);

/// Asks the system's resolver for the IPv6 addresses of a name that has none, and so gets what the network's DNS64 makes.
pub(crate) async fn discover() -> Option<Nat64> {
    let found = timeout(LIMIT, lookup_host(("ipv4only.arpa", 0))).await;
    let found = found.ok()?.ok()?;
    let v6 = found.filter_map(|addr| match addr.ip() {
        IpAddr::V6(ip) => Some(ip),
        IpAddr::V4(_) => None,
    });
    v6.filter_map(Nat64::of_ipv4only_arpa).next()
}

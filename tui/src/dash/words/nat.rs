//! What kind a NAT is of, in one word.

use peerway::{NatBehavior, NatReport, NetworkSnapshot};

/// The common names of the combinations of RFC 4787's two axes.
pub(crate) fn nat_class(nat: NatReport) -> &'static str {
    use NatBehavior as B;
    match (nat.mapping, nat.filtering) {
        (B::Unknown, _) => "unknown",
        (B::EndpointIndependent, B::EndpointIndependent) => "full cone",
        (B::EndpointIndependent, B::AddressDependent) => "address-restricted",
        (B::EndpointIndependent, B::AddressAndPortDependent) => "port-restricted",
        (B::EndpointIndependent, B::Unknown) => "cone",
        (B::AddressDependent | B::AddressAndPortDependent, _) => "symmetric",
    }
}

/// That of the network which a node is in: there is none where a relay sees an address of the computer itself.
pub(crate) fn own_nat_class(network: &NetworkSnapshot) -> &'static str {
    let is_own = network
        .public_v4
        .is_some_and(|public| network.local.iter().any(|local| local.ip() == public.ip()));
    if is_own {
        "none"
    } else {
        nat_class(network.nat)
    }
}

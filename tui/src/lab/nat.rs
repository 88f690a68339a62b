//! The kinds of home: which routers stand in front of the host, and what each of them does.

use super::{LabError, netns::Netns};

/// What stands between a home's host and the internet. Mapping and filtering in the words of RFC 4787.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NatKind {
    /// Nothing: the host has the public address.
    Public,
    /// Endpoint-independent mapping, endpoint-independent filtering.
    FullCone,
    /// Endpoint-independent mapping, address-dependent filtering.
    AddressRestricted,
    /// Endpoint-independent mapping, address-and-port-dependent filtering: Linux masquerade, most home routers.
    PortRestricted,
    /// The same on a router that accepts packets to itself, where an early packet from a peer takes the mapping's port away.
    PortRestrictedAccept,
    /// Port-restricted behind port-restricted: carrier-grade NAT, or a router behind the provider's.
    DoubleNat,
    /// A random port for each destination address and port, the strictest filtering.
    Symmetric,
    /// The same, with UPnP, NAT-PMP and PCP served by miniupnpd.
    SymmetricUpnp,
    /// All UDP dropped, TCP translated.
    Blocked,
}

impl NatKind {
    /// The routers in front of the host, from the internet inwards.
    pub(super) fn routers(self) -> &'static [Self] {
        match self {
            Self::Public => &[],
            Self::FullCone => &[Self::FullCone],
            Self::AddressRestricted => &[Self::AddressRestricted],
            Self::PortRestricted => &[Self::PortRestricted],
            Self::PortRestrictedAccept => &[Self::PortRestrictedAccept],
            Self::DoubleNat => &[Self::PortRestricted, Self::PortRestricted],
            Self::Symmetric => &[Self::Symmetric],
            Self::SymmetricUpnp => &[Self::SymmetricUpnp],
            Self::Blocked => &[Self::Blocked],
        }
    }
}

/// Makes a router of `netns`, between its interfaces `wan` and `lan`.
pub(super) fn configure(netns: &Netns, kind: NatKind) -> Result<(), LabError> {
    netns.nft(&ruleset(kind))?;
    netns.sysctl("ipv4/ip_forward", "1")
}

fn ruleset(kind: NatKind) -> String {
    let Rules {
        input,
        forward,
        prerouting,
        masquerade,
    } = Rules::of(kind);
    format!(
        "
table ip home {{
    map mappings {{ type inet_service : ipv4_addr . inet_service; flags dynamic,timeout; timeout 300s; size 65535; }}
    set contacted {{ type ipv4_addr; flags dynamic,timeout; timeout 300s; size 65535; }}
    chain input {{
        type filter hook input priority filter; policy {input};
        iifname != wan accept
        ct state established,related accept
    }}
    chain forward {{
        type filter hook forward priority filter; policy drop;
        {forward}
        ct state established,related accept
        ct status dnat accept
        iifname lan accept
    }}
    chain prerouting {{
        type nat hook prerouting priority dstnat;
        {prerouting}
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat;
        oifname wan {masquerade}
    }}
}}"
    )
}

/// How a kind's ruleset differs from that of the others.
struct Rules {
    input: &'static str,
    forward: &'static str,
    prerouting: &'static str,
    masquerade: &'static str,
}

impl Rules {
    const PORT_RESTRICTED: Self = Self {
        input: "drop",
        forward: "",
        prerouting: "",
        masquerade: "masquerade",
    };

    fn of(kind: NatKind) -> Self {
        let base = Self::PORT_RESTRICTED;
        match kind {
            NatKind::Public | NatKind::PortRestricted | NatKind::DoubleNat => base,
            NatKind::PortRestrictedAccept => Self {
                input: "accept",
                ..base
            },
            NatKind::FullCone => Self {
                forward: "iifname lan meta l4proto udp update @mappings { udp sport : ip saddr . udp sport }",
                prerouting: "iifname wan meta l4proto udp dnat to udp dport map @mappings",
                ..base
            },
            NatKind::AddressRestricted => Self {
                forward: "iifname lan meta l4proto udp \
                          update @mappings { udp sport : ip saddr . udp sport } update @contacted { ip daddr }",
                prerouting: "iifname wan ip saddr @contacted meta l4proto udp dnat to udp dport map @mappings",
                ..base
            },
            NatKind::Symmetric | NatKind::SymmetricUpnp => Self {
                masquerade: "masquerade random",
                ..base
            },
            NatKind::Blocked => Self {
                forward: "meta l4proto udp drop",
                ..base
            },
        }
    }
}

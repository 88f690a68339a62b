//! The kinds of home: which routers stand in front of the host, and what each of them does.

use std::borrow::Cow;

use super::{LabError, netns::Netns};

/// What stands between a home's host and the IPv4 internet. Mapping and filtering in the words of RFC 4787.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
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
    /// Port-restricted, with mappings that die 20 s after their last packet.
    ShortTimeout,
    /// Port-restricted behind port-restricted: carrier-grade NAT, or a router behind the provider's.
    DoubleNat,
    /// A new mapping for each destination address and port, its port one above that of the mapping before.
    Sequential,
    /// A random port out of 2,048 for each destination address and port: carriers that give each customer a block.
    SymmetricBlock,
    /// A random port for each destination address and port, the strictest filtering.
    Symmetric,
    /// The same, with UPnP, NAT-PMP and PCP served by miniupnpd.
    SymmetricUpnp,
    /// All UDP dropped, TCP translated.
    Blocked,
}

impl NatKind {
    /// All there are, easy ones first.
    pub const ALL: [Self; 12] = [
        Self::Public,
        Self::FullCone,
        Self::AddressRestricted,
        Self::PortRestricted,
        Self::PortRestrictedAccept,
        Self::ShortTimeout,
        Self::DoubleNat,
        Self::Sequential,
        Self::SymmetricBlock,
        Self::Symmetric,
        Self::SymmetricUpnp,
        Self::Blocked,
    ];

    /// What to call it on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::FullCone => "full-cone",
            Self::AddressRestricted => "address-restricted",
            Self::PortRestricted => "port-restricted",
            Self::PortRestrictedAccept => "port-restricted-accept",
            Self::ShortTimeout => "short-timeout",
            Self::DoubleNat => "double-nat",
            Self::Sequential => "sequential",
            Self::SymmetricBlock => "symmetric-block",
            Self::Symmetric => "symmetric",
            Self::SymmetricUpnp => "symmetric-upnp",
            Self::Blocked => "blocked",
        }
    }

    /// What it does, in one line.
    pub fn description(self) -> &'static str {
        match self {
            Self::Public => "no NAT: the host has the public address",
            Self::FullCone => "keeps a port and lets everybody in",
            Self::AddressRestricted => "keeps a port and lets in whom the host sent to",
            Self::PortRestricted => {
                "keeps a port and lets answers in: most home routers, Linux masquerade"
            }
            Self::PortRestrictedAccept => {
                "the same on a router that accepts packets to itself, as plain Linux does"
            }
            Self::ShortTimeout => "port-restricted, forgets a mapping after 20 s of silence",
            Self::DoubleNat => "port-restricted behind port-restricted: carrier-grade NAT",
            Self::Sequential => "another port for each destination, one after the other",
            Self::SymmetricBlock => {
                "another port for each destination, at random out of a block of 2048"
            }
            Self::Symmetric => "another port for each destination, at random",
            Self::SymmetricUpnp => "symmetric, but forwards a port to hosts that ask for one",
            Self::Blocked => "lets no UDP through",
        }
    }

    /// The routers in front of the host, from the internet inwards.
    pub(super) fn routers(self) -> &'static [Self] {
        match self {
            Self::Public => &[],
            Self::FullCone => &[Self::FullCone],
            Self::AddressRestricted => &[Self::AddressRestricted],
            Self::PortRestricted => &[Self::PortRestricted],
            Self::PortRestrictedAccept => &[Self::PortRestrictedAccept],
            Self::ShortTimeout => &[Self::ShortTimeout],
            Self::DoubleNat => &[Self::PortRestricted, Self::PortRestricted],
            Self::Sequential => &[Self::Sequential],
            Self::SymmetricBlock => &[Self::SymmetricBlock],
            Self::Symmetric => &[Self::Symmetric],
            Self::SymmetricUpnp => &[Self::SymmetricUpnp],
            Self::Blocked => &[Self::Blocked],
        }
    }
}

/// Makes a router of `netns`, between its interfaces `wan` and `lan`.
pub(super) fn configure(netns: &Netns, kind: NatKind) -> Result<(), LabError> {
    netns.nft(&ruleset(kind))?;
    if kind == NatKind::ShortTimeout {
        for key in ["udp_timeout", "udp_timeout_stream"] {
            netns.sysctl(&format!("netfilter/nf_conntrack_{key}"), "20")?;
        }
    }
    netns.sysctl("ipv4/ip_forward", "1")?;
    netns.sysctl("ipv6/conf/all/forwarding", "1")
}

fn ruleset(kind: NatKind) -> String {
    let Rules {
        input,
        forward,
        forward6,
        prerouting,
        source,
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
        oifname wan {source}
    }}
}}
table ip6 home {{
    chain forward {{
        type filter hook forward priority filter; policy drop;
        {forward6}
        ct state established,related accept
        iifname lan accept
    }}
}}"
    )
}

/// Source translation to one port after the other: nft has a counter for new connections, but only a map makes ports of it.
fn sequential() -> String {
    let ports: Vec<_> = (0..4096)
        .map(|at| format!("{at} : {}", 20_000 + at))
        .collect();
    format!(
        "meta l4proto udp masquerade to :numgen inc mod {} map {{ {} }}\n        oifname wan masquerade",
        ports.len(),
        ports.join(", ")
    )
}

/// How a kind's ruleset differs from that of the others.
struct Rules {
    input: &'static str,
    forward: &'static str,
    forward6: &'static str,
    prerouting: &'static str,
    source: Cow<'static, str>,
}

impl Rules {
    const PORT_RESTRICTED: Self = Self {
        input: "drop",
        forward: "",
        forward6: "",
        prerouting: "",
        source: Cow::Borrowed("masquerade"),
    };

    fn of(kind: NatKind) -> Self {
        let base = Self::PORT_RESTRICTED;
        match kind {
            NatKind::Public
            | NatKind::PortRestricted
            | NatKind::ShortTimeout
            | NatKind::DoubleNat => base,
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
            NatKind::Sequential => Self {
                source: sequential().into(),
                ..base
            },
            NatKind::SymmetricBlock => Self {
                source: "meta l4proto udp masquerade to :20480-22527 random\n        oifname wan masquerade".into(),
                ..base
            },
            NatKind::Symmetric | NatKind::SymmetricUpnp => Self {
                source: "masquerade random".into(),
                ..base
            },
            NatKind::Blocked => Self {
                forward: "meta l4proto udp drop",
                forward6: "meta l4proto udp drop",
                ..base
            },
        }
    }
}

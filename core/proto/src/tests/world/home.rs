//! Homes: what stands between a host and the network.

use std::time::Duration;

use super::{
    ms,
    nat::{Middlebox, Ports, Style},
};
use crate::{Access, NatBehavior};

/// The homes of docs/traversal.md, 1 that tests are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    Public,
    FullCone,
    AddressRestricted,
    PortRestricted,
    /// Port-restricted, on a Linux router whose INPUT chain accepts.
    Accepting,
    /// Port-restricted behind port-restricted.
    Double,
    /// Port-restricted, and flows are forgotten after 20 s.
    ShortTimeout,
    /// A new port for each destination, the one after the last.
    Counting,
    /// A new port for each destination out of 2,048.
    Block,
    /// A new random port for each destination.
    Symmetric,
    /// Symmetric, and the router forwards a port.
    SymmetricMapped,
    /// IPv6 behind a firewall, and nothing else.
    Six,
    /// The same, with a translator for what has no IPv6.
    Nat64,
    /// IPv4 and IPv6.
    Dual,
    /// Nothing but the relay is let through.
    Blocked,
}

/// What a home is made of.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// NATs for IPv4, innermost first; none if there is no IPv4.
    pub(crate) v4: Option<Vec<Style>>,
    /// A carrier's NAT in front of them, which others share.
    pub(crate) carrier: Option<usize>,
    /// Whether there is IPv6, behind this firewall.
    pub(crate) v6: Option<Style>,
    /// A translator from IPv6 to IPv4.
    pub(crate) nat64: Option<Style>,
    /// No datagrams but those to and from relays.
    pub(crate) blocked: bool,
}

impl Plan {
    pub(crate) fn v4(nats: Vec<Style>) -> Self {
        Self {
            v4: Some(nats),
            carrier: None,
            v6: None,
            nat64: None,
            blocked: false,
        }
    }

    fn six() -> Self {
        Self {
            v4: None,
            v6: Some(Style::FIREWALL),
            ..Self::v4(Vec::new())
        }
    }
}

impl From<Home> for Plan {
    fn from(home: Home) -> Self {
        let linux = Style::LINUX;
        let cone = |filtering| Style {
            mapping: NatBehavior::EndpointIndependent,
            filtering,
            ..Style::LINUX
        };
        let drawn = |ports| Style {
            ports,
            ..Style::LINUX
        };
        match home {
            Home::Public => Self::v4(Vec::new()),
            Home::FullCone => Self::v4(vec![cone(NatBehavior::EndpointIndependent)]),
            Home::AddressRestricted => Self::v4(vec![cone(NatBehavior::AddressDependent)]),
            Home::PortRestricted => Self::v4(vec![linux]),
            Home::Accepting => Self::v4(vec![Style {
                accepting: true,
                ..linux
            }]),
            Home::Double => Self::v4(vec![linux.clone(), linux]),
            Home::ShortTimeout => Self::v4(vec![Style {
                life: (ms(20_000), ms(20_000)),
                ..linux
            }]),
            Home::Counting => Self::v4(vec![drawn(Ports::Sequential { step: 1 })]),
            Home::Block => Self::v4(vec![drawn(Ports::Random {
                first: 20_480,
                last: 22_527,
            })]),
            Home::Symmetric => Self::v4(vec![Style::RANDOM]),
            Home::SymmetricMapped => Self::v4(vec![Style {
                forwards: true,
                ..Style::RANDOM
            }]),
            Home::Six => Self::six(),
            Home::Nat64 => Self {
                nat64: Some(Style {
                    kind: Middlebox::Nat64,
                    ..Style::LINUX
                }),
                ..Self::six()
            },
            Home::Dual => Self {
                v6: Some(Style::FIREWALL),
                ..Self::v4(vec![linux])
            },
            Home::Blocked => Self {
                blocked: true,
                ..Self::v4(vec![linux])
            },
        }
    }
}

/// What a node was set up with, so that it can be restarted.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) plan: Plan,
    /// Lives with this node, behind the same router.
    pub(crate) with: Option<usize>,
    pub(crate) access: Access,
    pub(crate) relay_only: bool,
    pub(crate) guess_ports: bool,
    /// One way between the home and the core of the network.
    pub(crate) delay: Duration,
}

impl<T: Into<Plan>> From<T> for Setup {
    fn from(plan: T) -> Self {
        Self {
            plan: plan.into(),
            with: None,
            access: Access::Anyone,
            relay_only: false,
            guess_ports: true,
            delay: ms(20),
        }
    }
}

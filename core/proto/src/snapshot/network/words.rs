//! The network in words.

use std::fmt;

use super::{MappingProtocol, NatBehavior, NatReport, NetworkSnapshot, PortMapping, RefusalReason};
use crate::{Action, Side, addr::Scope};

impl NetworkSnapshot {
    /// The one thing that would help, if anything does.
    #[must_use]
    pub fn advice(&self) -> Option<Action> {
        let side = Side::Here;
        let is_hard = matches!(
            self.nat.mapping,
            NatBehavior::AddressDependent | NatBehavior::AddressAndPortDependent
        );
        if !is_hard {
            return None;
        }
        let refusal = self.port_refusal.map(|refusal| refusal.reason);
        match (self.port_mapping, refusal) {
            (Some(mapping), _) if Scope::of(mapping.external.ip()) == Scope::Global => None,
            (Some(_), _) | (None, Some(RefusalReason::NoPublicAddress)) => {
                Some(Action::PublicAddress { side })
            }
            (None, Some(_)) => Some(Action::PermitMapping { side }),
            (None, None) if self.interfaces_unread => Some(Action::ForwardPort { side }),
            (None, None) => Some(Action::MapPort { side: Some(side) }),
        }
    }
}

impl fmt::Display for NatReport {
    /// What the NAT does with ports, as the rest of a sentence about it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use super::PortAllocation as Ports;
        match (self.mapping, self.allocation) {
            (NatBehavior::Unknown, _) => f.write_str("has not been measured"),
            (NatBehavior::EndpointIndependent, _) => {
                f.write_str("keeps one port for all destinations")
            }
            (_, rule) => {
                f.write_str("gives every destination another port")?;
                match rule {
                    Ports::Unknown => Ok(()),
                    Ports::Sequential { step } => write!(f, ", {step:+} from the last"),
                    Ports::Random { first, last } => {
                        write!(f, ", at random between {first} and {last}")
                    }
                }
            }
        }
    }
}

impl fmt::Display for NatBehavior {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EndpointIndependent => "endpoint-independent",
            Self::AddressDependent => "address-dependent",
            Self::AddressAndPortDependent => "address-and-port-dependent",
            Self::Unknown => "unknown",
        })
    }
}

impl fmt::Display for PortMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.protocol, self.external)
    }
}

impl fmt::Display for MappingProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Upnp => "UPnP",
            Self::Pcp => "PCP",
            Self::NatPmp => "NAT-PMP",
            Self::Unknown => "another protocol",
        })
    }
}

//! What a node knows of the network around it.

mod words;

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::times::seconds;

/// What is known of the network the node is in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NetworkSnapshot {
    /// Addresses of this computer's interfaces that are offered to peers, with the socket's port.
    pub local: Vec<SocketAddr>,
    /// Our IPv4 address as a relay sees it.
    pub public_v4: Option<SocketAddr>,
    /// Our IPv6 address as a relay sees it.
    pub public_v6: Option<SocketAddr>,
    /// What nodes of the Mainline DHT say of that where no relay does: they are asked as long as the node has none.
    #[serde(default)]
    pub observed: Observed,
    /// How the router in front of us behaves (RFC 4787).
    pub nat: NatReport,
    /// What that was concluded from.
    #[serde(default)]
    pub nat_evidence: NatEvidence,
    /// Whether a translator leads from IPv6 to IPv4 (NAT64, RFC 6146).
    #[serde(default)]
    pub nat64: bool,
    /// A port that the router forwards to us.
    pub port_mapping: Option<PortMapping>,
    /// What the router answered that forwards none; none if it did not answer.
    #[serde(default)]
    pub port_refusal: Option<PortRefusal>,
    /// Whether the system refused to list the interfaces: only the addresses are known that packets to the internet leave from, and
    /// no router is asked for a port.
    #[serde(default)]
    pub interfaces_unread: bool,
    /// Why peers on the local network are not found by their id, nor find this node so, though they are meant to; in words.
    #[serde(default)]
    pub lan_trouble: Option<String>,
    /// Whether they are not meant to: the local network is neither searched nor told of this node.
    #[serde(default)]
    pub lan_off: bool,
    /// How it goes with publishing where this node is, as the program says that does so; none if none does.
    #[serde(default)]
    pub publishing: Option<String>,
    /// When the report was last brought up to date, milliseconds since the Unix epoch.
    pub checked_at_ms: Option<u64>,
}

/// Where strangers see a node that no relay sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Observed {
    /// Nobody is asked: there is a relay, or nobody who could be.
    #[default]
    Unasked,
    /// Not enough have answered yet.
    Asking,
    /// Three that agree see it at one address, so the port is the same for every destination.
    Same,
    /// Each sees it at another port: its router chooses one for each destination.
    Varies,
    /// None of them answers.
    Silent,
    /// Those that answer do not say.
    Untold,
    /// One that newer versions know.
    #[serde(other)]
    Unknown,
}

/// A NAT in the terms of RFC 4787.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::exhaustive_structs,
    reason = "RFC 4787 knows these two axes; programs make such reports to show them"
)]
pub struct NatReport {
    /// Section 4.1: whether the public port depends on the destination.
    pub mapping: NatBehavior,
    /// Section 5: whose packets are let in.
    pub filtering: NatBehavior,
    /// Section 4.2: which port a new mapping gets, where the mapping depends on the destination.
    #[serde(default)]
    pub allocation: PortAllocation,
}

/// What a [`NatReport`] was concluded from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NatEvidence {
    /// Relays that were asked by STUN (RFC 8489) where they see this node.
    pub asked: u32,
    /// Of those, the ones that answered.
    pub answered: u32,
    /// Of those, the ones that could be asked at two ports, as RFC 5780 wants it.
    pub two_ports: u32,
    /// The public ports that fresh sockets got, in the order in which they asked.
    pub ports: Vec<u16>,
}

/// How a NAT whose mapping depends on the destination chooses the public port of a new mapping (RFC 4787 section 4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[expect(
    clippy::exhaustive_enums,
    reason = "there is no third way to choose a port that could be made use of"
)]
pub enum PortAllocation {
    /// Each new mapping takes the port this many above the one before.
    Sequential {
        /// The distance, negative if ports count down; never 0.
        step: i8,
    },
    /// At random between two ports, both included; of some thousand ports at most, it is a block (RFC 7753).
    Random {
        /// The lowest port.
        first: u16,
        /// The highest port.
        last: u16,
    },
    /// Not measured, inconclusive, or of no interest because the port is the same for every destination.
    #[default]
    #[serde(other)]
    Unknown,
}

/// One axis of RFC 4787's classification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(
    clippy::exhaustive_enums,
    reason = "RFC 4787 names three behaviours and no more"
)]
pub enum NatBehavior {
    /// The same for every destination.
    EndpointIndependent,
    /// Depends on the destination's address.
    AddressDependent,
    /// Depends on the destination's address and port.
    AddressAndPortDependent,
    /// Not measured, or the measurement was inconclusive.
    #[default]
    #[serde(other)]
    Unknown,
}

/// A port that the router forwards to this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PortMapping {
    /// The protocol by which the router was asked.
    pub protocol: MappingProtocol,
    /// The address on the router's outside.
    pub external: SocketAddr,
    /// Remaining lifetime, whole seconds, if it ends at all.
    #[serde(default, rename = "expires_in_s", with = "seconds")]
    pub expires_in: Option<Duration>,
}

impl PortMapping {
    /// A mapping as a router granted it.
    #[must_use]
    pub fn new(
        protocol: MappingProtocol,
        external: SocketAddr,
        expires_in: Option<Duration>,
    ) -> Self {
        Self {
            protocol,
            external,
            expires_in,
        }
    }
}

/// A router's refusal to forward a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PortRefusal {
    /// The protocol by which it was asked.
    pub protocol: MappingProtocol,
    /// Its answer: a result code of PCP (RFC 6887 section 7.4) or NAT-PMP (RFC 6886 section 3.5), or an error code of UPnP.
    pub code: u16,
    /// What that means.
    pub reason: RefusalReason,
}

impl PortRefusal {
    /// The router said `code`, which means `reason`.
    #[doc(hidden)]
    #[must_use]
    pub fn new(protocol: MappingProtocol, code: u16, reason: RefusalReason) -> Self {
        Self {
            protocol,
            code,
            reason,
        }
    }
}

/// What a router's refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RefusalReason {
    /// It has no public address itself: its line is down, or another router or the provider's stands before it.
    NoPublicAddress,
    /// This computer may not have ports.
    Forbidden,
    /// No port, or none of those that it may give away, is left.
    NoFreePort,
    /// Something else, or it does not say.
    #[serde(other)]
    Other,
}

/// How a router is asked to forward a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum MappingProtocol {
    /// UPnP Internet Gateway Device.
    Upnp,
    /// Port Control Protocol, RFC 6887.
    Pcp,
    /// NAT Port Mapping Protocol, RFC 6886.
    NatPmp,
    /// One that newer versions know.
    #[serde(other)]
    Unknown,
}

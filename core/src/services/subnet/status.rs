//! How the links are, for whoever shows them.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;

use super::{Dropped, Refusal, Route};
use crate::PeerId;

/// A node's links.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The network device.
    pub device: String,
    /// The node's address on it.
    pub v4: Ipv4Addr,
    /// The same of IPv6; none if the system has no IPv6.
    pub v6: Option<Ipv6Addr>,
    /// What is in the way of those who want to reach this home's network, and what would help.
    pub hints: Vec<String>,
    /// The peers that are meant.
    pub links: BTreeMap<PeerId, LinkState>,
    /// Packets that did not pass.
    pub dropped: Dropped,
}

/// How the link to a peer is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkState {
    /// Whether packets go to it now. Its routes stay while they do not.
    pub is_up: bool,
    /// Its addresses, as they are reached from here.
    pub addresses: Vec<IpAddr>,
    /// What of its home is reached from here.
    pub routes: Vec<Route>,
    /// What is not, and why.
    pub refused: Vec<(IpNet, Refusal)>,
    /// Why it was not linked when it was last tried.
    pub trouble: Option<String>,
}

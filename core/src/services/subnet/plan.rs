//! What of that which a peer advertises is taken, as what, and why not: a pure function.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;

use super::{
    ranges::{alias, is_free, overlap},
    table::Route,
};
use crate::PeerId;

/// Why a range of a peer's is not reached, or one of ours not advertised.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Of what the peer advertises. Accept it explicitly.
    #[error("the peer advertises it, and it is not accepted here: `--accept {net}`")]
    NotAccepted {
        /// What.
        net: IpNet,
    },
    /// Of what is accepted here.
    #[error("it is accepted here, and the peer does not advertise it: `--advertise {net}` there")]
    NotAdvertised {
        /// What.
        net: IpNet,
    },
    /// Links join networks; they are no way to the internet.
    #[error("it would take the place of the default route: name the networks of that home instead")]
    Default,
    /// It is never reached by a router.
    #[error("it is for use within one computer or network only")]
    Special,
    /// The link would be its own way.
    #[error("the way to {what}, {addr}, would lead through the link itself: name a smaller range")]
    WayThere {
        /// Who is there.
        what: &'static str,
        /// Where.
        addr: IpAddr,
    },
    /// The first stays.
    #[error("another peer has {net} already: advertise different ranges, or link one of them")]
    Taken {
        /// That peer's range, as it is seen here.
        net: IpNet,
    },
    /// Only smaller ones can be mapped.
    #[error(
        "this computer has {net} too, and there is no free range of that size to map it to: name a smaller range"
    )]
    NoRoom {
        /// What is here.
        net: IpNet,
    },
    /// The kernel has its own reasons.
    #[error("the system does not take a route to it: {reason}")]
    System {
        /// What it says.
        reason: String,
    },
}

/// Addresses without which the link would not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Needed {
    pub(super) what: &'static str,
    pub(super) addr: IpAddr,
}

/// What is here already.
#[derive(Clone, Copy, Debug)]
pub(super) struct Here<'a> {
    /// Networks of this computer, and ranges that it advertises.
    pub(super) networks: &'a [IpNet],
    /// What other peers have.
    pub(super) routes: &'a [Route],
    pub(super) needed: &'a [Needed],
    pub(super) accepted: &'a [IpNet],
}

/// What became of what a peer has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) routes: Vec<Route>,
    pub(super) refused: Vec<(IpNet, Refusal)>,
}

/// What of `addresses` and `advertised` of a peer is reached from here.
pub(super) fn plan(
    peer: PeerId,
    addresses: &[IpAddr],
    advertised: &[IpNet],
    here: Here<'_>,
) -> Plan {
    let mut plan = Plan::default();
    for addr in addresses {
        plan.add(peer, IpNet::from(*addr), here);
    }
    for net in advertised {
        let meant = meant(*net, here.accepted);
        if meant.is_empty() {
            plan.refused
                .push((*net, Refusal::NotAccepted { net: *net }));
        }
        for net in meant {
            plan.add(peer, net, here);
        }
    }
    plan
}

/// What is accepted of a range: all, or the parts that are named.
fn meant(net: IpNet, accepted: &[IpNet]) -> Vec<IpNet> {
    if accepted.iter().any(|accepted| accepted.contains(&net)) {
        return vec![net];
    }
    let parts = accepted.iter().filter(|accepted| net.contains(*accepted));
    parts.copied().collect()
}

impl Plan {
    fn add(&mut self, peer: PeerId, net: IpNet, here: Here<'_>) {
        match self.seen_as(peer, net, here) {
            Ok(seen_as) => {
                let route = Route { peer, net, seen_as };
                if !self.routes.contains(&route) {
                    self.routes.push(route);
                }
            }
            Err(why) => self.refused.push((net, why)),
        }
    }

    fn seen_as(&self, peer: PeerId, net: IpNet, here: Here<'_>) -> Result<IpNet, Refusal> {
        check(net)?;
        let others = here.routes.iter().filter(|route| route.peer != peer);
        let others: Vec<_> = others.map(|route| route.seen_as).collect();
        let ours = here.networks.iter().find(|ours| overlap(net, **ours));
        let Some(ours) = ours else {
            if let Some(other) = others.iter().find(|other| overlap(net, **other)) {
                return Err(Refusal::Taken { net: *other });
            }
            let needed = here.needed.iter().find(|it| net.contains(&it.addr));
            return match needed {
                Some(Needed { what, addr }) => Err(Refusal::WayThere { what, addr: *addr }),
                None => Ok(net),
            };
        };
        let own = self.routes.iter().map(|route| route.seen_as);
        let needed = here.needed.iter().map(|it| IpNet::from(it.addr));
        let taken = here.networks.iter().copied();
        let taken: Vec<_> = taken.chain(others).chain(own).chain(needed).collect();
        let stands = alias(peer, net, &taken).filter(|alias| is_free(*alias, &taken));
        stands.ok_or(Refusal::NoRoom { net: *ours })
    }
}

/// Whether a range can be linked at all.
pub(super) fn check(net: IpNet) -> Result<(), Refusal> {
    if net.prefix_len() == 0 {
        return Err(Refusal::Default);
    }
    let special = [
        "0.0.0.0/8",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "224.0.0.0/3",
        "::/96",
        "fe80::/10",
        "ff00::/8",
    ];
    let mut special = special.iter().filter_map(|net| net.parse().ok());
    // The halves of everything are everything.
    if net.prefix_len() == 1 {
        return Err(Refusal::Default);
    }
    match special.any(|special| overlap(net, special)) {
        true => Err(Refusal::Special),
        false => Ok(()),
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.net == self.seen_as {
            write!(f, "{}", self.net)
        } else {
            write!(f, "{} (there {})", self.seen_as, self.net)
        }
    }
}

#[cfg(test)]
mod tests;

//! What a node's sockets do about the families of addresses, so that its machine sees plain ones.

use std::net::SocketAddr;

use super::{
    World,
    nat::{nat64, v4_of},
};
use crate::{
    addr::{Families, Nat64},
    io::Input,
};

impl World {
    /// Tells a machine which families lead anywhere, and of its translator.
    pub(super) fn tell_routes(&mut self, at: usize) {
        let [v4, v6] = [true, false].map(|v4| self.net.address(at, v4).is_some());
        let known = nat64([192, 0, 0, 170].into(), 0);
        let nat64 = match known {
            SocketAddr::V6(known) if self.is_translated(at) => Nat64::of_ipv4only_arpa(*known.ip()),
            SocketAddr::V4(_) | SocketAddr::V6(_) => None,
        };
        let families = Families { v4, v6 };
        self.feed(at, Input::Routes { families, nat64 });
    }

    /// Where a packet to this address is really sent.
    pub(super) fn outward(&self, at: usize, to: SocketAddr) -> SocketAddr {
        match to {
            SocketAddr::V4(v4) if self.is_translated(at) => nat64(*v4.ip(), v4.port()),
            SocketAddr::V4(_) | SocketAddr::V6(_) => to,
        }
    }

    /// Where a packet from this address is from.
    pub(super) fn inward(&self, at: usize, from: SocketAddr) -> SocketAddr {
        let inner = v4_of(from).filter(|_| self.is_translated(at));
        inner.unwrap_or(from)
    }

    fn is_translated(&self, at: usize) -> bool {
        let site = &self.net.sites[self.nodes[at].site];
        site.nat64.is_some() && self.net.address(at, true).is_none()
    }
}

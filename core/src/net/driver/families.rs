//! Both families of addresses: which of them lead anywhere, and where relays see us in the one that we are not registered in.

use std::net::SocketAddr;

use futures_util::{FutureExt, future::abortable};

use super::{Done, Driver, now};
use crate::{
    addr::{Families, Nat64},
    net::{nat64, stun},
    proto::io::Input,
};

impl Driver {
    /// The network is another one, with routes in these families.
    pub(super) fn take_routes(&mut self, families: Families) {
        let translated = families.v6 && !families.v4;
        let nat64 = self.machine.local().nat64.filter(|_| translated);
        self.mux.set_nat64(nat64);
        self.feed(Input::Routes { families, nat64 });
        if let Some(search) = self.nat64.take() {
            search.abort();
        }
        if translated {
            let (search, handle) = abortable(nat64::discover());
            self.nat64 = Some(handle);
            self.pending.push(Box::pin(search.map(Done::Nat64)));
        }
        self.relays.on_network_changed(now());
    }

    /// The network was asked for its translator to IPv4.
    pub(super) fn on_nat64(&mut self, nat64: Option<Nat64>) {
        let families = self.gathering.interfaces.routes;
        if families.v4 || nat64 == self.machine.local().nat64 {
            return;
        }
        tracing::debug!(found = nat64.is_some(), "translator to IPv4");
        self.mux.set_nat64(nat64);
        self.feed(Input::Routes { families, nat64 });
        // What was unreachable may be reachable now, and a relay may go by another address.
        self.relays_network_changed();
    }

    /// Takes the answer where a relay sees us in the other family; false if it is none.
    pub(super) fn on_echo(&mut self, source: SocketAddr, response: &stun::Response) -> bool {
        let Some(relay) = self.relays.on_stun(now(), source, response.tx) else {
            return false;
        };
        let addr = response.mapped;
        self.feed(Input::AlsoObserved { relay, addr });
        self.dirty = true;
        true
    }
}

//! Both families of addresses: which of them lead anywhere, and where relays see us in the one that we are not registered in.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::abortable};

use super::{Done, Driver, now};
use crate::{
    RelayState, RelayUrl,
    addr::{Families, Nat64},
    net::{nat64, stun},
    proto::io::{Input, Pair},
};

/// Below the 30 s that a NAT keeps an idle UDP mapping.
const REFRESH: Duration = Duration::from_secs(25);
/// A question is repeated after this long, so often, and then with the next refreshment.
const REPEAT: Duration = Duration::from_secs(1);
const TRIES: u32 = 3;

/// A relay's address in the family in which we are not registered, and when it is asked where it sees us.
#[derive(Debug)]
pub(super) struct Echo {
    addr: SocketAddr,
    tx: [u8; 12],
    next: Instant,
    /// Questions without an answer.
    tries: u32,
    is_known: bool,
}

impl Echo {
    pub(super) fn new(addr: SocketAddr) -> Self {
        Self {
            addr,
            tx: [0; 12],
            next: now(),
            tries: 0,
            is_known: false,
        }
    }
}

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
        for relay in self.relays.values_mut() {
            if let Some(echo) = &mut relay.echo {
                (echo.tries, echo.next) = (0, now());
            }
        }
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

    /// Asks relays where they see us in the other family, as often as it takes to know it and, while there are links, to
    /// keep it so.
    pub(super) fn ask_for_echoes(&mut self) {
        let (now, in_use) = (now(), !self.links.is_empty());
        for relay in self.relays.values_mut() {
            let is_up = relay.state == RelayState::Up;
            let Some(echo) = relay.echo.as_mut().filter(|_| is_up) else {
                continue;
            };
            if echo.next > now
                || (echo.is_known && !in_use)
                || getrandom::fill(&mut echo.tx).is_err()
            {
                continue;
            }
            echo.tries += 1;
            echo.next = now + if echo.tries < TRIES { REPEAT } else { REFRESH };
            let request = stun::binding_request(echo.tx, false);
            let sent = self.mux.send_message(Pair::main(echo.addr), None, &request);
            if let Err(error) = sent {
                tracing::trace!(to = %echo.addr, %error, "cannot ask");
            }
        }
    }

    /// Takes the answer to such a question; false if it is none.
    pub(super) fn on_echo(&mut self, source: SocketAddr, response: &stun::Response) -> bool {
        let mut answered: Option<RelayUrl> = None;
        for (url, relay) in &mut self.relays {
            if let Some(echo) = &mut relay.echo
                && (echo.addr, echo.tx) == (source, response.tx)
            {
                (echo.tries, echo.next, echo.is_known) = (0, now() + REFRESH, true);
                answered = Some(url.clone());
            }
        }
        let Some(relay) = answered else { return false };
        let addr = response.mapped;
        self.feed(Input::AlsoObserved { relay, addr });
        self.dirty = true;
        true
    }
}

//! Relays: what happens at them, and what they say of our addresses.

use std::{net::SocketAddr, time::Instant};

use futures_util::FutureExt;

use super::{Done, Driver, now};
use crate::{
    PeerId, RelayUrl,
    addr::{Families, Nat64},
    net::{
        hops::hops_to,
        nat64,
        relay::{Deed, Happened, RelayEvent},
        stun,
    },
    proto::{
        io::{Input, Pair, Sock},
        nat::schedule::Surroundings,
    },
};

/// Messages to a relay that is not up are dropped; the machine repeats what matters.
impl Driver {
    /// Does what is to be done about relays.
    pub(super) fn drive_relays(&mut self) {
        while let Some(deed) = self.registrations.poll_deed() {
            self.view.touch();
            match deed {
                Deed::Done => {}
                Deed::Left(relay, goodbye) => {
                    let goodbye = goodbye.map(|link| link.map(Done::RelayLeft).boxed());
                    self.pending.extend(goodbye);
                    self.feed(Input::RelayDown { relay });
                }
                Deed::Measure { through } => self.nat.schedule.on_relay(now(), through),
                Deed::Distrust { addr } => self.nat.schedule.on_distrust(now(), addr),
                Deed::DoubtMappings => self.gathering.doubt_mappings(),
                Deed::Tell(event) => self.tell(event),
            }
        }
    }

    pub(super) fn on_relay_event(&mut self, url: RelayUrl, event: RelayEvent) {
        let happened = (self.registrations).on_event(now(), url, event, &mut self.machine);
        self.view.touch();
        self.drive_relays();
        match happened {
            Happened::Nothing => {}
            Happened::Up(addr) => (self.pending).push(hops_to(addr).map(Done::Hops).boxed()),
            Happened::Down => self.refuse_impostors(),
        }
    }

    /// Has a relay pass something on; if `hidden`, without our address.
    pub(super) fn signal(
        &mut self,
        relay: &RelayUrl,
        (to, hidden): (PeerId, bool),
        bytes: Vec<u8>,
    ) {
        if !self.registrations.signal(relay, (to, hidden), bytes) {
            return;
        }
        self.link(to);
        self.registrations.relays.on_link_needs(to, relay);
        // Whoever we talk to through a relay may use its lane.
        if let Some(addr) = self.registrations.lane_addr(relay) {
            self.admit_lane(to, addr);
        }
    }

    /// Ends the dials that can only go through relays in whose place somebody else answers.
    pub(super) fn refuse_impostors(&mut self) {
        let relays = &self.registrations.relays;
        let links = self.links.iter().filter(|(_, link)| link.waits_for_relay());
        let hopeless = links.filter(|(peer, _)| relays.is_hopeless(*peer));
        let hopeless: Vec<PeerId> = hopeless.map(|(peer, _)| peer).collect();
        for peer in hopeless {
            let error = self.registrations.trouble(peer);
            self.fail_with(peer, &error);
        }
    }

    /// Asks what is to be asked about the NAT, and tells the machine what came of it.
    pub(super) fn drive_nat(&mut self, now: Instant) {
        let local = &self.gathering.interfaces.addresses;
        let relays = &self.registrations.relays;
        let (reports, changed) = self.nat.drive(now, || Surroundings {
            local: local.iter().map(|local| local.ip).collect(),
            relays: relays.trusted_with_nat(),
        });
        if changed {
            self.view.touch();
        }
        for report in reports {
            self.feed(Input::Nat(report));
        }
    }

    /// Asks strangers where they see us as long as no relay says it.
    pub(super) fn drive_observers(&mut self, now: Instant) {
        let is_needed = self.machine.local().relays.is_empty();
        let before = self.nat.observers.observed();
        let seen = self.nat.observe(now, is_needed);
        if self.nat.observers.observed() != before {
            self.view.touch();
        }
        if let Some(seen) = seen {
            tracing::debug!(known = seen.is_some(), "where nodes of the DHT see us");
            self.feed(Input::Seen(seen));
            self.view.touch();
        }
    }

    /// Asks a relay where it sees one of our sockets.
    pub(super) fn sample_mapping(&mut self, sock: Sock, relay: &RelayUrl) {
        let relay = self.registrations.relays.get(relay);
        if let Some(addr) = relay.and_then(|relay| relay.addr) {
            self.nat.sample(Pair { sock, addr });
        }
    }

    pub(super) fn on_stun(&mut self, sock: Sock, source: SocketAddr, bytes: &[u8]) {
        let response = match stun::parse_response(bytes) {
            Ok(response) => response,
            Err(error) => return tracing::trace!(%error, "STUN"),
        };
        let relays = &mut self.registrations.relays;
        let echo = || relays.on_stun(now(), source, response.tx);
        if let Some(relay) = (sock == Sock::MAIN).then(echo).flatten() {
            let addr = response.mapped;
            self.feed(Input::AlsoObserved { relay, addr });
            return self.view.touch();
        }
        let from = Pair { sock, addr: source };
        if let Some(addr) = self.nat.on_response(now(), from, &response) {
            self.feed(Input::Sampled { sock, addr });
        }
    }

    /// The network is another one, with routes in these families.
    pub(super) fn take_routes(&mut self, families: Families) {
        let translated = families.v6 && !families.v4;
        let nat64 = self.machine.local().nat64.filter(|_| translated);
        self.mux.set_nat64(nat64);
        self.feed(Input::Routes { families, nat64 });
        self.nat64 = translated.then(|| {
            let (search, found) = nat64::Search::begin();
            self.pending.push(found.map(Done::Nat64).boxed());
            search
        });
        self.registrations.relays.on_network_changed(now());
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
        self.registrations.network_changed();
    }
}

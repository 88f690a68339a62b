//! Links to peers, as the machine decides.

use std::net::SocketAddr;

use futures_util::FutureExt;

use super::{Done, Driver, now};
use crate::{
    Access, ConnectError, Connection, EventKind, PathPolicy, PeerId, Ticket,
    net::{
        dial::{Dialled, Reply},
        links::{Closed, PeerLink},
        mux::Dest,
        search::{News, Searched},
        tcp::Offer,
    },
    proto::{
        self,
        admission::CallId,
        endpoint::PeerView,
        io::{Failure, Input, Pair, Sock},
        liveness,
        timing::MAX_CALLED_BACK,
    },
    wire::lane::Channel,
};

impl Driver {
    /// The peer's link, made if there is none.
    pub(super) fn link(&mut self, peer: PeerId) -> &mut PeerLink {
        self.registrations.relays.on_link(peer);
        self.links.of(peer)
    }

    /// Begins to dial.
    pub(super) fn dial(&mut self, target: &Ticket, alpn: &[u8], reply: Reply) {
        if reply.is_closed() {
            return;
        }
        let crypto = match self.clients.get(&self.key, alpn) {
            Ok(crypto) => crypto,
            Err(error) => return drop(reply.send(Err(error.into()))),
        };
        let peer = target.id();
        self.link(peer);
        let dial = self.links.dial(peer, self.quic.clone(), crypto, reply);
        self.pending.push(Box::pin(dial.map(Done::Dialled)));
        let policy = self.machine.policy(peer);
        if let Some(searched) = self.looking.begin(target, policy) {
            self.pending.push(Box::pin(searched.map(Done::Searched)));
        }
        if policy != PathPolicy::RelayOnly {
            self.look_for(peer);
        }
        self.call(target);
    }

    /// Tries what is known of where a dialled peer is.
    fn call(&mut self, target: &Ticket) {
        let peer = target.id();
        let relays = self.registrations.for_ticket(target);
        self.link(peer).has_addrs |= !target.addrs().is_empty();
        for relay in &relays {
            self.registrations.relays.on_link_needs(peer, relay);
        }
        self.feed(Input::Connect {
            peer,
            relays,
            addrs: target.addrs().to_vec(),
        });
        self.refuse_impostors();
    }

    /// A program found something out about a peer that is dialled, or ends its search.
    pub(super) fn on_searched(&mut self, searched: Searched) {
        if !self.looking.is_on(&searched) {
            return;
        }
        let Searched { peer, news, .. } = searched;
        let reason = match news {
            Some((News::Found(ticket), told)) => {
                let next = self.looking.wait(peer, told);
                self.pending.push(Box::pin(next.map(Done::Searched)));
                self.links.look_elsewhere(peer);
                return self.call(&ticket);
            }
            Some((News::Called { addrs, patience }, told)) => {
                let next = self.looking.wait_on(peer, told);
                self.pending.push(Box::pin(next.map(Done::Searched)));
                self.links.be_patient(peer, now() + patience);
                self.view.touch_peers([peer]);
                self.view.touch();
                if self.machine.policy(peer) != PathPolicy::RelayOnly {
                    self.open_nat(&addrs);
                }
                return;
            }
            Some((News::InVain(reason), _)) => Some(reason),
            None => None,
        };
        if let Some(error) = self.looking.give_up(peer, reason) {
            self.fail_with(peer, &error);
        }
    }

    /// Lets through our own NAT what comes from these addresses. They are a peer's word, so each is sent one byte.
    fn open_nat(&self, addrs: &[SocketAddr]) {
        let local = self.machine.local();
        let some = addrs.iter().filter(|addr| local.may_call_back(**addr));
        for addr in some.take(MAX_CALLED_BACK) {
            let ttl = Some(local.low_ttl(*addr));
            self.mux.send_or_lose(Pair::main(*addr), ttl, &[0]);
        }
    }

    pub(super) fn on_dialled(&mut self, dialled: Dialled) {
        let Dialled {
            peer,
            number,
            outcome,
        } = dialled;
        if self.links.end_dial(peer, number) {
            self.looking.end(peer);
        }
        if let Some((outcome, reply)) = outcome {
            if let Ok(connection) = &outcome {
                self.adopt(connection.clone(), None);
            }
            let _ = reply.send(outcome);
        }
        self.release_unused(peer);
    }

    pub(super) fn admit(&mut self, peer: PeerId, addr: SocketAddr) {
        self.link(peer);
        self.links.admit(peer, addr);
    }

    /// Which paths may carry the peer's packets from now on, both ways.
    pub(super) fn set_policy(&mut self, peer: PeerId, policy: PathPolicy) {
        let was = self.machine.policy(peer);
        self.feed(Input::Policy { peer, policy });
        let is = self.machine.policy(peer);
        if is == PathPolicy::DirectOnly {
            let channel = Channel::between(self.key.id(), peer);
            return self.mux.close_channel(channel);
        }
        if was != PathPolicy::DirectOnly || self.links.get(peer).is_none() {
            return;
        }
        let registrations = &self.registrations;
        let relays = registrations.relays.of_link(peer);
        let lanes: Vec<_> = relays
            .filter_map(|it| registrations.lane_addr(it))
            .collect();
        for relay in lanes {
            self.admit_lane(peer, relay);
        }
    }

    /// Takes the peer's packets from this relay's lane, those included that came too early; none where only direct paths are wanted.
    pub(super) fn admit_lane(&mut self, peer: PeerId, relay: SocketAddr) {
        if self.machine.policy(peer) == PathPolicy::DirectOnly {
            return;
        }
        let channel = Channel::between(self.key.id(), peer);
        let link = self.link(peer).link.clone();
        self.mux.admit_channel(relay, channel, &link);
        for packet in self.early.take(relay, channel) {
            self.mux.inject(link.handle(), packet);
        }
    }

    pub(super) fn set_route(&mut self, peer: PeerId, route: &proto::io::Route) {
        use proto::io::Route as Decided;
        let channel = Channel::between(self.key.id(), peer);
        let (direct, relay) = match route {
            Decided::Direct(pair) => (Some(*pair), None),
            Decided::Relay(relay) => (None, Some(relay)),
            Decided::Both(pair, relay) => (Some(*pair), Some(relay)),
            Decided::Nowhere => (None, None),
        };
        (self.registrations.relays).on_route(now(), peer, relay);
        if direct.is_some() && relay.is_some() {
            self.registrations.check(peer);
        }
        let lane = relay.and_then(|relay| self.registrations.lane_addr(relay));
        if let Some(addr) = lane {
            self.admit_lane(peer, addr);
        }
        let lane = lane.map(|relay| Dest::Lane { relay, channel });
        self.link(peer);
        self.links.set_route(now(), peer, direct, lane);
        self.view.touch();
    }

    /// The link is over.
    pub(super) fn forget(&mut self, peer: PeerId) {
        if self.links.forget(peer) {
            self.registrations.relays.on_link_over(now(), peer);
            self.view.touch();
        }
    }

    pub(super) fn fail(&mut self, peer: PeerId, failure: &Failure) {
        let policy = self.machine.policy(peer);
        let unsearched = self.gathering.unsearched();
        let error = (self.registrations).explain(peer, failure, policy, unsearched);
        if let Some(error) = self.looking.defer(peer, error) {
            self.fail_with(peer, &error);
        }
    }

    /// Tells everybody who waits for the peer why it was in vain.
    pub(super) fn fail_with(&mut self, peer: PeerId, error: &ConnectError) {
        self.links.fail(peer, error);
        self.release_unused(peer);
    }

    /// A dial or a connection is over; without others nobody needs the link.
    pub(super) fn release_unused(&mut self, peer: PeerId) {
        if self.links.is_unused(peer) {
            self.feed(Input::Release { peer });
        }
    }

    /// Lets in others than before. What the others had opened ends at once.
    pub(super) fn set_access(&mut self, access: Access) {
        let dialled = self.links.set_access(&access);
        self.feed(Input::Access { access, dialled });
    }

    /// A connection stands; `call` names it unless we dialled it.
    pub(super) fn adopt(&mut self, connection: Connection, call: Option<CallId>) {
        let peer = connection.peer();
        let alpn = String::from_utf8_lossy(connection.alpn()).into_owned();
        self.link(peer);
        let closed = self.links.adopt(connection, call, now());
        self.pending.push(Box::pin(closed.map(Done::Closed)));
        self.feed(Input::Connected { peer });
        self.tell(EventKind::Connected {
            peer,
            alpn,
            outgoing: call.is_none(),
        });
    }

    pub(super) fn on_closed(&mut self, closed: Closed) {
        let Some(open) = self.links.on_closed(&closed) else {
            return;
        };
        let Closed { peer, reason, .. } = closed;
        self.view.touch_peers([peer]);
        if let Some(call) = open.call {
            self.calls.end(call);
            self.outlets.accepted.remove(open.id());
        }
        self.release_unused(peer);
        self.tell(EventKind::Disconnected {
            peer,
            alpn: open.alpn,
            reason,
        });
    }

    pub(super) fn update_status(&self, view: &PeerView) {
        if let Some(why) = self.links.update_status(view) {
            let (peer, why) = (view.id, Box::new(why));
            self.send_event(EventKind::Explained { peer, why });
        }
    }

    /// Has links looked at that are due, and does what that shows to be necessary.
    pub(super) fn drive_liveness(&mut self) {
        let machine = &self.machine;
        for event in self.links.look(now(), |peer| machine.direct_heard(peer)) {
            match event {
                liveness::Event::Silence {
                    peer,
                    since,
                    sent,
                    rtt,
                } => self.feed(Input::Silence {
                    peer,
                    since,
                    sent,
                    rtt,
                }),
                liveness::Event::CheckRelays { peer } => self.registrations.check(peer),
                liveness::Event::Look { .. } | liveness::Event::Unwatch { .. } => {}
            }
        }
    }

    /// Listens. Behind a NAT nobody could come in, and a port that answers would only show that we are there.
    pub(super) fn listen(&mut self) {
        if self.machine.local().may_be_reached()
            && let Some(listening) = self.tcp.listen()
        {
            self.feed(Input::Listening(listening));
        }
    }

    pub(super) fn dial_tcp(&mut self, peer: PeerId, addr: SocketAddr) {
        if let Some(dial) = self.tcp.dial(peer, addr) {
            self.pending.push(Box::pin(dial.map(Done::TcpDialled)));
        }
    }

    /// Asks the machine whether a TCP connection is of use.
    pub(super) fn on_offer(&mut self, offer: Option<Offer>) {
        if let Some(offer) = offer {
            self.feed(offer.into_input());
        }
    }

    /// The machine wants it.
    pub(super) fn take_tcp(&mut self, peer: PeerId, sock: Sock) {
        if !self.tcp.is_offered(sock) {
            return;
        }
        let link = self.link(peer).link.clone();
        if let Some(carried) = self.tcp.take(peer, sock, link) {
            self.pending.push(Box::pin(carried.map(Done::TcpEnded)));
        }
    }

    /// The machine does not want it, or no more.
    pub(super) fn close_tcp(&mut self, sock: Sock) {
        if let Some(left) = self.tcp.close(sock) {
            self.pending.push(Box::pin(left.map(Done::TcpClosed)));
        }
    }

    pub(super) fn on_tcp_ended(&mut self, tcp: Pair) {
        if let Some(peer) = self.tcp.on_ended(tcp) {
            self.feed(Input::TcpDown { peer, tcp });
        }
    }
}

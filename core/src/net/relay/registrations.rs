//! The registrations of a node, as [`Relays`] orders: a task for each relay, and the way to it in the mux.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Instant};

use futures_util::{FutureExt, future::BoxFuture};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use super::{
    Answer, Question, RelayError, RelayEvent, RelayHandle, Standing, Streams, dht::Asks, spawn_with,
};
use crate::{
    ConnectError, EventKind, LanError, PathPolicy, PeerId, RelayState, RelayUrl, SecretKey, Ticket,
    net::{
        GOODBYE,
        clock::unix_ms,
        mux::{Dest, Destinations, Link, LinkHandle, Mux, virtual_addr},
        stun,
    },
    proto::{
        endpoint::Machine,
        io::{Failure, Input, Pair},
        relays::{Order, Relay, Relays},
        timing::CONNECT_TIMEOUT,
    },
    wire::relay::{GoneReason, Payload},
};

/// Events that may wait for us.
const QUEUE: usize = 256;

/// See the [module](self).
pub(crate) struct Registrations {
    /// What is thought of relays, and wanted of them.
    pub(crate) relays: Relays,
    key: SecretKey,
    mux: Arc<Mux>,
    quic: quinn::Endpoint,
    /// By which relays are reached where UDP is not; none if there is to be no TCP.
    streams: Option<Arc<Streams>>,
    /// Whether we only visit: no relay is our home.
    visits: bool,
    by_url: BTreeMap<RelayUrl, Registration>,
    asks: Asks,
    events: mpsc::Receiver<(RelayUrl, RelayEvent)>,
    sender: mpsc::Sender<(RelayUrl, RelayEvent)>,
}

/// What was done, or is for others to do.
pub(crate) enum Deed {
    Done,
    /// A relay was left; the future ends when the goodbye has had time, with a link to be dropped.
    Left(RelayUrl, Option<BoxFuture<'static, LinkHandle>>),
    /// The NAT can be measured through this address.
    Measure {
        through: SocketAddr,
    },
    /// What was said at this address of the NAT may be false.
    Distrust {
        addr: SocketAddr,
    },
    /// Routers may have forgotten what they granted.
    DoubtMappings,
    /// Tell whoever listens.
    Tell(EventKind),
}

/// What happened at a relay, as far as it is not only the machine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    Nothing,
    /// We are registered with the relay at this address.
    Up(SocketAddr),
    /// We are not, and another try follows.
    Down,
}

fn silence(relay: RelayUrl, silent: bool) -> Input<'static> {
    Input::RelaySilent { relay, silent }
}

/// A relay did not pass a message on.
fn on_gone(now: Instant, relay: RelayUrl, peer: PeerId, reason: GoneReason, machine: &mut Machine) {
    match reason {
        GoneReason::NotRegistered => machine.handle(now, Input::RelayGone { relay, peer }),
        GoneReason::Busy => machine.handle(now, Input::RelayBusy { relay, peer }),
        // It may be there all the same: the hello is repeated when its time is up.
        GoneReason::Refused | _ => {
            tracing::debug!(peer = %peer.short(), ?reason, "a relay did not pass a message on");
        }
    }
}

/// A registration with a relay, or the tries to get one.
struct Registration {
    /// Relays at one address, of which one at most is what it is said to be, share it; quinn tells them apart.
    link: Arc<Link>,
    handle: RelayHandle,
    error: Option<RelayError>,
}

impl Registrations {
    pub(crate) fn new(
        key: SecretKey,
        mux: Arc<Mux>,
        quic: quinn::Endpoint,
        streams: Option<Arc<Streams>>,
        visits: bool,
    ) -> Self {
        let (sender, events) = mpsc::channel(QUEUE);
        Self {
            relays: Relays::new(ChaCha20Rng::from_os_rng().random()),
            key,
            mux,
            quic,
            streams,
            visits,
            by_url: BTreeMap::new(),
            asks: Asks::default(),
            events,
            sender,
        }
    }

    /// What happens next at any of them.
    pub(crate) async fn next(&mut self) -> Option<(RelayUrl, RelayEvent)> {
        self.events.recv().await
    }

    /// Does the next thing that is to be done about relays, or says who is to.
    pub(crate) fn poll_deed(&mut self) -> Option<Deed> {
        Some(match self.relays.poll_order()? {
            Order::Register { relay } => self.register(relay),
            Order::Settle { relay } => self.settle(&relay),
            Order::Leave { relay } => self.leave_for_now(&relay),
            Order::Deregister { relay } => self.deregister(relay),
            Order::Dial {
                relay,
                addr,
                before,
            } => self.dial(&relay, addr, before),
            Order::AskStun { to, tx } => self.ask_stun(to, tx),
            Order::Measure { through } => Deed::Measure { through },
            Order::Distrust { addr } => Deed::Distrust { addr },
            Order::DoubtMappings => Deed::DoubtMappings,
            Order::Event(event) => Deed::Tell(event),
        })
    }

    /// Tells the machine, and [`Relays`], what happened at a relay.
    pub(crate) fn on_event(
        &mut self,
        now: Instant,
        url: RelayUrl,
        event: RelayEvent,
        machine: &mut Machine,
    ) -> Happened {
        let Some(registration) = self.by_url.get_mut(&url) else {
            return Happened::Nothing;
        };
        match event {
            RelayEvent::Resolved { addr, other } => {
                let addr = self.mux.inward(addr);
                let other = other.map(|other| self.mux.inward(other));
                let local = machine.local();
                self.relays.on_resolved(now, &url, addr, other, local);
            }
            RelayEvent::Up {
                rtt,
                observed,
                relay_time_ms,
                over,
            } => {
                registration.error = None;
                // Another connection than the one by which it was asked before.
                self.asks.on_lost(&url);
                let Some(addr) = self.relays.on_up(now, &url, rtt, observed, over) else {
                    return Happened::Nothing;
                };
                let up = Input::RelayUp {
                    relay: url,
                    addr,
                    observed,
                    unix_ms: relay_time_ms,
                    own_ms: unix_ms(),
                };
                machine.handle(now, up);
                return Happened::Up(addr);
            }
            RelayEvent::Rtt(rtt) => {
                self.relays.on_rtt(now, &url, rtt);
                machine.handle(now, silence(url, false));
            }
            RelayEvent::Silent => machine.handle(now, silence(url, true)),
            RelayEvent::Draining => {
                self.relays.on_draining(now, &url);
                machine.handle(now, Input::RelayDraining { relay: url });
            }
            RelayEvent::Moved { to } => self.on_moved(now, url, &to, machine),
            RelayEvent::Observed(addr) => {
                self.relays.on_observed(&url, addr);
                machine.handle(now, Input::Observed { relay: url, addr });
            }
            RelayEvent::Deliver {
                from,
                attested,
                payload,
                ..
            } => {
                let message = Input::RelayMessage {
                    relay: url,
                    from,
                    attested,
                    bytes: &payload,
                };
                machine.handle(now, message);
            }
            RelayEvent::Gone { peer, reason } => on_gone(now, url, peer, reason, machine),
            RelayEvent::Unreached { peer } => {
                machine.handle(now, Input::RelayUnreached { relay: url, peer });
            }
            RelayEvent::Item { ask, item } => self.asks.on_answer(&url, ask, Answer::Item(item)),
            RelayEvent::Dealt { ask, outcome } => {
                self.asks.on_answer(&url, ask, Answer::Dealt(outcome));
            }
            RelayEvent::Down { error, .. } => {
                self.asks.on_lost(&url);
                let is_impostor = matches!(error, RelayError::IdentityMismatch);
                let reason = error.to_string();
                registration.error = Some(error);
                self.relays.on_down(now, &url, reason, is_impostor);
                machine.handle(now, Input::RelayDown { relay: url });
                return Happened::Down;
            }
        }
        Happened::Nothing
    }

    fn on_moved(&mut self, now: Instant, relay: RelayUrl, to: &RelayUrl, machine: &mut Machine) {
        if let Some(to) = self.relays.on_moved(now, &relay, to) {
            machine.handle(now, Input::RelayMoved { relay, to });
        }
    }

    /// Where a peer is to be asked for: at the relays of its ticket, by the names that we know them by, or else at ours.
    pub(crate) fn for_ticket(&self, ticket: &Ticket) -> Vec<RelayUrl> {
        let theirs = ticket.relays().iter();
        let theirs = theirs.flat_map(|relay| self.relays.met_at(relay));
        if ticket.relays().is_empty() {
            self.relays.home().to_vec()
        } else {
            theirs.cloned().collect()
        }
    }

    /// Why a peer is not reached, for a dialler. `policy` says which paths are wanted to it, and `unsearched` why our
    /// network was not searched, if it was not.
    pub(crate) fn explain(
        &self,
        peer: PeerId,
        failure: &Failure,
        policy: PathPolicy,
        unsearched: Option<LanError>,
    ) -> ConnectError {
        match failure {
            Failure::Offline(relay) => ConnectError::Offline {
                relay: relay.clone(),
            },
            Failure::Busy(_) => ConnectError::Busy,
            Failure::Unreached(relay) => ConnectError::Unreached {
                relay: relay.clone(),
            },
            Failure::NoAddress => match unsearched {
                Some(source) => ConnectError::NotSearched { source },
                None => ConnectError::NoAddress,
            },
            Failure::Silent => self.wrong_relay(peer).unwrap_or(ConnectError::Timeout {
                after: CONNECT_TIMEOUT,
            }),
            Failure::NoRelay => self.trouble(peer),
            Failure::Policy => ConnectError::Policy { policy },
        }
    }

    /// Why no relay of the peer could be used, for a dialler.
    pub(crate) fn trouble(&self, peer: PeerId) -> ConnectError {
        if let Some(error) = self.wrong_relay(peer) {
            return error;
        }
        let trouble = |url: &RelayUrl| Some((url.clone(), self.error(url)?.clone()));
        let broken = self.relays.of_link(peer).find_map(trouble);
        broken.map_or(ConnectError::NoAddress, |(relay, source)| {
            ConnectError::Relay { relay, source }
        })
    }

    /// That somebody else answers in the place of a relay of the peer, if so.
    fn wrong_relay(&self, peer: PeerId) -> Option<ConnectError> {
        let relay = self.relays.impostor_of_link(peer)?.clone();
        Some(ConnectError::WrongRelay { relay })
    }

    /// Where lanes by the relay begin: at its address, or at what stands for the stream to it.
    pub(crate) fn lane_addr(&self, relay: &RelayUrl) -> Option<SocketAddr> {
        self.relays.get(relay)?.lane_addr()
    }

    fn register(&mut self, url: RelayUrl) -> Deed {
        let (events, streams) = (self.sender.clone(), self.streams.clone());
        let is_ours = self.relays.get(&url).is_some_and(|relay| relay.home);
        let standing = Standing {
            is_home: !self.visits && is_ours,
            is_stranger: self.relays.is_stranger(&url),
        };
        let quic = self.quic.clone();
        match spawn_with(quic, url.clone(), &self.key, events, streams, standing) {
            Ok(handle) => {
                let registration = Registration {
                    link: self.mux.add_link(),
                    handle,
                    error: None,
                };
                self.by_url.insert(url, registration);
            }
            Err(error) => tracing::error!(%error, "cannot register with a relay"),
        }
        Deed::Done
    }

    fn deregister(&mut self, url: RelayUrl) -> Deed {
        tracing::debug!(relay = %url.key().short(), "left: no link needs it");
        self.asks.on_lost(&url);
        let registration = self.by_url.remove(&url);
        let link = registration.map(|registration| registration.link.handle());
        let goodbye = |link| sleep(GOODBYE).map(move |()| link).boxed();
        Deed::Left(url, link.map(goodbye))
    }

    fn settle(&self, url: &RelayUrl) -> Deed {
        if let Some(registration) = self.by_url.get(url).filter(|_| !self.visits) {
            registration.handle.settle(url);
        }
        Deed::Done
    }

    fn leave_for_now(&self, url: &RelayUrl) -> Deed {
        if let Some(registration) = self.by_url.get(url) {
            registration.handle.leave();
        }
        Deed::Done
    }

    fn ask_stun(&self, to: SocketAddr, tx: [u8; 12]) -> Deed {
        let request = stun::binding_request(tx, false);
        self.mux.send_or_lose(Pair::main(to), None, &request);
        Deed::Done
    }

    /// Has a relay pass something on, if `hidden` without our address; false if it is none of ours, or that is too long.
    pub(crate) fn signal(
        &self,
        relay: &RelayUrl,
        (to, hidden): (PeerId, bool),
        bytes: Vec<u8>,
    ) -> bool {
        let Some(registration) = self.by_url.get(relay) else {
            return false;
        };
        match Payload::try_from(bytes) {
            Ok(payload) => registration.handle.signal(to, hidden, payload),
            Err(error) => {
                tracing::error!(%error, "a signal is too long");
                return false;
            }
        }
        true
    }

    /// Asks the home relay something about the Mainline DHT, or the next best of ours that we are registered with.
    pub(crate) fn ask(&mut self, question: Question, reply: mpsc::Sender<Answer>) {
        let is_up = |url: &&RelayUrl| {
            let relay = self.relays.get(url);
            relay.is_some_and(|relay| relay.state == RelayState::Up)
        };
        let Some(url) = self.relays.home().iter().find(is_up) else {
            let _ = reply.try_send(Answer::NoRelay);
            return;
        };
        let frame = self.asks.put(url, question, reply);
        if let Some((frame, registration)) = frame.zip(self.by_url.get(url)) {
            registration.handle.ask(frame);
        }
    }

    fn dial(&mut self, url: &RelayUrl, addr: SocketAddr, before: Option<SocketAddr>) -> Deed {
        self.place(url, addr, before);
        let Some(registration) = self.by_url.get(url) else {
            return Deed::Done;
        };
        self.mux.admit_relay(addr, &registration.link);
        let route = Destinations {
            dests: vec![Dest::Direct(Pair::main(addr))],
        };
        let is_up = |relay: &Relay| relay.state == RelayState::Up;
        let switch = self.relays.get(url).is_some_and(is_up);
        self.mux.set_route(&registration.link, route, 0, switch);
        let at = virtual_addr(registration.link.handle());
        registration.handle.dial_at(at, self.mux.outward(addr));
        Deed::Done
    }

    /// Gives a relay the link of its address: another relay's that has the same one, or else one of its own.
    fn place(&mut self, url: &RelayUrl, addr: SocketAddr, before: Option<SocketAddr>) {
        let Some(old) = self.by_url.get(url).map(|it| Arc::clone(&it.link)) else {
            return;
        };
        let others = || self.by_url.iter().filter(|(other, _)| *other != url);
        let addr_of = |relay| self.relays.get(relay)?.addr;
        let at = |addr| others().find(|(other, _)| addr_of(other) == Some(addr));
        let left = before.filter(|before| *before != addr && at(*before).is_none());
        let is_shared = others().any(|(_, other)| other.link.handle() == old.handle());
        let link = match at(addr) {
            Some((_, other)) => Arc::clone(&other.link),
            None if is_shared => self.mux.add_link(),
            None => Arc::clone(&old),
        };
        if let Some(before) = left {
            self.mux.expel(before, old.handle());
        }
        if let Some(registration) = self.by_url.get_mut(url) {
            registration.link = link;
        }
        self.drop_link(old.handle());
    }

    /// Forgets a relay's link unless one of our relays has it.
    pub(crate) fn drop_link(&self, link: LinkHandle) {
        let has_it = |relay: &Registration| relay.link.handle() == link;
        if !self.by_url.values().any(has_it) {
            self.mux.remove_link(link);
        }
    }

    /// Why we are not registered, as was last heard.
    pub(crate) fn error(&self, url: &RelayUrl) -> Option<&RelayError> {
        self.by_url.get(url)?.error.as_ref()
    }

    /// Has the relays of a peer's link prove that they are still there.
    pub(crate) fn check(&self, peer: PeerId) {
        let relays = self.relays.of_link(peer);
        for registration in relays.filter_map(|url| self.by_url.get(url)) {
            registration.handle.keepalive();
        }
    }

    pub(crate) fn network_changed(&self) {
        for registration in self.by_url.values() {
            registration.handle.network_changed();
        }
    }

    /// Has the relays' tasks pass on what they were given, and waits until they have ended, for as long as a goodbye may take.
    pub(crate) async fn leave(&mut self) {
        self.by_url.clear();
        // Theirs are all that is left, then.
        (self.sender, _) = mpsc::channel(1);
        let ended = async { while self.events.recv().await.is_some() {} };
        let _ = timeout(GOODBYE, ended).await;
    }
}

//! What a node does around its machine: what `core`'s driver does, with the same parts, in virtual time.

use std::time::{Duration, Instant};

use super::{Happening, Load, World, node::Absence};
use crate::{
    EventKind, PeerId,
    io::{Input, Output, Route},
    liveness,
    relays::Order,
    wire::lane::Channel,
};

/// How often rates are sampled.
const SAMPLE: Duration = Duration::from_secs(1);

impl World {
    /// What a node takes for the time: it does not count time asleep.
    pub(super) fn clock(&self, at: usize) -> Instant {
        self.now - self.nodes[at].lag
    }

    pub(crate) fn feed(&mut self, at: usize, input: Input<'_>) {
        if let Input::Connect { peer, relays, .. } = &input {
            let known = &mut self.nodes[at].relays;
            known.on_link(*peer);
            for relay in relays {
                let relay = known.known(relay).clone();
                known.on_link_needs(*peer, &relay);
            }
        }
        let now = self.clock(at);
        let out = self.nodes[at].machine.handle(now, input);
        self.carry_out(at, out);
    }

    /// When a node has something to do, in the world's time.
    pub(super) fn due(&self, at: usize) -> Option<Instant> {
        let node = &self.nodes[at];
        if node.absent.is_some() {
            return None;
        }
        let parts = [
            node.machine.poll_timeout(),
            node.early.poll_timeout(),
            node.relays.poll_timeout(),
            node.liveness.poll_timeout(),
            node.schedule.poll_timeout(),
            Some(node.sampled + SAMPLE),
        ];
        parts.into_iter().flatten().min().map(|due| due + node.lag)
    }

    /// Does what is due.
    pub(super) fn settle(&mut self, at: usize) {
        self.wake(at);
        let now = self.clock(at);
        if self.nodes[at]
            .machine
            .poll_timeout()
            .is_some_and(|due| due <= now)
        {
            let out = self.nodes[at].machine.handle_timeout(now);
            self.carry_out(at, out);
        }
        self.nodes[at].early.expire(now);
        self.nodes[at].relays.handle_timeout(now);
        self.drive_relays(at);
        self.drive_liveness(at);
        self.drive_nat(at);
        if self.nodes[at].sampled + SAMPLE <= now {
            self.sample_rates(at);
        }
        self.rest(at);
    }

    pub(super) fn rest(&mut self, at: usize) {
        let now = self.clock(at);
        self.nodes[at].liveness.rest(now, SAMPLE);
    }

    /// After long enough away nothing that was known of the network counts.
    pub(super) fn wake(&mut self, at: usize) {
        let (now, slept) = (self.clock(at), self.nodes[at].lag);
        if self.nodes[at].liveness.wake(now, slept).is_some() {
            self.network_changed(at);
            self.feed(at, Input::Resumed);
        }
    }

    /// Has everybody who talks to the network begin anew.
    pub(super) fn network_changed(&mut self, at: usize) {
        let now = self.clock(at);
        let relays: Vec<usize> = self.nodes[at].registrations.keys().copied().collect();
        for relay in relays {
            self.move_registration(at, relay);
        }
        if self.measures {
            self.nodes[at].schedule.on_network_changed(now);
        }
        self.nodes[at].relays.on_network_changed(now);
    }

    /// Does what is to be done about relays.
    pub(super) fn drive_relays(&mut self, at: usize) {
        while let Some(order) = self.nodes[at].relays.poll_order() {
            let now = self.clock(at);
            match order {
                Order::Register { relay } => self.begin_to_register(at, &relay),
                Order::Deregister { relay } => self.deregister(at, &relay),
                Order::Leave { relay } => self.leave(at, &relay),
                Order::Dial { relay, .. } => self.dial_relay(at, &relay),
                Order::AskStun { to, tx } => self.ask_stun(at, crate::io::Pair::main(to), tx),
                Order::Measure { through } if self.measures => {
                    self.nodes[at].schedule.on_relay(now, through);
                }
                Order::Distrust { addr } => self.nodes[at].schedule.on_distrust(now, addr),
                Order::Settle { .. }
                | Order::Measure { .. }
                | Order::DoubtMappings
                | Order::Event(_) => {}
            }
        }
    }

    /// Has links looked at that are due, and does what that shows to be necessary.
    fn drive_liveness(&mut self, at: usize) {
        let now = self.clock(at);
        self.nodes[at].liveness.handle_timeout(now);
        while let Some(event) = self.nodes[at].liveness.poll_event() {
            match event {
                liveness::Event::Look { peer } => {
                    let seen = self.seen_of(at, peer);
                    self.nodes[at].liveness.on_seen(now, peer, &seen);
                }
                liveness::Event::Silence {
                    peer,
                    since,
                    sent,
                    rtt,
                } => {
                    let silence = Input::Silence {
                        peer,
                        since,
                        sent,
                        rtt,
                    };
                    self.feed(at, silence);
                }
                liveness::Event::CheckRelays { peer } => self.check_relays(at, peer),
                liveness::Event::Unwatch { peer } => self.unwatch(at, peer),
            }
        }
    }

    /// Does what a machine says is to be done.
    fn carry_out(&mut self, at: usize, out: Vec<Output>) {
        let after = self.elapsed();
        for output in out {
            if let Some(outputs) = &mut self.outputs {
                outputs.note(after, at, &output);
            }
            match output {
                Output::SendDatagram {
                    sock,
                    to,
                    ttl,
                    bytes,
                } => {
                    *self.nodes[at].sent_to.entry(to).or_default() += 1;
                    *self.nodes[at].bytes_to.entry(to).or_default() += bytes.len();
                    self.send(at, sock, to, ttl.unwrap_or(64), Load::Ours(bytes));
                }
                Output::SendRelay {
                    relay,
                    to,
                    hidden,
                    bytes,
                } => {
                    self.nodes[at].signals += 1;
                    self.nodes[at].last_signal.clone_from(&bytes);
                    self.hand_to_relay(at, &relay, (to, hidden), bytes);
                }
                Output::OpenSockets { first, count } => {
                    self.nodes[at].open(first, count);
                    self.feed(at, Input::SocketsOpened { first, count });
                }
                Output::CloseSockets { first, count } => self.nodes[at].close(first, count),
                Output::SampleMapping { sock, relay } => self.sample_mapping(at, sock, &relay),
                Output::NeedRelay { relay } => {
                    let now = self.clock(at);
                    self.nodes[at].relays.need(now, relay);
                }
                Output::Admit { peer, addr } => {
                    self.nodes[at].relays.on_link(peer);
                    self.nodes[at].admitted.insert(addr, peer);
                }
                Output::Expel { peer, addr } => {
                    assert_eq!(self.nodes[at].admitted.remove(&addr), Some(peer));
                }
                Output::Route { peer, route } => self.set_route(at, peer, &route),
                Output::Forget { peer } => self.forget(at, peer),
                Output::Failed { reason, .. } => {
                    let since = self.elapsed();
                    self.nodes[at].failures.push((since, reason));
                }
                Output::Event(EventKind::PeerState { to, .. }) => {
                    let since = self.elapsed();
                    self.nodes[at].states.push((since, to));
                }
                Output::Event(EventKind::PairReleased { remote, .. }) => {
                    self.nodes[at].released.push(remote);
                }
                Output::DialTcp { addr, .. } => self.nodes[at].dialled.push(addr),
                Output::TakeTcp { .. } | Output::CloseTcp { .. } | Output::Event(_) => {}
            }
        }
        self.drive_relays(at);
    }

    fn set_route(&mut self, at: usize, peer: PeerId, route: &Route) {
        let now = self.clock(at);
        let relay = match route {
            Route::Direct(_) | Route::Nowhere => None,
            Route::Relay(relay) | Route::Both(_, relay) => Some(relay),
        };
        self.nodes[at].relays.on_link(peer);
        self.nodes[at].relays.on_route(now, peer, relay);
        if matches!(route, Route::Both(..)) {
            self.check_relays(at, peer);
        }
        if let Route::Relay(relay) | Route::Both(_, relay) = route {
            self.admit_lane(at, peer, relay);
        }
    }

    fn forget(&mut self, at: usize, peer: PeerId) {
        let now = self.clock(at);
        let node = &mut self.nodes[at];
        node.forgotten += 1;
        node.admitted.retain(|_, owner| *owner != peer);
        node.lanes.retain(|(_, owner)| *owner != peer);
        node.traffic.remove(&peer);
        node.liveness.forget(peer);
        node.relays.on_link_over(now, peer);
    }

    /// Takes the peer's packets from this relay's lane, those included that came too early.
    pub(super) fn admit_lane(&mut self, at: usize, peer: PeerId, relay: &crate::RelayUrl) {
        let node = &mut self.nodes[at];
        let known = node.relays.get(relay);
        let Some(addr) = known.and_then(crate::relays::Relay::lane_addr) else {
            return;
        };
        node.lanes.insert((addr, peer));
        let channel = Channel::between(node.id, peer);
        for number in node.early.take(addr, channel) {
            self.hear(at, peer, number, None);
        }
    }

    /// A node sleeps or stalls from now on.
    pub(crate) fn absent(&mut self, at: usize, time: Duration, absence: Absence) {
        self.nodes[at].absent = Some((self.now + time, absence));
        self.push(
            time,
            Happening::Back {
                node: at,
                after: time,
            },
        );
    }

    pub(crate) fn is_absent(&self, at: usize) -> bool {
        self.nodes[at].absent.is_some()
    }

    pub(super) fn back(&mut self, at: usize, after: Duration) {
        if let Some((_, Absence::Asleep)) = self.nodes[at].absent.take() {
            self.nodes[at].lag += after;
        }
        self.settle(at);
    }
}

//! Relays: they forward signals and lanes, tell everybody where they are seen, and may lie.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use rand::Rng;

use super::{Happening, Told, World, ms};
use crate::{PeerId, RelayUrl, SecretKey, io::Input, wire::lane::Channel};

/// A message on a reliable stream is sent again after this long while nothing passes.
pub(super) const AGAIN: Duration = Duration::from_millis(300);
/// After this long a relay says that it is not acknowledged.
const UNHEARD: Duration = Duration::from_millis(1500);

pub(crate) struct Relay {
    pub(crate) url: RelayUrl,
    pub(crate) addr: SocketAddr,
    pub(crate) six: SocketAddr,
    pub(crate) up: bool,
    /// Whether it registers nobody any more.
    pub(crate) is_draining: bool,
    /// What the round trip to it takes beyond the line of a home, as measured.
    pub(crate) beyond: Duration,
    /// Pairs that it has bound a lane for.
    bound: BTreeSet<(PeerId, PeerId)>,
    /// How many signals it is going to turn away, as too many call their receiver.
    pub(crate) busy: usize,
    /// Whether it says so when a node does not acknowledge what it sends.
    pub(crate) tells: bool,
    pub(crate) lies: Lies,
}

/// What a relay does that it should not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lies {
    /// Says that senders are here.
    pub(crate) attests: Option<SocketAddr>,
    /// Says that it is this late, milliseconds.
    pub(crate) time_ms: Option<u64>,
    /// Share of signals that it drops, delays by up to half a second, and delivers again later.
    pub(crate) drops: f64,
    pub(crate) delays: f64,
    pub(crate) replays: f64,
    /// Share of signals that it says are from somebody else.
    pub(crate) mixes: f64,
}

impl Relay {
    pub(super) fn forget_lanes(&mut self) {
        self.bound.clear();
    }
}

/// The relay that everybody is registered with.
pub(crate) fn relay() -> RelayUrl {
    url(0)
}

fn url(at: u8) -> RelayUrl {
    let key = SecretKey::from_seed(&[99 - at; 32]);
    RelayUrl::new(key.id(), &format!("5.9.{at}.1"), 4433).unwrap()
}

impl World {
    pub(crate) fn add_relay(&mut self) -> usize {
        let at = self.relays.len();
        let number = at as u8;
        let (v4, v6) = (
            [5, 9, number, 1],
            [0x2a01, 0x4f8, 0, 0, 0, 0, 0, number.into()],
        );
        let relay = Relay {
            url: url(number),
            addr: SocketAddr::from((v4, 4433)),
            six: SocketAddr::from((v6, 4433)),
            up: true,
            is_draining: false,
            beyond: Duration::ZERO,
            bound: BTreeSet::new(),
            busy: 0,
            tells: true,
            lies: Lies::default(),
        };
        self.net.relays.push([relay.addr.ip(), relay.six.ip()]);
        self.relays.push(relay);
        at
    }

    pub(super) fn relay_at(&self, url: &RelayUrl) -> Option<usize> {
        self.relays.iter().position(|relay| relay.url == *url)
    }

    /// A machine has something to say to a peer by a relay.
    pub(super) fn hand_to_relay(
        &mut self,
        at: usize,
        url: &RelayUrl,
        to: (PeerId, bool),
        bytes: Vec<u8>,
    ) {
        let Some(relay) = self.relay_at(url) else {
            return;
        };
        if !self.nodes[at].registrations.contains_key(&relay) {
            return;
        }
        self.signal(at, relay, to, bytes);
        self.nodes[at].relays.on_link_needs(to.0, url);
        self.admit_lane(at, to.0, url);
    }

    /// Hands a message to a relay, on a stream.
    pub(super) fn signal(&mut self, at: usize, relay: usize, to: (PeerId, bool), bytes: Vec<u8>) {
        let site = self.nodes[at].site;
        let online = [true, false].map(|v4| self.net.address(at, v4).is_some());
        let up = &mut self.net.sites[site].up;
        let after = online
            .contains(&true)
            .then(|| up.carry(&mut self.rng))
            .flatten();
        match after {
            Some(after) => self.push(
                after,
                Happening::AtRelay {
                    node: at,
                    relay,
                    to,
                    bytes,
                },
            ),
            None => self.push(
                AGAIN,
                Happening::Signal {
                    node: at,
                    relay,
                    to,
                    bytes,
                },
            ),
        }
    }

    /// A message is at a relay.
    pub(super) fn relay(
        &mut self,
        sender: usize,
        relay: usize,
        (to, hidden): (PeerId, bool),
        bytes: Vec<u8>,
    ) {
        if !self.relays[relay].up || !self.nodes[sender].registered.contains_key(&relay) {
            return;
        }
        self.sees(sender, relay);
        if self.lose_signals > 0 {
            self.lose_signals -= 1;
            return;
        }
        let from = self.nodes[sender].id;
        let receiver = self
            .nodes
            .iter()
            .position(|node| node.id == to && node.registered.contains_key(&relay));
        let Some(node) = receiver else {
            let delay = self.nodes[sender].setup.delay;
            let (node, what) = (sender, Told::Gone(to));
            return self.push(delay, Happening::Told { node, relay, what });
        };
        if self.relays[relay].busy > 0 {
            self.relays[relay].busy -= 1;
            let delay = self.nodes[sender].setup.delay;
            let (node, what) = (sender, Told::Busy(to));
            return self.push(delay, Happening::Told { node, relay, what });
        }
        self.relays[relay].bound.extend([(from, to), (to, from)]);
        let attested = (!hidden).then(|| self.nodes[sender].registered[&relay]);
        self.deliver(node, relay, from, attested, bytes);
    }

    /// Sends a message on to its receiver, with all the lies of this relay.
    fn deliver(
        &mut self,
        node: usize,
        relay: usize,
        mut from: PeerId,
        mut attested: Option<SocketAddr>,
        bytes: Vec<u8>,
    ) {
        let lies = self.relays[relay].lies.clone();
        let mut chance = |share: f64| share > 0.0 && self.rng.random_bool(share);
        let (drops, mixes) = (chance(lies.drops), chance(lies.mixes));
        let (delays, replays) = (chance(lies.delays), chance(lies.replays));
        if drops {
            return;
        }
        attested = lies.attests.or(attested);
        if mixes {
            from = self.nodes[(node + 1) % self.nodes.len()].id;
        }
        let mut wait = if delays { ms(500) } else { ms(0) };
        for _ in 0..1 + usize::from(replays) {
            self.push(
                wait,
                Happening::Deliver {
                    node,
                    relay,
                    from,
                    attested,
                    bytes: bytes.clone(),
                },
            );
            wait += ms(3000);
        }
    }

    /// A message leaves a relay for its receiver, on a stream.
    pub(super) fn on_deliver(
        &mut self,
        node: usize,
        relay: usize,
        from: PeerId,
        attested: Option<SocketAddr>,
        bytes: Vec<u8>,
    ) {
        if !self.relays[relay].up || !self.nodes[node].registered.contains_key(&relay) {
            return;
        }
        let away = self.nodes[node].unheard_until;
        if let Some(until) = away.filter(|until| self.now < *until) {
            if self.keeps_for_later(node, relay, from) {
                let later = Happening::Deliver {
                    node,
                    relay,
                    from,
                    attested,
                    bytes,
                };
                self.queue.push(until, later);
            }
            return;
        }
        let site = self.nodes[node].site;
        match self.net.sites[site].down.carry(&mut self.rng) {
            Some(after) => {
                let what = Told::Message {
                    from,
                    attested,
                    bytes,
                };
                self.push(after, Happening::Told { node, relay, what });
            }
            None => self.push(
                AGAIN,
                Happening::Deliver {
                    node,
                    relay,
                    from,
                    attested,
                    bytes,
                },
            ),
        }
    }

    /// The router of a node has forgotten it, for so long.
    pub(crate) fn router_forgets(&mut self, at: usize, time: Duration) {
        self.nodes[at].unheard_until = Some(self.now + time);
        self.nodes[at].unheard_since = None;
    }

    /// A node acknowledges nothing, which the relay finds out after a while and tells whoever signalled to it. What was sent until
    /// then is lost.
    fn keeps_for_later(&mut self, node: usize, relay: usize, from: PeerId) -> bool {
        if !self.relays[relay].tells {
            return false;
        }
        let (now, callee) = (self.now, &mut self.nodes[node]);
        let found_out = *callee.unheard_since.get_or_insert(now) + UNHEARD;
        let what = Told::Unreached(callee.id);
        let sender = self.nodes.iter().position(|node| node.id == from);
        if let Some(node) = sender {
            let delay = self.nodes[node].setup.delay;
            let at = now.max(found_out) + delay;
            self.queue.push(at, Happening::Told { node, relay, what });
        }
        found_out <= now
    }

    /// Something came from a node: where it is seen now is told to it.
    pub(super) fn sees(&mut self, at: usize, relay: usize) {
        let Some(addr) = self.observed(at, relay) else {
            return;
        };
        let known = self.nodes[at].registered.get_mut(&relay);
        if let Some(known) = known.filter(|known| **known != addr) {
            *known = addr;
            let delay = self.nodes[at].setup.delay;
            let (node, what) = (at, Told::Observed(addr));
            self.push(delay, Happening::Told { node, relay, what });
        }
    }

    /// Hands on what a relay says.
    pub(super) fn tell(&mut self, at: usize, relay: usize, what: Told) {
        if !self.nodes[at].is_registered(relay) {
            return;
        }
        let index = relay;
        let relay = self.relays[relay].url.clone();
        match what {
            Told::Message {
                from,
                attested,
                bytes,
            } => {
                self.recorded.push((at, bytes.clone()));
                let bytes = &bytes;
                self.feed(
                    at,
                    Input::RelayMessage {
                        relay,
                        from,
                        attested,
                        bytes,
                    },
                );
            }
            Told::Gone(peer) => self.feed(at, Input::RelayGone { relay, peer }),
            Told::Busy(peer) => self.feed(at, Input::RelayBusy { relay, peer }),
            Told::Unreached(peer) => self.feed(at, Input::RelayUnreached { relay, peer }),
            Told::Draining => {
                let now = self.clock(at);
                self.nodes[at].relays.on_draining(now, &relay);
                self.feed(at, Input::RelayDraining { relay });
            }
            Told::Moved(to) => {
                let (now, to) = (self.clock(at), self.relays[to].url.clone());
                let to = self.nodes[at].relays.on_moved(now, &relay, &to);
                self.drive_relays(at);
                if let Some(to) = to {
                    self.feed(at, Input::RelayMoved { relay, to });
                }
            }
            Told::Observed(addr) => {
                self.nodes[at].relays.on_observed(&relay, addr);
                self.feed(at, Input::Observed { relay, addr });
                self.move_registration(at, index);
            }
        }
    }

    /// A packet of an application came by a relay's lane, which may not be admitted yet.
    pub(super) fn on_lane(&mut self, at: usize, relay: usize, from: PeerId, number: u64) {
        let now = self.clock(at);
        let (url, node) = (&self.relays[relay].url, &mut self.nodes[at]);
        let known = node.relays.get(url);
        let Some(addr) = known.and_then(crate::relays::Relay::lane_addr) else {
            return;
        };
        if node.lanes.contains(&(addr, from)) {
            return self.hear(at, from, number, None);
        }
        let channel = Channel::between(node.id, from);
        node.early.push(now, addr, channel, number);
    }

    /// A packet of an application, on a relay's lane.
    pub(super) fn send_by_lane(&mut self, at: usize, url: &RelayUrl, peer: PeerId, number: u64) {
        let from = self.nodes[at].id;
        let Some(relay) = self.relay_at(url) else {
            return;
        };
        let Some(node) = self.nodes.iter().position(|node| node.id == peer) else {
            return;
        };
        let registered = [at, node]
            .iter()
            .all(|at| self.nodes[*at].registered.contains_key(&relay));
        if !registered
            || !self.relays[relay].up
            || !self.relays[relay].bound.contains(&(from, peer))
        {
            return;
        }
        self.sees(at, relay);
        let now = self.now;
        let (ours, theirs) = (self.nodes[at].site, self.nodes[node].site);
        let sites = &mut self.net.sites;
        for up in sites[ours].up.pass(now, super::QUIC_LEN, &mut self.rng) {
            let downs = sites[theirs].down.pass(now, super::QUIC_LEN, &mut self.rng);
            for down in downs {
                if !up.corrupt && !down.corrupt {
                    let after = up.after + down.after;
                    self.queue.push(
                        now + after,
                        Happening::Lane {
                            node,
                            relay,
                            from,
                            number,
                        },
                    );
                }
            }
        }
    }
}

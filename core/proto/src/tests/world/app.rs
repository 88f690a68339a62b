//! Applications that talk to each other all the time, and what is seen of their packets.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{Happening, Load, QUIC_LEN, World, ms};
use crate::{
    PeerId,
    io::{Input, Pair, Route},
    liveness::{Seen, Sent, is_use},
};

/// How often an application says something, unless a world says otherwise.
pub(super) const CHAT: Duration = Duration::from_millis(20);
/// What the QUIC of two homes measures as their round trip, within a factor of two.
const RTT: Duration = Duration::from_millis(80);

/// An application's conversation with one peer.
pub(super) struct Talk {
    /// When the application last heard something new.
    pub(super) heard: Instant,
    /// The packets that it got.
    got: BTreeSet<u64>,
}

/// What passed between a node and a peer.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    direct: Passed,
    lane: Passed,
    /// Whether it is known that something is sent.
    watched: bool,
    /// Bytes received and sent when that was last sampled.
    sampled: (u64, u64),
}

/// What passed on one kind of path.
#[derive(Debug, Default)]
struct Passed {
    received: u64,
    sent: u64,
    silent_since: Option<Instant>,
}

impl Passed {
    fn send(&mut self, now: Instant) {
        self.sent += QUIC_LEN as u64;
        self.silent_since.get_or_insert(now);
    }

    fn receive(&mut self) {
        self.received += QUIC_LEN as u64;
        self.silent_since = None;
    }

    fn seen(&self) -> Sent {
        Sent {
            bytes: self.sent,
            silent_since: self.silent_since,
        }
    }
}

impl Talk {
    fn new(now: Instant) -> Self {
        Self {
            heard: now,
            got: BTreeSet::new(),
        }
    }

    /// Takes the packet with this number, unless it came before.
    fn takes(&mut self, number: u64) -> bool {
        // QUIC remembers what it got for some time too.
        if self.got.len() > 4096 {
            self.got.pop_first();
        }
        self.got.insert(number)
    }
}

impl World {
    /// The applications of both say something all the time.
    pub(crate) fn talk(&mut self, a: usize, b: usize) {
        self.talk_to(a, b);
        self.talk_to(b, a);
    }

    /// The application of one says something all the time, as it does while it dials.
    pub(crate) fn talk_to(&mut self, at: usize, with: usize) {
        let peer = self.nodes[with].id;
        let talk = Talk::new(self.now);
        let node = &mut self.nodes[at];
        node.gap = Duration::ZERO;
        if node.talks.insert(peer, talk).is_none() {
            self.push(Duration::ZERO, Happening::Chat { node: at, peer });
        }
    }

    /// The applications have nothing more to say.
    pub(crate) fn hush(&mut self) {
        for node in &mut self.nodes {
            node.talks.clear();
        }
    }

    /// The application says something, by the route that there is.
    pub(super) fn chat(&mut self, at: usize, peer: PeerId) {
        if !self.nodes[at].talks.contains_key(&peer) {
            return;
        }
        self.push(self.chat_every, Happening::Chat { node: at, peer });
        let route = self.nodes[at].machine.route(peer).cloned();
        let from = self.nodes[at].id;
        self.said += 1;
        let number = self.said;
        if let Some(Route::Direct(Pair { sock, addr }) | Route::Both(Pair { sock, addr }, _)) =
            route
        {
            self.send(at, sock, addr, 64, Load::Quic { from, number });
            self.note_sent(at, peer, |traffic| &mut traffic.direct);
        }
        if let Some(Route::Relay(relay) | Route::Both(_, relay)) = route {
            self.send_by_lane(at, &relay, peer, number);
            self.note_sent(at, peer, |traffic| &mut traffic.lane);
        }
    }

    fn note_sent(&mut self, at: usize, peer: PeerId, way: impl Fn(&mut Traffic) -> &mut Passed) {
        let now = self.clock(at);
        let traffic = self.nodes[at].traffic.entry(peer).or_default();
        way(traffic).send(now);
        if !std::mem::replace(&mut traffic.watched, true) {
            let seen = self.seen_of(at, peer);
            self.nodes[at].liveness.on_activity(now, peer, &seen);
        }
    }

    pub(super) fn unwatch(&mut self, at: usize, peer: PeerId) {
        if let Some(traffic) = self.nodes[at].traffic.get_mut(&peer) {
            traffic.watched = false;
        }
    }

    /// What is seen of a link.
    pub(super) fn seen_of(&self, at: usize, peer: PeerId) -> Seen {
        let node = &self.nodes[at];
        let traffic = node.traffic.get(&peer);
        Seen {
            direct: traffic.map(|it| it.direct.seen()).unwrap_or_default(),
            lane: traffic.map(|it| it.lane.seen()).unwrap_or_default(),
            direct_heard: node.machine.direct_heard(peer),
            rtt: RTT,
        }
    }

    /// Looks which links were used since the last time.
    pub(super) fn sample_rates(&mut self, at: usize) {
        let now = self.clock(at);
        let mut used = Vec::new();
        self.nodes[at].sampled = now;
        for (peer, traffic) in &mut self.nodes[at].traffic {
            let received = traffic.direct.received + traffic.lane.received;
            let sent = traffic.direct.sent + traffic.lane.sent;
            let before = std::mem::replace(&mut traffic.sampled, (received, sent));
            let rates = (received - before.0, sent - before.1);
            if is_use(rates.0, rates.1) {
                used.push((*peer, rates.0 > 0));
            }
        }
        for (peer, heard) in used {
            self.feed(at, Input::Traffic { peer, heard });
        }
    }

    /// A packet of an application came; directly if that is where it came from.
    pub(super) fn hear(&mut self, at: usize, from: PeerId, number: u64, by: Option<SocketAddr>) {
        let now = self.now;
        let node = &mut self.nodes[at];
        if by.is_some_and(|addr| node.admitted.get(&addr) != Some(&from)) {
            return;
        }
        let traffic = node.traffic.entry(from).or_default();
        match by {
            Some(_) => traffic.direct.receive(),
            None => traffic.lane.receive(),
        }
        let Some(talk) = node.talks.get_mut(&from) else {
            return;
        };
        if talk.takes(number) {
            node.gap = node.gap.max(now - talk.heard);
            talk.heard = now;
        }
    }

    /// How long an application has heard nothing of a peer.
    pub(crate) fn silence(&self, at: usize, with: usize) -> Duration {
        let talk = self.nodes[at].talks.get(&self.nodes[with].id);
        talk.map_or(ms(0), |talk| self.now - talk.heard)
    }

    /// Counts gaps from now on.
    pub(crate) fn reset_gaps(&mut self) {
        for node in &mut self.nodes {
            node.gap = Duration::ZERO;
            for talk in node.talks.values_mut() {
                talk.heard = self.now;
            }
        }
    }
}

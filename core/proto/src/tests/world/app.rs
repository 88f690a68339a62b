//! Applications that talk to each other all the time, and what a driver makes of their silences.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{Happening, Load, World, ms};
use crate::{
    PeerId,
    io::{Input, Pair, Route},
};

/// How often an application says something, and how often its silence is looked at, unless a world says otherwise.
pub(super) const CHAT: Duration = Duration::from_millis(20);
const LOOK: Duration = Duration::from_millis(50);
/// What the QUIC of two homes measures as their round trip, within a factor of two.
const RTT: Duration = Duration::from_millis(80);

/// An application's conversation with one peer.
pub(super) struct Talk {
    /// Since when it waits for something to come back directly, and when it last sent so.
    waits: Option<Instant>,
    last_sent: Option<Instant>,
    /// When the application last heard something new.
    pub(super) heard: Instant,
    /// The packets that it got.
    got: BTreeSet<u64>,
}

impl Talk {
    fn new(now: Instant) -> Self {
        Self {
            waits: None,
            last_sent: None,
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
            self.push(LOOK, Happening::Look { node: at, peer });
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
        self.feed(at, Input::Traffic { peer, heard: false });
        let route = self.nodes[at].machine.route(peer).cloned();
        let (now, from) = (self.now, self.nodes[at].id);
        let Some(talk) = self.nodes[at].talks.get_mut(&peer) else {
            return;
        };
        self.said += 1;
        let number = self.said;
        if let Some(Route::Direct(Pair { sock, addr }) | Route::Both(Pair { sock, addr }, _)) =
            route
        {
            talk.last_sent = Some(now);
            talk.waits.get_or_insert(now);
            self.send(at, sock, addr, 64, Load::Quic { from, number });
        }
        if let Some(Route::Relay(relay) | Route::Both(_, relay)) = route {
            self.send_by_lane(at, &relay, peer, number);
        }
    }

    /// A packet of an application came; directly if that is where it came from.
    pub(super) fn hear(&mut self, at: usize, from: PeerId, number: u64, by: Option<SocketAddr>) {
        let now = self.now;
        let node = &mut self.nodes[at];
        if by.is_some_and(|addr| node.admitted.get(&addr) != Some(&from)) {
            return;
        }
        let Some(talk) = node.talks.get_mut(&from) else {
            return;
        };
        if by.is_some() {
            talk.waits = None;
        }
        if talk.takes(number) {
            node.gap = node.gap.max(now - talk.heard);
            talk.heard = now;
        }
    }

    /// What the driver does with a path that is silent.
    pub(super) fn look(&mut self, at: usize, peer: PeerId) {
        let Some(talk) = self.nodes[at].talks.get(&peer) else {
            return;
        };
        let silent = talk.waits.zip(talk.last_sent);
        let every = LOOK.max(self.chat_every);
        self.push(every, Happening::Look { node: at, peer });
        let (lag, rtt) = (self.nodes[at].lag, RTT);
        if let Some((since, sent)) = silent {
            let (since, sent) = (since - lag, sent - lag);
            self.feed(
                at,
                Input::Silence {
                    peer,
                    since,
                    sent,
                    rtt,
                },
            );
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

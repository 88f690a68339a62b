//! Whether anybody hears us: links that send and hear nothing back, and time that passed without us.

mod vigil;
mod watch;

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use self::{vigil::Vigil, watch::Watch};
use crate::{
    PeerId,
    timing::{IN_USE, LOOK_EVERY, STALLED},
};

/// See the [module](self).
#[derive(Debug)]
pub struct Liveness {
    vigil: Vigil,
    links: BTreeMap<PeerId, Watch>,
    /// When the links that are being watched are looked at next; none if there are none.
    next: Option<Instant>,
    events: VecDeque<Event>,
}

/// What is seen of a link when it is looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub direct: Sent,
    pub lane: Sent,
    /// When the direct path itself last answered.
    pub direct_heard: Option<Instant>,
    /// QUIC's own estimate of the round trip.
    pub rtt: Duration,
}

/// What was sent on one kind of path so far, and since when nothing came back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    pub bytes: u64,
    pub silent_since: Option<Instant>,
}

/// Something came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// The link is to be looked at, for [`Liveness::on_seen`].
    Look { peer: PeerId },
    /// Nothing came back on the direct path: [`Input::Silence`](crate::io::Input::Silence).
    Silence {
        peer: PeerId,
        since: Instant,
        sent: Instant,
        rtt: Duration,
    },
    /// The relays of the link have to prove that they are still there.
    CheckRelays { peer: PeerId },
    /// The link is watched no more: that it sends is [news](Liveness::on_activity) again.
    Unwatch { peer: PeerId },
}

impl Liveness {
    /// The computer has slept for `slept` in all, counted from any origin.
    pub fn new(now: Instant, slept: Duration) -> Self {
        Self {
            vigil: Vigil::begin(now, slept),
            links: BTreeMap::new(),
            next: None,
            events: VecDeque::new(),
        }
    }

    /// Whoever calls goes to sleep, for `tick` at most or until [`Self::poll_timeout`].
    pub fn rest(&mut self, now: Instant, tick: Duration) {
        let planned = self.next.map_or(tick, |_| tick.min(LOOK_EVERY));
        self.vigil.rest(now, planned);
    }

    /// Whoever calls woke up. Returns how long it was away, if that was so long that nothing known of the network counts.
    pub fn wake(&mut self, now: Instant, slept: Duration) -> Option<Duration> {
        self.vigil.wake(now, slept)
    }

    /// The link begins to send: from now on it is watched.
    pub fn on_activity(&mut self, now: Instant, peer: PeerId, seen: &Seen) {
        self.links.entry(peer).or_default().begin(now, seen);
        self.next.get_or_insert(now + LOOK_EVERY);
    }

    /// Takes what is seen of a link that was to be looked at.
    pub fn on_seen(&mut self, now: Instant, peer: PeerId, seen: &Seen) {
        let Some(watch) = self.links.get_mut(&peer) else {
            return;
        };
        let verdict = watch.look(now, seen, &self.vigil);
        if let Some((since, sent)) = verdict.silent {
            let rtt = seen.rtt;
            self.events.push_back(Event::Silence {
                peer,
                since,
                sent,
                rtt,
            });
        }
        if verdict.doubts_relay {
            self.events.push_back(Event::CheckRelays { peer });
        }
        if verdict.is_over {
            self.events.push_back(Event::Unwatch { peer });
            self.rest_if_unwatched();
        }
    }

    /// The link is no more.
    pub fn forget(&mut self, peer: PeerId) {
        self.links.remove(&peer);
        self.rest_if_unwatched();
    }

    /// Whether the link sent something a moment ago.
    pub fn is_watched(&self, peer: PeerId) -> bool {
        self.links.get(&peer).is_some_and(Watch::is_on)
    }

    /// When [`Self::handle_timeout`] has work.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    /// Has the links that are being watched looked at, if it is time.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.next.is_none_or(|at| at > now) {
            return;
        }
        self.next = Some(now + LOOK_EVERY);
        let watched = self.links.iter().filter(|(_, watch)| watch.is_on());
        let looks = watched.map(|(peer, _)| Event::Look { peer: *peer });
        self.events.extend(looks);
    }

    /// What came of it next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn rest_if_unwatched(&mut self) {
        if !self.links.values().any(Watch::is_on) {
            self.next = None;
        }
    }
}

/// Whether that many bytes in a second are more than what keeps a link alive.
pub fn is_use(received: u64, sent: u64) -> bool {
    received + sent > IN_USE
}

/// Whether a link that got no answer since then has lost all that it sent.
pub fn has_stalled(now: Instant, silent_since: Option<Instant>) -> bool {
    silent_since.is_some_and(|since| now.saturating_duration_since(since) >= STALLED)
}

#[cfg(test)]
mod tests;

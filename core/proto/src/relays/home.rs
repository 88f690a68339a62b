//! Which of our relays is the home relay, named first to others: the nearest by round trip. It changes only for one that is clearly
//! nearer, by what Tailscale's netcheck asks for (10 ms and a third, by the shortest round trips of five minutes; iroh's
//! net report asks for the third), and not twice in that time.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use super::Relay;
use crate::{
    HomeReason, PeerId, RelayRole, RelayUrl,
    timing::{HOME_KEPT, HOME_SETTLES, NEARER_BY, RTT_REMEMBERED},
};

/// Ours, and which of them comes first.
#[derive(Debug, Default)]
pub(super) struct Home {
    /// As configured, best first.
    configured: Vec<RelayUrl>,
    /// The key of the one that comes first whenever it can be used.
    preferred: Option<PeerId>,
    /// The home relay, then the others.
    ranked: Vec<RelayUrl>,
    is_chosen: bool,
    /// Until then the first measurements come in, and the choice is free.
    settles: Option<Instant>,
    /// Until then it changes only if it has to.
    kept_until: Option<Instant>,
}

/// The shortest of the round trips that were measured lately.
#[derive(Debug, Default)]
pub(super) struct RoundTrips(VecDeque<(Instant, Duration)>);

impl Home {
    pub(super) fn ranked(&self) -> &[RelayUrl] {
        &self.ranked
    }

    /// These are ours from now on, best first.
    pub(super) fn configure(&mut self, ours: Vec<RelayUrl>) {
        let home = self.ranked.first().filter(|_| self.is_chosen).cloned();
        self.ranked.clone_from(&ours);
        self.configured = ours;
        self.is_chosen = home.is_some_and(|home| self.put_first(&home));
    }

    /// The one of this key comes first whenever it can be used, however far away it is.
    pub(super) fn prefer(&mut self, relay: Option<PeerId>) {
        self.preferred = relay;
        // What was wanted before keeps no place: whoever is nearest now gets it.
        self.is_chosen = false;
    }

    /// What was measured is not true any more.
    pub(super) fn begin_anew(&mut self, now: Instant) {
        (self.settles, self.kept_until) = (Some(now + HOME_SETTLES), None);
    }

    /// Looks again which it is, after something happened at one of them.
    pub(super) fn choose(&mut self, now: Instant, relays: &BTreeMap<RelayUrl, Relay>) {
        if let Some(preferred) = self.preferred(relays).cloned() {
            self.is_chosen = self.put_first(&preferred);
            return;
        }
        let Some(choice) = self.nearest(now, relays).cloned() else {
            return;
        };
        let settles = *self.settles.get_or_insert(now + HOME_SETTLES);
        let home = self.ranked.first().filter(|_| self.is_chosen);
        let usable = home.and_then(|home| Some((home, usable(relays, home)?)));
        if let Some((home, relay)) = usable {
            let is_kept = self.kept_until.is_some_and(|until| now < until);
            let is_clear = || {
                let other = relays.get(&choice);
                other.is_some_and(|other| is_clearly_nearer(now, other, relay))
            };
            let moves = *home != choice && (now < settles || !is_kept && is_clear());
            if !moves {
                return;
            }
        }
        if self.is_chosen && now >= settles {
            self.kept_until = Some(now + HOME_KEPT);
        }
        self.is_chosen = self.put_first(&choice);
    }

    /// What a relay of ours is to us; nothing if we are not registered with it.
    pub(super) fn role(
        &self,
        url: &RelayUrl,
        relays: &BTreeMap<RelayUrl, Relay>,
    ) -> Option<RelayRole> {
        usable(relays, url).filter(|_| self.configured.contains(url))?;
        let is_home = self.is_chosen && self.ranked.first() == Some(url);
        Some(if is_home {
            RelayRole::Home
        } else {
            RelayRole::Standby
        })
    }

    /// Why the home relay is the one that it is.
    pub(super) fn reason(
        &self,
        now: Instant,
        relays: &BTreeMap<RelayUrl, Relay>,
    ) -> Option<HomeReason> {
        let url = self.ranked.first().filter(|_| self.is_chosen)?;
        let home = usable(relays, url)?;
        let others = || {
            let others = self.configured.iter().filter(|other| *other != url);
            others.filter_map(|other| usable(relays, other))
        };
        let is_nearer = |other: &Relay| {
            let [ours, theirs] = [home, other].map(|relay| relay.round_trips.shortest(now));
            theirs.zip(ours).is_some_and(|(theirs, ours)| theirs < ours)
        };
        Some(if self.preferred == Some(url.key()) {
            HomeReason::Preferred
        } else if others().next().is_none() {
            HomeReason::Only
        } else if !others().any(is_nearer) {
            HomeReason::Nearest
        } else if !others().any(|other| is_clearly_nearer(now, other, home)) {
            HomeReason::NearEnough
        } else {
            HomeReason::ChangedLately
        })
    }

    /// The one that is wanted, if it can be used.
    fn preferred(&self, relays: &BTreeMap<RelayUrl, Relay>) -> Option<&RelayUrl> {
        let ours = self.configured.iter();
        ours.filter(|url| self.preferred == Some(url.key()))
            .find(|url| usable(relays, url).is_some())
    }

    /// The nearest that can be used; of those that are about as near the first as configured.
    fn nearest(&self, now: Instant, relays: &BTreeMap<RelayUrl, Relay>) -> Option<&RelayUrl> {
        let usable = || {
            let ours = self.configured.iter();
            ours.filter_map(|url| Some((url, usable(relays, url)?)))
        };
        let mut about = usable().filter(|(_, relay)| {
            let mut others = usable();
            !others.any(|(_, other)| is_clearly_nearer(now, other, relay))
        });
        about.next().map(|(url, _)| url)
    }

    /// False if it is none of ours.
    fn put_first(&mut self, url: &RelayUrl) -> bool {
        let Some(at) = self.ranked.iter().position(|ours| ours == url) else {
            return false;
        };
        self.ranked[..=at].rotate_right(1);
        true
    }
}

impl RoundTrips {
    pub(super) fn note(&mut self, now: Instant, rtt: Duration) {
        // Longer ones before it are never the shortest again.
        while self.0.back().is_some_and(|(_, known)| *known >= rtt) {
            self.0.pop_back();
        }
        self.0.push_back((now, rtt));
        while self.0.len() > 1 && self.0.front().is_some_and(|(at, _)| is_old(now, *at)) {
            self.0.pop_front();
        }
        if self.0.len() > MOST {
            self.0.remove(MOST / 2);
        }
    }

    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    fn shortest(&self, now: Instant) -> Option<Duration> {
        let recent = self.0.iter().find(|(at, _)| !is_old(now, *at));
        recent.or_else(|| self.0.back()).map(|(_, rtt)| *rtt)
    }
}

/// Round trips that are remembered of one relay: as many as are asked for in [`RTT_REMEMBERED`], and some.
const MOST: usize = 32;

fn is_old(now: Instant, at: Instant) -> bool {
    now.saturating_duration_since(at) >= RTT_REMEMBERED
}

/// The relay, if we are registered with it and it is not about to stop.
fn usable<'a>(relays: &'a BTreeMap<RelayUrl, Relay>, url: &RelayUrl) -> Option<&'a Relay> {
    relays.get(url).filter(|relay| relay.lasts())
}

fn is_clearly_nearer(now: Instant, it: &Relay, other: &Relay) -> bool {
    let [it, other] = [it, other].map(|relay| relay.round_trips.shortest(now));
    it.zip(other)
        .is_some_and(|(it, other)| it + NEARER_BY <= other && it <= other / 3 * 2)
}

#[cfg(test)]
mod tests;

//! Relays whose operators took them out of service, and the relays that they named in their places. A relay says this about its own
//! place alone, so that there are never more of ours than the owner chose; it holds as long as the node runs. Of a relay that we only
//! visit it says where its clients are met from then on.

use std::{collections::BTreeMap, net::IpAddr, time::Instant};

use crate::{RelayUrl, addr::Scope, timing::MOVED_AGAIN};

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// For relays that the owner chose: who has their places.
    places: BTreeMap<RelayUrl, Successor>,
    /// For relays that are visited.
    visited: BTreeMap<RelayUrl, Successor>,
}

/// What a relay says.
pub(super) struct Word<'a> {
    pub(super) by: &'a RelayUrl,
    /// Where that relay is.
    pub(super) from: Option<IpAddr>,
    /// The one that it names.
    pub(super) to: &'a RelayUrl,
    /// Whether we have to do with that one already.
    pub(super) was_known: bool,
}

/// It names itself, or too soon again.
#[derive(Debug)]
pub(super) struct Disbelieved;

/// Who has a relay's place.
#[derive(Debug)]
struct Successor {
    relay: RelayUrl,
    /// The relay that named it, and where that is.
    by: RelayUrl,
    named_from: Option<IpAddr>,
    /// We had chosen it, or visited it, before it was named.
    was_known: bool,
    since: Instant,
    stage: Stage,
}

/// How far a relay has come on another's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// We were not registered with it yet.
    Named,
    /// We are.
    Up,
    /// We were.
    Down,
}

impl Moved {
    /// A relay names another one for the place that it has among the chosen ones, or for its own if it is visited. Returns the relay
    /// that it named before and that nobody needs now; an error if the word does not count.
    pub(super) fn name(
        &mut self,
        now: Instant,
        chosen: &[RelayUrl],
        word: &Word<'_>,
    ) -> Result<Option<RelayUrl>, Disbelieved> {
        let Word { by, to, .. } = *word;
        let place = self.place_held_by(chosen, by).cloned();
        let known = match &place {
            Some(place) => self.places.get(place),
            None => self.visited.get(by),
        };
        let is_too_soon = known.is_some_and(|known| now < known.since + MOVED_AGAIN);
        if to.key() == by.key() || is_too_soon {
            return Err(Disbelieved);
        }
        let successor = Successor {
            relay: to.clone(),
            by: by.clone(),
            named_from: word.from,
            was_known: word.was_known,
            since: now,
            stage: Stage::Named,
        };
        let before = match place {
            Some(place) => self.places.insert(place, successor),
            None => self.visited.insert(by.clone(), successor),
        };
        let before = before.filter(|it| !it.was_known && it.relay != *by && it.relay != *to);
        Ok(before.map(|before| before.relay))
    }

    /// The chosen relay whose place this one has, which may be its own.
    pub(super) fn place_held_by<'a>(
        &self,
        chosen: &'a [RelayUrl],
        relay: &RelayUrl,
    ) -> Option<&'a RelayUrl> {
        chosen.iter().find(|place| self.holder(place) == relay)
    }

    /// We are registered with a relay, or not any more. True if that changes something.
    pub(super) fn note(&mut self, relay: &RelayUrl, is_up: bool) -> bool {
        let mut has_changed = false;
        let named = self.places.values_mut().chain(self.visited.values_mut());
        for successor in named.filter(|it| it.relay == *relay) {
            let stage = match successor.stage {
                _ if is_up => Stage::Up,
                Stage::Named => Stage::Named,
                Stage::Up | Stage::Down => Stage::Down,
            };
            has_changed |= std::mem::replace(&mut successor.stage, stage) != stage;
        }
        has_changed
    }

    /// Forgets what was said of places that are not chosen any more.
    pub(super) fn retain(&mut self, chosen: &[RelayUrl]) {
        self.places.retain(|place, _| chosen.contains(place));
    }

    /// Forgets what was said by visited relays of which neither they nor the one that they named is needed any more.
    pub(super) fn retain_visited(&mut self, is_needed: impl Fn(&RelayUrl) -> bool) {
        self.visited
            .retain(|relay, named| is_needed(relay) || is_needed(&named.relay));
    }

    /// Which relays are ours instead of the chosen ones: a relay that was named takes the place of the one that named it once we
    /// are registered with it, and shares it when we are not any more.
    pub(super) fn ours(&self, chosen: &[RelayUrl]) -> Vec<RelayUrl> {
        let mut ours: Vec<RelayUrl> = Vec::new();
        for place in chosen {
            let (first, second) = match self.places.get(place) {
                None => (place, None),
                Some(it) => match it.stage {
                    Stage::Named => (&it.by, None),
                    Stage::Up => (&it.relay, None),
                    Stage::Down => (&it.relay, Some(place)),
                },
            };
            for relay in [first].into_iter().chain(second) {
                if !ours.contains(relay) {
                    ours.push(relay.clone());
                }
            }
        }
        ours
    }

    /// The relays that were named for places of ours.
    pub(super) fn named(&self) -> impl Iterator<Item = &RelayUrl> {
        self.places.values().map(|successor| &successor.relay)
    }

    /// The relay of the owner's choice whose place this one was named for.
    pub(super) fn place_of(&self, relay: &RelayUrl) -> Option<&RelayUrl> {
        let mut places = self.places.iter();
        let (place, _) = places.find(|(_, successor)| successor.relay == *relay)?;
        Some(place)
    }

    /// The relay at which those are met who chose this one as we did.
    pub(super) fn successor_of(&self, relay: &RelayUrl) -> Option<&RelayUrl> {
        let successor = self.places.get(relay)?;
        (successor.stage == Stage::Up).then_some(&successor.relay)
    }

    /// Whether a relay that was named may be at this address: at a public one, or on such a network as the relay that named it. A
    /// relay on the internet cannot have us knock at computers that only we reach.
    pub(super) fn may_be_at(&self, relay: &RelayUrl, ip: IpAddr) -> bool {
        let scope = Scope::of(ip);
        let mut named = self.all().filter(|(_, it)| it.relay == *relay);
        scope == Scope::Global
            || named.all(|(_, it)| it.was_known || it.named_from.map(Scope::of) == Some(scope))
    }

    /// Whether another one that we are registered with has this one's place.
    pub(super) fn has_replaced(&self, relay: &RelayUrl) -> bool {
        self.all().any(|(place, it)| {
            it.stage == Stage::Up && it.relay != *relay && (place == relay || it.by == *relay)
        })
    }

    /// Forgets that a relay was named.
    pub(super) fn refuse(&mut self, relay: &RelayUrl) {
        self.places.retain(|_, named| named.relay != *relay);
        self.visited.retain(|_, named| named.relay != *relay);
    }

    fn all(&self) -> impl Iterator<Item = (&RelayUrl, &Successor)> {
        self.places.iter().chain(&self.visited)
    }

    /// Who has a chosen relay's place now, or is to have it.
    fn holder<'a>(&'a self, place: &'a RelayUrl) -> &'a RelayUrl {
        match self.places.get(place) {
            None => place,
            Some(it) if it.stage == Stage::Named => &it.by,
            Some(it) => &it.relay,
        }
    }
}

#[cfg(test)]
mod tests;

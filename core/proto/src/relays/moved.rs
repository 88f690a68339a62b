//! Relays whose operators took them out of service, and the relays that they named in their places. A relay says this about its own
//! place alone, so that there are never more of ours than the owner chose; it holds as long as the node runs. Of a relay that we only
//! visit it says where its clients are met from then on.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Instant,
};

use crate::{RelayUrl, addr::Scope, timing::MOVED_AGAIN};

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// For relays that the owner chose: who has their places.
    places: BTreeMap<RelayUrl, Successor>,
    /// For relays that are visited.
    visited: BTreeMap<RelayUrl, Successor>,
    /// Relays that we know by such words alone, and on what networks those are that said them: none if on several. That one is named
    /// again makes it no other.
    strangers: BTreeMap<RelayUrl, Option<Scope>>,
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
    /// The relay that named it.
    by: RelayUrl,
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
    /// A relay names another one for the places that it has among the chosen ones, or for its own if it is visited. Returns the relays
    /// that were named for these before and for none now; an error if the word does not count.
    pub(super) fn name(
        &mut self,
        now: Instant,
        chosen: &[RelayUrl],
        word: &Word<'_>,
    ) -> Result<BTreeSet<RelayUrl>, Disbelieved> {
        let Word { by, to, .. } = *word;
        let places: Vec<RelayUrl> = self.places_held_by(chosen, by).cloned().collect();
        let is_recent = |known: &Successor| now < known.since + MOVED_AGAIN;
        let is_too_soon = match &places[..] {
            [] => self.visited.get(by).is_some_and(is_recent),
            places => {
                let mut known = places.iter().filter_map(|place| self.places.get(place));
                known.any(is_recent)
            }
        };
        if to.key() == by.key() || is_too_soon {
            return Err(Disbelieved);
        }
        // What has a place of ours may be where those are that gave it.
        let is_ours = self.named().any(|named| named == to);
        if !(places.is_empty() && is_ours) {
            self.meet(word);
        }
        let successor = || Successor {
            relay: to.clone(),
            by: by.clone(),
            since: now,
            stage: Stage::Named,
        };
        let mut before: Vec<Successor> = Vec::new();
        if places.is_empty() {
            before.extend(self.visited.insert(by.clone(), successor()));
        }
        for place in places {
            before.extend(self.places.insert(place, successor()));
        }
        let mut dropped: BTreeSet<RelayUrl> = before.into_iter().map(|it| it.relay).collect();
        dropped.retain(|it| it != by && self.strangers.contains_key(it) && !self.is_named(it));
        Ok(dropped)
    }

    /// Notes where a relay is named from that we do not know otherwise.
    fn meet(&mut self, word: &Word<'_>) {
        let from = word.from.map(Scope::of);
        match self.strangers.get_mut(word.to) {
            Some(known) if *known != from => *known = None,
            Some(_) => {}
            None if word.was_known => {}
            None => {
                self.strangers.insert(word.to.clone(), from);
            }
        }
    }

    /// Whether it has a place among the chosen ones, or shares one.
    pub(super) fn has_place(&self, chosen: &[RelayUrl], relay: &RelayUrl) -> bool {
        self.places_held_by(chosen, relay).next().is_some()
    }

    /// The chosen relays whose places this one has or shares, of which one may be its own.
    fn places_held_by<'a>(
        &self,
        chosen: &'a [RelayUrl],
        relay: &RelayUrl,
    ) -> impl Iterator<Item = &'a RelayUrl> {
        chosen.iter().filter(move |place| {
            let (first, second) = self.holders(place);
            first == relay || second == Some(relay)
        })
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
        self.strangers.retain(|relay, _| !chosen.contains(relay));
    }

    /// Forgets what was said by visited relays of which neither they nor the one that they named is needed any more, and of relays that
    /// are neither needed nor named.
    pub(super) fn retain_needed(&mut self, is_needed: impl Fn(&RelayUrl) -> bool) {
        self.visited
            .retain(|relay, named| is_needed(relay) || is_needed(&named.relay));
        let mut strangers = std::mem::take(&mut self.strangers);
        strangers.retain(|relay, _| is_needed(relay) || self.is_named(relay));
        self.strangers = strangers;
    }

    /// Which relays are ours instead of the chosen ones: a relay that was named takes the place of the one that named it once we
    /// are registered with it, and shares it when we are not any more.
    pub(super) fn ours(&self, chosen: &[RelayUrl]) -> Vec<RelayUrl> {
        let mut ours: Vec<RelayUrl> = Vec::new();
        for place in chosen {
            let (first, second) = self.holders(place);
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

    /// The relay of the owner's choice whose place this one has, since we were registered with it.
    pub(super) fn place_of(&self, relay: &RelayUrl) -> Option<&RelayUrl> {
        let mut places = self.places.iter();
        let has = |it: &Successor| it.relay == *relay && it.stage != Stage::Named;
        let (place, _) = places.find(|(_, successor)| has(successor))?;
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
        let named_from = self.strangers.get(relay);
        scope == Scope::Global || named_from.is_none_or(|from| *from == Some(scope))
    }

    /// Whether we know a relay by nothing but the words of others.
    pub(super) fn is_stranger(&self, relay: &RelayUrl) -> bool {
        self.strangers.contains_key(relay)
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

    fn is_named(&self, relay: &RelayUrl) -> bool {
        self.all().any(|(_, it)| it.relay == *relay)
    }

    /// Who has a chosen relay's place now, and who shares it.
    fn holders<'a>(&'a self, place: &'a RelayUrl) -> (&'a RelayUrl, Option<&'a RelayUrl>) {
        match self.places.get(place) {
            None => (place, None),
            Some(it) => match it.stage {
                Stage::Named => (&it.by, None),
                Stage::Up => (&it.relay, None),
                Stage::Down => (&it.relay, Some(place)),
            },
        }
    }
}

#[cfg(test)]
mod tests;

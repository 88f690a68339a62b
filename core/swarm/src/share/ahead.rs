//! The [`Picker`] with an eye to those who read meanwhile: [`Ahead`]. Pure, as that is.
//!
//! The picker is shown only those units that may be asked for. Of what readers want it is shown one more whenever a holder has room and
//! nothing else to do, in the order in which the readers need them. So everything that the picker does about holders that are late
//! holds for them too.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use peerway::PeerId;

use super::{Came, Picker, Units, readers::Wanted};

#[derive(Debug)]
pub(super) struct Ahead {
    picker: Picker,
    /// What each holder has; the picker knows of a part.
    holders: BTreeMap<PeerId, Units>,
    wanted: Wanted,
    /// Of what is wanted, what the picker was shown.
    shown: BTreeSet<u32>,
    /// What was asked for and has not come.
    asked: BTreeSet<u32>,
}

impl Ahead {
    /// Of all.
    pub(super) fn new(picker: Picker) -> Self {
        Self {
            picker,
            holders: BTreeMap::new(),
            wanted: Wanted::All,
            shown: BTreeSet::new(),
            asked: BTreeSet::new(),
        }
    }

    pub(super) fn held(&self) -> &Units {
        self.picker.held()
    }

    /// Whether nothing is wanted for now.
    pub(super) fn rests(&self) -> bool {
        matches!(&self.wanted, Wanted::These(units) if units.is_empty())
    }

    /// From now on this is wanted.
    pub(super) fn want(&mut self, wanted: Wanted) {
        if wanted == self.wanted {
            return;
        }
        match &wanted {
            Wanted::All => {
                for (peer, units) in &self.holders {
                    let all: Vec<_> = units.iter().collect();
                    self.picker.gained(*peer, &all);
                }
                self.shown.clear();
            }
            Wanted::These(units) => {
                let was_all = self.wanted == Wanted::All;
                let wanted = units.iter().copied();
                let before = if was_all { &self.asked } else { &self.shown };
                let stays: BTreeSet<_> = wanted.filter(|unit| before.contains(unit)).collect();
                for (peer, has) in &self.holders {
                    let shown = has.iter();
                    let shown = shown.filter(|unit| was_all || self.shown.contains(unit));
                    for unit in shown.filter(|unit| !stays.contains(unit)) {
                        self.picker.missing(*peer, unit);
                    }
                }
                self.shown = stays;
            }
        }
        self.wanted = wanted;
    }

    /// What a holder has.
    pub(super) fn units_of(&self, peer: PeerId) -> Option<&Units> {
        self.holders.get(&peer)
    }

    /// See [`Picker::come`].
    pub(super) fn come(&mut self, peer: PeerId, units: Units, now: Duration) -> bool {
        let mut part = units.clone();
        if let Wanted::These(_) = self.wanted {
            part = Units::none(units.len());
            for unit in self.shown.iter().filter(|unit| units.has(**unit)) {
                part.insert(*unit);
            }
        }
        let is_of_it = self.picker.come(peer, part, now);
        if is_of_it {
            self.holders.insert(peer, units);
        }
        is_of_it
    }

    /// See [`Picker::gained`].
    pub(super) fn gained(&mut self, peer: PeerId, units: &[u32]) {
        let Some(has) = self.holders.get_mut(&peer) else {
            return;
        };
        for unit in units {
            has.insert(*unit);
        }
        let is_shown = |unit: &&u32| self.wanted == Wanted::All || self.shown.contains(unit);
        let shown: Vec<_> = units.iter().filter(is_shown).copied().collect();
        self.picker.gained(peer, &shown);
    }

    /// See [`Picker::placed`].
    pub(super) fn placed(&mut self, peer: PeerId, place: u32) {
        self.picker.placed(peer, place);
    }

    /// See [`Picker::sends`].
    pub(super) fn sends(&mut self, peer: PeerId) {
        self.picker.sends(peer);
    }

    /// See [`Picker::shared`].
    pub(super) fn shared(&mut self) {
        self.picker.shared();
    }

    /// See [`Picker::suggested`].
    pub(super) fn suggested(&mut self, peer: PeerId, units: &[u32]) {
        self.picker.suggested(peer, units);
    }

    /// See [`Picker::gone`].
    pub(super) fn gone(&mut self, peer: PeerId) {
        self.holders.remove(&peer);
        self.picker.gone(peer);
    }

    /// See [`Picker::next`].
    pub(super) fn next(&mut self, peer: PeerId, now: Duration) -> Option<u32> {
        if let Some(unit) = self.picker.next(peer, now) {
            self.asked.insert(unit);
            return Some(unit);
        }
        let Wanted::These(units) = &self.wanted else {
            return None;
        };
        let has = self.holders.get(&peer)?;
        let mut units = units.iter().copied();
        let unit = units.find(|unit| {
            has.has(*unit) && !self.shown.contains(unit) && !self.picker.held().has(*unit)
        })?;
        let holders = self.holders.iter().filter(|(_, has)| has.has(unit));
        let holders: Vec<_> = holders.map(|(peer, _)| *peer).collect();
        for holder in &holders {
            self.picker.gained(*holder, &[unit]);
        }
        let asked = self.picker.next(peer, now);
        if asked == Some(unit) {
            self.shown.insert(unit);
            self.asked.insert(unit);
        } else {
            // It has no room.
            for holder in &holders {
                self.picker.missing(*holder, unit);
            }
        }
        asked
    }

    /// See [`Picker::came`].
    pub(super) fn came(&mut self, peer: PeerId, unit: u32, now: Duration) -> Came {
        self.asked.remove(&unit);
        self.picker.came(peer, unit, now)
    }

    /// See [`Picker::missing`].
    pub(super) fn missing(&mut self, peer: PeerId, unit: u32) {
        if let Some(has) = self.holders.get_mut(&peer) {
            has.remove(unit);
        }
        self.picker.missing(peer, unit);
    }

    /// See [`Picker::not_kept`].
    pub(super) fn not_kept(&mut self, peer: PeerId, unit: u32) {
        self.picker.not_kept(peer, unit);
    }
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;
    use proptest::prelude::*;

    use super::*;

    const UNIT: u64 = 256 << 10;

    fn peer(seed: u8) -> PeerId {
        SecretKey::from_seed(&[seed; 32]).id()
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn ahead(units: u32) -> Ahead {
        Ahead::new(Picker::new(Units::none(units), UNIT, 7))
    }

    #[test]
    fn what_a_reader_needs_is_asked_for_in_its_order_and_nothing_else() {
        let mut ahead = ahead(100);
        ahead.want(Wanted::These(vec![70, 71, 3, 4]));
        ahead.come(peer(1), Units::all(100), ms(0));
        ahead.come(peer(2), Units::all(100), ms(0));
        let mut asked = Vec::new();
        for turn in 0..8 {
            let from = peer(1 + turn % 2);
            if let Some(unit) = ahead.next(from, ms(u64::from(turn))) {
                asked.push(unit);
                ahead.came(from, unit, ms(u64::from(turn) + 1));
            }
        }
        assert_eq!(asked, [70, 71, 3, 4]);
        ahead.want(Wanted::All);
        assert!(ahead.next(peer(1), ms(20)).is_some() && !ahead.rests());
        ahead.want(Wanted::These(Vec::new()));
        assert!(ahead.rests() && ahead.next(peer(2), ms(21)).is_none());
    }

    #[test]
    fn what_was_not_asked_for_as_there_was_no_room_keeps_its_place() {
        let mut ahead = ahead(50);
        ahead.come(peer(1), Units::all(50), ms(0));
        let wanted: Vec<_> = (20..40).collect();
        ahead.want(Wanted::These(wanted));
        let mut asked: Vec<_> = std::iter::from_fn(|| ahead.next(peer(1), ms(0))).collect();
        assert_eq!(asked, [20], "little is asked of who is not known");
        for _ in 0..5 {
            assert_eq!(ahead.next(peer(1), ms(1)), None);
        }
        ahead.came(peer(1), 20, ms(2));
        asked.extend(std::iter::from_fn(|| ahead.next(peer(1), ms(2))));
        assert!(asked.len() > 3 && asked.is_sorted(), "{asked:?}");
    }

    proptest! {
        #[test]
        fn whatever_is_wanted_comes_whoever_has_it_and_nothing_that_is_not(
            wants in prop::collection::vec(prop::option::of(prop::collection::vec(0..40u32, 0..8)), 1..6),
            has in prop::collection::vec(prop::collection::btree_set(0..40u32, 0..40), 1..4)) {
            let mut ahead = ahead(40);
            let mut now = ms(0);
            for (at, units) in has.iter().enumerate() {
                let mut set = Units::none(40);
                for unit in units {
                    set.insert(*unit);
                }
                ahead.come(peer(at as u8), set, now);
            }
            for want in wants {
                let wanted: BTreeSet<u32> = want.clone().map_or_else(|| (0..40).collect(), |it| it.into_iter().collect());
                ahead.want(want.map_or(Wanted::All, Wanted::These));
                let mut is_busy = true;
                while std::mem::take(&mut is_busy) {
                    for at in 0..has.len() as u8 {
                        while let Some(unit) = ahead.next(peer(at), now) {
                            now += ms(1);
                            is_busy = true;
                            prop_assert!(wanted.contains(&unit) && has[at as usize].contains(&unit));
                            ahead.came(peer(at), unit, now);
                        }
                    }
                }
                for unit in wanted {
                    let is_had = has.iter().any(|units| units.contains(&unit));
                    prop_assert_eq!(ahead.held().has(unit), is_had, "{}", unit);
                }
            }
        }
    }
}

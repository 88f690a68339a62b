//! Which unit is asked of whom: [`Picker`]. Pure: what came, what holders have and the time go in, units to ask for come out.
//!
//! The rarest among the holders that are connected comes first, so that no unit is lost with the one who has it; among equally rare
//! ones what the holder suggests, then the one behind the last, which disks read fastest, beginning at a random place, so that many who
//! fetch do not fetch the same.
//! Each unit is asked of one holder. If that one is late or serves others first, or nothing else is left and another is expected to be faster, a second is
//! asked too, and never a third.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use peerway::PeerId;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::Units;

/// What is asked of a holder ahead of time, beyond its round trip.
const AHEAD: Duration = Duration::from_millis(300);
/// Units that are asked of one holder at once, at least and at most: of many holders that are slow each is to have little, so that what
/// is asked for later can be asked of whoever has it by then.
const IN_FLIGHT: (u32, u32) = (1, 32);
/// The same of one who sends already, where nobody else has or fetches it: there is nothing to leave to others.
const ALONE: u32 = 8;
/// Units that are missing when each may be asked of a second holder.
const LAST: u32 = 8;
/// What a holder may take in any case before a unit counts as late.
const PATIENCE: Duration = Duration::from_secs(2);
/// What one that is not known yet is expected to take for its first unit.
const UNKNOWN: Duration = Duration::from_secs(5);
/// How many times the expected a unit may take.
const LATE: u32 = 3;
/// Holders that one unit is asked of at once.
const OWNERS: usize = 2;
/// Suggestions of one holder that are remembered.
const MAX_SUGGESTED: usize = 64;
/// How much the newest measurement counts.
const NEWEST: f64 = 0.2;

/// What is missing of some content, who has it, and who was asked for it.
#[derive(Debug)]
pub struct Picker {
    unit: u64,
    held: Units,
    /// Asked of somebody.
    asked: Units,
    owners: BTreeMap<u32, Vec<Owner>>,
    holders: BTreeMap<PeerId, Holder>,
    /// How many of the holders have each unit.
    copies: Vec<u16>,
    /// Whether others are known who fetch it or have it.
    is_shared: bool,
    rng: StdRng,
}

#[derive(Debug)]
struct Owner {
    peer: PeerId,
    at: Duration,
    /// When it is expected.
    due: Duration,
    is_late: bool,
}

#[derive(Debug)]
struct Holder {
    units: Units,
    in_flight: u32,
    /// Bytes a second, once that is known.
    rate: Option<f64>,
    /// The shortest time that a unit took.
    fastest: Option<Duration>,
    /// When the last unit came.
    last: Duration,
    /// Behind the last one that was asked for.
    next: Option<u32>,
    /// What it suggests, the first first.
    suggested: VecDeque<u32>,
    /// How many others it serves first.
    place: u32,
    /// Whether anything comes from it.
    sends: bool,
}

impl Holder {
    /// When a unit that is asked for now will be there.
    fn due(&self, unit: u64, now: Duration) -> Duration {
        let ahead = f64::from(self.in_flight) * unit as f64;
        let queue = self.rate.map_or(0.0, |rate| ahead / rate.max(1.0));
        now + self.fastest.unwrap_or(UNKNOWN) + Duration::from_secs_f64(queue.min(3600.0))
    }

    fn room(&self, unit: u64) -> u32 {
        let (least, most) = IN_FLIGHT;
        if self.place > 0 {
            // It keeps the place in its queue.
            return 1;
        }
        let Some((rate, fastest)) = self.rate.zip(self.fastest) else {
            return least;
        };
        let ahead = rate * (fastest + AHEAD).as_secs_f64() / unit as f64;
        (ahead as u32).saturating_add(least).min(most)
    }
}

/// What became of a unit that came.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Came {
    /// Whether it was not there yet.
    pub is_new: bool,
    /// Who else was asked for it and need not send it any more.
    pub cancel: Vec<PeerId>,
}

impl Picker {
    /// For content of units of so many bytes, of which these are there.
    #[must_use]
    pub fn new(held: Units, unit: u64, seed: u64) -> Self {
        Self {
            unit: unit.max(1),
            asked: Units::none(held.len()),
            owners: BTreeMap::new(),
            holders: BTreeMap::new(),
            copies: vec![0; held.len() as usize],
            is_shared: false,
            rng: StdRng::seed_from_u64(seed),
            held,
        }
    }

    /// What is there.
    #[must_use]
    pub fn held(&self) -> &Units {
        &self.held
    }

    /// What a holder has.
    #[must_use]
    pub fn units_of(&self, peer: PeerId) -> Option<&Units> {
        self.holders.get(&peer).map(|holder| &holder.units)
    }

    /// A holder came, with these units; again if it says anew what it has. False if they are of other content.
    pub fn come(&mut self, peer: PeerId, units: Units, now: Duration) -> bool {
        if units.len() != self.held.len() {
            return false;
        }
        for unit in units.iter() {
            self.count(unit, 1);
        }
        let before = self.holders.remove(&peer);
        for unit in before.iter().flat_map(|before| before.units.iter()) {
            self.count(unit, -1);
        }
        let new = Holder {
            units: Units::none(0),
            in_flight: 0,
            rate: None,
            fastest: None,
            last: now,
            next: None,
            suggested: VecDeque::new(),
            place: 0,
            sends: false,
        };
        let holder = Holder {
            units,
            ..before.unwrap_or(new)
        };
        self.holders.insert(peer, holder);
        true
    }

    /// A holder has more units.
    pub fn gained(&mut self, peer: PeerId, units: &[u32]) {
        for unit in units {
            let holder = self.holders.get_mut(&peer);
            if holder.is_some_and(|holder| holder.units.insert(*unit)) {
                self.count(*unit, 1);
            }
        }
    }

    /// A holder serves so many others first: what it was asked for may be asked of others meanwhile.
    pub fn placed(&mut self, peer: PeerId, place: u32) {
        if let Some(holder) = self.holders.get_mut(&peer) {
            holder.place = place;
        }
    }

    /// A holder sends something that was asked for.
    pub fn sends(&mut self, peer: PeerId) {
        if let Some(holder) = self.holders.get_mut(&peer) {
            holder.sends = true;
        }
    }

    /// There are others who fetch it or have it.
    pub fn shared(&mut self) {
        self.is_shared = true;
    }

    /// A holder suggests these, which it has sent nobody yet. Others that are rarer are asked for first all the same.
    pub fn suggested(&mut self, peer: PeerId, units: &[u32]) {
        if let Some(holder) = self.holders.get_mut(&peer) {
            holder.suggested.extend(units);
            let beyond = holder.suggested.len().saturating_sub(MAX_SUGGESTED);
            holder.suggested.drain(..beyond);
        }
    }

    /// A holder left, or is not asked any more.
    pub fn gone(&mut self, peer: PeerId) {
        let Some(holder) = self.holders.remove(&peer) else {
            return;
        };
        for unit in holder.units.iter() {
            self.count(unit, -1);
        }
        let owned: Vec<_> = self.owned(peer).collect();
        for unit in owned {
            self.release(peer, unit);
        }
    }

    /// What to ask of a holder now; none if it has all that it can do, or nothing that is wanted.
    pub fn next(&mut self, peer: PeerId, now: Duration) -> Option<u32> {
        let holder = self.holders.get(&peer)?;
        let is_alone = self.holders.len() == 1 && !self.is_shared;
        let least = match is_alone && holder.sends && holder.place == 0 {
            true => ALONE,
            false => 0,
        };
        if holder.in_flight >= holder.room(self.unit).max(least) {
            return None;
        }
        let due = holder.due(self.unit, now);
        let unit = self.rarest(peer).or_else(|| self.second(peer, due, now))?;
        let at = now;
        let owner = Owner {
            peer,
            at,
            due,
            is_late: false,
        };
        self.owners.entry(unit).or_default().push(owner);
        self.asked.insert(unit);
        let holder = self.holders.get_mut(&peer)?;
        holder.in_flight += 1;
        holder.next = unit.checked_add(1);
        Some(unit)
    }

    /// The unit that was not asked of anybody and that the fewest have.
    fn rarest(&mut self, peer: PeerId) -> Option<u32> {
        let holder = self.holders.get(&peer)?;
        let (mut found, mut fewest, mut among) = (None, u16::MAX, 0u32);
        for unit in holder.units.without(&self.held, &self.asked) {
            let copies = self.copies.get(unit as usize).copied().unwrap_or(0);
            if copies < fewest {
                (found, fewest, among) = (None, copies, 0);
            }
            if copies > fewest {
                continue;
            }
            if holder.next == Some(unit) {
                found = Some(unit);
                among = u32::MAX;
            } else if among < u32::MAX {
                among += 1;
                if self.rng.random_range(0..among) == 0 {
                    found = Some(unit);
                }
            }
        }
        self.suggestion(peer, fewest).or(found)
    }

    /// The first of what a holder suggests that is to be asked for and that no more have than so many.
    fn suggestion(&mut self, peer: PeerId, copies: u16) -> Option<u32> {
        let holder = self.holders.get_mut(&peer)?;
        let is_wanted = |unit: u32| {
            let is_missing = !self.held.has(unit) && !self.asked.has(unit);
            is_missing && holder.units.has(unit)
        };
        let is_rare = |unit: u32| {
            self.copies
                .get(unit as usize)
                .is_some_and(|it| *it <= copies)
        };
        while let Some(unit) = holder.suggested.pop_front() {
            if is_wanted(unit) && is_rare(unit) {
                return Some(unit);
            }
        }
        None
    }

    /// A unit that another was asked for and is late with, or expected with later than this one.
    fn second(&mut self, peer: PeerId, due: Duration, now: Duration) -> Option<u32> {
        let holder = self.holders.get(&peer)?;
        if holder.place > 0 {
            return None;
        }
        let is_last = self.held.len() - self.held.count() <= LAST;
        let mut slowest = None;
        let mut late = Vec::new();
        for (unit, owners) in &mut self.owners {
            let [owner] = &mut owners[..] else { continue };
            if owner.peer == peer || !holder.units.has(*unit) {
                continue;
            }
            let expected = owner.due.saturating_sub(owner.at);
            let is_late = now > owner.at + PATIENCE.max(expected * LATE);
            if is_late && !std::mem::replace(&mut owner.is_late, true) {
                late.push(owner.peer);
            }
            let waits = self.holders.get(&owner.peer).is_some_and(|it| it.place > 0);
            let gains = is_late || waits || (is_last && owner.due > due);
            if gains && slowest.is_none_or(|(_, due)| owner.due > due) {
                slowest = Some((*unit, owner.due));
            }
        }
        for peer in late {
            self.slow_down(peer);
        }
        slowest.map(|(unit, _)| unit)
    }

    /// Less is asked of who is late.
    fn slow_down(&mut self, peer: PeerId) {
        if let Some(rate) = self.holders.get_mut(&peer).and_then(|it| it.rate.as_mut()) {
            *rate /= 2.0;
        }
    }

    /// A unit came from a holder and was right.
    pub fn came(&mut self, peer: PeerId, unit: u32, now: Duration) -> Came {
        let asked_at = self.release(peer, unit);
        if let (Some(holder), Some(at)) = (self.holders.get_mut(&peer), asked_at) {
            let took = now.saturating_sub(at);
            holder.fastest = Some(holder.fastest.map_or(took, |fastest| fastest.min(took)));
            let since = now.saturating_sub(holder.last.max(at));
            let newest = self.unit as f64 / since.as_secs_f64().max(0.0005);
            let rate = holder.rate.map_or(newest, |rate| {
                // The mean of times, not of rates, is what the next units will take.
                1.0 / ((1.0 - NEWEST) / rate.max(1.0) + NEWEST / newest)
            });
            holder.rate = Some(rate);
            holder.last = now;
        }
        let is_new = self.held.insert(unit);
        let others = self.owners.remove(&unit).unwrap_or_default();
        let cancel: Vec<_> = others.iter().map(|owner| owner.peer).collect();
        for peer in &cancel {
            if let Some(holder) = self.holders.get_mut(peer) {
                holder.in_flight = holder.in_flight.saturating_sub(1);
            }
        }
        Came { is_new, cancel }
    }

    /// A holder has not what it was asked for.
    pub fn missing(&mut self, peer: PeerId, unit: u32) {
        self.release(peer, unit);
        let holder = self.holders.get_mut(&peer);
        if holder.is_some_and(|holder| holder.units.remove(unit)) {
            self.count(unit, -1);
        }
    }

    /// What came could not be kept: it is asked for again.
    pub fn not_kept(&mut self, peer: PeerId, unit: u32) {
        self.release(peer, unit);
    }

    /// Takes a unit from its owner; when it was asked for.
    fn release(&mut self, peer: PeerId, unit: u32) -> Option<Duration> {
        let owners = self.owners.get_mut(&unit)?;
        debug_assert!(owners.len() <= OWNERS, "a third is never asked");
        let at = owners.iter().position(|owner| owner.peer == peer)?;
        let owner = owners.swap_remove(at);
        if owners.is_empty() {
            self.owners.remove(&unit);
            self.asked.remove(unit);
        }
        if let Some(holder) = self.holders.get_mut(&peer) {
            holder.in_flight = holder.in_flight.saturating_sub(1);
        }
        Some(owner.at)
    }

    fn owned(&self, peer: PeerId) -> impl Iterator<Item = u32> {
        let owners = self.owners.iter();
        let own = owners.filter(move |(_, owners)| owners.iter().any(|it| it.peer == peer));
        own.map(|(unit, _)| *unit)
    }

    fn count(&mut self, unit: u32, by: i16) {
        if let Some(copies) = self.copies.get_mut(unit as usize) {
            *copies = copies.saturating_add_signed(by);
        }
    }
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;

    use super::*;

    const UNIT: u64 = 256 << 10;

    fn peer(seed: u8) -> PeerId {
        SecretKey::from_seed(&[seed; 32]).id()
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn picker(units: u32) -> Picker {
        Picker::new(Units::none(units), UNIT, 7)
    }

    fn of(len: u32, units: &[u32]) -> Units {
        let mut set = Units::none(len);
        units.iter().for_each(|unit| {
            set.insert(*unit);
        });
        set
    }

    /// Takes all that a holder is asked for, each a moment after it was asked.
    fn drain(picker: &mut Picker, peer: PeerId, now: &mut Duration) -> Vec<u32> {
        let mut units = Vec::new();
        while let Some(unit) = picker.next(peer, *now) {
            *now += ms(1);
            assert!(picker.came(peer, unit, *now).is_new);
            units.push(unit);
        }
        units
    }

    #[test]
    fn the_rarest_is_asked_for_first_and_each_of_one_holder() {
        let mut picker = picker(6);
        picker.come(peer(1), Units::all(6), ms(0));
        picker.come(peer(2), of(6, &[0, 1, 2, 3]), ms(0));
        picker.come(peer(3), of(6, &[0, 1, 2, 4]), ms(0));
        assert_eq!(picker.next(peer(1), ms(0)), Some(5));
        assert_eq!(picker.next(peer(2), ms(0)), Some(3));
        assert_eq!(picker.next(peer(3), ms(0)), Some(4));
        assert_eq!(picker.next(peer(3), ms(0)), None, "it is not known yet");
        picker.came(peer(1), 5, ms(1));
        picker.came(peer(2), 3, ms(1));
        let mut asked: Vec<_> = [1, 2, 1]
            .into_iter()
            .filter_map(|from| picker.next(peer(from), ms(1)))
            .collect();
        asked.sort_unstable();
        assert_eq!(asked, [0, 1, 2]);
    }

    #[test]
    fn who_begins_does_so_anywhere_and_goes_on_in_order() {
        let firsts: Vec<_> = (0..20)
            .map(|seed| {
                let mut picker = Picker::new(Units::none(1000), UNIT, seed);
                picker.come(peer(1), Units::all(1000), ms(0));
                let mut now = ms(0);
                let first = picker.next(peer(1), now).unwrap();
                now += ms(1);
                picker.came(peer(1), first, now);
                if first < 999 {
                    assert_eq!(picker.next(peer(1), now), Some(first + 1));
                }
                first
            })
            .collect();
        let (least, most) = (firsts.iter().min().unwrap(), firsts.iter().max().unwrap());
        assert!(most - least > 500, "{firsts:?}");
    }

    #[test]
    fn what_a_holder_suggests_is_asked_for_first_unless_something_else_is_rarer() {
        let mut picker = picker(100);
        picker.come(peer(1), Units::all(100), ms(0));
        picker.suggested(peer(1), &[40, 7, 200, 41]);
        assert_eq!(picker.next(peer(1), ms(0)), Some(40));
        picker.came(peer(1), 40, ms(1));
        // Somebody else has one meanwhile.
        picker.come(peer(2), of(100, &[7, 8]), ms(1));
        assert_eq!(picker.next(peer(1), ms(1)), Some(41));
        picker.came(peer(1), 41, ms(2));
        picker.suggested(peer(1), &[40, 41, 8]);
        assert_eq!(picker.next(peer(1), ms(2)), Some(42), "in order, as ever");
        picker.suggested(peer(9), &[1]);
    }

    #[test]
    fn who_is_late_is_asked_beside_another_and_the_second_answer_is_called_off() {
        let mut picker = picker(40);
        picker.come(peer(1), Units::all(40), ms(0));
        let slow: Vec<_> = std::iter::from_fn(|| picker.next(peer(1), ms(0))).collect();
        assert_eq!(slow.len(), 1, "little is asked of who is not known");
        picker.come(peer(2), Units::all(40), ms(0));
        let mut now = ms(0);
        let fast = drain(&mut picker, peer(2), &mut now);
        assert_eq!(
            fast.len(),
            39 + 1,
            "towards the end who is expected earlier is asked too"
        );
        assert!(picker.held().is_full());
        // Another one, with much left.
        let mut picker = Picker::new(Units::none(400), UNIT, 1);
        picker.come(peer(1), Units::all(400), ms(0));
        picker.come(peer(2), of(400, &(0..400).collect::<Vec<_>>()), ms(0));
        let unit = picker.next(peer(1), ms(0)).unwrap();
        picker.gone(peer(2));
        picker.come(peer(2), of(400, &[unit]), ms(0));
        assert_eq!(picker.next(peer(2), ms(1000)), None, "not yet late");
        assert_eq!(picker.next(peer(2), ms(60_000)), Some(unit));
        let came = picker.came(peer(2), unit, ms(60_010));
        assert_eq!((came.is_new, came.cancel), (true, vec![peer(1)]));
        assert!(!picker.came(peer(1), unit, ms(60_020)).is_new);
    }

    #[test]
    fn what_was_asked_of_who_leaves_is_asked_of_others_at_once() {
        let mut picker = picker(2);
        picker.come(peer(1), Units::all(2), ms(0));
        picker.come(peer(2), Units::all(2), ms(0));
        assert!(picker.next(peer(1), ms(0)).is_some());
        picker.gone(peer(1));
        let mut now = ms(1);
        assert_eq!(drain(&mut picker, peer(2), &mut now).len(), 2);
    }

    #[test]
    fn who_has_not_what_it_said_is_not_asked_for_it_again() {
        let mut picker = picker(1);
        picker.come(peer(1), Units::all(1), ms(0));
        assert_eq!(picker.next(peer(1), ms(0)), Some(0));
        picker.missing(peer(1), 0);
        assert_eq!(picker.next(peer(1), ms(1)), None);
        picker.gained(peer(1), &[0, 0, 77]);
        assert_eq!(picker.next(peer(1), ms(2)), Some(0));
        assert!(!picker.come(peer(1), Units::all(2), ms(3)), "other content");
    }

    #[test]
    fn several_units_are_asked_at_once_of_the_only_one_who_has_it_as_soon_as_it_sends() {
        let all = |picker: &mut Picker| {
            picker.come(peer(1), Units::all(40), ms(0));
            let first = picker.next(peer(1), ms(0));
            assert!(first.is_some() && picker.next(peer(1), ms(0)).is_none());
            picker.sends(peer(1));
        };
        let count =
            |picker: &mut Picker| 1 + std::iter::from_fn(|| picker.next(peer(1), ms(40))).count();
        let mut alone = picker(40);
        all(&mut alone);
        assert_eq!(count(&mut alone), 8);
        let mut shared = picker(40);
        shared.shared();
        all(&mut shared);
        assert_eq!(count(&mut shared), 1, "others fetch it too");
        let mut waiting = picker(40);
        all(&mut waiting);
        waiting.placed(peer(1), 3);
        assert_eq!(count(&mut waiting), 1, "others are served first");
        let mut two = picker(40);
        two.come(peer(2), Units::all(40), ms(0));
        all(&mut two);
        assert_eq!(count(&mut two), 1, "another has it");
    }

    #[test]
    fn more_is_asked_ahead_of_who_is_fast_and_never_without_bound() {
        let mut picker = picker(4000);
        picker.come(peer(1), Units::all(4000), ms(0));
        let mut now = ms(0);
        for _ in 0..100 {
            let unit = picker.next(peer(1), now).unwrap();
            now += ms(3);
            picker.came(peer(1), unit, now);
        }
        let ahead = std::iter::from_fn(|| picker.next(peer(1), now)).count();
        assert_eq!(ahead, 32);
    }
}

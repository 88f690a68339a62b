//! What those who read some content while it is fetched want next: [`Readers`]. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use super::Units;

/// Units that are wanted of a reader that begins: it waits for the first, and nothing else is to come before that.
const BEGIN: u32 = 2;
/// Bytes that are fetched ahead of a reader that goes on.
const AHEAD: u64 = 8 << 20;

/// What is wanted of some content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it, in whatever order is best for all.
    All,
    /// These units, in this order.
    These(Vec<u32>),
}

/// Those who read some content, and those who want all of it.
#[derive(Debug, Default)]
pub(super) struct Readers {
    reading: BTreeMap<u64, Reader>,
    last: u64,
    all: u32,
}

#[derive(Debug)]
struct Reader {
    /// Those that it has not read.
    left: Range<u32>,
    ahead: u32,
}

impl Readers {
    /// Somebody reads these units, one after the other; the number of the reader.
    pub(super) fn begin(&mut self, units: Range<u32>) -> u64 {
        self.last += 1;
        let ahead = BEGIN;
        self.reading
            .insert(self.last, Reader { left: units, ahead });
        self.last
    }

    /// A reader has read all before this unit; whoever goes on is fetched more for ahead of time, of units of so many bytes.
    pub(super) fn read(&mut self, reader: u64, next: u32, unit: u64) {
        if let Some(reader) = self.reading.get_mut(&reader) {
            let most = (AHEAD / unit.max(1)).try_into().unwrap_or(u32::MAX);
            reader.ahead = (reader.ahead * 2).min(most).max(BEGIN);
            reader.left.start = next;
        }
    }

    pub(super) fn end(&mut self, reader: u64) {
        self.reading.remove(&reader);
    }

    /// Somebody wants all of it.
    pub(super) fn want_all(&mut self) {
        self.all += 1;
    }

    /// And not any more.
    pub(super) fn want_all_no_more(&mut self) {
        self.all = self.all.saturating_sub(1);
    }

    /// What is wanted beside what is there: what readers need first, each reader's next before anybody's second.
    pub(super) fn wanted(&self, held: &Units) -> Wanted {
        let (mut these, mut seen) = (Vec::new(), BTreeSet::new());
        let most = self.reading.values().map(|it| it.ahead).max();
        for distance in 0..most.unwrap_or(0) {
            for reader in self.reading.values().filter(|it| distance < it.ahead) {
                let unit = reader.left.start.saturating_add(distance);
                if reader.left.contains(&unit) && !held.has(unit) && seen.insert(unit) {
                    these.push(unit);
                }
            }
        }
        if these.is_empty() && self.all > 0 {
            return Wanted::All;
        }
        Wanted::These(these)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: u64 = 256 << 10;

    #[test]
    fn a_reader_that_begins_wants_little_and_one_that_goes_on_eight_mebibytes() {
        let mut readers = Readers::default();
        let mut held = Units::none(200);
        let reader = readers.begin(10..150);
        assert_eq!(readers.wanted(&held), Wanted::These(vec![10, 11]));
        for unit in 10..40 {
            held.insert(unit);
            readers.read(reader, unit + 1, UNIT);
        }
        let next: Vec<_> = (40..72).collect();
        assert_eq!(readers.wanted(&held), Wanted::These(next));
        held.insert(41);
        readers.read(reader, 149, UNIT);
        assert_eq!(readers.wanted(&held), Wanted::These(vec![149]));
        readers.end(reader);
        assert_eq!(readers.wanted(&held), Wanted::These(vec![]));
    }

    #[test]
    fn of_several_readers_each_is_served_its_next_first_and_then_all_the_rest_is_wanted() {
        let mut readers = Readers::default();
        let mut held = Units::none(100);
        let (_, other) = (readers.begin(0..100), readers.begin(50..100));
        readers.want_all();
        let first = Wanted::These(vec![0, 50, 1, 51]);
        assert_eq!(readers.wanted(&held), first);
        held.insert(0);
        held.insert(1);
        readers.end(other);
        assert_eq!(readers.wanted(&held), Wanted::All);
        readers.want_all_no_more();
        assert_eq!(readers.wanted(&held), Wanted::These(vec![]));
    }
}

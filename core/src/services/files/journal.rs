//! What a receiver notes of a transfer, so that it goes on after a crash: which folders it made, which units of which partial file it
//! has verified, which files are whole.
//!
//! Records are appended and never changed. What is torn at the end by a crash is cut off. The journal is believed in nothing that
//! the files do not show: units are hashed again, and whole files have to be where they should.

use std::collections::BTreeMap;

use super::{
    tree::{MAX_SIZE, Tree},
    wire::{In, MAX_PATH, NoMessage, Out, Time},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// The folder that was made for one of the offer.
    Top { name: String, chosen: String },
    /// A partial file.
    Part {
        part: u32,
        path: String,
        size: u64,
        modified: Time,
    },
    /// A unit of it.
    Unit {
        part: u32,
        unit: u32,
        value: [u8; 32],
    },
    /// A whole file, and where it is.
    Done {
        path: String,
        size: u64,
        modified: Time,
        place: String,
    },
}

const TOP: u8 = 1;
const PART: u8 = 2;
const UNIT: u8 = 3;
const DONE: u8 = 4;

impl Record {
    pub(super) fn emit(&self) -> Vec<u8> {
        let text = |out: Out, text: &str| out.text(text, MAX_PATH);
        match self {
            Self::Top { name, chosen } => text(text(Out::of(TOP), name), chosen),
            Self::Part {
                part,
                path,
                size,
                modified,
            } => text(
                Out::of(PART).u32(*part).u64(*size).u64(*modified as u64),
                path,
            ),
            Self::Unit { part, unit, value } => Out::of(UNIT).u32(*part).u32(*unit).raw(value),
            Self::Done {
                path,
                size,
                modified,
                place,
            } => text(
                text(Out::of(DONE).u64(*size).u64(*modified as u64), path),
                place,
            ),
        }
        .message()
    }

    fn parse(bytes: &[u8]) -> Result<Self, NoMessage> {
        let mut from = In(bytes);
        let record = match from.u8()? {
            TOP => Self::Top {
                name: from.text(MAX_PATH)?,
                chosen: from.text(MAX_PATH)?,
            },
            PART => Self::Part {
                part: from.u32()?,
                size: from.u64()?,
                modified: from.u64()? as i64,
                path: from.text(MAX_PATH)?,
            },
            UNIT => Self::Unit {
                part: from.u32()?,
                unit: from.u32()?,
                value: from.raw()?,
            },
            DONE => Self::Done {
                size: from.u64()?,
                modified: from.u64()? as i64,
                path: from.text(MAX_PATH)?,
                place: from.text(MAX_PATH)?,
            },
            _ => return Err(NoMessage),
        };
        from.end().map(|()| record)
    }
}

/// A partial file as the journal has it.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) part: u32,
    pub(super) modified: Time,
    pub(super) tree: Tree,
}

/// A whole file as the journal has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) size: u64,
    pub(super) modified: Time,
    pub(super) place: String,
}

/// What a journal says.
#[derive(Debug, Default)]
pub(super) struct Past {
    pub(super) tops: BTreeMap<String, String>,
    pub(super) parts: BTreeMap<String, Part>,
    pub(super) done: BTreeMap<String, Done>,
    /// The first number that no partial file has had.
    pub(super) next_part: u32,
    /// Bytes of it that are records.
    pub(super) len: u64,
}

impl Past {
    pub(super) fn read(journal: &[u8]) -> Self {
        let mut past = Self::default();
        let mut paths = BTreeMap::new();
        let mut rest = journal;
        while let Some((record, after)) = next(rest) {
            past.len += (rest.len() - after.len()) as u64;
            rest = after;
            past.take(record, &mut paths);
        }
        past
    }

    fn take(&mut self, record: Record, paths: &mut BTreeMap<u32, String>) {
        match record {
            Record::Top { name, chosen } => drop(self.tops.insert(name, chosen)),
            Record::Part {
                part,
                path,
                size,
                modified,
            } if size <= MAX_SIZE => {
                self.next_part = self.next_part.max(part.saturating_add(1));
                paths.insert(part, path.clone());
                let tree = Tree::new(size);
                let part = Part {
                    part,
                    modified,
                    tree,
                };
                self.parts.insert(path, part);
            }
            Record::Part { .. } => {}
            Record::Unit { part, unit, value } => {
                let named = paths.get(&part).and_then(|path| self.parts.get_mut(path));
                if let Some(held) = named.filter(|held| held.part == part) {
                    held.tree.put(unit, value);
                }
            }
            Record::Done {
                path,
                size,
                modified,
                place,
            } => {
                let done = Done {
                    size,
                    modified,
                    place,
                };
                self.done.insert(path, done);
            }
        }
    }
}

fn next(rest: &[u8]) -> Option<(Record, &[u8])> {
    let (len, rest) = rest.split_at_checked(4)?;
    let len = u32::from_be_bytes(len.try_into().ok()?);
    let (record, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
    Some((Record::parse(record).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::{super::tree::MIN_UNIT, *};

    fn records() -> Vec<Record> {
        let (path, size, modified) = ("a/b".to_owned(), 3 * MIN_UNIT, 5);
        let unit = |unit| Record::Unit {
            part: 7,
            unit,
            value: [unit as u8; 32],
        };
        vec![
            Record::Top {
                name: "a".to_owned(),
                chosen: "a (1)".to_owned(),
            },
            Record::Part {
                part: 7,
                path,
                size,
                modified,
            },
            unit(0),
            unit(2),
            Record::Done {
                path: "a/c".to_owned(),
                size: 1,
                modified,
                place: "a (1)/c".to_owned(),
            },
        ]
    }

    #[test]
    fn a_journal_says_what_was_written_into_it() {
        let journal: Vec<u8> = records().iter().flat_map(Record::emit).collect();
        let past = Past::read(&journal);
        assert_eq!(past.len, journal.len() as u64);
        assert_eq!(past.tops["a"], "a (1)");
        assert_eq!(past.parts["a/b"].tree.held(), [(0, 1), (2, 1)]);
        assert_eq!(past.next_part, 8);
        assert_eq!(past.done["a/c"].place, "a (1)/c");
    }

    #[test]
    fn what_a_crash_tore_off_is_as_if_it_was_not_written() {
        let records = records();
        let journal: Vec<u8> = records.iter().flat_map(Record::emit).collect();
        for len in 0..journal.len() {
            let past = Past::read(&journal[..len]);
            assert!(past.len <= len as u64);
            let whole = Past::read(&journal[..past.len as usize]);
            assert_eq!((whole.len, whole.done), (past.len, past.done));
        }
        // A system that crashed may leave zeros.
        let past = Past::read(&[&journal[..], &[0; 64]].concat());
        assert_eq!(past.len, journal.len() as u64);
    }

    #[test]
    fn units_of_a_file_that_began_anew_are_those_of_the_new_one() {
        let mut records = records();
        records.push(Record::Part {
            part: 8,
            path: "a/b".to_owned(),
            size: MIN_UNIT * 2,
            modified: 6,
        });
        records.push(Record::Unit {
            part: 7,
            unit: 1,
            value: [0; 32],
        });
        let journal: Vec<u8> = records.iter().flat_map(Record::emit).collect();
        assert_eq!(Past::read(&journal).parts["a/b"].tree.held_bytes(), 0);
    }
}

//! The BLAKE3 tree of a file, down to its units: what each is checked against, and what all of them come to.

use blake3::{
    Hasher,
    hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root},
};

/// The smallest unit in bytes, which is also a whole number of the 16 KiB groups of other BLAKE3 formats.
pub const MIN_UNIT: u64 = 256 << 10;
/// The largest unit, so that buffers stay small.
pub(super) const MAX_UNIT: u64 = 4 << 20;
/// Units of a file before they become larger.
const UNITS: u64 = 1 << 16;
/// The largest file.
pub(super) const MAX_SIZE: u64 = 1 << 44;

/// What a unit is checked against: its chaining value, or the hash of a file that is one unit.
pub type Value = ChainingValue;

/// How many bytes each unit of a file of `size` bytes has, but for the last.
#[must_use]
pub fn unit_len(size: u64) -> u64 {
    size.div_ceil(UNITS)
        .next_power_of_two()
        .clamp(MIN_UNIT, MAX_UNIT)
}

/// The value of a unit that begins at `offset`, or the root of a file that has no other.
#[must_use]
pub fn value(size: u64, offset: u64, data: &[u8]) -> Value {
    if size <= MIN_UNIT {
        return blake3::hash(data).into();
    }
    Hasher::new()
        .set_input_offset(offset)
        .update(data)
        .finalize_non_root()
}

/// The value of a unit of a stream whose length is not known: where it stands says the order in which units come.
pub(super) fn stream_value(data: &[u8]) -> Value {
    blake3::hash(data).into()
}

/// Which units of a file are there.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    size: u64,
    unit: u64,
    values: Vec<Option<Value>>,
    missing: usize,
}

impl Tree {
    /// Of a file of which nothing is there.
    pub(super) fn new(size: u64) -> Self {
        let unit = unit_len(size);
        let units = usize::try_from(size.div_ceil(unit)).unwrap_or(usize::MAX);
        Self {
            size,
            unit,
            values: vec![None; units],
            missing: units,
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn units(&self) -> u32 {
        self.values.len() as u32
    }

    pub(super) fn offset(&self, unit: u32) -> u64 {
        u64::from(unit) * self.unit
    }

    /// The bytes of a unit; none if the file has no such unit.
    pub(super) fn len(&self, unit: u32) -> Option<usize> {
        let left = self
            .size
            .checked_sub(self.offset(unit))
            .filter(|left| *left > 0)?;
        Some(left.min(self.unit) as usize)
    }

    pub(super) fn has(&self, unit: u32) -> bool {
        self.values.get(unit as usize).is_some_and(Option::is_some)
    }

    pub(super) fn value(&self, unit: u32) -> Option<Value> {
        *self.values.get(unit as usize)?
    }

    pub(super) fn put(&mut self, unit: u32, value: Value) {
        if let Some(slot @ None) = self.values.get_mut(unit as usize) {
            *slot = Some(value);
            self.missing -= 1;
        }
    }

    /// Bytes that are there.
    pub(super) fn held_bytes(&self) -> u64 {
        let held = (0..self.units()).filter(|unit| self.has(*unit));
        held.filter_map(|unit| self.len(unit))
            .map(|len| len as u64)
            .sum()
    }

    /// Units that are there, as (first, count).
    pub(super) fn held(&self) -> Vec<(u32, u32)> {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for unit in (0..self.units()).filter(|unit| self.has(*unit)) {
            match ranges.last_mut() {
                Some((first, count)) if *first + *count == unit => *count += 1,
                _ => ranges.push((unit, 1)),
            }
        }
        ranges
    }

    /// What tells whether another has the same in the units that are there.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        let mut hasher = Hasher::new();
        for value in self.values.iter().flatten() {
            hasher.update(value);
        }
        hasher.finalize().into()
    }

    /// The BLAKE3 hash of the file; none while units are missing.
    pub(super) fn root(&self) -> Option<[u8; 32]> {
        if self.missing > 0 {
            return None;
        }
        let values: Vec<_> = self.values.iter().flatten().copied().collect();
        root(self.size, &values)
    }
}

/// The BLAKE3 hash of a file of `size` bytes whose units have these values; none if it has more or fewer units.
#[must_use]
pub fn root(size: u64, values: &[Value]) -> Option<[u8; 32]> {
    if values.len() as u64 != size.div_ceil(unit_len(size)) {
        return None;
    }
    Some(match values {
        [] => blake3::hash(b"").into(),
        [only] => *only,
        _ => {
            let (left, right) = values.split_at(left_of(values.len()));
            merge_subtrees_root(&merged(left), &merged(right), Mode::Hash).into()
        }
    })
}

fn merged(values: &[Value]) -> Value {
    if let [only] = values {
        return *only;
    }
    let (left, right) = values.split_at(left_of(values.len()));
    merge_subtrees_non_root(&merged(left), &merged(right), Mode::Hash)
}

/// BLAKE3's left subtree is the largest power of two that leaves something for the right one.
fn left_of(units: usize) -> usize {
    units.next_power_of_two() / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(len: u64) -> Vec<u8> {
        (0..len)
            .map(|at| (at.wrapping_mul(0x9e37_79b9) >> 13) as u8)
            .collect()
    }

    fn tree_of(data: &[u8]) -> Tree {
        let size = data.len() as u64;
        let mut tree = Tree::new(size);
        for unit in 0..tree.units() {
            let offset = tree.offset(unit);
            let piece = &data[offset as usize..][..tree.len(unit).unwrap()];
            tree.put(unit, value(size, offset, piece));
        }
        tree
    }

    #[test]
    fn the_root_is_the_hash_of_the_file_at_every_length() {
        let around = |len: u64| [len - 1, len, len + 1];
        let lens = [1, 2, 3, 4, 5, 7, 8, 9]
            .map(|units| around(units * MIN_UNIT))
            .concat();
        for len in [0, 1, 1024, 16 << 10].into_iter().chain(lens) {
            let data = data(len);
            let root = tree_of(&data).root().unwrap();
            assert_eq!(root, *blake3::hash(&data).as_bytes(), "{len}");
        }
    }

    #[test]
    fn a_file_has_no_root_while_a_unit_is_missing() {
        let mut tree = Tree::new(3 * MIN_UNIT);
        for unit in [0, 2, 2, 9] {
            tree.put(unit, [1; 32]);
        }
        assert_eq!(tree.root(), None);
        assert_eq!(tree.held(), [(0, 1), (2, 1)]);
        assert_eq!(tree.held_bytes(), 2 * MIN_UNIT);
        tree.put(1, [1; 32]);
        assert!(tree.root().is_some());
        assert_eq!(tree.held(), [(0, 3)]);
    }

    #[test]
    fn units_grow_with_the_file_and_end_with_it() {
        assert_eq!(unit_len(0), MIN_UNIT);
        assert_eq!(unit_len(UNITS * MIN_UNIT), MIN_UNIT);
        assert_eq!(unit_len(UNITS * MIN_UNIT + 1), 2 * MIN_UNIT);
        assert_eq!(unit_len(MAX_SIZE), MAX_UNIT);
        let tree = Tree::new(MIN_UNIT + 1);
        assert_eq!(
            [0, 1, 2].map(|unit| tree.len(unit)),
            [Some(MIN_UNIT as usize), Some(1), None]
        );
    }
}

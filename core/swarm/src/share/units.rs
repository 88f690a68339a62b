//! Which units of some content somebody has: [`Units`].

/// A set of units, each a bit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Units {
    len: u32,
    words: Vec<u64>,
    count: u32,
}

impl Units {
    /// None of so many.
    #[must_use]
    pub fn none(len: u32) -> Self {
        Self {
            len,
            words: vec![0; len.div_ceil(64) as usize],
            count: 0,
        }
    }

    /// All of so many.
    #[must_use]
    pub fn all(len: u32) -> Self {
        let mut units = Self::none(len);
        (0..len).for_each(|unit| {
            units.insert(unit);
        });
        units
    }

    /// How many there are to have.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// How many are had.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether none is had.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether all are had.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.count == self.len
    }

    /// Whether a unit is had.
    #[must_use]
    pub fn has(&self, unit: u32) -> bool {
        let word = self.words.get((unit / 64) as usize);
        word.is_some_and(|word| word >> (unit % 64) & 1 == 1)
    }

    /// Notes that a unit is had; whether it was not and there is one.
    pub fn insert(&mut self, unit: u32) -> bool {
        if unit >= self.len || self.has(unit) {
            return false;
        }
        if let Some(word) = self.words.get_mut((unit / 64) as usize) {
            *word |= 1 << (unit % 64);
            self.count += 1;
        }
        true
    }

    /// Notes that a unit is not had; whether it was.
    pub fn remove(&mut self, unit: u32) -> bool {
        if !self.has(unit) {
            return false;
        }
        if let Some(word) = self.words.get_mut((unit / 64) as usize) {
            *word &= !(1 << (unit % 64));
            self.count -= 1;
        }
        true
    }

    /// Those that are had.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        let words = self.words.iter().enumerate();
        words.flat_map(|(at, word)| bits(*word).map(move |bit| at as u32 * 64 + bit))
    }

    /// Those that are had here, not in `b` and not in `c`.
    pub(crate) fn without<'a>(
        &'a self,
        b: &'a Self,
        c: &'a Self,
    ) -> impl Iterator<Item = u32> + 'a {
        let words = self.words.iter().enumerate();
        words.flat_map(move |(at, word)| {
            let of = |units: &Self| units.words.get(at).copied().unwrap_or(0);
            bits(word & !of(b) & !of(c)).map(move |bit| at as u32 * 64 + bit)
        })
    }

    /// A bit for each, the lowest first.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let bytes = self.words.iter().flat_map(|word| word.to_le_bytes());
        bytes.take(self.len.div_ceil(8) as usize).collect()
    }

    /// From what [`to_bytes`](Self::to_bytes) gave for as many; none if it is of another length or has more units than there are.
    #[must_use]
    pub fn from_bytes(len: u32, bytes: &[u8]) -> Option<Self> {
        if bytes.len() != len.div_ceil(8) as usize {
            return None;
        }
        let mut units = Self::none(len);
        for (at, byte) in bytes.iter().enumerate() {
            for bit in bits(u64::from(*byte)) {
                if !units.insert(at as u32 * 8 + bit) {
                    return None;
                }
            }
        }
        Some(units)
    }
}

/// Those that are set.
fn bits(mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros();
        word &= word.wrapping_sub(1);
        (bit < 64).then_some(bit)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_set_that_is_longer_than_the_content_is_refused() {
        assert_eq!(Units::from_bytes(9, &[255, 1]).unwrap().count(), 9);
        for bytes in [&[255, 2][..], &[255], &[1, 0, 0]] {
            assert_eq!(Units::from_bytes(9, bytes), None);
        }
        assert!(Units::all(130).is_full() && Units::none(0).is_full());
    }

    proptest! {
        #[test]
        fn a_set_is_what_was_put_in(len in 1..300u32, put in prop::collection::btree_set(0..300u32, 0..80)) {
            let mut units = Units::none(len);
            for unit in &put {
                prop_assert_eq!(units.insert(*unit), *unit < len);
                prop_assert!(!units.insert(*unit));
            }
            let expected: Vec<_> = put.iter().copied().filter(|unit| *unit < len).collect();
            prop_assert_eq!(units.iter().collect::<Vec<_>>(), expected);
            prop_assert_eq!(Units::from_bytes(len, &units.to_bytes()), Some(units.clone()));
            let none = Units::none(len);
            prop_assert_eq!(Units::all(len).without(&units, &none).count() as u32, len - units.count());
            for unit in put.into_iter().filter(|unit| *unit < len) {
                prop_assert!(units.remove(unit) && !units.remove(unit));
            }
            prop_assert!(units.is_empty());
        }
    }
}

//! What each unit of some content is checked against: [`Outline`].

use peerway::services::files::tree::{self, Value};

use super::Hash;

/// The largest content, in bytes.
pub const MAX_SIZE: u64 = 1 << 40;
/// Bytes of a value in an outline's bytes.
pub(crate) const VALUE_LEN: usize = 32;

/// The values of all units of some content, which are known to come to its hash: with it each unit can be verified by itself,
/// whoever sends it and in whatever order.
///
/// Units have 256 KiB, and more where content is larger than 16 GiB; an outline has 32 bytes for each, so 8 MiB at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    hash: Hash,
    size: u64,
    values: Vec<Value>,
}

impl Outline {
    /// Of content that is one unit, whose hash says all.
    #[must_use]
    pub fn of_small(hash: Hash, size: u64) -> Option<Self> {
        let values = vec![*hash.as_bytes(); usize::from(size > 0)];
        (size <= tree::MIN_UNIT).then_some(Self { hash, size, values })
    }

    /// Of values that somebody sent; none if they do not come to the hash.
    #[must_use]
    pub fn verified(hash: Hash, size: u64, values: Vec<Value>) -> Option<Self> {
        let is_right = size <= MAX_SIZE && tree::root(size, &values) == Some(*hash.as_bytes());
        is_right.then_some(Self { hash, size, values })
    }

    /// As somebody may send it.
    #[cfg(test)]
    pub(crate) fn unchecked(hash: Hash, size: u64, bytes: &[u8]) -> Self {
        let values = bytes.as_chunks::<VALUE_LEN>().0.to_vec();
        Self { hash, size, values }
    }

    /// Of values that were computed here; none if they are too few or too many.
    #[must_use]
    pub fn computed(size: u64, values: Vec<Value>) -> Option<Self> {
        let hash = Hash::from_bytes(tree::root(size, &values)?);
        Some(Self { hash, size, values })
    }

    /// The content's hash.
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// The content's bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How many units it has.
    #[must_use]
    pub fn units(&self) -> u32 {
        self.values.len() as u32
    }

    /// Where a unit begins.
    #[must_use]
    pub fn offset(&self, unit: u32) -> u64 {
        u64::from(unit) * tree::unit_len(self.size)
    }

    /// Bytes of a unit; none if there is no such unit.
    #[must_use]
    pub fn len(&self, unit: u32) -> Option<usize> {
        let left = self.size.checked_sub(self.offset(unit));
        let left = left.filter(|left| *left > 0)?;
        Some(left.min(tree::unit_len(self.size)) as usize)
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Whether this is what belongs there.
    #[must_use]
    pub fn is_right(&self, unit: u32, data: &[u8]) -> bool {
        let value = self.values.get(unit as usize);
        self.len(unit) == Some(data.len())
            && value.is_some_and(|value| *value == tree::value(self.size, self.offset(unit), data))
    }

    /// Those of its units.
    pub(crate) fn values(&self) -> &[Value] {
        &self.values
    }

    /// Its values, one after the other.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.values.concat()
    }

    /// How long the bytes of an outline for so much content are.
    #[must_use]
    pub fn bytes_for(size: u64) -> usize {
        size.div_ceil(tree::unit_len(size)) as usize * VALUE_LEN
    }

    /// From what [`to_bytes`](Self::to_bytes) gave somewhere; none if that does not come to the hash.
    #[must_use]
    pub fn from_bytes(hash: Hash, size: u64, bytes: &[u8]) -> Option<Self> {
        let (values, rest) = bytes.as_chunks::<VALUE_LEN>();
        if !rest.is_empty() {
            return None;
        }
        Self::verified(hash, size, values.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_is_verified_by_itself_and_the_hash_is_that_of_the_whole() {
        let data: Vec<u8> = (0..700_000u32).map(|at| (at / 7) as u8).collect();
        let unit = tree::MIN_UNIT as usize;
        let pieces = data.chunks(unit).enumerate();
        let size = data.len() as u64;
        let values = pieces.map(|(at, piece)| tree::value(size, (at * unit) as u64, piece));
        let outline = Outline::computed(size, values.collect()).unwrap();
        assert_eq!(outline.hash(), Hash::of(&data));
        for (at, piece) in data.chunks(unit).enumerate() {
            assert!(outline.is_right(at as u32, piece));
            assert!(!outline.is_right(at as u32 + 1, piece));
            let mut wrong = piece.to_vec();
            wrong[77] ^= 1;
            assert!(!outline.is_right(at as u32, &wrong));
            assert!(!outline.is_right(at as u32, &piece[1..]));
        }
        let bytes = outline.to_bytes();
        assert_eq!(bytes.len(), Outline::bytes_for(size));
        let read = Outline::from_bytes(outline.hash(), size, &bytes);
        assert_eq!(read, Some(outline.clone()));
        let mut wrong = bytes.clone();
        wrong[40] ^= 1;
        for bytes in [&wrong[..], &bytes[..64], &bytes[1..]] {
            assert_eq!(Outline::from_bytes(outline.hash(), size, bytes), None);
        }
        assert_eq!(Outline::from_bytes(Hash::of(b"x"), size, &bytes), None);
    }

    #[test]
    fn small_content_needs_no_values_beside_its_hash() {
        let outline = Outline::of_small(Hash::of(b"ab"), 2).unwrap();
        assert!(outline.is_right(0, b"ab") && !outline.is_right(0, b"ac"));
        assert_eq!(Outline::of_small(Hash::of(b""), 0).unwrap().units(), 0);
        assert_eq!(Outline::of_small(Hash::of(b""), tree::MIN_UNIT + 1), None);
    }
}

//! What a member of a group publishes at a directory: [`Document`]. Pure.

use peerway::PeerId;
use serde::{Deserialize, Serialize};

use super::wire::Hit;
use crate::group::{GroupId, Signature, id_bytes};

const PURPOSE: &str = "peerway search document";
/// Days for which a signature is good: a directory drops what is older than 26 h, and clocks differ.
const GOOD_DAYS: u32 = 2;

/// Something that a member has, signed by it for one group: a directory can leave it out and make nothing up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Document {
    pub(super) hit: Hit,
    /// When it was signed, in days since the Unix epoch.
    day: u32,
    signature: Signature,
}

/// A document and whose it is, as a directory tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Published {
    #[serde(with = "id_bytes")]
    pub(super) publisher: PeerId,
    pub(super) document: Document,
}

/// By what a publisher names one of its documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct DocumentId([u8; 16]);

impl DocumentId {
    pub(super) fn of(hit: &Hit) -> Self {
        let hash = blake3::hash(&bytes(hit));
        Self(std::array::from_fn(|at| hash.as_bytes()[at]))
    }
}

impl Document {
    pub(super) fn sign(
        group: GroupId,
        hit: Hit,
        day: u32,
        sign: impl Fn(&str, &[u8]) -> [u8; 64],
    ) -> Self {
        let signature = sign(PURPOSE, &bytes(&(group, &hit, day))).into();
        Self {
            hit,
            day,
            signature,
        }
    }

    /// Whether it is one that a member of a group may publish there today, and it alone.
    pub(super) fn is_sound(&self, group: GroupId, publisher: PeerId, today: u32) -> bool {
        let days = today.saturating_sub(GOOD_DAYS)..=today.saturating_add(1);
        let message = bytes(&(group, &self.hit, self.day));
        self.hit.public
            && self.hit.is_sound()
            && days.contains(&self.day)
            && publisher.has_signed(PURPOSE, &message, &self.signature.into())
    }

    /// About how long it is in an answer, in bytes.
    pub(super) fn len(&self) -> usize {
        self.hit.bytes() + 112
    }
}

/// Postcard writes into memory and refuses none of these types.
fn bytes<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;

    use super::*;
    use crate::share::{Hash, Kind};

    #[test]
    fn a_document_is_its_publishers_in_one_group_for_two_days_and_as_it_was_signed() {
        let [author, other] = [1, 2].map(|seed| SecretKey::from_seed(&[seed; 32]));
        let [group, elsewhere] = [1, 2].map(|seed| GroupId::from_bytes([seed; 32]));
        let hit = |public| Hit::new((Hash::of(b"a"), 7), Kind::File, "film", public);
        let sign = |purpose: &str, message: &[u8]| author.sign(purpose, message);
        let document = Document::sign(group, hit(true), 100, sign);
        for (today, is_good) in [(98, false), (99, true), (102, true), (103, false)] {
            assert_eq!(document.is_sound(group, author.id(), today), is_good);
        }
        assert!(!document.is_sound(group, other.id(), 100));
        assert!(!document.is_sound(elsewhere, author.id(), 100));
        let mut renamed = document.clone();
        renamed.hit.name = "other film".to_owned();
        assert!(!renamed.is_sound(group, author.id(), 100));
        let mut later = document;
        later.day = 101;
        assert!(!later.is_sound(group, author.id(), 101));
        // What is not for all members is no directory's.
        let closed = Document::sign(group, hit(false), 100, sign);
        assert!(!closed.is_sound(group, author.id(), 100));
    }
}

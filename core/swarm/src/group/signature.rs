//! Keys and signatures as bytes, where the formats of people's eyes would be longer.

use serde::{Deserialize, Serialize};

/// An ed25519 signature (RFC 8032), in two halves, as arrays of 64 have no serde form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature([u8; 32], [u8; 32]);

impl From<[u8; 64]> for Signature {
    fn from(bytes: [u8; 64]) -> Self {
        let half = |from: usize| std::array::from_fn(|at| bytes[from + at]);
        Self(half(0), half(32))
    }
}

impl From<Signature> for [u8; 64] {
    fn from(Signature(first, second): Signature) -> Self {
        std::array::from_fn(|at| if at < 32 { first[at] } else { second[at - 32] })
    }
}

/// A peer's id as its 32 bytes.
pub(crate) mod id_bytes {
    use peerway::PeerId;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(id: &PeerId, serializer: S) -> Result<S::Ok, S::Error> {
        id.as_bytes().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<PeerId, D::Error> {
        PeerId::from_bytes(<[u8; 32]>::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

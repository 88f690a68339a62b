//! What is stored in the Mainline DHT: a mutable item of BEP 44, without a salt.

use ed25519_dalek::{Signature, VerifyingKey};

/// The longest value that BEP 44 has nodes store, in bytes.
pub const MAX_ITEM_VALUE: usize = 1000;

/// A mutable item of BEP 44: any node of the Mainline DHT stores it under the hash of its key, and gives it to whoever asks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Item {
    /// An ed25519 key.
    pub key: [u8; 32],
    /// Nodes keep the item of the largest number.
    pub seq: i64,
    /// What is stored.
    pub value: Vec<u8>,
    /// By the key, of the number and the value.
    pub signature: [u8; 64],
}

impl Item {
    /// An item as it came from somewhere.
    #[must_use]
    pub fn new(key: [u8; 32], seq: i64, value: Vec<u8>, signature: [u8; 64]) -> Self {
        Self {
            key,
            seq,
            value,
            signature,
        }
    }

    /// Whether its key has signed it.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        let signature = Signature::from_bytes(&self.signature);
        let message = Self::to_sign(self.seq, &self.value);
        VerifyingKey::from_bytes(&self.key)
            .is_ok_and(|key| key.verify_strict(&message, &signature).is_ok())
    }

    /// What is signed: the number and the value as a bencoded dictionary has them.
    #[must_use]
    pub fn to_sign(seq: i64, value: &[u8]) -> Vec<u8> {
        [format!("3:seqi{seq}e1:v{}:", value.len()).as_bytes(), value].concat()
    }
}

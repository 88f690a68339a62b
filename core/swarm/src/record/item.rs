//! What is stored: a mutable item of BEP 44, without a salt.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use super::blind::BlindedKey;

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

    /// One by a key that is no blinded one.
    pub(crate) fn signed_by(key: &SigningKey, seq: i64, value: Vec<u8>) -> Self {
        let signature = key.sign(&to_sign(seq, &value)).to_bytes();
        Self::new(key.verifying_key().to_bytes(), seq, value, signature)
    }

    pub(super) fn signed(key: &BlindedKey, seq: i64, value: Vec<u8>) -> Self {
        let signature = key.sign(&to_sign(seq, &value));
        Self::new(*key.id(), seq, value, signature)
    }

    /// Whether its key has signed it.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        let signature = Signature::from_bytes(&self.signature);
        let message = to_sign(self.seq, &self.value);
        VerifyingKey::from_bytes(&self.key)
            .is_ok_and(|key| key.verify_strict(&message, &signature).is_ok())
    }
}

/// BEP 44: the number and the value as a bencoded dictionary has them.
fn to_sign(seq: i64, value: &[u8]) -> Vec<u8> {
    [format!("3:seqi{seq}e1:v{}:", value.len()).as_bytes(), value].concat()
}

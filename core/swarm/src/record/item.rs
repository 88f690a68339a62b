//! Items by blinded keys.

use peerway_dht::Item;

use super::blind::BlindedKey;

/// An item of this number and value, signed by the key.
pub(super) fn signed(key: &BlindedKey, seq: i64, value: Vec<u8>) -> Item {
    let signature = key.sign(&Item::to_sign(seq, &value));
    Item::new(*key.id(), seq, value, signature)
}

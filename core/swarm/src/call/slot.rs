//! Where calls lie.

use ed25519_dalek::{Signer, SigningKey};
use hkdf::Hkdf;
use peerway::{DiscoverySecret, PeerId};
use sha2::Sha256;

use crate::record::{Item, Period};

/// Calls of one peer that wait at the same time.
pub(crate) const SLOTS: usize = 4;

/// A peer's slots of a day.
pub(crate) struct Slots([SigningKey; SLOTS]);

impl Slots {
    pub(crate) fn new(peer: PeerId, secret: DiscoverySecret, period: Period) -> Self {
        let derived = Hkdf::<Sha256>::new(Some(secret.as_bytes()), peer.as_bytes());
        let key = |number: usize| {
            let mut seed = [0; 32];
            let day = period.number().to_be_bytes();
            let info = [b"peerway call slot", &day[..], &[number as u8]].concat();
            // Only more than 8,160 bytes are refused.
            let _ = derived.expand(&info, &mut seed);
            SigningKey::from_bytes(&seed)
        };
        Self(std::array::from_fn(key))
    }

    /// What the items are found with.
    pub(crate) fn keys(&self) -> [[u8; 32]; SLOTS] {
        self.0.each_ref().map(|key| key.verifying_key().to_bytes())
    }

    /// The item to be stored in a slot.
    pub(crate) fn item(&self, slot: usize, seq: i64, value: Vec<u8>) -> Option<Item> {
        let key = self.0.get(slot)?;
        let signature = key.sign(&Item::to_sign(seq, &value)).to_bytes();
        Some(Item::new(
            key.verifying_key().to_bytes(),
            seq,
            value,
            signature,
        ))
    }
}

//! Where calls lie.

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use hkdf::Hkdf;
use peerway::{DiscoverySecret, PeerId, SecretKey};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::shared;
use crate::record::{Item, Period};

/// Calls of one peer that wait at the same time, of whoever has its ticket.
pub(crate) const SLOTS: usize = 4;

/// A peer's slots of a day.
pub(crate) struct Slots(Vec<SigningKey>);

impl Slots {
    /// Those of all who have its ticket.
    pub(crate) fn new(peer: PeerId, secret: DiscoverySecret, period: Period) -> Self {
        let derived = Hkdf::<Sha256>::new(Some(secret.as_bytes()), peer.as_bytes());
        let key = |number: usize| {
            let day = period.number().to_be_bytes();
            let info = [b"peerway call slot", &day[..], &[number as u8]].concat();
            expand(&derived, &info)
        };
        Self((0..SLOTS).map(key).collect())
    }

    /// The same, and behind them one of the caller's own.
    pub(crate) fn of_caller(
        key: &SecretKey,
        peer: PeerId,
        secret: DiscoverySecret,
        period: Period,
    ) -> Self {
        let mut slots = Self::new(peer, secret, period);
        slots.0.extend(own(key, peer, peer, period));
        slots
    }

    /// The slots that are these callers' own, of the peer whose key this is. Nobody else can know them.
    pub(crate) fn of_known(
        key: &SecretKey,
        callers: impl IntoIterator<Item = PeerId>,
        period: Period,
    ) -> Self {
        let slots = callers.into_iter();
        Self(
            slots
                .filter_map(|it| own(key, it, key.id(), period))
                .collect(),
        )
    }

    /// What the items are found with.
    pub(crate) fn keys(&self) -> Vec<[u8; 32]> {
        let keys = self.0.iter();
        keys.map(|key| key.verifying_key().to_bytes()).collect()
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

/// The slot in which one of two calls the other, `called`: what both compute of their own key and the other's id.
fn own(key: &SecretKey, other: PeerId, called: PeerId, period: Period) -> Option<SigningKey> {
    let theirs = VerifyingKey::from_bytes(other.as_bytes()).ok()?;
    let shared = shared(key, &theirs.to_montgomery())?;
    let derived = Hkdf::<Sha256>::new(Some(called.as_bytes()), shared.as_bytes());
    let day = period.number().to_be_bytes();
    let info = [b"peerway call slot of one", &day[..]].concat();
    Some(expand(&derived, &info))
}

fn expand(derived: &Hkdf<Sha256>, info: &[u8]) -> SigningKey {
    let mut seed = Zeroizing::new([0; 32]);
    // Only more than 8,160 bytes are refused.
    let _ = derived.expand(info, &mut *seed);
    SigningKey::from_bytes(&seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_and_nobody_else_know_the_slot_in_which_one_calls_the_other() {
        let [caller, peer, stranger] = [1, 2, 3].map(|seed| SecretKey::from_seed(&[seed; 32]));
        let period = Period::at(peer.id(), 1_800_000_000);
        let secret = DiscoverySecret::PUBLIC;
        let slots = |key: &SecretKey| Slots::of_caller(key, peer.id(), secret, period).keys();
        let read = Slots::of_known(&peer, [caller.id()], period).keys();
        assert_eq!(slots(&caller)[SLOTS..], read);
        assert_eq!(slots(&caller)[..SLOTS], slots(&stranger)[..SLOTS]);
        assert_ne!(slots(&stranger)[SLOTS..], read);
        let back = Slots::of_caller(&peer, caller.id(), secret, period).keys();
        assert_ne!(back[SLOTS..], read, "another one for the other way");
    }
}

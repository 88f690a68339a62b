//! What a caller leaves: sealed for the peer it calls, and signed.

use std::net::SocketAddr;

use chacha20poly1305::{AeadInPlace, ChaCha20Poly1305, KeyInit, Tag};
use curve25519_dalek::MontgomeryPoint;
use ed25519_dalek::VerifyingKey;
use hkdf::Hkdf;
use peerway::{PeerId, SecretKey};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{MAX_ADDRS, agreed, shared};
use crate::record::{Item, MAX_SKEW, OpenError};

const VERSION: u8 = 2;
const KEY: usize = 32;
const SIGNATURE: usize = 64;
const TAG: usize = 16;
/// The length of every plaintext: how many addresses there are does not show.
const PLAINTEXT: usize = 192;
const PURPOSE: &str = "peerway call 1";
/// Each key is used once.
const NONCE: [u8; 12] = [0; 12];

/// The wish of somebody to be said hello to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// When it was written, by the caller's clock, in seconds since 1970.
    pub(crate) written_at: u64,
    pub(crate) caller: PeerId,
    /// Where the caller expects the hello, at most [`MAX_ADDRS`].
    pub(crate) addrs: Vec<SocketAddr>,
}

#[derive(Serialize, Deserialize)]
struct Body {
    caller: [u8; KEY],
    addrs: Vec<SocketAddr>,
    written_at: u64,
}

impl Call {
    /// The value of the item of this number for `peer` in the slot of this key; `random` makes the seal and has to be unknown to others.
    pub(crate) fn seal(
        &self,
        key: &SecretKey,
        peer: PeerId,
        (slot, seq): (&[u8; KEY], i64),
        random: [u8; KEY],
    ) -> Option<Vec<u8>> {
        let random = Zeroizing::new(random);
        let ephemeral = MontgomeryPoint::mul_base_clamped(*random).to_bytes();
        let theirs = VerifyingKey::from_bytes(peer.as_bytes()).ok()?;
        let shared = agreed(&random, &theirs.to_montgomery())?;
        let cipher = cipher(&shared, &ephemeral, peer)?;
        let body = Body {
            caller: *key.id().as_bytes(),
            addrs: self.addrs.iter().copied().take(MAX_ADDRS).collect(),
            written_at: self.written_at,
        };
        let body = postcard::to_allocvec(&body).ok()?;
        let signature = key.sign(PURPOSE, &to_sign(peer, slot, seq, &ephemeral, &body));
        let len = u16::try_from(body.len()).ok()?.to_be_bytes();
        let mut text = [&len, &body[..], &signature].concat();
        if text.len() > PLAINTEXT {
            return None;
        }
        text.resize(PLAINTEXT, 0);
        let tag = cipher
            .encrypt_in_place_detached(&NONCE.into(), &associated(slot, seq), &mut text)
            .ok()?;
        Some([&[VERSION], &ephemeral[..], &text, &tag].concat())
    }

    /// Reads what somebody left for us in the slot of this key.
    ///
    /// # Errors
    /// Each of [`OpenError`]: whoever has a ticket of ours can leave anything.
    pub(crate) fn open(
        key: &SecretKey,
        slot: &[u8; KEY],
        item: &Item,
        now: u64,
    ) -> Result<Self, OpenError> {
        if item.key != *slot || !item.is_signed() {
            return Err(OpenError::Forged);
        }
        let (version, sealed) =
            (item.value.split_first()).ok_or(OpenError::Malformed("nothing"))?;
        if *version != VERSION {
            return Err(OpenError::Version(*version));
        }
        let half = || OpenError::Malformed("half a call");
        let (ephemeral, sealed) = (sealed.split_first_chunk::<KEY>()).ok_or_else(half)?;
        let (text, tag) = sealed.split_last_chunk::<TAG>().ok_or_else(half)?;
        let shared = shared(key, &MontgomeryPoint(*ephemeral)).ok_or(OpenError::Sealed)?;
        let cipher = cipher(&shared, ephemeral, key.id()).ok_or(OpenError::Sealed)?;
        let mut text = text.to_vec();
        cipher
            .decrypt_in_place_detached(
                &NONCE.into(),
                &associated(slot, item.seq),
                &mut text,
                Tag::from_slice(tag),
            )
            .map_err(|_| OpenError::Sealed)?;
        let (len, rest) = text.split_first_chunk().ok_or_else(half)?;
        let len = usize::from(u16::from_be_bytes(*len));
        let (body, rest) = rest.split_at_checked(len).ok_or_else(half)?;
        let (signature, _) = rest.split_first_chunk::<SIGNATURE>().ok_or_else(half)?;
        let (read, _) = postcard::take_from_bytes::<Body>(body)
            .map_err(|_| OpenError::Malformed("no call of this version"))?;
        let caller = PeerId::from_bytes(read.caller)
            .map_err(|_| OpenError::Malformed("a caller's key that is none"))?;
        let signed = to_sign(key.id(), slot, item.seq, ephemeral, body);
        if !caller.has_signed(PURPOSE, &signed, signature) {
            return Err(OpenError::Forged);
        }
        if read.addrs.is_empty() || read.addrs.len() > MAX_ADDRS {
            return Err(OpenError::Malformed("no addresses, or too many"));
        }
        check_time(read.written_at, now)?;
        Ok(Self {
            written_at: read.written_at,
            caller,
            addrs: read.addrs,
        })
    }
}

/// Whether clocks can be so far apart.
fn check_time(written_at: u64, now: u64) -> Result<(), OpenError> {
    if written_at > now.saturating_add(MAX_SKEW) {
        let ahead = written_at - now;
        return Err(OpenError::Future { ahead });
    }
    let age = now.saturating_sub(written_at);
    if age > MAX_SKEW {
        return Err(OpenError::Expired { age });
    }
    Ok(())
}

fn cipher(
    shared: &MontgomeryPoint,
    ephemeral: &[u8; KEY],
    peer: PeerId,
) -> Option<ChaCha20Poly1305> {
    let salt = [&ephemeral[..], peer.as_bytes()].concat();
    let derived = Hkdf::<Sha256>::new(Some(&salt), shared.as_bytes());
    let mut key = Zeroizing::new([0; KEY]);
    derived.expand(b"peerway call", &mut *key).ok()?;
    Some(ChaCha20Poly1305::new((&*key).into()))
}

fn associated(slot: &[u8; KEY], seq: i64) -> Vec<u8> {
    [&slot[..], &seq.to_be_bytes()].concat()
}

/// What is signed: the body, for whom, and where it lies.
fn to_sign(peer: PeerId, slot: &[u8], seq: i64, ephemeral: &[u8], body: &[u8]) -> Vec<u8> {
    let seq = seq.to_be_bytes();
    [peer.as_bytes(), slot, &seq[..], ephemeral, body].concat()
}

#[cfg(test)]
mod tests {
    use peerway::DiscoverySecret;
    use proptest::prelude::*;

    use super::*;
    use crate::{call::Slots, record::Period};

    const NOW: u64 = 1_800_000_000;

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_seed(&[seed; 32])
    }

    fn slots() -> Slots {
        let peer = key(1).id();
        Slots::new(peer, DiscoverySecret::PUBLIC, Period::at(peer, NOW))
    }

    fn call() -> Call {
        Call {
            written_at: NOW,
            caller: key(2).id(),
            addrs: vec![
                "192.0.2.7:4000".parse().unwrap(),
                "[2001:db8::1]:4001".parse().unwrap(),
            ],
        }
    }

    fn item(call: &Call, slot: usize) -> Item {
        let slots = slots();
        let keys = slots.keys();
        let seq = i64::try_from(call.written_at).unwrap();
        let value = call.seal(&key(2), key(1).id(), (&keys[slot], seq), [9; 32]);
        slots.item(slot, seq, value.unwrap()).unwrap()
    }

    fn open(item: &Item, now: u64) -> Result<Call, OpenError> {
        Call::open(&key(1), &slots().keys()[0], item, now)
    }

    #[test]
    fn the_peer_opens_a_call_and_nobody_else_does() {
        let item = item(&call(), 0);
        assert_eq!(open(&item, NOW + 60), Ok(call()));
        let others = Call::open(&key(3), &slots().keys()[0], &item, NOW);
        assert_eq!(others, Err(OpenError::Sealed));
        assert!(item.value.len() < 300);
    }

    #[test]
    fn a_call_counts_in_its_slot_at_its_time_and_by_its_author_alone() {
        let slots = slots();
        let other = item(&call(), 1);
        assert_eq!(open(&other, NOW), Err(OpenError::Forged));
        let moved = slots.item(0, other.seq, other.value).unwrap();
        assert_eq!(open(&moved, NOW), Err(OpenError::Sealed));
        let right = item(&call(), 0);
        let later = slots.item(0, right.seq + 1, right.value.clone()).unwrap();
        assert_eq!(open(&later, NOW), Err(OpenError::Sealed));
        assert_eq!(
            open(&right, NOW + 601),
            Err(OpenError::Expired { age: 601 })
        );
        assert_eq!(
            open(&right, NOW - 601),
            Err(OpenError::Future { ahead: 601 })
        );
        let mut claimed = call();
        claimed.caller = key(3).id();
        assert_eq!(open(&item(&claimed, 0), NOW), Ok(call()), "who signs calls");
    }

    proptest! {
        #[test]
        fn whatever_lies_in_a_slot_is_a_call_or_an_error(
            value in proptest::collection::vec(any::<u8>(), 0..400),
            seq in any::<i64>(),
        ) {
            let item = slots().item(0, seq, value).unwrap();
            prop_assert!(open(&item, NOW).is_err());
        }

        #[test]
        fn a_call_that_was_damaged_does_not_open(at in 0_usize..241, bit in 0_u8..8) {
            let mut value = item(&call(), 0).value;
            let at = at % value.len();
            value[at] ^= 1 << bit;
            let damaged = slots().item(0, NOW as i64, value).unwrap();
            // The highest bit of a point of X25519 does not count.
            prop_assume!((at, bit) != (32, 7));
            prop_assert!(open(&damaged, NOW).is_err());
        }
    }
}

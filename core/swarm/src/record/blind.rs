//! Blinded keys. That of a period is `h · A`, where `A` is the peer's id and `h` depends on the id, the discovery secret and the
//! period; its owner multiplies the secret scalar likewise. Tor's onion services of version 3 blind the same way.

use chacha20poly1305::{AeadInPlace, ChaCha20Poly1305, KeyInit, Tag};
use curve25519_dalek::Scalar;
use ed25519_dalek::{
    VerifyingKey,
    hazmat::{ExpandedSecretKey, raw_sign},
};
use hkdf::Hkdf;
use peerway::{DiscoverySecret, PeerId, SecretKey};
use sha2::{Digest, Sha256, Sha512};

use super::{Item, OpenError};

/// For how long a blinded key is used, in seconds.
const PERIOD: u64 = 24 * 3600;
/// Before and after the turn of a period records of both are published, in seconds: clocks are apart, and it is longer than it takes
/// until a record is written again.
const OVERLAP: u64 = 75 * 60;
const VERSION: u8 = 1;
const NONCE: usize = 12;
const TAG: usize = 16;

/// A day of a peer's, in which its blinded key stays the same. Each peer's turns at another time of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(u32);

impl Period {
    /// The one at a time.
    #[must_use]
    pub fn at(peer: PeerId, now: u64) -> Self {
        Self::from_seconds(now.saturating_add(turn(peer)))
    }

    /// Those to publish for: the one of now and, near the turn, its neighbour. Whoever looks does so in that of [`at`](Self::at) alone.
    #[must_use]
    pub fn to_publish(peer: PeerId, now: u64) -> Vec<Self> {
        let at = now.saturating_add(turn(peer));
        let mut periods = [at.saturating_sub(OVERLAP), at, at.saturating_add(OVERLAP)]
            .map(Self::from_seconds)
            .to_vec();
        periods.dedup();
        periods
    }

    pub(crate) fn number(self) -> u32 {
        self.0
    }

    fn from_seconds(seconds: u64) -> Self {
        Self(u32::try_from(seconds / PERIOD).unwrap_or(u32::MAX))
    }
}

/// By how many seconds a peer's day is ahead.
fn turn(peer: PeerId) -> u64 {
    let hash = Sha512::new()
        .chain_update(b"peerway record turn")
        .chain_update(peer.as_bytes())
        .finalize();
    let number = hash.first_chunk().copied().map_or(0, u64::from_be_bytes);
    number % PERIOD
}

/// What whoever may find a peer computes for a period.
pub(super) struct Lock {
    factor: Scalar,
    cipher: ChaCha20Poly1305,
    pub(super) period: Period,
}

impl Lock {
    pub(super) fn new(peer: PeerId, secret: DiscoverySecret, period: Period) -> Self {
        let number = period.0.to_be_bytes();
        let hash = Sha512::new()
            .chain_update(b"peerway record")
            .chain_update(peer.as_bytes())
            .chain_update(secret.as_bytes())
            .chain_update(number)
            .finalize();
        let mut key = [0; 32];
        let info = [b"peerway record", &number[..]].concat();
        let derived = Hkdf::<Sha256>::new(Some(secret.as_bytes()), peer.as_bytes());
        // Only more than 8,160 bytes are refused.
        let _ = derived.expand(&info, &mut key);
        Self {
            factor: Scalar::from_bytes_mod_order_wide(&hash.into()),
            cipher: ChaCha20Poly1305::new(&key.into()),
            period,
        }
    }

    /// The value of an item.
    pub(super) fn encrypt(
        &self,
        key: &[u8; 32],
        seq: i64,
        plaintext: &[u8],
        nonce: [u8; NONCE],
    ) -> Vec<u8> {
        let mut value = vec![VERSION];
        value.extend_from_slice(&nonce);
        let mut text = plaintext.to_vec();
        let sealed = (self.cipher).encrypt_in_place_detached(
            &nonce.into(),
            &associated(key, seq),
            &mut text,
        );
        // Only texts of gigabytes are refused.
        if let Ok(tag) = sealed {
            value.extend_from_slice(&text);
            value.extend_from_slice(&tag);
        }
        value
    }

    pub(super) fn decrypt(&self, item: &Item) -> Result<Vec<u8>, OpenError> {
        let (version, sealed) =
            (item.value.split_first()).ok_or(OpenError::Malformed("nothing"))?;
        if *version != VERSION {
            return Err(OpenError::Version(*version));
        }
        let (nonce, sealed) =
            (sealed.split_first_chunk::<NONCE>()).ok_or(OpenError::Malformed("half a nonce"))?;
        let (text, tag) =
            (sealed.split_last_chunk::<TAG>()).ok_or(OpenError::Malformed("half a value"))?;
        let mut text = text.to_vec();
        self.cipher
            .decrypt_in_place_detached(
                nonce.into(),
                &associated(&item.key, item.seq),
                &mut text,
                Tag::from_slice(tag),
            )
            .map_err(|_| OpenError::Sealed)?;
        Ok(text)
    }
}

fn associated(key: &[u8; 32], seq: i64) -> Vec<u8> {
    [&key[..], &seq.to_be_bytes()].concat()
}

/// The public half; none if it is of small order, which the factor makes it for no honest id.
pub(super) fn public(peer: PeerId, lock: &Lock) -> Option<[u8; 32]> {
    let id = VerifyingKey::from_bytes(peer.as_bytes()).ok()?;
    let blinded = VerifyingKey::from(lock.factor * id.to_edwards());
    (!blinded.is_weak()).then(|| blinded.to_bytes())
}

/// The secret half.
pub(super) struct BlindedKey {
    secret: ExpandedSecretKey,
    public: VerifyingKey,
}

impl BlindedKey {
    pub(super) fn new(key: &SecretKey, lock: &Lock) -> Self {
        let expanded = Sha512::digest(key.seed().as_slice());
        let mut secret = ExpandedSecretKey::from_bytes(&expanded.into());
        secret.scalar *= lock.factor;
        // What makes nonces must be another for each key, or two signatures would give the scalars away.
        let prefix = Sha512::new()
            .chain_update(b"peerway record prefix")
            .chain_update(secret.hash_prefix)
            .chain_update(lock.factor.as_bytes())
            .finalize();
        if let Some(prefix) = prefix.first_chunk() {
            secret.hash_prefix = *prefix;
        }
        let public = VerifyingKey::from(&secret);
        Self { secret, public }
    }

    pub(super) fn id(&self) -> &[u8; 32] {
        self.public.as_bytes()
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        raw_sign::<Sha512>(&self.secret, message, &self.public).to_bytes()
    }
}

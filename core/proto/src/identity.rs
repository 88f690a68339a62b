//! Who a peer is: an ed25519 key pair and its public half, the [`PeerId`].
//!
//! The X25519 key for the Noise handshake is derived from the same key (the birational map of RFC 7748 section 4.1, as
//! libsodium does), so that there is one secret to keep.

use std::{fmt, str::FromStr};

use blake2::{Blake2s256, Digest};
use data_encoding::BASE32_NOPAD;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

/// The public ed25519 key (RFC 8032) by which a peer is dialled and known.
///
/// Its text form is lower-case base32 (RFC 4648, no padding), 52 characters; parsing accepts either case.
/// Every value is a valid curve point of large order: other byte strings are refused on construction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId([u8; 32]);

impl PeerId {
    /// Length of the text form.
    pub const TEXT_LEN: usize = 52;

    /// Takes the 32 bytes of a public key.
    ///
    /// # Errors
    /// [`ParseIdError::NotAKey`] if they are no canonical curve point, or one of small order.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, ParseIdError> {
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| ParseIdError::NotAKey)?;
        if key.is_weak() || !is_canonical(&bytes) {
            return Err(ParseIdError::NotAKey);
        }
        Ok(Self(bytes))
    }

    /// The 32 bytes of the public key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Characters of [`PeerId::short`].
    pub const SHORT_LEN: usize = 8;

    /// The first 8 characters of the text form, for people to tell peers apart; not unique.
    #[must_use]
    pub fn short(&self) -> String {
        // Eight characters of five bits each.
        let first: [u8; 5] = self.0.first_chunk().copied().unwrap_or_default();
        BASE32_NOPAD.encode(&first).to_ascii_lowercase()
    }

    /// Whether the peer has signed `message` for this purpose, as [`SecretKey::sign`] does.
    #[must_use]
    pub fn has_signed(&self, purpose: &str, message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = Signature::from_bytes(signature);
        VerifyingKey::from_bytes(&self.0).is_ok_and(|key| {
            key.verify_strict(&to_sign(purpose, message), &signature)
                .is_ok()
        })
    }

    /// The X25519 public key that belongs to this identity.
    #[must_use]
    pub(crate) fn to_x25519(self) -> [u8; 32] {
        VerifyingKey::from_bytes(&self.0).map_or([0; 32], |key| key.to_montgomery().to_bytes())
    }
}

/// What is signed: no signature for one purpose, nor one of TLS, can pass for one for another.
fn to_sign(purpose: &str, message: &[u8]) -> Vec<u8> {
    let length = (purpose.len() as u64).to_be_bytes();
    [
        b"peerway signature 1",
        &length[..],
        purpose.as_bytes(),
        message,
    ]
    .concat()
}

/// RFC 8032 section 5.1.3: the y coordinate must be below p = 2^255 - 19; the decoder lets larger ones pass.
fn is_canonical(bytes: &[u8; 32]) -> bool {
    let [low, middle @ .., high] = bytes;
    high & 0x7f != 0x7f || middle.iter().any(|byte| *byte != 0xff) || *low < 0xed
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({})", self.short())
    }
}

impl FromStr for PeerId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        if text.len() != Self::TEXT_LEN {
            return Err(ParseIdError::Length {
                found: text.chars().count(),
            });
        }
        let bytes = decode_base32(text).map_err(|error| ParseIdError::Character {
            position: error.unwrap_or(text.len()),
        })?;
        Self::from_bytes(bytes.try_into().map_err(|_| ParseIdError::NotAKey)?)
    }
}

impl Serialize for PeerId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PeerId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// Why a text or byte string is no [`PeerId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseIdError {
    /// Copy the whole id: it has 52 characters.
    #[error("a peer id has 52 characters, this has {found}")]
    Length {
        /// Characters found.
        found: usize,
    },
    /// Look at the named character: an id is made of a–z and 2–7 only.
    #[error("character {position} of the peer id is not base32 (a-z, 2-7)")]
    Character {
        /// Position of the first wrong character, counted from 1.
        position: usize,
    },
    /// The id was damaged: no key pair has such a public key.
    #[error("the peer id is not a valid ed25519 public key; was it copied completely?")]
    NotAKey,
}

/// Decodes base32 of either case; the error is the position of the first wrong character, counted from 1, or none if all are
/// right but their number is not.
pub fn decode_base32(text: &str) -> Result<Vec<u8>, Option<usize>> {
    let is_base32 = |byte: u8| byte.is_ascii_alphabetic() || (b'2'..=b'7').contains(&byte);
    if let Some(wrong) = text.bytes().position(|byte| !is_base32(byte)) {
        return Err(Some(wrong + 1));
    }
    let decoded = BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes());
    decoded.map_err(|_| None)
}

/// The secret half of an identity: an ed25519 seed (RFC 8032), wiped from memory when dropped.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// Makes the key of a 32-byte seed.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// A new key from the operating system's random source.
    ///
    /// # Errors
    /// The operating system's error if it has no randomness to give.
    #[cfg(feature = "generate")]
    pub fn generate() -> std::io::Result<Self> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut()).map_err(std::io::Error::from)?;
        Ok(Self::from_seed(&seed))
    }

    /// The public half.
    #[must_use]
    pub fn id(&self) -> PeerId {
        PeerId(self.0.verifying_key().to_bytes())
    }

    /// A secret for another purpose, which `context` names: the same for the same key, and it gives nothing of the key away.
    #[must_use]
    pub fn derive(&self, context: &str) -> [u8; 32] {
        let hash = Blake2s256::new().chain_update(context);
        hash.chain_update(self.seed()).finalize().into()
    }

    /// Signs a message (RFC 8032) for a purpose, which names the program and the kind of message.
    #[must_use]
    pub fn sign(&self, purpose: &str, message: &[u8]) -> [u8; 64] {
        self.0.sign(&to_sign(purpose, message)).to_bytes()
    }

    /// The seed, for the key file and the TLS signer.
    #[must_use]
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The X25519 secret key that belongs to this identity.
    #[must_use]
    pub(crate) fn to_x25519(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_scalar_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {})", self.id().short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(seed: u8) -> PeerId {
        SecretKey::from_seed(&[seed; 32]).id()
    }

    #[test]
    fn derived_secrets_depend_on_the_key_and_the_purpose() {
        let key = SecretKey::from_seed(&[1; 32]);
        let other = SecretKey::from_seed(&[2; 32]);
        assert_eq!(key.derive("one"), key.derive("one"));
        assert_ne!(key.derive("one"), key.derive("two"));
        assert_ne!(key.derive("one"), other.derive("one"));
        assert_ne!(key.derive("one"), *key.seed());
    }

    #[test]
    fn a_signature_holds_for_its_key_purpose_and_message_alone() {
        let key = SecretKey::from_seed(&[1; 32]);
        let signature = key.sign("tea", b"two cups");
        assert!(id(1).has_signed("tea", b"two cups", &signature));
        assert!(!id(2).has_signed("tea", b"two cups", &signature));
        assert!(!id(1).has_signed("te", b"atwo cups", &signature));
        assert!(!id(1).has_signed("tea", b"two cup", &signature));
    }

    #[test]
    fn an_id_survives_its_text_form_in_either_case() {
        let text = id(1).to_string();
        assert_eq!(text.len(), PeerId::TEXT_LEN);
        assert_eq!(text.parse(), Ok(id(1)));
        assert_eq!(text.to_ascii_uppercase().parse(), Ok(id(1)));
        assert!(text.starts_with(&id(1).short()));
    }

    #[test]
    fn a_wrong_character_is_named_by_its_position() {
        let mut text = id(1).to_string();
        text.replace_range(4..5, "1");
        assert_eq!(
            text.parse::<PeerId>(),
            Err(ParseIdError::Character { position: 5 })
        );
        assert_eq!(
            "short".parse::<PeerId>(),
            Err(ParseIdError::Length { found: 5 })
        );
    }

    #[test]
    fn weak_and_malformed_keys_are_refused() {
        let mut one = [0; 32];
        one[0] = 1; // the neutral element, of order 1
        for bytes in [[0; 32], one, [0xff; 32]] {
            assert_eq!(PeerId::from_bytes(bytes), Err(ParseIdError::NotAKey));
        }
    }

    #[test]
    fn both_sides_derive_the_same_x25519_key() {
        let secret = SecretKey::from_seed(&[7; 32]);
        let public = SigningKey::from_bytes(&[7; 32])
            .verifying_key()
            .to_montgomery()
            .to_bytes();
        assert_eq!(secret.id().to_x25519(), public);
    }

    #[test]
    fn debug_shows_no_secret() {
        let secret = SecretKey::from_seed(&[7; 32]);
        assert_eq!(
            format!("{secret:?}"),
            format!("SecretKey(of {})", secret.id().short())
        );
    }
}

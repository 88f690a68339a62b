//! What members write to each other: sealed with the epoch's key, signed by the author.
//!
//! The signature is over what is sealed, so that whoever hands a post on can see whose it is, also without the key.

use std::fmt;

use chacha20poly1305::{
    ChaCha20Poly1305, Key, Nonce,
    aead::{Aead, KeyInit},
};
use data_encoding::BASE32_NOPAD;
use peerway::PeerId;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroize;

use super::{
    op::{Commitment, GroupId, OpId},
    signature::{Signature, id_bytes},
};

/// Length of the longest post as it travels, in bytes.
pub const MAX_POST: usize = 4096;
/// Bytes of text in a post.
pub const MAX_TEXT: usize = 3800;

const PURPOSE: &str = "peerway group post";
/// Bytes of a post's id by which an answer to it names it.
pub(super) const NAMED: usize = 10;

/// The secret by which the posts of an epoch are sealed. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochKey([u8; 32]);

impl EpochKey {
    /// The key of these bytes, which must be random.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes, to be kept.
    #[must_use]
    pub fn reveal(&self) -> &[u8; 32] {
        &self.0
    }

    /// What it is known by to who does not have it.
    #[must_use]
    pub fn commitment(&self) -> Commitment {
        Commitment(blake3::derive_key("peerway group epoch 1", &self.0))
    }

    /// For one post, so that no nonce has to be kept.
    fn cipher(&self, content: &Content) -> ChaCha20Poly1305 {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(b"peerway group post 1");
        hasher.update(content.author.as_bytes());
        hasher.update(&content.seq.to_be_bytes());
        hasher.update(&content.sent_ms.to_be_bytes());
        hasher.update(&content.salt);
        let key = *hasher.finalize().as_bytes();
        ChaCha20Poly1305::new(Key::from_slice(&key))
    }

    /// What hides which post one answers from whoever has not the key: nothing else of a post depends on it.
    fn mask(&self, content: &Content) -> [u8; NAMED] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(b"peerway group reply 1");
        hasher.update(content.author.as_bytes());
        hasher.update(&content.seq.to_be_bytes());
        hasher.update(&content.sent_ms.to_be_bytes());
        let (_, random) = content.salt.split_at(NAMED);
        hasher.update(random);
        let mut mask = [0; NAMED];
        hasher.finalize_xof().fill(&mut mask);
        mask
    }
}

impl Drop for EpochKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for EpochKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EpochKey(…)")
    }
}

/// By which a post is known: the hash of what its author signed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PostId(pub(crate) [u8; 32]);

impl PostId {
    /// Its 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for PostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

impl fmt::Debug for PostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostId({})", &self.to_string()[..8])
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Content {
    group: GroupId,
    epoch: OpId,
    #[serde(with = "id_bytes")]
    author: PeerId,
    seq: u64,
    sent_ms: u64,
    /// Random, so that no two posts are sealed alike; of an answer the first bytes are the other post's, masked, which whoever does not
    /// look for them takes for random too.
    salt: [u8; 16],
    sealed: Vec<u8>,
}

/// A message to the members of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Post {
    content: Content,
    signature: Signature,
}

/// Where and when something is posted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) group: GroupId,
    pub(super) epoch: OpId,
    pub(super) author: PeerId,
    pub(super) seq: u64,
    pub(super) sent_ms: u64,
    pub(super) salt: [u8; 16],
    pub(super) reply_to: Option<PostId>,
}

/// A text is too long or empty to be posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a post has 1 to {MAX_TEXT} bytes, and this has {found}")]
#[non_exhaustive]
pub struct PostLengthError {
    /// Bytes that it has.
    pub found: usize,
}

impl PostLengthError {
    /// Whether a text can be posted.
    ///
    /// # Errors
    /// It is too long or empty.
    pub fn check(text: &str) -> Result<(), Self> {
        let found = text.len();
        if (1..=MAX_TEXT).contains(&found) {
            Ok(())
        } else {
            Err(Self { found })
        }
    }
}

impl Post {
    pub(super) fn seal(
        place: Place,
        key: &EpochKey,
        text: &str,
        sign: impl Fn(&str, &[u8]) -> [u8; 64],
    ) -> Result<Self, PostLengthError> {
        PostLengthError::check(text)?;
        let mut content = Content {
            group: place.group,
            epoch: place.epoch,
            author: place.author,
            seq: place.seq,
            sent_ms: place.sent_ms,
            salt: place.salt,
            sealed: Vec::new(),
        };
        if let Some(PostId(parent)) = place.reply_to {
            let masked = key.mask(&content).into_iter().zip(parent);
            for (byte, (mask, name)) in content.salt.iter_mut().zip(masked) {
                *byte = mask ^ name;
            }
        }
        let sealed = key
            .cipher(&content)
            .encrypt(&Nonce::default(), text.as_bytes());
        content.sealed = sealed.map_err(|_| PostLengthError { found: text.len() })?;
        let signature = sign(PURPOSE, &bytes(&content)).into();
        Ok(Self { content, signature })
    }

    /// Its text; none if the key is not its epoch's, or it is not UTF-8.
    #[must_use]
    pub fn open(&self, key: &EpochKey) -> Option<String> {
        let cipher = key.cipher(&self.content);
        let text = cipher.decrypt(&Nonce::default(), &self.content.sealed[..]);
        String::from_utf8(text.ok()?).ok()
    }

    /// How the id of the post begins that it answers; of one that answers none, something that no id begins with.
    pub(super) fn answers(&self, key: &EpochKey) -> [u8; NAMED] {
        let mask = key.mask(&self.content);
        std::array::from_fn(|at| mask[at] ^ self.content.salt[at])
    }

    /// By which it is known.
    #[must_use]
    pub fn id(&self) -> PostId {
        PostId(*blake3::hash(&bytes(&self.content)).as_bytes())
    }

    /// Who wrote it.
    #[must_use]
    pub fn author(&self) -> PeerId {
        self.content.author
    }

    /// How many the author had posted before.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.content.seq
    }

    /// When, in milliseconds since the Unix epoch, by the author's clock as its neighbours corrected it.
    #[must_use]
    pub fn sent_ms(&self) -> u64 {
        self.content.sent_ms
    }

    /// By which epoch's key it is sealed.
    #[must_use]
    pub fn epoch(&self) -> OpId {
        self.content.epoch
    }

    /// How long it is as it travels and is kept, in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.content.sealed.len() + 192
    }

    /// Never: it has at least a signature.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    pub(super) fn is_sound(&self, group: GroupId) -> bool {
        let signed = bytes(&self.content);
        let author = self.content.author;
        self.content.group == group
            && signed.len() + 64 <= MAX_POST
            && author.has_signed(PURPOSE, &signed, &self.signature.into())
    }
}

/// Postcard writes into memory and refuses none of these types; an empty message would be signed by nobody.
fn bytes(content: &Content) -> Vec<u8> {
    postcard::to_allocvec(content).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;

    use super::*;

    fn post(text: &str) -> Result<Post, PostLengthError> {
        answer(text, None)
    }

    fn answer(text: &str, reply_to: Option<PostId>) -> Result<Post, PostLengthError> {
        let author = SecretKey::from_seed(&[1; 32]);
        let place = Place {
            group: GroupId([1; 32]),
            epoch: OpId([2; 32]),
            author: author.id(),
            seq: 3,
            sent_ms: 4,
            salt: [5; 16],
            reply_to,
        };
        let key = EpochKey::from_bytes([6; 32]);
        Post::seal(place, &key, text, |purpose, message| {
            author.sign(purpose, message)
        })
    }

    #[test]
    fn who_has_the_key_reads_it_and_nobody_else() {
        let post = post("hello").unwrap();
        assert_eq!(
            post.open(&EpochKey::from_bytes([6; 32])).as_deref(),
            Some("hello")
        );
        assert_eq!(post.open(&EpochKey::from_bytes([7; 32])), None);
        assert!(post.is_sound(GroupId([1; 32])) && !post.is_sound(GroupId([2; 32])));
    }

    #[test]
    fn who_has_the_key_sees_what_an_answer_is_to_and_nobody_else() {
        let key = EpochKey::from_bytes([6; 32]);
        let first = post("hello").unwrap();
        let reply = answer("hello too", Some(first.id())).unwrap();
        assert_eq!(reply.answers(&key), first.id().0[..NAMED]);
        assert_eq!(reply.open(&key).as_deref(), Some("hello too"));
        assert!(reply.is_sound(GroupId([1; 32])));
        let other = EpochKey::from_bytes([7; 32]);
        assert_ne!(reply.answers(&other), first.id().0[..NAMED]);
        assert_ne!(first.answers(&key), first.id().0[..NAMED]);
        let other = post("hello there").unwrap();
        let both = [&first, &other].map(|it| answer("which?", Some(it.id())).unwrap());
        assert_ne!(both[0].content.salt, both[1].content.salt);
    }

    #[test]
    fn the_longest_text_is_a_post_and_a_longer_one_is_not() {
        let longest = post(&"x".repeat(MAX_TEXT)).unwrap();
        assert!(longest.is_sound(GroupId([1; 32])));
        let length = postcard::to_allocvec(&longest).unwrap().len();
        assert!(length <= MAX_POST, "{length}");
        let too_long = post(&"x".repeat(MAX_TEXT + 1));
        assert_eq!(too_long, Err(PostLengthError { found: 3801 }));
        assert!(post("").is_err());
    }

    #[test]
    fn a_changed_one_is_known_to_be() {
        let sound = post("hello").unwrap();
        let changes: [fn(&mut Content); 4] = [
            |content| content.seq += 1,
            |content| content.sent_ms += 1,
            |content| content.epoch = OpId([3; 32]),
            |content| content.sealed[0] ^= 1,
        ];
        for change in changes {
            let mut changed = sound.clone();
            change(&mut changed.content);
            assert!(!changed.is_sound(GroupId([1; 32])));
            assert_ne!(changed.id(), sound.id());
        }
    }
}

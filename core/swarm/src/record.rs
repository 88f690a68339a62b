//! Where a peer is to be met, written so that it can lie with strangers: a [`Record`].
//!
//! A record is an item of BEP 44, which any node of the Mainline DHT stores. Its key is the peer's own, *blinded* by the
//! [`DiscoverySecret`] and the day: whoever has the id and the secret computes the same key, everybody else sees a key that
//! belongs to nobody and is another one tomorrow. The value is encrypted for those who can compute the key, and padded. What is
//! in it is signed once more by the id itself, so that a fault in the blinding could hide a peer and never forge one.
//!
//! ```text
//! value      version 1 | nonce 12 | ChaCha20-Poly1305(plaintext)      the key and the sequence number are authenticated with it
//! plaintext  length of the body 2 | body | signature by the id 64 | zeros, up to 192, 448 or 848 bytes
//! body       valid until 4 | relays | addresses | addresses to call, in postcard's format; what follows is for later versions, and
//!            older ones end before the last
//! ```
//!
//! Nothing here reads a clock, sends or waits. Times are in seconds since 1970.

mod blind;
mod body;
mod item;

#[cfg(any(test, feature = "_fuzzing"))]
pub mod fuzzing;

use peerway::{DiscoverySecret, PeerId, RelayUrl, SecretKey, Ticket};
use std::net::SocketAddr;
use thiserror::Error;

pub use blind::Period;
#[doc(inline)]
pub use peerway_dht::{Item, MAX_VALUE};

/// Relays in a record.
pub const MAX_RELAYS: usize = 3;
/// Addresses in a record.
pub const MAX_ADDRS: usize = 4;
/// The longest name of a relay's host in a record, in bytes.
pub const MAX_HOST: usize = 64;
/// How long a record is good, in seconds: three times as long as until it is written again.
pub const VALID_FOR: u64 = 3 * 3600;
/// How much further the clock of a record's author may be than the reader's, in seconds.
pub const MAX_SKEW: u64 = 600;

/// Where a peer is to be met.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// When it was written.
    pub written_at: u64,
    /// Until when it is to be believed.
    pub valid_until: u64,
    /// The relays at which the peer is, best first, at most [`MAX_RELAYS`].
    pub relays: Vec<RelayUrl>,
    /// Addresses that it chose to publish, at most [`MAX_ADDRS`].
    pub addrs: Vec<SocketAddr>,
    /// Addresses from which it says hello to who calls it, at most [`MAX_ADDRS`]. Its NAT lets nobody in there.
    pub to_call: Vec<SocketAddr>,
}

impl Record {
    /// A record of now. Relays and addresses beyond the limits are left out, as are relays with long names and what invites to
    /// relays.
    #[must_use]
    pub fn new(now: u64, relays: &[RelayUrl], addrs: &[SocketAddr]) -> Self {
        let relays = relays.iter().filter(|relay| relay.host().len() <= MAX_HOST);
        let plain = relays.filter_map(|it| RelayUrl::new(it.key(), it.host(), it.port()).ok());
        Self {
            written_at: now,
            valid_until: now + VALID_FOR,
            relays: plain.take(MAX_RELAYS).collect(),
            addrs: addrs.iter().copied().take(MAX_ADDRS).collect(),
            to_call: Vec::new(),
        }
    }

    /// The same of a peer that reads [calls](crate::call), and is behind these addresses.
    #[must_use]
    pub fn to_call(mut self, addrs: &[SocketAddr]) -> Self {
        self.to_call = addrs.iter().copied().take(MAX_ADDRS).collect();
        self
    }

    /// Whether it says nothing of where the peer is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.relays.is_empty() && self.addrs.is_empty() && self.to_call.is_empty()
    }

    /// What to dial `peer` with, as this record of it says.
    #[must_use]
    pub fn ticket(&self, peer: PeerId) -> Ticket {
        Ticket::new(peer, self.relays.clone(), self.addrs.clone())
    }

    /// The item to store for a period. It is the same bytes for the same input.
    ///
    /// # Errors
    /// [`SealError::TooLong`], which no record of [`Record::new`] is.
    pub fn seal(
        &self,
        key: &SecretKey,
        secret: DiscoverySecret,
        period: Period,
    ) -> Result<Item, SealError> {
        let lock = blind::Lock::new(key.id(), secret, period);
        let seq = i64::try_from(self.written_at).unwrap_or(i64::MAX);
        let blinded = blind::BlindedKey::new(key, &lock);
        let plaintext = body::write(self, key, &lock, seq)?;
        let value = lock.encrypt(blinded.id(), seq, &plaintext, nonce(key, &plaintext));
        if value.len() > MAX_VALUE {
            return Err(SealError::TooLong { len: value.len() });
        }
        Ok(item::signed(&blinded, seq, value))
    }

    /// Reads what somebody stored under the key of [`key`].
    ///
    /// # Errors
    /// Each of [`OpenError`]: the item comes from strangers.
    pub fn open(
        peer: PeerId,
        secret: DiscoverySecret,
        period: Period,
        item: &Item,
        now: u64,
    ) -> Result<Self, OpenError> {
        if item.value.len() > MAX_VALUE {
            return Err(OpenError::TooLong {
                len: item.value.len(),
            });
        }
        let lock = blind::Lock::new(peer, secret, period);
        if Some(item.key) != blind::public(peer, &lock) || !item.is_signed() {
            return Err(OpenError::Forged);
        }
        let plaintext = lock.decrypt(item)?;
        let record = body::read(&plaintext, peer, &lock, item.seq)?;
        record.check_times(now)?;
        Ok(record)
    }

    fn check_times(&self, now: u64) -> Result<(), OpenError> {
        if self.valid_until > self.written_at.saturating_add(VALID_FOR) {
            return Err(OpenError::Malformed("a time to live that is too long"));
        }
        if self.written_at > now.saturating_add(MAX_SKEW) {
            let ahead = self.written_at - now;
            return Err(OpenError::Future { ahead });
        }
        if self.valid_until <= now {
            let age = now.saturating_sub(self.written_at);
            return Err(OpenError::Expired { age });
        }
        Ok(())
    }
}

/// The key under which a peer's record of a period is found; none if the id is a key that cannot be blinded, which no honest one is.
#[must_use]
pub fn key(peer: PeerId, secret: DiscoverySecret, period: Period) -> Option<[u8; 32]> {
    blind::public(peer, &blind::Lock::new(peer, secret, period))
}

/// A nonce for whoever has no randomness: another plaintext has another one, and who does not have the key cannot tell which.
fn nonce(key: &SecretKey, plaintext: &[u8]) -> [u8; 12] {
    use sha2::{Digest, Sha512};
    let hash = Sha512::new()
        .chain_update(key.derive("peerway record nonce"))
        .chain_update(plaintext)
        .finalize();
    let mut nonce = [0; 12];
    nonce.copy_from_slice(&hash[..12]);
    nonce
}

/// Why a record cannot be published.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SealError {
    /// Name fewer relays and addresses.
    #[error(
        "the record is {len} bytes long, and a node of the DHT takes {MAX_VALUE}: name fewer relays or addresses"
    )]
    TooLong {
        /// Its length, in bytes.
        len: usize,
    },
}

/// Why what was found is no record of the peer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Whoever stored it is no Peerway node.
    #[error("a value of {len} bytes, and records have at most {MAX_VALUE}")]
    TooLong {
        /// Its length, in bytes.
        len: usize,
    },
    /// It was not written by the peer.
    #[error("it is not signed by the peer")]
    Forged,
    /// Get a newer Peerway: the peer has one.
    #[error("it is of version {0}, which this Peerway does not know")]
    Version(u8),
    /// It was damaged, or encrypted with another secret.
    #[error("it does not open with this discovery secret")]
    Sealed,
    /// The peer's program is broken.
    #[error("it holds {0}")]
    Malformed(&'static str),
    /// One of the two clocks is wrong: set it.
    #[error("it was written {ahead} s from now: the peer's clock is ahead, or this one is behind")]
    Future {
        /// By how many seconds.
        ahead: u64,
    },
    /// The peer does not run, or cannot publish.
    #[error("it is {} old, so the peer is probably off", hours(*age))]
    Expired {
        /// Seconds since it was written.
        age: u64,
    },
}

fn hours(seconds: u64) -> String {
    match seconds / 3600 {
        0 => format!("{} min", seconds / 60),
        hours => format!("{hours} h"),
    }
}

#[cfg(test)]
mod tests;

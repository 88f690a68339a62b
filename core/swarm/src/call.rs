//! Calls by way of the DHT, for peers that have no relay in common and NATs that let nobody in.
//!
//! Who has a peer's id and discovery secret can compute where its *slots* lie, and leave a sealed call in a free one: "say hello
//! to me, at these addresses". The caller has opened its own NAT for the peer's answer by then, and keeps it open with packets that do
//! not get as far as the peer's NAT, where one that comes too early may cost the peer its port. The peer reads its slots and says
//! hello. The call is not the hello itself: it lies there for longer than a hello is believed.
//!
//! ```text
//! slot       an item of BEP 44 under a key that is computed from the id, the secret, the day and the slot's number
//! value      version 2 | ephemeral key 32 | ChaCha20-Poly1305(plaintext)         the slot's key and the sequence number are authenticated with it
//! plaintext  length of the body 2 | body | signature by the caller 64 | zeros, up to 192 bytes
//! body       the caller's id | its addresses | when it was written, in postcard's format; what follows is for later versions
//! ```
//!
//! The seal is opened by the peer alone: others who have its ticket see that somebody calls, and can take a slot away, but learn neither who
//! calls nor from where. Who takes all of them keeps out others who have but a ticket; a peer that finds them all taken reads those of
//! callers whom it knows, too: a slot for each, which only the two can compute. `caller` and `listener` decide, in any time; [`listen`] and [`discovery`](crate::discovery) carry it out.

pub(crate) mod caller;
mod letter;
pub mod listen;
pub(crate) mod listener;
mod slot;

use curve25519_dalek::MontgomeryPoint;
use peerway::{NatBehavior, NetworkSnapshot, Observed, SecretKey};
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

pub(crate) use letter::Call;
pub(crate) use slot::{SLOTS, Slots};

/// Addresses in a call: each is sent a hello.
pub(crate) const MAX_ADDRS: usize = 2;
/// How long a call lies in its slot before others may take it, in seconds. Its author writes it again before, as long as it waits.
pub(crate) const LIES_FOR: u64 = 30;

/// Whether the NAT gives each destination another port, so that nobody gets in at one that others see.
pub(crate) fn ports_vary(network: &NetworkSnapshot) -> bool {
    network.observed == Observed::Varies
        || matches!(
            network.nat.mapping,
            NatBehavior::AddressDependent | NatBehavior::AddressAndPortDependent
        )
}

/// What a peer's key and another one make together, as [`agreed`] has it.
fn shared(key: &SecretKey, theirs: &MontgomeryPoint) -> Option<MontgomeryPoint> {
    let expanded = Zeroizing::new(<[u8; 64]>::from(Sha512::digest(key.seed().as_slice())));
    let scalar = Zeroizing::new(*expanded.first_chunk::<32>()?);
    agreed(&scalar, theirs)
}

/// What a secret and another's key make together; none for a key of small order, with which everybody would know it.
fn agreed(secret: &[u8; 32], theirs: &MontgomeryPoint) -> Option<MontgomeryPoint> {
    let shared = theirs.mul_clamped(*secret);
    (shared.as_bytes() != &[0; 32]).then_some(shared)
}

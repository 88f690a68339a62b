//! What Peerway decides, and what it says: pure, without sockets, tasks, clocks or randomness of its own.
//!
//! - The vocabulary: [`PeerId`], [`Ticket`], [`NodeSnapshot`], [`Explanation`] and what they are made of.
//! - [`wire`] turns bytes into messages and back.
//! - The decisions: [`endpoint::Machine`] is the whole of them for the outside, with a link per peer. Events and the time go
//!   in, comparable values come out. Beside it the model of a path's capacity ([`congestion`]) and what shares out a node's
//!   means ([`admission`], [`credit`], [`outbound`]).
//!
//! Programs use the crate `peerway`, which shows the vocabulary and [`wire`] as its own. The rest is for Peerway's own crates
//! and changes with them, so it is left out of the documentation.

#![warn(missing_docs)]
#![allow(
    rustdoc::private_intra_doc_links,
    reason = "the decisions are read together with what is private to them"
)]

// The vocabulary.
#[warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]
mod access;
#[doc(hidden)]
pub mod addr;
#[warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]
mod discovery;
#[warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]
mod event;
#[warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]
mod explanation;
#[doc(hidden)]
pub mod identity;
#[warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]
mod invite;
#[warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]
mod item;
#[warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]
mod policy;
#[warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]
mod relay_url;
#[warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]
mod snapshot;
#[warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]
mod ticket;

// The messages.
#[cfg(feature = "stun")]
#[warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]
pub mod stun;
#[warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]
pub mod wire;

// The decisions.
#[doc(hidden)]
pub mod admission;
mod agenda;
#[doc(hidden)]
pub mod allowance;
mod budget;
#[doc(hidden)]
pub mod carriers;
mod clock;
#[doc(hidden)]
pub mod congestion;
#[doc(hidden)]
pub mod credit;
#[doc(hidden)]
pub mod early;
#[doc(hidden)]
pub mod endpoint;
mod explain;
#[doc(hidden)]
pub mod handshake;
mod heard;
#[doc(hidden)]
pub mod io;
#[doc(hidden)]
pub mod liveness;
#[doc(hidden)]
pub mod local;
#[doc(hidden)]
pub mod nat;
#[doc(hidden)]
pub mod outbound;
mod peer;
mod plan;
#[doc(hidden)]
pub mod relays;
#[doc(hidden)]
pub mod session;
#[doc(hidden)]
pub mod shares;
mod sources;
mod stale;
mod times;
#[doc(hidden)]
pub mod timing;
mod together;
mod turned_away;

// The proof.
#[cfg(any(test, feature = "_fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(test)]
mod tests;
#[cfg(any(test, feature = "_fuzzing"))]
mod watched;

pub use access::Access;
pub use discovery::DiscoverySecret;
pub use event::{Event, EventKind, Names, Transferred};
pub use explanation::{
    Action, Cause, Evidence, Explanation, Guessing, How, Kinds, NextReason, NextTry, Side,
    SideEvidence, Tried,
};
pub use identity::{ParseIdError, PeerId, SecretKey};
pub use invite::{InviteToken, ParseInviteError};
pub use item::{Item, MAX_ITEM_VALUE};
pub use policy::{PairAction, ParsePolicyError, PathPolicy};
pub use relay_url::{ParseRelayUrlError, RelayUrl};
pub use snapshot::{
    Caller, CandidatePair, Carrier, FlowSnapshot, GroupSnapshot, HomeReason, LinkReport,
    MappingProtocol, MemberSnapshot, MemberStatus, NatBehavior, NatEvidence, NatReport,
    NetworkSnapshot, NodeChanges, NodeSnapshot, Observed, PairKind, PairSnapshot, PairState,
    PathInfo, PathKind, PeerChanges, PeerSnapshot, PeerState, PortAllocation, PortMapping,
    PortRefusal, Presence, RefusalReason, Refused, RelayRole, RelaySnapshot, RelayState,
    SwarmSnapshot, Traffic,
};
pub use ticket::{ParseTicketError, Ticket};

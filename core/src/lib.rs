//! Peerway links computers behind home routers directly, by public key.
//!
//! An [`Endpoint`] is a node: one key, one UDP port per address family, any number of peers. [`Endpoint::connect`] takes a
//! [`Ticket`] or a [`PeerId`] and gives a [`Connection`], which is a QUIC connection with streams and datagrams. It
//! works as soon as any path carries it, usually a relay, and moves between paths without its user noticing.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use peerway::{Connection, Endpoint, RelayUrl, Router};
//!
//! async fn greet(connection: Connection) {
//!     if let Ok(mut send) = connection.open_uni().await {
//!         let _ = send.write_all(b"hello from behind a router\n").await;
//!         let _ = send.finish();
//!         // What the peer has not acknowledged is lost when the connection is dropped.
//!         let _ = send.stopped().await;
//!     }
//! }
//!
//! let relay: RelayUrl = "relay://KEY@relay.example.org:4433".parse()?;
//! let endpoint = Endpoint::builder().relays([relay]).bind().await?;
//! endpoint.online().await?;
//! println!("dial {}", endpoint.ticket());
//! Router::new(endpoint).accept("example/greet/1", greet).run().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What this crate decides
//!
//! Which path a link takes, and nothing else. [`wire`] turns bytes into messages. The crate `peerway-proto` decides, as a
//! pure state machine per peer and one for the node: what happened and the time go in, comparable values come out. The
//! module `net` has the sockets, the clock and the one task that owns a node's state; it gives quinn a virtual address per
//! peer and sends to wherever the machine says.
//!
//! # The life of a link
//!
//! 1. *Intro.* The dialler sends INTRO, sealed to the dialled key, through the peer's relay and to addresses in the ticket, and
//!    QUIC's first flight with it. The answer carries the peer's candidates: addresses at which it may be reached.
//! 2. *Punch.* Both sides probe each other's candidates. Data flows through the relay meanwhile.
//! 3. *Direct.* A probe was answered: data takes that path. Only silence while data is sent puts it in doubt.
//! 4. *Suspect.* The path is silent. Data goes both ways, directly and through the relay, while it is probed.
//! 5. *Relayed.* No candidate answered, or the direct path died. Rounds that try again follow as long as the link is used,
//!    and at once when an address or the network changes.
//!
//! A connection ends with the last clone of it. When the last has ended, the link lingers for ten seconds and is forgotten.
//! [`LinkStatus`] tells a connection's user where its link stands and, as an [`Explanation`], why; [`NodeSnapshot`] and [`Event`]
//! tell it for the whole node.
//!
//! # Memory
//!
//! What peers took is freed when they leave. Whether the system gets it back is the allocator's matter: glibc's keeps nearly
//! all of it. A program with many peers that come and go is better off with one that returns free pages by itself, as
//! jemalloc does with its background threads; Peerway's own programs use it.
//!
//! # What it never does
//!
//! - Answer a stranger: what does not prove that it knows our key, or is not let in by [`Access`], gets no byte back.
//! - Trust a relay with more than delivery: all that passes it is encrypted between the peers.
//! - Flood an address on a peer's word: what an unproven address gets is bounded per peer, per address and over all peers.
//! - Keep a secret anywhere but in the caller's hands: [`keyfile`] is for programs that want one kept on disk.
//! - Print, exit, install a logger, or hold global state.

#![warn(missing_docs, clippy::exhaustive_enums, clippy::exhaustive_structs)]

mod connection;
mod endpoint;
mod net;
pub mod quic;
mod router;
pub mod services;
mod stream;

// What is decided and said, as the rooms here know it.
use peerway_proto as proto;
use peerway_proto::{addr, congestion};

pub use bytes::Bytes;
pub use connection::{Connection, LinkStatus};
pub use endpoint::{BindError, Builder, ConnectError, Endpoint, OnlineError};
pub use net::{LanError, Search, Searches, relay};
#[doc(inline)]
pub use peerway_keys::{keyfile, tls};
#[doc(inline)]
pub use peerway_proto::{
    Access, Action, Caller, CandidatePair, Carrier, Cause, DiscoverySecret, Event, EventKind,
    Evidence, Explanation, FlowSnapshot, GroupSnapshot, Guessing, HomeReason, How, InviteToken,
    Item, Kinds, LinkReport, MappingProtocol, MemberSnapshot, MemberStatus, Names, NatBehavior,
    NatEvidence, NatReport, NetworkSnapshot, NextReason, NextTry, NodeChanges, NodeSnapshot,
    Observed, PairAction, PairKind, PairSnapshot, PairState, ParseIdError, ParseInviteError,
    ParsePolicyError, ParseRelayUrlError, ParseTicketError, PathInfo, PathKind, PathPolicy,
    PeerChanges, PeerId, PeerSnapshot, PeerState, PortAllocation, PortMapping, PortRefusal,
    Presence, RefusalReason, Refused, RelayRole, RelaySnapshot, RelayState, RelayUrl, SecretKey,
    Side, SideEvidence, SwarmSnapshot, Ticket, Traffic, Transferred, Tried, stun, wire,
};
pub use router::Router;
pub use stream::{RecvStream, SendStream};

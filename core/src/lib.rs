//! Peerway links computers behind home routers directly, by public key.

#![warn(missing_docs, clippy::exhaustive_enums, clippy::exhaustive_structs)]

mod access;
mod addr;
#[cfg(feature = "net")]
mod connection;
#[cfg(feature = "net")]
mod endpoint;
#[cfg(any(test, feature = "_fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod identity;
#[cfg(feature = "net")]
pub mod keyfile;
#[cfg(feature = "net")]
mod net;
mod proto;
#[cfg(feature = "net")]
pub mod services;
mod snapshot;
mod ticket;
#[cfg(feature = "net")]
pub mod tls;
pub mod wire;

pub use access::Access;
#[cfg(feature = "net")]
pub use connection::{Connection, LinkStatus};
#[cfg(feature = "net")]
pub use endpoint::{BindError, Builder, ConnectError, Endpoint};
pub use identity::{ParseIdError, PeerId, SecretKey};
#[cfg(feature = "net")]
pub use net::{relay, stun};
pub use snapshot::{
    Event, EventKind, MappingProtocol, NatBehavior, NatReport, NetworkSnapshot, NodeSnapshot,
    PathInfo, PeerSnapshot, PeerState, PortMapping, RelaySnapshot, RelayState, Traffic, Why,
};
pub use ticket::{ParseRelayUrlError, ParseTicketError, RelayUrl, Ticket};

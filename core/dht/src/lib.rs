//! The BitTorrent Mainline DHT as Peerway's nodes and relays use it: [`Directory`], in which [`Item`]s lie.

mod directory;

pub use directory::{Directory, DirectoryError, Entrance, Lookup, Reach};
#[doc(inline)]
pub use peerway_proto::Item;

/// The longest value of an [`Item`] that is stored, in bytes. Nodes of the DHT take 1,000 with what surrounds it, and say of more that
/// nobody answered.
pub const MAX_VALUE: usize = 900;

//! Content shared from many: named by its hash, fetched from whoever has some of it, verified unit by unit.
//!
//! What a file is called is its BLAKE3 [`Hash`](struct@Hash). A [`Link`] names it, and who has it. Whoever fetches asks one of those for the
//! [`Outline`], the values of all units, which has to come to the hash; from then on any unit is taken from anybody, and who sends a
//! wrong one is asked no more. Those who fetch serve what they have meanwhile, and hear of each other from those that they fetch from.
//!
//! ```no_run
//! # async fn example(endpoint: peerway::Endpoint, link: peerway_swarm::share::Link) -> Result<(), Box<dyn std::error::Error>> {
//! use peerway::{Router, services::files::Progress};
//! use peerway_swarm::share::{self, Sharing, Target};
//!
//! // Whoever is let in may have what is not public.
//! let sharing = Sharing::new(endpoint.clone(), |_| true);
//! let router = Router::new(endpoint).accept(share::ALPN, {
//!     let sharing = sharing.clone();
//!     move |connection| sharing.clone().serve(connection)
//! });
//! let shared = sharing.share("holiday.jpg".as_ref(), false).await?;
//! println!("{}", sharing.link(&shared));
//!
//! let got = sharing.get(&link, &Target::folder("downloads"), &Progress::default()).await?;
//! println!("{}", got.path.display());
//! # Ok(())
//! # }
//! ```

mod adopt;
mod ahead;
pub mod collection;
mod contents;
mod entries;
mod error;
mod fetch;
mod follows;
mod get;
mod hash;
mod keeping;
mod layout;
mod liars;
mod link;
mod locate;
mod object;
pub mod outline;
mod picker;
mod reader;
mod readers;
mod round;
pub(crate) mod scan;
mod serve;
mod session;
mod sharing;
mod small;
mod sources;
mod stream;
mod suggester;
mod tally;
#[cfg(test)]
mod tests;
mod turnstile;
mod units;
mod uploader;
mod way;
mod wire;
#[cfg(test)]
mod world;

pub use adopt::{AdoptError, Adoption};
pub use contents::{ContentPeer, ContentState, ContentView};
pub use error::{GetError, ShareError};
pub use get::{Got, Target};
pub use hash::{Hash, ParseHashError};
pub use keeping::KeepError;
pub use liars::Liars;
pub use link::{Kind, Link, ParseLinkError};
pub(crate) use object::lock;
pub use outline::Outline;
pub use picker::{Came, Picker};
pub use reader::Reader;
pub use sharing::{Notice, Options, Shared, Sharing};
pub use suggester::Suggester;
pub use units::Units;
pub use uploader::Uploader;

/// The application protocol.
pub const ALPN: &[u8] = b"peerway/share/1";

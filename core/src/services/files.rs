//! Files and folders from one peer to another: offered, taken or refused, verified as they come, resumed after any break.
//!
//! A file is cut into units (256 KiB, more for very large ones), each a subtree of its BLAKE3 hash. The sender reads it once: every
//! unit travels behind its chaining value, which the receiver checks before it writes, and the root at the end shows that both
//! have the whole file. What the receiver has verified it notes in a journal beside the partial file, so that after a crash of
//! either side, or of both, the same offer goes on where it was: the sender hashes what is there already and sends the rest.
//!
//! | stream | who sends |
//! |---|---|
//! | one in both directions, the sender's: control | offer, then the list of all files; the receiver's answer, what it holds, its troubles, its report |
//! | up to four from the sender: data | files one after the other, without waiting for anybody: their units, then the root |
//!
//! ```no_run
//! # async fn example(endpoint: peerway::Endpoint, peer: peerway::Ticket) -> Result<(), Box<dyn std::error::Error>> {
//! use peerway::{Router, services::files::{self, Inbox, Progress, Selection}};
//!
//! // Takes whatever is offered into a folder; `Inbox::offered` lets somebody decide first.
//! let inbox = Inbox::open("downloads")?;
//! let router = Router::new(endpoint.clone()).accept(files::ALPN, move |connection| {
//!     let inbox = inbox.clone();
//!     async move { drop(inbox.receive(&connection).await) }
//! });
//!
//! // The other side.
//! let connection = endpoint.connect(peer, files::ALPN).await?;
//! let report = files::send(&connection, Selection::of(&["photos".into()])?, &Progress::default()).await?;
//! println!("{} files, {} bytes", report.files, report.bytes);
//! # Ok(())
//! # }
//! ```

mod error;
mod inbox;
mod intake;
mod journal;
mod name;
mod place;
mod progress;
mod receive;
mod selection;
mod send;
mod source;
pub mod tree;
mod valve;
mod wire;
mod work;

#[cfg(test)]
mod tests;

pub use error::{InboxError, ReceiveError, SelectError, SendError};
pub use inbox::{Inbox, Offered};
pub use name::{BadName, SafePath, sanitise};
pub use place::{Place, make_executable, open_part};
pub use progress::Progress;
pub use selection::{Selection, Skipped};
pub use send::send;
pub use valve::Valve;
pub use wire::{Offer, Refusal};

/// The application protocol.
pub const ALPN: &[u8] = b"peerway/files/1";

/// Files of one transfer.
const MAX_FILES: usize = 1 << 20;
/// Data streams of one transfer.
const STREAMS: usize = 4;
/// Application error code (RFC 9000 section 20.2): the sender sends no more.
const CANCELLED: u32 = 3;
/// How a receiver says the same.
const CANCELLED_THERE: &str = "cancelled by the receiver";

/// What became of a transfer that came to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Files that the receiver has whole and verified.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of these that were there from an earlier try, and were not sent again.
    pub resumed: u64,
    /// Files that it has not, or under another name.
    pub problems: Vec<Problem>,
}

impl Report {
    /// Whether all files arrived.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.problems.is_empty()
    }
}

/// A file that was not sent, or not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// Which, as the sender named it: to be made harmless before it is shown.
    pub path: String,
    /// Why not.
    pub reason: String,
}

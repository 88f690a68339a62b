//! Searching what peers share, and looking through what one of them does.
//!
//! Whoever searches asks everybody it may ask, over a connection to each ([`Search::ask`]), and each looks into an [`Index`] of the names of
//! what it marked to be found: what a peer itself says is there now. A group may have directories, too: members publish there what all of the
//! group may have ([`Search::publish`]), a node that is one keeps that and answers ([`Search::be_directory`]), and who searches asks them
//! beside the members or in their place, as [`Form`] says ([`Search::ask_with`]). What they alone tell may be of somebody who is off
//! ([`Row::by_directory`]). Whoever is asked sees the words.
//!
//! [`Query`], [`Index`], [`Rows`](rows::Rows), [`Asking`], [`Form`] and [`Budgets`] decide, and are pure, and so do `Document`, what a member
//! signs, `Publishing`, what it says to which directory when, and `Directory`, what one keeps and finds; [`Search`] has them do so for a node.
//!
//! ```no_run
//! # async fn example(endpoint: peerway::Endpoint, friend: peerway::Ticket) -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use peerway::Router;
//! use peerway_swarm::{search::{self, Asker, Search, Seen, Step}, share::Sharing};
//!
//! let sharing = Sharing::new(endpoint.clone(), |_| true);
//! let search = Search::new(endpoint.clone(), sharing.clone(), |_| Some(Asker::known()));
//! let router = Router::new(endpoint).accept(search::ALPN, {
//!     let search = search.clone();
//!     move |connection| search.clone().serve(connection)
//! });
//! let shared = sharing.share("holiday.jpg".as_ref(), false).await?;
//! search.offer(&shared).await;
//!
//! let mut searching = search.ask("holiday".parse()?, vec![(friend, true)], Duration::from_secs(3))?;
//! while let Some(step) = searching.next().await {
//!     if let Step::Row(row) = step {
//!         println!("{} {}", row.hash, row.names.join(", "));
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod asking;
mod budget;
mod category;
mod directories;
mod directory;
mod document;
mod form;
mod index;
mod offers;
mod postings;
mod publishing;
mod query;
pub mod rows;
mod serve;
mod session;
mod wire;
mod words;
#[cfg(test)]
mod world;

pub use asking::{Asking, MAX_ASKED, MAX_ROWS, NoAnswer, Step, Summary, Target};
pub use budget::Budgets;
pub use category::{Category, ParseCategoryError};
pub use directory::MAX_PUBLISHED_OF_ONE;
pub use form::{ASK_ALL, Form};
pub use index::{Index, MAX_DOCUMENTS, Seen};
pub use query::{MAX_QUERY, MAX_QUERY_WORDS, ParseQueryError, Query};
pub use rows::Row;
pub use serve::{Asker, Search};
pub use session::{GroupDirectories, Page, SearchError, Searching};
pub use wire::{Hit, MAX_HITS, MAX_NAME};

/// The application protocol.
pub const ALPN: &[u8] = b"peerway/search/1";

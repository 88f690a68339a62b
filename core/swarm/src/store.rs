//! Where shared content is: files of this computer, shared where they are, and what is fetched, as it comes and as long as it is kept.

pub mod catalog;
pub(crate) mod database;
pub mod file;
pub mod part;
mod shelf;
pub mod sweep;

pub use database::DatabaseFileError;
pub use shelf::{Pin, Room, StoreError, Swept};
pub(crate) use shelf::{User, check_name};

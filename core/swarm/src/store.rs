//! Where shared content is: files of this computer, shared where they are, and what is fetched, as it comes.

pub mod catalog;
pub mod file;
pub mod part;

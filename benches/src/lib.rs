//! What the measurements have in common with those that live outside the workspace: [`loss`] takes contestants that this
//! crate does not know.

#![expect(clippy::print_stdout, reason = "figures on stdout are its purpose")]

mod ends;
#[cfg(target_os = "linux")]
pub mod loss;
pub mod peerway_pair;
#[cfg(target_os = "linux")]
pub mod process;
pub mod quinn_pair;

use std::error::Error;

pub use self::ends::{End, Ends};

/// What may go wrong in a measurement: it only ends it.
pub type Failure = Box<dyn Error + Send + Sync>;

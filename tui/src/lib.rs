//! The parts of the `peerway` program that tests and other tools use too.

pub mod cli;
pub mod dash;

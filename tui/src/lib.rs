//! The parts of the `peerway` program.

pub mod cli;

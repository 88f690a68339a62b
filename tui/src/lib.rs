//! The parts of the `peerway` program that tests and other tools use too.

pub mod cli;
pub mod dash;
pub mod demo;
#[cfg(target_os = "linux")]
pub mod lab;

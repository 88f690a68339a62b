//! The parts of the `peerway` command that tests share with it.

pub mod demo;
#[cfg(target_os = "linux")]
pub mod lab;

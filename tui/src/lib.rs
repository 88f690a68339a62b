//! The parts of the `peerway` command that tests share with it.

#[cfg(target_os = "linux")]
pub mod lab;

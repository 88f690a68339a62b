//! Bytes to messages and back: pure parsers and emitters, one file per family.

pub mod lane;
pub mod relay;

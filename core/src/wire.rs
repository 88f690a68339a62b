//! Bytes ⇄ messages: pure parsers and emitters, one file per message, shared by the library and the relay.

pub mod datagram;
pub mod lane;
pub mod relay;

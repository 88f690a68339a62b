//! The relay on loopback, with real sockets and QUIC.

mod client;
mod control;
mod datagrams;
mod program;
mod world;

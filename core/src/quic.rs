//! The types of QUIC (RFC 9000) that this crate's signatures show, so that a program needs no crate of its own for them.

pub use quinn::{
    ApplicationClose, Chunk, ClosedStream, ConnectionClose, ConnectionError, ConnectionStats, Dir,
    ReadError, ReadExactError, ReadToEndError, ResetError, SendDatagramError, StoppedError,
    StreamId, TransportErrorCode, VarInt, WriteError,
};

/// Application error codes (RFC 9000 section 20.2) with which a node closes a connection by itself. All others are the programs'; 0
/// is also what the peer sees when a program drops its connection.
pub mod close {
    /// The range that is kept for Peerway.
    pub const RESERVED: std::ops::RangeInclusive<u32> = 0x5057_0000..=0x5057_00ff;

    /// The node was shut down.
    pub const SHUTDOWN: u32 = 0x5057_0000;
    /// The TLS handshake showed another key than the one of the link.
    pub const IDENTITY_MISMATCH: u32 = 0x5057_0001;
    /// There is no room for the connection, now or any more.
    pub const BUSY: u32 = 0x5057_0002;
    /// The peer is not let in any more.
    pub const NOT_LET_IN: u32 = 0x5057_0003;
    /// The protocol was taken when the connection began, and is not any more.
    pub const NO_SERVICE: u32 = 0x5057_0004;
}

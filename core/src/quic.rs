//! The types of QUIC (RFC 9000) that this crate's signatures show, so that a program needs no crate of its own for them.

pub use quinn::{
    ApplicationClose, Chunk, ClosedStream, ConnectionClose, ConnectionError, ConnectionStats, Dir,
    ReadError, ReadExactError, ReadToEndError, ResetError, SendDatagramError, StoppedError,
    StreamId, TransportErrorCode, VarInt, WriteError,
};

/// How a connection that is no more ended, and what to do then.
pub(crate) fn ended(error: &ConnectionError) -> String {
    let code = match error {
        ConnectionError::ApplicationClosed(closed) => u32::try_from(closed.error_code.into_inner()),
        ConnectionError::ConnectionClosed(_)
        | ConnectionError::Reset
        | ConnectionError::TimedOut
        | ConnectionError::LocallyClosed
        | ConnectionError::TransportError(_)
        | ConnectionError::VersionMismatch
        | ConnectionError::CidsExhausted => return format!("{error}; dial again"),
    };
    match code {
        Ok(close::SHUTDOWN) => "the peer was shut down; dial again when it is back".to_owned(),
        Ok(close::BUSY) => format!("the peer has no room for it ({error}); try again in a minute"),
        Ok(close::NOT_LET_IN) => {
            "the peer does not let this id in to it; ask its owner to allow that".to_owned()
        }
        Ok(close::NO_SERVICE) => {
            "the peer does not serve that any more; look at what it runs".to_owned()
        }
        Ok(_) | Err(_) => format!("{error}; dial again"),
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_let_in_is_not_told_to_dial_again() {
        let closed = |code: u32| {
            let reason = "nothing".into();
            let error_code = code.into();
            ended(&ConnectionError::ApplicationClosed(ApplicationClose {
                error_code,
                reason,
            }))
        };
        assert!(closed(close::NOT_LET_IN).ends_with("ask its owner to allow that"));
        assert!(closed(close::BUSY).ends_with("try again in a minute"));
        assert!(closed(7).ends_with("dial again"));
        assert!(ended(&ConnectionError::Reset).ends_with("dial again"));
    }
}

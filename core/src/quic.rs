//! The types of QUIC (RFC 9000) that this crate's signatures show, so that a program needs no crate of its own for them.

pub use quinn::{
    ApplicationClose, Chunk, ClosedStream, ConnectionClose, ConnectionError, ConnectionStats, Dir,
    ReadError, ReadExactError, ReadToEndError, ResetError, SendDatagramError, StoppedError,
    StreamId, TransportErrorCode, VarInt, WriteError,
};

/// How a connection that is no more ended, and what to do then.
pub(crate) fn ended(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ApplicationClosed(closed) => match code(closed) {
            Some(close::SHUTDOWN) => {
                "the peer was shut down; dial again when it is back".to_owned()
            }
            Some(_) | None => match refusal(closed) {
                Some(refusal) => refusal,
                None => format!("{error}; dial again"),
            },
        },
        ConnectionError::VersionMismatch => {
            format!("{error}; bring both sides to the same version")
        }
        ConnectionError::ConnectionClosed(_)
        | ConnectionError::Reset
        | ConnectionError::TimedOut
        | ConnectionError::LocallyClosed
        | ConnectionError::TransportError(_)
        | ConnectionError::CidsExhausted => format!("{error}; dial again"),
    }
}

/// The same for whoever dials again by itself.
pub(crate) fn cut(error: &ConnectionError) -> String {
    match error {
        ConnectionError::Reset => "the peer was started anew".to_owned(),
        ConnectionError::TimedOut => "nothing comes from the peer any more".to_owned(),
        ConnectionError::ApplicationClosed(closed) => match code(closed) {
            Some(close::SHUTDOWN) => "the peer was shut down".to_owned(),
            Some(_) | None => refusal(closed).unwrap_or_else(|| error.to_string()),
        },
        ConnectionError::VersionMismatch => ended(error),
        ConnectionError::ConnectionClosed(_)
        | ConnectionError::LocallyClosed
        | ConnectionError::TransportError(_)
        | ConnectionError::CidsExhausted => error.to_string(),
    }
}

fn code(closed: &ApplicationClose) -> Option<u32> {
    u32::try_from(closed.error_code.into_inner()).ok()
}

/// What the peer means that closed a connection for a reason which a new one does not change.
fn refusal(closed: &ApplicationClose) -> Option<String> {
    match code(closed) {
        Some(close::BUSY) => Some(format!(
            "the peer has no room for it (closed by peer: {closed}); try again in a minute"
        )),
        Some(close::NOT_LET_IN) => {
            Some("the peer does not let this id in to it; ask its owner to allow that".to_owned())
        }
        Some(close::NO_SERVICE) => {
            Some("the peer does not serve that any more; look at what it runs".to_owned())
        }
        Some(_) | None => None,
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
        assert!(ended(&ConnectionError::VersionMismatch).ends_with("the same version"));
    }

    #[test]
    fn whoever_dials_again_by_itself_is_not_told_to() {
        let closed = |code: u32| {
            let reason = "going".into();
            let error_code = code.into();
            cut(&ConnectionError::ApplicationClosed(ApplicationClose {
                error_code,
                reason,
            }))
        };
        for ended in [closed(close::SHUTDOWN), closed(7), closed(0)] {
            assert!(!ended.contains("dial again"), "{ended}");
        }
        assert!(closed(7).contains("going"));
        assert!(closed(close::NOT_LET_IN).ends_with("ask its owner to allow that"));
    }
}

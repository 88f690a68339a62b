//! Why a node is not registered with a relay.

use std::{io, sync::Arc, time::Duration};

use quinn::{ConnectionError, TransportErrorCode};

use super::{stream::StreamError, trouble::RelayTrouble};
use crate::wire::relay::{Busy, CloseReason, FrameError, VERSION};

/// Why a node is not registered with a relay, or no longer. It tries again by itself; what each says is about the relay, "it".
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// Check the host in the relay's URL, and this computer's DNS.
    #[error("its name {host} does not resolve: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// What the system says of it.
        source: Arc<io::Error>,
    },
    /// It is down, or UDP is blocked on the way to it.
    #[error("it does not answer")]
    Timeout,
    /// It does not answer either, and this was found in the way.
    #[error(transparent)]
    Trouble(#[from] RelayTrouble),
    /// It does not answer by TCP either.
    #[error("{udp}; {tcp}")]
    Neither {
        /// What is wrong with UDP.
        udp: Box<Self>,
        /// What is wrong with TCP.
        tcp: Box<Self>,
    },
    /// It cannot be reached by TCP.
    #[error(transparent)]
    Stream(Arc<StreamError>),
    /// Get the relay's URL anew; if it is the same, do not trust the network.
    #[error("whoever answers does not hold the key in its URL")]
    IdentityMismatch,
    /// It says itself why.
    #[error("it ended the connection: {}", .0.text())]
    Closed(CloseReason),
    /// Ask its operator for more, or use another relay.
    #[error(
        "{}{}: ask its operator for more, or use another relay", .reason.text(),
        .until.as_ref().map(|day| format!(" until {day}")).unwrap_or_default()
    )]
    UsedUp {
        /// Ours, or that of all its users.
        reason: CloseReason,
        /// The day on which there is volume again, by UTC, as in 2026-12-01.
        until: Option<String>,
    },
    /// Use another relay, or try again later.
    #[error("it has no room: too many connections in all, or from this network")]
    Refused,
    /// Wait: too many register with it at once.
    #[error("it is busy, and is asked again in {} s", .retry_in.as_secs())]
    Busy {
        /// When it has time.
        retry_in: Duration,
    },
    /// The network failed, or the relay did.
    #[error("the connection was lost: {0}")]
    Connection(#[source] ConnectionError),
    /// This node can begin no connection.
    #[error("it cannot be dialled: {0}")]
    Dial(#[from] quinn::ConnectError),
    /// Update the older of both programs.
    #[error("it broke the protocol: {0}")]
    Frame(#[from] FrameError),
    /// Update the older of both programs.
    #[error("it speaks version {0} of the protocol, we speak {VERSION}")]
    Version(u8),
    /// Update the older of both programs.
    #[error("it broke the protocol: WELCOME was expected")]
    NoWelcome,
    /// Wait.
    #[error("it is restarting")]
    Draining {
        /// When it wants to see us again.
        reconnect_in: Duration,
    },
}

impl RelayError {
    /// Whether only time or the relay's operator changes it.
    pub(super) fn lasts(&self) -> bool {
        match self {
            Self::Closed(reason) | Self::UsedUp { reason, .. } => reason.lasts(),
            Self::Resolve { .. }
            | Self::Timeout
            | Self::Trouble(_)
            | Self::Neither { .. }
            | Self::Stream(_)
            | Self::IdentityMismatch
            | Self::Refused
            | Self::Busy { .. }
            | Self::Connection(_)
            | Self::Dial(_)
            | Self::Frame(_)
            | Self::Version(_)
            | Self::NoWelcome
            | Self::Draining { .. } => false,
        }
    }

    /// Whether another dial, or another way to it, would only be one more that it has no time for.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self, Self::Busy { .. })
    }

    fn closed(reason: CloseReason, text: &[u8]) -> Self {
        if reason.is_of_a_month() {
            let until = last_day(text);
            return Self::UsedUp { reason, until };
        }
        Self::Closed(reason)
    }

    /// Why neither carrier will do. Where UDP did not merely stay unanswered, that is all there is to say.
    pub(super) fn neither(udp: &Self, tcp: &Self) -> Self {
        if !matches!(udp, Self::Timeout | Self::Trouble(RelayTrouble::Silent)) {
            return udp.clone();
        }
        Self::Neither {
            udp: Box::new(udp.clone()),
            tcp: Box::new(tcp.clone()),
        }
    }
}

impl From<ConnectionError> for RelayError {
    fn from(error: ConnectionError) -> Self {
        /// TLS alert `bad_certificate`, which our verifier ends in when the key is not the dialled one.
        const BAD_CERTIFICATE: u64 = 0x12a;
        if let ConnectionError::TransportError(ours) = &error
            && u64::from(ours.code) == BAD_CERTIFICATE
        {
            return Self::IdentityMismatch;
        }
        if let ConnectionError::ApplicationClosed(close) = &error
            && let Some(reason) = CloseReason::from_code(close.error_code.into_inner())
        {
            return Self::closed(reason, &close.reason);
        }
        if let ConnectionError::ConnectionClosed(close) = &error
            && close.error_code == TransportErrorCode::CONNECTION_REFUSED
        {
            return Busy::parse(&close.reason).map_or(Self::Refused, |busy| Self::Busy {
                retry_in: busy.retry_in(),
            });
        }
        if error == ConnectionError::TimedOut {
            return Self::Timeout;
        }
        Self::Connection(error)
    }
}

/// The day that a text ends with, if it does.
fn last_day(text: &[u8]) -> Option<String> {
    let word = text.rsplit(|byte| *byte == b' ').next()?;
    let is_day = |word: &[u8]| {
        word.len() == "2026-12-01".len()
            && word.iter().enumerate().all(|(at, byte)| match at {
                4 | 7 => *byte == b'-',
                _ => byte.is_ascii_digit(),
            })
    };
    let word = Some(word).filter(|word| is_day(word))?;
    str::from_utf8(word).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(reason: CloseReason, text: &str) -> String {
        RelayError::closed(reason, text.as_bytes()).to_string()
    }

    #[test]
    fn who_used_up_their_volume_reads_until_when_and_what_to_do() {
        assert_eq!(
            said(CloseReason::VolumeUsedUp, "used up until 2026-12-01"),
            "its monthly volume for this key is used up until 2026-12-01: ask its operator for more, or use another relay"
        );
        for strange in [
            "",
            "until",
            "until 2026-12-0x",
            "until 2026-12-01\n",
            "\u{1b}[2J",
        ] {
            assert_eq!(
                said(CloseReason::RelayVolumeUsedUp, strange),
                "its monthly volume for all its users is used up: ask its operator for more, or use another relay"
            );
        }
    }

    #[test]
    fn what_only_its_operator_changes_is_not_tried_again_at_once() {
        for (reason, lasts) in [
            (CloseReason::NotInvited, true),
            (CloseReason::Forbidden, true),
            (CloseReason::VolumeUsedUp, true),
            (CloseReason::GoingAway, false),
        ] {
            assert_eq!(RelayError::closed(reason, b"").lasts(), lasts, "{reason:?}");
        }
    }

    #[test]
    fn a_relay_that_is_busy_is_told_from_one_that_has_no_room() {
        let refused = |reason: &'static str| {
            RelayError::from(ConnectionError::ConnectionClosed(quinn::ConnectionClose {
                error_code: TransportErrorCode::CONNECTION_REFUSED,
                frame_type: None,
                reason: reason.into(),
            }))
        };
        let busy = refused("busy, retry in 7 s");
        assert!(busy.is_busy());
        assert_eq!(busy.to_string(), "it is busy, and is asked again in 7 s");
        assert!(matches!(refused(""), RelayError::Refused));
    }
}

//! Why something is not forwarded.

use std::io;

use peerway::{
    ConnectError,
    services::tunnel::{ForwardError, ServiceName, Transport},
};
use serde::{Deserialize, Serialize};

use super::Step;
use crate::{
    links::LinkError,
    operations::{DialError, Failed, FailureKind, dial, dial_kind, may_pass},
};

/// Why nothing leads to a service.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardingError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("{}", words(.0))]
    Forward(#[from] ForwardError),
    #[error(transparent)]
    Barred(#[from] LinkError),
}

/// Why nobody listens there.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr}: {source}; choose another address with --listen")]
pub(crate) struct ListenError {
    pub(crate) addr: String,
    pub(crate) source: io::Error,
}

impl ForwardingError {
    /// Whether it may be otherwise later.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Dial(error) => error.may_pass(),
            Self::Forward(ForwardError::Connect(error)) => may_pass(error),
            Self::Forward(error) => matches!(
                error,
                ForwardError::Lost(_) | ForwardError::Cut(_) | ForwardError::TargetRefused { .. }
            ),
            Self::Listen(_) | Self::Barred(_) => false,
        }
    }

    pub(crate) fn kind(&self) -> FailureKind {
        match self {
            Self::Dial(error) => error.kind(),
            Self::Forward(error) => forward_kind(error),
            Self::Listen(_) | Self::Barred(_) => FailureKind::Failed,
        }
    }

    pub(crate) fn failed(&self) -> Failed {
        let (kind, error) = (self.kind(), self.to_string());
        Failed { kind, error }
    }
}

pub(crate) fn forward_kind(error: &ForwardError) -> FailureKind {
    match error {
        ForwardError::Connect(error) => dial_kind(error),
        ForwardError::Lost(_) | ForwardError::Cut(_) => FailureKind::Unreachable,
        ForwardError::UnknownService { .. }
        | ForwardError::TargetRefused { .. }
        | ForwardError::NotAllowed { .. }
        | ForwardError::IsUdp { .. }
        | ForwardError::IsTcp { .. }
        | ForwardError::Version
        | ForwardError::BrokenOff
        | ForwardError::Local(_)
        | _ => FailureKind::Failed,
    }
}

/// The same with the commands that help.
pub(crate) fn words(error: &ForwardError) -> String {
    if let ForwardError::Connect(error) = error {
        dial(error)
    } else if matches!(error, ForwardError::UnknownService { .. }) {
        format!("{error} (`peerway services PEER` lists those for this computer)")
    } else {
        error.to_string()
    }
}

/// What the service takes is not what can be given to it here.
pub(crate) fn misfit(found: Transport, name: &ServiceName) -> ForwardError {
    let name = name.clone();
    match found {
        Transport::Stream => ForwardError::IsTcp { name },
        Transport::Datagrams => ForwardError::IsUdp { name },
    }
}

/// Who, or what, a connection failed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum By {
    /// The peer does not want it.
    Peer,
    /// The peer's server does not take it.
    Target,
    /// Nothing leads to the peer.
    Way,
    /// This computer.
    Here,
}

impl Step {
    /// What became of one connection.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "whoever answers at all refuses, and what else goes wrong is on the way"
    )]
    pub(crate) fn of(error: &ForwardError) -> Self {
        use ConnectError as Dial;
        let by = match error {
            ForwardError::Cut(loss) => {
                let reason = loss.to_string();
                return Self::Cut { reason };
            }
            ForwardError::UnknownService { .. }
            | ForwardError::NotAllowed { .. }
            | ForwardError::IsUdp { .. }
            | ForwardError::IsTcp { .. }
            | ForwardError::Version
            | ForwardError::Connect(Dial::NoSuchService | Dial::Busy | Dial::Closed(_)) => By::Peer,
            ForwardError::TargetRefused { .. } => By::Target,
            ForwardError::Local(_)
            | ForwardError::Connect(Dial::OwnId | Dial::Tls(_) | Dial::Begin(_) | Dial::Shutdown) => {
                By::Here
            }
            _ => By::Way,
        };
        let reason = error.to_string();
        Self::Refused { reason, by }
    }
}

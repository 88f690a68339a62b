//! How the link stands. What exists in one state only belongs to it.

use super::direct::DirectPath;
use crate::{PeerState, io::Failure};

#[derive(Default)]
pub(super) enum State {
    /// Nothing is wanted of the peer.
    #[default]
    Idle,
    /// Hello is said, and nothing leads to the peer yet. The last dial may have failed; none if this one was begun anew for
    /// somebody here.
    Greeting(Option<Failure>),
    /// The peer was met; what leads to it has yet to be found.
    Probing,
    /// The relay carries the data.
    Relayed,
    /// There is a direct path, in doubt or not.
    Direct(DirectPath),
    /// There was no way to the peer.
    Failed(Failure),
}

impl State {
    /// The state as others see it: who could not be reached is unreachable until it answers, however often it is called.
    pub(super) fn shown(&self) -> PeerState {
        match self {
            Self::Idle => PeerState::Idle,
            Self::Greeting(None) => PeerState::Intro,
            Self::Probing => PeerState::Punch,
            Self::Relayed => PeerState::Relayed,
            Self::Direct(path) if path.is_suspect() => PeerState::Suspect,
            Self::Direct(_) => PeerState::Direct,
            Self::Greeting(Some(_)) | Self::Failed(_) => PeerState::Failed,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self, Self::Idle)
    }

    pub(super) fn is_greeting(&self) -> bool {
        matches!(self, Self::Greeting(_))
    }

    pub(super) fn is_probing(&self) -> bool {
        matches!(self, Self::Probing)
    }

    pub(super) fn is_relayed(&self) -> bool {
        matches!(self, Self::Relayed)
    }

    pub(super) fn is_failed(&self) -> bool {
        matches!(self, Self::Failed(_))
    }

    /// Whether there is a direct path that is not in doubt.
    pub(super) fn is_direct(&self) -> bool {
        self.path().is_some_and(|path| !path.is_suspect())
    }

    /// Whether the peer was met, and no direct path leads to it.
    pub(super) fn lacks_path(&self) -> bool {
        self.is_probing() || self.is_relayed()
    }

    /// How the last dial failed.
    pub(super) fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed(failure) => Some(failure),
            Self::Greeting(failure) => failure.as_ref(),
            Self::Idle | Self::Probing | Self::Relayed | Self::Direct(_) => None,
        }
    }

    pub(super) fn path(&self) -> Option<&DirectPath> {
        if let Self::Direct(path) = self {
            Some(path)
        } else {
            None
        }
    }

    pub(super) fn path_mut(&mut self) -> Option<&mut DirectPath> {
        if let Self::Direct(path) = self {
            Some(path)
        } else {
            None
        }
    }

    /// Takes the direct path away, if there is one: what leads to the peer has yet to be found again.
    pub(super) fn take_path(&mut self) -> Option<DirectPath> {
        self.path()?;
        let Self::Direct(path) = std::mem::replace(self, Self::Probing) else {
            return None;
        };
        Some(path)
    }

    #[cfg(any(test, feature = "_fuzzing"))]
    pub(super) fn footprint(&self) -> usize {
        let failed = match self.failure() {
            Some(Failure::Offline(relay) | Failure::Busy(relay) | Failure::Unreached(relay)) => {
                relay.host().len()
            }
            Some(Failure::NoRelay | Failure::Silent | Failure::NoAddress | Failure::Policy)
            | None => 0,
        };
        failed + self.path().map_or(0, DirectPath::footprint)
    }
}

//! Events as sentences.

use std::net::SocketAddr;

use peerway::{Cause, EventKind, Names, PathInfo, PeerId, PeerState, RelayUrl, Transferred};

use super::{Address, Words};
use crate::{dash::look::Role, printable::printable};

/// One line of the event list.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::dash) struct Sentence {
    pub(in crate::dash) glyph: &'static str,
    pub(in crate::dash) role: Role,
    /// The peer or part of the node it is about.
    pub(in crate::dash) subject: String,
    pub(in crate::dash) text: String,
}

/// Whether somebody should look at it. What the user's own policy leads to is no surprise.
pub(in crate::dash) fn is_warning(event: &EventKind) -> bool {
    if let EventKind::PeerState { why: Some(why), .. } = event
        && matches!(why.cause, Cause::Policy { .. })
    {
        return false;
    }
    matches!(
        event,
        EventKind::RelayDown { .. }
            | EventKind::RelayMoved { .. }
            | EventKind::PortMapped { mapping: None }
            | EventKind::PairReleased { .. }
            | EventKind::PeerState {
                to: PeerState::Suspect | PeerState::Failed,
                ..
            }
            | EventKind::Received {
                what: Transferred { missing: 1.., .. },
                ..
            }
            | EventKind::Sent {
                what: Transferred { missing: 1.., .. },
                ..
            }
    )
}

/// Which events are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::dash) enum Level {
    #[default]
    All,
    /// How peers and relays are reached, and what should be looked at.
    Paths,
    Warnings,
}

impl Level {
    pub(in crate::dash) const ALL: [Self; 3] = [Self::All, Self::Paths, Self::Warnings];

    pub(in crate::dash) fn next(self) -> Self {
        match self {
            Self::All => Self::Paths,
            Self::Paths => Self::Warnings,
            Self::Warnings => Self::All,
        }
    }

    pub(in crate::dash) fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Paths => "paths",
            Self::Warnings => "warnings",
        }
    }

    pub(in crate::dash) fn shows(self, event: &EventKind) -> bool {
        match self {
            Self::All => true,
            Self::Paths => {
                matches!(
                    event,
                    EventKind::PeerState { .. }
                        | EventKind::PathChanged { .. }
                        | EventKind::RelayUp { .. }
                ) || is_warning(event)
            }
            Self::Warnings => is_warning(event),
        }
    }
}

impl Words<'_> {
    pub(in crate::dash) fn sentence(&self, event: &EventKind) -> Sentence {
        let glyphs = self.glyphs;
        let (glyph, role) = match event {
            EventKind::PeerState { to, .. } => self.state_glyph(*to),
            _ if is_warning(event) => (glyphs.warning, Role::Warn),
            EventKind::PathChanged {
                path: Some(PathInfo::Direct { .. }),
                ..
            }
            | EventKind::RelayUp { .. } => (glyphs.direct, Role::Good),
            EventKind::PathChanged {
                path: Some(PathInfo::Relay { .. }),
                ..
            } => (glyphs.relay, Role::Warn),
            EventKind::Received { .. } => (glyphs.down, Role::Good),
            EventKind::Sent { .. } => (glyphs.up, Role::Good),
            EventKind::PathChanged { .. }
            | EventKind::PortMapped { .. }
            | EventKind::RelayDown { .. }
            | EventKind::RelayMoved { .. }
            | EventKind::Explained { .. }
            | EventKind::PublicAddress { .. }
            | EventKind::NetworkChanged { .. }
            | EventKind::Connected { .. }
            | EventKind::Disconnected { .. }
            | _ => (" ", Role::Text),
        };
        Sentence {
            glyph,
            role,
            subject: event.subject(self),
            text: printable(&event.sentence(self)),
        }
    }

    fn state_glyph(&self, state: PeerState) -> (&'static str, Role) {
        let glyphs = self.glyphs;
        match state {
            PeerState::Direct => (glyphs.direct, Role::Good),
            PeerState::Relayed => (glyphs.relay, Role::Warn),
            PeerState::Punch | PeerState::Intro => (glyphs.connecting, Role::Info),
            PeerState::Failed => (glyphs.unreachable, Role::Bad),
            PeerState::Idle => (glyphs.idle, Role::Dim),
            PeerState::Suspect | _ => (glyphs.warning, Role::Warn),
        }
    }
}

impl Names for Words<'_> {
    fn peer(&self, id: &PeerId) -> String {
        self.name(id)
    }

    fn relay(&self, url: &RelayUrl) -> String {
        Words::relay(self, url)
    }

    fn addr(&self, addr: SocketAddr) -> String {
        Words::addr(self, addr)
    }

    fn path(&self, path: &PathInfo) -> String {
        Words::path(self, path, Address::Full)
    }

    fn foreign(&self, text: &str) -> String {
        Words::foreign(self, text)
    }
}

//! Events as sentences.

use peerway::{EventKind, Explanation, MappingProtocol, PathInfo, PeerState, PortMapping};

use super::{Address, Words};
use crate::dash::{format, look::Role};

/// One line of the event list.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::dash) struct Sentence {
    pub(in crate::dash) glyph: &'static str,
    pub(in crate::dash) role: Role,
    /// The peer or part of the node it is about.
    pub(in crate::dash) subject: String,
    pub(in crate::dash) text: String,
}

/// Whether somebody should look at it.
pub(in crate::dash) fn is_warning(event: &EventKind) -> bool {
    matches!(
        event,
        EventKind::RelayDown { .. }
            | EventKind::PortMapped { mapping: None }
            | EventKind::PeerState {
                to: PeerState::Suspect | PeerState::Failed,
                ..
            }
    )
}

impl Words<'_> {
    pub(in crate::dash) fn sentence(&self, event: &EventKind) -> Sentence {
        let glyphs = self.glyphs;
        let (glyph, role) = match event {
            EventKind::PeerState { to, .. } => self.state_glyph(*to),
            EventKind::PathChanged {
                path: Some(PathInfo::Direct { .. }),
                ..
            }
            | EventKind::RelayUp { .. } => (glyphs.direct, Role::Good),
            EventKind::PathChanged {
                path: Some(PathInfo::Relay { .. }),
                ..
            } => (glyphs.relay, Role::Warn),
            EventKind::RelayDown { .. } | EventKind::PortMapped { mapping: None } => {
                (glyphs.warning, Role::Warn)
            }
            EventKind::PathChanged { .. }
            | EventKind::PortMapped { .. }
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
            subject: self.subject(event),
            text: self.text(event),
        }
    }

    fn subject(&self, event: &EventKind) -> String {
        match event {
            EventKind::PeerState { peer, .. }
            | EventKind::Explained { peer, .. }
            | EventKind::PathChanged { peer, .. }
            | EventKind::Connected { peer, .. }
            | EventKind::Disconnected { peer, .. } => self.name(peer),
            EventKind::RelayUp { .. } | EventKind::RelayDown { .. } => "relay".to_owned(),
            EventKind::PublicAddress { .. }
            | EventKind::PortMapped { .. }
            | EventKind::NetworkChanged { .. }
            | _ => "network".to_owned(),
        }
    }

    fn text(&self, event: &EventKind) -> String {
        match event {
            EventKind::RelayUp { relay, rtt_ms } => {
                format!(
                    "registered with {}, {}",
                    self.relay(relay),
                    format::rtt(*rtt_ms)
                )
            }
            EventKind::RelayDown { relay, reason } => {
                format!("{} is lost: {}", self.relay(relay), self.foreign(reason))
            }
            EventKind::PublicAddress { addr } => {
                format!("relays see this node at {}", self.addr(*addr))
            }
            EventKind::PortMapped { mapping } => self.mapping_sentence(mapping.as_ref()),
            EventKind::NetworkChanged { what } => self.foreign(what),
            EventKind::PeerState { to, why, .. } => state_sentence(*to, why.as_deref()),
            EventKind::Explained { why, .. } => why.line(),
            EventKind::PathChanged { path, rtt_ms, .. } => {
                let path = path.as_ref().map_or_else(
                    || "no path left".to_owned(),
                    |path| self.path(path, Address::Full),
                );
                let rtt = rtt_ms.map(|ms| format!(", {}", format::rtt(ms)));
                format!("data goes {path}{}", rtt.unwrap_or_default())
            }
            EventKind::Connected { alpn, outgoing, .. } => {
                let direction = if *outgoing { "outgoing" } else { "incoming" };
                format!("{direction} connection for {alpn}")
            }
            EventKind::Disconnected { alpn, reason, .. } => {
                format!("connection for {alpn} ended: {}", self.foreign(reason))
            }
            _ => "something this program does not know".to_owned(),
        }
    }

    fn mapping_sentence(&self, mapping: Option<&PortMapping>) -> String {
        mapping.map_or_else(
            || "the router no longer forwards a port to this node".to_owned(),
            |mapping| {
                format!(
                    "the router forwards {} ({})",
                    self.addr(mapping.external),
                    protocol(mapping.protocol)
                )
            },
        )
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

pub(in crate::dash) fn protocol(protocol: MappingProtocol) -> &'static str {
    match protocol {
        MappingProtocol::Upnp => "UPnP",
        MappingProtocol::Pcp => "PCP",
        MappingProtocol::NatPmp => "NAT-PMP",
        _ => "other",
    }
}

fn state_sentence(to: PeerState, why: Option<&Explanation>) -> String {
    let now = match to {
        PeerState::Direct => "linked directly",
        PeerState::Suspect => "direct path silent, sending both ways",
        PeerState::Relayed => "relayed",
        PeerState::Punch => "probing direct paths",
        PeerState::Intro => "saying hello",
        PeerState::Failed => "unreachable",
        PeerState::Idle => "idle",
        _ => "in a new state",
    };
    match (to, why) {
        (PeerState::Direct, Some(why)) => why.line(),
        (PeerState::Relayed | PeerState::Failed, Some(why)) => {
            format!("{now}: {}", why.line())
        }
        _ => now.to_owned(),
    }
}

//! Values of a node in plain words, for people.

use std::time::Duration;

use peerway::{
    EventKind, Explanation, MappingProtocol, NatBehavior, NetworkSnapshot, NodeSnapshot, PathInfo,
    PeerId, PeerState, PortMapping,
};

/// Text in lines of at most 80 characters, where its words allow it; all but the first begin with `indent`.
pub(super) fn wrap(text: &str, indent: &str) -> String {
    const WIDTH: usize = 80;
    let (mut out, mut width) = (String::new(), 0);
    for (at, word) in text.split(' ').enumerate() {
        let length = word.chars().count();
        if width > indent.len() && width + 1 + length > WIDTH {
            out.push('\n');
            out.push_str(indent);
            width = indent.len();
        } else if at > 0 {
            out.push(' ');
            width += 1;
        }
        out.push_str(word);
        width += length;
    }
    out
}

/// Milliseconds with two decimals.
pub(super) fn ms(duration: Duration) -> f64 {
    two_decimals(duration.as_secs_f64() * 1e3)
}

pub(super) fn two_decimals(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Why the link to a peer is as it is; none if there is no link.
pub(super) fn link(snapshot: &NodeSnapshot, peer: PeerId) -> Option<&Explanation> {
    let peer = snapshot.peers.iter().find(|known| known.id == peer)?;
    let is_linked = matches!(
        peer.state,
        PeerState::Direct | PeerState::Suspect | PeerState::Relayed | PeerState::Punch
    );
    peer.why.as_ref().filter(|_| is_linked)
}

/// The path's kind as JSON has it.
pub(super) fn kind(path: Option<&PathInfo>) -> &'static str {
    match path {
        Some(PathInfo::Direct { .. }) => "direct",
        Some(PathInfo::Relay { .. }) => "relay",
        _ => "none",
    }
}

pub(super) fn path(path: Option<&PathInfo>) -> String {
    path.map_or_else(|| "no path".to_owned(), PathInfo::to_string)
}

/// What a node cannot do because of what the system keeps from it, if anything.
pub(super) fn blindness(network: &NetworkSnapshot) -> Option<String> {
    let reason = network.lan_trouble.as_ref();
    if network.interfaces_unread {
        let lan = reason.map_or(
            "",
            |_| ": peers on this network find each other by ticket, not by id alone",
        );
        return Some(format!(
            "the system does not let this program read its interfaces and routes{lan}; only the address that leads to the internet is offered, and no router is asked for a port"
        ));
    }
    reason.map(|reason| {
        format!("peers on this network find each other by ticket, not by id alone: {reason}")
    })
}

pub(super) fn nat(behavior: NatBehavior) -> &'static str {
    match behavior {
        NatBehavior::EndpointIndependent => "endpoint-independent",
        NatBehavior::AddressDependent => "address-dependent",
        NatBehavior::AddressAndPortDependent => "address-and-port-dependent",
        NatBehavior::Unknown => "unknown",
    }
}

pub(super) fn mapping(mapping: Option<&PortMapping>) -> String {
    mapping.map_or_else(
        || "none".to_owned(),
        |mapping| format!("{} at {}", protocol(mapping.protocol), mapping.external),
    )
}

pub(super) fn protocol(protocol: MappingProtocol) -> &'static str {
    match protocol {
        MappingProtocol::Upnp => "UPnP",
        MappingProtocol::Pcp => "PCP",
        MappingProtocol::NatPmp => "NAT-PMP",
        _ => "router",
    }
}

pub(super) fn event(event: &EventKind) -> String {
    match event {
        EventKind::RelayUp { relay, rtt_ms } => {
            format!("relay {} up, {rtt_ms:.1} ms", relay.place())
        }
        EventKind::RelayDown { relay, reason } => {
            format!("relay {} down: {reason}", relay.place())
        }
        EventKind::PublicAddress { addr } => format!("public address {addr}"),
        EventKind::PortMapped { mapping: granted } => {
            format!("port mapping: {}", mapping(granted.as_ref()))
        }
        EventKind::NetworkChanged { what } => format!("network changed: {what}"),
        EventKind::PeerState {
            peer,
            to,
            why: reason,
            ..
        } => {
            let reason = reason
                .as_ref()
                .map_or_else(String::new, |why| format!(": {}", why.line()));
            format!("{} {to}{reason}", peer.short())
        }
        EventKind::Explained { peer, why } => format!("{}: {}", peer.short(), why.line()),
        EventKind::PathChanged {
            peer, path: now, ..
        } => format!("{} path: {}", peer.short(), path(now.as_ref())),
        EventKind::Connected { peer, alpn, .. } => format!("{} connected: {alpn}", peer.short()),
        EventKind::Disconnected { peer, alpn, reason } => {
            format!("{} disconnected: {alpn}: {reason}", peer.short())
        }
        _ => "something happened that this version has no words for".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_shown_in_milliseconds_with_two_decimals() {
        assert!((ms(Duration::from_nanos(81_234_567)) - 81.23).abs() < 1e-9);
    }

    #[test]
    fn a_path_says_its_kind_and_where_it_leads() {
        let direct = PathInfo::Direct {
            remote: "192.0.2.1:5000".parse().unwrap(),
            lan: false,
            tcp: false,
        };
        assert_eq!(path(Some(&direct)), "direct, 192.0.2.1:5000");
        let stream = PathInfo::Direct {
            remote: "192.0.2.1:5000".parse().unwrap(),
            lan: false,
            tcp: true,
        };
        assert_eq!(path(Some(&stream)), "direct over TCP, 192.0.2.1:5000");
        assert_eq!(kind(Some(&direct)), "direct");
        assert_eq!((path(None).as_str(), kind(None)), ("no path", "none"));
    }
}

//! What a node says of itself to a group.

use std::collections::BTreeSet;

use crate::{
    NodeSnapshot, PathInfo, PathKind, PeerId, PeerSnapshot, PeerState, RelayUrl,
    wire::status::{GroupTag, MAX_RELAYS, MemberTag, RelayTag, Status, StatusLink},
};

/// The status of a node for the members of a group; `shares` says to whom statuses go.
pub(super) fn draft(
    node: &NodeSnapshot,
    group: GroupTag,
    others: &BTreeSet<PeerId>,
    shares: impl Fn(PeerId) -> bool,
) -> Status {
    // In the order of tags, which is that of ids.
    let audience: Vec<MemberTag> = others.iter().map(|id| (*id).into()).collect();
    let linked: Vec<_> = others
        .iter()
        .enumerate()
        .filter_map(|(place, id)| Some((u8::try_from(place).ok()?, peer(node, *id)?)))
        .collect();
    let relays = linked.iter().filter_map(|(_, peer)| relay(peer));
    let relays: BTreeSet<RelayTag> = relays.map(|relay| relay.key().into()).collect();
    // Links by others are told without.
    let relays: Vec<_> = relays.into_iter().take(MAX_RELAYS).collect();
    let links = linked.iter().map(|(to, peer)| StatusLink {
        to: *to,
        path: kind(peer.path.as_ref()),
        shares: shares(peer.id),
        relay: relay(peer).and_then(|relay| {
            let place = relays.binary_search(&relay.key().into()).ok()?;
            u8::try_from(place).ok()
        }),
        why: peer.why.as_ref().map(|why| why.cause),
        rtt: peer.rtt,
        rx_rate: peer.traffic.rx_rate,
        tx_rate: peer.traffic.tx_rate,
    });
    Status {
        group,
        author: node.id,
        sent_ms: 0,
        leaves: false,
        uptime_s: u32::try_from(node.uptime.as_secs()).unwrap_or(u32::MAX),
        nat: node.network.nat,
        rx_rate: node.traffic.rx_rate,
        tx_rate: node.traffic.tx_rate,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        links: links.collect(),
        audience,
        relays,
    }
}

/// What is worth saying before its time: all but rates, round trips and the time.
pub(super) fn essence(status: &Status) -> Status {
    let mut essence = status.clone();
    (essence.sent_ms, essence.uptime_s) = (0, 0);
    (essence.rx_rate, essence.tx_rate) = (0, 0);
    for link in &mut essence.links {
        (link.rx_rate, link.tx_rate, link.rtt) = (0, 0, None);
    }
    essence
}

/// A peer to whom there is or should be a link.
fn peer(node: &NodeSnapshot, id: PeerId) -> Option<&PeerSnapshot> {
    let peer = node.peer(id)?;
    (peer.connections > 0 || peer.state != PeerState::Idle).then_some(peer)
}

fn relay(peer: &PeerSnapshot) -> Option<&RelayUrl> {
    match &peer.path {
        Some(PathInfo::Relay { remote }) => Some(remote),
        _ => None,
    }
}

fn kind(path: Option<&PathInfo>) -> PathKind {
    match path {
        None => PathKind::None,
        Some(PathInfo::Relay { .. }) => PathKind::Relay,
        Some(PathInfo::Direct { tcp: true, .. }) => PathKind::Tcp,
        Some(PathInfo::Direct { lan: true, .. }) => PathKind::Lan,
        Some(PathInfo::Direct { remote, .. }) if remote.ip().to_canonical().is_ipv4() => {
            PathKind::DirectV4
        }
        Some(PathInfo::Direct { .. }) => PathKind::DirectV6,
        Some(_) => PathKind::Unknown,
    }
}

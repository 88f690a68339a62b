//! The connections of all peers as one list.

use std::cmp::Reverse;

use peerway::{FlowSnapshot, NodeSnapshot, PeerSnapshot};

/// What carried most so far first; those totals change their order seldom.
pub(super) fn flows(snapshot: &NodeSnapshot) -> Vec<(&PeerSnapshot, &FlowSnapshot)> {
    let mut flows: Vec<(&PeerSnapshot, &FlowSnapshot)> = snapshot
        .peers
        .iter()
        .flat_map(|peer| peer.flows.iter().map(move |flow| (peer, flow)))
        .collect();
    flows.sort_by_key(|(_, flow)| {
        let bytes = flow.traffic.rx_bytes.saturating_add(flow.traffic.tx_bytes);
        (Reverse(bytes), Reverse(flow.age))
    });
    flows
}

pub(super) fn has_flows(snapshot: &NodeSnapshot) -> bool {
    snapshot.peers.iter().any(|peer| !peer.flows.is_empty())
}

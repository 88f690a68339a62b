//! The connections of all peers as one list.

use std::cmp::Reverse;

use peerway::{FlowSnapshot, NodeSnapshot, PeerSnapshot};

use super::{filter, model::Model, tabs::View};

/// Those that are listed: in the view of flows what its filter lets through, and elsewhere all.
pub(super) fn listed(model: &Model) -> Vec<(&PeerSnapshot, &FlowSnapshot)> {
    let mut flows = flows(&model.data().snapshot);
    let (rule, words) = (&model.filters.flows, model.words());
    if model.view == View::Flows && !rule.is_empty() {
        flows.retain(|(peer, flow)| rule.shows(&filter::of_flow(peer, flow, &words)));
    }
    flows
}

/// What carried most so far first; those totals change their order seldom.
fn flows(snapshot: &NodeSnapshot) -> Vec<(&PeerSnapshot, &FlowSnapshot)> {
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

//! What a node counts, in the text format of OpenMetrics 1.0.

use std::fmt;

use peerway::{NodeSnapshot, PeerState, RelayState};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

pub(super) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

/// The node as it is now.
pub(super) fn text(snapshot: &NodeSnapshot) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("peerway");
    let peers = Family::<State, Gauge>::default();
    for state in STATES {
        let of = |peer: &&peerway::PeerSnapshot| peer.state == state.0;
        let count = snapshot.peers.iter().filter(of).count();
        let label = State { state: state.1 };
        peers.get_or_create(&label).set(count as i64);
    }
    registry.register("peers", "Peers by the state of their link", peers);
    let up = |relay: &&peerway::RelaySnapshot| relay.state == RelayState::Up;
    let relays = Gauge::<i64>::default();
    relays.set(snapshot.relays.iter().filter(up).count() as i64);
    registry.register("relays_up", "Relays it is registered with", relays);
    let uptime = Gauge::<i64>::default();
    uptime.set(i64::try_from(snapshot.uptime.as_secs()).unwrap_or(i64::MAX));
    registry.register_with_unit("uptime", "Time since its start", Unit::Seconds, uptime);
    for (name, help, value) in [
        (
            "received",
            "UDP payload received of peers",
            snapshot.traffic.rx_bytes,
        ),
        (
            "sent",
            "UDP payload sent to peers",
            snapshot.traffic.tx_bytes,
        ),
    ] {
        registry.register_with_unit(name, help, Unit::Bytes, counted(value));
    }
    let strangers = counted(snapshot.strangers);
    let help = "Datagrams of strangers, dropped without an answer";
    registry.register("strangers_dropped", help, strangers);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

const STATES: [(PeerState, &str); 7] = [
    (PeerState::Direct, "direct"),
    (PeerState::Suspect, "suspect"),
    (PeerState::Relayed, "relayed"),
    (PeerState::Punch, "punch"),
    (PeerState::Intro, "intro"),
    (PeerState::Failed, "failed"),
    (PeerState::Idle, "idle"),
];

fn counted(value: u64) -> Counter {
    let counter = Counter::default();
    counter.inc_by(value);
    counter
}

#[cfg(test)]
mod tests {
    use peerway::{NodeSnapshot, SecretKey};

    use super::*;

    #[test]
    fn each_state_of_a_link_is_counted_even_where_no_link_has_it() {
        let mut snapshot = NodeSnapshot::empty(SecretKey::from_seed(&[1; 32]).id());
        snapshot.traffic.rx_bytes = 7;
        let text = text(&snapshot).unwrap();
        for line in [
            "peerway_peers{state=\"relayed\"} 0",
            "peerway_received_bytes_total 7",
            "peerway_relays_up 0",
            "# EOF",
        ] {
            assert!(text.contains(line), "{line} not in {text}");
        }
    }
}

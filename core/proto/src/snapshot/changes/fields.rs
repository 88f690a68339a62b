//! What is other of one peer: of all that is known of it little changes in a second.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use super::{other, put};
use crate::{
    CandidatePair, Explanation, FlowSnapshot, PathInfo, PathPolicy, PeerSnapshot, PeerState,
    Traffic,
    times::{fine_millis, millis},
};

/// The fields of a [`PeerSnapshot`] that are other than before.
///
/// In JSON they have its keys. What is absent is as it was, and `null` is what a peer no longer has. What is large and seldom other
/// is boxed: thousands of peers may change each second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PeerChanges {
    /// Whose they are: its place, from 0, among all peers of the later snapshot, which are ordered by id.
    pub place: usize,
    /// Where the link to it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<PeerState>,
    /// The path that carries data, if any does.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "told"
    )]
    pub path: Option<Box<Option<PathInfo>>>,
    /// Why the link stands as it does, if there is something to say.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "told"
    )]
    pub why: Option<Box<Option<Explanation>>>,
    /// For how long the link has been in this state, if not longer by as much as the node is older.
    #[serde(
        default,
        rename = "state_age_ms",
        skip_serializing_if = "Option::is_none",
        with = "millis::option"
    )]
    pub state_age: Option<Duration>,
    /// Smoothed round-trip time, if one is known.
    #[serde(
        default,
        rename = "rtt_ms",
        skip_serializing_if = "Option::is_none",
        with = "rtt"
    )]
    pub rtt: Option<Option<Duration>>,
    /// How long ago it was measured, if not longer by as much as the node is older.
    #[serde(
        default,
        rename = "rtt_age_ms",
        skip_serializing_if = "Option::is_none",
        with = "rtt_age"
    )]
    pub rtt_age: Option<Option<Duration>>,
    /// Share of lost packets, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Open QUIC connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
    /// Its traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
    /// Probes sent in the current or last round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probes_sent: Option<u32>,
    /// Of those, the answered ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probes_answered: Option<u32>,
    /// Which paths may carry its data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PathPolicy>,
    /// Whether it was asked to say hello.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<bool>,
    /// Whether its last connection has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<bool>,
    /// All addresses of the peer's, if something is other about one of them; so of the connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairs: Option<Vec<CandidatePair>>,
    /// All open QUIC connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flows: Option<Vec<FlowSnapshot>>,
}

impl PeerChanges {
    /// What makes `now` of `before`, which is the same peer, and as old.
    pub(super) fn of(place: usize, before: &PeerSnapshot, now: &PeerSnapshot) -> Self {
        Self {
            place,
            state: other(&before.state, &now.state),
            path: other(&before.path, &now.path).map(Box::new),
            why: other(&before.why, &now.why).map(Box::new),
            state_age: other(&before.state_age, &now.state_age),
            rtt: other(&before.rtt, &now.rtt),
            rtt_age: other(&before.rtt_age, &now.rtt_age),
            loss: other(&before.loss, &now.loss),
            connections: other(&before.connections, &now.connections),
            traffic: other(&before.traffic, &now.traffic),
            probes_sent: other(&before.probes_sent, &now.probes_sent),
            probes_answered: other(&before.probes_answered, &now.probes_answered),
            policy: other(&before.policy, &now.policy),
            called: other(&before.called, &now.called),
            ending: other(&before.ending, &now.ending),
            pairs: other(&before.pairs, &now.pairs),
            flows: other(&before.flows, &now.flows),
        }
    }

    pub(super) fn put_into(self, peer: &mut PeerSnapshot) {
        let Self {
            place: _,
            state,
            path,
            why,
            state_age,
            rtt,
            rtt_age,
            loss,
            connections,
            traffic,
            probes_sent,
            probes_answered,
            policy,
            called,
            ending,
            pairs,
            flows,
        } = self;
        put(&mut peer.state, state);
        put(&mut peer.path, path.map(|path| *path));
        put(&mut peer.why, why.map(|why| *why));
        put(&mut peer.state_age, state_age);
        put(&mut peer.rtt, rtt);
        put(&mut peer.rtt_age, rtt_age);
        put(&mut peer.loss, loss);
        put(&mut peer.connections, connections);
        put(&mut peer.traffic, traffic);
        put(&mut peer.probes_sent, probes_sent);
        put(&mut peer.probes_answered, probes_answered);
        put(&mut peer.policy, policy);
        put(&mut peer.called, called);
        put(&mut peer.ending, ending);
        put(&mut peer.pairs, pairs);
        put(&mut peer.flows, flows);
    }
}

/// What is there is told, if it is `null` too.
fn told<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// Milliseconds with a fraction, or `null`.
mod rtt {
    use super::{Deserializer, Duration, fine_millis};
    use serde::Serializer;

    pub(super) fn serialize<S: Serializer>(
        rtt: &Option<Option<Duration>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        fine_millis::option::serialize(&rtt.flatten(), to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Option<Duration>>, D::Error> {
        fine_millis::option::deserialize(from).map(Some)
    }
}

/// Whole milliseconds, or `null`.
mod rtt_age {
    use super::{Deserializer, Duration, millis};
    use serde::Serializer;

    pub(super) fn serialize<S: Serializer>(
        age: &Option<Option<Duration>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        millis::option::serialize(&age.flatten(), to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Option<Duration>>, D::Error> {
        millis::option::deserialize(from).map(Some)
    }
}

//! What is other in a snapshot than in one before it: of thousands of peers few change in a second.

mod fields;

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Caller, NetworkSnapshot, NodeSnapshot, PeerSnapshot, RelaySnapshot, Traffic};
use crate::{PeerId, Ticket, times::millis};

pub use fields::PeerChanges;

/// What makes a snapshot of a node that somebody holds a later one: [`NodeSnapshot::follow`] and
/// [`NodeSnapshot::follow_by_field`] find it, [`NodeSnapshot::apply`] puts it in.
///
/// What is absent is as before, but older: `state_age` and `rtt_age` of peers and `age` of their flows have grown by as much as `uptime` has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NodeChanges {
    /// When the later one was taken, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Time since the node was started.
    #[serde(rename = "uptime_ms", with = "millis")]
    pub uptime: Duration,
    /// The node's own id, which only the first of them has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<PeerId>,
    /// A ticket that peers can dial, if it is another than before; so of all up to `peers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Ticket>,
    /// What is known of the network the node is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkSnapshot>,
    /// All relays, if one of them changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relays: Option<Vec<RelaySnapshot>>,
    /// Traffic of all peers together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
    /// Datagrams of strangers that were dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strangers: Option<u64>,
    /// All who were turned away, if there are others than before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turned_away: Option<Vec<Caller>>,
    /// Peers that are new or changed, each as it is now, ordered by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<PeerSnapshot>,
    /// What has changed of other peers; put in after `gone` and `peers`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<PeerChanges>,
    /// Peers that are no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<PeerId>,
}

impl NodeChanges {
    /// All of a snapshot, for whoever has none yet.
    #[must_use]
    pub fn whole(snapshot: &NodeSnapshot) -> Self {
        let NodeSnapshot {
            at_ms,
            uptime,
            id,
            ticket,
            network,
            relays,
            peers,
            traffic,
            strangers,
            turned_away,
        } = snapshot.clone();
        Self {
            at_ms,
            uptime,
            id: Some(id),
            ticket: Some(ticket),
            network: Some(network),
            relays: Some(relays),
            traffic: Some(traffic),
            strangers: Some(strangers),
            turned_away: Some(turned_away),
            peers,
            changed: Vec::new(),
            gone: Vec::new(),
        }
    }

    /// The same in parts of so many peers each, at least one; all else is in the first, and what changed of peers after those
    /// that are whole.
    #[must_use]
    pub fn in_parts(mut self, peers: usize) -> Vec<Self> {
        let most = peers.max(1);
        let mut peers = self.peers.split_off(self.peers.len().min(most));
        let room = most - self.peers.len();
        let mut changed = self.changed.split_off(self.changed.len().min(room));
        let part = |peers, changed| Self {
            at_ms: self.at_ms,
            uptime: self.uptime,
            id: None,
            ticket: None,
            network: None,
            relays: None,
            traffic: None,
            strangers: None,
            turned_away: None,
            peers,
            changed,
            gone: Vec::new(),
        };
        let mut parts = Vec::new();
        while !peers.is_empty() {
            let further = peers.split_off(peers.len().min(most));
            parts.push(part(peers, Vec::new()));
            peers = further;
        }
        while !changed.is_empty() {
            let further = changed.split_off(changed.len().min(most));
            parts.push(part(Vec::new(), changed));
            changed = further;
        }
        parts.insert(0, self);
        parts
    }
}

impl NodeSnapshot {
    /// Becomes `now`, a later snapshot of the same node, and returns what that changes: changed peers as they are now.
    pub fn follow(&mut self, now: &Self) -> NodeChanges {
        self.grow_older(now.uptime);
        let peers = now.peers.iter();
        let peers = peers.filter(|peer| self.peer(peer.id) != Some(peer));
        self.become_with(now, peers.cloned().collect(), Vec::new())
    }

    /// The same with what changed of each peer instead of the changed peers, which is less; only new peers are whole.
    pub fn follow_by_field(&mut self, now: &Self) -> NodeChanges {
        self.grow_older(now.uptime);
        let (mut peers, mut changed) = (Vec::new(), Vec::new());
        for (place, peer) in now.peers.iter().enumerate() {
            match self.peer(peer.id) {
                None => peers.push(peer.clone()),
                Some(held) if held != peer => changed.push(PeerChanges::of(place, held, peer)),
                Some(_) => {}
            }
        }
        self.become_with(now, peers, changed)
    }

    fn become_with(
        &mut self,
        now: &Self,
        peers: Vec<PeerSnapshot>,
        changed: Vec<PeerChanges>,
    ) -> NodeChanges {
        let ids = self.peers.iter().map(|peer| peer.id);
        let changes = NodeChanges {
            at_ms: now.at_ms,
            uptime: now.uptime,
            id: other(&self.id, &now.id),
            ticket: other(&self.ticket, &now.ticket),
            network: other(&self.network, &now.network),
            relays: other(&self.relays, &now.relays),
            traffic: other(&self.traffic, &now.traffic),
            strangers: other(&self.strangers, &now.strangers),
            turned_away: other(&self.turned_away, &now.turned_away),
            peers,
            changed,
            gone: ids.filter(|id| now.peer(*id).is_none()).collect(),
        };
        self.apply(changes.clone());
        changes
    }

    /// Becomes the later snapshot to which these changes lead from this one; what is about a peer that is not there is left out.
    pub fn apply(&mut self, changes: NodeChanges) {
        let NodeChanges {
            at_ms,
            uptime,
            id,
            ticket,
            network,
            relays,
            traffic,
            strangers,
            turned_away,
            peers,
            changed,
            gone,
        } = changes;
        self.grow_older(uptime);
        self.at_ms = at_ms;
        put(&mut self.id, id);
        put(&mut self.ticket, ticket);
        put(&mut self.network, network);
        put(&mut self.relays, relays);
        put(&mut self.traffic, traffic);
        put(&mut self.strangers, strangers);
        put(&mut self.turned_away, turned_away);
        if !gone.is_empty() {
            let gone: BTreeSet<_> = gone.into_iter().collect();
            self.peers.retain(|peer| !gone.contains(&peer.id));
        }
        let known = self.peers.len();
        for peer in peers {
            let before = self.peers.get(..known).unwrap_or_default();
            let at = before.binary_search_by_key(&peer.id, |held| held.id);
            match at.ok().and_then(|at| self.peers.get_mut(at)) {
                Some(held) => *held = peer,
                None => self.peers.push(peer),
            }
        }
        if self.peers.len() > known {
            self.peers.sort_by_key(|peer| peer.id);
            self.peers.dedup_by_key(|peer| peer.id);
        }
        for fields in changed {
            if let Some(held) = self.peers.get_mut(fields.place) {
                fields.put_into(held);
            }
        }
    }

    /// Time has passed, and nothing else.
    #[doc(hidden)]
    pub fn grow_older(&mut self, uptime: Duration) {
        let passed = uptime.saturating_sub(self.uptime);
        for peer in &mut self.peers {
            peer.state_age += passed;
            if let Some(age) = &mut peer.rtt_age {
                *age += passed;
            }
            for flow in &mut peer.flows {
                flow.age += passed;
            }
        }
        self.uptime = uptime;
    }
}

fn other<T: PartialEq + Clone>(before: &T, now: &T) -> Option<T> {
    (before != now).then(|| now.clone())
}

fn put<T>(held: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *held = new;
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::{FlowSnapshot, PeerState, SecretKey};

    /// What may happen to a node between two snapshots.
    #[derive(Clone, Debug)]
    enum Happening {
        Comes(u8),
        Goes(u8),
        Carries(u8, u64),
        Turns(u8, PeerState),
        Measures(u8, u64),
        Opens(u8),
        Drops(u64),
        Forgets,
    }

    fn happening() -> impl Strategy<Value = Happening> {
        let peer = 0..12_u8;
        let state = prop_oneof![
            Just(PeerState::Direct),
            Just(PeerState::Relayed),
            Just(PeerState::Idle)
        ];
        prop_oneof![
            4 => peer.clone().prop_map(Happening::Comes),
            1 => peer.clone().prop_map(Happening::Goes),
            2 => (peer.clone(), any::<u32>()).prop_map(|(peer, bytes)| Happening::Carries(peer, bytes.into())),
            2 => (peer.clone(), state).prop_map(|(peer, state)| Happening::Turns(peer, state)),
            2 => (peer.clone(), 0..1000_u64).prop_map(|(peer, ms)| Happening::Measures(peer, ms)),
            1 => peer.prop_map(Happening::Opens),
            1 => any::<u32>().prop_map(|count| Happening::Drops(count.into())),
            1 => Just(Happening::Forgets),
        ]
    }

    fn id(seed: u8) -> PeerId {
        SecretKey::from_seed(&[seed + 1; 32]).id()
    }

    fn happen(node: &mut NodeSnapshot, happening: &Happening) {
        let mut of = |seed: u8, change: &dyn Fn(&mut PeerSnapshot)| {
            if let Ok(at) = node.peers.binary_search_by_key(&id(seed), |peer| peer.id) {
                change(&mut node.peers[at]);
            }
        };
        match *happening {
            Happening::Comes(seed) => {
                let place = node.peers.binary_search_by_key(&id(seed), |peer| peer.id);
                if let Err(at) = place {
                    let peer = PeerSnapshot::new(id(seed), PeerState::Intro);
                    node.peers.insert(at, peer);
                }
            }
            Happening::Goes(seed) => node.peers.retain(|peer| peer.id != id(seed)),
            Happening::Carries(seed, bytes) => of(seed, &|peer| peer.traffic.rx_bytes += bytes),
            Happening::Turns(seed, state) => of(seed, &|peer| {
                (peer.state, peer.state_age) = (state, Duration::ZERO);
            }),
            Happening::Measures(seed, ms) => {
                of(seed, &|peer| peer.rtt = Some(Duration::from_millis(ms)));
            }
            Happening::Opens(seed) => of(seed, &|peer| {
                peer.flows.push(FlowSnapshot::new("a/1".to_owned(), true));
            }),
            Happening::Drops(count) => node.strangers += count,
            Happening::Forgets => node.peers.clear(),
        }
    }

    /// As it comes out of JSON.
    fn sent<T: Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
        serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
    }

    /// Ages in JSON are whole milliseconds, so that one that grows by itself is one off at most.
    fn assert_same(held: &NodeSnapshot, now: &NodeSnapshot) {
        let (mut held, now) = (held.clone(), sent(now));
        let near = |held: &mut Duration, now: Duration| {
            assert!(held.abs_diff(now) <= Duration::from_millis(1));
            *held = now;
        };
        for (held, now) in held.peers.iter_mut().zip(&now.peers) {
            near(&mut held.state_age, now.state_age);
            for (held, now) in held.flows.iter_mut().zip(&now.flows) {
                near(&mut held.age, now.age);
            }
        }
        assert_eq!(held, now);
    }

    proptest! {
        #[test]
        fn who_puts_in_all_changes_holds_what_the_node_is(
            seconds in vec((vec(happening(), 0..6), 0..3_000_000_000_u64), 1..20),
            peers in 1..5_usize,
            by_field in any::<bool>(),
        ) {
            let mut now = NodeSnapshot::empty(id(100));
            let mut told = now.clone();
            let mut held = NodeSnapshot::empty(id(101));
            held.apply(sent(&NodeChanges::whole(&now)));
            for (happenings, nanos) in seconds {
                now.grow_older(now.uptime + Duration::from_nanos(nanos));
                now.at_ms += nanos / 1_000_000;
                for it in &happenings {
                    happen(&mut now, it);
                }
                let changes = if by_field { told.follow_by_field(&now) } else { told.follow(&now) };
                for part in changes.in_parts(peers) {
                    prop_assert!(part.peers.len() + part.changed.len() <= peers);
                    held.apply(sent(&part));
                }
                prop_assert_eq!(&told, &now);
                assert_same(&held, &now);
            }
        }
    }

    #[test]
    fn a_peer_whose_numbers_stand_still_is_not_told_of_again() {
        let mut now = NodeSnapshot::empty(id(100));
        for seed in 0..9 {
            happen(&mut now, &Happening::Comes(seed));
            happen(&mut now, &Happening::Opens(seed));
        }
        let mut told = now.clone();
        now.grow_older(Duration::from_millis(1500));
        let nothing = told.follow(&now);
        assert!(nothing.peers.is_empty() && nothing.gone.is_empty());
        let json = serde_json::to_string(&nothing).unwrap();
        assert_eq!(json, r#"{"at_ms":0,"uptime_ms":1500}"#);
        happen(&mut now, &Happening::Measures(3, 20));
        happen(&mut now, &Happening::Goes(5));
        let changes = told.follow(&now);
        let changed: Vec<_> = changes.peers.iter().map(|peer| peer.id).collect();
        assert_eq!((changed, changes.gone), (vec![id(3)], vec![id(5)]));
    }

    #[test]
    fn of_a_changed_peer_only_what_is_other_is_told_by_field() {
        let mut now = NodeSnapshot::empty(id(100));
        for seed in 0..3 {
            happen(&mut now, &Happening::Comes(seed));
        }
        let mut told = now.clone();
        now.peers[1].rtt = Some(Duration::from_millis(20));
        now.peers[2].why = None;
        now.peers[2].called = true;
        now.peers[0].rtt_age = Some(Duration::from_secs(7));
        let changes = serde_json::to_value(told.follow_by_field(&now)).unwrap();
        let changed = serde_json::json!([
            {"place": 0, "rtt_age_ms": 7000},
            {"place": 1, "rtt_ms": 20.0},
            {"place": 2, "called": true},
        ]);
        assert_eq!(
            (&changes["changed"], &changes["peers"]),
            (&changed, &serde_json::Value::Null)
        );
        // It is a second older, as the node is.
        now.grow_older(now.uptime + Duration::from_secs(1));
        now.peers[1].rtt = None;
        let changes = serde_json::to_value(told.follow_by_field(&now)).unwrap();
        assert_eq!(
            changes["changed"],
            serde_json::json!([{"place": 1, "rtt_ms": null}])
        );
    }

    #[test]
    fn a_change_of_a_peer_that_is_not_there_changes_nothing() {
        let mut node = NodeSnapshot::empty(id(100));
        happen(&mut node, &Happening::Comes(0));
        let nobody =
            serde_json::json!({"at_ms": 0, "uptime_ms": 0, "changed": [{"place": 1, "loss": 1.0}]});
        let before = node.clone();
        node.apply(serde_json::from_value(nobody).unwrap());
        assert_eq!(node, before);
    }
}

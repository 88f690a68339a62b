//! How peers were reached so far: phases out of the events, and out of snapshots where events were missed.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use peerway::{
    Cause, Event, EventKind, Explanation, NodeSnapshot, PathInfo, PeerId, PeerSnapshot, PeerState,
};

use super::words::Standing;

/// Phases that are kept of each peer.
const KEPT_PHASES: usize = 32;

/// The trails of all peers.
#[derive(Clone, Debug, Default)]
pub(super) struct Trails(BTreeMap<PeerId, Trail>);

/// The phases of one peer, the newest last.
#[derive(Clone, Debug, Default)]
pub(super) struct Trail(VecDeque<Phase>);

/// A time in which a peer was reached in one way.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Phase {
    /// Milliseconds since the Unix epoch.
    pub(super) since_ms: u64,
    pub(super) kind: Standing,
    pub(super) path: Option<PathInfo>,
    /// The round trip when it began, if it was known.
    pub(super) rtt: Option<Duration>,
    /// Why it could not be reached.
    pub(super) why: Option<Box<Explanation>>,
    /// Why the peer was reached so, in one line, and what that line is about.
    pub(super) reason: Option<Box<str>>,
    cause: Option<Cause>,
}

impl Trails {
    pub(super) fn peer(&self, id: &PeerId) -> Option<&Trail> {
        self.0.get(id)
    }

    /// The last phase of a peer that nothing is wanted from and that could not be reached when something was.
    pub(super) fn given_up(&self, peer: &PeerSnapshot) -> Option<&Phase> {
        if peer.state != PeerState::Idle {
            return None;
        }
        let last = self.0.get(&peer.id)?.last()?;
        (last.kind == Standing::Unreachable).then_some(last)
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the other events are not about how a peer is reached"
    )]
    pub(super) fn note(&mut self, event: &Event) {
        let (peer, kind, path, rtt, why) = match &event.kind {
            EventKind::PeerState { peer, to, why, .. } => {
                let cause = why.as_ref().map(|why| why.cause);
                let trail = self.peer(peer);
                let last = trail.and_then(|trail| trail.at(event.at_ms));
                let last = last.map(|last| last.kind);
                let kind = match kind_of(*to, cause) {
                    // The relay carries the data while other paths are probed.
                    Standing::Connecting
                        if *to == PeerState::Punch && last == Some(Standing::Relay) =>
                    {
                        Standing::Relay
                    }
                    kind => kind,
                };
                (peer, kind, None, None, why.clone())
            }
            EventKind::Explained { peer, why } if why.cause.is_away() => {
                (peer, Standing::Unreachable, None, None, Some(why.clone()))
            }
            EventKind::Explained { peer, why } => {
                let last = self.0.get_mut(peer).and_then(|it| it.0.back_mut());
                return last.into_iter().for_each(|last| last.learn(why));
            }
            EventKind::PathChanged { peer, path, rtt } => match path {
                Some(PathInfo::Direct { .. }) => (peer, Standing::Direct, path.clone(), *rtt, None),
                Some(PathInfo::Relay { .. }) => (peer, Standing::Relay, path.clone(), *rtt, None),
                _ => return,
            },
            _ => return,
        };
        let trail = self.0.entry(*peer).or_default();
        // What happened before the first snapshot is told after it.
        let later = trail.0.partition_point(|it| it.since_ms <= event.at_ms);
        let later = trail.0.split_off(later);
        trail.enter(Phase {
            since_ms: event.at_ms,
            kind,
            path,
            rtt,
            why,
            reason: None,
            cause: None,
        });
        later.into_iter().for_each(|phase| trail.enter(phase));
    }

    /// Takes in what no event told, and forgets peers that are gone.
    pub(super) fn record(&mut self, snapshot: &NodeSnapshot) {
        for peer in &snapshot.peers {
            let trail = self.0.entry(peer.id).or_default();
            // Events overtake the snapshots, also within a millisecond.
            if trail
                .last()
                .is_some_and(|last| last.since_ms >= snapshot.at_ms)
            {
                continue;
            }
            let kind = Standing::of(peer);
            let path = peer.path.as_ref().filter(|_| kind.is_reached());
            if trail.is_in(kind, path) {
                continue;
            }
            // A link that ends does so while its state stays as it is.
            let age = if peer.ending {
                0
            } else {
                peer.state_age.as_millis() as u64
            };
            trail.enter(Phase {
                since_ms: snapshot.at_ms.saturating_sub(age),
                kind,
                path: path.cloned(),
                rtt: peer.rtt.filter(|_| kind.is_reached()),
                why: peer.why.clone().map(Box::new),
                reason: None,
                cause: None,
            });
        }
        if self.0.len() > snapshot.peers.len() {
            self.0.retain(|id, trail| {
                let is_newer = |last: &Phase| last.since_ms > snapshot.at_ms;
                snapshot.peer(*id).is_some() || trail.last().is_some_and(is_newer)
            });
        }
    }
}

impl Trail {
    pub(super) fn last(&self) -> Option<&Phase> {
        self.0.back()
    }

    /// What it was in then.
    fn at(&self, at_ms: u64) -> Option<&Phase> {
        self.0.iter().rev().find(|phase| phase.since_ms <= at_ms)
    }

    /// The phases with the time at which each ended; none for the last one.
    pub(super) fn phases(&self) -> impl Iterator<Item = (&Phase, Option<u64>)> {
        let ends = self.0.iter().skip(1).map(|next| Some(next.since_ms));
        self.0.iter().zip(ends.chain([None]))
    }

    /// When the peer was last reached, if it is not now: milliseconds since the Unix epoch.
    pub(super) fn left_at_ms(&self) -> Option<u64> {
        let reached = self.phases().filter(|(phase, _)| phase.kind.is_linked());
        reached.filter_map(|(_, end)| end).last()
    }

    /// Whether the last phase goes on as it is; of one that could not be reached the reason may have become another one.
    fn is_in(&self, kind: Standing, path: Option<&PathInfo>) -> bool {
        let is_it = |last: &Phase| last.kind == kind && last.path.as_ref() == path;
        kind != Standing::Unreachable && self.last().is_some_and(is_it)
    }

    fn enter(&mut self, mut phase: Phase) {
        let why = phase.why.take();
        let is_away = phase.kind == Standing::Unreachable;
        if let Some(last) = self.0.back_mut() {
            let is_same_path =
                phase.path.is_none() || last.path.is_none() || phase.path == last.path;
            let goes_on = match (last.kind, phase.kind) {
                // That nothing is wanted from a peer any more makes it no more reachable.
                (Standing::Unreachable, Standing::Idle) => true,
                (before, now) => before == now && is_same_path,
            };
            if goes_on {
                if phase.path.is_some() {
                    last.path = phase.path;
                }
                last.rtt = last.rtt.or(phase.rtt);
                if let Some(why) = why {
                    last.learn(&why);
                    if is_away {
                        last.why = Some(why);
                    }
                }
                return;
            }
            phase.since_ms = phase.since_ms.max(last.since_ms);
        }
        if let Some(why) = why {
            phase.learn(&why);
            phase.why = is_away.then_some(why);
        }
        if self.0.len() == KEPT_PHASES {
            self.0.pop_front();
        }
        if self.0.len() == self.0.capacity() {
            // Most of thousands of peers have one phase.
            self.0.reserve_exact(1 + self.0.len());
        }
        self.0.push_back(phase);
    }
}

impl Phase {
    /// This is why. That something is being tried says less than what was concluded before.
    fn learn(&mut self, why: &Explanation) {
        let is_progress = matches!(why.cause, Cause::Calling | Cause::Trying);
        if self.cause == Some(why.cause) || is_progress && self.cause.is_some() {
            return;
        }
        self.cause = Some(why.cause);
        self.reason = Some(why.line().into());
    }
}

/// The kind of a state for which no path has been told yet.
fn kind_of(state: PeerState, cause: Option<Cause>) -> Standing {
    match state {
        PeerState::Direct => Standing::Direct,
        PeerState::Suspect => Standing::Suspect,
        PeerState::Relayed if !cause.is_some_and(Cause::is_away) => Standing::Relay,
        PeerState::Relayed | PeerState::Failed => Standing::Unreachable,
        PeerState::Idle => Standing::Idle,
        PeerState::Punch | PeerState::Intro | _ => Standing::Connecting,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::dash::tests::fixtures::{AT_MS, Row, explanation, id, node, snapshot};

    fn event(after: Duration, mut event: Value) -> Event {
        let after = u64::try_from(after.as_millis()).unwrap();
        event["at_ms"] = json!(AT_MS + after);
        event["peer"] = json!(id(1));
        serde_json::from_value(event).unwrap()
    }

    fn state(after_ms: u64, to: &str, why: &Value) -> Event {
        let after = Duration::from_millis(after_ms);
        event(
            after,
            json!({"event": "peer_state", "from": "idle", "to": to, "why": why}),
        )
    }

    fn path(after_ms: u64, path: &Value) -> Event {
        let after = Duration::from_millis(after_ms);
        event(
            after,
            json!({"event": "path_changed", "path": path, "rtt_ms": null}),
        )
    }

    fn seen(trails: &Trails) -> Vec<(Standing, u64, Option<u64>)> {
        let phases = trails.peer(&id(1)).unwrap().phases();
        phases
            .map(|(phase, end)| {
                let end = end.map(|end| end - phase.since_ms);
                (phase.kind, phase.since_ms - AT_MS, end)
            })
            .collect()
    }

    fn told(events: &[Event]) -> Trails {
        let mut trails = Trails::default();
        for event in events {
            trails.note(event);
        }
        trails
    }

    #[test]
    fn the_relay_before_the_direct_path_is_remembered_however_short_it_was() {
        let relay = json!({"kind": "relay", "remote": format!("relay://{}@192.0.2.1:4433", id(9))});
        let direct =
            json!({"kind": "direct", "remote": "192.0.2.9:5000", "lan": false, "tcp": false});
        let trails = told(&[
            state(0, "intro", &Value::Null),
            state(12, "punch", &Value::Null),
            path(12, &relay),
            state(20, "punch", &Value::Null),
            state(148, "direct", &Value::Null),
            path(148, &direct),
        ]);
        assert_eq!(
            seen(&trails),
            [
                (Standing::Connecting, 0, Some(12)),
                (Standing::Relay, 12, Some(136)),
                (Standing::Direct, 148, None)
            ]
        );
        let last = trails.peer(&id(1)).unwrap().last().unwrap();
        assert!(matches!(last.path, Some(PathInfo::Direct { .. })));
    }

    #[test]
    fn a_snapshot_taken_just_before_an_event_of_its_millisecond_takes_nothing_back() {
        let relay = json!({"kind": "relay", "remote": format!("relay://{}@192.0.2.1:4433", id(9))});
        let mut trails = told(&[path(0, &relay)]);
        let before = Row {
            state: "intro",
            age_s: 0,
            ..Row::OFFLINE
        };
        trails.record(&snapshot(&node(vec![before.to_value()])));
        assert_eq!(seen(&trails), [(Standing::Relay, 0, None)]);
    }

    #[test]
    fn what_happened_before_the_first_snapshot_and_is_told_after_it_comes_before_it() {
        let direct =
            json!({"kind": "direct", "remote": "192.0.2.9:5000", "lan": false, "tcp": false});
        let relay = json!({"kind": "relay", "remote": format!("relay://{}@192.0.2.1:4433", id(9))});
        let now = Row {
            state: "direct",
            path: Some("192.0.2.9:5000"),
            age_s: 2,
            ..Row::OFFLINE
        };
        let mut trails = Trails::default();
        trails.record(&snapshot(&node(vec![now.to_value()])));
        let past = [path(0, &relay), path(7004, &direct)];
        for mut event in past {
            event.at_ms -= 9000;
            trails.note(&event);
        }
        let trail = trails.peer(&id(1)).unwrap();
        let phases = trail
            .phases()
            .map(|(phase, _)| (phase.kind, phase.since_ms));
        assert_eq!(
            phases.collect::<Vec<_>>(),
            [
                (Standing::Relay, AT_MS - 9000),
                (Standing::Direct, AT_MS - 2000)
            ]
        );
    }

    #[test]
    fn a_peer_that_could_not_be_reached_stays_so_when_it_is_no_longer_wanted() {
        let mut trails = told(&[
            state(0, "intro", &Value::Null),
            state(3000, "failed", &explanation("peer_offline")),
            state(3001, "idle", &Value::Null),
        ]);
        let row = |state| Row {
            state,
            ..Row::OFFLINE
        };
        let idle = snapshot(&node(vec![row("idle").to_value()]));
        trails.record(&idle);
        let given_up = trails.given_up(&idle.peers[0]).unwrap();
        assert_eq!(
            given_up.why.as_ref().map(|why| why.cause),
            Some(Cause::PeerOffline)
        );
        trails.note(&state(9000, "intro", &Value::Null));
        assert!(trails.given_up(&idle.peers[0]).is_none());
    }

    #[test]
    fn snapshots_tell_what_events_did_not_and_take_away_who_is_gone() {
        let mut trails = Trails::default();
        let row = Row {
            state: "direct",
            path: Some("192.0.2.9:5000"),
            why: Some("punched"),
            ..Row::OFFLINE
        };
        trails.record(&snapshot(&node(vec![row.to_value()])));
        let last = trails.peer(&id(1)).unwrap().last().unwrap();
        assert_eq!(
            (last.kind, last.since_ms),
            (Standing::Direct, AT_MS - row.age_s * 1000)
        );
        trails.record(&snapshot(&node(vec![])));
        assert!(trails.peer(&id(1)).is_none());
        trails.note(&state(1000, "intro", &Value::Null));
        trails.record(&snapshot(&node(vec![])));
        assert!(trails.peer(&id(1)).is_some(), "the event is the newer one");
    }

    #[test]
    fn a_link_that_flaps_for_days_is_remembered_in_bounded_memory() {
        let mut trails = Trails::default();
        for at in 0..1000 {
            let to = if at % 2 == 0 { "suspect" } else { "direct" };
            trails.note(&state(at, to, &Value::Null));
        }
        assert_eq!(seen(&trails).len(), KEPT_PHASES);
    }
}

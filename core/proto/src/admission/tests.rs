use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use super::*;
use crate::{PeerId, SecretKey};

/// How long a dial waits for its handshake.
const PATIENCE: Duration = Duration::from_secs(9);
const STEP: Duration = Duration::from_millis(10);

/// A node whose callers finish their handshakes or do not, in virtual time.
struct Node {
    admission: Admission,
    now: Instant,
    /// Until when each may take, and whose it is.
    handshakes: VecDeque<(Instant, CallId, Origin)>,
    /// Open connections, and how much each was used.
    open: BTreeMap<CallId, u64>,
    displaced: Vec<CallId>,
}

impl Node {
    fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        let now = Instant::now();
        Self {
            admission: Admission::default(),
            now,
            handshakes: VecDeque::new(),
            open: BTreeMap::new(),
            displaced: Vec::new(),
        }
    }

    fn run(&mut self, time: Duration) {
        self.now += time;
        while let Some((until, id, _)) = self.handshakes.front().copied()
            && until <= self.now
        {
            self.handshakes.pop_front();
            self.admission.end(id);
        }
    }

    /// Begins a handshake that takes until the next [`Node::finish`], if ever.
    fn begin(&mut self, origin: Origin) -> Option<CallId> {
        let Verdict::Admit { id, displaced } = self.admission.begin(origin, true) else {
            return None;
        };
        let until = self.now + PATIENCE;
        self.handshakes.push_back((until, id, origin));
        if let Some(displaced) = displaced {
            self.handshakes.retain(|(_, id, _)| *id != displaced);
        }
        Some(id)
    }

    fn finish(&mut self, id: CallId) -> bool {
        let position = self
            .handshakes
            .iter()
            .position(|(_, other, _)| *other == id);
        let Some((_, _, origin)) = position.and_then(|at| self.handshakes.remove(at)) else {
            return false;
        };
        let open = &self.open;
        let activity = |id| open.get(&id).copied().unwrap_or_default();
        match self.admission.complete(self.now, id, origin, activity) {
            Verdict::Admit { displaced, .. } => {
                if let Some(displaced) = displaced {
                    assert!(self.open.remove(&displaced).is_some());
                    self.displaced.push(displaced);
                }
                self.open.insert(id, 0);
                assert!(self.open.len() <= OPEN);
                true
            }
            Verdict::Retry | Verdict::Busy => false,
        }
    }

    fn connect(&mut self, origin: Origin) -> Option<CallId> {
        let id = self.begin(origin)?;
        self.finish(id).then_some(id)
    }
}

fn peer(at: u32) -> PeerId {
    let mut seed = [9; 32];
    seed[..4].copy_from_slice(&at.to_be_bytes());
    SecretKey::from_seed(&seed).id()
}

/// A key of its own at each address of a network of its own.
fn home(at: u32) -> Origin {
    from([80, (at >> 8) as u8, at as u8, 1], at)
}

fn from(ip: [u8; 4], key: u32) -> Origin {
    Origin {
        peer: Some(peer(key)),
        ip: IpAddr::V4(Ipv4Addr::from(ip)),
    }
}

/// The keys of a flood: as many as asked for, at these addresses in turn.
fn flood(keys: u32, addresses: &[[u8; 4]]) -> impl Iterator<Item = Origin> {
    (0..keys).map(|key| from(addresses[key as usize % addresses.len()], 100_000 + key))
}

/// 16 sites of 16 addresses.
fn many_addresses() -> Vec<[u8; 4]> {
    (0..=255).map(|at| [90, 0, at / 16, at % 16]).collect()
}

#[test]
fn a_thousand_callers_from_a_thousand_networks_get_in_at_once() {
    let mut node = Node::new();
    let begun: Vec<CallId> = (0..1000).filter_map(|at| node.begin(home(at))).collect();
    assert_eq!(begun.len(), 1000);
    assert!(begun.into_iter().all(|id| node.finish(id)));
    assert!(node.displaced.is_empty());
}

#[test]
fn a_household_behind_one_address_gets_in_up_to_its_share_and_then_hears_that_we_are_busy() {
    let mut node = Node::new();
    let begun: Vec<CallId> = flood(600, &[[90, 0, 0, 1]])
        .filter_map(|member| node.begin(member))
        .collect();
    assert_eq!(begun.len(), 512);
    assert!(begun.iter().all(|id| node.finish(*id)));
    let late = from([90, 0, 0, 1], 1);
    assert_eq!(node.admission.begin(late, true), Verdict::Busy);
    node.admission.end(begun[0]);
    assert!(node.connect(late).is_some());
}

#[test]
fn one_key_gets_64_connections_wherever_it_comes_from() {
    let mut node = Node::new();
    let calls = (0..200).filter(|at| node.connect(from([90, *at, 0, 1], 1)).is_some());
    assert_eq!(calls.count(), 64);
}

/// One network's keys come a hundred times a second, finish or do not, and stay; others want in meanwhile.
#[test]
fn honest_callers_get_in_while_one_network_floods() {
    for finishes in [true, false] {
        let mut node = Node::new();
        let mut flood = flood(3000, &[[90, 0, 0, 1]]);
        for step in 0..3000 {
            node.run(STEP);
            let attacker = node.begin(flood.next().unwrap());
            if let Some(id) = attacker.filter(|_| finishes) {
                node.finish(id);
            }
            if step % 10 == 0 {
                let id = node.connect(home(step)).unwrap();
                assert!(node.open.contains_key(&id));
            }
        }
        assert!(node.displaced.is_empty());
        let held = node.open.len() + node.handshakes.len();
        assert!(held <= 300 + 512, "{held}");
    }
}

#[test]
fn handshakes_that_never_finish_give_way_to_honest_ones_when_all_are_under_way() {
    let mut node = Node::new();
    for attacker in flood(4000, &many_addresses()) {
        node.begin(attacker);
    }
    assert_eq!(node.handshakes.len(), HANDSHAKES);
    // Each takes a while, so that they displace no less than they need.
    let begun: Vec<CallId> = (0..500).filter_map(|at| node.begin(home(at))).collect();
    assert_eq!(begun.len(), 500);
    assert!(begun.into_iter().all(|id| node.finish(id)));
    assert!(node.handshakes.len() <= HANDSHAKES);
}

#[test]
fn a_full_node_takes_whom_it_has_least_of_and_the_greediest_site_gives_way() {
    let mut node = Node::new();
    let household: Vec<CallId> = (0..8)
        .filter_map(|key| node.connect(from([70, 0, 0, 1], key)))
        .collect();
    for attacker in flood(5000, &many_addresses()) {
        node.connect(attacker);
    }
    assert_eq!(node.open.len(), OPEN);
    let honest: Vec<CallId> = (0..1000).filter_map(|at| node.connect(home(at))).collect();
    assert_eq!(honest.len(), 1000);
    for id in household.iter().chain(&honest) {
        assert!(node.open.contains_key(id), "an honest connection gave way");
    }
    assert_eq!(node.open.len(), OPEN);
}

#[test]
fn of_the_greediest_partys_connections_the_longest_idle_one_gives_way() {
    let mut node = Node::new();
    let greedy: Vec<CallId> = flood(512, &[[90, 0, 0, 1]])
        .filter_map(|key| node.connect(key))
        .collect();
    for at in 0..OPEN as u32 - 512 {
        node.run(STEP);
        node.connect(home(at)).unwrap();
    }
    // All but two were used; one of the two is the older.
    for id in &greedy {
        *node.open.get_mut(id).unwrap() += u64::from(![greedy[99], greedy[300]].contains(id));
    }
    for (late, idle) in [(0, greedy[99]), (1, greedy[300])] {
        node.run(STEP);
        node.connect(from([71, 0, late, 1], 50_000 + u32::from(late)))
            .unwrap();
        assert_eq!(node.displaced.last(), Some(&idle));
    }
    // Now that all were used, it is the one whose last use was first seen.
    for id in &greedy[1..] {
        if let Some(uses) = node.open.get_mut(id) {
            *uses += 1;
        }
    }
    node.run(STEP);
    node.connect(from([71, 0, 2, 1], 50_002)).unwrap();
    assert_eq!(node.displaced.last(), Some(&greedy[0]));
}

#[test]
fn when_all_hold_the_same_nobody_gives_way_and_who_comes_hears_that_we_are_busy() {
    let mut node = Node::new();
    for at in 0..OPEN as u32 {
        node.connect(home(at)).unwrap();
    }
    assert_eq!(node.admission.begin(home(5000), true), Verdict::Busy);
    assert!(node.displaced.is_empty());
}

#[test]
fn forged_sources_do_not_use_up_the_share_of_whom_they_name() {
    let mut node = Node::new();
    let mut verdicts =
        flood(1000, &[[90, 0, 0, 1]]).map(|forged| node.admission.begin(forged, false));
    let admitted = verdicts
        .by_ref()
        .take_while(|verdict| *verdict != Verdict::Retry);
    assert_eq!(admitted.count(), 16);
    assert!(verdicts.all(|verdict| verdict == Verdict::Retry));
    for key in 0..512 {
        assert!(node.connect(from([90, 0, 0, 1], key)).is_some());
    }
}

#[test]
fn forged_sources_all_over_the_world_leave_room_for_those_who_answer() {
    let mut node = Node::new();
    let forged = (0..5000).map(|at| node.admission.begin(home(at), false));
    let admitted = forged.filter(|verdict| *verdict != Verdict::Retry).count();
    assert_eq!(admitted, 256);
    assert!((0..1000).all(|at| node.connect(home(at)).is_some()));
}

#[test]
fn a_network_without_room_is_told_so_only_after_it_has_shown_that_it_is_there() {
    let mut node = Node::new();
    for member in flood(512, &[[90, 0, 0, 1]]) {
        node.connect(member);
    }
    let late = from([90, 0, 0, 1], 1);
    assert_eq!(node.admission.begin(late, false), Verdict::Retry);
    assert_eq!(node.admission.begin(late, true), Verdict::Busy);
}

#[test]
fn what_ends_leaves_nothing_behind() {
    let mut node = Node::new();
    let calls: Vec<CallId> = (0..100).filter_map(|at| node.connect(home(at))).collect();
    let begun: Vec<CallId> = (200..300).filter_map(|at| node.begin(home(at))).collect();
    let Verdict::Admit { id, .. } = node.admission.begin(home(1000), false) else {
        panic!("there is room");
    };
    for id in calls.into_iter().chain(begun).chain([id]) {
        node.admission.end(id);
    }
    let Admission {
        callers,
        unproven,
        handshakes,
        used,
        ..
    } = &node.admission;
    let left = (callers.len(), unproven.len(), handshakes.len(), used.len());
    assert_eq!(left, (0, 0, 0, 0));
}

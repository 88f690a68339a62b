//! Many who fetch from one and from each other, in virtual time: the picker and the uploader of each, over uplinks of a rate.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use peerway::{PeerId, SecretKey};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IteratorRandom};

use super::{Picker, Units, Uploader};

const UNIT: u64 = 256 << 10;
/// Between two looks at the world.
const STEP: Duration = Duration::from_millis(50);
/// Bytes a second of each uplink.
const UPLINK: u64 = 1 << 20;

struct Node {
    id: PeerId,
    picker: Picker,
    uploader: Uploader,
    neighbours: Vec<usize>,
    /// What each leave that was asked for is about.
    wants: BTreeMap<u64, (usize, u32)>,
    /// What is on its way, and how much of the first is left.
    line: VecDeque<(usize, u32)>,
    left: u64,
    /// Units that came, and when others hear of them.
    came: Vec<u32>,
    sent: u64,
    done: Option<Duration>,
    is_there: bool,
}

struct World {
    nodes: Vec<Node>,
    now: Duration,
    by_id: BTreeMap<PeerId, usize>,
}

impl World {
    /// A seed, which is the first, and others of whom each knows some.
    fn new(leechers: usize, units: u32, known: usize, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let count = leechers + 1;
        let mut links: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); count];
        for node in 1..count {
            let others = (0..count).filter(|other| *other != node);
            for other in others.choose_multiple(&mut rng, known) {
                links[node].insert(other);
                links[other].insert(node);
            }
        }
        let node = |(at, neighbours): (usize, BTreeSet<usize>)| {
            let held = if at == 0 {
                Units::all(units)
            } else {
                Units::none(units)
            };
            Node {
                id: SecretKey::from_seed(&[at as u8; 32]).id(),
                picker: Picker::new(held, UNIT, rng.random()),
                uploader: Uploader::default(),
                neighbours: neighbours.into_iter().collect(),
                wants: BTreeMap::new(),
                line: VecDeque::new(),
                left: 0,
                came: Vec::new(),
                sent: 0,
                done: (at == 0).then_some(Duration::ZERO),
                is_there: true,
            }
        };
        let nodes: Vec<_> = links.into_iter().enumerate().map(node).collect();
        let by_id = nodes.iter().enumerate().map(|(at, node)| (node.id, at));
        let by_id = by_id.collect();
        let mut world = Self {
            nodes,
            now: Duration::ZERO,
            by_id,
        };
        for at in 0..count {
            for other in world.nodes[at].neighbours.clone() {
                let held = world.nodes[other].picker.held().clone();
                let id = world.nodes[other].id;
                world.nodes[at].picker.come(id, held, Duration::ZERO);
            }
        }
        world
    }

    /// Until all who are there have everything, or so long; when the last had.
    fn run(&mut self, at_most: Duration) -> Option<Duration> {
        while self.now < at_most {
            self.now += STEP;
            for at in 0..self.nodes.len() {
                self.ask(at);
            }
            for at in 0..self.nodes.len() {
                self.send(at);
            }
            self.tell();
            let mut there = self.nodes.iter().filter(|node| node.is_there);
            if there.all(|node| node.done.is_some()) {
                return self.nodes.iter().filter_map(|node| node.done).max();
            }
        }
        None
    }

    fn ask(&mut self, at: usize) {
        if !self.nodes[at].is_there || self.nodes[at].done.is_some() {
            return;
        }
        let own = self.nodes[at].id;
        for other in self.nodes[at].neighbours.clone() {
            let (id, place) = (self.nodes[other].id, self.nodes[other].uploader.place(own));
            self.nodes[at].picker.placed(id, place);
            while let Some(unit) = self.nodes[at].picker.next(id, self.now) {
                let now = self.now;
                let want = self.nodes[other].uploader.want(own, UNIT, now).unwrap();
                self.nodes[other].wants.insert(want, (at, unit));
            }
        }
    }

    fn send(&mut self, at: usize) {
        let (now, node) = (self.now, &mut self.nodes[at]);
        if !node.is_there {
            return;
        }
        let room = UPLINK * STEP.as_millis() as u64 / 1000;
        for (_, want, _) in node.uploader.poll(now) {
            if let Some(want) = node.wants.remove(&want) {
                node.line.push_back(want);
            }
        }
        let Some((to, unit)) = node.line.front().copied() else {
            return;
        };
        if node.left == 0 {
            node.left = UNIT;
        }
        let part = node.left.min(room);
        node.left -= part;
        node.sent += part;
        if node.left > 0 {
            return;
        }
        node.line.pop_front();
        let id = node.id;
        let own = self.nodes[to].id;
        self.nodes[at].uploader.sent(own, UNIT, now);
        self.arrive(to, id, unit);
        self.rest(at, room - part);
    }

    /// What is left of a step for the next.
    fn rest(&mut self, at: usize, room: u64) {
        let node = &mut self.nodes[at];
        if !node.line.is_empty() {
            let part = UNIT.min(room);
            node.left = UNIT - part;
            node.sent += part;
        }
    }

    fn arrive(&mut self, to: usize, from: PeerId, unit: u32) {
        let now = self.now;
        let node = &mut self.nodes[to];
        if !node.is_there {
            return;
        }
        let came = node.picker.came(from, unit, now);
        if came.is_new {
            node.came.push(unit);
        }
        if node.picker.held().is_full() && node.done.is_none() {
            node.done = Some(now);
        }
        let own = node.id;
        for other in came.cancel {
            let other = self.by_id[&other];
            let other = &mut self.nodes[other];
            let cancelled = other.wants.iter().find(|(_, want)| **want == (to, unit));
            if let Some(id) = cancelled.map(|(id, _)| *id) {
                other.wants.remove(&id);
                other.uploader.withdraw(own, id);
            }
        }
    }

    fn tell(&mut self) {
        for at in 0..self.nodes.len() {
            let came = std::mem::take(&mut self.nodes[at].came);
            let id = self.nodes[at].id;
            if came.is_empty() {
                continue;
            }
            for other in self.nodes[at].neighbours.clone() {
                self.nodes[other].picker.gained(id, &came);
            }
        }
    }

    fn leave(&mut self, at: usize) {
        self.nodes[at].is_there = false;
        let id = self.nodes[at].id;
        for other in self.nodes[at].neighbours.clone() {
            self.nodes[other].picker.gone(id);
        }
    }
}

#[test]
fn two_hundred_fetch_from_each_other_in_a_fraction_of_what_the_seed_alone_would_take() {
    let (leechers, units) = (200, 96);
    let mut world = World::new(leechers, units, 15, 1);
    let size = u64::from(units) * UNIT;
    // What it takes to send everything once: nobody is done before.
    let bound = Duration::from_secs(size / UPLINK);
    let last = world.run(bound * 10).expect("all get it");
    let ratio = last.as_secs_f64() / bound.as_secs_f64();
    let sent = world.nodes[0].sent as f64 / size as f64;
    let all: u64 = world.nodes.iter().map(|node| node.sent).sum();
    let twice = all as f64 / (size * leechers as u64) as f64;
    assert!(
        ratio < 4.0 && twice < 1.5,
        "{ratio} of the bound; the seed sent {sent} times the size, all {twice}"
    );
}

#[test]
fn what_is_there_once_outlives_the_seed() {
    let units = 64;
    let mut world = World::new(16, units, 16, 2);
    let is_nowhere = |world: &World, unit| {
        let mut leechers = world.nodes.iter().skip(1);
        leechers.all(|node| !node.picker.held().has(unit))
    };
    while (0..units).any(|unit| is_nowhere(&world, unit)) {
        assert_eq!(world.run(world.now + STEP), None, "nobody is done so early");
        assert!(world.now < Duration::from_secs(60));
    }
    let spread = world.now;
    world.leave(0);
    let last = world.run(Duration::from_secs(120));
    assert!(last.is_some(), "the seed left after {spread:?}");
}

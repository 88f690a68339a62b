//! Many who fetch from one and from each other, in virtual time: the picker and the uploader of each, over uplinks of a rate.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use peerway::{PeerId, SecretKey};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IteratorRandom};

use super::{Picker, Suggester, Units, Uploader};

const UNIT: u64 = 256 << 10;
/// Between two looks at the world.
const STEP: Duration = Duration::from_millis(50);
/// How late others hear of what came, and who fetches of what is suggested, in steps.
const TOLD_AFTER: usize = 5;
/// Bytes a second of each uplink.
const UPLINK: u64 = 1 << 20;

struct Node {
    id: PeerId,
    picker: Picker,
    uploader: Uploader,
    suggester: Suggester,
    neighbours: Vec<usize>,
    /// What each leave that was asked for is about.
    wants: BTreeMap<u64, (usize, u32)>,
    /// What is on its way, and how much of the first is left.
    line: VecDeque<(usize, u32)>,
    left: u64,
    /// Units that came in this step and those before.
    came: VecDeque<Vec<u32>>,
    sent: u64,
    done: Option<Duration>,
    is_there: bool,
}

struct World {
    nodes: Vec<Node>,
    now: Duration,
    steps: usize,
    by_id: BTreeMap<PeerId, usize>,
}

impl World {
    /// A seed, which is the first, and others of whom each knows that and some more.
    fn new(leechers: usize, units: u32, known: usize, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let count = leechers + 1;
        let mut links: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); count];
        for node in 1..count {
            let others = (1..count).filter(|other| *other != node);
            let others = others.choose_multiple(&mut rng, known);
            for other in others.into_iter().chain([0]) {
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
                suggester: Suggester::new(units),
                neighbours: neighbours.into_iter().collect(),
                wants: BTreeMap::new(),
                line: VecDeque::new(),
                left: 0,
                came: VecDeque::from([Vec::new()]),
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
            steps: 0,
            by_id,
        };
        for at in 0..count {
            for other in world.nodes[at].neighbours.clone() {
                let held = world.nodes[other].picker.held().clone();
                let id = world.nodes[other].id;
                world.nodes[at].picker.come(id, held, Duration::ZERO);
                let own = world.nodes[at].id;
                world.nodes[other].suggester.come(own);
            }
        }
        world
    }

    /// Until all who are there have everything, or so long; when the last had.
    fn run(&mut self, at_most: Duration) -> Option<Duration> {
        while self.now < at_most {
            self.now += STEP;
            self.steps += 1;
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
            if place == 0
                && self.nodes[other].picker.held().is_full()
                && self.steps.is_multiple_of(TOLD_AFTER)
            {
                let units = self.nodes[other].suggester.suggest(own);
                self.nodes[at].picker.suggested(id, &units);
            }
            while let Some(unit) = self.nodes[at].picker.next(id, self.now) {
                let now = self.now;
                let want = self.nodes[other].uploader.want(own, UNIT, now).unwrap();
                self.nodes[other].wants.insert(want, (at, unit));
            }
        }
    }

    fn send(&mut self, at: usize) {
        let ids: Vec<_> = self.nodes.iter().map(|node| node.id).collect();
        let (now, node) = (self.now, &mut self.nodes[at]);
        if !node.is_there {
            return;
        }
        let room = UPLINK * STEP.as_millis() as u64 / 1000;
        for (_, want, _) in node.uploader.poll(now) {
            if let Some(want) = node.wants.remove(&want) {
                node.suggester.sent(ids[want.0], want.1);
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
            node.came.back_mut().unwrap().push(unit);
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
            let node = &mut self.nodes[at];
            node.came.push_back(Vec::new());
            if node.came.len() <= TOLD_AFTER {
                continue;
            }
            let (id, came) = (node.id, node.came.pop_front().unwrap());
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

/// What it took until all had everything.
#[derive(Debug)]
struct Figures {
    /// Of the time in which an uplink carries the content once: nobody is done before.
    time: f64,
    /// What the seed sent, of the content.
    seed: f64,
    /// What all sent, of what was needed.
    all: f64,
}

fn spread(leechers: usize, units: u32, known: usize, seed: u64) -> Figures {
    let mut world = World::new(leechers, units, known, seed);
    let size = u64::from(units) * UNIT;
    let bound = Duration::from_secs(size / UPLINK);
    let last = world.run(bound * 10).expect("all get it");
    let all: u64 = world.nodes.iter().map(|node| node.sent).sum();
    Figures {
        time: last.as_secs_f64() / bound.as_secs_f64(),
        seed: world.nodes[0].sent as f64 / size as f64,
        all: all as f64 / (size * leechers as u64) as f64,
    }
}

#[test]
fn one_seed_and_sixteen_leechers_are_done_soon_and_the_seed_sends_little_more_than_the_content() {
    for (units, most) in [(96, 1.31), (256, 1.15)] {
        let figures: Vec<_> = (1..6).map(|seed| spread(16, units, 16, seed)).collect();
        let mean = |of: fn(&Figures) -> f64| figures.iter().map(of).sum::<f64>() / 5.0;
        let (time, seed, all) = (mean(|it| it.time), mean(|it| it.seed), mean(|it| it.all));
        let is_so = time < most && seed < most && all < 1.15;
        assert!(is_so, "{units} units: {time} {seed} {all}");
    }
}

#[test]
fn two_hundred_fetch_from_each_other_in_little_more_than_it_takes_the_seed_to_send_it_once() {
    for (units, most) in [(96, 1.8), (400, 1.4)] {
        let figures = spread(200, units, 15, 1);
        let is_so = figures.time < most && figures.all < 1.2;
        assert!(is_so, "{units} units: {figures:?}");
    }
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

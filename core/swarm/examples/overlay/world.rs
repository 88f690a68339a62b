//! Nodes of one overlay, the lines between them and the time, which is virtual: a run is decided by its seed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    lookup::Lookup,
    table::{Answer, Id, Table, Upkeep},
};

/// After which an answer comes no more.
const PATIENCE: Duration = Duration::from_secs(1);
/// Of how long a node lives, half of it without a search, so that little is left of how the world began.
const SETTLING: f64 = 0.5;

/// What a world is begun with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) nodes: usize,
    /// How long a node lives on average. Whoever dies is replaced by a newcomer; none if nobody dies.
    pub(crate) life: Option<Duration>,
    pub(crate) searches: usize,
    /// In which time they begin, at random nodes for random keys.
    pub(crate) during: Duration,
    pub(crate) seed: u64,
}

/// What became of the searches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// Of each that found the right node, until that answered.
    pub(crate) hops: Vec<u32>,
    pub(crate) times: Vec<Duration>,
    /// Those that found none, or not the one that answered for the key when they ended.
    pub(crate) failed: usize,
    /// Nodes that were asked, of whom some had died, in all searches.
    pub(crate) asked: u64,
    pub(crate) silent: u64,
    /// Questions of each node a minute that keep its table true.
    pub(crate) upkeep: f64,
    /// Other nodes that one knows.
    pub(crate) known: f64,
}

/// Runs a world to its end.
pub(crate) fn run<T: Table>(setting: Setting) -> Outcome {
    let mut world = World::<T>::new(setting);
    let settling = setting.life.unwrap_or_default().mul_f64(SETTLING);
    world.run_until(settling);
    world.upkeep_asked = 0;
    for _ in 0..setting.searches {
        let wait = setting.during.mul_f64(world.rng.random());
        world.after(wait, Event::Search);
    }
    let end = world.now + setting.during;
    world.run_until(end);
    let minutes = setting.during.as_secs_f64() / 60.0;
    world.outcome.upkeep = world.upkeep_asked as f64 / minutes / setting.nodes as f64;
    // Those that go on.
    world.run_until(end + 60 * PATIENCE);
    let known: usize = world.nodes.values().map(|node| node.table.len()).sum();
    world.outcome.known = known as f64 / world.nodes.len() as f64;
    world.outcome
}

struct Node<T> {
    table: T,
    has_joined: bool,
}

enum Event {
    Death(Id),
    Upkeep(Id),
    Search,
    /// A question arrives.
    Asked(Question),
    Answered(Question, Answer),
    Silent(Question),
}

#[derive(Clone, Copy)]
struct Question {
    by: Id,
    of: Id,
    key: Id,
    /// None if no search is behind it.
    search: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Join,
    Upkeep,
    /// What the world is there for.
    Judged,
}

struct Search {
    at: Id,
    key: Id,
    purpose: Purpose,
    begun: Duration,
    lookup: Lookup,
}

struct World<T> {
    nodes: BTreeMap<Id, Node<T>>,
    searches: BTreeMap<u64, Search>,
    queue: BTreeMap<(Duration, u64), Event>,
    now: Duration,
    count: u64,
    life: Option<Duration>,
    rng: StdRng,
    upkeep_asked: u64,
    outcome: Outcome,
}

impl<T: Table> World<T> {
    fn new(setting: Setting) -> Self {
        let mut rng = StdRng::seed_from_u64(setting.seed);
        let mut ids = BTreeSet::new();
        while ids.len() < setting.nodes {
            ids.insert(rng.random());
        }
        let mut world = Self {
            nodes: BTreeMap::new(),
            searches: BTreeMap::new(),
            queue: BTreeMap::new(),
            now: Duration::ZERO,
            count: 0,
            life: setting.life,
            rng,
            upkeep_asked: 0,
            outcome: Outcome::default(),
        };
        for id in &ids {
            let table = T::settled(*id, &ids, &mut world.rng);
            let has_joined = true;
            world.nodes.insert(*id, Node { table, has_joined });
            let wait = T::UPKEEP.mul_f64(world.rng.random());
            world.after(wait, Event::Upkeep(*id));
            world.plan_death(*id);
        }
        world
    }

    fn after(&mut self, wait: Duration, event: Event) {
        self.count += 1;
        self.queue.insert((self.now + wait, self.count), event);
    }

    fn run_until(&mut self, end: Duration) {
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > end {
                break;
            }
            self.now = entry.key().0;
            let event = entry.remove();
            self.happen(event);
        }
        self.now = end;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Death(id) => {
                self.nodes.remove(&id);
                self.join();
            }
            Event::Upkeep(id) => {
                if self.nodes.contains_key(&id) {
                    self.upkeep(id);
                    self.after(T::UPKEEP, Event::Upkeep(id));
                }
            }
            Event::Search => {
                let at = self.anybody();
                let key = self.rng.random();
                self.begin(at, key, Purpose::Judged);
            }
            Event::Asked(question) => self.asked(question),
            Event::Answered(question, answer) => self.answered(question, Some(answer)),
            Event::Silent(question) => self.answered(question, None),
        }
    }

    /// Lives end at random, whatever their age.
    fn plan_death(&mut self, id: Id) {
        if let Some(life) = self.life {
            let wait = life.mul_f64(-(1.0 - self.rng.random::<f64>()).ln());
            self.after(wait, Event::Death(id));
        }
    }

    fn join(&mut self) {
        let id = self.rng.random();
        let table = T::new(id, self.now);
        let has_joined = false;
        self.nodes.insert(id, Node { table, has_joined });
        self.plan_death(id);
        self.begin(id, id, Purpose::Join);
        self.after(T::UPKEEP, Event::Upkeep(id));
    }

    /// One that has joined.
    fn anybody(&mut self) -> Id {
        loop {
            let from = self.rng.random::<Id>();
            let mut after = self.nodes.range(from..).chain(&self.nodes);
            if let Some((id, _)) = after.find(|(_, node)| node.has_joined) {
                return *id;
            }
        }
    }

    fn upkeep(&mut self, id: Id) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let has_joined = node.has_joined;
        for job in node.table.upkeep(self.now, &mut self.rng) {
            match job {
                Upkeep::Ask(peer) => self.ask(Question {
                    by: id,
                    of: peer,
                    key: id,
                    search: None,
                }),
                Upkeep::Search(key) if key == id && !has_joined => {
                    self.begin(id, key, Purpose::Join);
                }
                Upkeep::Search(key) => self.begin(id, key, Purpose::Upkeep),
            }
        }
    }

    fn begin(&mut self, at: Id, key: Id, purpose: Purpose) {
        let Some(node) = self.nodes.get(&at) else {
            return;
        };
        let mut table = node.table.answer(key, self.now);
        if table.closer.is_empty() && table.around.is_empty() {
            // As somebody told it when it was installed.
            table.closer = vec![self.anybody()];
        }
        let own = (key != at).then_some(at);
        let lookup = Lookup::new::<T>(key, own, table);
        self.count += 1;
        let serial = self.count;
        let search = Search {
            at,
            key,
            purpose,
            begun: self.now,
            lookup,
        };
        self.searches.insert(serial, search);
        self.advance(serial);
    }

    fn advance(&mut self, serial: u64) {
        while let Some(search) = self.searches.get_mut(&serial)
            && let Some(of) = search.lookup.next::<T>()
        {
            let (by, key) = (search.at, search.key);
            let search = Some(serial);
            self.ask(Question {
                by,
                of,
                key,
                search,
            });
        }
        let is_over = |search: &Search| search.lookup.is_over();
        if self.searches.get(&serial).is_some_and(is_over)
            && let Some(search) = self.searches.remove(&serial)
        {
            self.ended(&search);
        }
    }

    fn ask(&mut self, question: Question) {
        let search = question.search.and_then(|it| self.searches.get(&it));
        if search.is_none_or(|search| search.purpose != Purpose::Judged) {
            self.upkeep_asked += 1;
        }
        let way = latency(question.by, question.of);
        self.after(way, Event::Asked(question));
    }

    fn asked(&mut self, question: Question) {
        let Question { by, of, key, .. } = question;
        let way = latency(by, of);
        if let Some(node) = self.nodes.get_mut(&of) {
            let answer = node.table.answer(key, self.now);
            node.table.asked_by(by, self.now);
            self.after(way, Event::Answered(question, answer));
        } else {
            self.after(PATIENCE.saturating_sub(way), Event::Silent(question));
        }
    }

    fn answered(&mut self, question: Question, answer: Option<Answer>) {
        let Question { by, of, search, .. } = question;
        let Some(node) = self.nodes.get_mut(&by) else {
            if let Some(serial) = search {
                self.searches.remove(&serial);
            }
            return;
        };
        match &answer {
            Some(answer) => node.table.answered(of, answer, self.now),
            None => node.table.lost(of),
        }
        let Some(serial) = search else {
            if answer.is_none() {
                // Not a quarter of a minute later: others may ask it the way.
                self.upkeep(by);
            }
            return;
        };
        if let Some(search) = self.searches.get_mut(&serial) {
            let is_silent = answer.is_none();
            match answer {
                Some(answer) => search.lookup.answered::<T>(of, answer, self.now),
                None => search.lookup.lost(of),
            }
            if search.purpose == Purpose::Judged {
                self.outcome.silent += u64::from(is_silent);
            }
            self.advance(serial);
        }
    }

    fn ended(&mut self, search: &Search) {
        let found = search.lookup.found::<T>();
        if search.purpose == Purpose::Judged {
            self.judge(search, found);
            return;
        }
        let (Some((peer, ..)), Some(node)) = (found, self.nodes.get_mut(&search.at)) else {
            return;
        };
        node.table.found(search.key, peer);
        if search.purpose == Purpose::Join && !node.has_joined {
            node.has_joined = true;
            self.upkeep(search.at);
        }
    }

    fn judge(&mut self, search: &Search, found: Option<(Id, u32, Duration)>) {
        let joined = self.nodes.iter().filter(|(_, node)| node.has_joined);
        let right = joined
            .map(|(id, _)| *id)
            .min_by_key(|id| T::distance(search.key, *id));
        self.outcome.asked += u64::from(search.lookup.asked);
        match found {
            Some((peer, hops, at)) if Some(peer) == right => {
                self.outcome.hops.push(hops);
                let time = at.saturating_sub(search.begun);
                self.outcome.times.push(time);
            }
            _ => self.outcome.failed += 1,
        }
    }
}

/// One way between two: 10 to 90 ms.
fn latency(one: Id, other: Id) -> Duration {
    let mixed = (one ^ other).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    Duration::from_millis(10 + mixed % 81)
}

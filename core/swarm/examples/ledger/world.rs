//! Nodes of the ledger, the lines between them and the time, which is virtual: a run is decided by its seed.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    chain::{BlockId, MAX_BODY, Name, Transaction},
    message::Message,
    node::{Node, Output, Peer},
};

/// Neighbours that each node wants, and the most that it has: as the members of a group do.
const NEIGHBOURS: usize = 5;
const MAX_NEIGHBOURS: usize = 10;
/// One of them is exchanged so often, which is what heals partitions.
const REWIRE: Duration = Duration::from_secs(50);
/// How often is looked whether there are too few.
const TICK: Duration = Duration::from_secs(5);
/// Until a dead line shows.
const SILENCE: Duration = Duration::from_secs(2);
/// What a home sends, bits a second.
const UPLINK: f64 = 20e6;
/// Bytes of a transaction: 2,000 of them make a block of a megabyte.
pub(crate) const BODY: usize = 524;

enum Event {
    Timeout(Peer),
    Heard {
        to: Peer,
        from: Peer,
        message: Message,
    },
    /// A line that was cut shows to be dead.
    Ended(Peer, Peer),
    Rewire(Peer),
    Tick(Peer),
    Write(Peer, Arc<Transaction>),
}

struct Member {
    node: Node,
    links: BTreeSet<Peer>,
    /// When all that was sent has left.
    sent_at: Duration,
    due: Option<Duration>,
    /// It names all that it hears of, and gives nothing away.
    withholds: bool,
    bytes: u64,
}

pub(crate) struct World {
    members: Vec<Member>,
    queue: BTreeMap<(Duration, u64), Event>,
    now: Duration,
    count: u64,
    /// Those before it do not reach those from it on.
    border: Option<Peer>,
    rng: StdRng,
    begun: BTreeMap<Name, Duration>,
    /// How long each transaction took to each node.
    pub(crate) delays: Vec<Duration>,
    /// When each node's chain came to end with this block.
    pub(crate) tips: BTreeMap<BlockId, BTreeMap<Peer, Duration>>,
}

impl World {
    /// So many nodes, of which a part withholds: the last ones.
    pub(crate) fn of(size: usize, withhold: f64, seed: u64) -> Self {
        let honest = size - (size as f64 * withhold) as usize;
        let mut rng = StdRng::seed_from_u64(seed);
        let members = (0..size).map(|at| Member {
            node: Node::new(rng.random()),
            links: BTreeSet::new(),
            sent_at: Duration::ZERO,
            due: None,
            withholds: at >= honest,
            bytes: 0,
        });
        let mut world = Self {
            members: members.collect(),
            queue: BTreeMap::new(),
            now: Duration::ZERO,
            count: 0,
            border: None,
            rng,
            begun: BTreeMap::new(),
            delays: Vec::new(),
            tips: BTreeMap::new(),
        };
        for at in 0..size {
            world.fill(at);
            let wait = REWIRE.mul_f64(world.rng.random());
            world.after(wait, Event::Rewire(at));
            let wait = TICK.mul_f64(world.rng.random());
            world.after(wait, Event::Tick(at));
        }
        world
    }

    pub(crate) fn now(&self) -> Duration {
        self.now
    }

    /// Nodes that do as they should.
    pub(crate) fn honest(&self) -> usize {
        self.members.iter().filter(|it| !it.withholds).count()
    }

    /// Bytes that all have sent.
    pub(crate) fn bytes(&self) -> u64 {
        self.members.iter().map(|it| it.bytes).sum()
    }

    pub(crate) fn tip(&self, at: Peer) -> BlockId {
        self.members[at].node.chain().tip()
    }

    pub(crate) fn height(&self, at: Peer) -> u64 {
        self.members[at].node.chain().height(self.tip(at))
    }

    /// Whether all that was ever written is in this node's chain.
    pub(crate) fn has_written_all(&self, at: Peer) -> bool {
        let chain = self.members[at].node.chain();
        self.begun.keys().all(|name| chain.has_written(*name))
    }

    /// So many transactions of nodes within these bounds, over that time.
    pub(crate) fn write(&mut self, count: usize, by: Range<Peer>, during: Duration) {
        let each = (0..count).map(|_| {
            let mut body = vec![0; BODY.min(MAX_BODY)];
            self.rng.fill(&mut body[..]);
            let wait = during.mul_f64(self.rng.random());
            let at = self.rng.random_range(by.clone());
            (wait, at, Transaction::new(body.into()))
        });
        for (wait, at, transaction) in each.collect::<Vec<_>>() {
            if let Some(transaction) = transaction {
                self.begun.insert(transaction.name(), self.now + wait);
                self.after(wait, Event::Write(at, transaction));
            }
        }
    }

    pub(crate) fn mine(&mut self, at: Peer) -> BlockId {
        let now = self.now;
        self.members[at].node.mine(now);
        self.pump(at);
        self.tip(at)
    }

    pub(crate) fn cut(&mut self, border: Peer) {
        self.border = Some(border);
        for at in 0..border {
            let beyond = self.members[at].links.range(border..);
            for peer in beyond.copied().collect::<Vec<_>>() {
                self.after(SILENCE, Event::Ended(at, peer));
            }
        }
    }

    pub(crate) fn heal(&mut self) {
        self.border = None;
    }

    pub(crate) fn run(&mut self, wait: Duration) {
        let end = self.now + wait;
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

    /// How long it took; all of it if it was never so.
    pub(crate) fn run_until(&mut self, most: Duration, is_so: impl Fn(&Self) -> bool) -> Duration {
        let begun = self.now;
        while self.now < begun + most && !is_so(self) {
            self.run(Duration::from_millis(100));
        }
        self.now - begun
    }

    fn after(&mut self, wait: Duration, event: Event) {
        self.count += 1;
        self.queue.insert((self.now + wait, self.count), event);
    }

    fn happen(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Timeout(at) => {
                if self.members[at].due.is_some_and(|due| due <= now) {
                    self.members[at].due = None;
                    self.members[at].node.timeout(now);
                    self.pump(at);
                }
            }
            Event::Heard { to, from, message } => {
                if self.reaches(from, to) && self.members[to].links.contains(&from) {
                    self.members[to].node.heard(from, message, now);
                    self.pump(to);
                }
            }
            Event::Ended(one, other) => self.part(one, other),
            Event::Rewire(at) => {
                self.rewire(at);
                self.after(REWIRE, Event::Rewire(at));
            }
            Event::Tick(at) => {
                self.fill(at);
                self.after(TICK, Event::Tick(at));
            }
            Event::Write(at, transaction) => {
                self.members[at].node.submit(transaction, now);
                self.pump(at);
            }
        }
    }

    fn reaches(&self, one: Peer, other: Peer) -> bool {
        self.border
            .is_none_or(|border| (one < border) == (other < border))
    }

    /// Links to somebody new, whoever it is.
    fn meet(&mut self, at: Peer) {
        let peer = self.rng.random_range(0..self.members.len());
        if peer == at || !self.reaches(at, peer) || !self.members[at].links.insert(peer) {
            return;
        }
        self.members[peer].links.insert(at);
        let now = self.now;
        self.members[at].node.connected(peer, now);
        self.members[peer].node.connected(at, now);
        self.pump(at);
        self.pump(peer);
        for at in [at, peer] {
            if self.members[at].links.len() > MAX_NEIGHBOURS {
                self.leave_one(at);
            }
        }
    }

    fn rewire(&mut self, at: Peer) {
        if self.members[at].links.len() > NEIGHBOURS {
            self.leave_one(at);
        }
        self.meet(at);
    }

    fn fill(&mut self, at: Peer) {
        for _ in self.members[at].links.len()..NEIGHBOURS {
            self.meet(at);
        }
    }

    fn leave_one(&mut self, at: Peer) {
        let links: Vec<_> = self.members[at].links.iter().copied().collect();
        let peer = links[self.rng.random_range(0..links.len())];
        self.part(at, peer);
    }

    fn part(&mut self, one: Peer, other: Peer) {
        for (at, peer) in [(one, other), (other, one)] {
            if self.members[at].links.remove(&peer) {
                self.members[at].node.disconnected(peer);
            }
        }
    }

    /// Does what a node says.
    fn pump(&mut self, at: Peer) {
        while let Some(output) = self.members[at].node.poll() {
            match output {
                Output::Send(to, message) => self.send(at, to, message),
                Output::Heard(name) => {
                    if let Some(begun) = self.begun.get(&name)
                        && !self.members[at].withholds
                    {
                        self.delays.push(self.now - *begun);
                    }
                }
                Output::Tip(block) => {
                    if !self.members[at].withholds {
                        let times = self.tips.entry(block).or_default();
                        times.insert(at, self.now);
                    }
                }
            }
        }
        let due = self.members[at].node.deadline();
        let member = &mut self.members[at];
        if let Some(due) = due
            && member.due.is_none_or(|known| due < known)
        {
            member.due = Some(due);
            let wait = due.saturating_sub(self.now);
            self.after(wait, Event::Timeout(at));
        }
    }

    /// What waits at a home's uplink goes first.
    fn send(&mut self, from: Peer, to: Peer, message: Message) {
        let member = &mut self.members[from];
        let is_given = match message {
            Message::Have(_) | Message::Want(_) | Message::WantBlock(_) | Message::WantOf(..) => {
                true
            }
            Message::Tip(..) | Message::Bodies(_) | Message::Block(_) | Message::BodiesOf(..) => {
                !member.withholds
            }
        };
        if !is_given {
            return;
        }
        let bytes = message.len();
        member.bytes += bytes as u64;
        let takes = Duration::from_secs_f64(bytes as f64 * 8.0 / UPLINK);
        member.sent_at = member.sent_at.max(self.now) + takes;
        let wait = member.sent_at - self.now + latency(from, to);
        self.after(wait, Event::Heard { to, from, message });
    }
}

/// One way between two: 10 to 90 ms.
fn latency(one: Peer, other: Peer) -> Duration {
    let (low, high) = (one.min(other) as u64, one.max(other) as u64);
    let mixed = (low * 1_000_003 + high).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    Duration::from_millis(10 + mixed % 81)
}

//! Members, the lines between them, and the time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use peerway::{PeerId, SecretKey};

use super::super::{
    super::{
        invite::GroupInvite,
        message::{Item, Message},
        op::{Body, GroupId, OpId, Role},
        post::{EpochKey, Place, Post, PostId},
        signature::Signature,
    },
    sync::batches,
    *,
};

/// When the world begins, milliseconds since the Unix epoch.
const EPOCH_MS: u64 = 1_800_000_000_000;
/// Until a dead line shows.
const SILENCE: Duration = Duration::from_secs(2);

pub(super) fn secret(at: usize) -> SecretKey {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&(at as u64).to_be_bytes());
    SecretKey::from_seed(&seed)
}

struct Node {
    machine: Machine,
    is_alive: bool,
    is_corrupt: bool,
    skew_ms: i64,
    store: BTreeMap<PostId, Post>,
    /// To whom, and which connection it is.
    sessions: BTreeMap<usize, u64>,
    due: Duration,
}

#[derive(Debug)]
enum Happens {
    Timeout(usize),
    Heard {
        to: usize,
        from: usize,
        session: u64,
        message: Box<Message>,
    },
    Linked {
        dialler: usize,
        dialled: usize,
    },
    Unreached {
        dialler: usize,
        dialled: usize,
    },
    Ended {
        at: usize,
        peer: usize,
        session: u64,
    },
}

pub(super) struct World {
    nodes: Vec<Node>,
    places: BTreeMap<PeerId, usize>,
    queue: BTreeMap<(Duration, u64), Happens>,
    now: Duration,
    count: u64,
    /// Those before it do not reach those from it on.
    border: Option<usize>,
    copies: u64,
    bytes: u64,
    group: GroupId,
}

impl World {
    /// Members, of whom the first is the founder and the second an admin.
    pub(super) fn of(size: usize, seed: u8) -> Self {
        let key = EpochKey::from_bytes([seed; 32]);
        let founder = secret(0);
        let sign = |purpose: &str, message: &[u8]| founder.sign(purpose, message);
        let known = ([seed; 16], key.commitment());
        let mut log = Log::found(founder.id(), "world".to_owned(), known, EPOCH_MS, sign).unwrap();
        let epoch = log.state().epoch;
        let mut all = log.clone();
        let mut places = BTreeMap::from([(founder.id(), 0)]);
        let mut ops = Vec::new();
        for at in 1..size {
            let role = if at == 1 { Role::Admin } else { Role::Member };
            let member = secret(at).id();
            places.insert(member, at);
            ops.push(all.write_unfolded(founder.id(), Body::Add { member, role }, EPOCH_MS, sign));
        }
        for (_, taken) in log.insert_all(ops) {
            taken.unwrap();
        }
        let group = log.group();
        let mut world = Self {
            nodes: Vec::new(),
            places,
            queue: BTreeMap::new(),
            now: Duration::ZERO,
            count: 0,
            border: None,
            copies: 0,
            bytes: 0,
            group,
        };
        for at in 0..size {
            let known = Known {
                log: log.clone(),
                cards: Vec::new(),
                keys: vec![(epoch, key.clone())],
                kept: Kept::default(),
            };
            world.begin(at, known, seed);
        }
        world
    }

    fn begin(&mut self, at: usize, known: Known, seed: u8) {
        let key = secret(at);
        let signer: Signer =
            Arc::new(move |purpose: &str, message: &[u8]| key.sign(purpose, message));
        let mut seeds = [seed; 32];
        seeds[..8].copy_from_slice(&(at as u64).to_be_bytes());
        let now = self.now_at(0);
        self.places.insert(secret(at).id(), at);
        self.nodes.push(Node {
            machine: Machine::new(secret(at).id(), signer, known, seeds, now),
            is_alive: true,
            is_corrupt: false,
            skew_ms: 0,
            store: BTreeMap::new(),
            sessions: BTreeMap::new(),
            due: Duration::MAX,
        });
        self.pump(at);
    }

    /// A member that has the log of another and nothing else.
    pub(super) fn begin_from(&mut self, other: usize, at: usize) -> usize {
        let machine = &self.nodes[other].machine;
        let known = Known {
            log: machine.log().clone(),
            cards: machine.cards.values().cloned().collect(),
            keys: Vec::new(),
            kept: Kept::default(),
        };
        self.begin(at, known, 99);
        at
    }

    /// Somebody new shows an invite to a member.
    pub(super) fn join(&mut self, invite: &GroupInvite, to: usize) -> Result<usize, RedeemError> {
        let at = self.nodes.len();
        let member = secret(at).id();
        let proof = invite.prove(member);
        let now = self.now_of(to);
        let node = &mut self.nodes[to];
        let (ops, cards) =
            node.machine
                .redeem(invite.invitation().key().id(), member, proof, now)?;
        self.pump(to);
        let log = log_of(invite.group(), ops);
        let (keys, kept) = (Vec::new(), Kept::default());
        self.begin(
            at,
            Known {
                log,
                cards,
                keys,
                kept,
            },
            98,
        );
        Ok(at)
    }

    /// Somebody shows an invite for a member who may be one already, and is told so many ops.
    pub(super) fn redeem(
        &mut self,
        to: usize,
        invite: PeerId,
        (member, proof): (PeerId, Signature),
    ) -> Result<usize, RedeemError> {
        let now = self.now_of(to);
        let redeemed = self.nodes[to].machine.redeem(invite, member, proof, now);
        self.pump(to);
        redeemed.map(|(ops, _)| ops.len())
    }

    fn now_at(&self, skew_ms: i64) -> Now {
        let unix_ms = EPOCH_MS + 3_600_000 + self.now.as_millis() as u64;
        Now {
            at: self.now,
            unix_ms: unix_ms.saturating_add_signed(skew_ms),
        }
    }

    fn now_of(&self, at: usize) -> Now {
        self.now_at(self.nodes[at].skew_ms)
    }

    fn after(&mut self, wait: Duration, happens: Happens) {
        self.count += 1;
        self.queue.insert((self.now + wait, self.count), happens);
    }

    /// One way between two: 10 to 90 ms.
    fn latency(one: usize, other: usize) -> Duration {
        let (low, high) = (one.min(other) as u64, one.max(other) as u64);
        let mixed = (low * 1_000_003 + high).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        Duration::from_millis(10 + mixed % 80)
    }

    fn reaches(&self, one: usize, other: usize) -> bool {
        let is_cut = self
            .border
            .is_some_and(|border| (one < border) != (other < border));
        !is_cut && self.nodes[one].is_alive && self.nodes[other].is_alive
    }

    /// Does what the member's machine says.
    fn pump(&mut self, at: usize) {
        while let Some(output) = self.nodes[at].machine.poll() {
            match output {
                Output::Dial(peer) => self.dial(at, peer),
                Output::Send(peer, message) => self.send(at, peer, message),
                Output::Serve(peer, ids) => {
                    let store = &self.nodes[at].store;
                    let posts = ids.iter().filter_map(|id| store.get(id).cloned());
                    for batch in batches(posts.map(Item::Post).collect()) {
                        self.send(at, peer, Message::Items(batch));
                    }
                }
                Output::HangUp(peer) => {
                    if let Some(peer) = self.places.get(&peer).copied() {
                        self.end(at, peer);
                    }
                }
                Output::Keep(Record::Post(post)) => {
                    self.nodes[at].store.insert(post.id(), post);
                }
                Output::Keep(_) | Output::Tell(_) => {}
                Output::Forget(ids) => {
                    for (_, id) in ids {
                        self.nodes[at].store.remove(&id);
                    }
                }
            }
        }
        let due = self.nodes[at].machine.deadline();
        if due < self.nodes[at].due || self.nodes[at].due <= self.now {
            self.nodes[at].due = due;
            let wait = due.saturating_sub(self.now).max(Duration::from_millis(1));
            self.after(wait, Happens::Timeout(at));
        }
    }

    fn dial(&mut self, at: usize, peer: PeerId) {
        let Some(dialled) = self.places.get(&peer).copied() else {
            return;
        };
        let way = Self::latency(at, dialled);
        if dialled < self.nodes.len() && self.reaches(at, dialled) {
            self.after(
                way * 3,
                Happens::Linked {
                    dialler: at,
                    dialled,
                },
            );
        } else {
            self.after(
                SILENCE,
                Happens::Unreached {
                    dialler: at,
                    dialled,
                },
            );
        }
    }

    fn send(&mut self, from: usize, peer: PeerId, message: Message) {
        let Some(to) = self.places.get(&peer).copied() else {
            return;
        };
        let Some(session) = self.nodes[from].sessions.get(&to).copied() else {
            return;
        };
        let silent = self.nodes[from].is_corrupt && !matches!(message, Message::Hello { .. });
        if silent || !self.reaches(from, to) {
            return;
        }
        if matches!(&message, Message::New(item) if matches!(**item, Item::Post(_))) {
            self.copies += 1;
        }
        self.bytes += postcard::to_allocvec(&message).unwrap().len() as u64;
        let message = Box::new(message);
        let heard = Happens::Heard {
            to,
            from,
            session,
            message,
        };
        self.after(Self::latency(from, to), heard);
    }

    fn end(&mut self, at: usize, peer: usize) {
        if let Some(session) = self.nodes[at].sessions.remove(&peer) {
            let ended = Happens::Ended {
                at: peer,
                peer: at,
                session,
            };
            self.after(Self::latency(at, peer), ended);
        }
    }

    fn happen(&mut self, happens: Happens) {
        match happens {
            Happens::Timeout(at) => {
                if self.nodes[at].is_alive && self.nodes[at].due <= self.now {
                    let now = self.now_of(at);
                    self.nodes[at].machine.timeout(now);
                    if self.nodes[at].is_corrupt {
                        self.lie(at);
                    }
                    self.pump(at);
                }
            }
            Happens::Heard {
                to,
                from,
                session,
                message,
            } => {
                let is_on = self.nodes[to].sessions.get(&from) == Some(&session);
                if is_on && self.reaches(from, to) {
                    let now = self.now_of(to);
                    self.nodes[to]
                        .machine
                        .heard(secret(from).id(), *message, now);
                    self.pump(to);
                }
            }
            Happens::Linked { dialler, dialled } => self.link(dialler, dialled),
            Happens::Unreached { dialler, dialled } => {
                if self.nodes[dialler].is_alive {
                    let now = self.now_of(dialler);
                    let id = self.id(dialled);
                    self.nodes[dialler].machine.unreached(id, now);
                    self.pump(dialler);
                }
            }
            Happens::Ended { at, peer, session } => {
                if self.nodes[at].sessions.get(&peer) == Some(&session) {
                    self.nodes[at].sessions.remove(&peer);
                    let now = self.now_of(at);
                    let id = self.id(peer);
                    self.nodes[at].machine.disconnected(id, now);
                    self.pump(at);
                }
            }
        }
    }

    fn id(&self, at: usize) -> PeerId {
        secret(at).id()
    }

    fn link(&mut self, dialler: usize, dialled: usize) {
        if !self.reaches(dialler, dialled) {
            return self.happen(Happens::Unreached { dialler, dialled });
        }
        self.count += 1;
        let session = self.count;
        for (at, peer) in [(dialler, dialled), (dialled, dialler)] {
            let id = self.id(peer);
            let now = self.now_of(at);
            if self.nodes[at].sessions.insert(peer, session).is_some() {
                self.nodes[at].machine.disconnected(id, now);
            }
            self.nodes[at].machine.connected(id, at == dialler, now);
        }
        self.pump(dialler);
        self.pump(dialled);
    }

    pub(super) fn run(&mut self, wait: Duration) {
        let end = self.now + wait;
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > end {
                break;
            }
            self.now = entry.key().0;
            let happens = entry.remove();
            self.happen(happens);
        }
        self.now = end;
    }

    /// How long it took; all of it if it was never so.
    pub(super) fn run_until(&mut self, most: Duration, so: impl Fn(&Self) -> bool) -> Duration {
        let begun = self.now;
        while self.now < begun + most && !so(self) {
            self.run(Duration::from_millis(500));
        }
        self.now - begun
    }

    /// Bytes that each sends a second while nobody does anything.
    pub(super) fn idle_rate(&mut self, time: Duration) -> f64 {
        let before = self.bytes;
        self.run(time);
        (self.bytes - before) as f64 / time.as_secs_f64() / self.nodes.len() as f64
    }

    pub(super) fn try_post(&mut self, at: usize, text: &str) -> Result<PostId, PostError> {
        let now = self.now_of(at);
        let posted = self.nodes[at].machine.post(text, now);
        self.pump(at);
        posted
    }

    pub(super) fn post(&mut self, at: usize, text: &str) -> PostId {
        self.try_post(at, text).unwrap()
    }

    pub(super) fn reply(&mut self, at: usize, text: &str, to: PostId) -> Result<PostId, PostError> {
        let now = self.now_of(at);
        let posted = self.nodes[at].machine.reply(text, to, now);
        self.pump(at);
        posted
    }

    /// To what a post is an answer, as far as somebody knows.
    pub(super) fn parent(&self, at: usize, post: PostId) -> Option<PostId> {
        let node = &self.nodes[at];
        node.machine
            .reply_to(node.store.get(&post)?)
            .map(|(id, _)| id)
    }

    pub(super) fn be_directory(&mut self, at: usize) {
        let now = self.now_of(at);
        self.nodes[at].machine.be_directory(now.unix_ms, now);
        self.pump(at);
    }

    /// It has nothing to do with these from now on.
    pub(super) fn shun(&mut self, at: usize, peers: &[usize]) {
        let now = self.now_of(at);
        let peers = peers.iter().map(|peer| self.id(*peer)).collect();
        self.nodes[at].machine.shun(&peers, now);
        self.pump(at);
    }

    pub(super) fn unix_ms(&self, at: usize) -> u64 {
        self.now_of(at).unix_ms
    }

    pub(super) fn write(&mut self, at: usize, body: Body) {
        let now = self.now_of(at);
        self.nodes[at].machine.write(body, now).unwrap();
        self.pump(at);
    }

    pub(super) fn remove(&mut self, at: usize, member: usize) {
        let now = self.now_of(at);
        let id = self.id(member);
        self.nodes[at].machine.remove(id, now).unwrap();
        self.pump(at);
    }

    /// Says something that its machine does not.
    pub(super) fn say(&mut self, from: usize, to: usize, message: Message) {
        self.send(from, secret(to).id(), message);
    }

    /// A post of a member's that is from the future.
    pub(super) fn forge(&mut self, at: usize, ahead_ms: u64, text: &str) -> Post {
        let machine = &self.nodes[at].machine;
        let epoch = machine.log().state().epoch;
        let key = secret(at);
        let place = Place {
            group: self.group,
            epoch,
            author: key.id(),
            seq: 1,
            sent_ms: self.now_of(at).unix_ms + ahead_ms,
            salt: [0; 16],
            reply_to: None,
        };
        let sealed = &machine.keys[&epoch];
        Post::seal(place, sealed, text, |purpose, message| {
            key.sign(purpose, message)
        })
        .unwrap()
    }

    /// From now on it says nothing true: it hands on nothing, answers nothing, and forges posts of others.
    pub(super) fn corrupt(&mut self, at: usize) {
        self.nodes[at].is_corrupt = true;
    }

    fn lie(&mut self, at: usize) {
        let forged = Post::seal(
            Place {
                group: self.group,
                epoch: self.nodes[at].machine.log().state().epoch,
                author: secret(0).id(),
                seq: self.count,
                sent_ms: self.now_of(at).unix_ms,
                salt: [1; 16],
                reply_to: None,
            },
            &EpochKey::from_bytes([9; 32]),
            "forged",
            |purpose, message| secret(at).sign(purpose, message),
        );
        let message = Message::New(Box::new(Item::Post(forged.unwrap())));
        let peers: BTreeSet<_> = self.nodes[at].sessions.keys().copied().collect();
        for to in peers {
            let session = self.nodes[at].sessions[&to];
            let message = Box::new(message.clone());
            let heard = Happens::Heard {
                to,
                from: at,
                session,
                message,
            };
            self.after(Self::latency(at, to), heard);
        }
    }

    pub(super) fn kill(&mut self, at: usize) {
        self.nodes[at].is_alive = false;
        let peers: Vec<_> = self.nodes[at]
            .sessions
            .iter()
            .map(|(peer, it)| (*peer, *it))
            .collect();
        self.nodes[at].sessions.clear();
        for (peer, session) in peers {
            self.after(
                SILENCE,
                Happens::Ended {
                    at: peer,
                    peer: at,
                    session,
                },
            );
        }
    }

    /// It was away, and has what it had.
    pub(super) fn revive(&mut self, at: usize) {
        self.nodes[at].is_alive = true;
        self.nodes[at].due = Duration::MAX;
        let now = self.now_of(at);
        for peer in self.nodes[at].machine.linked().collect::<Vec<_>>() {
            self.nodes[at].machine.disconnected(peer, now);
        }
        self.nodes[at].machine.moved(now);
        self.pump(at);
    }

    pub(super) fn cut(&mut self, border: usize) {
        self.border = Some(border);
        let mut broken = Vec::new();
        for (at, node) in self.nodes.iter().enumerate() {
            for (peer, session) in &node.sessions {
                if (at < border) != (*peer < border) {
                    broken.push((at, *peer, *session));
                }
            }
        }
        for (at, peer, session) in broken {
            self.after(SILENCE, Happens::Ended { at, peer, session });
        }
    }

    pub(super) fn heal(&mut self) {
        self.border = None;
    }

    pub(super) fn skew(&mut self, at: usize, skew_ms: i64) {
        self.nodes[at].skew_ms = skew_ms;
    }

    pub(super) fn alive(&self) -> impl Iterator<Item = usize> {
        (0..self.nodes.len()).filter(|at| self.nodes[*at].is_alive)
    }

    pub(super) fn has(&self, at: usize, post: PostId) -> bool {
        self.nodes[at].store.contains_key(&post)
    }

    pub(super) fn text(&self, at: usize, post: PostId) -> Option<String> {
        let node = &self.nodes[at];
        node.machine.read(node.store.get(&post)?)
    }

    pub(super) fn node(&self, at: usize) -> &Machine {
        &self.nodes[at].machine
    }

    pub(super) fn epoch(&self, at: usize) -> OpId {
        self.nodes[at].machine.log().state().epoch
    }

    pub(super) fn group(&self) -> GroupId {
        self.group
    }

    /// That all have sent.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn now(&self) -> Duration {
        self.now
    }

    pub(super) fn copies(&self) -> u64 {
        self.copies
    }

    pub(super) fn all_agree_but(&self, others: &[usize]) -> bool {
        let states = self.nodes.iter().enumerate();
        let states = states.filter(|(at, _)| !others.contains(at));
        let states: Vec<_> = states.map(|(_, node)| node.machine.log().state()).collect();
        states.windows(2).all(|two| two[0] == two[1])
    }
}

fn log_of(group: GroupId, ops: Vec<Op>) -> Log {
    let mut ops = ops.into_iter();
    let mut log = Log::begun_by(group, ops.next().unwrap()).unwrap();
    for (_, taken) in log.insert_all(ops) {
        taken.unwrap();
    }
    log
}

//! One group as one of its members lives in it: whom it is linked to, what it hands on, what it lacks. Pure: what happens and the time
//! go in, what is to be done comes out.
//!
//! All members know all members, so neighbours are chosen from the whole group, and anew now and then: no part of it stays apart from the
//! rest for longer than that takes, whatever happened. What is new is pushed along a tree and announced beside it (`spread`), what
//! was missed is found by comparing what two have (`sync`).

mod directories;
mod joining;
mod neighbours;
mod spread;
mod sync;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    sync::Arc,
    time::Duration,
};

use peerway::{PeerId, Ticket};
use rand::{Rng, SeedableRng, rngs::StdRng};
use thiserror::Error;

pub(crate) use self::sync::batches;
pub use self::{directories::Advertised, joining::RedeemError};
use self::{
    directories::Directories,
    neighbours::{Dials, Link},
    spread::{Missing, Origin, Recent},
};
use super::{
    card::Card,
    kept::{Kept, floor_ms},
    log::{Log, OpError},
    message::{Bye, Digest, Holdings, Item, Message, Short},
    op::{Body, Commitment, GroupId, Op, OpId, Role},
    post::{EpochKey, Place, Post, PostId, PostLengthError},
};
use crate::bucket::Bucket;

/// How often is looked whether something is to be done that no event brings about.
const TICK: Duration = Duration::from_secs(5);
/// A post, or a card, may be from the future by so much: clocks differ.
const MAX_AHEAD_MS: u64 = 120_000;
/// What the neighbours' clocks set one's own ahead by at least: with less they may be as right.
const LEAST_AHEAD_MS: i64 = 2_000;
/// What they set it back by at least. A clock seems behind by as long as it took until it was heard of, which on a busy computer is
/// seconds; and whoever dates back what it writes after a removal has it count as older.
const LEAST_BACK_MS: i64 = 15_000;
/// What they correct it by at most.
const MOST_MS: i64 = 3_600_000;
/// Posts of one author that are handed on: a second, and at once.
const AUTHOR_RATE: (f64, f64) = (10.0, 100.0);
/// Keys of epochs that one member is asked for at once.
const MAX_KEYS: usize = 64;

/// The time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by every caller")]
pub struct Now {
    /// By a clock that never turns back, from any beginning.
    pub at: Duration,
    /// Milliseconds since the Unix epoch, as the computer has it.
    pub unix_ms: u64,
}

/// Signs for a purpose, as [`SecretKey::sign`](peerway::SecretKey::sign).
pub type Signer = Arc<dyn Fn(&str, &[u8]) -> [u8; 64] + Send + Sync>;

/// What is known of a group when it is begun with.
#[expect(clippy::exhaustive_structs, reason = "made by every caller")]
pub struct Known {
    /// Its log.
    pub log: Log,
    /// Where members are met.
    pub cards: Vec<Card>,
    /// Of its epochs.
    pub keys: Vec<(OpId, EpochKey)>,
    /// Of the posts that the store has.
    pub kept: Kept,
}

impl Known {
    /// A log, cards and keys, and no posts.
    #[must_use]
    pub fn of(log: Log, cards: Vec<Card>, keys: Vec<(OpId, EpochKey)>) -> Self {
        Self {
            log,
            cards,
            keys,
            kept: Kept::default(),
        }
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Link to this member: [`Machine::connected`] or [`Machine::unreached`] follows.
    Dial(PeerId),
    /// Say this to it.
    Send(PeerId, Message),
    /// Send it these posts from the store, as [`Message::Items`].
    Serve(PeerId, Vec<PostId>),
    /// The link to it ends, once it has what was said before.
    HangUp(PeerId),
    /// Keep this.
    Keep(Record),
    /// Keep these posts no more.
    Forget(Vec<(u64, PostId)>),
    /// Tell who is interested.
    Tell(Event),
}

/// What outlives a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Record {
    /// An op of the log.
    Op(Op),
    /// Where a member is met.
    Card(Card),
    /// An epoch's key.
    Key(OpId, EpochKey),
    /// A post.
    Post(Post),
}

/// What happened in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Something was posted; it may be old, and found only now.
    Posted(Box<Post>),
    /// The log says something new.
    Changed,
    /// This node is no member any more.
    Removed,
    /// The key that some posts are sealed by has come.
    Unsealed,
}

/// An op of this node's own that is not written yet, and the key of the epoch that it begins, if it begins one.
#[derive(Clone, Debug)]
pub struct OwnOp {
    op: Op,
    key: Option<EpochKey>,
}

impl OwnOp {
    /// What is to be kept of it.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let id = self.op.id();
        let key = self.key.iter().map(|key| Record::Key(id, key.clone()));
        std::iter::once(Record::Op(self.op.clone()))
            .chain(key)
            .collect()
    }
}

/// Why nothing was posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PostError {
    /// It reads alone.
    #[error("this node may not post here: ask an admin for the role of a member")]
    Role,
    /// It was removed.
    #[error(
        "this node is no member of the group any more: what it posts nobody takes. An admin can add it again and invite it, or `peerway group leave` drops what is kept here"
    )]
    NoMember,
    /// The key has not come yet.
    #[error(
        "the group's key has not reached this node yet: it comes from the first member that it is linked to; try again then"
    )]
    NoKey,
    /// What it answers.
    #[error(
        "no post of that id is kept here: `peerway group read` shows the ids of those that are"
    )]
    NoParent,
    /// More than others would hand on.
    #[error("others hand on no more than 10 posts a second of one member; wait a moment")]
    TooFast,
    /// Too long, or empty.
    #[error(transparent)]
    Length(#[from] PostLengthError),
}

/// One group, as a member lives in it: what happened and the time go in, what is to be done comes out.
pub struct Machine {
    me: PeerId,
    sign: Signer,
    log: Log,
    op_digest: Digest,
    cards: BTreeMap<PeerId, Card>,
    keys: BTreeMap<OpId, EpochKey>,
    kept: Kept,
    links: BTreeMap<PeerId, Link>,
    dials: Dials,
    recent: Recent,
    missing: BTreeMap<Short, Missing>,
    authors: BTreeMap<PeerId, Bucket>,
    directories: Directories,
    /// Members that say that this node was removed.
    refused: BTreeSet<PeerId>,
    rng: StdRng,
    tick_at: Duration,
    rewire_at: Duration,
    announce_at: Option<Duration>,
    /// When an epoch is to be begun, if nobody else does before.
    rotate_at: Option<Duration>,
    out: VecDeque<Output>,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Machine").field(&self.log.group()).finish()
    }
}

impl Machine {
    /// A member's, with a seed for its random choices, its secrets among them.
    #[must_use]
    pub fn new(me: PeerId, sign: Signer, known: Known, seed: [u8; 32], now: Now) -> Self {
        let mut op_digest = Digest::default();
        for (id, _) in known.log.ops() {
            op_digest.add(&id.0);
        }
        let mut machine = Self {
            me,
            sign,
            log: known.log,
            op_digest,
            cards: known
                .cards
                .into_iter()
                .map(|card| (card.author(), card))
                .collect(),
            keys: known.keys.into_iter().collect(),
            kept: known.kept,
            links: BTreeMap::new(),
            dials: Dials::default(),
            recent: Recent::default(),
            missing: BTreeMap::new(),
            authors: BTreeMap::new(),
            directories: Directories::default(),
            refused: BTreeSet::new(),
            rng: StdRng::from_seed(seed),
            tick_at: now.at,
            rewire_at: now.at,
            announce_at: None,
            rotate_at: None,
            out: VecDeque::new(),
        };
        machine.plan_rewiring(now.at);
        machine.plan_rotation(now.at);
        machine.drop_late_posts();
        machine
    }

    /// The group.
    #[must_use]
    pub fn group(&self) -> GroupId {
        self.log.group()
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Where a member is met; its id alone if nothing is known.
    #[must_use]
    pub fn ticket(&self, peer: PeerId) -> Ticket {
        self.cards
            .get(&peer)
            .map_or_else(|| Ticket::from(peer), Card::ticket)
    }

    /// Members that it is linked to.
    pub fn linked(&self) -> impl Iterator<Item = PeerId> {
        let admitted = self.links.iter().filter(|(_, link)| link.admitted);
        admitted.map(|(peer, _)| *peer)
    }

    /// Members that say that this node was removed, though its log knows nothing of that.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.refused.len()
    }

    /// Posts that are kept.
    #[must_use]
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    /// What a post says; none without its epoch's key.
    #[must_use]
    pub fn read(&self, post: &Post) -> Option<String> {
        post.open(self.keys.get(&post.epoch())?)
    }

    /// Whether what is posted now can be read here.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.keys.contains_key(&self.log.state().epoch)
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When [`timeout`](Self::timeout) is to be called.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        let missing = self.missing.values().map(|missing| missing.at);
        let others = missing.chain(self.announce_at).chain(self.rotate_at);
        let others = others.chain(self.directories.deadline());
        others.fold(self.tick_at.min(self.rewire_at), Duration::min)
    }

    /// The time has come.
    pub fn timeout(&mut self, now: Now) {
        if self.announce_at.is_some_and(|at| at <= now.at) {
            self.announce();
        }
        self.ask_for_missing(now);
        self.advertise(now);
        if let Some(own) = self.draft_rotation(now) {
            // A log that is full by now goes on with the epoch that there is.
            let _ = self.publish_op(own, now);
        }
        if self.rewire_at <= now.at {
            self.plan_rewiring(now.at);
            self.rewire(now);
        }
        if self.tick_at <= now.at {
            self.tick_at = now.at + TICK;
            self.look_at_links(now);
            self.look_at_directories(now);
            self.ask_for_keys();
            let gone = self.kept.tidy(now.unix_ms);
            if !gone.is_empty() {
                self.out.push_back(Output::Forget(gone));
            }
            self.authors.retain(|_, bucket| bucket.is_in_use(now.at));
            self.fill(now);
        }
    }

    /// Writes to the log.
    ///
    /// # Errors
    /// See [`OpError`].
    pub fn write(&mut self, body: Body, now: Now) -> Result<(), OpError> {
        let own = self.draft_op(body, now)?;
        self.publish_op(own, now)
    }

    /// What would be written, which nobody hears of until it is [published](Self::publish_op): whoever has to can keep it before.
    ///
    /// # Errors
    /// See [`OpError`].
    pub fn draft_op(&self, body: Body, now: Now) -> Result<OwnOp, OpError> {
        let at_ms = self.group_ms(now);
        let op = self.log.draft(self.me, body, at_ms, |purpose, message| {
            (self.sign)(purpose, message)
        });
        self.log.check(&op)?;
        Ok(OwnOp { op, key: None })
    }

    /// Writes what was drafted.
    ///
    /// # Errors
    /// See [`OpError`]: what came meanwhile may have filled the log.
    pub fn publish_op(&mut self, own: OwnOp, now: Now) -> Result<(), OpError> {
        let OwnOp { op, key } = own;
        self.log.insert(op.clone())?;
        let id = op.id();
        self.took_op(op, Origin::Here, now);
        if let Some(key) = key {
            self.take_keys(vec![(id, key)], None);
        }
        Ok(())
    }

    /// Ends this node's own membership. Neighbours are told.
    pub fn leave(&mut self, now: Now) {
        if self.log.state().role(self.me).is_some() {
            // A full log keeps the name of who has left.
            let _ = self.write(Body::Leave, now);
        }
        for peer in self.links.keys().copied().collect::<Vec<_>>() {
            self.hang_up(peer, Bye::Leaving);
        }
    }

    /// Ends a membership and begins an epoch that the member gets no key of.
    ///
    /// # Errors
    /// See [`OpError`].
    pub fn remove(&mut self, member: PeerId, now: Now) -> Result<(), OpError> {
        let own = self.draft_removal(member, now)?;
        self.publish_op(own, now)
    }

    /// The same without writing it; see [`draft_op`](Self::draft_op).
    ///
    /// # Errors
    /// See [`OpError`].
    pub fn draft_removal(&mut self, member: PeerId, now: Now) -> Result<OwnOp, OpError> {
        self.draft_epoch(|key| Body::Remove { member, key }, now)
    }

    /// Begins an epoch of a new key.
    fn draft_epoch(
        &mut self,
        body: impl FnOnce(Commitment) -> Body,
        now: Now,
    ) -> Result<OwnOp, OpError> {
        let secret = EpochKey::from_bytes(self.rng.random());
        let own = self.draft_op(body(secret.commitment()), now)?;
        let key = Some(secret);
        Ok(OwnOp { key, ..own })
    }

    /// Whoever is first does it for all.
    fn plan_rotation(&mut self, now: Duration) {
        if self.log.state().needs_rotation && self.rotate_at.is_none() {
            let wait = self.rng.random_range(1_000..10_000);
            self.rotate_at = Some(now + Duration::from_millis(wait));
        }
    }

    /// Whether an epoch is to be begun.
    #[must_use]
    pub fn is_rotation_due(&self, now: Now) -> bool {
        self.rotate_at.is_some_and(|at| at <= now.at)
    }

    /// The epoch that is due, if it is this node that begins it: [`timeout`](Self::timeout) would. Whoever has to keep it before anybody
    /// hears of it asks for it before that, and [publishes](Self::publish_op) it, or has it [once more](Self::put_off_rotation).
    pub fn draft_rotation(&mut self, now: Now) -> Option<OwnOp> {
        if !self.is_rotation_due(now) {
            return None;
        }
        self.rotate_at = None;
        let state = self.log.state();
        let is_mine = state.needs_rotation && state.role(self.me) >= Some(Role::Admin);
        // A full log goes on with the epoch that there is.
        let draft = || self.draft_epoch(|key| Body::Rotate { key }, now).ok();
        is_mine.then(draft).flatten()
    }

    /// What was drafted is not written: it is due again after a while.
    pub fn put_off_rotation(&mut self, now: Now) {
        self.plan_rotation(now.at);
    }

    /// To what a post is an answer, and who wrote that; none if it is none, or what it answers is not kept here, or its key is not.
    #[must_use]
    pub fn reply_to(&self, post: &Post) -> Option<(PostId, PeerId)> {
        let key = self.keys.get(&post.epoch())?;
        self.kept.beginning(&post.answers(key))
    }

    /// Posts a text.
    ///
    /// # Errors
    /// See [`PostError`].
    pub fn post(&mut self, text: &str, now: Now) -> Result<PostId, PostError> {
        self.write_post(text, None, now)
    }

    /// Posts a text as the answer to a post that is kept here, which it comes after whatever the clocks say.
    ///
    /// # Errors
    /// See [`PostError`].
    pub fn reply(&mut self, text: &str, to: PostId, now: Now) -> Result<PostId, PostError> {
        self.write_post(text, Some(to), now)
    }

    fn write_post(
        &mut self,
        text: &str,
        parent: Option<PostId>,
        now: Now,
    ) -> Result<PostId, PostError> {
        let post = self.draft(text, parent, now)?;
        let id = post.id();
        self.publish(post, now);
        Ok(id)
    }

    /// A post, or the answer to one that is kept here, that nobody hears of until it is [published](Self::publish): whoever has to can
    /// keep it before. Only one is drafted at a time.
    ///
    /// # Errors
    /// See [`PostError`].
    pub fn draft(
        &mut self,
        text: &str,
        parent: Option<PostId>,
        now: Now,
    ) -> Result<Post, PostError> {
        let after_ms = match parent {
            Some(to) => self
                .kept
                .sent_ms(to)
                .ok_or(PostError::NoParent)?
                .saturating_add(1),
            None => 0,
        };
        let state = self.log.state();
        match state.role(self.me) {
            None => return Err(PostError::NoMember),
            Some(Role::Reader) => return Err(PostError::Role),
            Some(Role::Member | Role::Admin | Role::Founder) => {}
        }
        let key = self.keys.get(&state.epoch).ok_or(PostError::NoKey)?;
        let place = Place {
            group: self.log.group(),
            epoch: state.epoch,
            author: self.me,
            seq: self.kept.next_seq(self.me),
            sent_ms: self.group_ms(now).max(after_ms),
            salt: self.rng.random(),
            reply_to: parent,
        };
        let post = Post::seal(place, key, text, |purpose, message| {
            (self.sign)(purpose, message)
        })?;
        if !self.may_speak(self.me, now.at) {
            return Err(PostError::TooFast);
        }
        Ok(post)
    }

    /// Posts what was drafted.
    pub fn publish(&mut self, post: Post, now: Now) {
        self.took_post(post, Origin::Here, now);
    }

    /// This node is met there from now on.
    pub fn met_at(&mut self, ticket: &Ticket, now: Now) {
        let is_known = self
            .cards
            .get(&self.me)
            .is_some_and(|card| card.ticket() == *ticket);
        if ticket.id() != self.me || is_known || self.log.state().role(self.me).is_none() {
            return;
        }
        let before = self.cards.get(&self.me).map_or(0, Card::at_ms);
        let at_ms = self.group_ms(now).max(before.saturating_add(1));
        let sign = Arc::clone(&self.sign);
        let card = Card::sign(self.log.group(), ticket, at_ms, |purpose, message| {
            sign(purpose, message)
        });
        self.took_card(card, Origin::Here, now);
    }

    /// The time as the neighbours see it: with the median of their clocks and one's own, the later of two, so that one wrong clock
    /// silences nobody.
    fn group_ms(&self, now: Now) -> u64 {
        let mut offsets: Vec<i64> = self
            .links
            .values()
            .filter_map(|link| link.offset_ms)
            .collect();
        offsets.push(0);
        offsets.sort_unstable();
        let median = offsets.get(offsets.len() / 2).copied().unwrap_or(0);
        if (-LEAST_BACK_MS + 1..LEAST_AHEAD_MS).contains(&median) {
            return now.unix_ms;
        }
        now.unix_ms
            .saturating_add_signed(median.clamp(-MOST_MS, MOST_MS))
    }

    fn may_speak(&mut self, author: PeerId, now: Duration) -> bool {
        let (rate, burst) = AUTHOR_RATE;
        let bucket = self.authors.entry(author);
        bucket
            .or_insert_with(|| Bucket::new(rate, burst, now))
            .take(now)
    }

    fn holds(&self, now: Now) -> Holdings {
        let mut cards = Digest::default();
        for card in self.cards.values() {
            cards.add(&card.hash());
        }
        Holdings {
            ops: self.op_digest,
            cards,
            posts: self.kept.digest(floor_ms(now.unix_ms)),
        }
    }

    /// An op is in the log that was not.
    fn took_op(&mut self, op: Op, from: Origin, now: Now) {
        self.op_digest.add(&op.id().0);
        self.out.push_back(Output::Keep(Record::Op(op.clone())));
        self.spread(Item::Op(op), from, now);
        self.out.push_back(Output::Tell(Event::Changed));
        if self.log.state().role(self.me).is_none() {
            self.out.push_back(Output::Tell(Event::Removed));
        }
        let state = Arc::clone(self.log.shared_state());
        let members = &state.members;
        let gone = self
            .links
            .iter()
            .filter(|(peer, link)| link.admitted && !members.contains_key(peer));
        for peer in gone.map(|(peer, _)| *peer).collect::<Vec<_>>() {
            self.dismiss(peer);
        }
        self.drop_late_posts();
        self.cards.retain(|peer, _| members.contains_key(peer));
        self.look_at_directories(now);
        self.plan_rotation(now.at);
        if let Some(peer) = from.peer()
            && self.links.contains_key(&peer)
            && !self.keys.contains_key(&self.log.state().epoch)
        {
            self.send(peer, Message::WantKeys(vec![self.log.state().epoch]));
        }
    }

    /// What somebody wrote after it was removed is kept by nobody who knows of that, also where it came before that was known.
    fn drop_late_posts(&mut self) {
        let state = Arc::clone(self.log.shared_state());
        let gone = self.kept.drop_later(|author| state.may_post_before(author));
        if gone.is_empty() {
            return;
        }
        for (_, post) in &gone {
            self.recent.remove(Short::of(&post.0));
        }
        self.out.push_back(Output::Forget(gone));
    }

    fn took_card(&mut self, card: Card, from: Origin, now: Now) {
        self.cards.insert(card.author(), card.clone());
        self.out.push_back(Output::Keep(Record::Card(card.clone())));
        self.spread(Item::Card(card), from, now);
    }

    fn took_post(&mut self, post: Post, from: Origin, now: Now) {
        self.kept.note(&post);
        self.out.push_back(Output::Keep(Record::Post(post.clone())));
        self.spread(Item::Post(post.clone()), from, now);
        self.out
            .push_back(Output::Tell(Event::Posted(Box::new(post))));
    }

    /// Keys that somebody gave: those that the log knows of, and that are right.
    fn take_keys(&mut self, keys: Vec<(OpId, EpochKey)>, from: Option<PeerId>) {
        let mut new = Vec::new();
        for (epoch, key) in keys.into_iter().take(MAX_KEYS) {
            let known = self.log.state().epochs.get(&epoch);
            if known == Some(&key.commitment()) && !self.keys.contains_key(&epoch) {
                self.keys.insert(epoch, key.clone());
                self.out
                    .push_back(Output::Keep(Record::Key(epoch, key.clone())));
                new.push((epoch, key));
            }
        }
        if new.is_empty() {
            return;
        }
        self.out.push_back(Output::Tell(Event::Unsealed));
        // Who is linked is a member as far as this log knows, which knows whatever the epoch was begun for.
        let others: Vec<_> = self.linked().filter(|peer| Some(*peer) != from).collect();
        for peer in others {
            self.send(peer, Message::Keys(new.clone()));
        }
    }

    fn give_keys(&mut self, peer: PeerId, wanted: &[OpId]) {
        let known = wanted.iter().take(MAX_KEYS);
        let known = known.filter_map(|epoch| Some((*epoch, self.keys.get(epoch)?.clone())));
        let keys: Vec<_> = known.collect();
        if !keys.is_empty() {
            self.send(peer, Message::Keys(keys));
        }
    }

    /// Asks one neighbour for keys that are lacking.
    fn ask_for_keys(&mut self) {
        let epochs = self.log.state().epochs.keys();
        let lacking = epochs.filter(|epoch| !self.keys.contains_key(epoch));
        let lacking: Vec<_> = lacking.copied().take(MAX_KEYS).collect();
        let linked: Vec<_> = self.linked().collect();
        if !lacking.is_empty() && !linked.is_empty() {
            let peer = linked[self.rng.random_range(0..linked.len())];
            self.send(peer, Message::WantKeys(lacking));
        }
    }

    fn send(&mut self, peer: PeerId, message: Message) {
        self.out.push_back(Output::Send(peer, message));
    }
}

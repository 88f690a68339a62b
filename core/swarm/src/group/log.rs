//! The membership log: signed [`Op`]s that name what their authors knew, in whatever order they arrive.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use peerway::PeerId;
use thiserror::Error;

use super::{
    fold::{self, State},
    op::{Body, Commitment, Content, GroupId, MAX_PARENTS, Op, OpId, Role},
};

/// Ops of a group. What each knew takes a bit per op, 32 MiB at most.
pub const MAX_OPS: usize = 16_384;
/// Ops of one member who is no admin: it leaves, or lets in who was invited.
pub const MAX_OPS_OF_ONE: usize = 256;
/// Ops that whoever was removed is told beside the one that says so.
const DISMISSAL: usize = 16;

/// What a log says of an op that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Inserted {
    /// It was not known, and is now.
    New,
    /// It was.
    Known,
}

/// Why an op is no part of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpError {
    /// What it builds on has not come yet.
    #[error("the op builds on others that are not known here yet")]
    Unfounded,
    /// Forged, damaged, too long, or of another group.
    #[error("no op of this group: its signature, its length or its place is wrong")]
    Unsound,
    /// Its author was never let do that, or the invite shown was never made, as far as the op itself knew.
    #[error("the op's author has no right to it")]
    NoRight,
    /// There are enough.
    #[error(
        "the log takes no more than {MAX_OPS} ops, and of one who is no admin {MAX_OPS_OF_ONE}"
    )]
    Full,
}

/// Members and their roles, as the entries that came say.
#[derive(Clone, Debug)]
pub struct Log {
    group: GroupId,
    /// In the order of arrival, which is no other's.
    pub(super) entries: Vec<Arc<Entry>>,
    by_id: BTreeMap<OpId, usize>,
    heads: BTreeSet<usize>,
    /// By whom ops may be authored: where somebody was given a role.
    granted: BTreeMap<PeerId, Vec<(usize, Role)>>,
    /// As what invites let in, by their keys, and where that is said.
    issued: BTreeMap<PeerId, Vec<(usize, Role)>>,
    counts: BTreeMap<PeerId, usize>,
    state: Arc<State>,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: OpId,
    pub(super) op: Op,
    /// All that its author knew, by the order of arrival.
    pub(super) past: Past,
}

/// A set of ops, a bit for each.
#[derive(Clone, Debug, Default)]
pub(super) struct Past(Vec<u64>);

impl Past {
    pub(super) fn has(&self, index: usize) -> bool {
        let word = self.0.get(index / 64).copied().unwrap_or(0);
        word >> (index % 64) & 1 == 1
    }

    fn add(&mut self, index: usize) {
        let word = index / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(word) = self.0.get_mut(word) {
            *word |= 1 << (index % 64);
        }
    }

    fn add_all(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (word, more) in self.0.iter_mut().zip(&other.0) {
            *word |= more;
        }
    }
}

impl Log {
    /// A new group: `founder` signs the op that founds it.
    ///
    /// # Errors
    /// [`OpError::Unsound`] if the name is none.
    pub fn found(
        founder: PeerId,
        name: String,
        (nonce, key): ([u8; 16], Commitment),
        at_ms: u64,
        sign: impl Fn(&str, &[u8]) -> [u8; 64],
    ) -> Result<Self, OpError> {
        let content = Content {
            group: None,
            author: founder,
            lamport: 1,
            at_ms,
            parents: Vec::new(),
            body: Body::Found { name, nonce, key },
        };
        let op = Op::sign(content, sign);
        Self::begun_by(GroupId(op.id().0), op)
    }

    /// The log of a group that this op founded.
    ///
    /// # Errors
    /// [`OpError::Unsound`] if it did not.
    pub fn begun_by(group: GroupId, op: Op) -> Result<Self, OpError> {
        let id = op.id();
        if id.0 != group.0 || !matches!(op.body(), Body::Found { .. }) || !op.is_sound() {
            return Err(OpError::Unsound);
        }
        let state = Arc::new(State::founded(&op).ok_or(OpError::Unsound)?);
        let mut log = Self {
            group,
            entries: Vec::new(),
            by_id: BTreeMap::new(),
            heads: BTreeSet::new(),
            granted: BTreeMap::new(),
            issued: BTreeMap::new(),
            counts: BTreeMap::new(),
            state,
        };
        log.push(id, op, Past::default());
        log.refold();
        Ok(log)
    }

    /// The group.
    #[must_use]
    pub fn group(&self) -> GroupId {
        self.group
    }

    /// What all ops together say.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn shared_state(&self) -> &Arc<State> {
        &self.state
    }

    /// Ops in it.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "it holds at least the op that founds the group"
    )]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The op of this id.
    #[must_use]
    pub fn get(&self, id: OpId) -> Option<&Op> {
        let index = *self.by_id.get(&id)?;
        self.entries.get(index).map(|entry| &entry.op)
    }

    /// All ops with their ids, each after what it builds on.
    pub fn ops(&self) -> impl Iterator<Item = (OpId, &Op)> {
        self.entries.iter().map(|entry| (entry.id, &entry.op))
    }

    /// What tells somebody that it was removed: the op that says so, after the newest that this builds on, which it may lack.
    pub(super) fn dismissal(&self, member: PeerId) -> Vec<Op> {
        let is_it = |entry: &&Arc<Entry>| matches!(entry.op.body(), Body::Remove { member: removed, .. } if *removed == member);
        let Some(removal) = self.entries.iter().rev().find(is_it) else {
            return Vec::new();
        };
        let each = self.entries.iter().enumerate();
        let past = each.filter(|(at, _)| removal.past.has(*at));
        let mut ops: Vec<_> = past.map(|(_, entry)| &entry.op).collect();
        ops.sort_by_key(|op| op.lamport());
        let newest = ops.split_off(ops.len().saturating_sub(DISMISSAL));
        newest.into_iter().chain([&removal.op]).cloned().collect()
    }

    /// Writes an op on top of all that is known here.
    ///
    /// # Errors
    /// See [`OpError`].
    pub fn write(
        &mut self,
        author: PeerId,
        body: Body,
        at_ms: u64,
        sign: impl Fn(&str, &[u8]) -> [u8; 64],
    ) -> Result<Op, OpError> {
        let op = self.draft(author, body, at_ms, sign);
        self.insert(op.clone())?;
        Ok(op)
    }

    /// The same without taking it; [`insert`](Self::insert) may be told of it later.
    pub(super) fn draft(
        &self,
        author: PeerId,
        body: Body,
        at_ms: u64,
        sign: impl Fn(&str, &[u8]) -> [u8; 64],
    ) -> Op {
        let mut heads: Vec<_> = self
            .heads
            .iter()
            .filter_map(|at| self.entries.get(*at))
            .collect();
        heads.sort_by_key(|head| (std::cmp::Reverse(head.op.lamport()), head.id));
        heads.truncate(MAX_PARENTS);
        let newest = heads.first().map_or(0, |head| head.op.lamport());
        let content = Content {
            group: Some(self.group),
            author,
            lamport: newest.saturating_add(1),
            at_ms,
            parents: heads.iter().map(|head| head.id).collect(),
            body,
        };
        Op::sign(content, sign)
    }

    /// Writes an op without looking at what all of them say then, as tests do that write thousands.
    #[cfg(test)]
    pub(super) fn write_unfolded(
        &mut self,
        author: PeerId,
        body: Body,
        at_ms: u64,
        sign: impl Fn(&str, &[u8]) -> [u8; 64],
    ) -> Op {
        let op = self.draft(author, body, at_ms, sign);
        self.insert_unfolded(op.clone()).expect("an op that may be");
        op
    }

    /// Takes an op from wherever it came.
    ///
    /// # Errors
    /// See [`OpError`]; nothing has changed then.
    pub fn insert(&mut self, op: Op) -> Result<Inserted, OpError> {
        let inserted = self.insert_unfolded(op)?;
        if inserted == Inserted::New {
            self.refold();
        }
        Ok(inserted)
    }

    /// Takes many, each after what it builds on, and says which were new.
    pub fn insert_all(
        &mut self,
        ops: impl IntoIterator<Item = Op>,
    ) -> Vec<(Op, Result<Inserted, OpError>)> {
        let each = ops.into_iter();
        let taken: Vec<_> = each
            .map(|op| (op.clone(), self.insert_unfolded(op)))
            .collect();
        if taken.iter().any(|(_, taken)| *taken == Ok(Inserted::New)) {
            self.refold();
        }
        taken
    }

    pub(crate) fn insert_unfolded(&mut self, op: Op) -> Result<Inserted, OpError> {
        let id = op.id();
        if self.by_id.contains_key(&id) {
            return Ok(Inserted::Known);
        }
        let past = self.check(&op)?;
        self.push(id, op, past);
        Ok(Inserted::New)
    }

    /// Whether an op that is not in it may be; all that its author knew.
    pub(super) fn check(&self, op: &Op) -> Result<Past, OpError> {
        if op.content.group != Some(self.group) {
            return Err(OpError::Unsound);
        }
        let past = self.past(op)?;
        if !op.is_sound() {
            return Err(OpError::Unsound);
        }
        let role = self.ever(op.author(), &past).ok_or(OpError::NoRight)?;
        if role < fold::needed(op.body()) {
            return Err(OpError::NoRight);
        }
        if let Body::Redeem { invite, .. } = op.body()
            && highest(&self.issued, *invite, &past).is_none()
        {
            return Err(OpError::NoRight);
        }
        let of_author = self.counts.get(&op.author()).copied().unwrap_or(0);
        if self.entries.len() >= MAX_OPS || (role < Role::Admin && of_author >= MAX_OPS_OF_ONE) {
            return Err(OpError::Full);
        }
        Ok(past)
    }

    /// All that the op's author knew.
    fn past(&self, op: &Op) -> Result<Past, OpError> {
        let (mut past, mut newest) = (Past::default(), 0);
        for parent in &op.content.parents {
            let index = *self.by_id.get(parent).ok_or(OpError::Unfounded)?;
            let entry = self.entries.get(index).ok_or(OpError::Unfounded)?;
            past.add_all(&entry.past);
            past.add(index);
            newest = newest.max(entry.op.lamport());
        }
        if op.lamport().checked_sub(1) != Some(newest) {
            return Err(OpError::Unsound);
        }
        Ok(past)
    }

    /// The highest role that somebody had at any time that the op's author knew of. Whether the log keeps an op depends on nothing
    /// but the op and its past, so that all keep the same, unless there are too many.
    fn ever(&self, author: PeerId, past: &Past) -> Option<Role> {
        highest(&self.granted, author, past)
    }

    fn push(&mut self, id: OpId, op: Op, past: Past) {
        let index = self.entries.len();
        for parent in &op.content.parents {
            if let Some(parent) = self.by_id.get(parent) {
                self.heads.remove(parent);
            }
        }
        let grant = match op.body() {
            Body::Found { .. } => Some((op.author(), Role::Founder)),
            Body::Add { member, role } | Body::SetRole { member, role } => Some((*member, *role)),
            Body::Redeem { member, invite, .. } => {
                highest(&self.issued, *invite, &past).map(|role| (*member, role))
            }
            Body::Invite { invite, role, .. } => {
                self.issued.entry(*invite).or_default().push((index, *role));
                None
            }
            Body::Remove { .. }
            | Body::Leave
            | Body::Rename { .. }
            | Body::Revoke { .. }
            | Body::Rotate { .. } => None,
        };
        if let Some((member, role)) = grant {
            self.granted.entry(member).or_default().push((index, role));
        }
        *self.counts.entry(op.author()).or_default() += 1;
        self.heads.insert(index);
        self.by_id.insert(id, index);
        self.entries.push(Arc::new(Entry { id, op, past }));
    }

    /// After ops were inserted without looking at what all of them say.
    pub(crate) fn refold(&mut self) {
        if let Some(state) = fold::state(&self.entries) {
            self.state = Arc::new(state);
        }
    }
}

fn highest(said: &BTreeMap<PeerId, Vec<(usize, Role)>>, of: PeerId, past: &Past) -> Option<Role> {
    let said = said.get(&of)?.iter();
    said.filter(|(at, _)| past.has(*at))
        .map(|(_, role)| *role)
        .max()
}

#[cfg(test)]
mod tests;

//! What all ops of a log together say: the same for all who have the same ops, in whatever order they came.
//!
//! Ops are taken by (Lamport time, hash). One counts if its author had the right to it as far as the author knew. Removal is strong: what
//! a removed member wrote without knowing of its removal counts no more, but for removals of its own, so that two admins who remove each
//! other both go. Who was removed so cannot void what others wrote.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use peerway::PeerId;

use super::{
    log::Entry,
    op::{Body, Commitment, Op, OpId, Role},
};

/// Members of a group.
pub const MAX_MEMBERS: usize = 10_000;
/// Invites of a group that may be shown at the same time: the newest.
const MAX_OPEN: usize = 256;
/// How long whoever comes too late hears that an invite is used up, in milliseconds; later on it is not answered.
const SPENT_MS: u64 = 600_000;

/// Who belongs to a group, and what else its log says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct State {
    /// What it is called.
    pub name: String,
    /// All members.
    pub members: BTreeMap<PeerId, Member>,
    /// Who was one.
    pub former: BTreeMap<PeerId, Former>,
    /// Invites that were not used up or taken back; some may be too old.
    pub invites: BTreeMap<PeerId, Invite>,
    /// Invites that were used up.
    pub(super) spent: BTreeMap<PeerId, Spent>,
    /// By which posts are sealed from now on.
    pub epoch: OpId,
    /// All epochs, and what the key of each is known by.
    pub epochs: BTreeMap<OpId, Commitment>,
    /// Whether somebody who is no member any more may have the epoch's key: an admin should begin another.
    pub needs_rotation: bool,
    /// Until when those posted who may not any more, in milliseconds since the Unix epoch.
    posted_until: BTreeMap<PeerId, u64>,
}

/// Somebody who belongs to a group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// What it may do.
    pub role: Role,
    /// Since when, in milliseconds since the Unix epoch, by the clock of who let it in.
    pub since_ms: u64,
    /// Who let it in; the founder itself.
    pub by: PeerId,
}

/// Somebody who belonged to a group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Former {
    /// What it could do.
    pub role: Role,
    /// Until when, in milliseconds since the Unix epoch, by the clock of who ended it.
    pub until_ms: u64,
    /// Whether it was removed, and did not leave.
    pub removed: bool,
    /// Invites from before it let it in no more.
    order: usize,
}

/// A secret that lets somebody in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Invite {
    /// As what.
    pub role: Role,
    /// How many still.
    pub uses: u32,
    /// Until when, in milliseconds since the Unix epoch.
    pub expires_ms: u64,
    /// Who gave it away.
    pub by: PeerId,
    order: usize,
}

/// An invite that was used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spent {
    /// When, in milliseconds since the Unix epoch, by the clock of who let in the last.
    at_ms: u64,
    order: usize,
}

/// The least role of who may write such an op.
pub(super) fn needed(body: &Body) -> Role {
    match body {
        Body::Redeem { .. } | Body::Leave => Role::Reader,
        Body::Found { .. } => Role::Founder,
        Body::Add { .. }
        | Body::Remove { .. }
        | Body::SetRole { .. }
        | Body::Rename { .. }
        | Body::Invite { .. }
        | Body::Revoke { .. }
        | Body::Rotate { .. } => Role::Admin,
    }
}

impl State {
    /// Of a group that nothing was done in yet.
    pub(super) fn founded(op: &Op) -> Option<Self> {
        let Body::Found { name, key, .. } = op.body() else {
            return None;
        };
        let founder = Member {
            role: Role::Founder,
            since_ms: op.content.at_ms,
            by: op.author(),
        };
        Some(Self {
            name: name.clone(),
            members: BTreeMap::from([(op.author(), founder)]),
            former: BTreeMap::new(),
            invites: BTreeMap::new(),
            spent: BTreeMap::new(),
            epoch: op.id(),
            epochs: BTreeMap::from([(op.id(), *key)]),
            needs_rotation: false,
            posted_until: BTreeMap::new(),
        })
    }

    /// What somebody may do; none if it is no member.
    #[must_use]
    pub fn role(&self, peer: PeerId) -> Option<Role> {
        self.members.get(&peer).map(|member| member.role)
    }

    /// Invites whose bearers are answered: those that let somebody in, and those that did until a moment ago, so that who comes too late
    /// hears why; the newest 256.
    #[must_use]
    pub fn answered_invites(&self, now_ms: u64) -> Vec<PeerId> {
        let open = self.invites.iter();
        let open = open.filter(|(_, invite)| invite.expires_ms > now_ms);
        let spent = self.spent.iter();
        let spent = spent.filter(|(_, spent)| spent.at_ms.saturating_add(SPENT_MS) > now_ms);
        let open = open.map(|(key, invite)| (invite.order, *key));
        let mut all: Vec<_> = open
            .chain(spent.map(|(key, spent)| (spent.order, *key)))
            .collect();
        all.sort_unstable_by(|one, other| other.cmp(one));
        all.truncate(MAX_OPEN);
        all.into_iter().map(|(_, key)| key).collect()
    }

    /// Before when an author may have written something, in milliseconds since the Unix epoch; none for whoever may still.
    pub(super) fn may_post_before(&self, author: PeerId) -> Option<u64> {
        let may_still = self.role(author) >= Some(Role::Member);
        let until = self.posted_until.get(&author);
        (!may_still).then(|| until.map_or(0, |until| until.saturating_add(1)))
    }

    /// Whether this author may have written something at this time.
    #[must_use]
    pub fn may_have_posted(&self, author: PeerId, sent_ms: u64) -> bool {
        let before = self.may_post_before(author);
        before.is_none_or(|before| sent_ms < before)
    }
}

/// Folds all of them; none if the first does not found a group.
pub(super) fn state(entries: &[Arc<Entry>]) -> Option<State> {
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by_key(|at| entries.get(*at).map(|entry| (entry.op.lamport(), entry.id)));
    let mut void = BTreeSet::new();
    loop {
        let fold = Fold::run(entries, &order, &void)?;
        let more = fold.voided();
        // It only grows, so it ends, and for all in the same way.
        if more.is_subset(&void) {
            return Some(fold.done());
        }
        void.extend(more);
    }
}

struct Fold<'a> {
    entries: &'a [Arc<Entry>],
    state: State,
    /// What was said of each peer's role, in order.
    roles: BTreeMap<PeerId, Vec<(usize, Option<Role>)>>,
    /// Removals that count, by whom they removed.
    removals: BTreeMap<PeerId, Vec<usize>>,
    /// All that ended a membership.
    endings: Vec<usize>,
    /// Where the epoch began.
    epoch_at: usize,
}

impl<'a> Fold<'a> {
    fn run(entries: &'a [Arc<Entry>], order: &[usize], void: &BTreeSet<usize>) -> Option<Self> {
        let (first, rest) = order.split_first()?;
        let founding = &entries.get(*first)?.op;
        let mut fold = Self {
            entries,
            state: State::founded(founding)?,
            roles: BTreeMap::from([(founding.author(), vec![(*first, Some(Role::Founder))])]),
            removals: BTreeMap::new(),
            endings: Vec::new(),
            epoch_at: *first,
        };
        for (place, at) in rest.iter().enumerate() {
            if let Some(entry) = entries.get(*at)
                && !void.contains(at)
            {
                fold.apply(place, *at, entry);
            }
        }
        Some(fold)
    }

    /// What the op's author was, as far as it knew.
    fn role_of_author(&self, entry: &Entry) -> Option<Role> {
        let said = self.roles.get(&entry.op.author())?.iter().rev();
        let mut known = said.filter(|(at, _)| entry.past.has(*at));
        known.next().and_then(|(_, role)| *role)
    }

    fn apply(&mut self, place: usize, at: usize, entry: &Entry) {
        let role = self.role_of_author(entry);
        if role.is_none_or(|role| role < needed(entry.op.body())) {
            return;
        }
        let (by, at_ms) = (entry.op.author(), entry.op.content.at_ms);
        match entry.op.body() {
            Body::Found { .. } => {}
            Body::Add { member, role } => {
                self.add(at, *member, *role, (by, at_ms));
            }
            Body::Redeem { member, invite, .. } => self.redeem(at, *member, *invite, (by, at_ms)),
            Body::Remove { member, .. } => {
                if self.is_founder(*member) {
                    return;
                }
                self.removals.entry(*member).or_default().push(at);
                self.end(at, place, *member, (at_ms, true));
                self.rotate(at, entry.id);
            }
            Body::Leave => self.end(at, place, by, (at_ms, false)),
            Body::SetRole { member, role } => self.set_role(at, *member, *role, at_ms),
            Body::Rename { name } => self.state.name.clone_from(name),
            Body::Invite {
                invite,
                role,
                uses,
                expires_ms,
            } => {
                let known = self.state.invites.entry(*invite);
                known.or_insert(Invite {
                    role: *role,
                    uses: *uses,
                    expires_ms: *expires_ms,
                    by,
                    order: place,
                });
            }
            Body::Revoke { invite } => {
                self.state.invites.remove(invite);
                self.state.spent.remove(invite);
            }
            Body::Rotate { .. } => self.rotate(at, entry.id),
        }
    }

    fn is_founder(&self, peer: PeerId) -> bool {
        self.state.role(peer) == Some(Role::Founder)
    }

    fn add(
        &mut self,
        at: usize,
        member: PeerId,
        role: Role,
        (by, since_ms): (PeerId, u64),
    ) -> bool {
        let members = &mut self.state.members;
        if members.contains_key(&member) || members.len() >= MAX_MEMBERS {
            return false;
        }
        members.insert(member, Member { role, since_ms, by });
        self.state.former.remove(&member);
        self.roles.entry(member).or_default().push((at, Some(role)));
        true
    }

    fn redeem(&mut self, at: usize, member: PeerId, key: PeerId, (by, at_ms): (PeerId, u64)) {
        let Some(invite) = self.state.invites.get(&key) else {
            return;
        };
        let (role, is_late) = (invite.role, at_ms > invite.expires_ms);
        let former = self.state.former.get(&member);
        // Who was removed does not come back by an invite from before.
        let is_barred = former.is_some_and(|it| it.removed && it.order > invite.order);
        if is_late || is_barred || !self.add(at, member, role, (by, at_ms)) {
            return;
        }
        if let Some(invite) = self.state.invites.get_mut(&key) {
            invite.uses -= 1;
            if invite.uses == 0 {
                let order = invite.order;
                self.state.invites.remove(&key);
                self.state.spent.insert(key, Spent { at_ms, order });
            }
        }
    }

    fn set_role(&mut self, at: usize, member: PeerId, role: Role, at_ms: u64) {
        if let Some(known) = self.state.members.get_mut(&member)
            && known.role != Role::Founder
        {
            if known.role >= Role::Member && role < Role::Member {
                self.state.posted_until.insert(member, at_ms);
            }
            known.role = role;
            self.roles.entry(member).or_default().push((at, Some(role)));
        }
    }

    fn end(&mut self, at: usize, place: usize, member: PeerId, (until_ms, removed): (u64, bool)) {
        self.endings.push(at);
        self.roles.entry(member).or_default().push((at, None));
        if let Some(known) = self.state.members.remove(&member) {
            if known.role >= Role::Member {
                self.state.posted_until.insert(member, until_ms);
            }
            let former = Former {
                role: known.role,
                until_ms,
                removed,
                order: place,
            };
            self.state.former.insert(member, former);
        } else if removed && let Some(former) = self.state.former.get_mut(&member) {
            // Whoever left was removed before that was known.
            former.removed = true;
            former.order = place;
        }
    }

    fn rotate(&mut self, at: usize, id: OpId) {
        self.state.epoch = id;
        self.epoch_at = at;
    }

    /// Whether neither knew of the other.
    fn are_concurrent(&self, one: usize, other: usize) -> bool {
        let knows = |a: usize, b| self.entries.get(a).is_some_and(|entry| entry.past.has(b));
        one != other && !knows(one, other) && !knows(other, one)
    }

    /// The ops that count no more, as their authors were removed meanwhile.
    fn voided(&self) -> BTreeSet<usize> {
        let is_clean = |at: &usize| {
            let author = self.entries.get(*at).map(|entry| entry.op.author());
            let against = author.and_then(|author| self.removals.get(&author));
            !against.is_some_and(|all| all.iter().any(|other| self.are_concurrent(*other, *at)))
        };
        let mut clean: BTreeMap<PeerId, Vec<usize>> = BTreeMap::new();
        for (member, removals) in &self.removals {
            let removals = removals.iter().copied().filter(is_clean);
            clean.insert(*member, removals.collect());
        }
        let each = self.entries.iter().enumerate();
        let void = each.filter(|(at, entry)| {
            let is_exempt = matches!(
                entry.op.body(),
                Body::Remove { .. } | Body::Leave | Body::Redeem { .. }
            );
            let removals = clean.get(&entry.op.author()).into_iter().flatten();
            !is_exempt
                && removals
                    .copied()
                    .any(|removal| self.are_concurrent(removal, *at))
        });
        void.map(|(at, _)| at).collect()
    }

    fn done(mut self) -> State {
        let epoch = self.entries.get(self.epoch_at);
        let knows =
            |at: usize| epoch.is_some_and(|entry| entry.past.has(at)) || at == self.epoch_at;
        // What was sealed by an epoch that counts no more is to be read all the same.
        for entry in self.entries {
            if let Body::Rotate { key } | Body::Remove { key, .. } = entry.op.body() {
                self.state.epochs.insert(entry.id, *key);
            }
        }
        self.state.needs_rotation = !self.endings.iter().all(|at| knows(*at));
        self.state
    }
}

//! One search, from the first question to the last answer: [`Asking`]. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use peerway::PeerId;

use super::{
    document::Published,
    query::Query,
    rows::{Dropped, Row, Rows},
    wire::{Hit, MAX_HITS, MAX_TOLD},
};
use crate::group::GroupId;

/// Peers that a search asks.
pub const MAX_ASKED: usize = 1_000;
/// Peers that are asked at once, but for those from whom nothing has come for a while.
const AT_ONCE: usize = 128;
const SLOW: Duration = Duration::from_millis(500);
/// How long the first row waits for better ones.
const SETTLE: Duration = Duration::from_millis(50);
/// One row follows the other, as long as answers are missing that may bring better ones.
const PACE: Duration = Duration::from_millis(100);
/// Rows of a search.
pub const MAX_ROWS: usize = 50;

/// Somebody to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// Who.
    pub peer: PeerId,
    /// Whether it is in the address book.
    pub is_known: bool,
    /// Whether there is a link to it.
    pub is_linked: bool,
    /// As a directory of which group it is asked; none if for what it has itself.
    pub directory: Option<GroupId>,
}

impl Target {
    /// Somebody who is in the address book or not, and linked or not.
    #[must_use]
    pub fn new(peer: PeerId, is_known: bool, is_linked: bool) -> Self {
        Self {
            peer,
            is_known,
            is_linked,
            directory: None,
        }
    }

    /// The same, asked for what was published there in a group.
    #[must_use]
    pub fn as_directory(self, group: GroupId) -> Self {
        Self {
            directory: Some(group),
            ..self
        }
    }

    fn whom(self) -> Whom {
        (self.peer, self.directory)
    }
}

/// A peer, and as a directory of which group.
type Whom = (PeerId, Option<GroupId>);

/// Why a peer did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoAnswer {
    /// As it says.
    #[error("no link to it came about within {:.1} s: it may be off, or not let this node in", .0.as_secs_f64())]
    Unlinked(Duration),
    /// As it says.
    #[error("it is linked, and did not answer within {:.1} s", .0.as_secs_f64())]
    Silent(Duration),
    /// Why it was not reached.
    #[error("{0}")]
    Unreached(String),
    /// It is of an older version, or was told not to.
    #[error("it answers no searches: it may run an older version")]
    NoSearch,
    /// It is not in its address book, nor in a group of its.
    #[error("it tells this node nothing: it has it neither in its address book nor in a group")]
    NotForUs,
    /// As it says.
    #[error("it was asked too often: ask again in {:.1} s", .0.as_secs_f64())]
    Later(Duration),
    /// As it says.
    #[error("its answer is none of this protocol's")]
    Wrong,
    /// It was started anew without being one.
    #[error("it is no directory of this group any more")]
    NoDirectory,
    /// It lied.
    #[error("it sent what was not the content within the last hour: it is not asked")]
    Lied,
    /// Of [`Shunned`](crate::Shunned).
    #[error("it is blocked here: it is not asked")]
    Shunned,
    /// A search asks so many.
    #[error("it was not asked: a search asks {MAX_ASKED} peers at most")]
    TooMany,
    /// Too many others did not answer either.
    #[error("it was not asked: the time was up before")]
    NoTime,
}

impl NoAnswer {
    /// Whether nothing came of the peer, which is off then, as far as it shows.
    fn is_absence(&self) -> bool {
        match self {
            Self::Unlinked(_) | Self::Silent(_) | Self::Unreached(_) => true,
            Self::NoSearch
            | Self::NotForUs
            | Self::Later(_)
            | Self::Wrong
            | Self::NoDirectory
            | Self::Lied
            | Self::Shunned
            | Self::TooMany
            | Self::NoTime => false,
        }
    }

    /// Whether the peer is not there, or does not do what it should, and not whoever asks.
    pub(super) fn is_of_the_peer(&self) -> bool {
        match self {
            Self::Unlinked(_)
            | Self::Silent(_)
            | Self::Unreached(_)
            | Self::NoSearch
            | Self::Wrong
            | Self::NoDirectory => true,
            Self::NotForUs
            | Self::Later(_)
            | Self::Lied
            | Self::Shunned
            | Self::TooMany
            | Self::NoTime => false,
        }
    }
}

/// What is to be done, or shown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Ask this peer.
    Ask(PeerId),
    /// Ask this directory for what was published there in this group.
    AskDirectory(PeerId, GroupId),
    /// This was found.
    Row(Row),
    /// This one did not answer.
    Unanswered(PeerId, NoAnswer),
    /// Nor did this directory of a group.
    DirectoryUnanswered(PeerId, GroupId, NoAnswer),
    /// That is all.
    Done(Summary),
}

/// How a search ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Peers that were asked for what they have.
    pub asked: usize,
    /// Those of them that answered.
    pub answered: usize,
    /// Directories that were asked for what was published there.
    pub directories: usize,
    /// Those of them that answered.
    pub directories_answered: usize,
    /// Rows that were shown.
    pub rows: usize,
    /// Rows that were not, as there are too many: another word makes them fewer.
    pub more: usize,
    /// What answers had no room for: hits of each peer's, and contents of each directory's, so that what two directories left out counts
    /// twice.
    pub unsent: u64,
    /// What else is not shown.
    pub dropped: Dropped,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    since: Duration,
    is_linked: bool,
}

/// Who is asked, who has answered, and what is shown when.
#[derive(Debug)]
pub struct Asking {
    query: Query,
    /// Who is in the address book.
    known: BTreeSet<PeerId>,
    /// Last ones first.
    waiting: Vec<Target>,
    asked: BTreeMap<Whom, Asked>,
    unanswered: Vec<(Whom, NoAnswer)>,
    /// Whose documents a directory of a group may tell.
    members: BTreeMap<GroupId, BTreeSet<PeerId>>,
    rows: Rows,
    /// When the next row may be shown.
    row_at: Option<Duration>,
    deadline: Duration,
    summary: Summary,
    is_done: bool,
}

impl Asking {
    /// Asks these, directories first, then linked ones, then those of the address book, then the others in the order in which they are given, and waits
    /// so long.
    #[must_use]
    pub fn new(query: Query, targets: Vec<Target>, patience: Duration, now: Duration) -> Self {
        let (mut targets, mut seen) = (targets, BTreeSet::new());
        targets.retain(|it| seen.insert(it.whom()));
        targets.sort_by_key(|it| (it.directory.is_none(), !it.is_linked, !it.is_known));
        let beyond = targets.split_off(targets.len().min(MAX_ASKED));
        let unanswered = beyond.into_iter().map(|it| (it.whom(), NoAnswer::TooMany));
        targets.reverse();
        Self {
            query,
            known: targets
                .iter()
                .filter(|it| it.is_known)
                .map(|it| it.peer)
                .collect(),
            waiting: targets,
            asked: BTreeMap::new(),
            unanswered: unanswered.rev().collect(),
            members: BTreeMap::new(),
            rows: Rows::default(),
            row_at: None,
            deadline: now + patience,
            summary: Summary::default(),
            is_done: false,
        }
    }

    /// Of what directories of a group tell, that of these is believed: what others published, or who was removed, is not. The mark says who
    /// is in the address book.
    #[must_use]
    pub fn with_members(mut self, group: GroupId, members: BTreeMap<PeerId, bool>) -> Self {
        let known = members.iter().filter(|(_, is_known)| **is_known);
        self.known.extend(known.map(|(peer, _)| *peer));
        self.members.insert(group, members.into_keys().collect());
        self
    }

    /// What is to be done now; none until something happens or the [deadline](Self::deadline) passes.
    pub fn poll(&mut self, now: Duration) -> Option<Step> {
        if self.is_done {
            return None;
        }
        let is_late = now >= self.deadline;
        if is_late {
            self.give_up(now);
        } else if self.hurried(now).count() < AT_ONCE
            && let Some(target) = self.waiting.pop()
        {
            let asked = Asked {
                since: now,
                is_linked: false,
            };
            self.asked.insert(target.whom(), asked);
            return Some(match target.directory {
                Some(group) => {
                    self.summary.directories += 1;
                    Step::AskDirectory(target.peer, group)
                }
                None => {
                    self.summary.asked += 1;
                    Step::Ask(target.peer)
                }
            });
        }
        if let Some(((peer, directory), why)) = self.unanswered.pop() {
            return Some(match directory {
                Some(group) => Step::DirectoryUnanswered(peer, group, why),
                None => Step::Unanswered(peer, why),
            });
        }
        let is_over = self.asked.is_empty() && self.waiting.is_empty();
        let is_due = self.row_at.is_some_and(|at| now >= at);
        if (is_due || is_over) && self.summary.rows < MAX_ROWS {
            if let Some(row) = self.rows.pop() {
                self.summary.rows += 1;
                self.row_at = Some(now + PACE);
                return Some(Step::Row(row));
            }
            // The next that comes is shown soon.
            self.row_at = None;
        }
        if !is_over {
            return None;
        }
        self.is_done = true;
        self.summary.more = self.rows.left();
        self.summary.dropped = self.rows.dropped();
        Some(Step::Done(self.summary))
    }

    /// Whether all is told.
    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }

    /// When to poll at the latest.
    #[must_use]
    pub fn deadline(&self, now: Duration) -> Duration {
        let can_show = self.summary.rows < MAX_ROWS;
        let row_at = self.row_at.filter(|_| can_show);
        let room_at = self.hurried(now).map(|it| it.since + SLOW).min();
        let room_at = room_at.filter(|_| !self.waiting.is_empty());
        let next = row_at.into_iter().chain(room_at).min();
        next.map_or(self.deadline, |at| at.min(self.deadline))
    }

    /// Those that were asked a moment ago.
    fn hurried(&self, now: Duration) -> impl Iterator<Item = &Asked> {
        let is_hurried = move |it: &&Asked| now < it.since + SLOW;
        self.asked.values().filter(is_hurried)
    }

    /// How long the peers that are asked now still have.
    #[must_use]
    pub fn left(&self, now: Duration) -> Duration {
        self.deadline.saturating_sub(now)
    }

    /// There is a connection with a peer that was asked, or with one that was as a directory.
    pub fn linked(&mut self, peer: PeerId, directory: Option<GroupId>) {
        if let Some(asked) = self.asked.get_mut(&(peer, directory)) {
            asked.is_linked = true;
        }
    }

    /// A peer answered.
    pub fn answered(
        &mut self,
        peer: PeerId,
        answer: Result<(Vec<Hit>, u32), NoAnswer>,
        now: Duration,
    ) {
        let whom = (peer, None);
        if self.asked.remove(&whom).is_none() {
            return;
        }
        let (mut hits, total) = match answer {
            Ok((hits, _)) if hits.len() > MAX_HITS || !hits.iter().all(Hit::is_sound) => {
                return self.failed(whom, NoAnswer::Wrong);
            }
            Ok(answer) => answer,
            Err(why) => return self.failed(whom, why),
        };
        self.summary.answered += 1;
        let all = hits.len();
        self.summary.unsent += u64::from(total).saturating_sub(all as u64);
        hits.retain(|hit| self.query.takes(&hit.name, hit.kind, hit.size));
        self.rows.drop_other(all - hits.len());
        let is_found = !hits.is_empty();
        // What directories said of it counts no more, whatever it has.
        self.rows.take(peer, self.known.contains(&peer), hits);
        if is_found {
            self.row_at.get_or_insert(now + SETTLE);
        }
    }

    /// A directory answered, on this day since the Unix epoch.
    pub(super) fn listed(
        &mut self,
        (peer, group): (PeerId, GroupId),
        answer: Result<(Vec<Published>, u32), NoAnswer>,
        (now, today): (Duration, u32),
    ) {
        let whom = (peer, Some(group));
        if self.asked.remove(&whom).is_none() {
            return;
        }
        let (documents, total) = match answer {
            Ok(answer) => answer,
            Err(why) => return self.failed(whom, why),
        };
        let is_sound = |it: &Published| it.document.is_sound(group, it.publisher, today);
        if documents.len() > MAX_TOLD || !documents.iter().all(is_sound) {
            return self.failed(whom, NoAnswer::Wrong);
        }
        self.summary.directories_answered += 1;
        let contents: BTreeSet<_> = documents
            .iter()
            .map(|it| it.document.hit.content())
            .collect();
        self.summary.unsent += u64::from(total).saturating_sub(contents.len() as u64);
        let members = self.members.get(&group);
        for Published {
            publisher,
            document,
        } in documents
        {
            let hit = document.hit;
            let is_member = members.is_some_and(|members| members.contains(&publisher));
            if is_member && self.query.takes(&hit.name, hit.kind, hit.size) {
                let is_known = self.known.contains(&publisher);
                self.rows.list(publisher, is_known, hit);
                self.row_at.get_or_insert(now + SETTLE);
            } else {
                self.rows.drop_other(1);
            }
        }
    }

    fn failed(&mut self, whom: Whom, why: NoAnswer) {
        if whom.1.is_none() && why.is_absence() {
            self.rows.is_away(whom.0);
        }
        self.unanswered.push((whom, why));
    }

    fn give_up(&mut self, now: Duration) {
        for (whom, asked) in std::mem::take(&mut self.asked) {
            let waited = now.saturating_sub(asked.since);
            let why = match asked.is_linked {
                true => NoAnswer::Silent(waited),
                false => NoAnswer::Unlinked(waited),
            };
            self.failed(whom, why);
        }
        let waiting = self.waiting.drain(..);
        self.unanswered
            .extend(waiting.map(|it| (it.whom(), NoAnswer::NoTime)));
    }
}

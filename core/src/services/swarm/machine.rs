//! What is known of the groups, what is believed, and what is to be said to whom and when. Pure: the time comes in.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    NodeSnapshot, PeerId, PeerSnapshot, PeerState, Refused,
    services::bucket::Bucket,
    wire::status::{GroupTag, Status},
};

use super::{
    Group,
    draft::{draft, essence},
};

/// A status follows the last one no sooner, whatever changes.
const PAUSE: Duration = Duration::from_secs(5);
/// It does so in any case after this.
const PERIOD: Duration = Duration::from_secs(30);
/// A member that has missed one is stale.
pub(super) const STALE: Duration = Duration::from_secs(45);
/// So is one whose link has ended or carries nothing any more, when nothing newer was heard of it after this: whoever is there
/// tells the others that it has one link less, and these hand that on.
pub(super) const ENDED: Duration = Duration::from_secs(10);
/// It is forgotten after this.
pub(super) const LIFE: Duration = Duration::from_secs(600);
/// How far another clock may be ahead.
const AHEAD_MS: u64 = 120_000;
/// What one member says is handed on to another no more often, however often it speaks: its own pause, and some room.
const FORWARD_PAUSE: Duration = Duration::from_secs(4);
/// Bytes a second to and from one member, once the tables of a whole group were exchanged.
const SEND_RATE: u32 = 2 << 10;
const READ_RATE: u32 = 4 << 10;
const BURST: u32 = 96 << 10;
/// How long who sends forged statuses is not heard.
const BAN: Duration = Duration::from_secs(3600);
/// How long a link is kept that nothing else uses.
const ALONE: Duration = Duration::from_secs(10);
/// What the member with the larger id waits for the other to dial.
const YIELD: Duration = Duration::from_secs(5);
/// After a dial in vain: doubled each time.
const REDIAL: Duration = Duration::from_secs(10);
const MAX_REDIAL: Duration = Duration::from_secs(600);

/// What time it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) at: Instant,
    pub(super) unix_ms: u64,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) own: PeerId,
    pub(super) groups: BTreeMap<GroupTag, Shared>,
    sessions: BTreeMap<PeerId, Session>,
    dials: BTreeMap<PeerId, Dial>,
    /// Who sent forged statuses, until when.
    banned: BTreeMap<PeerId, Instant>,
    pub(super) refused: Refused,
    pub(super) sent: u64,
    pub(super) received: u64,
    /// Of the latest status of ours.
    sent_ms: u64,
    serial: u64,
}

/// A group that is shared.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) name: String,
    /// Without us.
    pub(super) others: BTreeSet<PeerId>,
    pub(super) known: BTreeMap<PeerId, Known>,
    pub(super) own: Option<Own>,
}

/// The newest of a member.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) status: Status,
    bytes: Arc<[u8]>,
    pub(super) heard_at: Instant,
    pub(super) via: PeerId,
    /// When the link to the member ended, if nothing that it said since then was heard.
    pub(super) ended_at: Option<Instant>,
}

impl Known {
    fn new(status: Status, bytes: &[u8], via: PeerId, now: Instant) -> Self {
        Self {
            status,
            bytes: bytes.into(),
            heard_at: now,
            via,
            ended_at: None,
        }
    }
}

/// What we said last.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) status: Status,
    bytes: Arc<[u8]>,
    at: Instant,
}

/// A connection over which statuses go.
#[derive(Debug)]
struct Session {
    serial: u64,
    is_ours: bool,
    /// Authors of whom there is news, from when on it may be sent.
    queue: BTreeMap<(GroupTag, PeerId), Instant>,
    /// The newest that both sides have.
    has: BTreeMap<(GroupTag, PeerId), (u64, Instant)>,
    /// Of groups that are shared no more.
    farewells: Vec<Arc<[u8]>>,
    sending: Bucket,
    reading: Bucket,
    alone_since: Option<Instant>,
    is_over: bool,
    /// Groups of which it has told something itself.
    heard: BTreeSet<GroupTag>,
}

#[derive(Debug)]
struct Dial {
    failures: u32,
    next: Instant,
    is_running: bool,
}

/// What follows from a look at the node.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Whether there is something to send.
    pub(super) says: bool,
    pub(super) dial: Vec<PeerId>,
}

/// What a session does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Send(Arc<[u8]>),
    /// Until then, or until something changes.
    Wait(Option<Instant>),
    Close,
}

/// The member at the other end does what no member does, and is heard no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Liar;

impl Machine {
    pub(super) fn new(own: PeerId) -> Self {
        Self {
            own,
            groups: BTreeMap::new(),
            sessions: BTreeMap::new(),
            dials: BTreeMap::new(),
            banned: BTreeMap::new(),
            refused: Refused::default(),
            sent: 0,
            received: 0,
            sent_ms: 0,
            serial: 0,
        }
    }

    /// Shares with these groups, and says goodbye to the others.
    pub(super) fn share(
        &mut self,
        groups: Vec<Group>,
        now: Now,
        sign: impl Fn(&str, &[u8]) -> [u8; 64],
    ) {
        let mut before = std::mem::take(&mut self.groups);
        for Group { name, mut members } in groups {
            members.remove(&self.own);
            let tag = GroupTag::of(&name);
            let mut shared = before.remove(&tag).unwrap_or(Shared {
                name,
                others: BTreeSet::new(),
                known: BTreeMap::new(),
                own: None,
            });
            shared.known.retain(|id, _| members.contains(id));
            shared.others = members;
            self.groups.insert(tag, shared);
        }
        for (tag, gone) in before {
            self.take_leave(tag, &gone, now, &sign);
        }
        for dial in self.dials.values_mut() {
            (dial.failures, dial.next) = (0, now.at);
        }
    }

    fn take_leave(
        &mut self,
        tag: GroupTag,
        gone: &Shared,
        now: Now,
        sign: impl Fn(&str, &[u8]) -> [u8; 64],
    ) {
        let Some(own) = &gone.own else { return };
        let mut last = own.status.clone();
        (last.sent_ms, last.leaves) = (stamp(&mut self.sent_ms, now.unix_ms), true);
        last.links.clear();
        let Ok(bytes) = last.sign(sign) else { return };
        let bytes: Arc<[u8]> = bytes.into();
        for (peer, session) in &mut self.sessions {
            if gone.others.contains(peer) {
                session.queue.retain(|(group, _), _| *group != tag);
                session.has.retain(|(group, _), _| *group != tag);
                session.farewells.push(Arc::clone(&bytes));
            }
        }
    }

    /// Says what is new of this node, forgets who was not heard for long, and finds whom to dial.
    pub(super) fn look(
        &mut self,
        node: &NodeSnapshot,
        now: Now,
        sign: impl Fn(&str, &[u8]) -> [u8; 64],
    ) -> Looked {
        if self.groups.is_empty() && self.sessions.is_empty() {
            return Looked::default();
        }
        self.forget(now.at);
        self.doubt(node, now.at);
        let ends = self.end_lonely(node, now.at);
        let says = self.say(node, now, sign);
        Looked {
            says: says || ends,
            dial: self.dials(node, now.at),
        }
    }

    fn forget(&mut self, now: Instant) {
        let is_over = |since: Instant| now.saturating_duration_since(since) > LIFE;
        for group in self.groups.values_mut() {
            group.known.retain(|_, known| !is_over(known.heard_at));
        }
        self.banned.retain(|_, until| *until > now);
    }

    /// What a member said holds no longer than its link does.
    fn doubt(&mut self, node: &NodeSnapshot, now: Instant) {
        for id in self.sessions.keys() {
            let holds = found(node, *id).is_some_and(is_answering);
            for group in self.groups.values_mut() {
                if let Some(known) = group.known.get_mut(id) {
                    let ended_at = known.ended_at.unwrap_or(now);
                    known.ended_at = (!holds).then_some(ended_at);
                }
            }
        }
    }

    /// A link is kept for what it is used for, and this is no use of its own.
    fn end_lonely(&mut self, node: &NodeSnapshot, now: Instant) -> bool {
        let mut ends = false;
        for (id, session) in &mut self.sessions {
            let connections = found(node, *id).map_or(0, |peer| peer.connections);
            session.alone_since = match session.alone_since {
                _ if connections > 1 => None,
                None => Some(now),
                since => since,
            };
            let is_lonely = session
                .alone_since
                .is_some_and(|since| now.saturating_duration_since(since) >= ALONE);
            ends |= is_lonely && !session.is_over;
            session.is_over |= is_lonely;
        }
        ends
    }

    fn say(
        &mut self,
        node: &NodeSnapshot,
        now: Now,
        sign: impl Fn(&str, &[u8]) -> [u8; 64],
    ) -> bool {
        let mut said = Vec::new();
        for (tag, group) in &mut self.groups {
            let shares = |id| {
                self.sessions
                    .get(&id)
                    .is_some_and(|it| it.heard.contains(tag))
            };
            let mut status = draft(node, *tag, &group.others, shares);
            let is_due = group.own.as_ref().is_none_or(|own| {
                let since = now.at.saturating_duration_since(own.at);
                let has_changed = essence(&status) != essence(&own.status);
                since >= PERIOD || since >= PAUSE && has_changed
            });
            if !is_due {
                continue;
            }
            status.sent_ms = stamp(&mut self.sent_ms, now.unix_ms);
            // It is within its bounds, as the group is.
            let Ok(bytes) = status.sign(&sign) else {
                continue;
            };
            group.own = Some(Own {
                status,
                bytes: bytes.into(),
                at: now.at,
            });
            said.push(*tag);
        }
        for tag in &said {
            self.enqueue(*tag, self.own, now.at);
        }
        !said.is_empty()
    }

    /// Members that are linked and not asked yet.
    fn dials(&mut self, node: &NodeSnapshot, now: Instant) -> Vec<PeerId> {
        let members = self.groups.values().flat_map(|group| &group.others);
        let linked: BTreeSet<PeerId> = members
            .copied()
            .filter(|id| !self.sessions.contains_key(id) && !self.banned.contains_key(id))
            .filter(|id| found(node, *id).is_some_and(is_linked))
            .collect();
        self.dials
            .retain(|id, dial| dial.is_running || linked.contains(id));
        let mut due = Vec::new();
        for id in linked {
            let first = if self.own < id { now } else { now + YIELD };
            let dial = self.dials.entry(id).or_insert(Dial {
                failures: 0,
                next: first,
                is_running: false,
            });
            if !dial.is_running && dial.next <= now {
                dial.is_running = true;
                due.push(id);
            }
        }
        due
    }

    /// A dial came to nothing, or what came of it has ended.
    pub(super) fn dialled(&mut self, peer: PeerId, now: Instant) {
        if let Some(dial) = self.dials.get_mut(&peer) {
            let pause = REDIAL.saturating_mul(1 << dial.failures.min(10));
            dial.next = now + pause.min(MAX_REDIAL);
            dial.failures = dial.failures.saturating_add(1);
            dial.is_running = false;
        }
    }

    /// A connection with a member stands; none if it is no member, or if another connection serves both.
    pub(super) fn join(&mut self, peer: PeerId, is_ours: bool, now: Instant) -> Option<u64> {
        let is_banned = self.banned.get(&peer).is_some_and(|until| *until > now);
        if !self.is_member(peer) || is_banned {
            return None;
        }
        // Of two, both sides keep the one that the smaller id dialled.
        let is_proper = |is_ours: bool| is_ours == (self.own < peer);
        let other = self.sessions.get(&peer);
        if other.is_some_and(|other| is_proper(other.is_ours) && !is_proper(is_ours)) {
            return None;
        }
        self.serial += 1;
        let session = Session {
            serial: self.serial,
            is_ours,
            queue: BTreeMap::new(),
            has: BTreeMap::new(),
            farewells: Vec::new(),
            sending: Bucket::new(SEND_RATE, BURST, now),
            reading: Bucket::new(READ_RATE, BURST, now),
            alone_since: None,
            is_over: false,
            heard: BTreeSet::new(),
        };
        self.sessions.insert(peer, session);
        let tags: Vec<_> = self.groups.keys().copied().collect();
        for tag in tags {
            self.enqueue_for(peer, tag, self.own, now);
        }
        Some(self.serial)
    }

    /// It has ended.
    pub(super) fn leave(&mut self, peer: PeerId, serial: u64, now: Instant) {
        if self.session(peer, serial).is_some() {
            let ended = self.sessions.remove(&peer);
            for group in self.groups.values_mut() {
                if let Some(known) = group.known.get_mut(&peer) {
                    known.ended_at.get_or_insert(now);
                }
            }
            if ended.is_some_and(|session| !session.heard.is_empty())
                && let Some(dial) = self.dials.get_mut(&peer)
            {
                dial.failures = 0;
            }
        }
    }

    /// A member sent this. How long it is to be read no further. It counts as well over a connection in whose place another one came:
    /// what was sent before the other side knew of that is not sent again.
    ///
    /// # Errors
    /// It is a liar.
    pub(super) fn heard(&mut self, peer: PeerId, bytes: &[u8], now: Now) -> Result<Duration, Liar> {
        self.received += bytes.len() as u64 + 2;
        let Some(session) = self.sessions.get_mut(&peer) else {
            // Both have ended.
            return Ok(LIFE);
        };
        session.reading.take(bytes.len() + 2, now.at);
        let wait = session.reading.wait(now.at);
        let Ok(status) = Status::parse(bytes) else {
            return Err(self.malformed(peer, now.at));
        };
        self.believe(peer, status, bytes, now)?;
        Ok(wait)
    }

    /// What a member sent is no status.
    pub(super) fn malformed(&mut self, peer: PeerId, now: Instant) -> Liar {
        self.refused.malformed += 1;
        self.banned.insert(peer, now + BAN);
        Liar
    }

    fn believe(
        &mut self,
        peer: PeerId,
        status: Status,
        bytes: &[u8],
        now: Now,
    ) -> Result<(), Liar> {
        let (tag, author, sent_ms) = (status.group, status.author, status.sent_ms);
        let refused = &mut self.refused;
        let group = self.groups.get_mut(&tag);
        let Some(group) = group.filter(|group| group.others.contains(&peer)) else {
            refused.others += 1;
            return Ok(());
        };
        if !group.others.contains(&author) {
            refused.strangers += 1;
            return Ok(());
        }
        if !status.is_for(self.own) {
            refused.others += 1;
            return Ok(());
        }
        if let Some(known) = group.known.get_mut(&author)
            && known.status.sent_ms >= sent_ms
        {
            if *known.bytes == *bytes {
                if author == peer {
                    known.ended_at = None;
                }
                self.has(peer, (tag, author), sent_ms, now.at);
            } else {
                refused.replayed += 1;
            }
            return Ok(());
        }
        if sent_ms > now.unix_ms.saturating_add(AHEAD_MS) {
            refused.future += 1;
            return Ok(());
        }
        if sent_ms.saturating_add(LIFE.as_millis() as u64) < now.unix_ms {
            refused.old += 1;
            return Ok(());
        }
        if !status.is_signed(bytes) {
            refused.forged += 1;
            self.banned.insert(peer, now.at + BAN);
            return Err(Liar);
        }
        let before = group.known.get(&author);
        let had_left = before.map(|before| before.status.leaves);
        let mut known = Known::new(status, bytes, peer, now.at);
        // Whoever still counts on a link that has ended said so before that, whenever others hand it on.
        let counts_on_us = known.status.link_to(self.own);
        if author != peer && counts_on_us.is_some_and(|link| link.shares) {
            known.ended_at = before.and_then(|before| before.ended_at);
        }
        group.known.insert(author, known);
        self.has(peer, (tag, author), sent_ms, now.at);
        self.enqueue(tag, author, now.at);
        if author == peer {
            self.heard_itself(peer, tag, had_left, now.at);
        }
        Ok(())
    }

    /// Who shares a group with us learns what we know of it.
    fn heard_itself(&mut self, peer: PeerId, tag: GroupTag, had_left: Option<bool>, now: Instant) {
        let Some(session) = self.sessions.get_mut(&peer) else {
            return;
        };
        let is_new = session.heard.insert(tag);
        if had_left == Some(true) {
            // It has forgotten what it had.
            session.has.retain(|(group, _), _| *group != tag);
        }
        if had_left != Some(false) || is_new {
            let group = self.groups.get(&tag);
            let authors = group.map(|group| group.known.keys().copied().collect::<Vec<_>>());
            for author in authors.into_iter().flatten().chain([self.own]) {
                self.enqueue_for(peer, tag, author, now);
            }
        }
    }

    fn has(&mut self, peer: PeerId, what: (GroupTag, PeerId), sent_ms: u64, now: Instant) {
        if let Some(session) = self.sessions.get_mut(&peer) {
            // When it was heard says nothing of when we spoke.
            let spoke = session.has.get(&what).map_or(now, |(_, spoke)| *spoke);
            session.has.insert(what, (sent_ms, spoke));
        }
    }

    fn enqueue(&mut self, tag: GroupTag, author: PeerId, now: Instant) {
        let peers: Vec<_> = self.sessions.keys().copied().collect();
        for peer in peers {
            self.enqueue_for(peer, tag, author, now);
        }
    }

    fn enqueue_for(&mut self, peer: PeerId, tag: GroupTag, author: PeerId, now: Instant) {
        let is_ours = author == self.own;
        if let Some(session) = self.sessions.get_mut(&peer) {
            let what = (tag, author);
            let due = match session.has.get(&what) {
                Some((_, spoke)) if !is_ours => now.max(*spoke + FORWARD_PAUSE),
                _ => now,
            };
            session.queue.entry(what).or_insert(due);
        }
    }

    /// What a session does now.
    pub(super) fn next(&mut self, peer: PeerId, serial: u64, now: Instant) -> Next {
        let is_member = self.is_member(peer) && !self.banned.contains_key(&peer);
        let Some(session) = self.session(peer, serial) else {
            return Next::Close;
        };
        let wait = session.sending.wait(now);
        if let Some(last) = session.farewells.pop() {
            return self.send(peer, last, now);
        }
        if session.is_over || !is_member {
            return Next::Close;
        }
        if !wait.is_zero() && !session.queue.is_empty() {
            return Next::Wait(Some(now + wait));
        }
        loop {
            let Some(session) = self.sessions.get_mut(&peer) else {
                return Next::Close;
            };
            let due = session.queue.iter().min_by_key(|(_, due)| **due);
            let Some((what, due)) = due.map(|(what, due)| (*what, *due)) else {
                return Next::Wait(None);
            };
            if due > now {
                return Next::Wait(Some(due));
            }
            session.queue.remove(&what);
            let has = session.has.get(&what).map(|(sent_ms, _)| *sent_ms);
            // Ours may bear a lower time than the last, once a clock was set right.
            let is_ours = what.1 == self.own;
            if let Some((sent_ms, bytes)) = self.news(peer, what)
                && has.is_none_or(|has| has < sent_ms || is_ours && has != sent_ms)
            {
                if let Some(session) = self.sessions.get_mut(&peer) {
                    session.has.insert(what, (sent_ms, now));
                }
                return self.send(peer, bytes, now);
            }
        }
    }

    fn send(&mut self, peer: PeerId, bytes: Arc<[u8]>, now: Instant) -> Next {
        self.sent += bytes.len() as u64 + 2;
        if let Some(session) = self.sessions.get_mut(&peer) {
            session.sending.take(bytes.len() + 2, now);
        }
        Next::Send(bytes)
    }

    /// What there is of an author for a member, if it is for it: both have each other in the group, and the author does not tell it
    /// itself.
    fn news(&self, peer: PeerId, (tag, author): (GroupTag, PeerId)) -> Option<(u64, Arc<[u8]>)> {
        let group = self.groups.get(&tag)?;
        if !group.others.contains(&peer) {
            return None;
        }
        let of_peer = group.known.get(&peer);
        if of_peer.is_some_and(|of_peer| of_peer.status.leaves) {
            return None;
        }
        if author == self.own {
            let own = group.own.as_ref()?;
            return Some((own.status.sent_ms, Arc::clone(&own.bytes)));
        }
        let (of_author, of_peer) = (group.known.get(&author)?, of_peer?);
        let tells_itself = of_author
            .status
            .link_to(peer)
            .is_some_and(|link| link.shares);
        let is_for = of_author.status.is_for(peer) && of_peer.status.is_for(author);
        let is_wanted = author != peer && is_for && !tells_itself;
        is_wanted.then(|| (of_author.status.sent_ms, Arc::clone(&of_author.bytes)))
    }

    fn is_member(&self, peer: PeerId) -> bool {
        self.groups
            .values()
            .any(|group| group.others.contains(&peer))
    }

    fn session(&mut self, peer: PeerId, serial: u64) -> Option<&mut Session> {
        let session = self.sessions.get_mut(&peer);
        session.filter(|session| session.serial == serial)
    }
}

/// Later than the last, unless that was so far ahead that nobody took it.
fn stamp(last: &mut u64, unix_ms: u64) -> u64 {
    let was_taken = *last <= unix_ms.saturating_add(AHEAD_MS);
    *last = if was_taken {
        unix_ms.max(*last + 1)
    } else {
        unix_ms
    };
    *last
}

fn found(node: &NodeSnapshot, id: PeerId) -> Option<&PeerSnapshot> {
    let place = node.peers.binary_search_by_key(&id, |peer| peer.id).ok()?;
    node.peers.get(place)
}

/// Whether there is a link that something uses.
fn is_linked(peer: &PeerSnapshot) -> bool {
    let has_path = matches!(
        peer.state,
        PeerState::Direct | PeerState::Suspect | PeerState::Relayed
    );
    peer.connections > 0 && has_path
}

/// Whether there is one whose other end answers.
fn is_answering(peer: &PeerSnapshot) -> bool {
    let is_away = peer.why.as_ref().is_some_and(|why| why.cause.is_away());
    is_linked(peer) && peer.state != PeerState::Suspect && !is_away
}

#[cfg(test)]
mod tests;

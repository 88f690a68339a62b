//! Which members are directories: they say so every ten minutes, and who hears nothing of one for longer knows it no more.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use peerway::PeerId;

use super::{
    super::{
        message::{Item, Short},
        notice::Notice,
        op::Role,
    },
    Event, Machine, Now, Origin, Output,
};

/// A directory says so again after so long.
const EVERY: Duration = Duration::from_secs(600);
/// How long it is one after it said so: two of three notices may be lost.
const GOOD_MS: u64 = 25 * 60_000;
/// Directories of a group that are known, those who are members for longest: a query goes to all of them.
const MAX_DIRECTORIES: usize = 64;

/// A member that is a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Advertised {
    /// Who.
    pub peer: PeerId,
    /// Since when, in milliseconds since the Unix epoch: one that was started anew has nothing of what it was told before.
    pub since_ms: u64,
}

impl Advertised {
    /// A directory since then.
    #[must_use]
    pub fn new(peer: PeerId, since_ms: u64) -> Self {
        Self { peer, since_ms }
    }
}

/// What is known of a group's directories.
#[derive(Debug, Default)]
pub(super) struct Directories {
    /// Since when this node is one, and when it says so again.
    own: Option<(u64, Duration)>,
    /// The newest of each, and its name.
    notices: BTreeMap<PeerId, (Short, Notice)>,
}

impl Directories {
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.own.map(|(_, at)| at)
    }

    /// What is good still, by name.
    pub(super) fn item(&self, name: Short) -> Option<Item> {
        let named = self.notices.values().find(|it| it.0 == name);
        named.map(|(_, notice)| Item::Directory(notice.clone()))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = Short> {
        self.notices.values().map(|(name, _)| *name)
    }

    fn of(&self, peer: PeerId) -> Option<&Notice> {
        self.notices.get(&peer).map(|(_, notice)| notice)
    }
}

impl Machine {
    /// This node is a directory of the group from then on, in milliseconds since the Unix epoch, and says so.
    pub fn be_directory(&mut self, since_ms: u64, now: Now) {
        self.directories.own = Some((since_ms, now.at));
        self.advertise(now);
    }

    /// The group's directories, those who are members for longest first.
    #[must_use]
    pub fn directories(&self) -> Vec<Advertised> {
        let notices = self.directories.notices.iter();
        let known = notices.map(|(peer, (_, notice))| Advertised::new(*peer, notice.since_ms()));
        let mut known: Vec<_> = known.collect();
        known.sort_by_key(|it| self.seniority(it.peer));
        known
    }

    /// Since when somebody is a member, as a rank: where there are too many directories, new members give way.
    fn seniority(&self, peer: PeerId) -> (u64, PeerId) {
        let member = self.log.state().members.get(&peer);
        (member.map_or(u64::MAX, |member| member.since_ms), peer)
    }

    /// The directory that gives way first.
    fn youngest(&self) -> Option<PeerId> {
        let known = self.directories.notices.keys().copied();
        known.max_by_key(|peer| self.seniority(*peer))
    }

    /// Says so, if it is time.
    pub(super) fn advertise(&mut self, now: Now) {
        let Some((since_ms, at)) = self.directories.own else {
            return;
        };
        if at > now.at {
            return;
        }
        self.directories.own = Some((since_ms, now.at + EVERY));
        if self.log.state().role(self.me) < Some(Role::Member) {
            return;
        }
        let before = self.directories.of(self.me).map_or(0, Notice::at_ms);
        let at_ms = self.group_ms(now).max(before.saturating_add(1));
        let sign = Arc::clone(&self.sign);
        let group = self.log.group();
        let notice = Notice::sign(group, self.me, (at_ms, since_ms), |purpose, message| {
            sign(purpose, message)
        });
        self.took_notice(notice, Origin::Here, now);
    }

    pub(super) fn took_notice(&mut self, notice: Notice, from: Origin, now: Now) {
        let author = notice.author();
        let name = Short::of(&notice.hash());
        let kept = (name, notice.clone());
        let before = self.directories.notices.insert(author, kept);
        let is_other = before.is_none_or(|(_, before)| before.since_ms() != notice.since_ms());
        if self.directories.notices.len() > MAX_DIRECTORIES
            && let Some(youngest) = self.youngest()
        {
            self.directories.notices.remove(&youngest);
        }
        self.spread(Item::Directory(notice), from, now);
        if is_other {
            self.out.push_back(Output::Tell(Event::Changed));
        }
    }

    /// Whether a notice is newer than what is known of its author's, and good still.
    pub(super) fn is_good(&self, notice: &Notice, now: Now) -> bool {
        let author = notice.author();
        let known = self.directories.of(author);
        let is_newer = known.is_none_or(|known| known.at_ms() < notice.at_ms());
        let may_be = self.log.state().role(author) >= Some(Role::Member);
        let has_room = known.is_some()
            || self.directories.notices.len() < MAX_DIRECTORIES
            || self
                .youngest()
                .is_some_and(|it| self.seniority(it) > self.seniority(author));
        is_newer
            && may_be
            && has_room
            && notice.at_ms().saturating_add(GOOD_MS) > self.group_ms(now)
    }

    /// Those who have not said so for too long, or belong to the group no more, are no directories.
    pub(super) fn look_at_directories(&mut self, now: Now) {
        let (before, now_ms) = (self.directories.notices.len(), self.group_ms(now));
        let state = Arc::clone(self.log.shared_state());
        self.directories.notices.retain(|peer, (_, notice)| {
            let is_late = notice.at_ms().saturating_add(GOOD_MS) <= now_ms;
            state.role(*peer) >= Some(Role::Member) && !is_late
        });
        if self.directories.notices.len() != before {
            self.out.push_back(Output::Tell(Event::Changed));
        }
    }

    /// Names the directories to a neighbour, who asks for those that it does not know.
    pub(super) fn name_directories(&mut self, peer: PeerId, now: Now) {
        if let Some(link) = self.links.get_mut(&peer) {
            let before = link.to_announce.len();
            link.to_announce.extend(self.directories.names());
            if link.to_announce.len() > before {
                self.announce_soon(now);
            }
        }
    }
}

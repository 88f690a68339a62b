//! What a member publishes of what it has, at which directories of a group, and when: [`Publishing`]. Pure.
//!
//! A document lies at the two directories that rendezvous hashing of its publisher chooses (Thaler and Ravishankar 1998), so that one that comes
//! or goes moves only its own share. One that does not answer is chosen no more for a while, and its share goes to the next.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use peerway::PeerId;

use super::{
    document::DocumentId,
    wire::{Hit, MAX_PUBLISHED, MAX_WITHDRAWN},
};
use crate::group::{Advertised, GroupId};

/// Directories that have what a member publishes.
const COPIES: usize = 2;
/// A document is published anew after so long: a directory drops it when it has not been for 26 h.
const AGAIN: Duration = Duration::from_secs(12 * 3_600);
/// One message follows the other at one directory, which takes no more of one publisher.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a directory that did not answer is left alone, at first and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(600));

/// What is to be said to a directory; [`Publishing::done`] follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Publication {
    pub(super) to: PeerId,
    /// One of them has it.
    pub(super) number: u64,
    pub(super) hits: Vec<Hit>,
    pub(super) withdrawn: Vec<DocumentId>,
}

/// What came of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Taken,
    /// It takes more after so long.
    Later(Duration),
    Failed,
}

/// What one member publishes in one group.
#[derive(Debug)]
pub(super) struct Publishing {
    group: GroupId,
    me: PeerId,
    wanted: Arc<BTreeMap<DocumentId, Hit>>,
    directories: BTreeMap<PeerId, Directory>,
    /// Of the next publication.
    next: u64,
}

#[derive(Debug, Default)]
struct Directory {
    since_ms: u64,
    /// What it has, and since when.
    told: BTreeMap<DocumentId, Duration>,
    under_way: Option<Publication>,
    next_at: Duration,
    /// Until when it is left alone, and for how long if it fails again.
    failed: Option<(Duration, Duration)>,
}

/// What of this is to be published, by what it is named by.
pub(super) fn wanted(hits: impl IntoIterator<Item = Hit>) -> Arc<BTreeMap<DocumentId, Hit>> {
    let hits = hits.into_iter().filter(|hit| hit.public);
    Arc::new(hits.map(|hit| (DocumentId::of(&hit), hit)).collect())
}

impl Publishing {
    pub(super) fn new(group: GroupId, me: PeerId) -> Self {
        Self {
            group,
            me,
            wanted: Arc::default(),
            directories: BTreeMap::new(),
            next: 0,
        }
    }

    /// This is what there is to publish now.
    pub(super) fn offer(&mut self, wanted: Arc<BTreeMap<DocumentId, Hit>>) {
        self.wanted = wanted;
    }

    /// These are the directories now.
    pub(super) fn advertised(&mut self, directories: &[Advertised]) {
        let peers: BTreeSet<_> = directories.iter().map(|it| it.peer).collect();
        self.directories.retain(|peer, _| peers.contains(peer));
        for Advertised { peer, since_ms } in directories {
            let known = self.directories.get(peer);
            if known.is_none_or(|known| known.since_ms != *since_ms) {
                let new = Directory {
                    since_ms: *since_ms,
                    ..Directory::default()
                };
                self.directories.insert(*peer, new);
            }
        }
    }

    /// A directory did not answer somebody who asked it.
    pub(super) fn failed(&mut self, peer: PeerId, now: Duration) {
        if let Some(directory) = self.directories.get_mut(&peer) {
            directory.fail(now);
        }
    }

    /// Those that are to have what is published.
    pub(super) fn chosen(&self, now: Duration) -> BTreeSet<PeerId> {
        let there = self.directories.iter().filter(|(_, it)| it.is_there(now));
        let mut there: Vec<_> = there.map(|(peer, _)| (self.weight(*peer), *peer)).collect();
        there.sort_unstable();
        there
            .into_iter()
            .rev()
            .take(COPIES)
            .map(|it| it.1)
            .collect()
    }

    fn weight(&self, directory: PeerId) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("peerway search directory");
        hasher.update(self.group.as_bytes());
        hasher.update(self.me.as_bytes());
        hasher.update(directory.as_bytes());
        hasher.finalize().into()
    }

    /// What is to be said now; none until something happens or the [deadline](Self::deadline) passes.
    pub(super) fn poll(&mut self, now: Duration) -> Option<Publication> {
        let chosen = self.chosen(now);
        for (peer, directory) in &mut self.directories {
            if directory.is_free(now) && directory.next_at <= now {
                let wanted = Some(&*self.wanted).filter(|_| chosen.contains(peer));
                let hits = directory.due(wanted, now);
                let withdrawn = directory.gone(&self.wanted);
                if !hits.is_empty() || !withdrawn.is_empty() {
                    let to = *peer;
                    let publication = Publication {
                        to,
                        number: self.next,
                        hits,
                        withdrawn,
                    };
                    self.next += 1;
                    directory.under_way = Some(publication.clone());
                    return Some(publication);
                }
            }
        }
        None
    }

    /// What was to be said to a directory by the publication of this number was, or was not.
    pub(super) fn done(&mut self, (peer, number): (PeerId, u64), outcome: Outcome, now: Duration) {
        let Some(directory) = self.directories.get_mut(&peer) else {
            return;
        };
        // What was said before it was started anew says nothing of it.
        let under_way = &mut directory.under_way;
        let Some(publication) = under_way.take_if(|it| it.number == number) else {
            return;
        };
        match outcome {
            Outcome::Taken => directory.taken(&publication, now),
            Outcome::Later(after) => directory.next_at = now + after,
            Outcome::Failed => directory.fail(now),
        }
    }

    /// When to poll at the latest; none if nothing is due by itself.
    pub(super) fn deadline(&self, now: Duration) -> Option<Duration> {
        let chosen = self.chosen(now);
        let each = self.directories.iter().filter_map(|(peer, directory)| {
            if !directory.is_there(now) {
                return directory.failed.map(|it| it.0);
            }
            let wanted = Some(&*self.wanted).filter(|_| chosen.contains(peer));
            let has_more =
                !directory.due(wanted, now).is_empty() || !directory.gone(&self.wanted).is_empty();
            let again_at = directory.told.values().min().map(|at| *at + AGAIN);
            let again_at = again_at.filter(|_| wanted.is_some());
            let next_at = if has_more {
                Some(directory.next_at)
            } else {
                again_at
            };
            next_at.filter(|_| directory.is_free(now))
        });
        each.min()
    }
}

impl Directory {
    fn is_there(&self, now: Duration) -> bool {
        self.failed.is_none_or(|(until, _)| until <= now)
    }

    fn is_free(&self, now: Duration) -> bool {
        self.under_way.is_none() && self.is_there(now)
    }

    /// Some of what it lacks, if it is to have any.
    fn due(&self, wanted: Option<&BTreeMap<DocumentId, Hit>>, now: Duration) -> Vec<Hit> {
        let is_due = |id: &DocumentId| self.told.get(id).is_none_or(|at| *at + AGAIN <= now);
        let due = wanted.into_iter().flatten().filter(|(id, _)| is_due(id));
        due.take(MAX_PUBLISHED)
            .map(|(_, hit)| hit.clone())
            .collect()
    }

    /// Some of what it has and is not to have any more.
    fn gone(&self, wanted: &BTreeMap<DocumentId, Hit>) -> Vec<DocumentId> {
        let gone = self.told.keys().filter(|id| !wanted.contains_key(id));
        gone.take(MAX_WITHDRAWN).copied().collect()
    }

    fn fail(&mut self, now: Duration) {
        if self.is_there(now) {
            let pause = self.failed.map_or(BACK_OFF.0, |it| it.1);
            self.failed = Some((now + pause, (pause * 2).min(BACK_OFF.1)));
        }
    }

    fn taken(&mut self, publication: &Publication, now: Duration) {
        self.failed = None;
        for id in &publication.withdrawn {
            self.told.remove(id);
        }
        let ids = publication.hits.iter().map(DocumentId::of);
        self.told.extend(ids.map(|id| (id, now)));
        self.next_at = now + PAUSE;
    }
}

#[cfg(test)]
mod tests;

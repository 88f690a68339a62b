//! Publishing at the directories of a node's groups, and being one: the tasks.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use peerway::PeerId;
use tokio::{
    sync::{Notify, broadcast::error::RecvError},
    time::timeout,
};

use super::{
    asking::NoAnswer,
    budget::Budgets,
    directory::{Directory, Listed, NotTaken},
    document::{Document, DocumentId},
    publishing::{Outcome, Publication, Publishing, wanted},
    query::Query,
    serve::Search,
    session::exchange,
    wire::{Ask, Hit, MAX_ANSWER, Told},
};
use crate::{
    clock::until,
    group::GroupId,
    groups::{GroupEvent, Groups},
    share::lock,
};

/// Directories that are told something at a time.
const AT_ONCE: usize = 8;
/// How long a directory has to take what is published.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a node publishes, and what it keeps for others.
#[derive(Default)]
pub(super) struct Directories {
    publishing: Mutex<BTreeMap<GroupId, Publishing>>,
    /// Something else is to be published.
    changed: Notify,
    /// A directory did not answer.
    woken: Notify,
    kept: OnceLock<Kept>,
}

/// What a node keeps that is a directory.
struct Kept {
    groups: Groups,
    directory: Mutex<Directory>,
    budgets: Mutex<Budgets>,
}

impl Directories {
    /// Something is to be published that was not, or the other way round.
    pub(super) fn changed(&self) {
        self.changed.notify_one();
    }

    /// A directory did not answer a query.
    pub(super) fn failed(&self, group: GroupId, peer: PeerId, now: Duration) {
        if let Some(publishing) = lock(&self.publishing).get_mut(&group) {
            publishing.failed(peer, now);
            self.woken.notify_one();
        }
    }

    /// Questions to this node as a directory that were refused, as they came too fast.
    pub(super) fn refused(&self) -> u64 {
        let kept = self.kept.get();
        kept.map_or(0, |kept| lock(&kept.budgets).refused())
    }
}

impl Search {
    /// Keeps from now on what members of these groups publish, and answers them. They hear of it by
    /// [`Groups::be_directory`]. What those published who are members no more, and what belongs to groups that this node left, is dropped at once
    /// only while [`publish`](Self::publish) runs.
    pub fn be_directory(&self, groups: &Groups) {
        let kept = Kept {
            groups: groups.clone(),
            directory: Mutex::default(),
            budgets: Mutex::default(),
        };
        // It is one already.
        let _ = self.0.directories.kept.set(kept);
    }

    /// Documents that this node keeps for members of a group; none if it is no directory.
    #[must_use]
    pub fn published(&self, group: GroupId) -> Option<usize> {
        let kept = self.0.directories.kept.get()?;
        Some(lock(&kept.directory).len_of(group))
    }

    /// Publishes what members of these groups may find at the groups' directories, until the node ends.
    pub async fn publish(&self, groups: &Groups) {
        let mut events = groups.events();
        let mut under_way = FuturesUnordered::new();
        let mut wanted = self.wanted();
        let mut is_other = true;
        loop {
            if std::mem::take(&mut is_other) {
                self.plan(groups, &wanted);
            }
            while under_way.len() < AT_ONCE
                && let Some((group, publication)) = self.next_publication()
            {
                under_way.push(self.tell(groups, group, publication));
            }
            tokio::select! {
                Some((group, to, outcome)) = under_way.next() => {
                    let now = self.0.begun.elapsed();
                    if let Some(publishing) = lock(&self.0.directories.publishing).get_mut(&group) {
                        publishing.done(to, outcome, now);
                    }
                }
                () = until(self.publish_at()), if under_way.len() < AT_ONCE => {}
                () = self.0.directories.woken.notified() => {}
                () = self.0.directories.changed.notified() => {
                    (wanted, is_other) = (self.wanted(), true);
                }
                event = events.recv() => match event {
                    Ok(GroupEvent::Posted(..)) => {}
                    Ok(GroupEvent::Changed(_) | GroupEvent::Removed(_)) | Err(RecvError::Lagged(_)) => {
                        is_other = true;
                    }
                    Err(RecvError::Closed) => return,
                },
            }
        }
    }

    /// What there is to publish now.
    fn wanted(&self) -> Arc<BTreeMap<DocumentId, Hit>> {
        let hits: Vec<_> = lock(&self.0.index).public().cloned().collect();
        wanted(hits)
    }

    /// Where that is published now; and what of others is kept no more.
    fn plan(&self, groups: &Groups, wanted: &Arc<BTreeMap<DocumentId, Hit>>) {
        let (own, ids) = (self.0.endpoint.id(), groups.ids());
        let mut publishing = lock(&self.0.directories.publishing);
        // Who follows a feed is told nothing of what this node has.
        let mut told = ids.clone();
        told.retain(|group| !groups.is_feed(*group));
        publishing.retain(|group, _| told.contains(group));
        for group in &told {
            let one = publishing.entry(*group);
            let one = one.or_insert_with(|| Publishing::new(*group, own));
            one.offer(wanted.clone());
            one.advertised(&groups.directories(*group));
        }
        drop(publishing);
        if let Some(kept) = self.0.directories.kept.get() {
            let mut directory = lock(&kept.directory);
            directory.retain_groups(|group| ids.contains(&group));
            for group in ids {
                directory.retain(group, |peer| groups.is_member(group, peer));
            }
        }
    }

    fn next_publication(&self) -> Option<(GroupId, Publication)> {
        let now = self.0.begun.elapsed();
        let mut publishing = lock(&self.0.directories.publishing);
        let mut each = publishing.iter_mut();
        each.find_map(|(group, one)| Some((*group, one.poll(now)?)))
    }

    fn publish_at(&self) -> Option<Instant> {
        let now = self.0.begun.elapsed();
        let publishing = lock(&self.0.directories.publishing);
        let each = publishing.values().filter_map(|one| one.deadline(now));
        each.min().map(|at| (self.0.begun + at).into_std())
    }

    async fn tell(
        &self,
        groups: &Groups,
        group: GroupId,
        publication: Publication,
    ) -> (GroupId, (PeerId, u64), Outcome) {
        let Publication {
            to,
            number,
            hits,
            withdrawn,
        } = publication;
        let endpoint = &self.0.endpoint;
        let sign = |purpose: &str, message: &[u8]| endpoint.sign(purpose, message);
        let documents = hits.into_iter();
        let documents = documents.map(|hit| Document::sign(group, hit, today(), sign));
        let documents: Vec<_> = documents.collect();
        let told = if to == endpoint.id() {
            Ok(self.keep_for(to, group, documents, &withdrawn))
        } else {
            let question = Ask::Publish {
                group,
                documents,
                withdrawn,
            };
            let asking = async {
                let ticket = groups.ticket(group, to);
                let ticket = ticket.map_err(|error| NoAnswer::Unreached(error.to_string()))?;
                exchange(&self.connection(ticket).await?, &question, MAX_ANSWER).await
            };
            let asked = timeout(PATIENCE, asking).await;
            asked.unwrap_or(Err(NoAnswer::Silent(PATIENCE)))
        };
        let outcome = match told {
            Ok(Told::Taken) => Outcome::Taken,
            Ok(Told::Later(ms)) => Outcome::Later(Duration::from_millis(ms.into())),
            Ok(told) => {
                tracing::debug!(peer = %to, ?told, "a directory keeps nothing of this node");
                Outcome::Failed
            }
            Err(error) => {
                tracing::debug!(peer = %to, %error, "a directory keeps nothing of this node");
                Outcome::Failed
            }
        };
        (group, (to, number), outcome)
    }

    /// Keeps what a member published, if this node is a directory.
    pub(super) fn keep_for(
        &self,
        peer: PeerId,
        group: GroupId,
        documents: Vec<Document>,
        withdrawn: &[DocumentId],
    ) -> Told {
        let Some(kept) = self.0.directories.kept.get() else {
            return Told::NoDirectory;
        };
        if !kept.groups.is_member(group, peer) {
            return Told::NotForYou;
        }
        let now = self.0.begun.elapsed();
        let mut directory = lock(&kept.directory);
        let before = directory.evicted();
        let taken = directory.take((group, peer), documents, withdrawn, (now, today()));
        let evicted = directory.evicted() - before;
        drop(directory);
        if evicted > 0 {
            tracing::debug!(%group, peer = %peer.short(), evicted, "there was no room for documents");
        }
        match taken {
            Ok(()) => Told::Taken,
            Err(NotTaken::Later(after)) => Told::Later(after.as_millis() as u32),
            Err(NotTaken::Forged) => Told::NoQuery,
        }
    }

    /// What a query of a member finds of what was published here.
    pub(super) fn look_up(&self, peer: PeerId, group: GroupId, text: &str) -> Told {
        let Some(kept) = self.0.directories.kept.get() else {
            return Told::NoDirectory;
        };
        if !kept.groups.is_member(group, peer) {
            return Told::NotForYou;
        }
        let now = self.0.begun.elapsed();
        if let Err(after) = lock(&kept.budgets).take_for_directory(peer, group, now) {
            return Told::Later(after.as_millis() as u32);
        }
        let Ok(query) = text.parse::<Query>() else {
            return Told::NoQuery;
        };
        let Listed { documents, total } = lock(&kept.directory).find(group, &query, now);
        Told::Listed { documents, total }
    }
}

/// Days since the Unix epoch.
pub(super) fn today() -> u32 {
    (crate::unix_seconds() / 86_400) as u32
}

#[cfg(test)]
mod tests {
    use peerway::Endpoint;

    use super::{super::Asker, *};
    use crate::share::Sharing;

    #[tokio::test]
    async fn who_asks_a_directory_what_is_no_query_is_refused_after_a_while_and_counted() {
        let builder = || {
            let builder = Endpoint::builder().bind_addr(([127, 0, 0, 1], 0).into());
            builder.lan_discovery(false).port_mapping(false)
        };
        let endpoint = builder().bind().await.unwrap();
        let folder = tempfile::TempDir::new().unwrap();
        let groups = Groups::open(folder.path(), endpoint.clone(), builder()).unwrap();
        let group = groups.create("home").unwrap();
        let sharing = Sharing::new(endpoint.clone(), |_| true);
        let search = Search::new(endpoint.clone(), sharing, |_| Some(Asker::known()));
        search.be_directory(&groups);
        let told: Vec<_> = (0..500)
            .map(|_| search.look_up(endpoint.id(), group, ""))
            .collect();
        assert_eq!(told[0], Told::NoQuery);
        let refused = told.iter().filter(|it| matches!(it, Told::Later(_)));
        let refused = refused.count() as u64;
        assert!(refused > 0);
        assert_eq!(search.refused(), refused);
    }
}

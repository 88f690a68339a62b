//! A node that searches and is searched: [`Search`].

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use peerway::{Connection, Endpoint, PeerId};
use tokio::time::{Instant, timeout};

use super::{
    budget::Budgets,
    directories::Directories,
    index::{Found, Index, Seen},
    query::Query,
    wire::{Ask, MAX_ANSWER, MAX_ASK, MAX_LISTED, MAX_PAGE, Told},
};
use crate::{
    frame::{self, FrameError},
    group::GroupId,
    share::{Sharing, lock},
};

/// How long somebody who is connected may ask nothing.
const IDLE: Duration = Duration::from_secs(60);
/// How long a question may take to come, and its answer to be taken.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Asker {
    /// What it is told of.
    pub seen: Seen,
    /// As a member of which group it comes, the members of which share what they may ask; none if it is known otherwise.
    pub group: Option<GroupId>,
}

impl Asker {
    /// Who may have everything that is shared.
    #[must_use]
    pub fn known() -> Self {
        Self {
            seen: Seen::All,
            group: None,
        }
    }

    /// Who may have what whoever has the link may have, as a member of this group.
    #[must_use]
    pub fn of_group(group: GroupId) -> Self {
        Self {
            seen: Seen::Public,
            group: Some(group),
        }
    }
}

/// What a node lets others find, and how it finds what they do. Cheap to clone.
#[derive(Clone)]
pub struct Search(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) endpoint: Endpoint,
    pub(super) sharing: Sharing,
    who: Box<dyn Fn(PeerId) -> Option<Asker> + Send + Sync>,
    pub(super) begun: Instant,
    pub(super) index: Mutex<Index>,
    budgets: Mutex<Budgets>,
    /// Of pages, which are no questions.
    pages: Mutex<Budgets>,
    /// What this node itself asks.
    pub(super) own: Mutex<Budgets>,
    pub(super) connections: Mutex<BTreeMap<PeerId, (Connection, Instant)>>,
    pub(super) directories: Directories,
}

impl fmt::Debug for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Search")
            .field(&self.0.endpoint.id())
            .finish()
    }
}

impl Search {
    /// For a node. `who` says what a peer is told of, and is asked for each question; none is told nothing.
    #[must_use]
    pub fn new(
        endpoint: Endpoint,
        sharing: Sharing,
        who: impl Fn(PeerId) -> Option<Asker> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner {
            endpoint,
            sharing,
            who: Box::new(who),
            begun: Instant::now(),
            index: Mutex::default(),
            budgets: Mutex::default(),
            pages: Mutex::default(),
            own: Mutex::default(),
            connections: Mutex::default(),
            directories: Directories::default(),
        }))
    }

    /// Answers a peer that connected by [`ALPN`](super::ALPN): a handler for a [`Router`](peerway::Router).
    pub async fn serve(self, connection: Connection) {
        while let Ok(Ok((mut send, mut recv))) = timeout(IDLE, connection.accept_bi()).await {
            let answering = async {
                let Some(ask) = frame::read(&mut recv, MAX_ASK).await? else {
                    return Ok(());
                };
                let (told, limit) = self.answer(connection.peer(), ask);
                frame::write(&mut send, &told, limit).await?;
                // Whoever does not take it sees the end of the connection.
                let _ = send.finish();
                Ok::<(), FrameError>(())
            };
            if !matches!(timeout(PATIENCE, answering).await, Ok(Ok(()))) {
                return connection.close(1, b"no question of this protocol");
            }
        }
    }

    /// Questions that were refused, as they came too fast.
    #[must_use]
    pub fn refused(&self) -> u64 {
        lock(&self.0.budgets).refused()
            + lock(&self.0.pages).refused()
            + self.0.directories.refused()
    }

    fn answer(&self, peer: PeerId, ask: Ask) -> (Told, usize) {
        let Some(asker) = (self.0.who)(peer) else {
            return (Told::NotForYou, MAX_ANSWER);
        };
        match ask {
            Ask::Query(text) => {
                let find = |index: &Index| {
                    let query = text.parse::<Query>().ok()?;
                    Some(index.find(&query, asker.seen))
                };
                let now = self.0.begun.elapsed();
                let taken = lock(&self.0.budgets).take(peer, asker.group, now);
                (self.look(taken, find), MAX_ANSWER)
            }
            Ask::Browse(from) => {
                let page = |index: &Index| Some(index.page(from, asker.seen));
                let now = self.0.begun.elapsed();
                let taken = lock(&self.0.pages).take_page(peer, asker.group, now);
                (self.look(taken, page), MAX_PAGE)
            }
            Ask::Publish {
                group,
                documents,
                withdrawn,
            } => (
                self.keep_for(peer, group, documents, &withdrawn),
                MAX_ANSWER,
            ),
            Ask::Directory { group, text } => (self.look_up(peer, group, &text), MAX_LISTED),
        }
    }

    fn look(
        &self,
        taken: Result<(), Duration>,
        look: impl FnOnce(&Index) -> Option<Found>,
    ) -> Told {
        if let Err(after) = taken {
            return Told::Later(after.as_millis() as u32);
        }
        match look(&lock(&self.0.index)) {
            Some(Found { hits, total }) => Told::Found { hits, total },
            None => Told::NoQuery,
        }
    }
}

//! Asking others: [`Searching`] and [`Page`].

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use peerway::{ConnectError, Connection, PeerId, Ticket};
use thiserror::Error;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{
    ALPN,
    asking::{Asking, NoAnswer, Step, Target},
    directories::today,
    document::Published,
    query::Query,
    serve::Search,
    wire::{Ask, Hit, MAX_ANSWER, MAX_ASK, MAX_LISTED, MAX_PAGE, MAX_PAGE_HITS, Told},
};
use crate::{frame, group::GroupId, share::lock};

/// How long a search waits for answers, at most.
const MAX_PATIENCE: Duration = Duration::from_secs(10);
/// How long a connection is used again: less than the other side waits for another question.
const KEPT: Duration = Duration::from_secs(45);
/// How long a page may take.
const PAGE_PATIENCE: Duration = Duration::from_secs(30);

/// Why nothing is searched for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SearchError {
    /// As it says.
    #[error("this node searches too often: do so again in {:.1} s", .0.as_secs_f64())]
    TooFast(Duration),
}

/// Some of what a peer lets this node see, in the order of names.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// At most a hundred.
    pub hits: Vec<Hit>,
    /// How much there is.
    pub total: u32,
    /// Where the next page begins; none if this is the last.
    pub next: Option<u32>,
}

/// The directories of a group, to be asked for what was published there.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GroupDirectories {
    /// Which group.
    pub group: GroupId,
    /// Where they are, and whether the address book has them.
    pub directories: Vec<(Ticket, bool)>,
    /// What these published is shown; the mark says whether the address book has them.
    pub members: BTreeMap<PeerId, bool>,
}

impl GroupDirectories {
    /// Those of a group with these members.
    #[must_use]
    pub fn new(
        group: GroupId,
        directories: Vec<(Ticket, bool)>,
        members: BTreeMap<PeerId, bool>,
    ) -> Self {
        Self {
            group,
            directories,
            members,
        }
    }
}

enum News {
    Linked(PeerId, Option<GroupId>, Connection),
    Answered(PeerId, Result<(Vec<Hit>, u32), NoAnswer>),
    Listed(PeerId, GroupId, Result<(Vec<Published>, u32), NoAnswer>),
}

/// A search that goes on as long as it is asked for the [next](Self::next) step; dropping it ends it.
pub struct Searching {
    search: Search,
    asking: Asking,
    tickets: BTreeMap<PeerId, Ticket>,
    question: String,
    under_way: FuturesUnordered<BoxFuture<'static, News>>,
}

impl fmt::Debug for Searching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Searching").field(&self.asking).finish()
    }
}

impl Search {
    /// Asks these peers, of whom the mark says whether they are in the address book, and waits for them, at most ten seconds.
    ///
    /// # Errors
    /// See [`SearchError`].
    pub fn ask(
        &self,
        query: Query,
        peers: Vec<(Ticket, bool)>,
        patience: Duration,
    ) -> Result<Searching, SearchError> {
        self.ask_with(query, peers, Vec::new(), patience)
    }

    /// The same, and asks directories of groups for what members published there.
    ///
    /// # Errors
    /// See [`SearchError`].
    pub fn ask_with(
        &self,
        query: Query,
        peers: Vec<(Ticket, bool)>,
        groups: Vec<GroupDirectories>,
        patience: Duration,
    ) -> Result<Searching, SearchError> {
        let own = self.0.endpoint.id();
        let snapshot = self.0.endpoint.snapshot();
        let is_linked = |peer| snapshot.peer(peer).is_some_and(|it| it.path.is_some());
        let others = peers.iter().filter(|(ticket, _)| ticket.id() != own);
        let target = |(ticket, is_known): &(Ticket, bool)| {
            Target::new(ticket.id(), *is_known, is_linked(ticket.id()))
        };
        let mut targets: Vec<_> = others.map(target).collect();
        for of_group in &groups {
            let each = of_group.directories.iter().map(target);
            targets.extend(each.map(|it| it.as_directory(of_group.group)));
        }
        let now = self.0.begun.elapsed();
        lock(&self.0.own)
            .take(own, None, now)
            .map_err(SearchError::TooFast)?;
        let question = query.text().to_owned();
        let mut asking = Asking::new(query, targets, patience.min(MAX_PATIENCE), now);
        let mut tickets = peers;
        for of_group in groups {
            asking = asking.with_members(of_group.group, of_group.members);
            tickets.extend(of_group.directories);
        }
        Ok(Searching {
            asking,
            tickets: tickets
                .into_iter()
                .map(|(ticket, _)| (ticket.id(), ticket))
                .collect(),
            question,
            under_way: FuturesUnordered::new(),
            search: self.clone(),
        })
    }

    /// What a peer lets this node see, from the so-manieth name on.
    ///
    /// # Errors
    /// Why it does not answer.
    pub async fn browse(&self, peer: Ticket, from: u32) -> Result<Page, NoAnswer> {
        let asking = async {
            let connection = self.connection(peer).await?;
            loop {
                let asked = ask(&connection, &Ask::Browse(from), MAX_PAGE).await;
                match asked {
                    Err(NoAnswer::Later(after)) => sleep(after).await,
                    asked => return asked,
                }
            }
        };
        let asked = timeout(PAGE_PATIENCE, asking).await;
        let (hits, total) = asked.map_err(|_| NoAnswer::Silent(PAGE_PATIENCE))??;
        if hits.len() > MAX_PAGE_HITS || !hits.iter().all(Hit::is_sound) {
            return Err(NoAnswer::Wrong);
        }
        let next = from.saturating_add(hits.len() as u32);
        let next = Some(next).filter(|next| *next < total && !hits.is_empty());
        Ok(Page { hits, total, next })
    }

    /// The connection with a peer, or a new one.
    pub(super) async fn connection(&self, ticket: Ticket) -> Result<Connection, NoAnswer> {
        let peer = ticket.id();
        let is_shunned = self.0.sharing.shuns(peer);
        {
            let mut connections = lock(&self.0.connections);
            connections.retain(|peer, (connection, used)| {
                !self.0.sharing.shuns(*peer)
                    && connection.close_reason().is_none()
                    && used.elapsed() < KEPT
            });
            if let Some((connection, used)) = connections.get_mut(&peer) {
                *used = Instant::now();
                return Ok(connection.clone());
            }
        }
        if is_shunned {
            return Err(NoAnswer::Shunned);
        }
        let connected = self.0.endpoint.connect(ticket, ALPN).await;
        let connection = connected.map_err(|error| unreached(&error))?;
        let kept = (connection.clone(), Instant::now());
        lock(&self.0.connections).insert(peer, kept);
        Ok(connection)
    }
}

impl Searching {
    /// What was found next, who did not answer, and how it ended; none after that.
    pub async fn next(&mut self) -> Option<Step> {
        loop {
            match self.asking.poll(self.search.0.begun.elapsed()) {
                Some(Step::Ask(peer)) => self.begin(peer, None),
                Some(Step::AskDirectory(peer, group)) => self.begin(peer, Some(group)),
                Some(Step::Done(summary)) => {
                    self.under_way.clear();
                    return Some(Step::Done(summary));
                }
                Some(Step::DirectoryUnanswered(peer, group, why)) => {
                    if why.is_of_the_peer() {
                        let now = self.search.0.begun.elapsed();
                        self.search.0.directories.failed(group, peer, now);
                    }
                    return Some(Step::DirectoryUnanswered(peer, group, why));
                }
                Some(step) => return Some(step),
                None => self.wait().await?,
            }
        }
    }

    fn begin(&mut self, peer: PeerId, directory: Option<GroupId>) {
        let search = self.search.clone();
        if let Some(group) = directory
            && peer == search.0.endpoint.id()
        {
            let listed = listed(search.look_up(peer, group, &self.question));
            return self.heard(News::Listed(peer, group, listed));
        }
        let Some(ticket) = self.tickets.get(&peer).cloned() else {
            return;
        };
        let connecting = async move {
            let connected = match search.0.sharing.is_liar(peer) {
                true => Err(NoAnswer::Lied),
                false => search.connection(ticket).await,
            };
            match (connected, directory) {
                (Ok(connection), _) => News::Linked(peer, directory, connection),
                (Err(why), Some(group)) => News::Listed(peer, group, Err(why)),
                (Err(why), None) => News::Answered(peer, Err(why)),
            }
        };
        self.under_way.push(connecting.boxed());
    }

    /// Waits until there is something to do; none once the search is over.
    async fn wait(&mut self) -> Option<()> {
        let now = self.search.0.begun.elapsed();
        if self.asking.is_done() {
            return None;
        }
        let until = self.search.0.begun + self.asking.deadline(now);
        let news = tokio::select! {
            Some(news) = self.under_way.next() => Some(news),
            () = sleep_until(until) => None,
        };
        if let Some(news) = news {
            self.heard(news);
        }
        Some(())
    }

    fn heard(&mut self, news: News) {
        let now = self.search.0.begun.elapsed();
        match news {
            News::Linked(peer, directory, connection) => {
                self.asking.linked(peer, directory);
                let text = self.question.clone();
                let asking = async move {
                    let Some(group) = directory else {
                        let answer = ask(&connection, &Ask::Query(text), MAX_ANSWER).await;
                        return News::Answered(peer, answer);
                    };
                    let question = Ask::Directory { group, text };
                    let told = exchange(&connection, &question, MAX_LISTED).await;
                    News::Listed(peer, group, told.and_then(listed))
                };
                self.under_way.push(asking.boxed());
            }
            News::Answered(peer, answer) => self.asking.answered(peer, answer, now),
            News::Listed(peer, group, answer) => {
                let answer = answer.map(|it| self.without_own(it));
                self.asking.listed((peer, group), answer, (now, today()));
            }
        }
    }
}

impl Searching {
    /// What of a directory's answer is news: nothing of this node's own, or of who sent wrong content.
    fn without_own(&self, (mut documents, total): (Vec<Published>, u32)) -> (Vec<Published>, u32) {
        let contents = |documents: &[Published]| {
            let contents = documents.iter().map(|it| it.document.hit.content());
            contents.collect::<BTreeSet<_>>().len()
        };
        let (own, before) = (self.search.0.endpoint.id(), contents(&documents));
        let sharing = &self.search.0.sharing;
        documents.retain(|it| it.publisher != own && !sharing.is_liar(it.publisher));
        let left_out = before - contents(&documents);
        (documents, total.saturating_sub(left_out as u32))
    }
}

/// What a directory listed.
fn listed(told: Told) -> Result<(Vec<Published>, u32), NoAnswer> {
    match told {
        Told::Listed { documents, total } => Ok((documents, total)),
        Told::NotForYou => Err(NoAnswer::NotForUs),
        Told::NoDirectory => Err(NoAnswer::NoDirectory),
        Told::Later(ms) => Err(NoAnswer::Later(Duration::from_millis(ms.into()))),
        Told::Found { .. } | Told::NoQuery | Told::Taken => Err(NoAnswer::Wrong),
    }
}

/// Asks for what a peer has.
async fn ask(
    connection: &Connection,
    question: &Ask,
    limit: usize,
) -> Result<(Vec<Hit>, u32), NoAnswer> {
    match exchange(connection, question, limit).await? {
        Told::Found { hits, total } => Ok((hits, total)),
        Told::NotForYou => Err(NoAnswer::NotForUs),
        Told::Later(ms) => Err(NoAnswer::Later(Duration::from_millis(ms.into()))),
        Told::NoQuery | Told::NoDirectory | Told::Taken | Told::Listed { .. } => {
            Err(NoAnswer::Wrong)
        }
    }
}

/// Says something on a stream of its own, and hears what is told.
pub(super) async fn exchange(
    connection: &Connection,
    question: &Ask,
    limit: usize,
) -> Result<Told, NoAnswer> {
    let lost = |error: &dyn fmt::Display| NoAnswer::Unreached(format!("the link broke: {error}"));
    let (mut send, mut recv) = connection.open_bi().await.map_err(|error| lost(&error))?;
    let asked = frame::write(&mut send, question, MAX_ASK).await;
    asked.map_err(|error| lost(&error))?;
    // It is read to the end of its frame anyway.
    let _ = send.finish();
    match frame::read(&mut recv, limit).await {
        Ok(Some(told)) => Ok(told),
        Err(frame::FrameError::Read(error)) => Err(lost(&error)),
        Ok(None) | Err(_) => Err(NoAnswer::Wrong),
    }
}

fn unreached(error: &ConnectError) -> NoAnswer {
    if matches!(error, ConnectError::NoSuchService) {
        return NoAnswer::NoSearch;
    }
    NoAnswer::Unreached(error.to_string())
}

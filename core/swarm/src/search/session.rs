//! Asking others: [`Searching`] and [`Page`].

use std::{collections::BTreeMap, fmt, time::Duration};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use peerway::{ConnectError, Connection, PeerId, Ticket};
use thiserror::Error;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{
    ALPN,
    asking::{Asking, NoAnswer, Step, Target},
    query::Query,
    serve::Search,
    wire::{Ask, Hit, MAX_ANSWER, MAX_ASK, MAX_PAGE, MAX_PAGE_HITS, Told},
};
use crate::{frame, share::lock};

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

enum News {
    Linked(PeerId),
    Answered(PeerId, Result<(Vec<Hit>, u32), NoAnswer>),
}

/// A search that goes on as long as it is asked for the [next](Self::next) step; dropping it ends it.
pub struct Searching {
    search: Search,
    asking: Asking,
    tickets: BTreeMap<PeerId, Ticket>,
    question: String,
    under_way: FuturesUnordered<BoxFuture<'static, (News, Option<Connection>)>>,
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
        let own = self.0.endpoint.id();
        let snapshot = self.0.endpoint.snapshot();
        let is_linked = |peer| snapshot.peer(peer).is_some_and(|it| it.path.is_some());
        let others = peers.iter().filter(|(ticket, _)| ticket.id() != own);
        let targets: Vec<_> = others
            .map(|(ticket, is_known)| Target {
                peer: ticket.id(),
                is_known: *is_known,
                is_linked: is_linked(ticket.id()),
            })
            .collect();
        let now = self.0.begun.elapsed();
        lock(&self.0.own)
            .take(own, None, now)
            .map_err(SearchError::TooFast)?;
        let question = query.text().to_owned();
        Ok(Searching {
            asking: Asking::new(query, targets, patience.min(MAX_PATIENCE), now),
            tickets: peers
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
    async fn connection(&self, ticket: Ticket) -> Result<Connection, NoAnswer> {
        let peer = ticket.id();
        {
            let mut connections = lock(&self.0.connections);
            connections.retain(|_, (connection, used)| {
                connection.close_reason().is_none() && used.elapsed() < KEPT
            });
            if let Some((connection, used)) = connections.get_mut(&peer) {
                *used = Instant::now();
                return Ok(connection.clone());
            }
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
                Some(Step::Ask(peer)) => self.begin(peer),
                Some(Step::Done(summary)) => {
                    self.under_way.clear();
                    return Some(Step::Done(summary));
                }
                Some(step) => return Some(step),
                None => self.wait().await?,
            }
        }
    }

    fn begin(&mut self, peer: PeerId) {
        let Some(ticket) = self.tickets.get(&peer).cloned() else {
            return;
        };
        let search = self.search.clone();
        let connecting = async move {
            if search.0.sharing.is_liar(peer) {
                return (News::Answered(peer, Err(NoAnswer::Lied)), None);
            }
            match search.connection(ticket).await {
                Ok(connection) => (News::Linked(peer), Some(connection)),
                Err(why) => (News::Answered(peer, Err(why)), None),
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
        match news {
            Some((News::Linked(peer), Some(connection))) => {
                self.asking.linked(peer);
                let question = Ask::Query(self.question.clone());
                let asking = async move {
                    let answer = ask(&connection, &question, MAX_ANSWER).await;
                    (News::Answered(peer, answer), None)
                };
                self.under_way.push(asking.boxed());
            }
            Some((News::Answered(peer, answer), _)) => {
                let now = self.search.0.begun.elapsed();
                self.asking.answered(peer, answer, now);
            }
            Some((News::Linked(_), None)) | None => {}
        }
        Some(())
    }
}

/// Asks on a stream of its own.
async fn ask(
    connection: &Connection,
    question: &Ask,
    limit: usize,
) -> Result<(Vec<Hit>, u32), NoAnswer> {
    let lost = |error: &dyn fmt::Display| NoAnswer::Unreached(format!("the link broke: {error}"));
    let (mut send, mut recv) = connection.open_bi().await.map_err(|error| lost(&error))?;
    let asked = frame::write(&mut send, question, MAX_ASK).await;
    asked.map_err(|error| lost(&error))?;
    // It is read to the end of its frame anyway.
    let _ = send.finish();
    let told = match frame::read(&mut recv, limit).await {
        Ok(told) => told,
        Err(frame::FrameError::Read(error)) => return Err(lost(&error)),
        Err(_) => return Err(NoAnswer::Wrong),
    };
    match told {
        Some(Told::Found { hits, total }) => Ok((hits, total)),
        Some(Told::NotForYou) => Err(NoAnswer::NotForUs),
        Some(Told::Later(ms)) => Err(NoAnswer::Later(Duration::from_millis(ms.into()))),
        Some(Told::NoQuery) | None => Err(NoAnswer::Wrong),
    }
}

fn unreached(error: &ConnectError) -> NoAnswer {
    if matches!(error, ConnectError::NoSuchService) {
        return NoAnswer::NoSearch;
    }
    NoAnswer::Unreached(error.to_string())
}

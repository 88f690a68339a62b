//! Peers whose whereabouts are not known, or not any more, are looked up in the [`Directory`] while they are dialled.
//!
//! What the ticket, the address book and the local network say is tried by the node at once. A peer of which only the id is known is
//! looked up at the same time; one for which there are relays or addresses only if those have not led to it within a second, and only
//! if its ticket has a discovery secret. The first valid record is tried at once, newer ones after it. A peer that has no relay is
//! [called](crate::call).

mod calling;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use peerway::{
    DiscoverySecret, Endpoint, NodeSnapshot, PathPolicy, Search, Searches, SecretKey, Ticket,
};
use thiserror::Error;
use tokio::{sync::watch, task::AbortHandle, time::sleep};

use crate::{
    directory::{Directory, DirectoryError},
    record::{self, OpenError, Period, Record},
    unix_seconds,
};

/// What relays and addresses that are known may take before the directory is asked.
const HEAD_START: Duration = Duration::from_secs(1);
/// Look-ups at the same time; more peers wait.
const MAX_LOOKUPS: usize = 16;

/// Why the directory does not say where a peer is.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum NotFound {
    /// Dial its ticket, or have it publish for everybody.
    #[error(
        "it has published nothing for those who know its id alone: dial its ticket, or have it run with its record public"
    )]
    NotPublic,
    /// Start the peer, with a relay and with leave to publish.
    #[error(
        "it has published no record in the Mainline DHT for this ticket: is it running, with leave to publish?"
    )]
    NotPublished,
    /// One of the two needs a relay: `peerway up --relay`.
    #[error(
        "it has no relay and can only say hello to us, but the router here gives each destination another port, so that nobody gets in: one of the two needs a relay"
    )]
    PortsVary,
    /// Try again; one of the two needs a relay if that does not help.
    #[error(
        "it has no relay and can only say hello to us, but too few nodes of the Mainline DHT say where they see this computer: if that stays so, one of the two needs a relay"
    )]
    Unplaced,
    /// Try again in half a minute.
    #[error(
        "it has no relay, and others are calling it by way of the Mainline DHT: try again in half a minute"
    )]
    Busy,
    /// Start it, have it let us in, or use a relay.
    #[error(
        "it was called by way of the Mainline DHT and said no hello within {} s: it is off, or does not let this computer in, or its router and ours do not work together, and one of the two needs a relay",
        crate::call::caller::PATIENCE.as_secs()
    )]
    Unanswered,
    /// What is there cannot be used.
    #[error("its record in the Mainline DHT cannot be used: {0}")]
    Record(#[from] OpenError),
    /// Nobody could be asked.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

/// Looks up whom an endpoint dials, until this is dropped or the endpoint ends.
#[derive(Debug)]
pub struct Discovery(AbortHandle);

impl Discovery {
    /// Begins: dials from now on are helped.
    /// The key is the endpoint's: it signs calls.
    pub async fn start(endpoint: &Endpoint, key: SecretKey, directory: Directory) -> Self {
        let searches = endpoint.searches().await;
        let finder = Finder {
            key,
            snapshots: endpoint.snapshots(),
            records: directory.by_relays_of(endpoint),
            directory,
        };
        #[expect(clippy::disallowed_methods, reason = "it lives as long as the value")]
        let task = tokio::spawn(run(searches, finder));
        Self(task.abort_handle())
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What it takes to find somebody.
struct Finder {
    key: SecretKey,
    /// Of the node.
    snapshots: watch::Receiver<Arc<NodeSnapshot>>,
    /// Where records are looked for.
    records: Directory,
    /// Where calls are left: nobody says hello to whom no UDP reaches, so a relay is of no use for it.
    directory: Directory,
}

async fn run(mut searches: Searches, finder: Finder) {
    let mut nodes = finder.directory.watch_nodes();
    nodes.mark_changed();
    let mut lookups = FuturesUnordered::new();
    loop {
        tokio::select! {
            search = searches.next(), if lookups.len() < MAX_LOOKUPS => match search {
                Some(search) => lookups.push(look_up(search, &finder)),
                None => return,
            },
            Some(()) = lookups.next() => {}
            Ok(()) = nodes.changed() => {
                let nodes = nodes.borrow_and_update().clone();
                let nodes = nodes.iter().filter_map(|node| node.parse().ok());
                searches.set_observers(nodes.collect()).await;
            }
        }
    }
}

async fn look_up(search: Search, finder: &Finder) {
    let known = is_known(search.target());
    if known && search.target().discovery().is_none() {
        return;
    }
    if known {
        tokio::select! {
            () = search.over() => return,
            () = sleep(HEAD_START) => {}
        }
    }
    let result = tokio::select! {
        () = search.over() => return,
        result = finder.find(&search) => result,
    };
    if let Err(reason) = result {
        tracing::debug!(peer = %search.target().id().short(), %reason, "not found in the directory");
        search.give_up(reason).await;
    }
}

impl Finder {
    /// Looks for records, and calls the peer if they say that it has to be called.
    async fn find(&self, search: &Search) -> Result<(), NotFound> {
        let (tell, told) = watch::channel(Vec::new());
        if search.policy() == PathPolicy::RelayOnly {
            // A call would tell it where we are.
            return records(search, &self.records, tell).await;
        }
        let calling = self.call(search, told.clone());
        tokio::pin!(calling);
        tokio::select! {
            looked = records(search, &self.records, tell) => looked?,
            reason = &mut calling => return Err(reason),
        }
        if told.borrow().is_empty() {
            return Ok(());
        }
        Err(calling.await)
    }
}

/// Whether a ticket says where the peer is.
fn is_known(ticket: &Ticket) -> bool {
    !ticket.relays().is_empty() || !ticket.addrs().is_empty()
}

/// Hands on each record that is newer than those before, until no node has another, and says where the peer is to be called.
async fn records(
    search: &Search,
    directory: &Directory,
    to_call: watch::Sender<Vec<SocketAddr>>,
) -> Result<(), NotFound> {
    let target = search.target();
    let peer = target.id();
    let secret = target.discovery().unwrap_or(DiscoverySecret::PUBLIC);
    let period = Period::at(peer, unix_seconds());
    let key = record::key(peer, secret, period).ok_or(OpenError::Forged)?;
    let mut lookup = directory.get(key).await;
    let mut newest: Option<Record> = None;
    let mut trouble = match target.discovery() {
        Some(_) => NotFound::NotPublished,
        None => NotFound::NotPublic,
    };
    while let Some(item) = lookup.next().await {
        let record = Record::open(peer, secret, period, &item?, unix_seconds());
        match record {
            Ok(record) => {
                let is_news = newest
                    .as_ref()
                    .is_none_or(|it| it.written_at < record.written_at);
                if is_news {
                    let age = unix_seconds().saturating_sub(record.written_at);
                    tracing::info!(peer = %peer.short(), age, "found by its record in the Mainline DHT");
                    let ticket = record.ticket(peer);
                    if is_known(&ticket) {
                        search.found(ticket).await;
                    }
                    to_call.send_replace(record.to_call.clone());
                    newest = Some(record);
                }
            }
            Err(error) => trouble = error.into(),
        }
    }
    newest.map(drop).ok_or(trouble)
}

#[cfg(test)]
mod tests;

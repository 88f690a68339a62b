//! Peers that are dialled, for a program that may know more of where they are: [`Search`].

use std::{collections::BTreeMap, error::Error, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::future::{AbortHandle, Abortable};
use tokio::sync::mpsc;

use super::command::Command;
use crate::{ConnectError, PathPolicy, PeerId, Ticket};

/// Searches that wait for the program to begin them. More dials than that are left to themselves.
const WAITING: usize = 64;
/// What a search may find before it is made use of.
const FOUND: usize = 4;

/// The peers that a node dials from now on, for a program that may know more of where they are than the node does: see
/// [`Endpoint::searches`](crate::Endpoint::searches).
#[derive(Debug)]
pub struct Searches {
    searches: mpsc::Receiver<Search>,
    /// It does not keep the node alive.
    commands: mpsc::WeakSender<Command>,
}

impl Searches {
    pub(crate) fn new(commands: mpsc::WeakSender<Command>) -> (mpsc::Sender<Search>, Self) {
        let (sender, searches) = mpsc::channel(WAITING);
        (sender, Self { searches, commands })
    }

    /// Nodes of the Mainline DHT that may be asked where they see this node, instead of those named before; the first 64 of IPv4 are. As
    /// long as the node is registered with no relay it asks some, until three agree, and two of them every 20 s from then on.
    /// What they say is in the snapshot's `network`, as `public_v4` and `observed`.
    pub async fn set_observers(&self, nodes: Vec<SocketAddr>) {
        if let Some(commands) = self.commands.upgrade() {
            let _ = commands.send(Command::Observers { nodes }).await;
        }
    }

    /// The next peer that is dialled; none once the node has ended, or another program does this.
    pub async fn next(&mut self) -> Option<Search> {
        self.searches.recv().await
    }
}

/// A peer that is dialled. As long as this is not dropped, the dial does not fail for want of a way to the peer, but within its time.
#[derive(Debug)]
pub struct Search {
    target: Ticket,
    policy: PathPolicy,
    news: mpsc::Sender<News>,
}

impl Search {
    /// What is dialled.
    #[must_use]
    pub fn target(&self) -> &Ticket {
        &self.target
    }

    /// Which paths were wanted to it when the dial began. With [`PathPolicy::RelayOnly`] nothing is to tell it an address of ours.
    #[must_use]
    pub fn policy(&self) -> PathPolicy {
        self.policy
    }

    /// Relays and addresses at which the peer may be, which add to what is known. A ticket of another peer is not looked at.
    pub async fn found(&self, ticket: Ticket) {
        if ticket.id() == self.target.id() {
            // Whoever does not listen any more does not need it.
            let _ = self.news.send(News::Found(ticket)).await;
        }
    }

    /// The peer was asked by other means to say hello to us, from one of these addresses. Our own NAT is opened for that, by packets that do
    /// not get as far as the peer's, where they could spoil the port; to be repeated before 30 s are over, as NATs forget. The dial is
    /// given `patience` from now on, unless it already has more.
    pub async fn await_call(&self, addrs: Vec<SocketAddr>, patience: Duration) {
        let news = News::Called { addrs, patience };
        let _ = self.news.send(news).await;
    }

    /// Nothing was found, for this reason. It is told to the dialler where nothing else says where the peer is.
    pub async fn give_up(self, reason: impl Error + Send + Sync + 'static) {
        let _ = self.news.send(News::InVain(Arc::new(reason))).await;
    }

    /// Waits until nothing more needs to be found: the peer is connected, or nobody waits for it any more.
    pub async fn over(&self) {
        self.news.closed().await;
    }
}

/// What a program says of a search.
#[derive(Debug)]
pub(super) enum News {
    Found(Ticket),
    Called {
        addrs: Vec<SocketAddr>,
        patience: Duration,
    },
    InVain(Arc<dyn Error + Send + Sync>),
}

/// Something came of a search; nothing any more if it was ended here or there.
pub(super) struct Searched {
    pub(super) peer: PeerId,
    number: u64,
    pub(super) news: Option<(News, mpsc::Receiver<News>)>,
}

/// The searches for the peers of a node.
#[derive(Default)]
pub(super) struct Looking {
    program: Option<mpsc::Sender<Search>>,
    by_peer: BTreeMap<PeerId, Looked>,
    /// Searches so far, each step of each.
    number: u64,
}

struct Looked {
    number: u64,
    /// Why the dials would be in vain if nothing was found.
    failure: Option<ConnectError>,
    /// Why nothing was found, if that was known first.
    reason: Option<Arc<dyn Error + Send + Sync>>,
    /// Whether the peer was called by other means, so that it says more why that is in vain.
    called: bool,
    end: AbortHandle,
}

impl Looking {
    /// A program searches from now on, in place of another one.
    pub(super) fn set_program(&mut self, program: mpsc::Sender<Search>) {
        self.program = Some(program);
    }

    /// Has a peer searched for, unless it is or nobody does so. What is to be waited for.
    pub(super) fn begin(
        &mut self,
        target: &Ticket,
        policy: PathPolicy,
    ) -> Option<impl Future<Output = Searched> + Send + use<>> {
        let peer = target.id();
        let program = self.program.as_ref()?;
        if self.by_peer.contains_key(&peer) {
            return None;
        }
        let (news, told) = mpsc::channel(FOUND);
        let target = target.clone();
        let search = Search {
            target,
            policy,
            news,
        };
        program.try_send(search).ok()?;
        Some(self.wait(peer, told))
    }

    /// Whether this search is still on.
    pub(super) fn is_on(&self, searched: &Searched) -> bool {
        let looked = self.by_peer.get(&searched.peer);
        looked.is_some_and(|looked| looked.number == searched.number)
    }

    /// Waits for what is found next. What is known to be in vain until then does not count any more.
    pub(super) fn wait(
        &mut self,
        peer: PeerId,
        mut told: mpsc::Receiver<News>,
    ) -> impl Future<Output = Searched> + Send + use<> {
        self.number += 1;
        let number = self.number;
        let (end, aborted) = AbortHandle::new_pair();
        let looked = Looked {
            number,
            failure: None,
            reason: None,
            called: self.was_called(peer),
            end,
        };
        self.by_peer.insert(peer, looked);
        let next = async move { told.recv().await.map(|news| (news, told)) };
        let next = Abortable::new(next, aborted);
        async move {
            let news = next.await.ok().flatten();
            Searched { peer, number, news }
        }
    }

    /// Waits on: the peer was called by other means, which changes nothing of what else is in vain.
    pub(super) fn wait_on(
        &mut self,
        peer: PeerId,
        told: mpsc::Receiver<News>,
    ) -> impl Future<Output = Searched> + Send + use<> {
        let looked = self.by_peer.get_mut(&peer);
        let failure = looked.and_then(|looked| looked.failure.take());
        let next = self.wait(peer, told);
        if let Some(looked) = self.by_peer.get_mut(&peer) {
            (looked.failure, looked.called) = (failure, true);
        }
        next
    }

    pub(super) fn was_called(&self, peer: PeerId) -> bool {
        self.by_peer.get(&peer).is_some_and(|looked| looked.called)
    }

    /// The peer is not reached. What to tell the diallers of that, unless there is a search yet that may change it.
    pub(super) fn defer(&mut self, peer: PeerId, failure: ConnectError) -> Option<ConnectError> {
        let Some(looked) = self.by_peer.get_mut(&peer) else {
            return Some(failure);
        };
        let Some(reason) = looked.reason.take() else {
            looked.failure = Some(failure);
            return None;
        };
        let called = looked.called;
        self.end(peer);
        Some(in_vain(failure, Some(reason), called))
    }

    /// The search is over. What to tell the diallers of it, unless something else may yet lead to the peer.
    pub(super) fn give_up(
        &mut self,
        peer: PeerId,
        reason: Option<Arc<dyn Error + Send + Sync>>,
    ) -> Option<ConnectError> {
        let looked = self.by_peer.get_mut(&peer)?;
        if looked.failure.is_none() && reason.is_some() {
            looked.reason = reason;
            return None;
        }
        let called = looked.called;
        let failure = self.end(peer)?;
        Some(in_vain(failure, reason, called))
    }

    /// Nothing more is to be found. Why the dials are in vain, if they are.
    pub(super) fn end(&mut self, peer: PeerId) -> Option<ConnectError> {
        let looked = self.by_peer.remove(&peer)?;
        looked.end.abort();
        looked.failure
    }
}

/// What a dialler is told whose peer was searched for in vain.
fn in_vain(
    failure: ConnectError,
    reason: Option<Arc<dyn Error + Send + Sync>>,
    called: bool,
) -> ConnectError {
    let Some(reason) = reason else {
        return failure;
    };
    if called {
        return ConnectError::CalledInVain { reason };
    }
    if matches!(
        failure,
        ConnectError::NoAddress | ConnectError::NotSearched { .. }
    ) {
        return ConnectError::NotFound { reason };
    }
    if matches!(
        failure,
        ConnectError::Offline { .. } | ConnectError::Unreached { .. } | ConnectError::Relay { .. }
    ) {
        let failure = Box::new(failure);
        return ConnectError::NowhereElse { failure, reason };
    }
    failure
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::{RelayUrl, SecretKey};

    #[test]
    fn whoever_is_not_at_a_relay_and_not_found_elsewhere_is_said_to_be_neither() {
        let key = SecretKey::from_seed(&[1; 32]).id();
        let relay = RelayUrl::new(key, "62.1.1.1", 4433).unwrap();
        let failure = ConnectError::Offline { relay };
        let place = failure.to_string();
        let reason: Arc<dyn Error + Send + Sync> =
            Arc::new(io::Error::other("the library is closed"));
        let said = in_vain(failure, Some(reason), false).to_string();
        assert!(said.starts_with(&place), "{said}");
        assert!(said.ends_with("the library is closed"), "{said}");
    }
}

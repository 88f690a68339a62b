//! Where peers come with files: whoever receives at the moment takes them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use peerway::{
    Connection, Endpoint, Names as _, PeerId,
    quic::close,
    services::files::{Inbox, Offered, Progress, Refusal},
};
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

use super::{Direction, End, Offers, Step, Steps, Teller, What, journal::Journal};
use crate::book::Book;

/// Who receive at a time.
const TAKERS: usize = 16;
/// How long a question waits for its answer.
const PATIENCE: Duration = Duration::from_secs(600);
/// Told to who comes with files while nobody takes any.
const NOBODY: (u32, &[u8]) = (close::NO_SERVICE, b"nobody receives files here");

/// Takes the files that peers offer to a node; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Desk(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    book: watch::Receiver<Arc<Book>>,
    journal: Journal,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The last who came is asked first.
    takers: Vec<Taker>,
    /// Offers that wait for an answer, by the number of their transfer.
    questions: BTreeMap<u64, oneshot::Sender<bool>>,
}

#[derive(Clone, Debug)]
struct Taker {
    from: Whom,
    inbox: Inbox,
    asks: bool,
    teller: Teller,
}

/// From whom somebody receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    /// Whoever is let in to the node.
    Anyone,
    /// Peers of the address book.
    Known,
    Only(PeerId),
}

/// There are too many already.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{TAKERS} receive here already: try again when one of them has ended")]
pub(crate) struct Crowded;

impl Desk {
    /// Of this node, which calls peers as this book does.
    pub(crate) fn new(endpoint: Endpoint, book: watch::Receiver<Arc<Book>>) -> Self {
        let (journal, state) = (Journal::new(endpoint), Mutex::default());
        Self(Arc::new(Inner {
            book,
            journal,
            state,
        }))
    }

    /// What was transferred so far.
    pub(crate) fn journal(&self) -> &Journal {
        &self.0.journal
    }

    /// Puts what comes into a folder, as long as somebody listens, and takes precedence over who did so before. With `asks` each offer
    /// waits for its [answer](Self::answer).
    ///
    /// # Errors
    /// [`Crowded`].
    pub(crate) fn receive(&self, inbox: Inbox, from: Whom, asks: bool) -> Result<Steps, Crowded> {
        let (teller, steps) = Teller::new();
        let mut state = self.state();
        state.takers.retain(|taker| !taker.teller.is_closed());
        if state.takers.len() >= TAKERS {
            return Err(Crowded);
        }
        let folder = inbox.folder().to_owned();
        // The first of what there is room for.
        let _ = teller.0.try_send(Step::Receiving { folder });
        state.takers.push(Taker {
            from,
            inbox,
            asks,
            teller,
        });
        Ok(steps)
    }

    /// Says whether an offer is taken; false if it does not wait for that.
    pub(crate) fn answer(&self, transfer: u64, takes: bool) -> bool {
        let question = self.state().questions.remove(&transfer);
        question.is_some_and(|question| question.send(takes).is_ok())
    }

    /// Takes what a peer that connected offers, or says why not.
    pub(crate) async fn serve(&self, connection: Connection) {
        let peer = connection.peer();
        let taker = match self.taker(peer) {
            Ok(taker) => taker,
            Err((code, why)) => return connection.close(code, why),
        };
        let is_taken = AtomicBool::new(false);
        tokio::select! {
            () = self.take(&taker, &connection, &is_taken) => {}
            () = taker.teller.closed() => match is_taken.load(Relaxed) {
                true => connection.close(0, b"the receiver has ended"),
                false => connection.close(NOBODY.0, NOBODY.1),
            },
        }
    }

    /// Who takes something from this peer.
    fn taker(&self, peer: PeerId) -> Result<Taker, (u32, &'static [u8])> {
        let mut state = self.state();
        state.takers.retain(|taker| !taker.teller.is_closed());
        let is_known = self.0.book.borrow().of(peer).is_some();
        let takes = |taker: &&Taker| match taker.from {
            Whom::Anyone => true,
            Whom::Known => is_known,
            Whom::Only(id) => id == peer,
        };
        if let Some(taker) = state.takers.iter().rev().find(takes) {
            return Ok(taker.clone());
        }
        Err(if state.takers.is_empty() {
            NOBODY
        } else {
            (close::NOT_LET_IN, b"files of others are received here")
        })
    }

    async fn take(&self, taker: &Taker, connection: &Connection, is_taken: &AtomicBool) {
        let Taker { inbox, teller, .. } = taker;
        let peer = connection.peer();
        let transfer = self.journal().running().number();
        let offered = match inbox.offered(connection).await {
            Ok(offered) => offered,
            Err(error) => {
                let error = super::TransferError::from(error);
                return teller.tell(error.failed(transfer, Some(peer))).await;
            }
        };
        let name = self.0.book.borrow().peer(&peer);
        // Before it is asked for.
        let answer = taker.asks.then(|| self.question(transfer));
        teller
            .tell(Step::Offered {
                transfer,
                peer,
                name: name.clone(),
                offer: Offers::from(offered.offer()),
            })
            .await;
        if let Some(answer) = answer
            && let Err(refusal) = agreed(answer, &offered, transfer, teller).await
        {
            return offered.refuse(refusal).await;
        }
        is_taken.store(true, Relaxed);
        let first = offered.offer().names.first().cloned();
        let progress = Progress::default();
        let what = What {
            direction: Direction::Receiving,
            peer: Some(peer),
            name: first.clone(),
            folder: Some(inbox.folder().to_owned()),
        };
        let shown = self.journal().running().show(transfer, what, &progress);
        let taking = offered.accept(&progress);
        let taken = teller
            .during(transfer, (&progress, connection), taking)
            .await;
        drop(shown);
        let step = match taken {
            Ok(report) => {
                let (folder, end) = (inbox.folder().to_owned(), End::from(report));
                let noted = end.noted(first, Some(&folder));
                self.journal().received(peer, noted);
                Step::Received {
                    transfer,
                    peer,
                    name,
                    folder,
                    end,
                }
            }
            Err(error) => super::TransferError::from(error).failed(transfer, Some(peer)),
        };
        teller.tell(step).await;
    }

    /// Whether nobody receives.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.state()
            .takers
            .iter()
            .all(|taker| taker.teller.is_closed())
    }

    fn question(&self, transfer: u64) -> oneshot::Receiver<bool> {
        let (answer, answered) = oneshot::channel();
        let mut state = self.state();
        state.questions.retain(|_, question| !question.is_closed());
        state.questions.insert(transfer, answer);
        answered
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether it is to be taken; not, if nobody answers or it is not offered any more.
async fn agreed(
    answer: oneshot::Receiver<bool>,
    offered: &Offered,
    transfer: u64,
    teller: &Teller,
) -> Result<(), Refusal> {
    let answered = tokio::select! {
        answered = timeout(PATIENCE, answer) => answered,
        () = offered.withdrawn() => {
            teller.tell(Step::Withdrawn { transfer }).await;
            return Err(Refusal::Declined);
        }
    };
    if let Ok(Ok(true)) = answered {
        return Ok(());
    }
    teller.tell(Step::Declined { transfer }).await;
    Err(match answered {
        Ok(_) => Refusal::Declined,
        Err(_) => Refusal::Unanswered,
    })
}

//! A local address that leads to a service of a peer, for as long as somebody listens to how it fares.
//!
//! The [`Steps`] are data, and the same whether a command runs the node itself or the one that runs here does it for it over the
//! control socket. Who drops them ends the forward.

mod bound;
mod error;
#[cfg(unix)]
mod unix;
mod watch;

use std::{convert::Infallible, future::pending, time::Duration};

use futures_util::stream::BoxStream;
use peerway::{
    Event, Ticket,
    services::tunnel::{DatagramCounts, ForwardError, Forwarder, ServiceName, Transport},
};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{
        broadcast::{Receiver, error::RecvError},
        mpsc, watch as latest,
    },
    time::sleep,
};

use self::watch::Watch;
pub(crate) use self::{
    bound::Bound,
    error::{By, ForwardingError, ListenError, forward_kind, misfit, words},
};
use crate::{
    kept::Local,
    links::Links,
    listened,
    operations::{Dialling, Failed, Patience},
    transfers::{Running, What},
    written::Written,
};

/// Between two tries to reach a peer that nobody has asked for yet.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// How often is told what became of datagrams, while any come.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// What is to be led where.
#[cfg_attr(not(unix), expect(dead_code, reason = "there is no socket to ask at"))]
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForwardAsk {
    pub(crate) ticket: Ticket,
    pub(crate) service: Written<ServiceName>,
    pub(crate) listen: Written<Local>,
    /// Ends where the peer or its server cannot be reached at first.
    #[serde(default)]
    pub(crate) fail_fast: bool,
}

/// One after the other. It goes on until [`Step::Failed`], which is the last.
pub(crate) type Steps = BoxStream<'static, Step>;

/// How it fares.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Step {
    /// What whoever waits may want to know.
    Hint { text: String },
    /// Programs find it there.
    Listening { addr: String },
    /// The peer and its server are there.
    Reached,
    /// They are not yet; tried on.
    Waiting(Failed),
    /// Something has changed on the way to the peer.
    Way { happened: Box<Event> },
    /// A connection was not carried.
    Refused { reason: String, by: By },
    /// A connection that was carried ended with the link.
    Cut { reason: String },
    /// What became of UDP datagrams so far.
    Datagrams(Datagrams),
    /// It is forwarded no more.
    Failed(Failed),
}

/// [`DatagramCounts`] as they are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Datagrams {
    pub(crate) flows: u64,
    pub(crate) displaced: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) overflowed: u64,
    pub(crate) lost: u64,
    pub(crate) incomplete: u64,
    pub(crate) refused: u64,
}

impl From<DatagramCounts> for Datagrams {
    fn from(counts: DatagramCounts) -> Self {
        Self {
            flows: counts.flows,
            displaced: counts.displaced,
            sent: counts.sent,
            received: counts.received,
            overflowed: counts.overflowed,
            lost: counts.lost,
            incomplete: counts.incomplete,
            refused: counts.refused,
        }
    }
}

/// A service of a peer, and the node that leads there.
#[derive(Clone, Debug)]
pub(crate) struct Forward {
    links: Links,
    peer: Ticket,
    name: ServiceName,
    forwarder: Forwarder,
}

impl Forward {
    pub(crate) fn new(links: Links, peer: Ticket, name: ServiceName) -> Self {
        let forwarder = Forwarder::new(links.endpoint().clone(), peer.clone(), name.clone());
        Self {
            links,
            peer,
            name,
            forwarder,
        }
    }

    /// What became of UDP datagrams so far.
    pub(crate) fn datagrams(&self) -> DatagramCounts {
        self.forwarder.datagrams()
    }

    /// Leads what comes where it is bound, which is called `addr`, to the service.
    pub(crate) fn begin(&self, bound: Bound, addr: String, fail_fast: bool) -> Steps {
        let forward = self.clone();
        listened::steps(async move |tell| {
            let teller = Teller(tell);
            if let Err(error) = forward.run(bound, addr, fail_fast, &teller).await {
                teller.tell(Step::Failed(error.failed())).await;
            }
        })
    }

    /// The same, shown among what the node transfers, where it can be paused.
    pub(crate) fn begin_shown(
        &self,
        running: &Running,
        bound: Bound,
        addr: String,
        fail_fast: bool,
    ) -> Steps {
        let what = What::forward(self.peer.id(), self.name.to_string(), &addr);
        let (running, forward) = (running.clone(), self.clone());
        listened::steps(async move |tell| {
            let teller = Teller(tell);
            let work = forward.run(bound, addr, fail_fast, &teller);
            let ran = running.during(what, forward.forwarder.progress(), work);
            if let Err(error) = ran.await {
                teller.tell(Step::Failed(error.failed())).await;
            }
        })
    }

    /// Ends with the node, or where it is of no use to go on.
    async fn run(
        &self,
        bound: Bound,
        addr: String,
        fail_fast: bool,
        teller: &Teller,
    ) -> Result<(), ForwardingError> {
        let wanted = bound.wants();
        let events = self.links.endpoint().events();
        let (find, found) = latest::channel(None);
        if fail_fast {
            let hint = |text: &str| teller.hint(text);
            self.dialling(&hint).settled().await;
            find.send_replace(Some(self.check(wanted, &hint).await?));
        }
        teller.tell(Step::Listening { addr }).await;
        let (listening, failing) = (teller.clone(), teller.clone());
        let running = bound.run(
            &self.forwarder,
            found,
            move |addr| listening.note(Step::Listening { addr }),
            move |error: &ForwardError| failing.note(Step::of(error)),
        );
        tokio::select! {
            ran = running => Ok(ran?),
            reached = self.reach(wanted, &find, teller) => match reached? {},
            barred = self.links.until_barred(self.peer.id()) => Err(barred.into()),
            never = self.count(teller) => match never {},
            () = self.watch(events, teller) => Ok(()),
        }
    }

    /// Tries until the peer and its server are there, and says what is in the way. Ends only where trying on is of no use.
    async fn reach(
        &self,
        wanted: Option<Transport>,
        find: &latest::Sender<Option<Transport>>,
        teller: &Teller,
    ) -> Result<Infallible, ForwardingError> {
        let hint = |text: &str| teller.hint(text);
        self.dialling(&hint).settled().await;
        let mut told = String::new();
        loop {
            // Of later tries only what is other than before is news.
            let checked = match told.is_empty() {
                true => self.check(wanted, &hint).await,
                false => self.check(wanted, &|_: &str| ()).await,
            };
            let error = match checked {
                Ok(found) => {
                    find.send_replace(Some(found));
                    teller.tell(Step::Reached).await;
                    return pending().await;
                }
                Err(error) => error,
            };
            if !error.may_pass() {
                return Err(error);
            }
            let failed = error.failed();
            if failed.error != told {
                told.clone_from(&failed.error);
                teller.tell(Step::Waiting(failed)).await;
            }
            sleep(RETRY_PAUSE).await;
        }
    }

    async fn check(
        &self,
        wanted: Option<Transport>,
        hint: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Transport, ForwardingError> {
        let checking = async { self.forwarder.check().await.map_err(ForwardingError::from) };
        let dialling = self.dialling(hint);
        let found = dialling
            .answer(&self.peer, Patience::within(None), checking)
            .await?;
        match (found, wanted) {
            (found, Some(wanted)) if wanted != found => Err(misfit(found, &self.name).into()),
            (found, _) => Ok(found),
        }
    }

    /// Tells by which path the peer is reached and whether it is at all, whenever that changes. Ends with the node.
    async fn watch(&self, mut events: Receiver<Event>, teller: &Teller) {
        let mut watch = Watch::of(self.peer.id());
        loop {
            match events.recv().await {
                Ok(event) if watch.tells(&event.kind) => {
                    let happened = Box::new(event);
                    teller.note(Step::Way { happened });
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    async fn count(&self, teller: &Teller) -> Infallible {
        let mut told = DatagramCounts::default();
        loop {
            sleep(COUNT_EVERY).await;
            let now = self.datagrams();
            if now != told {
                told = now;
                teller.note(Step::Datagrams(now.into()));
            }
        }
    }

    fn dialling<'a>(&'a self, hint: &'a (dyn Fn(&str) + Send + Sync)) -> Dialling<'a> {
        let endpoint = self.links.endpoint();
        Dialling { endpoint, hint }
    }
}

#[derive(Clone, Debug)]
struct Teller(mpsc::Sender<Step>);

impl Teller {
    async fn tell(&self, step: Step) {
        // Whoever does not listen any more ends the work.
        let _ = self.0.send(step).await;
    }

    /// For whoever does not read, all is forwarded all the same.
    fn note(&self, step: Step) {
        let _ = self.0.try_send(step);
    }

    fn hint(&self, text: &str) {
        let text = text.to_owned();
        self.note(Step::Hint { text });
    }
}

//! Keeps in contact with a node that is asked: when it ends, or the link to it is lost, it is asked again until it answers.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use futures_util::{
    StreamExt,
    future::try_join,
    stream::{self, BoxStream},
};
use peerway::{Event, NodeSnapshot};
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use super::super::{clock::now_ms, failure::Failure};
use crate::{
    Told,
    control::{Client, ControlError, Seen},
    dash::Outage,
};

/// A node says something every second.
const SILENCE: Duration = Duration::from_secs(10);
/// How soon a node that is gone is asked again, at first and at most.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_AT_MOST: Duration = Duration::from_secs(5);
/// Events that wait to be shown.
const QUEUE: usize = 64;
/// Of what happened before, which the node tells of whenever it is asked.
const LAST: usize = 500;
/// Events that are known again: more than a node tells of at once, of transfers besides.
const KNOWN: usize = 600;
/// Of what ended as it should.
const ENDED: &str = "the node has ended";

/// What comes from the node, through all its outages.
pub(super) struct Contact {
    pub(super) snapshots: watch::Receiver<Arc<NodeSnapshot>>,
    pub(super) events: BoxStream<'static, Told>,
    pub(super) outages: BoxStream<'static, Option<Outage>>,
}

/// What passes it on.
pub(super) struct Keeper {
    node: Client,
    line: Line,
    samples: watch::Sender<Arc<NodeSnapshot>>,
    happened: mpsc::Sender<Told>,
    outage: watch::Sender<Option<Outage>>,
    told: Known,
    /// Transfers that are told among the events, by their time.
    transfers: VecDeque<Event>,
}

/// The events that were told: a node tells of the last ones whenever it is asked, and of each when it happens.
#[derive(Debug, Default)]
struct Known(VecDeque<Event>);

impl Known {
    /// Whether something was not told before.
    fn is_news(&mut self, event: &Event) -> bool {
        if self.0.contains(event) {
            return false;
        }
        if self.0.len() == KNOWN {
            self.0.pop_front();
        }
        self.0.push_back(event.clone());
        true
    }
}

/// An uninterrupted while.
struct Line {
    sights: BoxStream<'static, Result<Seen, ControlError>>,
    events: BoxStream<'static, Result<Told, ControlError>>,
}

/// The contact with a node that answers now, and what has to run for it to last.
pub(super) async fn begin(node: &Client) -> Result<(Contact, Keeper), Failure> {
    let mut line = Line::open(node).await?;
    // A node that ends just now says nothing more.
    let first = line.sights.next().await.transpose()?;
    let first = first.ok_or(Failure::NoNode)?;
    let (samples, snapshots) = watch::channel(first.snapshot);
    let (happened, events) = mpsc::channel(QUEUE);
    let (outage, outages) = watch::channel(None);
    let contact = Contact {
        snapshots,
        events: stream::unfold(events, async |mut events| {
            events.recv().await.map(|told| (told, events))
        })
        .boxed(),
        outages: stream::unfold(outages, async |mut outages| {
            outages.changed().await.ok()?;
            let now = outages.borrow_and_update().clone();
            Some((now, outages))
        })
        .boxed(),
    };
    let keeper = Keeper {
        node: node.clone(),
        line,
        samples,
        happened,
        outage,
        told: Known::default(),
        transfers: VecDeque::new(),
    };
    Ok((contact, keeper))
}

impl Keeper {
    pub(super) async fn keep(mut self) -> Infallible {
        loop {
            // That nothing is told of them, says the rest of the contact.
            let transfers = self.node.transfers().await.ok().flatten();
            self.transfers = transfers.map(|it| it.last).unwrap_or_default();
            let mut outage = Outage {
                reason: self.pass_on().await,
                since_ms: now_ms(),
            };
            let mut pause = AGAIN;
            self.line = loop {
                self.outage.send_replace(Some(outage.clone()));
                sleep(pause).await;
                pause = (pause * 2).min(AGAIN_AT_MOST);
                match self.ask_again().await {
                    Ok(line) => break line,
                    // Why it is gone says more than that it is.
                    Err(ControlError::Unreachable { .. }) => {}
                    Err(error) => outage.reason = error.to_string(),
                }
            };
            self.outage.send_replace(None);
        }
    }

    /// What came and went until then while nobody looked.
    async fn tell_of_transfers(&mut self, until_ms: u64) {
        let later = self.transfers.partition_point(|it| it.at_ms <= until_ms);
        for event in self.transfers.drain(..later).collect::<Vec<_>>() {
            self.tell(event).await;
        }
    }

    async fn tell(&mut self, event: Event) {
        if self.told.is_news(&event) {
            // Nobody listens once the dashboard is left.
            let _ = self.happened.send(Told::Event(event)).await;
        }
    }

    /// Until nothing more comes, for the reason that is returned.
    async fn pass_on(&mut self) -> String {
        loop {
            tokio::select! {
                biased;
                told = self.line.events.next() => match told {
                    Some(Ok(Told::Event(event))) => {
                        self.tell_of_transfers(event.at_ms).await;
                        self.tell(event).await;
                    }
                    Some(Ok(told)) => drop(self.happened.send(told).await),
                    Some(Err(error)) => return error.to_string(),
                    None => return ENDED.to_owned(),
                },
                seen = timeout(SILENCE, self.line.sights.next()) => match seen {
                    // The rest of it comes at once.
                    Ok(Some(Ok(Seen { more: true, .. }))) => {}
                    Ok(Some(Ok(seen))) => {
                        self.tell_of_transfers(u64::MAX).await;
                        self.samples.send_replace(seen.snapshot);
                    }
                    Ok(Some(Err(error))) => return error.to_string(),
                    Ok(None) => return ENDED.to_owned(),
                    Err(_) => return ControlError::Silent.to_string(),
                },
            }
        }
    }

    async fn ask_again(&self) -> Result<Line, ControlError> {
        self.node.mend().await?;
        Line::open(&self.node).await
    }
}

impl Line {
    async fn open(node: &Client) -> Result<Self, ControlError> {
        let (sights, events) = try_join(node.sights(), node.events(LAST)).await?;
        Ok(Self { sights, events })
    }
}

#[cfg(test)]
mod tests {
    use peerway::{EventKind, SecretKey, Transferred};

    use super::*;

    /// As it is when one ends just when the node is asked for the latest, and after each outage.
    #[test]
    fn what_happened_is_told_once_however_often_the_node_tells_of_it() {
        let at = |at_ms| {
            let what = Transferred {
                name: None,
                folder: None,
                files: 1,
                bytes: at_ms,
                missing: 0,
            };
            let peer = SecretKey::from_seed(&[1; 32]).id();
            let kind = EventKind::Sent { peer, what };
            Event::new(at_ms, kind)
        };
        let mut told = Known::default();
        let all: Vec<Event> = (0..2 * KNOWN as u64).map(at).collect();
        for event in &all {
            assert!(told.is_news(event));
        }
        let latest = &all[KNOWN..];
        assert!(latest.iter().all(|event| !told.is_news(event)));
    }
}

//! Keeps in contact with a node that is asked: when it ends, or the link to it is lost, it is asked again until it answers.

use std::{convert::Infallible, sync::Arc, time::Duration};

use futures_util::{
    StreamExt,
    future::try_join,
    stream::{self, BoxStream},
};
use peerway::NodeSnapshot;
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
    };
    Ok((contact, keeper))
}

impl Keeper {
    pub(super) async fn keep(mut self) -> Infallible {
        self.tell_of_transfers().await;
        loop {
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

    /// What came and went before anybody looked.
    async fn tell_of_transfers(&self) {
        // That it is not told, says the rest of the contact.
        if let Ok(Some(transfers)) = self.node.transfers().await {
            for event in transfers.last {
                let _ = self.happened.send(Told::Event(event)).await;
            }
        }
    }

    /// Until nothing more comes, for the reason that is returned.
    async fn pass_on(&mut self) -> String {
        loop {
            tokio::select! {
                seen = timeout(SILENCE, self.line.sights.next()) => match seen {
                    // The rest of it comes at once.
                    Ok(Some(Ok(Seen { more: true, .. }))) => {}
                    Ok(Some(Ok(seen))) => drop(self.samples.send_replace(seen.snapshot)),
                    Ok(Some(Err(error))) => return error.to_string(),
                    Ok(None) => return ENDED.to_owned(),
                    Err(_) => return ControlError::Silent.to_string(),
                },
                told = self.line.events.next() => match told {
                    // Nobody listens once the dashboard is left.
                    Some(Ok(told)) => drop(self.happened.send(told).await),
                    Some(Err(error)) => return error.to_string(),
                    None => return ENDED.to_owned(),
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
        let (sights, events) = try_join(node.sights(), node.events()).await?;
        Ok(Self { sights, events })
    }
}

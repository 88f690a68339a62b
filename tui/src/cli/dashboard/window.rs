//! The dashboard over the node that runs here: leaving it, or its end, is nothing to the node.

use std::{convert::Infallible, sync::Arc};

use futures_util::{FutureExt, Stream, StreamExt, stream::FuturesUnordered};
use peerway::{NodeSnapshot, Ticket};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    super::{args::Globals, failure::Failure, follow::Followed, peers::Peers, state::StateDir},
    DIAL_QUEUE, follow, people,
};
use crate::{
    control::{Client, ControlError},
    dash::{self, Command, Feed, Options},
};

pub(super) async fn open(globals: &Globals, node: Client) -> Result<(), Failure> {
    let state = StateDir::open(globals)?;
    let peers = state.peers();
    let book = Followed::open_or_empty(peers.book(), state.invites());
    let mut snapshots = node.snapshots().await?;
    // A node that ends just now says nothing more.
    let Some(first) = snapshots.next().await.transpose()? else {
        return Err(Failure::NoNode);
    };
    let (samples, receiver) = watch::channel(Arc::new(first));
    let (commands, requests) = mpsc::channel(DIAL_QUEUE);
    let events = node.events().await?;
    let source = Feed {
        snapshots: receiver,
        // What breaks off has ended: the dashboard says so.
        events: events.filter_map(async |told| told.ok()).boxed(),
        commands,
        people: follow(&peers, &book),
    };
    let options = Options {
        people: people(&peers, &book.book()),
        ..Options::default()
    };
    let pass_on = pass_on(snapshots, samples);
    tokio::select! {
        left = dash::run(source, options) => Ok(left?),
        never = dial(&node, &peers, requests) => match never {},
        never = pass_on => match never {},
        never = book.follow_names() => match never {},
    }
}

/// Until the node ends, which the dashboard sees by that nothing comes any more.
async fn pass_on(
    mut snapshots: impl Stream<Item = Result<NodeSnapshot, ControlError>> + Unpin,
    samples: watch::Sender<Arc<NodeSnapshot>>,
) -> Infallible {
    while let Some(Ok(snapshot)) = snapshots.next().await {
        samples.send_replace(Arc::new(snapshot));
    }
    drop(samples);
    std::future::pending().await
}

/// Has the node dial whom the dashboard names.
async fn dial(node: &Client, peers: &Peers, mut requests: mpsc::Receiver<Command>) -> Infallible {
    let mut dials = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(Command::Connect { ticket, reply }) = requests.recv() => {
                dials.push(connect(node, peers, ticket, reply).boxed_local());
            }
            Some(()) = dials.next() => {}
            else => return std::future::pending().await,
        }
    }
}

async fn connect(
    node: &Client,
    peers: &Peers,
    ticket: Ticket,
    reply: oneshot::Sender<Result<(), String>>,
) {
    let result = node.connect(&ticket).await;
    if result.is_ok() {
        peers.remember(&ticket);
    }
    // Nobody waits for the answer once the dashboard is left.
    let _ = reply.send(result.map_err(|error| error.to_string()));
}

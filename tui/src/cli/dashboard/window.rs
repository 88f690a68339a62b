//! The dashboard over the node that runs here: leaving it, or its end, is nothing to the node.

use std::{convert::Infallible, sync::Arc};

use futures_util::{Stream, StreamExt};
use peerway::NodeSnapshot;
use tokio::sync::{mpsc, watch};

use super::{
    super::{args::Globals, failure::Failure, follow::Followed, screen::Screen, state::StateDir},
    QUEUE, follow, groups, people,
    requests::Host,
};
use crate::{
    control::{Client, ControlError},
    dash::{self, Feed, Options},
};

pub(super) async fn open(globals: &Globals, screen: &Screen, node: Client) -> Result<(), Failure> {
    let state = StateDir::open(globals)?;
    let peers = state.peers();
    let book = Followed::open_or_empty(peers.book(), state.invites());
    let mut snapshots = node.snapshots().await?;
    // A node that ends just now says nothing more.
    let Some(first) = snapshots.next().await.transpose()? else {
        return Err(Failure::NoNode);
    };
    let (samples, receiver) = watch::channel(Arc::new(first));
    let (commands, requests) = mpsc::channel(QUEUE);
    let events = node.events().await?;
    let source = Feed {
        snapshots: receiver,
        // What breaks off has ended: the dashboard says so.
        events: events.filter_map(async |told| told.ok()).boxed(),
        commands,
        people: follow(&peers, &book),
        swarm: {
            let node = node.clone();
            groups(move || {
                let node = node.clone();
                // A node that does not answer is asked again; what it said before is shown as old.
                async move { node.swarm().await.ok() }
            })
        },
    };
    let options = Options {
        people: people(&peers, &book.book()),
        ..screen.options()
    };
    let host = Host::Running {
        node: &node,
        peers: &peers,
    };
    let pass_on = pass_on(snapshots, samples);
    tokio::select! {
        left = dash::run(source, options) => Ok(left?),
        never = host.serve(requests) => match never {},
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

//! `peerway` without a command: the dashboard, over a node that lives as long as it does.

#[cfg(unix)]
mod contact;
mod replay;
mod requests;
mod tunnels;
#[cfg(unix)]
mod window;

use std::{collections::BTreeSet, convert::Infallible, sync::Arc, time::Duration};

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use peerway::{Endpoint, Event, EventKind, NodeSnapshot, PeerId, Router, SwarmSnapshot};
use tokio::{
    sync::{broadcast::error::RecvError, mpsc, watch},
    time::{MissedTickBehavior, interval, sleep},
};

use self::requests::Host;
#[cfg(unix)]
use super::attach;
use super::{
    args::Globals, failure::Failure, follow::Followed, invite, keep::limited, node::Node,
    peers::Peers, screen::Screen, share, sharing,
};
use crate::{
    Commons,
    book::{Book, Trust},
    commons::Lookout,
    dash::{self, Feed, Options, People},
    links::Links,
    told,
};

/// Samples of the charts.
const SAMPLE: Duration = Duration::from_secs(1);
/// What is known of groups changes slowly.
const GROUPS: Duration = Duration::from_secs(2);
/// And while nothing is shared, only when somebody shares.
const GROUPS_IDLE: Duration = Duration::from_secs(6);
/// Requests not yet begun; the dashboard says when there are more.
const QUEUE: usize = 8;

pub(super) async fn run(globals: &Globals, screen: &Screen) -> Result<(), Failure> {
    if let Some(path) = &screen.replay {
        return replay::run(path, globals, screen).await;
    }
    #[cfg(unix)]
    if let Some(node) = attach::running(globals).await? {
        return window::open(globals, screen, node).await;
    }
    let relays = globals.relays.clone();
    let node = Node::beside(globals, relays).await?;
    let router = Router::new(node.endpoint.clone()).diagnostics();
    let router = share::serve(router, &node);
    let router = invite::host(router, globals, &node, log)?;
    let router = sharing::accept(router, &node);
    let book = node.book().book();
    let mut options = Options {
        owns_node: true,
        people: people(node.peers(), &book),
        ..screen.options(globals)?
    };
    if node.is_temporary() {
        options.note = "another peerway runs with this identity: this one is temporary".to_owned();
    }
    let body = async {
        tokio::select! {
            () = router.run() => Ok(()),
            never = node.book().follow(&node.endpoint, log) => match never {},
            never = sharing::share(&node) => match never {},
            never = limited(globals, &node, log) => match never {},
            result = show(&node.endpoint, Some(&node), options) => Ok(result?),
        }
    };
    node.run(body).await?;
    Ok(())
}

#[cfg(unix)]
pub(super) use window::of_peer;

/// Shows the dashboard over an endpoint until it is left; `node` has the address book, and remembers whom it reached.
pub(super) async fn show(
    endpoint: &Endpoint,
    node: Option<&Node>,
    options: Options,
) -> Result<(), dash::Error> {
    let (samples, snapshots) = watch::channel(endpoint.snapshot());
    let (commands, requests) = mpsc::channel(QUEUE);
    let source = Feed {
        snapshots,
        events: told(endpoint.events()).boxed(),
        outages: stream::pending().boxed(),
        commands,
        people: match node {
            Some(node) => follow(node.peers(), node.book()),
            None => stream::pending().boxed(),
        },
        swarm: match node {
            Some(node) => {
                let swarm = node.swarm().clone();
                groups(move || std::future::ready(Some(swarm.snapshot())))
            }
            None => stream::pending().boxed(),
        },
        commons: match node {
            Some(node) => own_commons(node),
            None => stream::pending().boxed(),
        },
    };
    let links = match node {
        Some(node) => node.links(),
        None => Links::new(endpoint.clone()),
    };
    let host = Host::Own {
        links: &links,
        peers: node.map(Node::peers),
        groups: node.and_then(Node::groups),
        running: node.map(|node| node.desk().journal().running()),
    };
    tokio::select! {
        left = dash::run(source, options) => left,
        never = sample(endpoint, &samples) => match never {},
        never = host.serve(requests) => match never {},
    }
}

/// The screen is the dashboard's.
fn log(line: String) {
    tracing::warn!(line, "not shown");
}

/// Whom the book names, and who was reached before.
fn people(peers: &Peers, book: &Book) -> People {
    People {
        names: book.names(),
        decided: trusted(book, |trust| trust != Trust::Ask),
        blocked: trusted(book, |trust| trust == Trust::Block),
        acquaintances: peers.known(book),
        seen: peers.seen().read().by_peer(),
    }
}

/// Of whom the book says this.
fn trusted(book: &Book, so: fn(Trust) -> bool) -> BTreeSet<PeerId> {
    let found = book.entries().filter(|(_, entry)| so(entry.trust));
    found.map(|(_, entry)| entry.ticket.id()).collect()
}

/// The same, each time that the book has changed.
fn follow(peers: &Peers, book: &Followed) -> BoxStream<'static, People> {
    let (peers, book) = (peers.clone(), book.watch());
    let changes = stream::unfold((peers, book), |(peers, mut book)| async move {
        book.changed().await.ok()?;
        let now = Arc::clone(&book.borrow_and_update());
        Some((people(&peers, &now), (peers, book)))
    });
    changes.boxed()
}

/// What is known of the groups, each time that it is asked for; where nothing is shared there is nothing to tell.
fn groups<F>(look: impl FnMut() -> F + Send + 'static) -> BoxStream<'static, Arc<SwarmSnapshot>>
where
    F: Future<Output = Option<SwarmSnapshot>> + Send + 'static,
{
    let begin = (look, Duration::ZERO, false);
    let told = stream::unfold(begin, |(mut look, pause, was_shared)| async move {
        sleep(pause).await;
        let swarm = look().await;
        let is_shared = swarm
            .as_ref()
            .map_or(was_shared, |it| !it.groups.is_empty());
        let pause = if is_shared { GROUPS } else { GROUPS_IDLE };
        let told = swarm.filter(|_| is_shared || was_shared);
        Some((told, (look, pause, is_shared)))
    });
    told.filter_map(|swarm| std::future::ready(swarm.map(Arc::new)))
        .boxed()
}

/// What the node shares and which groups it belongs to, each time that it has changed.
fn own_commons(node: &Node) -> BoxStream<'static, Arc<Commons>> {
    let running = node.desk().journal().running().clone();
    let serving = (node.servers().clone(), None);
    let groups = node.groups().cloned();
    let lookout = Lookout::new(node.sharing().clone(), groups, running, serving);
    let told = lookout.changes().scan(Commons::default(), |held, change| {
        held.apply(change);
        std::future::ready(Some(Arc::new(held.clone())))
    });
    told.boxed()
}

/// A snapshot every second, and at once when the state of a link changes.
async fn sample(endpoint: &Endpoint, samples: &watch::Sender<Arc<NodeSnapshot>>) -> Infallible {
    let mut events = endpoint.events();
    let mut ticks = interval(SAMPLE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            event = events.recv() => match event {
                Ok(Event { kind: EventKind::PeerState { .. }, .. }) => {}
                Ok(_) | Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return std::future::pending().await,
            },
        }
        samples.send_replace(endpoint.snapshot());
    }
}

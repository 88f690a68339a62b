//! `peerway` without a command: the dashboard, over a node that lives as long as it does.

#[cfg(unix)]
mod window;

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use futures_util::{
    StreamExt,
    stream::{self, BoxStream, FuturesUnordered},
};
use peerway::{
    ConnectError, Endpoint, Event, EventKind, NodeSnapshot, RelaySnapshot, Router, Ticket,
};
use tokio::{
    sync::{broadcast::error::RecvError, mpsc, oneshot, watch},
    time::{MissedTickBehavior, interval},
};

#[cfg(unix)]
use super::attach;
use super::{args::Globals, failure::Failure, follow::Followed, invite, node::Node, peers::Peers};
use crate::{
    book::Book,
    dash::{self, Command, Feed, Options, People},
    links::{LinkError, Links},
    told,
};

/// Samples of the charts.
const SAMPLE: Duration = Duration::from_secs(1);
/// Dials asked for and not yet begun; the dashboard says when there are more.
const DIAL_QUEUE: usize = 8;

pub(super) async fn run(globals: &Globals) -> Result<(), Failure> {
    #[cfg(unix)]
    if let Some(node) = attach::running(globals).await? {
        return window::open(globals, node).await;
    }
    let relays = globals.relays.clone();
    let node = Node::beside(globals, relays).await?;
    let router = Router::new(node.endpoint.clone()).diagnostics();
    let router = invite::host(router, globals, &node, log)?;
    let book = node.book().book();
    let mut options = Options {
        owns_node: true,
        people: people(node.peers(), &book),
        ..Options::default()
    };
    if node.is_temporary() {
        options.note = "another peerway runs with this identity: this one is temporary".to_owned();
    }
    let body = async {
        tokio::select! {
            () = router.run() => Ok(()),
            never = node.book().follow(&node.endpoint, log) => match never {},
            result = show(&node.endpoint, Some(&node), options) => Ok(result?),
        }
    };
    node.run(body).await?;
    Ok(())
}

/// Shows the dashboard over an endpoint until it is left; `node` has the address book, and remembers whom it reached.
pub(super) async fn show(
    endpoint: &Endpoint,
    node: Option<&Node>,
    options: Options,
) -> Result<(), dash::Error> {
    let (samples, snapshots) = watch::channel(endpoint.snapshot());
    let (commands, requests) = mpsc::channel(DIAL_QUEUE);
    let source = Feed {
        snapshots,
        events: told(endpoint.events()).boxed(),
        commands,
        people: match node {
            Some(node) => follow(node.peers(), node.book()),
            None => stream::pending().boxed(),
        },
    };
    tokio::select! {
        left = dash::run(source, options) => left,
        never = sample(endpoint, &samples) => match never {},
        never = dial(endpoint, node, requests) => match never {},
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
        acquaintances: peers.known(book),
    }
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

/// Dials whom the dashboard names and keeps the links.
async fn dial(
    endpoint: &Endpoint,
    node: Option<&Node>,
    mut requests: mpsc::Receiver<Command>,
) -> Infallible {
    let links = match node {
        Some(node) => node.links(),
        None => Links::new(endpoint.clone()),
    };
    let peers = node.map(Node::peers);
    let mut dials = FuturesUnordered::new();
    let mut heeding = pin!(links.heed_book());
    loop {
        tokio::select! {
            Some(Command::Connect { ticket, reply }) = requests.recv() => {
                dials.push(connect(&links, peers, ticket, reply));
            }
            Some(()) = dials.next() => {}
            never = &mut heeding => match never {},
            else => return std::future::pending().await,
        }
    }
}

async fn connect(
    links: &Links,
    peers: Option<&Peers>,
    ticket: Ticket,
    reply: oneshot::Sender<Result<(), String>>,
) {
    let result = links.connect(ticket.clone()).await;
    if let (Ok(()), Some(peers)) = (&result, peers) {
        peers.remember(&ticket);
    }
    let relays = &links.endpoint().snapshot().relays;
    let answer = result.map_err(|error| reason(&error, relays, &ticket));
    // Nobody waits for the answer once the dashboard is left.
    let _ = reply.send(answer);
}

/// A peer of another network is not reached without a relay, however well it runs.
fn reason(error: &LinkError, relays: &[RelaySnapshot], peer: &Ticket) -> String {
    let is_silent = matches!(error, LinkError::Connect(ConnectError::Timeout { .. }));
    if is_silent && relays.is_empty() && peer.is_local() {
        Failure::OtherNetwork.to_string()
    } else {
        error.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_peer_of_another_network_is_not_said_to_be_offline() {
        let silent = LinkError::from(ConnectError::Timeout {
            after: Duration::from_secs(9),
        });
        let id = peerway::SecretKey::from_seed(&[1; 32]).id();
        let peer = |addr: &str| Ticket::new(id, vec![], vec![addr.parse().unwrap()]);
        let said = reason(&silent, &[], &peer("192.168.1.5:4000"));
        assert!(said.contains("names no relay"), "{said}");
        assert_eq!(
            reason(&silent, &[], &peer("8.8.4.4:4000")),
            silent.to_string()
        );
    }
}

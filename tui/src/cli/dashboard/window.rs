//! The dashboard over a node that runs here, or a peer's: leaving it is nothing to the node.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::pending,
    sync::Arc,
    time::Duration,
};

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use peerway::{Names as _, PeerId};
use tokio::{sync::mpsc, time::sleep};

use super::{
    super::{
        afar::Afar, args::Globals, failure::Failure, follow::Followed, screen::Screen,
        state::StateDir,
    },
    QUEUE, contact, follow, groups, people,
    requests::Host,
};
use crate::{
    Commons,
    book::Trust,
    control::{Client, ControlError, Named, Rights, Telling},
    dash::{self, Feed, Options, People},
};

/// How long a node that does not tell what it shares is left alone.
const AGAIN: Duration = Duration::from_secs(3);
/// How often a peer's address book is asked for.
const NAMES: Duration = Duration::from_secs(10);

pub(super) async fn open(globals: &Globals, screen: &Screen, node: Client) -> Result<(), Failure> {
    let state = StateDir::open(globals)?;
    let peers = state.peers();
    let book = Followed::open_or_empty(peers.book(), state.invites());
    let options = Options {
        people: people(&peers, &book.book()),
        ..screen.options(globals)?
    };
    let host = Host::Running {
        node: &node,
        peers: &peers,
    };
    let shown = show(&node, host, follow(&peers, &book), options);
    tokio::select! {
        left = shown => left,
        never = book.follow_names() => match never {},
    }
}

/// Over the node of a peer; by what it is asked is said in the second line.
pub(in crate::cli) async fn of_peer(
    globals: &Globals,
    screen: &Screen,
    Afar { node, peer, way }: Afar,
) -> Result<(), Failure> {
    let rights = node.version().await?.rights;
    let state = StateDir::open(globals)?;
    let peers = state.peers();
    peers.remember(&peer);
    let names = state.names().names();
    let options = screen.options(globals)?;
    let is_reader = rights != Some(Rights::Full);
    let may = if is_reader { ", to look at" } else { "" };
    let title = state.names().peer(&peer.id());
    let options = Options {
        read_only: options.read_only || is_reader,
        note: format!("the node of {title}{may}, {way}"),
        title,
        people: known(&node.book().await?, &names),
        ..options
    };
    let host = Host::Peer { node: &node };
    show(&node, host, acquainted(node.clone(), names), options).await
}

async fn show(
    node: &Client,
    host: Host<'_>,
    people: BoxStream<'static, People>,
    options: Options,
) -> Result<(), Failure> {
    let (contact, keeper) = contact::begin(node).await?;
    let (commands, requests) = mpsc::channel(QUEUE);
    let source = Feed {
        snapshots: contact.snapshots,
        events: contact.events,
        outages: contact.outages,
        commands,
        people,
        swarm: {
            let node = node.clone();
            groups(move || {
                let node = node.clone();
                // A node that does not answer is asked again; what it said before is shown as old.
                async move { node.swarm().await.ok() }
            })
        },
        commons: commons(node.clone()),
    };
    tokio::select! {
        left = dash::run(source, options) => Ok(left?),
        never = host.serve(requests) => match never {},
        never = keeper.keep() => match never {},
    }
}

/// What the node shares and which groups it belongs to. A node that ends is asked again; of one that does not say nothing comes, ever.
fn commons(node: Client) -> BoxStream<'static, Arc<Commons>> {
    let begin = (node, None::<Telling<Commons>>);
    let told = stream::unfold(begin, |(node, mut line)| async move {
        loop {
            let next = match &mut line {
                Some(line) => line.next().await,
                None => None,
            };
            if let Some(Ok(commons)) = next {
                return Some((Arc::new(commons), (node, line)));
            }
            if line.take().is_some() {
                sleep(AGAIN).await;
            }
            line = match node.watch_commons().await {
                Ok(line) => Some(line),
                // From afar it is told to nobody.
                Err(ControlError::Forbidden(_)) => pending().await,
                Err(_) => {
                    sleep(AGAIN).await;
                    None
                }
            };
        }
    });
    told.boxed()
}

/// Whom a peer's book names, now and then; where it does not answer, what it said before holds.
fn acquainted(node: Client, names: BTreeMap<PeerId, String>) -> BoxStream<'static, People> {
    let asked = stream::unfold((node, names), |(node, names)| async move {
        sleep(NAMES).await;
        let book = node.book().await.ok();
        let people = book.map(|book| known(&book, &names));
        Some((people, (node, names)))
    });
    asked.filter_map(std::future::ready).boxed()
}

/// By the names that are theirs here, and else by those that they have there.
fn known(book: &[Named], names: &BTreeMap<PeerId, String>) -> People {
    let theirs = book.iter().map(|peer| (peer.id, peer.name.clone()));
    let mut all: BTreeMap<_, _> = theirs.collect();
    all.extend(names.clone());
    let of = |so: fn(&str) -> bool| {
        let found = book.iter().filter(|peer| so(&peer.trust));
        found.map(|peer| peer.id).collect::<BTreeSet<_>>()
    };
    People {
        names: all,
        acquaintances: Vec::new(),
        decided: of(|trust| trust != Trust::Ask.word()),
        blocked: of(|trust| trust == Trust::Block.word()),
        seen: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;

    use super::*;

    #[test]
    fn peers_of_a_peer_go_by_the_names_of_here_and_else_by_those_of_there() {
        let id = |seed| SecretKey::from_seed(&[seed; 32]).id();
        let named = |seed, name: &str, trust: &'static str| Named {
            id: id(seed),
            name: name.to_owned(),
            trust: trust.into(),
        };
        let book = [named(1, "old", "allow"), named(2, "phone", "ask")];
        let names = BTreeMap::from([(id(1), "nas".to_owned())]);
        let people = known(&book, &names);
        assert_eq!(people.names[&id(1)], "nas");
        assert_eq!(people.names[&id(2)], "phone");
        assert_eq!(people.decided, BTreeSet::from([id(1)]));
    }
}

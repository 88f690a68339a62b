//! The directory in which records lie: the BitTorrent Mainline DHT, by the crate `mainline`.
//!
//! A node of the DHT is started when something is looked up or stored, and leaves after ten minutes: it asks, and serves nobody. It
//! has a UDP port of its own, for IPv4. What others answer are claims: whoever reads an [`Item`] checks it.

mod node;

use std::{io, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use thiserror::Error;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until},
};

use self::node::{Done, Node, Work};
use crate::{Item, MAX_VALUE};

/// How long a node of the DHT lives: half the time after which it would begin to serve others.
const LIFE: Duration = Duration::from_secs(600);
/// Nodes that are remembered for the next start, so that one dead host to begin with harms nobody.
const MAX_REMEMBERED: usize = 50;
/// What is looked up or stored at the same time; more waits.
const MAX_WORK: usize = 16;
/// Items of one look-up that wait to be read; beyond that they are left out. Honest nodes have one.
const MAX_ITEMS: usize = 32;

/// Where to begin.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Entrance {
    /// Nodes of a DHT of one's own, as `host:port`, in place of those that everybody begins with.
    pub bootstrap: Vec<String>,
    /// Nodes that [`Directory::nodes`] told before.
    pub remembered: Vec<String>,
}

impl Entrance {
    /// These nodes, as `host:port`, in place of those that everybody begins with.
    #[must_use]
    pub fn at(bootstrap: Vec<String>) -> Self {
        Self {
            bootstrap,
            remembered: Vec::new(),
        }
    }
}

/// The DHT, as far as this program has used it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reach {
    /// Nothing was looked up or stored yet.
    #[default]
    Unasked,
    /// Its nodes answered the last time.
    Reached,
    /// None answered.
    Silent,
}

/// Why nothing could be looked up or stored.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// Have UDP let out at the firewall, or meet by a relay.
    #[error("no node of the Mainline DHT answers: UDP may be blocked here")]
    Silent,
    /// Look at what limits the program's sockets.
    #[error("there is no UDP socket for the Mainline DHT ({0})")]
    Socket(#[source] Arc<io::Error>),
    /// Another computer has this key, or this one's clock was set back.
    #[error(
        "a newer item is stored there already: another computer publishes with the same key, or the clock was set back"
    )]
    Outdated,
    /// Store less.
    #[error("an item of {len} bytes, and the Mainline DHT takes {MAX_VALUE}")]
    TooLong {
        /// The length of the value, in bytes.
        len: usize,
    },
    /// Try again later.
    #[error("nodes of the Mainline DHT refuse the item, with code {0}")]
    Refused(i32),
    /// The directory was dropped.
    #[error("the program does not use the Mainline DHT any more")]
    Closed,
}

/// A way to the directory. Clones share it; it ends with the last of them.
#[derive(Clone, Debug)]
pub struct Directory {
    work: mpsc::Sender<Work>,
    reach: watch::Receiver<Reach>,
    nodes: watch::Receiver<Vec<String>>,
}

impl Directory {
    /// A way that is not used yet: nothing is sent, and no socket opened.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the task owns the node of the DHT"
    )]
    pub fn new(entrance: Entrance) -> Self {
        let (work, asked) = mpsc::channel(MAX_WORK);
        let (reach_sender, reach) = watch::channel(Reach::Unasked);
        let (nodes_sender, nodes) = watch::channel(entrance.remembered.clone());
        let task = Task {
            entrance,
            node: None,
            reach: reach_sender,
            nodes: nodes_sender,
        };
        tokio::spawn(task.run(asked));
        Self { work, reach, nodes }
    }

    /// Looks for what is stored under a key.
    pub async fn get(&self, key: [u8; 32]) -> Lookup {
        let (sender, items) = mpsc::channel(MAX_ITEMS);
        let closed = sender.clone();
        let asked = self.work.send(Work::Get { key, items: sender }).await;
        if asked.is_err() {
            let _ = closed.try_send(Err(DirectoryError::Closed));
        }
        Lookup { items }
    }

    /// Stores an item at the nodes nearest to its key. How many took it.
    ///
    /// # Errors
    /// Each of [`DirectoryError`].
    pub async fn put(&self, item: Item) -> Result<u32, DirectoryError> {
        let len = item.value.len();
        if len > MAX_VALUE {
            return Err(DirectoryError::TooLong { len });
        }
        let (reply, stored) = oneshot::channel();
        let asked = self.work.send(Work::Put { item, reply }).await;
        asked.map_err(|_| DirectoryError::Closed)?;
        stored.await.map_err(|_| DirectoryError::Closed)?
    }

    /// Whether its nodes answered the last time.
    #[must_use]
    pub fn reach(&self) -> Reach {
        *self.reach.borrow()
    }

    /// Nodes to begin with the next time, as they change.
    #[must_use]
    pub fn watch_nodes(&self) -> watch::Receiver<Vec<String>> {
        self.nodes.clone()
    }

    /// Nodes to begin with the next time, at most 50.
    #[must_use]
    pub fn nodes(&self) -> Vec<String> {
        self.nodes.borrow().clone()
    }
}

/// What is found, as it is found.
#[derive(Debug)]
pub struct Lookup {
    items: mpsc::Receiver<Result<Item, DirectoryError>>,
}

impl Lookup {
    /// The next item that a node gives for the key; none when all have answered, within 10 s. A later one may be older.
    ///
    /// # Errors
    /// Nobody could be asked; this is the end too.
    pub async fn next(&mut self) -> Option<Result<Item, DirectoryError>> {
        self.items.recv().await
    }
}

struct Task {
    entrance: Entrance,
    node: Option<(Node, Instant)>,
    reach: watch::Sender<Reach>,
    nodes: watch::Sender<Vec<String>>,
}

impl Task {
    async fn run(mut self, mut asked: mpsc::Receiver<Work>) {
        let mut works = FuturesUnordered::new();
        loop {
            let end = self.node.as_ref().map(|(_, end)| *end);
            tokio::select! {
                work = asked.recv(), if works.len() < MAX_WORK => match work {
                    Some(work) => {
                        if self.is_anew() {
                            works.push(Work::Begin.carry_out(self.node()));
                        }
                        works.push(work.carry_out(self.node()));
                    }
                    None => return,
                },
                Some(done) = works.next() => self.on_done(done),
                () = sleep_until(end.unwrap_or_else(Instant::now)), if end.is_some() => self.node = None,
            }
        }
    }

    /// Whether there is no node yet that could be asked.
    fn is_anew(&self) -> bool {
        self.node
            .as_ref()
            .is_none_or(|(_, end)| *end <= Instant::now())
    }

    fn node(&mut self) -> Node {
        let now = Instant::now();
        let living = self.node.take().filter(|(_, end)| *end > now);
        let (node, _) = self.node.insert(living.unwrap_or_else(|| {
            let remembered = self.nodes.borrow().clone();
            let bootstrap = self.entrance.bootstrap.clone();
            (Node::start(bootstrap, remembered), now + LIFE)
        }));
        node.clone()
    }

    fn on_done(&mut self, done: Done) {
        if !done.nodes.is_empty() {
            let mut nodes = done.nodes;
            nodes.truncate(MAX_REMEMBERED);
            self.nodes.send_replace(nodes);
        }
        match done.is_reached {
            Some(true) => drop(self.reach.send_replace(Reach::Reached)),
            Some(false) => {
                self.reach.send_replace(Reach::Silent);
                // It is begun anew: the network may be another one.
                self.node = None;
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests;

//! The directory in which records lie: the BitTorrent Mainline DHT, by UDP, and by way of a relay where that does not get through.

use std::sync::Arc;

use peerway::{
    Carrier, Endpoint, NodeSnapshot, RelayState,
    relay::{RelayDht, RelayDhtError, RelayLookup},
};
use thiserror::Error;
use tokio::sync::watch;

use crate::record::Item;

pub use peerway_dht::{Entrance, Reach};

/// Why nothing could be looked up or stored.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// By UDP.
    #[error(transparent)]
    Dht(#[from] peerway_dht::DirectoryError),
    /// Try again, or have UDP let out at the firewall.
    #[error(
        "no node of the Mainline DHT answers: UDP may be blocked here; the relay was asked in its place: {0}"
    )]
    Unhelped(#[source] RelayDhtError),
}

/// A way to the directory. Clones share it; it ends with the last of them.
#[derive(Clone, Debug)]
pub struct Directory {
    dht: peerway_dht::Directory,
    relays: Option<Relays>,
}

/// The node's relays, which may be asked in place of the DHT.
#[derive(Clone, Debug)]
struct Relays {
    dht: RelayDht,
    node: watch::Receiver<Arc<NodeSnapshot>>,
}

impl Relays {
    /// Whether the node is reached by relays over TCP alone, so that UDP does not get out.
    fn are_by_tcp(&self) -> bool {
        let node = self.node.borrow();
        let mut up = node
            .relays
            .iter()
            .filter(|relay| relay.state == RelayState::Up)
            .peekable();
        up.peek().is_some() && up.all(|relay| relay.carrier == Some(Carrier::Tcp))
    }
}

impl Directory {
    /// A way that is not used yet: nothing is sent, and no socket opened.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    #[must_use]
    pub fn new(entrance: Entrance) -> Self {
        Self {
            dht: peerway_dht::Directory::new(entrance),
            relays: None,
        }
    }

    /// The same way, which leads through the relays of a node where UDP does not get through: they look up and store in its place.
    #[must_use]
    pub fn by_relays_of(&self, node: &Endpoint) -> Self {
        Self {
            dht: self.dht.clone(),
            relays: Some(Relays {
                dht: node.relay_dht(),
                node: node.snapshots(),
            }),
        }
    }

    /// The DHT alone, for a relay that looks up and stores for others.
    #[must_use]
    pub fn dht(&self) -> &peerway_dht::Directory {
        &self.dht
    }

    /// Looks for what is stored under a key.
    pub async fn get(&self, key: [u8; 32]) -> Lookup {
        let relayed = match &self.relays {
            Some(relays) if relays.are_by_tcp() => Some(relays.dht.get(key).await),
            Some(_) | None => None,
        };
        Lookup {
            key,
            direct: Some(self.dht.get(key).await),
            spare: self.relays.clone().filter(|_| relayed.is_none()),
            relayed,
            trouble: None,
            unhelped: None,
        }
    }

    /// Stores an item at the nodes nearest to its key. How many took it.
    ///
    /// # Errors
    /// Each of [`DirectoryError`].
    pub async fn put(&self, item: Item) -> Result<u32, DirectoryError> {
        let Some(relays) = &self.relays else {
            return Ok(self.dht.put(item).await?);
        };
        if !relays.are_by_tcp() {
            match self.dht.put(item.clone()).await {
                Err(peerway_dht::DirectoryError::Silent) => {}
                stored => return Ok(stored?),
            }
        }
        let stored = relays.dht.put(item).await;
        stored.map(u32::from).map_err(unhelped)
    }

    /// Whether the DHT's nodes answered the last time, by UDP.
    #[must_use]
    pub fn reach(&self) -> Reach {
        self.dht.reach()
    }

    /// Nodes to begin with the next time, as they change.
    pub(crate) fn watch_nodes(&self) -> watch::Receiver<Vec<String>> {
        self.dht.watch_nodes()
    }

    /// Nodes to begin with the next time, at most 50.
    #[must_use]
    pub fn nodes(&self) -> Vec<String> {
        self.dht.nodes()
    }
}

/// What is said where UDP does not get through and the relay does not help either.
fn unhelped(error: RelayDhtError) -> DirectoryError {
    match error {
        // It was to be asked only if there was one.
        RelayDhtError::NoRelay => peerway_dht::DirectoryError::Silent.into(),
        RelayDhtError::Outdated => peerway_dht::DirectoryError::Outdated.into(),
        RelayDhtError::Silent
        | RelayDhtError::Busy
        | RelayDhtError::Refused
        | RelayDhtError::Timeout
        | RelayDhtError::Lost
        | _ => DirectoryError::Unhelped(error),
    }
}

/// What is found, as it is found.
#[derive(Debug)]
pub struct Lookup {
    key: [u8; 32],
    direct: Option<peerway_dht::Lookup>,
    relayed: Option<RelayLookup>,
    /// To be asked when the DHT is silent.
    spare: Option<Relays>,
    /// Why the DHT could not be asked.
    trouble: Option<peerway_dht::DirectoryError>,
    /// Why no relay could be.
    unhelped: Option<RelayDhtError>,
}

impl Lookup {
    /// The next item that a node gives for the key; none when all have answered, within 40 s. A later one may be older.
    ///
    /// # Errors
    /// Nobody could be asked; this is the end too.
    pub async fn next(&mut self) -> Option<Result<Item, DirectoryError>> {
        loop {
            tokio::select! {
                item = next_direct(&mut self.direct), if self.direct.is_some() => match item {
                    Some(Ok(item)) => return Some(Ok(item)),
                    Some(Err(error)) => {
                        self.direct = None;
                        if matches!(error, peerway_dht::DirectoryError::Silent)
                            && let Some(relays) = self.spare.take()
                        {
                            self.relayed = Some(relays.dht.get(self.key).await);
                        }
                        self.trouble = Some(error);
                    }
                    None => self.direct = None,
                },
                item = next_relayed(&mut self.relayed), if self.relayed.is_some() => match item {
                    Some(Ok(item)) => return Some(Ok(item)),
                    Some(Err(error)) => {
                        self.relayed = None;
                        self.unhelped = Some(error);
                    }
                    // The DHT was asked, if by another.
                    None => (self.direct, self.relayed, self.trouble) = (None, None, None),
                },
                else => return self.trouble(),
            }
        }
    }

    /// What is said at the end, once.
    fn trouble(&mut self) -> Option<Result<Item, DirectoryError>> {
        let trouble = self.trouble.take()?;
        Some(Err(match self.unhelped.take() {
            Some(error) if matches!(trouble, peerway_dht::DirectoryError::Silent) => {
                unhelped(error)
            }
            Some(_) | None => trouble.into(),
        }))
    }
}

async fn next_direct(
    lookup: &mut Option<peerway_dht::Lookup>,
) -> Option<Result<Item, peerway_dht::DirectoryError>> {
    lookup.as_mut()?.next().await
}

async fn next_relayed(lookup: &mut Option<RelayLookup>) -> Option<Result<Item, RelayDhtError>> {
    lookup.as_mut()?.next().await
}

//! The Mainline DHT: whom this program dials is looked up there, and a node that others are to reach publishes where it is.

use std::{
    convert::Infallible,
    fs,
    future::pending,
    path::{Path, PathBuf},
};

use peerway::{DiscoverySecret, Endpoint, PeerId, SecretKey};
use peerway_swarm::{
    call::listen::Switchboard,
    directory::{Directory, Entrance},
    discovery::Discovery,
    publish::{Audience, Publisher},
};

use super::{args::Globals, failure::Failure, state::StateDir};
use crate::files;

/// What a node has to do with the DHT.
#[derive(Debug)]
pub(super) struct Dht {
    directory: Directory,
    publisher: Option<Publisher>,
    switchboard: Option<Switchboard>,
    /// It ends with the node.
    _discovery: Discovery,
    /// Where nodes are kept to begin with the next time; none where the user names them.
    file: Option<PathBuf>,
}

impl Dht {
    /// Looks up whom the node dials; none if that is not to be.
    pub(super) async fn asking(
        globals: &Globals,
        state: &StateDir,
        endpoint: &Endpoint,
        key: SecretKey,
    ) -> Option<Self> {
        let directory = directory(globals, state)?;
        Some(Self {
            _discovery: Discovery::start(endpoint, key, directory.clone()).await,
            directory,
            publisher: None,
            switchboard: None,
            file: file(globals, state),
        })
    }

    /// The same for a node that others are to reach. Those whom it knows get through though strangers take all slots for calls.
    pub(super) async fn publishing(
        globals: &Globals,
        state: &StateDir,
        endpoint: &Endpoint,
        key: SecretKey,
        known: impl Fn() -> Vec<PeerId> + Send + Sync + 'static,
    ) -> Result<Option<Self>, Failure> {
        let (Some(secret), Some(mut dht)) = (
            secret(globals, state)?,
            Self::asking(globals, state, endpoint, key.clone()).await,
        ) else {
            return Ok(None);
        };
        let mut audience = Audience::new(vec![secret]);
        if globals.dht.public {
            audience.secrets.push(DiscoverySecret::PUBLIC);
        }
        audience.addresses = globals.dht.publish_addresses;
        let secrets = audience.secrets.clone();
        let switchboard = Switchboard::new(key.clone(), secrets, dht.directory.clone());
        dht.switchboard = Some(switchboard.knowing(known));
        dht.publisher = Some(Publisher::new(key, audience, dht.directory.clone()));
        Ok(Some(dht))
    }

    /// The way to the DHT, which others of this program may share.
    pub(super) fn directory(&self) -> Directory {
        self.directory.clone()
    }

    /// Keeps nodes to begin with the next time.
    pub(super) fn remember_nodes(&self) {
        let nodes = self.directory.nodes();
        let Some(file) = self
            .file
            .as_deref()
            .filter(|file| !nodes.is_empty() && read(file) != nodes)
        else {
            return;
        };
        let lines: String = nodes.iter().map(|node| format!("{node}\n")).collect();
        if let Err(error) = files::replace(file, &lines) {
            tracing::debug!(%error, "nodes of the DHT are not kept");
        }
    }
}

/// A way to the DHT; none if it is not to be used.
pub(super) fn directory(globals: &Globals, state: &StateDir) -> Option<Directory> {
    let args = &globals.dht;
    if args.no_dht {
        return None;
    }
    let mut entrance = Entrance::at(args.dht_nodes.clone());
    let file = file(globals, state);
    entrance.remembered = file.as_deref().map(read).unwrap_or_default();
    Some(Directory::new(entrance))
}

/// Where nodes are kept, unless the user names them.
fn file(globals: &Globals, state: &StateDir) -> Option<PathBuf> {
    let is_kept = globals.dht.dht_nodes.is_empty();
    is_kept.then(|| state.path().join("dht-nodes"))
}

/// What cannot be read is as if it was not there.
fn read(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().map(ToOwned::to_owned).collect()
}

/// What this computer's record is found with, if it publishes one.
pub(super) fn secret(
    globals: &Globals,
    state: &StateDir,
) -> Result<Option<DiscoverySecret>, Failure> {
    let publishes = !globals.dht.no_dht;
    publishes.then(|| state.discovery()).transpose()
}

/// Publishes where a node is and answers those who call it by way of the DHT, if it is to.
pub(super) async fn publish(dht: Option<&Dht>, endpoint: &Endpoint) -> Infallible {
    if let Some(dht) = dht
        && let (Some(publisher), Some(switchboard)) = (&dht.publisher, &dht.switchboard)
    {
        tokio::join!(publisher.run(endpoint), switchboard.run(endpoint));
    }
    pending().await
}

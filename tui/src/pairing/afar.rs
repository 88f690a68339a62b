//! How two meet where no relay leads from one to the other: by way of the Mainline DHT.

use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};

use peerway::{
    BindError, Builder, Endpoint, NodeSnapshot, Observed, SecretKey, services::pair::Code,
};
use peerway_swarm::{
    call::listen::Switchboard,
    directory::Directory,
    discovery::Discovery,
    publish::{Audience, Publisher},
};
use tokio::time::timeout;

/// How long it may take until a node is found by others: it enters the DHT, asks where it is seen, and publishes that.
const PATIENCE: Duration = Duration::from_secs(10);

/// Of nodes that meet somebody once, with other keys than this computer's.
#[derive(Clone, Debug)]
pub(crate) struct Passing {
    pub(crate) builder: Builder,
    /// None if the DHT is not to be used.
    pub(crate) directory: Option<Directory>,
}

/// What has a node found by whoever has the code, and answer them.
pub(super) struct Whereabouts {
    publisher: Publisher,
    switchboard: Switchboard,
    /// It ends with this.
    _discovery: Discovery,
}

impl Whereabouts {
    /// Of the node that waits, whose key is the code's. What is published says nothing of the letters that are the password.
    pub(super) async fn begin(waits: &Endpoint, code: &Code, directory: Directory) -> Self {
        let (key, secrets) = (code.rendezvous(), vec![code.discovery()]);
        let audience = Audience::new(secrets.clone());
        Self {
            publisher: Publisher::new(key.clone(), audience, directory.clone()).prompt(),
            switchboard: Switchboard::new(key.clone(), secrets, directory.clone()),
            _discovery: Discovery::start(waits, key, directory).await,
        }
    }

    /// Publishes, and answers calls, until it is dropped.
    pub(super) async fn run(&self, waits: &Endpoint) -> Infallible {
        tokio::join!(self.publisher.run(waits), self.switchboard.run(waits));
        pending().await
    }

    /// Waits until others can find the node. Whether they can.
    pub(super) async fn are_published(&self, waits: &Endpoint) -> bool {
        let stored = async {
            tokio::select! {
                () = self.publisher.stored() => true,
                () = unplaced(waits) => false,
            }
        };
        timeout(PATIENCE, stored).await.unwrap_or(false)
    }
}

/// Ends when nodes of the DHT have said that nobody gets in here, or do not answer.
async fn unplaced(endpoint: &Endpoint) {
    let mut snapshots = endpoint.snapshots();
    let is_in_vain = |shown: &Arc<NodeSnapshot>| is_told(shown) && !is_same(shown);
    if snapshots.wait_for(is_in_vain).await.is_err() {
        pending().await
    }
}

/// Whether all that can be known is known of where the node is seen.
fn is_told(shown: &NodeSnapshot) -> bool {
    is_same(shown) || matches!(shown.network.observed, Observed::Varies | Observed::Silent)
}

fn is_same(shown: &NodeSnapshot) -> bool {
    shown.network.observed == Observed::Same
}

/// The key of a node that meets somebody once.
pub(crate) fn passing_key() -> Result<SecretKey, BindError> {
    SecretKey::generate().map_err(BindError::Random)
}

//! How two meet where no relay leads from one to the other: by way of the Mainline DHT.

use std::{borrow::Cow, convert::Infallible, future::pending, sync::Arc, time::Duration};

use peerway::{
    BindError, Builder, Endpoint, NodeSnapshot, Observed, SecretKey, services::pair::Code,
};
use peerway_swarm::{
    call::listen::Switchboard,
    directory::{Directory, Reach},
    discovery::Discovery,
    publish::{Audience, Publisher},
};
use tokio::time::{sleep, timeout};

/// Where alone a code can be typed that no relay and no record leads to.
pub(super) const NEARBY: &str = "without a relay the other computer has to be on this network: with --relay URL on both it may be anywhere";
/// Where one can be typed to which a record leads.
const BY_DHT: &str = "without a relay the other computer is met on this network, or by way of the Mainline DHT if both routers are ordinary ones: with --relay URL on both it may be anywhere";
/// What somebody waits for without being told what for.
const SILENCE: Duration = Duration::from_secs(1);
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
    directory: Directory,
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
            directory: directory.clone(),
            _discovery: Discovery::start(waits, key, directory).await,
        }
    }

    /// Publishes, and answers calls, until it is dropped.
    pub(super) async fn run(&self, waits: &Endpoint) -> Infallible {
        tokio::join!(self.publisher.run(waits), self.switchboard.run(waits));
        pending().await
    }

    /// Waits until others can find the node, or it is known why not. Where the code can be typed.
    pub(super) async fn published(&self, waits: &Endpoint) -> Cow<'static, str> {
        let stored = async {
            tokio::select! {
                () = self.publisher.stored() => true,
                () = unplaced(waits) => false,
            }
        };
        if let Ok(true) = timeout(PATIENCE, stored).await {
            return BY_DHT.into();
        }
        let observed = match self.directory.reach() {
            Reach::Silent => Observed::Silent,
            Reach::Unasked | Reach::Reached | _ => waits.snapshot().network.observed,
        };
        match why_unplaced(observed) {
            Some(why) => format!("{why}: {NEARBY}").into(),
            None => NEARBY.into(),
        }
    }
}

/// Why nobody from elsewhere finds the node.
fn why_unplaced(observed: Observed) -> Option<&'static str> {
    match observed {
        Observed::Varies => Some(
            "the router here gives each destination another port, so that nobody gets in from elsewhere",
        ),
        Observed::Silent => Some("no node of the Mainline DHT answers, so UDP may be blocked here"),
        Observed::Untold => {
            Some("too few nodes of the Mainline DHT say where they see this computer")
        }
        Observed::Unasked | Observed::Asking | Observed::Unknown | Observed::Same | _ => None,
    }
}

/// The outcome of a code that is typed at a node; where that takes a while, `hint` is told what is waited for.
pub(crate) async fn sought<T>(
    types: &Endpoint,
    code: &Code,
    by_dht: bool,
    hint: &(dyn Fn(&str) + Send + Sync),
    typing: impl Future<Output = T>,
) -> T {
    let telling = async {
        sleep(SILENCE).await;
        hint(match (types.snapshot().relays.is_empty(), by_dht) {
            (false, _) => {
                "the computer that shows the code is looked for at the relay and on this network"
            }
            (true, true) => {
                "the computer that shows the code is looked for on this network and by way of the Mainline DHT"
            }
            (true, false) => NEARBY,
        });
        let waits = code.rendezvous().id();
        let is_called = |shown: &Arc<NodeSnapshot>| shown.peer(waits).is_some_and(|it| it.called);
        if types.snapshots().wait_for(is_called).await.is_ok() {
            hint(
                "it was found, and called by way of the Mainline DHT, where it looks every five seconds",
            );
        }
        pending().await
    };
    tokio::select! {
        typed = typing => typed,
        never = telling => never,
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

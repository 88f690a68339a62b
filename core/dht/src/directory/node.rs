//! A node of the DHT, and what it is asked to do.

use std::{
    net::{SocketAddrV4, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};

use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, Shared},
};
use mainline::{
    DEFAULT_BOOTSTRAP_NODES, Dht, MutableItem,
    async_dht::AsyncDht,
    errors::{PutMutableError, PutQueryError},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
    time::timeout,
};

use super::DirectoryError;
use crate::Item;

/// For all nodes to answer a look-up. Each has two seconds, and is asked after those that told of it.
const GET_TIMEOUT: Duration = Duration::from_secs(10);
/// To find the nodes nearest to a key and store at them.
const PUT_TIMEOUT: Duration = Duration::from_secs(15);
/// For the names of the hosts to begin with.
const START_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) enum Work {
    /// To learn who is there.
    Begin,
    Get {
        key: [u8; 32],
        items: mpsc::Sender<Result<Item, DirectoryError>>,
    },
    Put {
        item: Item,
        reply: oneshot::Sender<Result<u32, DirectoryError>>,
    },
}

/// What came of it.
pub(super) struct Done {
    /// None if whoever asked did not wait for it.
    pub(super) is_reached: Option<bool>,
    /// Where one may begin the next time.
    pub(super) nodes: Vec<String>,
}

/// A node that starts, or has.
#[derive(Clone)]
pub(super) struct Node(Shared<BoxFuture<'static, Result<AsyncDht, DirectoryError>>>);

impl Node {
    /// A thread of its own resolves the names.
    pub(super) fn start(bootstrap: Vec<String>, remembered: Vec<String>) -> Self {
        let building = spawn_blocking(move || build(bootstrap, &remembered));
        let started = async {
            match timeout(START_TIMEOUT, building).await {
                Ok(Ok(built)) => built,
                // Whoever resolves names does not answer either.
                Ok(Err(_)) | Err(_) => Err(DirectoryError::Silent),
            }
        };
        Self(started.boxed().shared())
    }
}

fn build(bootstrap: Vec<String>, remembered: &[String]) -> Result<AsyncDht, DirectoryError> {
    let known = if bootstrap.is_empty() {
        DEFAULT_BOOTSTRAP_NODES.map(ToOwned::to_owned).to_vec()
    } else {
        bootstrap
    };
    let remembered = remembered
        .iter()
        .filter_map(|node| node.parse::<SocketAddrV4>().ok());
    let hosts = known.iter().filter_map(|host| host.to_socket_addrs().ok());
    let named = hosts.flatten().filter_map(|addr| match addr {
        std::net::SocketAddr::V4(addr) => Some(addr),
        std::net::SocketAddr::V6(_) => None,
    });
    let nodes: Vec<SocketAddrV4> = named.chain(remembered).collect();
    if nodes.is_empty() {
        return Err(DirectoryError::Silent);
    }
    // Never port 6881, its own choice: some networks filter it, and torrent programs want it.
    let dht = Dht::builder().bootstrap(&nodes).port(0).build();
    dht.map(Dht::as_async)
        .map_err(|error| DirectoryError::Socket(Arc::new(error)))
}

impl Work {
    pub(super) async fn carry_out(self, node: Node) -> Done {
        let dht = node.0.await;
        let (dht, is_reached) = match (self, dht) {
            (Self::Begin, Err(_)) => return Done::unknown(),
            (Self::Begin, Ok(dht)) => {
                dht.bootstrapped().await;
                (dht, None)
            }
            (Self::Get { items, .. }, Err(error)) => {
                let _ = items.try_send(Err(error));
                return Done::in_vain();
            }
            (Self::Put { reply, .. }, Err(error)) => {
                let _ = reply.send(Err(error));
                return Done::in_vain();
            }
            (Self::Get { key, items }, Ok(dht)) => {
                let got = tokio::select! {
                    is_reached = get(&dht, key, &items) => Some(is_reached),
                    () = items.closed() => None,
                };
                (dht, got)
            }
            (Self::Put { item, reply }, Ok(dht)) => {
                let stored = put(&dht, item).await;
                let is_reached = !matches!(stored, Err(DirectoryError::Silent));
                let _ = reply.send(stored);
                (dht, Some(is_reached))
            }
        };
        let nodes = dht.to_bootstrap().await;
        Done { is_reached, nodes }
    }
}

impl Done {
    fn unknown() -> Self {
        Self {
            is_reached: None,
            nodes: Vec::new(),
        }
    }

    fn in_vain() -> Self {
        Self {
            is_reached: Some(false),
            nodes: Vec::new(),
        }
    }
}

/// Whether any node answered.
async fn get(
    dht: &AsyncDht,
    key: [u8; 32],
    items: &mpsc::Sender<Result<Item, DirectoryError>>,
) -> bool {
    let mut found = dht.get_mutable_detailed(&key, None, None);
    let mut has_some = false;
    let looking = async {
        while let Some(item) = found.items.next().await {
            has_some = true;
            let item = Item::new(
                *item.key(),
                item.seq(),
                item.value().to_vec(),
                *item.signature(),
            );
            // Who sends more than fit has sent enough.
            let _ = items.try_send(Ok(item));
        }
        found.outcome.recv().await.responded() > 0
    };
    let is_reached = timeout(GET_TIMEOUT, looking).await.unwrap_or(false) || has_some;
    if !is_reached {
        let _ = items.try_send(Err(DirectoryError::Silent));
    }
    is_reached
}

async fn put(dht: &AsyncDht, item: Item) -> Result<u32, DirectoryError> {
    let Item {
        key,
        seq,
        value,
        signature,
        ..
    } = item;
    let item = MutableItem::new_signed_unchecked(key, signature, &value, seq, None);
    let stored = timeout(PUT_TIMEOUT, dht.put_mutable(item, None)).await;
    let stored = stored.map_err(|_| DirectoryError::Silent)?;
    let stored = stored.map_err(|error| match error {
        PutMutableError::Query(PutQueryError::NoClosestNodes | PutQueryError::Timeout) => {
            DirectoryError::Silent
        }
        PutMutableError::Query(PutQueryError::ErrorResponse(error)) => {
            DirectoryError::Refused(error.code)
        }
        PutMutableError::Concurrency(_) => DirectoryError::Outdated,
    })?;
    Ok(stored.stored_at)
}

//! Looks up and stores in the Mainline DHT what clients ask, that no UDP leads out of.

use std::sync::Arc;

use peerway_dht::{Directory, DirectoryError, Item};
use peerway_proto::wire::relay::DhtOutcome;
use tokio::task::JoinSet;
use tracing::warn;

use crate::{hub::Hub, server::Work};

/// Carries out what there is, for ever.
pub(crate) async fn serve(hub: Arc<Hub>, directory: Directory) {
    hub.lock().serve_dht();
    let mut works = JoinSet::new();
    loop {
        while let Some(work) = next(&hub) {
            works.spawn(carry_out(hub.clone(), directory.clone(), work));
        }
        tokio::select! {
            () = hub.dht_hastened() => {}
            Some(_) = works.join_next() => {}
        }
    }
}

fn next(hub: &Hub) -> Option<Work> {
    hub.lock().poll_work()
}

async fn carry_out(hub: Arc<Hub>, directory: Directory, work: Work) {
    let id = work.id();
    let outcome = match work {
        Work::Get { key } => get(&hub, &directory, key).await,
        Work::Put { item, .. } => put(&directory, item).await,
    };
    hub.change(|server| server.on_dealt(id, outcome));
}

async fn get(hub: &Hub, directory: &Directory, key: [u8; 32]) -> DhtOutcome {
    let mut lookup = directory.get(key).await;
    let mut found = 0;
    while let Some(item) = lookup.next().await {
        match item {
            Ok(item) => {
                found += 1;
                hub.change(|server| server.on_item(&key, &item));
            }
            Err(error) => return failed(&error),
        }
    }
    done(found)
}

async fn put(directory: &Directory, item: Item) -> DhtOutcome {
    // While one item of a key is being stored no other is. Who only knows the key is not to keep its owner's back.
    if !item.is_signed() {
        return DhtOutcome::Refused;
    }
    match directory.put(item).await {
        Ok(nodes) => done(nodes),
        Err(error) => failed(&error),
    }
}

fn done(nodes: u32) -> DhtOutcome {
    DhtOutcome::Done {
        nodes: nodes.try_into().unwrap_or(u8::MAX),
    }
}

fn failed(error: &DirectoryError) -> DhtOutcome {
    match error {
        DirectoryError::Socket(_) => {
            warn!(%error, "cannot use the Mainline DHT");
            DhtOutcome::Silent
        }
        DirectoryError::Outdated => DhtOutcome::Outdated,
        DirectoryError::TooLong { .. } | DirectoryError::Refused(_) => DhtOutcome::Refused,
        DirectoryError::Silent | DirectoryError::Closed | _ => DhtOutcome::Silent,
    }
}

#[cfg(test)]
mod tests {
    use peerway_dht::Entrance;

    use super::*;

    #[tokio::test]
    async fn an_item_that_its_key_has_not_signed_is_not_stored() {
        let directory = Directory::new(Entrance::at(vec!["127.0.0.1:9".to_owned()]));
        let item = Item::new([7; 32], 1, b"3:abc".to_vec(), [7; 64]);
        assert_eq!(put(&directory, item).await, DhtOutcome::Refused);
    }
}

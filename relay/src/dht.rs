//! Looks up and stores in the Mainline DHT what clients ask, that no UDP leads out of.

use std::sync::Arc;

use peerway_dht::{Directory, DirectoryError};
use peerway_proto::wire::relay::DhtOutcome;
use tokio::task::JoinSet;

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
        Work::Put { item, .. } => match directory.put(item).await {
            Ok(nodes) => done(nodes),
            Err(error) => failed(&error),
        },
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

fn done(nodes: u32) -> DhtOutcome {
    DhtOutcome::Done {
        nodes: nodes.try_into().unwrap_or(u8::MAX),
    }
}

fn failed(error: &DirectoryError) -> DhtOutcome {
    match error {
        DirectoryError::Outdated => DhtOutcome::Outdated,
        DirectoryError::TooLong { .. } | DirectoryError::Refused(_) => DhtOutcome::Refused,
        DirectoryError::Silent
        | DirectoryError::Socket(_)
        | DirectoryError::Unhelped(_)
        | DirectoryError::Closed
        | _ => DhtOutcome::Silent,
    }
}

//! What a node's snapshots say of the network around it.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};

use crate::{NodeSnapshot, RelayState, RelayUrl};

/// What a network report may take.
const REPORT_PATIENCE: Duration = Duration::from_secs(5);
/// A network report that did not change for so long is complete.
const REPORT_QUIET: Duration = Duration::from_millis(1500);

/// Waits until the network around the node is known, for 5 s at most.
pub(super) async fn complete(mut snapshots: watch::Receiver<Arc<NodeSnapshot>>) {
    let mut known = snapshots.borrow_and_update().clone();
    let complete = async {
        loop {
            let change = timeout(REPORT_QUIET, changed_network(&mut snapshots, &known)).await;
            match change {
                Ok(Some(snapshot)) => known = snapshot,
                Err(_) if !is_measured(&known) => {}
                Ok(None) | Err(_) => return,
            }
        }
    };
    // What is known then is the report.
    let _ = timeout(REPORT_PATIENCE, complete).await;
}

/// Whether the node can be reached through its relays, once that is known; else the relay that is to be blamed.
pub(super) fn reachable(snapshot: &NodeSnapshot) -> Option<Result<(), RelayUrl>> {
    let home = || snapshot.relays.iter().filter(|relay| relay.home);
    if home().next().is_none() || home().any(|relay| relay.state == RelayState::Up) {
        return Some(Ok(()));
    }
    if home().any(|relay| relay.state != RelayState::Down) {
        return None;
    }
    let relay = home()
        .find(|relay| relay.impostor)
        .or_else(|| home().next())?;
    Some(Err(relay.url.clone()))
}

/// The next snapshot that knows something else of the network than `known`; none when the node has ended.
async fn changed_network(
    snapshots: &mut watch::Receiver<Arc<NodeSnapshot>>,
    known: &NodeSnapshot,
) -> Option<Arc<NodeSnapshot>> {
    let states = |snapshot: &NodeSnapshot| -> Vec<RelayState> {
        snapshot.relays.iter().map(|relay| relay.state).collect()
    };
    let is_news =
        |now: &Arc<NodeSnapshot>| now.network != known.network || states(now) != states(known);
    snapshots
        .wait_for(is_news)
        .await
        .ok()
        .map(|now| now.clone())
}

/// Whether all relays answered or failed, and the NAT was measured if that can be.
fn is_measured(snapshot: &NodeSnapshot) -> bool {
    let relays = &snapshot.relays;
    relays
        .iter()
        .all(|relay| relay.state != RelayState::Connecting)
        && (relays.is_empty() || snapshot.network.checked_at_ms.is_some())
}

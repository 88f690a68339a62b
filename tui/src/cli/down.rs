//! `peerway down`: ends the node that runs here.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::{args::Globals, attach, failure::Failure, out, state::StateDir};

/// How long a node may say goodbye to its peers and relays, and a bit.
const PATIENCE: Duration = Duration::from_secs(10);
/// Locks have nobody told when they are free.
const LOOK: Duration = Duration::from_millis(20);

pub(super) async fn run(globals: &Globals) -> Result<(), Failure> {
    let state = StateDir::open(globals)?;
    attach::needed(globals).await?.down().await?;
    let ended = async {
        // Another node may be started when this succeeds.
        while state.claim()?.is_none() {
            sleep(LOOK).await;
        }
        Ok(())
    };
    timeout(PATIENCE, ended).await.unwrap_or_else(|_| {
        out::hint("the node was told to end, and takes its time");
        Ok(())
    })
}

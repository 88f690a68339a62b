//! What idle peers cost a server in processor time.

use std::time::Duration;

use peerway::RelayUrl;
use tokio::time::sleep;

use crate::{
    Failure,
    crowd::{Kind, Server},
};

/// Until what a burst of dials left behind has passed.
const REST: Duration = Duration::from_secs(15);

/// Measures both servers at the same time, first without peers, then with them.
pub(crate) async fn run(relay: &RelayUrl, peers: usize, seconds: u64) -> Result<(), Failure> {
    let mut servers = Vec::new();
    for kind in Kind::BOTH {
        servers.push((kind, Server::start(kind, relay).await?));
    }
    sleep(Duration::from_secs(2)).await;
    let alone = rates(&servers, seconds / 2).await?;
    let mut crowd = Vec::new();
    for nth in 0..peers {
        for (_, server) in &servers {
            crowd.push(server.visit(nth, 1).await?);
        }
        sleep(Duration::from_millis(6)).await;
    }
    sleep(REST).await;
    let crowded = rates(&servers, seconds).await?;
    for (((kind, _), alone), crowded) in servers.iter().zip(alone).zip(crowded) {
        let each = (crowded - alone) / peers as f64;
        println!(
            "{kind:?}: {alone:.0} µs/s without peers, {crowded:.0} with {peers}: {each:.1} µs per peer and second"
        );
    }
    Ok(())
}

/// Microseconds of processor time per second.
async fn rates(servers: &[(Kind, Server)], seconds: u64) -> Result<Vec<f64>, Failure> {
    let read = || {
        servers
            .iter()
            .map(|(_, server)| server.cpu())
            .collect::<Result<Vec<_>, _>>()
    };
    let before = read()?;
    sleep(Duration::from_secs(seconds)).await;
    let spent = read()?
        .into_iter()
        .zip(before)
        .map(|(after, before)| after.saturating_sub(before));
    Ok(spent
        .map(|spent| spent.as_secs_f64() * 1e6 / seconds.max(1) as f64)
        .collect())
}

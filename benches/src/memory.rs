//! What idle peers cost a server in memory, and what it gives back when they left.

use std::time::Duration;

use peerway::RelayUrl;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    Failure,
    crowd::{Kind, Peer, Server},
    stats::Estimate,
};

/// Until what a burst of dials left behind has passed.
const REST: Duration = Duration::from_secs(15);
/// How long the server may take to give its memory back.
const PATIENCE: Duration = Duration::from_secs(60);
/// Further connections of each peer.
const MORE: usize = 3;
/// Peers that come and go at once in the churn.
const VISITORS: usize = 4;

/// Runs both servers in turn, prints what each peer and connection costs, and how much of it comes back.
pub(crate) async fn run(relay: &RelayUrl, rounds: usize, peers: usize) -> Result<(), Failure> {
    for kind in Kind::BOTH {
        let (mut peer, mut connection, mut returned) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let cost = measure(kind, relay, peers).await?;
            println!(
                "{kind:?}: {:.1} KiB a peer, {:.1} a connection more; {:.0} % back within {} s",
                cost.peer,
                cost.connection,
                100.0 * cost.returned,
                PATIENCE.as_secs()
            );
            peer.push(cost.peer);
            connection.push(cost.connection);
            returned.push(cost.returned);
        }
        println!("{kind:?}: KiB per idle peer        {}", Estimate::of(peer));
        println!(
            "{kind:?}: KiB per connection more  {}",
            Estimate::of(connection)
        );
        println!(
            "{kind:?}: given back               {}",
            Estimate::of(returned)
        );
    }
    Ok(())
}

/// Runs a relay and raw quinn in turn, and prints what each idle client costs, and how much of it comes back.
pub(crate) async fn relay_clients(
    relay: &RelayUrl,
    rounds: usize,
    clients: usize,
) -> Result<(), Failure> {
    for kind in Kind::RELAY {
        let (mut client, mut returned) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (taken, back) = with_crowd(kind, relay, clients, 1).await?;
            client.push(taken / clients as f64);
            returned.push(back);
        }
        println!("{kind:?}: KiB per idle client  {}", Estimate::of(client));
        println!("{kind:?}: given back           {}", Estimate::of(returned));
    }
    Ok(())
}

/// KiB of one peer with one connection, of each connection more, and the part that came back.
struct Cost {
    peer: f64,
    connection: f64,
    returned: f64,
}

async fn measure(kind: Kind, relay: &RelayUrl, peers: usize) -> Result<Cost, Failure> {
    let alone = with_crowd(kind, relay, peers, 1).await?;
    let more = with_crowd(kind, relay, peers, 1 + MORE).await?;
    Ok(Cost {
        peer: alone.0 / peers as f64,
        connection: (more.0 - alone.0) / (peers * MORE) as f64,
        returned: alone.1.min(more.1),
    })
}

/// KiB that a crowd takes, and the part of it that came back.
async fn with_crowd(
    kind: Kind,
    relay: &RelayUrl,
    peers: usize,
    connections: usize,
) -> Result<(f64, f64), Failure> {
    let server = Server::start(kind, relay).await?;
    server.visit(peers, 1).await?.leave().await;
    sleep(Duration::from_secs(1)).await;
    let before = server.memory_kib()?;
    let mut crowd: Vec<Peer> = Vec::new();
    for nth in 0..peers {
        crowd.push(server.visit(nth, connections).await?);
        sleep(Duration::from_millis(6)).await;
    }
    sleep(REST).await;
    let taken = server.memory_kib()? - before;
    let mut leaving = JoinSet::new();
    for peer in crowd {
        leaving.spawn(peer.leave());
    }
    leaving.join_all().await;
    let left = Instant::now();
    let mut returned = 0.0;
    while left.elapsed() < PATIENCE && returned < 0.9 {
        sleep(Duration::from_secs(1)).await;
        returned = 1.0 - (server.memory_kib()? - before) / taken;
    }
    println!(
        "{kind:?}: {peers} peers x {connections}: {before:.0} + {taken:.0} KiB, {:.0} % back after {:.0} s",
        100.0 * returned,
        left.elapsed().as_secs_f64()
    );
    Ok((taken, returned))
}

/// Has peers come, fetch something and go for so long, and prints the server's memory as it goes.
pub(crate) async fn churn(relay: &RelayUrl, seconds: u64) -> Result<(), Failure> {
    for kind in Kind::BOTH {
        let server = Server::start(kind, relay).await?;
        let start = Instant::now();
        let (mut downloads, mut shown) = (0, 0);
        let mut nth = 0;
        let mut visits = JoinSet::new();
        while start.elapsed() < Duration::from_secs(seconds) || !visits.is_empty() {
            while visits.len() < VISITORS && start.elapsed() < Duration::from_secs(seconds) {
                let peer = server.visit(nth, 1).await?;
                nth += 1;
                visits.spawn(async move {
                    peer.download().await?;
                    peer.leave().await;
                    Ok::<_, Failure>(())
                });
            }
            if let Some(visit) = visits.join_next().await {
                visit??;
                downloads += 1;
            }
            let tenth = start.elapsed().as_secs() * 10 / seconds.max(1);
            if tenth > shown {
                shown = tenth;
                println!(
                    "{kind:?}: {tenth:2}/10  {downloads:5} downloads  {:.0} KiB",
                    server.memory_kib()?
                );
            }
        }
    }
    Ok(())
}

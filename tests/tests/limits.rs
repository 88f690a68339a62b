//! How much of a node one party can take: on loopback, where every address is a network.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "this is all test code")]

use std::{collections::BTreeSet, net::Ipv4Addr, sync::Arc, time::Duration};

use futures_util::future::join_all;
use peerway::{ConnectError, Connection, Endpoint, NodeSnapshot};
use tokio::time::timeout;

const ALPN: &[u8] = b"test/1";
const PATIENCE: Duration = Duration::from_secs(60);
/// What one key may have.
const OF_PEER: usize = 64;
/// What one address may have.
const OF_NETWORK: usize = 512;

/// A node in the network with this number.
async fn node(network: u8) -> Endpoint {
    let ip = Ipv4Addr::new(127, network, 0, 1);
    Endpoint::builder()
        .bind_addr((ip, 0).into())
        .alpns([ALPN])
        .bind()
        .await
        .unwrap()
}

/// Dials as often as asked, a few at a time.
async fn dial(
    from: &Endpoint,
    to: &Endpoint,
    times: usize,
) -> Vec<Result<Connection, ConnectError>> {
    let mut dialled = Vec::new();
    while dialled.len() < times {
        let batch = (0..8.min(times - dialled.len())).map(|_| from.connect(to.ticket(), ALPN));
        dialled.extend(join_all(batch).await);
    }
    dialled
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_gets_its_share_of_connections_that_nobody_accepts_and_others_get_in() {
    let host = node(0).await;
    let keys = OF_NETWORK / OF_PEER + 1;
    let attackers = join_all((0..keys).map(|_| node(1))).await;
    let floods = attackers
        .iter()
        .map(|attacker| dial(attacker, &host, OF_PEER));
    let honest = async {
        let mut got = Vec::new();
        for network in 2..6 {
            let caller = node(network).await;
            let connection = timeout(PATIENCE, caller.connect(host.ticket(), ALPN)).await;
            got.push((connection.unwrap().unwrap(), caller));
        }
        got
    };
    let (flood, mut honest) = tokio::join!(join_all(floods), honest);

    let (got, refused): (Vec<_>, Vec<_>) = flood.into_iter().flatten().partition(Result::is_ok);
    // A dialler may hold for open what the host is about to close as busy, so the host is asked.
    let attackers: BTreeSet<_> = attackers.iter().map(Endpoint::id).collect();
    let of_attackers = |snapshot: &Arc<NodeSnapshot>| -> usize {
        let peers = snapshot.peers.iter();
        let theirs = peers.filter(|peer| attackers.contains(&peer.id));
        theirs.map(|peer| peer.connections as usize).sum()
    };
    // On a busy machine a dial that is begun anew may have two places for a moment.
    let share = OF_NETWORK - OF_PEER..=OF_NETWORK;
    let mut snapshots = host.snapshots();
    let settled = snapshots.wait_for(|snapshot| share.contains(&of_attackers(snapshot)));
    assert!(
        timeout(PATIENCE, settled).await.is_ok(),
        "{} got in",
        got.len()
    );
    for dialled in refused {
        assert!(matches!(dialled, Err(ConnectError::Busy)), "{dialled:?}");
    }
    let late = node(6).await;
    let connection = timeout(PATIENCE, late.connect(host.ticket(), ALPN)).await;
    honest.push((connection.unwrap().unwrap(), late));
    let mut awaited: BTreeSet<_> = honest.iter().map(|(_, caller)| caller.id()).collect();
    while !awaited.is_empty() {
        let accepted = timeout(PATIENCE, host.accept()).await.unwrap().unwrap();
        awaited.remove(&accepted.peer());
    }
    let most = of_attackers(&host.snapshot());
    assert!(most <= OF_NETWORK, "{most}");
}

#[tokio::test]
async fn what_failed_or_ended_gives_its_room_back_and_is_not_accepted() {
    let (host, caller) = (node(0).await, node(1).await);
    for _ in 0..OF_PEER + 1 {
        let refused = caller.connect(host.ticket(), b"other/1").await.unwrap_err();
        assert!(matches!(refused, ConnectError::NoSuchService), "{refused}");
    }
    for _ in 0..OF_PEER + 1 {
        let mut snapshots = host.snapshots();
        let connection = caller.connect(host.ticket(), ALPN).await.unwrap();
        connection.close(0, b"");
        let gone =
            snapshots.wait_for(|snapshot| snapshot.peers.iter().all(|peer| peer.connections == 0));
        timeout(PATIENCE, gone).await.unwrap().unwrap();
    }
    let connection = caller.connect(host.ticket(), ALPN).await.unwrap();
    let accepted = timeout(PATIENCE, host.accept()).await.unwrap().unwrap();
    accepted.close(7, b"the last");
    let closed = timeout(PATIENCE, connection.closed()).await.unwrap();
    assert!(closed.to_string().contains("the last"), "{closed}");
}

//! Peers on one network meet without a relay and without the internet, and with a relay they meet without leaving it.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

use peerway::{Builder, ConnectError, Endpoint, PathInfo, PeerId, SecretKey};
use peerway_lab::{self as lab, Home, Lab, NatKind};
use peerway_tests::pair;
use tokio::time::timeout;

const ALPN: &[u8] = b"test/1";
const BUDGET: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn hosts_in_one_home_meet_by_id_alone_and_directly() {
    lab::test(BUDGET, |mut lab| {
        let [a, b] = hosts(&mut lab);
        let node = listen(&a, builder());
        let found = b.block_on(async { path_to(&dialler(builder()).await, node.id()).await });
        assert_eq!((found.0.ip(), found.1), (a.addr(), true));
    });
}

#[test]
fn a_peer_that_comes_back_at_another_port_is_found_there() {
    lab::test(BUDGET, |mut lab| {
        let [a, b] = hosts(&mut lab);
        let key = SecretKey::generate().unwrap();
        let dialler = b.block_on(dialler(builder()));
        let mut seen = [0; 2].map(|_| {
            let node = listen(&a, builder().secret_key(key.clone()));
            let (addr, _) = b.block_on(path_to(&dialler, node.id()));
            a.block_on(node.close());
            addr.port()
        });
        seen.sort_unstable();
        assert_ne!(seen[0], seen[1]);
    });
}

#[test]
fn a_node_that_is_not_to_be_found_is_not_found() {
    lab::test(BUDGET, |mut lab| {
        let [a, b] = hosts(&mut lab);
        let node = listen(&a, builder().lan_discovery(false));
        let refused = b.block_on(async {
            let dialler = dialler(builder()).await;
            dialler.connect(node.id(), ALPN).await.unwrap_err()
        });
        assert!(matches!(refused, ConnectError::NoAddress), "{refused}");
    });
}

#[test]
fn hosts_behind_one_nat_meet_on_their_own_network_though_only_the_relay_knows_both() {
    lab::test(BUDGET, |mut lab| {
        let [a, b] = hosts(&mut lab);
        let relay = pair::relay(&lab);
        let quiet = || builder().lan_discovery(false).relays([relay.clone()]);
        let node = listen(&a, quiet());
        let found = b.block_on(async { path_to(&dialler(quiet()).await, node.id()).await });
        assert_eq!((found.0.ip(), found.1), (a.addr(), true));
    });
}

#[test]
fn only_neighbours_are_told_that_a_node_is_there() {
    lab::test(BUDGET, |mut lab| {
        let [a, b] = hosts(&mut lab);
        let _node = listen(&a, builder());
        assert!(is_told(&b, a.addr()));
        let public = lab.home("public", NatKind::Public).unwrap();
        let _node = listen(&public, builder());
        assert!(!is_told(lab.relay(), public.addr()));
    });
}

/// Whether somebody who asks a host itself, and not its network, for nodes gets an answer.
fn is_told(home: &Home, host: IpAddr) -> bool {
    const QUESTION: &[u8] =
        b"\0\x07\0\0\0\x01\0\0\0\0\0\0\x08_peerway\x04_udp\x05local\0\0\x0c\0\x01";
    home.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE / 50)).unwrap();
        (0..15).any(|_| {
            socket.send_to(QUESTION, (host, 5353)).unwrap();
            socket.recv(&mut [0; 1500]).is_ok()
        })
    })
}

/// Two hosts on the network of one home.
fn hosts(lab: &mut Lab) -> [Home; 2] {
    let a = lab.home("a", NatKind::PortRestricted).unwrap();
    let b = lab.host_beside(&a, "b").unwrap();
    [a, b]
}

fn builder() -> Builder {
    Endpoint::builder().port_mapping(false)
}

async fn dialler(builder: Builder) -> Endpoint {
    let dialler = builder.bind().await.unwrap();
    dialler.online().await.unwrap();
    dialler
}

/// A node that accepts everything until it is closed.
fn listen(home: &Home, builder: Builder) -> Endpoint {
    let node = home.block_on(dialler(builder.alpns([ALPN])));
    let open = node.clone();
    home.spawn(async move {
        let mut connections = Vec::new();
        while let Some(connection) = open.accept().await {
            connections.push(connection);
        }
    });
    node
}

/// Where the peer is once it is reached directly, and whether that is the local network.
async fn path_to(dialler: &Endpoint, peer: PeerId) -> (SocketAddr, bool) {
    let connection = dialler.connect(peer, ALPN).await.unwrap();
    let mut status = connection.watch_status();
    let direct = |path: &Option<PathInfo>| matches!(path, Some(PathInfo::Direct { .. }));
    let status = timeout(PATIENCE, status.wait_for(|status| direct(&status.path)))
        .await
        .unwrap()
        .unwrap();
    match status.path {
        Some(PathInfo::Direct { remote, lan, .. }) => (remote, lan),
        _ => unreachable!("it was just looked at"),
    }
}

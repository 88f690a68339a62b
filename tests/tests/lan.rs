//! Peers on one network meet without a relay and without the internet.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use peerway::{Builder, ConnectError, Endpoint, PathInfo, PeerId};
use peerway_tui::lab::{self, Home, Lab, NatKind};
use tokio::{task::JoinHandle, time::timeout};

const ALPN: &[u8] = b"test/1";
const BUDGET: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn peers_on_one_network_meet_by_id_alone_and_directly() {
    lab::test(BUDGET, |mut lab| {
        let [a, b] = neighbours(&mut lab);
        let (id, _node) = listen(&a, builder());
        let remote = b.block_on(async { path_to(&dialler().await, id).await });
        assert_eq!(remote, ("192.168.77.1".to_owned(), true));
    });
}

#[test]
fn a_peer_that_comes_back_at_another_port_is_found_there() {
    lab::test(BUDGET, |mut lab| {
        let [a, b] = neighbours(&mut lab);
        let key = peerway::SecretKey::generate().unwrap();
        let dialler = b.block_on(dialler());
        for _ in 0..2 {
            let (id, node) = listen(&a, builder().secret_key(key.clone()));
            b.block_on(path_to(&dialler, id));
            node.abort();
            a.block_on(async { node.await.unwrap_err() });
        }
    });
}

#[test]
fn a_node_that_is_not_to_be_found_is_not_found() {
    lab::test(BUDGET, |mut lab| {
        let [a, b] = neighbours(&mut lab);
        let (id, _node) = listen(&a, builder().lan_discovery(false));
        let refused = b.block_on(async { dialler().await.connect(id, ALPN).await.unwrap_err() });
        assert_eq!(refused, ConnectError::NoAddress);
    });
}

/// Two homes with a cable between them; there is no relay in this internet.
fn neighbours(lab: &mut Lab) -> [Home; 2] {
    let a = lab.home("a", NatKind::PortRestricted).unwrap();
    let b = lab.home("b", NatKind::Symmetric).unwrap();
    ip(
        &a,
        "link add lan type veth peer name lan netns /run/netns/b",
    );
    for (home, number) in [(&a, 1), (&b, 2)] {
        ip(home, &format!("address add 192.168.77.{number}/24 dev lan"));
        ip(home, "link set lan up");
    }
    [a, b]
}

fn ip(home: &Home, command: &str) {
    let mut ip = home.command("ip");
    let status = ip.args(command.split(' ')).status().unwrap();
    assert!(status.success(), "ip {command}");
}

fn builder() -> Builder {
    Endpoint::builder().port_mapping(false)
}

async fn dialler() -> Endpoint {
    builder().bind().await.unwrap()
}

/// A node that accepts everything until its task ends.
fn listen(home: &Home, builder: Builder) -> (PeerId, JoinHandle<()>) {
    let node = home.block_on(async { builder.alpns([ALPN]).bind().await.unwrap() });
    let id = node.id();
    let task = home.spawn(async move {
        let mut connections = Vec::new();
        while let Some(connection) = node.accept().await {
            connections.push(connection);
        }
    });
    (id, task)
}

/// Where the peer is once it is reached directly, and whether that is the local network.
async fn path_to(dialler: &Endpoint, peer: PeerId) -> (String, bool) {
    let connection = dialler.connect(peer, ALPN).await.unwrap();
    let mut status = connection.path();
    let direct = |path: &Option<PathInfo>| matches!(path, Some(PathInfo::Direct { .. }));
    let status = timeout(PATIENCE, status.wait_for(|status| direct(&status.path)))
        .await
        .unwrap()
        .unwrap();
    match &status.path {
        Some(PathInfo::Direct { remote, lan, .. }) => (remote.ip().to_string(), *lan),
        other => panic!("{other:?}"),
    }
}

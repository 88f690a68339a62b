//! An idle listener whose router forgot it is away until it next speaks to its relay, and is dialled all the same.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{sync::LazyLock, time::Duration};

use peerway::Endpoint;
use peerway_lab::{self as lab, Home, NatKind};
use peerway_tests::{PROGRAMS, pair};
use tempfile::TempDir;
use tokio::time::timeout;

const BUDGET: Duration = Duration::from_secs(120);
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_listener_whose_router_was_restarted_is_reached_and_the_user_told_what_is_waited_for() {
    LazyLock::force(&PROGRAMS);
    lab::test(BUDGET, |mut lab| {
        let relay = pair::relay(&lab);
        let dialler = lab.home("a", NatKind::PortRestricted).unwrap();
        for (name, kind) in [
            ("same", NatKind::PortRestricted),
            ("other", NatKind::Symmetric),
        ] {
            let home = lab.home(name, kind).unwrap();
            let listener = pair::node(&home, &relay);
            settle(&home, &listener);
            home.flush_conntrack().unwrap();
            let folder = TempDir::new().unwrap();
            let mut ping = dialler.command(PROGRAMS.join("peerway").to_str().unwrap());
            ping.args(["ping", &listener.ticket().to_string(), "--state-dir"]);
            let output = ping.arg(folder.path()).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains("relay does not reach it"), "{name}: {said}");
            // It takes the connection, but answers no ping, as it runs no service of that name.
            assert!(
                said.contains("answers neither ping nor speed"),
                "{name}: {said}"
            );
            home.block_on(listener.close());
        }
    });
}

/// Waits until a node has found out about its network, and sends nothing any more until its next keepalive.
fn settle(home: &Home, node: &Endpoint) {
    let mut snapshots = node.snapshots();
    home.block_on(async move {
        let settled = snapshots.wait_for(|node| node.network.checked_at_ms.is_some());
        timeout(PATIENCE, settled).await.unwrap().unwrap();
    });
}

//! Nodes behind real kernel NATs find out what their NAT does.
#![cfg(target_os = "linux")]
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is all test code"
)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use peerway::{
    Endpoint,
    NatBehavior::{self, AddressAndPortDependent, EndpointIndependent},
    NatReport, PortAllocation, RelayUrl, SecretKey,
};
use peerway_lab::{self as lab, Home, Lab, Line, NatKind};
use peerway_relay::{Config, Relay};
use tokio::time::timeout;

const BUDGET: Duration = Duration::from_secs(120);
const PATIENCE: Duration = Duration::from_secs(15);
/// 40 ms to the relay and back.
const DELAY: Duration = Duration::from_millis(20);
/// Measurements through each NAT.
const RUNS: usize = 5;

#[test]
fn every_nat_is_called_what_it_is_every_time() {
    let (open, strict) = (EndpointIndependent, AddressAndPortDependent);
    let cases = [
        (NatKind::Public, open, open),
        (NatKind::FullCone, open, open),
        // One relay cannot tell it from a full cone.
        (NatKind::AddressRestricted, open, open),
        (NatKind::PortRestricted, open, strict),
        (NatKind::PortRestrictedAccept, open, strict),
        (NatKind::DoubleNat, open, strict),
        (NatKind::Sequential, strict, strict),
        (NatKind::SymmetricBlock, strict, strict),
        (NatKind::Symmetric, strict, strict),
    ];
    lab::test(BUDGET, |mut lab| {
        let url = relay(&lab);
        for (at, (kind, mapping, filtering)) in cases.into_iter().enumerate() {
            let line = Line::delayed(DELAY);
            let home = lab.home_on(&format!("h{at}"), kind, line).unwrap();
            for _ in 0..RUNS {
                let (found, took) = measure(&home, &url);
                let wanted = (mapping, filtering);
                assert_eq!((found.mapping, found.filtering), wanted, "{kind:?}");
                assert!(fits(kind, found.allocation), "{kind:?} {found:?}");
                println!("{kind:?}: {:?} in {took:?}", found.allocation);
            }
        }
    });
}

/// Whether ports are chosen that way by such a NAT; of random ones only that it is neither more nor less than a block.
fn fits(kind: NatKind, found: PortAllocation) -> bool {
    match (kind, found) {
        (NatKind::Sequential, PortAllocation::Sequential { step }) => step == 1,
        (NatKind::SymmetricBlock, PortAllocation::Random { first, last }) => last - first < 4096,
        (NatKind::Symmetric, PortAllocation::Random { first, last }) => last - first >= 4096,
        (NatKind::Sequential | NatKind::SymmetricBlock | NatKind::Symmetric, _) => false,
        (_, found) => found == PortAllocation::Unknown,
    }
}

/// What a new node in that home finds out, and how long it takes from its start.
fn measure(home: &Home, relay: &RelayUrl) -> (NatReport, Duration) {
    let builder = Endpoint::builder()
        .relays([relay.clone()])
        .port_mapping(false);
    home.block_on(async {
        let start = Instant::now();
        let node = builder.bind().await.unwrap();
        let mut snapshots = node.snapshots();
        let measured = snapshots.wait_for(|node| {
            let nat = node.network.nat;
            node.network.checked_at_ms.is_some() && nat.filtering != NatBehavior::Unknown
        });
        let found = timeout(PATIENCE, measured).await.unwrap().unwrap().clone();
        let took = start.elapsed();
        node.close().await;
        (found.network.nat, took)
    })
}

fn relay(lab: &Lab) -> RelayUrl {
    let host = lab.relay();
    let config = Config::new(
        (host.public_addr(), 4433).into(),
        SecretKey::generate().unwrap(),
    );
    let relay = Arc::new(host.block_on(Relay::bind(config)).unwrap());
    let url = relay.url();
    host.spawn(async move { relay.run().await });
    url
}

//! Every pair of NATs, with real kernel NATs: who goes direct, and how long it takes.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is all test code"
)]

use std::time::Duration;

use peerway::RelayUrl;
use peerway_lab::{self as lab, Home, Lab, Line, NatKind};
use peerway_tests::pair::{self, HomePair};

/// Dials of each pair in each role.
const USUAL_RUNS: usize = 2;
const BUDGET: Duration = Duration::from_secs(1200);
/// How long a pair may take that has to go direct.
const PATIENCE: Duration = Duration::from_secs(15);
/// 80 ms between homes, through the relay as well as directly.
const DELAY: Duration = Duration::from_millis(20);

#[test]
fn every_pair_that_can_be_direct_is_direct_every_time() {
    let kinds = [
        NatKind::Public,
        NatKind::FullCone,
        NatKind::PortRestricted,
        NatKind::DoubleNat,
        NatKind::SymmetricUpnp,
    ];
    lab::test(BUDGET, |mut lab| {
        let relay = pair::relay(&lab);
        let left = homes(&mut lab, "a", &kinds);
        let right = homes(&mut lab, "b", &kinds);
        for a in &left {
            for b in &right {
                goes_direct(&lab, a, b, &relay);
            }
        }
    });
}

#[test]
fn a_router_that_accepts_input_does_not_keep_homes_apart() {
    let kinds = [NatKind::PortRestrictedAccept];
    lab::test(BUDGET, |mut lab| {
        let relay = pair::relay(&lab);
        let a = homes(&mut lab, "a", &kinds);
        let b = homes(&mut lab, "b", &kinds);
        goes_direct(&lab, &a[0], &b[0], &relay);
        goes_direct(&lab, &b[0], &a[0], &relay);
    });
}

#[test]
fn a_symmetric_nat_reaches_public_hosts_directly() {
    lab::test(BUDGET, |mut lab| {
        let relay = pair::relay(&lab);
        let symmetric = homes(&mut lab, "s", &[NatKind::Symmetric]);
        let open = homes(&mut lab, "o", &[NatKind::Public, NatKind::FullCone]);
        for other in &open {
            goes_direct(&lab, &symmetric[0], other, &relay);
            goes_direct(&lab, other, &symmetric[0], &relay);
        }
    });
}

/// All homes of one prefix, one of each kind.
fn homes(lab: &mut Lab, prefix: &str, kinds: &[NatKind]) -> Vec<Home> {
    let line = Line::delayed(DELAY);
    kinds
        .iter()
        .enumerate()
        .map(|(at, nat)| lab.home_on(&format!("{prefix}{at}"), *nat, line).unwrap())
        .collect()
}

fn goes_direct(lab: &Lab, from: &Home, to: &Home, relay: &RelayUrl) {
    let pair = HomePair {
        from,
        to,
        lab,
        relay,
        limit: PATIENCE,
    };
    let tally = pair.dial(pair::runs(USUAL_RUNS));
    println!("{tally}");
    assert_eq!(tally.direct(), tally.dials.len(), "{tally:#?}");
}

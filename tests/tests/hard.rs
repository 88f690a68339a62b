//! NATs that give every destination another port, in the kernel: who gets through them, how fast, and at what cost.
//!
//! `PEERWAY_RUNS=100` runs each cell that often.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is all test code"
)]

use std::time::Duration;

use peerway::{Cause, PeerState, RelayUrl};
use peerway_tests::pair::{self, Pair};
use peerway_tui::lab::{self, Home, Lab, Line, NatKind};

/// Enough for a hundred runs.
const BUDGET: Duration = Duration::from_secs(7200);
const LIMIT: Duration = Duration::from_secs(12);
/// How long a pair that nothing can help is watched: two rounds, and not into the third.
const LOST: Duration = Duration::from_secs(14);
/// 80 ms between homes, through the relay as well as directly.
const DELAY: Duration = Duration::from_millis(20);
const USUAL_RUNS: usize = 2;
/// Fewer runs say nothing about a hundredth, nor about a median.
const ENOUGH: usize = 20;

#[test]
fn a_random_port_is_found_from_behind_nats_that_keep_theirs() {
    lab::test(BUDGET, |mut lab| {
        let kinds = [
            NatKind::PortRestricted,
            NatKind::DoubleNat,
            NatKind::ShortTimeout,
        ];
        let pairs = kinds.map(|kind| homes(&mut lab, [kind, NatKind::Symmetric]));
        let place = with_relay(lab);
        for pair in &pairs {
            both_roles(&place, pair, 0.99, Duration::from_millis(1500));
        }
    });
}

#[test]
fn a_port_out_of_a_block_is_found() {
    lab::test(BUDGET, |mut lab| {
        let kinds = [NatKind::PortRestricted, NatKind::SymmetricBlock];
        let homes = homes(&mut lab, kinds);
        both_roles(&with_relay(lab), &homes, 0.99, Duration::from_millis(1500));
    });
}

#[test]
fn the_next_port_of_a_nat_that_counts_is_foreseen() {
    lab::test(BUDGET, |mut lab| {
        let kinds = [NatKind::PortRestricted, NatKind::Sequential];
        let homes = homes(&mut lab, kinds);
        both_roles(&with_relay(lab), &homes, 0.99, Duration::from_secs(1));
    });
}

#[test]
fn two_nats_that_count_meet() {
    lab::test(BUDGET, |mut lab| {
        let kinds = [NatKind::Sequential, NatKind::Sequential];
        let homes = homes(&mut lab, kinds);
        both_roles(&with_relay(lab), &homes, 0.95, Duration::from_secs(4));
    });
}

#[test]
fn two_random_ports_are_not_looked_for_and_the_link_says_so() {
    lab::test(BUDGET, |mut lab| {
        let relay = pair::relay(&lab);
        let kinds = [NatKind::Symmetric, NatKind::Symmetric];
        let [from, to] = homes(&mut lab, kinds);
        let pair = Pair {
            from: &from,
            to: &to,
            lab: &lab,
            relay: &relay,
            limit: LOST,
        };
        let tally = pair.dial(pair::runs(1));
        println!("{tally}");
        for dial in &tally.dials {
            assert_eq!(dial.direct, None);
            assert_eq!(dial.seen.state, PeerState::Relayed);
            let cause = dial.seen.why.as_ref().map(|why| why.cause);
            assert_eq!(cause, Some(Cause::BothRandom));
            let few = dial.packets.iter().all(|packets| *packets <= 60);
            assert!(few, "{dial:?}");
        }
    });
}

/// Dials both ways between two homes, and expects at least `share` of the dials to go direct, half of them within `median`.
fn both_roles(place: &(Lab, RelayUrl), [a, b]: &[Home; 2], share: f64, median: Duration) {
    let (lab, relay) = place;
    for (from, to) in [(a, b), (b, a)] {
        let pair = Pair {
            from,
            to,
            lab,
            relay,
            limit: LIMIT,
        };
        let tally = pair.dial(pair::runs(USUAL_RUNS));
        println!("{tally}");
        let seen: Vec<_> = tally.dials.iter().map(|dial| &dial.seen).collect();
        let significant = tally.dials.len() >= ENOUGH;
        let expected = if significant { share } else { 0.5 };
        let direct = tally.direct() as f64 / tally.dials.len() as f64;
        assert!(direct >= expected, "{tally}: {seen:#?}");
        if significant {
            assert!(tally.within(0.5) <= Some(median), "{tally}");
        }
    }
}

fn with_relay(lab: Lab) -> (Lab, RelayUrl) {
    let relay = pair::relay(&lab);
    (lab, relay)
}

fn homes(lab: &mut Lab, kinds: [NatKind; 2]) -> [Home; 2] {
    let pair = kinds.map(NatKind::name).join("-");
    let line = Line::delayed(DELAY);
    [("a", kinds[0]), ("b", kinds[1])]
        .map(|(side, kind)| lab.home_on(&format!("{side}-{pair}"), kind, line).unwrap())
}

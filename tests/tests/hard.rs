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
use peerway_lab::{self as lab, Home, Lab, Line, NatKind};
use peerway_tests::pair::{self, HomePair, Tally};

/// Enough for a hundred runs.
const BUDGET: Duration = Duration::from_secs(7200);
const LIMIT: Duration = Duration::from_secs(12);
/// How long a pair that nothing can help is watched: two rounds, and not into the third.
const LOST: Duration = Duration::from_secs(14);
/// 80 ms between homes, through the relay as well as directly.
const DELAY: Duration = Duration::from_millis(20);
const USUAL_RUNS: usize = 2;
/// Fewer runs say nothing about a hundredth, nor about the median of one pair; all dials of a test are judged always.
const ENOUGH: usize = 20;
/// The median of few dials, by which guesses by chance are measured, on busy cores may be this much longer than that of many.
const FEW: f64 = 1.6;

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
        both_roles(&place, &pairs, 0.99, Duration::from_millis(1500));
    });
}

#[test]
fn a_port_out_of_a_block_is_found() {
    lab::test(BUDGET, |mut lab| {
        let kinds = [NatKind::PortRestricted, NatKind::SymmetricBlock];
        let homes = homes(&mut lab, kinds);
        both_roles(
            &with_relay(lab),
            &[homes],
            0.99,
            Duration::from_millis(1500),
        );
    });
}

#[test]
fn the_next_port_of_a_nat_that_counts_is_foreseen() {
    lab::test(BUDGET, |mut lab| {
        let kinds = [NatKind::PortRestricted, NatKind::Sequential];
        let homes = homes(&mut lab, kinds);
        both_roles(&with_relay(lab), &[homes], 0.99, Duration::from_secs(1));
    });
}

#[test]
fn two_nats_that_count_meet() {
    lab::test(BUDGET, |mut lab| {
        let kinds = [NatKind::Sequential, NatKind::Sequential];
        let homes = homes(&mut lab, kinds);
        both_roles(&with_relay(lab), &[homes], 0.95, Duration::from_secs(1));
    });
}

#[test]
fn two_random_ports_are_not_looked_for_and_the_link_says_so() {
    lab::test(BUDGET, |mut lab| {
        let relay = pair::relay(&lab);
        let kinds = [NatKind::Symmetric, NatKind::Symmetric];
        let [from, to] = homes(&mut lab, kinds);
        let pair = HomePair {
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

/// Dials both ways between the homes of each pair, and expects at least `share` of the dials to go direct, half of them within
/// `median`.
fn both_roles(place: &(Lab, RelayUrl), pairs: &[[Home; 2]], share: f64, median: Duration) {
    let (lab, relay) = place;
    let roles = pairs.iter().flat_map(|[a, b]| [(a, b), (b, a)]);
    let tallies = roles.map(|(from, to)| {
        let pair = HomePair {
            from,
            to,
            lab,
            relay,
            limit: LIMIT,
        };
        // Each test has at least eight dials.
        let tally = pair.dial(pair::runs(USUAL_RUNS.max(4 / pairs.len())));
        println!("{tally}");
        if tally.dials.len() >= ENOUGH {
            judge(&tally, share, median);
        }
        tally
    });
    let tallies: Vec<Tally> = tallies.collect();
    let all = Tally::pool("all pairs", &tallies);
    println!("{all}");
    judge(&all, share, median);
}

/// Of few dials one more may fail than is to be expected, which by chance happens once in some thousand runs.
fn judge(tally: &Tally, share: f64, median: Duration) {
    let count = tally.dials.len();
    let (spared, median) = if count >= ENOUGH {
        (0, median)
    } else {
        (1, median.mul_f64(FEW))
    };
    let failures = (count as f64 * (1.0 - share)).ceil() as usize + spared;
    let seen: Vec<_> = tally.dials.iter().map(|dial| &dial.seen).collect();
    assert!(tally.direct() + failures >= count, "{tally}: {seen:#?}");
    assert!(
        tally.within(0.5).is_some_and(|time| time <= median),
        "{tally}"
    );
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

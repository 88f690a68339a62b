//! How long homes that can meet take to do so, on lines with delay and loss, with and without knowing the other's address.
//!
//! `PEERWAY_RUNS=20` runs each cell that often.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is all test code"
)]

use std::time::Duration;

use peerway_tests::pair::{self, Pair};
use peerway_tui::lab::{self, Lab, Line, NatKind};

/// Enough for twenty runs.
const BUDGET: Duration = Duration::from_secs(7200);
const LIMIT: Duration = Duration::from_secs(10);
/// 80 ms between homes, through the relay as well as directly.
const DELAY: Duration = Duration::from_millis(20);
const USUAL_RUNS: usize = 2;
/// Fewer say nothing about a median.
const ENOUGH: usize = 20;

#[test]
fn homes_without_loss_are_direct_at_once() {
    lab::test(BUDGET, |mut lab| measure(&mut lab, 0.0));
}

#[test]
fn homes_with_a_twentieth_of_their_packets_lost_are_direct_soon() {
    lab::test(BUDGET, |mut lab| measure(&mut lab, 0.05));
}

/// `loss` is that of the way between two homes, half of it on each line.
fn measure(lab: &mut Lab, loss: f64) {
    let kinds = [
        NatKind::Public,
        NatKind::FullCone,
        NatKind::PortRestricted,
        NatKind::DoubleNat,
    ];
    let line = Line {
        delay: DELAY,
        loss: loss / 2.0,
    };
    let relay = pair::relay(lab);
    let mut homes = |side: &str| {
        let mut home = |kind: NatKind| lab.home_on(&format!("{side}{}", kind as u8), kind, line);
        kinds.map(|kind| home(kind).unwrap())
    };
    let (left, right) = (homes("a"), homes("b"));
    for (at, from) in left.iter().enumerate() {
        for to in &right[at..] {
            for held in [false, true] {
                let pair = Pair {
                    from,
                    to,
                    lab,
                    relay: &relay,
                    held,
                    limit: LIMIT,
                };
                judge(&pair, loss);
            }
        }
    }
}

fn judge(pair: &Pair<'_>, loss: f64) {
    let tally = pair.dial(pair::runs(USUAL_RUNS));
    let known = if pair.held { "known" } else { "unknown" };
    println!("{:.0} % loss, {known}: {tally}", loss * 100.0);
    assert_eq!(tally.direct(), tally.dials.len(), "{tally:#?}");
    if tally.dials.len() < ENOUGH {
        return;
    }
    let (share, limit) = match (loss > 0.0, pair.held) {
        (true, _) => (0.99, 600),
        (false, true) => (0.5, 130),
        (false, false) => (0.5, 170),
    };
    let limit = Duration::from_millis(limit);
    assert!(tally.within(share) <= Some(limit), "{tally}");
}

//! How long homes that can meet take to do so, on lines with delay and loss, for the first time and again.
//!
//! `PEERWAY_RUNS=20` runs each cell that often.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is all test code"
)]

use std::time::Duration;

use peerway_tests::pair::{self, Pair, Tally};
use peerway_tui::lab::{self, Lab, Line, NatKind};

/// Enough for twenty runs.
const BUDGET: Duration = Duration::from_secs(7200);
const LIMIT: Duration = Duration::from_secs(10);
/// 80 ms between homes, through the relay as well as directly.
const DELAY: Duration = Duration::from_millis(20);
const USUAL_RUNS: usize = 2;
const USUAL_RUNS_AGAIN: usize = 1;
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
        loss: loss / 2.0,
        ..Line::delayed(DELAY)
    };
    let relay = pair::relay(lab);
    let mut homes = |side: &str| {
        let mut home = |kind: NatKind| lab.home_on(&format!("{side}{}", kind as u8), kind, line);
        kinds.map(|kind| home(kind).unwrap())
    };
    let (left, right) = (homes("a"), homes("b"));
    let mut pairs = Vec::new();
    for (at, from) in left.iter().enumerate() {
        pairs.extend(right[at..].iter().map(|to| Pair {
            lab,
            from,
            to,
            relay: &relay,
            limit: LIMIT,
        }));
    }
    let mut late = Vec::new();
    for pair in &pairs {
        let tally = pair.dial(pair::runs(USUAL_RUNS));
        late.extend(judge(
            "first time",
            &tally,
            loss,
            Duration::from_millis(170),
        ));
    }
    let mut again = vec![Vec::new(); pairs.len()];
    for _ in 0..pair::runs(USUAL_RUNS_AGAIN) {
        // All of them, since a link takes ten seconds to be forgotten.
        let acquainted: Vec<_> = pairs.iter().map(Pair::acquaint).collect();
        for ((pair, nodes), dials) in pairs.iter().zip(acquainted).zip(&mut again) {
            dials.push(pair.dial_again(nodes));
        }
    }
    for (pair, dials) in pairs.iter().zip(again) {
        let tally = pair.tally(dials);
        late.extend(judge("again", &tally, loss, Duration::from_millis(130)));
    }
    assert!(late.is_empty(), "{late:#?}");
}

/// `median` is the longest that is allowed where nothing is lost. Returns what took longer than it may.
fn judge(what: &str, tally: &Tally, loss: f64, median: Duration) -> Option<String> {
    println!("{:.0} % loss, {what}: {tally}", loss * 100.0);
    assert_eq!(tally.direct(), tally.dials.len(), "{tally:#?}");
    let (share, limit) = if loss > 0.0 {
        (0.99, Duration::from_millis(600))
    } else {
        (0.5, median)
    };
    let late = tally.dials.len() >= ENOUGH && tally.within(share) > Some(limit);
    late.then(|| tally.to_string())
}

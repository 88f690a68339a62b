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

use peerway_lab::{self as lab, Lab, Line, NatKind};
use peerway_tests::pair::{self, HomePair, Tally};

/// Enough for twenty runs.
const BUDGET: Duration = Duration::from_secs(7200);
const LIMIT: Duration = Duration::from_secs(10);
/// 80 ms between homes, through the relay as well as directly.
const DELAY: Duration = Duration::from_millis(20);
const USUAL_RUNS: usize = 2;
const USUAL_RUNS_AGAIN: usize = 1;
/// Fewer say nothing about the median of a single cell; all cells together are judged always.
const ENOUGH: usize = 20;
/// The medians that are allowed where nothing is lost, and the slowest at a loss of 5 %.
const FIRST: Duration = Duration::from_millis(170);
const AGAIN: Duration = Duration::from_millis(130);
const WITH_LOSS: Duration = Duration::from_millis(600);
/// What debug builds take longer (26 ms at most), and as much again on busy cores.
const BUSY: Duration = Duration::from_millis(50);
/// Peers that know each other are spared at least one way between the homes, by far most of which is the lines' delay. Both
/// medians are of one run and alike in what else takes time.
const SPARED: Duration = Duration::from_millis(15);

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
        pairs.extend(right[at..].iter().map(|to| HomePair {
            lab,
            from,
            to,
            relay: &relay,
            limit: LIMIT,
        }));
    }
    let runs = pair::runs(USUAL_RUNS);
    let first: Vec<Tally> = pairs.iter().map(|pair| pair.dial(runs)).collect();
    let mut again = vec![Vec::new(); pairs.len()];
    for _ in 0..pair::runs(USUAL_RUNS_AGAIN) {
        // All of them, since a link takes ten seconds to be forgotten.
        let acquainted: Vec<_> = pairs.iter().map(HomePair::acquaint).collect();
        for ((pair, nodes), dials) in pairs.iter().zip(acquainted).zip(&mut again) {
            dials.push(pair.dial_again(nodes));
        }
    }
    let again = pairs.iter().zip(again);
    let again: Vec<Tally> = again.map(|(pair, dials)| pair.tally(dials)).collect();
    judge(loss, &first, &again);
}

fn judge(loss: f64, first: &[Tally], again: &[Tally]) {
    let pooled = [("first time", first), ("again", again)].map(|(what, cells)| {
        for tally in cells {
            println!("{:.0} % loss, {what}: {tally}", loss * 100.0);
            assert_eq!(tally.direct(), tally.dials.len(), "{tally:#?}");
        }
        let all = Tally::pool(what, cells);
        println!("{:.0} % loss, all cells, {all}", loss * 100.0);
        all
    });
    let (share, limits) = if loss > 0.0 {
        (0.9, [WITH_LOSS; 2])
    } else {
        (0.5, [FIRST + BUSY, AGAIN + BUSY])
    };
    for (all, limit) in pooled.iter().zip(limits) {
        assert!(all.within(share).is_some_and(|time| time <= limit), "{all}");
    }
    let [median_first, median_again] = pooled.each_ref().map(|all| all.within(0.5));
    assert!(
        median_again.map(|again| again + SPARED) < median_first,
        "{pooled:#?}"
    );
    let late: Vec<String> = [(first, FIRST), (again, AGAIN)]
        .into_iter()
        .flat_map(|(cells, limit)| {
            cells
                .iter()
                .filter_map(move |cell| is_late(loss, cell, limit))
        })
        .collect();
    assert!(late.is_empty(), "{late:#?}");
}

/// The cell, if it was run often enough and took longer than it may.
fn is_late(loss: f64, tally: &Tally, median: Duration) -> Option<String> {
    let (share, limit) = if loss > 0.0 {
        (0.99, WITH_LOSS)
    } else {
        (0.5, median)
    };
    let late = tally.dials.len() >= ENOUGH && tally.within(share) > Some(limit);
    late.then(|| tally.to_string())
}

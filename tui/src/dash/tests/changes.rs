//! What has just changed stands out until the next sample, and costs no frame.

use std::sync::Arc;

use ratatui::style::Modifier;
use serde_json::{Value, json};

use super::fixtures::{AT_MS, Desk, Row, node, snapshot};

/// Two peers, the second of whom is not selected, so many milliseconds on and with such a round trip.
fn sample(after_ms: u64, rtt_ms: f64, rx_rate: u64) -> Arc<peerway::NodeSnapshot> {
    let row = |seed, rtt_ms| Row {
        seed,
        state: "direct",
        path: Some("198.51.100.9:6112"),
        why: Some("punched"),
        rtt_ms: Some(rtt_ms),
        age_s: 700 + after_ms / 1000,
        ..Row::OFFLINE
    };
    let mut peers: Vec<Value> = [row(1, 5.0), row(2, rtt_ms)]
        .iter()
        .map(Row::to_value)
        .collect();
    peers[1]["traffic"]["rx_rate"] = json!(rx_rate);
    let mut node = node(peers);
    node["at_ms"] = json!(AT_MS + after_ms);
    snapshot(&node)
}

/// What is bold in the row of the peer that is not selected.
fn bold(desk: &mut Desk) -> Vec<String> {
    let terminal = desk.terminal(120, 40);
    let buffer = terminal.backend().buffer();
    let text = |y: u16| -> String { (0..120).map(|x| buffer[(x, y)].symbol()).collect() };
    let y = (0..40).find(|y| text(*y).contains("│ ● nas")).unwrap();
    // Without the border, which has the focus.
    let letters = (1..119).map(|x| {
        let cell = &buffer[(x, y)];
        let is_bold = cell.modifier.contains(Modifier::BOLD);
        if is_bold { cell.symbol() } else { " " }
    });
    let all: String = letters.collect();
    let words = all
        .split("  ")
        .map(str::trim)
        .filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

#[test]
fn a_cell_that_changed_is_bold_until_the_next_sample() {
    let mut desk = Desk::plain(&node(vec![]));
    desk.sample(sample(0, 38.0, 0));
    assert_eq!(bold(&mut desk), [""; 0], "who is new is no change");
    desk.sample(sample(1000, 41.2, 9000));
    assert_eq!(bold(&mut desk), ["41 ms", "9.0 kB/s"]);
    // The last digit is not shown.
    desk.sample(sample(2000, 41.3, 9001));
    assert_eq!(bold(&mut desk), [""; 0]);
    desk.model.dirty = false;
    desk.sample(sample(3000, 41.3, 9001));
    assert_eq!(bold(&mut desk), [""; 0], "nor is that time has passed");
}

#[test]
fn what_comes_within_the_same_second_takes_nothing_back() {
    let mut desk = Desk::plain(&node(vec![]));
    desk.sample(sample(0, 38.0, 0));
    desk.sample(sample(1000, 41.0, 0));
    desk.sample(sample(1100, 41.0, 0));
    assert_eq!(bold(&mut desk), ["41 ms"]);
    desk.sample(sample(2000, 41.0, 0));
    assert_eq!(bold(&mut desk), [""; 0]);
}

#[test]
fn what_changed_stays_bold_on_a_frozen_screen() {
    let mut desk = Desk::plain(&node(vec![]));
    desk.sample(sample(0, 38.0, 0));
    desk.sample(sample(1000, 41.0, 0));
    desk.type_in("f");
    desk.sample(sample(2000, 41.0, 0));
    assert_eq!(bold(&mut desk), ["41 ms"]);
}

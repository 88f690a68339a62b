//! How long a large swarm takes to draw: `cargo test --release -p peerway-tui --lib -- --ignored large_swarm`, on a machine that
//! does nothing else.

use std::time::{Duration, Instant};

use ratatui::{Terminal, backend::TestBackend};

use super::fixtures::{Desk, Row, node};
use crate::dash::{msg::Msg, view::view};

#[test]
#[ignore = "measures a release build"]
fn every_view_of_a_large_swarm_is_drawn_in_time() {
    for (peers, size, limit_ms) in [
        (100, (120, 40), 3),
        (1000, (120, 40), 8),
        (1000, (200, 60), 8),
        (5000, (120, 40), 40),
    ] {
        let mut desk = Desk::plain(&node(swarm(peers)));
        for keys in ["1", "2", "\n", "3", "4", "5", "6"] {
            desk.type_in(keys);
            desk.send(Msg::Resize(size.0, size.1));
            let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
            let mut times: Vec<Duration> = (0..31)
                .map(|_| {
                    let begin = now();
                    terminal.draw(|frame| view(&desk.model, frame)).unwrap();
                    begin.elapsed()
                })
                .collect();
            times.sort();
            let median = times[times.len() / 2];
            assert!(
                median <= Duration::from_millis(limit_ms),
                "{median:?} for {keys:?} of {peers} peers"
            );
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "it is the time itself that is measured"
)]
fn now() -> Instant {
    Instant::now()
}

/// So many peers of all kinds, each with a connection.
fn swarm(peers: u16) -> Vec<serde_json::Value> {
    let kinds = [
        ("direct", Some("198.51.100.9:6112"), Some("punched")),
        (
            "relayed",
            Some("relay fra1.example.org"),
            Some("both_random"),
        ),
        ("idle", Some("198.51.100.61:41641"), None),
        ("direct", Some("[2001:db8:9::7]:41641"), Some("ipv6")),
    ];
    (1..=peers)
        .zip(kinds.into_iter().cycle())
        .map(|(seed, (state, path, why))| {
            let row = Row {
                seed,
                state,
                path,
                why,
                rtt_ms: Some(f64::from(seed % 200)),
                rates: (u64::from(seed) * 100, u64::from(seed)),
                age_s: u64::from(seed),
                probes: (1, 4),
            };
            row.to_value()
        })
        .collect()
}

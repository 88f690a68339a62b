//! A peer that acknowledges what it did not get, and clocks that jump.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::{
    Model,
    window::{MAX_WINDOW, MIN_PACKETS},
};

const MTU: u16 = 1444;

#[derive(Clone, Debug)]
enum Call {
    Sent(u64),
    /// Milliseconds since it was sent; below zero if that is yet to come.
    Acked(i64, u64),
    Lost(i64, u64),
    Marked,
    Collapsed,
    EndOfAcks(u64, bool),
    Resumed(u64),
}

fn call() -> impl Strategy<Value = Call> {
    let bytes = || prop_oneof![Just(0), 1..100_000u64, Just(u64::MAX)];
    let age = || prop_oneof![Just(0), 0..500i64, -1000..100_000i64];
    prop_oneof![
        4 => bytes().prop_map(Call::Sent),
        4 => (age(), bytes()).prop_map(|(age, bytes)| Call::Acked(age, bytes)),
        1 => (age(), bytes()).prop_map(|(age, bytes)| Call::Lost(age, bytes)),
        1 => Just(Call::Marked),
        1 => Just(Call::Collapsed),
        4 => (bytes(), any::<bool>()).prop_map(|(bytes, limited)| Call::EndOfAcks(bytes, limited)),
        1 => (0..120_000u64).prop_map(Call::Resumed),
    ]
}

proptest! {
    #[test]
    fn whatever_comes_the_window_stays_within_its_bounds(
        calls in prop::collection::vec((call(), -50..500i64), 1..300),
    ) {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        let origin = Instant::now() + Duration::from_secs(1_000_000);
        let at = |millis: i64| {
            let step = Duration::from_millis(millis.unsigned_abs());
            if millis < 0 { origin - step } else { origin + step }
        };
        let mut model = Model::new(origin, MTU, 1);
        let mut now = 0;
        let mut last_sent = 0;
        for (call, step) in calls {
            now += step;
            match call {
                Call::Sent(bytes) => {
                    last_sent = now;
                    model.sent(at(now), bytes);
                }
                // Mostly what was really sent, as only that is looked up.
                Call::Acked(0, bytes) => model.acked(at(now), at(last_sent), bytes),
                Call::Acked(age, bytes) => model.acked(at(now), at(now - age), bytes),
                Call::Lost(age, bytes) => model.lost(at(now - age), bytes),
                Call::Marked => model.marked(),
                Call::Collapsed => model.collapsed(at(now)),
                Call::EndOfAcks(in_flight, limited) => {
                    model.end_of_acks(at(now), in_flight, limited);
                }
                Call::Resumed(away) => model.resume(at(now), at(now - away as i64)),
            }
            let least = MIN_PACKETS * u64::from(MTU);
            prop_assert!((least..=MAX_WINDOW).contains(&model.window()));
        }
    }
}

#[test]
fn a_peer_that_acknowledges_at_once_gets_no_more_than_the_bound() {
    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    let mut now = Instant::now();
    let mut model = Model::new(now, MTU, 1);
    for _ in 0..10_000 {
        let window = model.window();
        model.sent(now, window);
        let sent_at = now;
        now += Duration::from_micros(1);
        model.acked(now, sent_at, window);
        model.end_of_acks(now, 0, false);
    }
    assert!(model.window() <= MAX_WINDOW);
}

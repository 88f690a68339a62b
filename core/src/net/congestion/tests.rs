mod real;

use super::*;

const MTU: u16 = 1200;
const RELAY: u32 = 0;
const DIRECT: u32 = 1;

/// A controller, the epoch it follows, and a clock.
struct Fixture {
    epoch: Epoch,
    controller: Box<dyn Controller>,
    start: Instant,
}

impl Fixture {
    fn new() -> Self {
        let epoch = Epoch::default();
        let start = tokio::time::Instant::now().into_std();
        let controller = Arc::new(PathAwareFactory::new(epoch.clone())).build(start, MTU);
        Self {
            epoch,
            controller,
            start,
        }
    }

    fn at(&self, millis: u64) -> Instant {
        self.start + Duration::from_millis(millis)
    }

    fn send(&mut self, at: u64, bytes: u64) {
        self.controller.on_sent(self.at(at), bytes, 0);
    }

    fn lose(&mut self, at: u64, sent: u64, bytes: u64) {
        self.controller
            .on_congestion_event(self.at(at), self.at(sent), false, bytes);
    }

    /// Loses all that was sent for several round trips, which is what shrinks a window at once.
    fn lose_all(&mut self, at: u64, sent: u64, bytes: u64) {
        self.controller
            .on_congestion_event(self.at(at), self.at(sent), true, bytes);
    }

    fn initial(&self) -> u64 {
        self.controller.initial_window()
    }
}

#[test]
fn losses_on_the_path_before_do_not_shrink_the_window_of_the_new_one() {
    let mut f = Fixture::new();
    f.send(0, 6000);
    f.epoch.switch_to(DIRECT);
    f.send(10, 1200);
    f.lose_all(20, 0, 6000);
    assert_eq!(f.controller.window(), f.initial());
    f.lose_all(30, 10, 1200);
    assert!(f.controller.window() < f.initial());
}

#[test]
fn a_path_with_the_same_key_after_a_switch_starts_afresh() {
    let mut f = Fixture::new();
    f.send(0, 1200);
    f.lose_all(10, 0, 1200);
    f.epoch.switch_to(RELAY);
    f.send(20, 1200);
    assert_eq!(f.controller.window(), f.initial());
}

#[test]
fn a_window_full_of_the_old_path_does_not_hold_back_the_new_one() {
    let mut f = Fixture::new();
    let full = f.controller.window();
    f.send(0, full);
    f.epoch.switch_to(DIRECT);
    assert_eq!(
        f.controller.window(),
        f.initial() + full,
        "before quinn calls"
    );
    f.send(10, 1200);
    assert_eq!(
        f.controller.window(),
        f.initial() + full,
        "and after it did"
    );
}

#[test]
fn the_allowance_for_stale_bytes_ends_when_they_are_settled_or_three_round_trips_old() {
    let mut f = Fixture::new();
    f.send(0, 6000);
    f.epoch.switch_to(DIRECT);
    f.send(10, 1200);
    f.lose(20, 0, 2000);
    assert_eq!(f.controller.window(), f.initial() + 4000);
    f.send(10 + 3 * 100, 1200);
    assert_eq!(f.controller.window(), f.initial() + 4000);
    f.send(11 + 3 * 100, 1200);
    assert_eq!(f.controller.window(), f.initial());
}

#[test]
fn a_clone_follows_the_same_epoch() {
    let mut f = Fixture::new();
    f.send(0, 6000);
    f.controller = f.controller.clone_box();
    f.epoch.switch_to(DIRECT);
    f.send(10, 1200);
    assert_eq!(f.controller.window(), f.initial() + 6000);
}

use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;

use crate::{
    HomeReason, RelayRole, RelayUrl, SecretKey,
    relays::{Over, Relays, tests::origin},
    timing::{HOME_KEPT, HOME_SETTLES},
};

const SECOND: Duration = Duration::from_secs(1);
/// How often a relay is asked whether it is there.
const ASKED: Duration = Duration::from_secs(15);

/// A node with relays of its own, as configured, in virtual time.
struct Node {
    now: Instant,
    relays: Relays,
    urls: Vec<RelayUrl>,
}

impl Node {
    fn with(count: u8) -> Self {
        let url = |number: u8| {
            let key = SecretKey::from_seed(&[number; 32]).id();
            RelayUrl::new(key, &format!("relay{number}.example"), 4433).unwrap()
        };
        let urls: Vec<RelayUrl> = (1..=count).map(url).collect();
        let (now, mut relays) = (origin(), Relays::new([1; 32]));
        relays.set_home(now, urls.clone());
        Self { now, relays, urls }
    }

    fn up(&mut self, relay: usize, rtt_ms: u64) {
        let (rtt, seen) = (Duration::from_millis(rtt_ms), "198.51.100.1:1");
        let (url, seen) = (&self.urls[relay], seen.parse().unwrap());
        self.relays.on_up(self.now, url, rtt, seen, Over::Udp);
    }

    fn down(&mut self, relay: usize) {
        let reason = "no answer".to_owned();
        (self.relays).on_down(self.now, &self.urls[relay], reason, false);
    }

    fn rtt(&mut self, relay: usize, rtt: Duration) {
        self.relays.on_rtt(self.now, &self.urls[relay], rtt);
    }

    /// All relays are asked for this long, and are so far away.
    fn measure(&mut self, time: Duration, rtts_ms: &[u64]) {
        let end = self.now + time;
        while self.now < end {
            self.now += ASKED;
            for (relay, ms) in rtts_ms.iter().enumerate() {
                self.rtt(relay, Duration::from_millis(*ms));
            }
        }
    }

    /// The home relay, by its place in the configuration, and why it is that one.
    fn home(&self) -> (usize, Option<HomeReason>) {
        let home = &self.relays.home()[0];
        let at = self.urls.iter().position(|url| url == home).unwrap();
        (at, self.relays.home_reason(self.now))
    }
}

#[test]
fn the_nearest_relay_is_the_home_relay_in_whatever_order_they_answer() {
    for order in [[0, 1, 2], [1, 2, 0], [2, 0, 1]] {
        let mut node = Node::with(3);
        assert_eq!(node.home(), (0, None));
        for relay in order {
            node.up(relay, [90, 20, 50][relay]);
            node.now += SECOND;
        }
        assert_eq!(node.home(), (1, Some(HomeReason::Nearest)), "{order:?}");
    }
}

#[test]
fn a_relay_that_is_preferred_is_the_home_relay_whenever_it_is_up_and_else_the_nearest_is() {
    let mut node = Node::with(3);
    for (relay, rtt) in [90, 20, 50].into_iter().enumerate() {
        node.up(relay, rtt);
    }
    let key = |node: &Node, relay: usize| Some(node.urls[relay].key());
    node.relays.prefer_home(node.now, key(&node, 0));
    assert_eq!(node.home(), (0, Some(HomeReason::Preferred)));
    node.measure(2 * HOME_KEPT, &[90, 20, 50]);
    assert_eq!(node.home(), (0, Some(HomeReason::Preferred)));
    node.down(0);
    assert_eq!(node.home(), (1, Some(HomeReason::Nearest)));
    node.up(0, 90);
    assert_eq!(node.home(), (0, Some(HomeReason::Preferred)));
    node.relays.prefer_home(node.now, None);
    assert_eq!(node.home(), (1, Some(HomeReason::Nearest)));
    let nobody = Some(SecretKey::from_seed(&[99; 32]).id());
    node.relays.prefer_home(node.now, nobody);
    assert_eq!(node.home(), (1, Some(HomeReason::Nearest)));
}

#[test]
fn a_relay_that_is_not_preferred_any_more_gives_its_place_back_however_near_it_is() {
    let mut node = Node::with(2);
    (0..2).for_each(|relay| node.up(relay, [20, 25][relay]));
    node.measure(2 * HOME_KEPT, &[20, 25]);
    node.relays.prefer_home(node.now, Some(node.urls[1].key()));
    assert_eq!(node.home(), (1, Some(HomeReason::Preferred)));
    node.relays.prefer_home(node.now, None);
    assert_eq!(node.home(), (0, Some(HomeReason::Nearest)));
}

#[test]
fn of_relays_that_are_about_as_near_the_first_configured_is_the_home_relay() {
    for order in [[0, 1], [1, 0]] {
        let mut node = Node::with(2);
        for relay in order {
            node.up(relay, [24, 18][relay]);
        }
        assert_eq!(node.home(), (0, Some(HomeReason::NearEnough)), "{order:?}");
    }
}

#[test]
fn a_relay_that_is_nearer_by_less_than_ten_milliseconds_or_a_third_does_not_become_the_home_relay()
{
    for (home, other, moves) in [
        (20, 11, false),
        (20, 10, true),
        (300, 250, false),
        (300, 201, false),
        (300, 200, true),
    ] {
        let mut node = Node::with(2);
        node.up(0, home);
        node.now += HOME_SETTLES;
        node.up(1, other);
        let expected = if moves {
            (1, HomeReason::Nearest)
        } else {
            (0, HomeReason::NearEnough)
        };
        assert_eq!(
            node.home(),
            (expected.0, Some(expected.1)),
            "{home} {other}"
        );
    }
}

#[test]
fn the_home_relay_stays_while_round_trips_tremble() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut node = Node::with(2);
    (0..2).for_each(|relay| node.up(relay, 30));
    node.now += HOME_SETTLES;
    for _ in 0..5000 {
        node.now += ASKED;
        for relay in 0..2 {
            // Now and then a queue on the way to one of them is full.
            let queue = if rng.random_bool(0.2) { 400.0 } else { 5.0 };
            let rtt = Duration::from_millis(30).as_secs_f64() + rng.random::<f64>() * queue / 1e3;
            node.rtt(relay, Duration::from_secs_f64(rtt));
        }
        assert_eq!(node.home().0, 0);
    }
}

#[test]
fn a_home_relay_that_has_been_far_for_five_minutes_is_left_and_not_taken_again_for_as_long() {
    let mut node = Node::with(2);
    (0..2).for_each(|relay| node.up(relay, 30));
    node.measure(10 * ASKED, &[20, 30]);
    node.measure(HOME_KEPT - ASKED, &[200, 30]);
    assert_eq!(node.home().0, 0, "it was near less than five minutes ago");
    node.measure(2 * ASKED, &[200, 30]);
    assert_eq!(node.home(), (1, Some(HomeReason::Nearest)));
    node.measure(HOME_KEPT - 2 * ASKED, &[10, 30]);
    assert_eq!(node.home(), (1, Some(HomeReason::ChangedLately)));
    node.measure(3 * ASKED, &[10, 30]);
    assert_eq!(node.home(), (0, Some(HomeReason::Nearest)));
}

#[test]
fn when_the_home_relay_dies_the_nearest_of_the_others_takes_over_at_once_and_keeps_the_place() {
    let mut node = Node::with(3);
    for relay in 0..3 {
        node.up(relay, [20, 90, 50][relay]);
    }
    let roles = |node: &Node| {
        let role = |url| node.relays.role(url);
        node.urls.iter().map(role).collect::<Vec<_>>()
    };
    let (home, standby) = (Some(RelayRole::Home), Some(RelayRole::Standby));
    assert_eq!(roles(&node), [home, standby, standby]);
    node.now += HOME_SETTLES;
    node.down(0);
    assert_eq!(node.home(), (2, Some(HomeReason::Nearest)));
    assert_eq!(roles(&node), [None, standby, home]);
    for _ in 0..3 {
        node.now += SECOND;
        node.up(0, 20);
        assert_eq!(node.home(), (2, Some(HomeReason::ChangedLately)));
        node.now += SECOND;
        node.down(0);
    }
    node.up(0, 20);
    node.measure(HOME_KEPT, &[20, 90, 50]);
    assert_eq!(node.home(), (0, Some(HomeReason::Nearest)));
    (0..3).for_each(|relay| node.down(relay));
    assert_eq!(node.home(), (2, None), "it was the last that was up");
    node.up(1, 90);
    assert_eq!(node.home(), (1, Some(HomeReason::Only)));
}

#[test]
fn in_another_network_what_was_measured_does_not_count() {
    let mut node = Node::with(2);
    (0..2).for_each(|relay| node.up(relay, [20, 90][relay]));
    node.now += HOME_SETTLES;
    assert_eq!(node.home().0, 0);
    node.relays.on_network_changed(node.now);
    (0..2).for_each(|relay| node.up(relay, [90, 20][relay]));
    assert_eq!(node.home(), (1, Some(HomeReason::Nearest)));
}

#[test]
fn relays_that_are_configured_anew_leave_the_home_relay_what_it_is_if_it_is_among_them() {
    let mut node = Node::with(3);
    (0..3).for_each(|relay| node.up(relay, [90, 20, 50][relay]));
    node.now += HOME_SETTLES;
    let (first, second) = (node.urls[0].clone(), node.urls[1].clone());
    (node.relays).set_home(node.now, vec![first.clone(), second.clone()]);
    assert_eq!(node.relays.home(), [second, first.clone()]);
    node.relays.set_home(node.now, vec![first.clone()]);
    assert_eq!(node.relays.home(), std::slice::from_ref(&first));
    assert_eq!(node.relays.role(&node.urls[1]), None);
}

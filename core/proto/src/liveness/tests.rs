use super::*;
use crate::{SecretKey, timing::LANE_PATIENCE};

const MS: Duration = Duration::from_millis(1);

#[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
pub(super) fn origin() -> Instant {
    Instant::now()
}

fn peer() -> PeerId {
    SecretKey::from_seed(&[1; 32]).id()
}

/// One link in virtual time, that is looked at whenever it is to be.
struct Run {
    begin: Instant,
    now: Instant,
    liveness: Liveness,
    seen: Seen,
    looks: u32,
}

impl Run {
    fn new() -> Self {
        let begin = origin();
        Self {
            begin,
            now: begin,
            liveness: Liveness::new(begin, Duration::ZERO),
            seen: Seen {
                rtt: 20 * MS,
                ..Seen::default()
            },
            looks: 0,
        }
    }

    /// Sends, and with that begins to be watched.
    fn send(&mut self, way: impl Fn(&mut Seen) -> &mut Sent) {
        let (now, sent) = (self.now, way(&mut self.seen));
        sent.bytes += 100;
        sent.silent_since.get_or_insert(now);
        if !self.liveness.is_watched(peer()) {
            self.liveness.on_activity(now, peer(), &self.seen);
        }
    }

    /// What came of it in this time, and when.
    fn run(&mut self, time: Duration) -> Vec<(Duration, Event)> {
        let end = self.now + time;
        let mut events = Vec::new();
        while let Some(due) = self.liveness.poll_timeout().filter(|at| *at <= end) {
            self.rest_until(due);
            self.liveness.handle_timeout(self.now);
            while let Some(event) = self.liveness.poll_event() {
                if event == (Event::Look { peer: peer() }) {
                    self.looks += 1;
                    self.liveness.on_seen(self.now, peer(), &self.seen);
                } else {
                    events.push((self.now - self.begin, event));
                }
            }
        }
        self.rest_until(end);
        events
    }

    fn rest_until(&mut self, end: Instant) {
        while self.now < end {
            self.liveness.rest(self.now, 1000 * MS);
            self.now = end.min(self.now + LOOK_EVERY);
            assert_eq!(self.liveness.wake(self.now, Duration::ZERO), None);
        }
    }
}

fn direct(seen: &mut Seen) -> &mut Sent {
    &mut seen.direct
}

fn lane(seen: &mut Seen) -> &mut Sent {
    &mut seen.lane
}

fn silences(events: &[(Duration, Event)]) -> Vec<Duration> {
    let is_silence = |event: &Event| matches!(event, Event::Silence { .. });
    let silences = events.iter().filter(|(_, event)| is_silence(event));
    silences.map(|(after, _)| *after).collect()
}

fn has(events: &[(Duration, Event)], expected: Event) -> usize {
    let same = events.iter().filter(|(_, event)| *event == expected);
    same.count()
}

const CHECK: fn() -> Event = || Event::CheckRelays { peer: peer() };
const UNWATCH: fn() -> Event = || Event::Unwatch { peer: peer() };

#[test]
fn a_direct_path_that_hears_nothing_back_is_told_of_every_50_ms_for_a_second_after_it_was_last_sent_on()
 {
    let mut run = Run::new();
    run.send(direct);
    let events = run.run(5000 * MS);
    let expected: Vec<Duration> = (1..=20).map(|nth| nth * LOOK_EVERY).collect();
    assert_eq!(silences(&events), expected);
    let since = run.begin;
    let first = Event::Silence {
        peer: peer(),
        since,
        sent: since,
        rtt: 20 * MS,
    };
    assert_eq!(events[0].1, first);
    assert_eq!(events.last(), Some(&(1050 * MS, UNWATCH())));
    assert_eq!(has(&events, CHECK()), 0, "the lane was not used");
    assert_eq!(run.liveness.poll_timeout(), None);
}

#[test]
fn a_path_that_is_answered_is_not_silent_and_is_not_looked_at_for_longer_than_it_sends() {
    let mut run = Run::new();
    for _ in 0..10 {
        run.send(direct);
        run.seen.direct.silent_since = None;
        assert_eq!(run.run(LOOK_EVERY), [(run.now - run.begin, UNWATCH())]);
    }
    assert_eq!(run.run(5000 * MS), []);
    assert_eq!(run.looks, 10);
}

#[test]
fn a_path_that_answered_by_itself_after_the_last_packet_is_not_silent() {
    let mut run = Run::new();
    run.send(direct);
    run.seen.direct_heard = Some(run.now + 10 * MS);
    assert_eq!(silences(&run.run(5000 * MS)), []);
    run.send(direct);
    assert_ne!(silences(&run.run(5000 * MS)), [], "that one is newer");
}

#[test]
fn silence_from_before_we_were_kept_from_looking_does_not_count() {
    // A link that is watched is to be looked at soon, so that less time than else counts as a stall.
    for stall in [300 * MS, 2000 * MS] {
        let mut run = Run::new();
        run.send(direct);
        run.liveness.rest(run.now, 1000 * MS);
        run.now += stall;
        assert_eq!(run.liveness.wake(run.now, Duration::ZERO), None);
        run.send(direct);
        let events = run.run(100 * MS);
        let since: Vec<Duration> = events
            .iter()
            .filter_map(|(_, event)| match event {
                Event::Silence { since, .. } => Some(*since - run.begin),
                Event::Look { .. } | Event::CheckRelays { .. } | Event::Unwatch { .. } => None,
            })
            .collect();
        assert!(!since.is_empty());
        assert!(since.iter().all(|since| *since == stall), "{since:?}");
    }
}

#[test]
fn links_that_begin_to_send_put_off_no_look_and_the_quiet_ones_are_not_looked_at() {
    let (mut run, other) = (Run::new(), SecretKey::from_seed(&[2; 32]).id());
    let quiet = SecretKey::from_seed(&[3; 32]).id();
    run.send(direct);
    run.liveness.on_activity(run.now, quiet, &Seen::default());
    let mut looks = Vec::new();
    for _ in 0..10 {
        run.now += 30 * MS;
        run.liveness.on_activity(run.now, other, &Seen::default());
        run.liveness.handle_timeout(run.now);
        while let Some(event) = run.liveness.poll_event() {
            if let Event::Look { peer } = event {
                looks.push(peer);
                let seen = if peer == quiet {
                    Seen::default()
                } else {
                    run.seen
                };
                run.liveness.on_seen(run.now, peer, &seen);
            }
        }
    }
    let of = |peer| looks.iter().filter(|look| **look == peer).count();
    assert!(of(peer()) >= 5, "{}", of(peer()));
    assert_eq!(of(quiet), 1);
}

#[test]
fn a_link_that_goes_on_sending_is_watched_further() {
    let mut run = Run::new();
    run.send(direct);
    run.run(LOOK_EVERY / 2);
    run.send(direct);
    run.seen.direct.silent_since = None;
    assert_eq!(run.run(LOOK_EVERY), []);
    assert_eq!(run.run(LOOK_EVERY), [(100 * MS, UNWATCH())]);
}

#[test]
fn a_lane_that_is_not_answered_has_its_relay_checked_while_the_direct_path_is_answered() {
    let mut run = Run::new();
    let mut events = Vec::new();
    for _ in 0..20 {
        run.send(direct);
        run.send(lane);
        run.seen.direct.silent_since = None;
        events.extend(run.run(LOOK_EVERY));
    }
    assert_eq!(has(&events, CHECK()), 1);
}

#[test]
fn a_link_that_left_the_lane_for_a_direct_path_has_no_relay_checked_when_it_falls_quiet() {
    let mut run = Run::new();
    run.send(lane);
    run.seen.lane.silent_since = None;
    run.run(2 * LOOK_EVERY);
    run.send(direct);
    run.seen.direct.silent_since = None;
    assert_eq!(has(&run.run(5000 * MS), CHECK()), 0);
}

#[test]
fn what_goes_either_way_is_use_if_it_is_more_than_what_keeps_a_link_alive() {
    assert!(is_use(0, 300) && is_use(300, 0) && is_use(150, 150));
    assert!(!is_use(0, 0) && !is_use(100, 100));
}

#[test]
fn a_lane_that_is_sent_on_in_vain_has_its_relay_checked_once_and_again_when_it_falls_silent_anew() {
    let mut run = Run::new();
    let send_for = |run: &mut Run, time: Duration| {
        let end = run.now + time;
        let mut events = Vec::new();
        while run.now < end {
            run.send(lane);
            events.extend(run.run(LOOK_EVERY));
        }
        events
    };
    let events = send_for(&mut run, 2000 * MS);
    assert_eq!(has(&events, CHECK()), 1);
    assert_eq!(events[0], (LANE_PATIENCE, CHECK()));
    run.seen.lane.silent_since = None;
    assert_eq!(has(&send_for(&mut run, 2000 * MS), CHECK()), 1);
}

#[test]
fn a_slow_lane_has_three_round_trips_to_answer() {
    let mut run = Run::new();
    run.seen.rtt = 300 * MS;
    let mut events = Vec::new();
    while events.is_empty() && run.now < run.begin + 5000 * MS {
        run.send(lane);
        events = run.run(LOOK_EVERY);
    }
    assert_eq!(events, [(900 * MS, CHECK())]);
}

#[test]
fn a_lane_that_falls_quiet_has_its_relay_checked_though_nothing_is_missing() {
    let mut run = Run::new();
    run.send(lane);
    run.seen.lane.silent_since = None;
    let events = run.run(5000 * MS);
    assert_eq!(events, [(1050 * MS, CHECK()), (1050 * MS, UNWATCH())]);
}

#[test]
fn a_link_that_is_forgotten_is_looked_at_no_more() {
    let mut run = Run::new();
    run.send(direct);
    run.liveness.forget(peer());
    assert_eq!(run.run(5000 * MS), []);
    assert_eq!(run.liveness.poll_timeout(), None);
}

#[test]
fn a_link_has_stalled_when_a_second_brought_no_answer() {
    let now = origin();
    assert!(!has_stalled(now + 5000 * MS, None));
    assert!(!has_stalled(now + 999 * MS, Some(now)));
    assert!(has_stalled(now + 1000 * MS, Some(now)));
}

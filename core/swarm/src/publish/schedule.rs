//! When a record is written anew. Pure: the time comes in.

use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::Place;

/// After a change, for others that come with it: a node that moves changes several things.
const SETTLE: Duration = Duration::from_secs(5);
/// Between two writes: each is some 60 packets to strangers.
const PAUSE: Duration = Duration::from_secs(60);
/// Nodes of the DHT may drop an item after two hours.
const REFRESH: Duration = Duration::from_secs(50 * 60);
/// That nodes which were started together do not write together.
const JITTER: Duration = Duration::from_secs(20 * 60);
/// The longest pause after failures; each failure doubles it from [`PAUSE`].
const MAX_PAUSE: Duration = Duration::from_secs(60 * 60);

#[derive(Debug)]
pub(super) struct Schedule {
    /// How long changes wait for others.
    settle: Duration,
    wanted: Place,
    /// What is being written.
    writing: Option<Place>,
    due: Option<Instant>,
    /// Before then nothing is written.
    not_before: Option<Instant>,
    failures: u32,
    rng: StdRng,
}

impl Schedule {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            settle: SETTLE,
            wanted: Place::default(),
            writing: None,
            due: None,
            not_before: None,
            failures: 0,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// Changes wait for no others.
    pub(super) fn be_prompt(&mut self) {
        self.settle = Duration::ZERO;
    }

    /// Where the node is now.
    pub(super) fn set(&mut self, now: Instant, place: Place) {
        if place == self.wanted {
            return;
        }
        self.wanted = place;
        self.due = if self.wanted.is_nowhere() {
            // Nothing can be taken back: what was written ends by itself.
            None
        } else {
            Some(self.no_sooner(now + self.settle))
        };
    }

    /// When something is to be written, if nothing changes before.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due.filter(|_| self.writing.is_none())
    }

    /// What is to be written now, if anything.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<Place> {
        if self.poll_timeout().is_none_or(|due| due > now) {
            return None;
        }
        self.due = None;
        self.not_before = Some(now + PAUSE);
        self.writing = Some(self.wanted.clone());
        self.writing.clone()
    }

    /// It is written, or could not be.
    pub(super) fn on_done(&mut self, now: Instant, is_written: bool) {
        let Some(place) = self.writing.take() else {
            return;
        };
        self.failures = if is_written { 0 } else { self.failures + 1 };
        if self.wanted.is_nowhere() {
            return;
        }
        self.due = Some(if place != self.wanted {
            self.no_sooner(now)
        } else if is_written {
            now + REFRESH + JITTER.mul_f64(self.rng.random())
        } else {
            let pause = PAUSE * 2u32.saturating_pow(self.failures.min(8) - 1);
            now + pause.min(MAX_PAUSE)
        });
    }

    fn no_sooner(&self, at: Instant) -> Instant {
        self.not_before.map_or(at, |earliest| at.max(earliest))
    }
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;

    use super::*;

    /// A schedule in virtual time, whose writes take a second.
    struct World {
        start: Instant,
        at: u64,
        schedule: Schedule,
        works: bool,
        /// When what was written, in seconds.
        writes: Vec<(u64, usize)>,
    }

    fn place(relays: u8) -> Place {
        let relay = |seed| {
            let key = SecretKey::from_seed(&[seed; 32]).id();
            peerway::RelayUrl::new(key, "192.0.2.7", 4433).unwrap()
        };
        Place {
            relays: (0..relays).map(relay).collect(),
            addrs: Vec::new(),
            to_call: Vec::new(),
        }
    }

    impl World {
        #[expect(
            clippy::disallowed_methods,
            reason = "where virtual time begins does not matter"
        )]
        fn new() -> Self {
            Self {
                start: Instant::now(),
                at: 0,
                schedule: Schedule::new(7),
                works: true,
                writes: Vec::new(),
            }
        }

        fn now(&self) -> Instant {
            self.start + Duration::from_secs(self.at)
        }

        fn set(&mut self, relays: u8) {
            self.schedule.set(self.now(), place(relays));
        }

        fn run_until(&mut self, end: u64) -> &[(u64, usize)] {
            let before = self.writes.len();
            while self.at < end {
                if let Some(place) = self.schedule.handle_timeout(self.now()) {
                    self.writes.push((self.at, place.relays.len()));
                    self.at += 1;
                    self.schedule.on_done(self.now(), self.works);
                } else {
                    self.at += 1;
                }
            }
            &self.writes[before..]
        }
    }

    #[test]
    fn a_change_is_written_after_five_seconds_and_then_once_a_minute_at_most() {
        let mut world = World::new();
        assert_eq!(world.run_until(100), []);
        world.set(1);
        assert_eq!(world.run_until(110), [(105, 1)]);
        world.set(2);
        world.run_until(112);
        world.set(3);
        assert_eq!(world.run_until(400), [(165, 3)]);
    }

    #[test]
    fn where_somebody_waits_a_change_is_written_at_once() {
        let mut world = World::new();
        world.schedule.be_prompt();
        world.run_until(100);
        world.set(1);
        assert_eq!(world.run_until(110), [(100, 1)]);
    }

    #[test]
    fn what_changes_while_it_is_written_is_written_next() {
        let mut world = World::new();
        world.set(1);
        world.at = 5;
        world.schedule.handle_timeout(world.now()).unwrap();
        world.set(2);
        assert_eq!(world.schedule.poll_timeout(), None, "one at a time");
        world.at = 9;
        world.schedule.on_done(world.now(), true);
        assert_eq!(world.run_until(300), [(65, 2)]);
    }

    #[test]
    fn without_a_change_it_is_written_every_fifty_to_seventy_minutes() {
        let mut world = World::new();
        world.set(1);
        let writes = world.run_until(24 * 3600).to_vec();
        let gaps: Vec<u64> = writes.windows(2).map(|it| it[1].0 - it[0].0).collect();
        assert!(
            gaps.iter().all(|gap| (3000..=4202).contains(gap)),
            "{gaps:?}"
        );
        assert!(gaps.iter().any(|gap| *gap != gaps[0]), "{gaps:?}");
    }

    #[test]
    fn where_nobody_answers_it_is_tried_again_ever_more_seldom() {
        let mut world = World::new();
        world.works = false;
        world.set(1);
        let writes = world.run_until(12 * 3600).to_vec();
        let gaps: Vec<u64> = writes.windows(2).map(|it| it[1].0 - it[0].0).collect();
        assert_eq!(gaps[..7], [61, 121, 241, 481, 961, 1921, 3601]);
        assert!(gaps[7..].iter().all(|gap| *gap == 3601), "{gaps:?}");
        world.works = true;
        world.run_until(14 * 3600);
        world.set(2);
        let at = world.at;
        assert_eq!(world.run_until(at + 100)[0], (at + 5, 2));
    }

    #[test]
    fn who_is_nowhere_writes_nothing_and_who_is_back_does() {
        let mut world = World::new();
        world.set(1);
        world.run_until(10);
        world.set(0);
        assert_eq!(world.run_until(20_000), []);
        world.set(1);
        assert_eq!(world.run_until(20_100), [(20_005, 1)]);
    }
}

//! When a relay is asked whether it is still there, and what its silence means.

use std::time::{Duration, Instant};

use crate::timing::{
    RELAY_ANSWERS_WITHIN, RELAY_KEEPALIVE, RELAY_KEEPALIVE_JITTER, RELAY_SILENT_AFTER,
};

/// Round trips that a relay may owe an answer before it counts as silent, where that is longer.
const SILENT_ROUND_TRIPS: u32 = 4;

/// A registration's keepalives. Whatever the relay says is an answer.
#[derive(Debug)]
pub struct Keepalive {
    next: Instant,
    /// Since when an answer is owed.
    owed: Option<Instant>,
    /// Whether it was said that it is.
    is_silent: bool,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// A KEEPALIVE is to be sent.
    Ask,
    /// The relay owes an answer for longer than usual: links look for another one.
    Silent,
    /// The relay is gone.
    Lost,
}

impl Keepalive {
    /// Registered just now. `random` is uniform over its whole range, here and below.
    #[must_use]
    pub fn new(now: Instant, random: u32) -> Self {
        Self {
            next: now + pause(random),
            owed: None,
            is_silent: false,
        }
    }

    /// A KEEPALIVE is sent, whether it was due or not.
    pub fn ask(&mut self, now: Instant, random: u32) {
        self.next = now + pause(random);
        self.owed.get_or_insert(now);
    }

    /// The relay said something. True if it owed an answer.
    pub fn on_heard(&mut self) -> bool {
        self.is_silent = false;
        self.owed.take().is_some()
    }

    /// Since when the relay owes an answer.
    #[must_use]
    pub fn owed(&self) -> Option<Instant> {
        self.owed
    }

    /// What is due next and when, given the round trip to the relay.
    #[must_use]
    pub fn next(&self, rtt: Duration) -> (Instant, Due) {
        let ask = (self.next, Due::Ask);
        let Some(since) = self.owed else {
            return ask;
        };
        let patience = RELAY_SILENT_AFTER.max(rtt.saturating_mul(SILENT_ROUND_TRIPS));
        let silent = (since + patience, Due::Silent);
        let lost = (since + RELAY_ANSWERS_WITHIN, Due::Lost);
        let silent = Some(silent).filter(|_| !self.is_silent);
        [lost, ask]
            .into_iter()
            .chain(silent)
            .min_by_key(|(at, _)| *at)
            .unwrap_or(ask)
    }

    /// What is due by now. Each is said once; [`Due::Lost`] until the relay is heard.
    pub fn poll(&mut self, now: Instant, rtt: Duration, random: u32) -> Option<Due> {
        let (at, due) = self.next(rtt);
        if now < at {
            return None;
        }
        match due {
            Due::Ask => self.ask(now, random),
            Due::Silent => self.is_silent = true,
            Due::Lost => {}
        }
        Some(due)
    }
}

fn pause(random: u32) -> Duration {
    let share = f64::from(random) / f64::from(u32::MAX);
    RELAY_KEEPALIVE - RELAY_KEEPALIVE_JITTER + RELAY_KEEPALIVE_JITTER.mul_f64(2.0 * share)
}

#[cfg(test)]
mod tests {
    use rand::{Rng, RngCore, SeedableRng};
    use rand_chacha::ChaCha20Rng;

    use super::*;
    use crate::relays::tests::origin;

    const RTT: Duration = Duration::from_millis(40);

    /// A client whose relay answers until it dies: how long after that it hears of it, and of the silence before.
    fn notices(rng: &mut ChaCha20Rng, rtt: Duration) -> (Duration, Duration) {
        let mut now = origin();
        let lives_for = rng.random_range(Duration::from_secs(30)..Duration::from_secs(60));
        let dies = now + lives_for;
        let mut keepalive = Keepalive::new(now, rng.next_u32());
        let mut silent = None;
        loop {
            (now, _) = keepalive.next(rtt);
            match keepalive.poll(now, rtt, rng.next_u32()) {
                Some(Due::Ask) if now + rtt < dies => assert!(keepalive.on_heard()),
                Some(Due::Ask) => {}
                Some(Due::Silent) => silent = Some(now.saturating_duration_since(dies)),
                Some(Due::Lost) => return (silent.unwrap(), now.saturating_duration_since(dies)),
                None => panic!("nothing is due when it was to be"),
            }
        }
    }

    #[test]
    fn of_5000_idle_clients_99_in_100_know_within_14_and_a_half_seconds_that_their_relay_died() {
        let mut rng = ChaCha20Rng::seed_from_u64(5);
        let mut took: Vec<_> = (0..5000).map(|_| notices(&mut rng, RTT)).collect();
        took.sort_by_key(|(_, lost)| *lost);
        let (_, most) = took[4999];
        let (silent, p99) = took[4949];
        assert!(p99 <= Duration::from_millis(14_500), "{p99:?}");
        assert!(most <= Duration::from_secs(15), "{most:?}");
        assert!(silent + Duration::from_millis(1900) <= p99, "{silent:?}");
    }

    #[test]
    fn clients_do_not_march_in_step() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let now = origin();
        let mut second = [0; 30];
        for _ in 0..3000 {
            let mut keepalive = Keepalive::new(now, rng.next_u32());
            let (first, _) = keepalive.next(RTT);
            keepalive.poll(first, RTT, rng.next_u32());
            keepalive.on_heard();
            let (next, _) = keepalive.next(RTT);
            second[(next - now).as_secs() as usize] += 1;
        }
        let most = second.into_iter().max().unwrap();
        assert!(most <= 1000, "{most} of 3000 ask in the same second");
    }

    #[test]
    fn a_far_relay_is_not_called_silent_within_four_round_trips() {
        let now = origin();
        let rtt = Duration::from_millis(600);
        let mut keepalive = Keepalive::new(now, 0);
        keepalive.ask(now, 0);
        assert_eq!(keepalive.next(rtt), (now + 4 * rtt, Due::Silent));
        assert_eq!(keepalive.poll(now + 3 * rtt, rtt, 0), None);
        assert!(keepalive.on_heard());
        assert!(!keepalive.on_heard());
        assert_eq!(keepalive.next(rtt).1, Due::Ask);
    }

    #[test]
    fn questions_that_follow_do_not_give_a_silent_relay_more_time() {
        let now = origin();
        let second = Duration::from_secs(1);
        let mut keepalive = Keepalive::new(now, 0);
        keepalive.ask(now, 0);
        keepalive.ask(now + second, 0);
        assert_eq!(keepalive.owed(), Some(now));
        assert_eq!(keepalive.poll(now + second, RTT, 0), Some(Due::Silent));
        assert_eq!(keepalive.poll(now + 3 * second, RTT, 0), Some(Due::Lost));
    }
}

//! When the slots are read, and which calls are answered. Pure: the time comes in.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use peerway::PeerId;

use super::Call;

/// How often the slots are read while somebody is likely to wait at either end,
const EAGERLY: Duration = Duration::from_secs(5);
/// and else: each time is some 80 packets to strangers.
const AT_LEISURE: Duration = Duration::from_secs(60);
/// For how long after the start, and after a call, somebody is likely to wait.
const EAGER_FOR: Duration = Duration::from_secs(300);
/// Between two answers to one caller: a hello is repeated for nine seconds.
const PER_CALLER: Duration = Duration::from_secs(10);
/// Answers in a minute, to all callers: each may be ten kilobytes to an address that only the caller vouches for.
const PER_MINUTE: usize = 8;
const MINUTE: Duration = Duration::from_secs(60);
/// Callers that are remembered.
const MAX_CALLERS: usize = 256;

#[derive(Debug)]
pub(crate) struct Listener {
    /// None while nobody needs to call.
    next: Option<Instant>,
    is_reading: bool,
    eager_until: Instant,
    /// The newest call of each, and when one was last answered.
    callers: BTreeMap<PeerId, (u64, Instant)>,
    answered: Vec<Instant>,
}

impl Listener {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            next: None,
            is_reading: false,
            eager_until: now + EAGER_FOR,
            callers: BTreeMap::new(),
            answered: Vec::new(),
        }
    }

    /// Whether the node can be called by these means only.
    pub(crate) fn set_needed(&mut self, now: Instant, is_needed: bool) {
        match (is_needed, self.next) {
            (true, None) => {
                self.next = Some(now);
                self.eager_until = now + EAGER_FOR;
            }
            (false, Some(_)) => self.next = None,
            (true, Some(_)) | (false, None) => {}
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.next.filter(|_| !self.is_reading)
    }

    /// Whether the slots are to be read now.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> bool {
        let is_due = self.poll_timeout().is_some_and(|at| at <= now);
        if is_due {
            self.is_reading = true;
            let pause = if now < self.eager_until {
                EAGERLY
            } else {
                AT_LEISURE
            };
            self.next = Some(now + pause);
        }
        is_due
    }

    /// All slots were read.
    pub(crate) fn on_read(&mut self) {
        self.is_reading = false;
    }

    /// A call was found. Whether it is to be answered.
    pub(crate) fn on_call(&mut self, now: Instant, call: &Call) -> bool {
        self.answered
            .retain(|at| now.saturating_duration_since(*at) < MINUTE);
        let known = self.callers.get(&call.caller);
        let is_news = known.is_none_or(|(newest, at)| {
            *newest < call.written_at && now.saturating_duration_since(*at) >= PER_CALLER
        });
        if !is_news || self.answered.len() >= PER_MINUTE {
            return false;
        }
        if known.is_none() && self.callers.len() >= MAX_CALLERS {
            let oldest = self.callers.iter().min_by_key(|(_, (_, at))| *at);
            if let Some(oldest) = oldest.map(|(caller, _)| *caller) {
                self.callers.remove(&oldest);
            }
        }
        self.callers.insert(call.caller, (call.written_at, now));
        self.answered.push(now);
        self.eager_until = self.eager_until.max(now + EAGER_FOR);
        true
    }
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;

    use super::*;

    fn call(seed: u8, written_at: u64) -> Call {
        Call {
            written_at,
            caller: SecretKey::from_seed(&[seed; 32]).id(),
            addrs: vec!["192.0.2.7:4000".parse().unwrap()],
        }
    }

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn start() -> Instant {
        Instant::now()
    }

    /// How often the slots are read within so many seconds; each time takes two.
    fn reads(listener: &mut Listener, from: Instant, seconds: u64) -> usize {
        let mut count = 0;
        for second in 0..seconds {
            let now = from + Duration::from_secs(second);
            if listener.handle_timeout(now) {
                count += 1;
                assert_eq!(listener.poll_timeout(), None, "one at a time");
                listener.on_read();
            }
        }
        count
    }

    #[test]
    fn slots_are_read_often_at_first_and_then_once_a_minute_and_not_at_all_beside_a_relay() {
        let start = start();
        let mut listener = Listener::new(start);
        assert_eq!(reads(&mut listener, start, 600), 0);
        listener.set_needed(start, true);
        assert_eq!(reads(&mut listener, start, 300), 60);
        let later = start + EAGER_FOR;
        assert_eq!(reads(&mut listener, later, 600), 10);
        listener.set_needed(later, false);
        assert_eq!(reads(&mut listener, later, 600), 0);
    }

    #[test]
    fn who_calls_is_answered_once_for_each_call_and_not_all_the_time() {
        let now = start();
        let mut listener = Listener::new(now);
        assert!(listener.on_call(now, &call(1, 100)));
        assert!(
            !listener.on_call(now + Duration::from_secs(20), &call(1, 100)),
            "read again"
        );
        assert!(
            !listener.on_call(now + Duration::from_secs(20), &call(1, 99)),
            "replayed"
        );
        assert!(
            !listener.on_call(now + Duration::from_secs(5), &call(1, 101)),
            "too soon"
        );
        assert!(listener.on_call(now + Duration::from_secs(20), &call(1, 101)));
    }

    #[test]
    fn a_flood_of_callers_gets_eight_answers_in_a_minute() {
        let start = start();
        let mut listener = Listener::new(start);
        let answered = (0..=254_u8).filter(|seed| listener.on_call(start, &call(*seed, 100)));
        assert_eq!(answered.count(), PER_MINUTE);
        let mut count = 0;
        for second in 0..600 {
            let now = start + Duration::from_secs(second);
            for seed in 0..=254 {
                count += usize::from(listener.on_call(now, &call(seed, 1000 + second)));
            }
        }
        assert!(count <= 10 * PER_MINUTE, "{count}");
        assert!(listener.callers.len() <= MAX_CALLERS);
    }

    #[test]
    fn a_call_makes_for_more_of_them() {
        let start = start();
        let mut listener = Listener::new(start);
        listener.set_needed(start, true);
        let later = start + EAGER_FOR * 2;
        assert!(listener.handle_timeout(later));
        listener.on_read();
        listener.on_call(later, &call(1, 100));
        assert!(reads(&mut listener, later, 300) >= 48);
    }
}

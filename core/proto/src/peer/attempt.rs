//! A hello of ours that waits for its answer: when it is said again, and by what way.

use std::time::{Duration, Instant};

use super::contact::TurnedAway;
use crate::{
    handshake::Initiation,
    stale,
    timing::{GONE_RETRIES, INTRO_REPEATS, INTRO_TIMEOUT, SIMULTANEOUS},
};

/// An INTRO that waits for its answer, or for a relay to send it through.
pub(super) struct Attempt {
    /// None while no relay is up that could carry it.
    pub(super) initiation: Option<Initiation>,
    sent: Instant,
    /// Repeats on direct addresses so far.
    repeats: usize,
    /// When something is to be done next.
    next: Instant,
    /// Which try of the dial this is, from 1.
    number: u32,
    /// Why the relay last turned the hello away, how often it did, and whether to ask it once more.
    turned_away: Option<TurnedAway>,
    gone: usize,
    ask_again: bool,
    /// Whether its time is the one that the peer asked for.
    corrected: bool,
}

impl Attempt {
    pub(super) fn new(now: Instant, number: u32, initiation: Option<Initiation>) -> Self {
        Self {
            initiation,
            sent: now,
            repeats: 0,
            next: now + INTRO_TIMEOUT,
            number,
            turned_away: None,
            gone: 0,
            ask_again: false,
            corrected: false,
        }
    }

    pub(super) fn next(&self) -> Instant {
        self.next
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn sent(&self) -> Instant {
        self.sent
    }

    /// Whether there was a way to send it.
    pub(super) fn is_sent(&self) -> bool {
        self.initiation.is_some()
    }

    /// Whether it has not been waiting for too long to count before one of the peer's.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.is_sent() && now.saturating_duration_since(self.sent) < SIMULTANEOUS
    }

    /// Whether it was said again on direct addresses.
    pub(super) fn is_repeated(&self) -> bool {
        self.repeats > 0
    }

    /// It is said now; on direct addresses it is said again, if there are any.
    pub(super) fn plan(&mut self, has_addrs: bool) {
        let repeats = has_addrs && self.is_sent();
        let gap = INTRO_REPEATS.get(self.repeats).filter(|_| repeats);
        self.next = self.sent + gap.copied().unwrap_or(INTRO_TIMEOUT);
    }

    /// Says it again, and whether by the relay too; none if it was waited for long enough.
    pub(super) fn repeat(&mut self, now: Instant) -> Option<bool> {
        if now >= self.sent + INTRO_TIMEOUT {
            return None;
        }
        let by_relay = std::mem::take(&mut self.ask_again);
        if by_relay {
            self.sent = now;
        } else {
            self.repeats += 1;
        }
        Some(by_relay)
    }

    /// New addresses are known: it is said again early, but not more often than else.
    pub(super) fn hurry(&mut self, now: Instant) {
        if self.repeats < INTRO_REPEATS.len() {
            self.next = now;
        }
    }

    /// The relay did not pass it on: it is asked again, later by `more` than usual. False if that was done often enough.
    pub(super) fn turn_away(&mut self, now: Instant, more: Duration, why: TurnedAway) -> bool {
        self.turned_away = Some(why);
        if self.ask_again {
            return true;
        }
        let Some(wait) = GONE_RETRIES.get(self.gone) else {
            return false;
        };
        self.gone += 1;
        self.ask_again = true;
        self.next = now + *wait + more;
        self.sent = now;
        true
    }

    /// Why the relay has turned it away, if it has so far.
    pub(super) fn turned_away(&self) -> Option<TurnedAway> {
        self.turned_away
    }

    /// What time the peer wants to read in it, if this is its word and the first time that it says so.
    pub(super) fn told_time(&self, datagram: &[u8]) -> Option<u64> {
        let pending = self.initiation.as_ref().filter(|_| !self.corrected)?;
        stale::open(&pending.secret, datagram)
    }

    /// Its time is the one that the peer asked for.
    pub(super) fn correct(&mut self) {
        self.corrected = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    #[test]
    fn a_relay_that_turned_a_hello_away_is_asked_again_a_few_times() {
        let mut now = Instant::now();
        let mut attempt = Attempt::new(now, 1, None);
        let turn_away =
            |attempt: &mut Attempt, now| attempt.turn_away(now, Duration::ZERO, TurnedAway::Absent);
        for wait in GONE_RETRIES {
            assert!(turn_away(&mut attempt, now));
            assert!(turn_away(&mut attempt, now), "only once");
            assert_eq!(attempt.next(), now + wait);
            now = attempt.next();
            assert_eq!(attempt.repeat(now), Some(true), "by the relay");
        }
        assert!(!turn_away(&mut attempt, now));
        assert_eq!(attempt.repeat(now), Some(false));
        assert_eq!(attempt.repeat(now + INTRO_TIMEOUT), None);
    }
}

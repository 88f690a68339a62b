//! How many handshakes begin in a second.
//!
//! A handshake takes the relay half a millisecond of a processor, most of it for cryptography, so some thousand a second are
//! what it can do beside its work. As long as there is time to spare, everybody has it. From then on networks have equal parts
//! of it, and whoever is beyond that of theirs is told when to come again: one after the other, at the rate at which their
//! network gets its turns.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::{
    bucket::{Bucket, Rate},
    network::Network,
};

/// Handshakes a second, of all.
const RATE: u64 = 1000;
/// How far ahead of that all together may be: whoever comes, networks that are hardly ahead of their part, and such that are not.
const AHEAD: [Duration; 3] = [
    Duration::from_millis(125),
    Duration::from_millis(250),
    Duration::from_millis(375),
];
/// How far ahead of its part a network is hardly: those who were told to come again do not come evenly.
const HARDLY: Duration = Duration::from_secs(2);
/// How many a second are told to come again: fewer, so that whoever comes for the first time finds time too.
const AGAIN: u64 = RATE * 4 / 5;
/// The soonest and the latest that anybody is told to come again.
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(60);
/// Networks that are told apart; others have only what is to spare.
const NETWORKS: usize = 1 << 16;
/// How often those are forgotten whose turns are over.
const FORGET_EVERY: Duration = Duration::from_secs(1);

/// Hands out the time for handshakes.
#[derive(Debug, Default)]
pub(crate) struct Handshakes {
    all: Bucket,
    networks: HashMap<Network, Turns>,
    forget_at: Option<Instant>,
}

/// What a network had, and was promised.
#[derive(Debug, Default)]
struct Turns {
    taken: Bucket,
    /// When the last of those is to come again that were told to.
    promised: Option<Instant>,
}

impl Handshakes {
    /// Whether there is time for whoever asks, without a part of anybody.
    pub(super) fn has_spare(&self, now: Instant) -> bool {
        let [whoever, ..] = AHEAD;
        self.all.ready_at(whoever, now) <= now
    }

    /// Takes the time for a handshake whose network is not known.
    pub(super) fn charge(&mut self, now: Instant) {
        self.all.charge(Rate::per_second(RATE), now, 1);
    }

    /// Takes the time for a handshake of this network.
    ///
    /// # Errors
    /// When to come again, if there is none.
    pub(crate) fn take(&mut self, now: Instant, network: Network) -> Result<(), Duration> {
        self.forget(now);
        let [whoever, hardly, within] = AHEAD;
        let is_known = self.networks.contains_key(&network);
        if !is_known && self.networks.len() >= NETWORKS {
            return if self.has_spare(now) {
                self.charge(now);
                Ok(())
            } else {
                Err(SOONEST)
            };
        }
        let parties = self.networks.len() + usize::from(!is_known);
        let [part, again] = [RATE, AGAIN].map(|rate| Rate::per_second(rate).shared_by(parties));
        let turns = self.networks.entry(network).or_default();
        let is_hardly_ahead = turns.taken.ready_at(HARDLY, now) <= now;
        let ahead = match turns.taken.ready_at(Duration::ZERO, now) {
            ready if ready <= now => within,
            _ if is_hardly_ahead => hardly,
            _ => whoever,
        };
        if self.all.ready_at(ahead, now) <= now {
            if is_hardly_ahead {
                turns.taken.charge(part, now, 1);
            }
            self.charge(now);
            return Ok(());
        }
        Err(turns.promise(now, again))
    }

    /// Forgets networks that are owed nothing and owe nothing.
    fn forget(&mut self, now: Instant) {
        if self.forget_at.is_some_and(|at| at > now) {
            return;
        }
        self.forget_at = now.checked_add(FORGET_EVERY);
        self.networks.retain(|_, turns| !turns.are_over(now));
        self.networks.shrink_to(2 * self.networks.len());
    }
}

impl Turns {
    fn promise(&mut self, now: Instant, again: Rate) -> Duration {
        let soonest = now + SOONEST;
        let after = self.promised.map_or(soonest, |last| last.max(soonest));
        let next = (after + again.time_for(1)).min(now + LATEST);
        self.promised = Some(next);
        next - now
    }

    fn are_over(&self, now: Instant) -> bool {
        self.promised.is_none_or(|last| last <= now)
            && self.taken.ready_at(Duration::ZERO, now) <= now
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MS: Duration = Duration::from_millis(1);

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "any instant to count from")]
        Instant::now()
    }

    fn network(nth: usize) -> Network {
        let [.., high, low] = nth.to_be_bytes();
        Network::of(([10, 0, high, low], 1).into())
    }

    /// Networks that each have so many come in every millisecond, and how many of them found time.
    fn crowd(lasts: Duration, each_ms: &[f64]) -> Vec<f64> {
        let (start, mut handshakes) = (start(), Handshakes::default());
        let (mut due, mut done) = (vec![0.0; each_ms.len()], vec![0_u32; each_ms.len()]);
        for ms in 0..lasts.as_millis() as u32 {
            for (nth, each) in each_ms.iter().enumerate() {
                due[nth] += each;
                while due[nth] >= 1.0 {
                    due[nth] -= 1.0;
                    let taken = handshakes.take(start + MS * ms, network(nth));
                    done[nth] += u32::from(taken.is_ok());
                }
            }
        }
        let asked = each_ms.iter().map(|each| each * lasts.as_millis() as f64);
        let shares = done.iter().zip(asked);
        shares
            .map(|(done, asked)| f64::from(*done) / asked)
            .collect()
    }

    #[test]
    fn what_a_relay_can_do_everybody_has() {
        let shares = crowd(SECOND * 10, &[0.5, 0.3]);
        assert!(shares.iter().all(|share| *share > 0.99), "{shares:?}");
    }

    #[test]
    fn no_more_begin_than_a_relay_can_do() {
        let shares = crowd(SECOND * 10, &[10.0]);
        let a_second = shares[0] * 10_000.0;
        assert!((1000.0..1030.0).contains(&a_second), "{a_second}");
    }

    #[test]
    fn networks_that_flood_cost_those_nothing_that_keep_to_their_part() {
        let floods = [5.0; 10];
        let others = [0.02; 10];
        let shares = crowd(SECOND * 20, &[floods, others].concat());
        assert!(shares[10..].iter().all(|share| *share > 0.99), "{shares:?}");
    }

    /// Clients of so many networks come at once, and again when they were told to; returns when each was let in.
    fn storm(networks: usize, clients: usize) -> Vec<Duration> {
        let (start, mut handshakes) = (start(), Handshakes::default());
        let mut coming: BTreeSet<_> = (0..clients).map(|nth| (Duration::ZERO, nth)).collect();
        let (mut done, mut tries) = (Vec::new(), 0);
        while let Some((at, nth)) = coming.pop_first() {
            tries += 1;
            match handshakes.take(start + at, network(nth % networks)) {
                Ok(()) => done.push(at),
                Err(again) => {
                    // As it travels, in seconds, with what a client adds by chance.
                    let jitter = MS * (nth as u32 * 7919 % 1000);
                    coming.insert((at + SECOND * again.as_secs() as u32 + jitter, nth));
                }
            }
        }
        assert!(tries < clients * 2, "{tries} tries of {clients}");
        done
    }

    #[test]
    fn whoever_is_told_to_come_again_finds_time_then_and_all_are_in_as_soon_as_can_be() {
        for networks in [1, 20, 500] {
            let last = storm(networks, 5000).into_iter().max().unwrap();
            assert!(last < SECOND * 13, "{networks} networks: {last:?}");
        }
    }

    #[test]
    fn only_whoever_came_too_often_waits_long() {
        let (start, mut handshakes) = (start(), Handshakes::default());
        let greedy = (0..100_000).filter_map(|_| handshakes.take(start, network(1)).err());
        assert_eq!(greedy.last(), Some(LATEST));
        let modest = (0..200).filter_map(|_| handshakes.take(start, network(2)).err());
        assert!(modest.last().is_some_and(|again| again < SECOND * 3));
    }

    #[test]
    fn networks_that_left_are_forgotten_and_no_more_are_known_than_there_is_room_for() {
        let (start, mut handshakes) = (start(), Handshakes::default());
        let many = |nth: usize| {
            let [.., a, b, c] = nth.to_be_bytes();
            Network::of(([10, a, b, c], 1).into())
        };
        let turned_away =
            (0..NETWORKS * 2).filter(|nth| handshakes.take(start, many(*nth)).is_err());
        assert!(turned_away.count() > NETWORKS);
        assert_eq!(handshakes.networks.len(), NETWORKS);
        assert_eq!(handshakes.take(start + LATEST * 3, network(1)), Ok(()));
        assert_eq!(handshakes.networks.len(), 1);
    }
}

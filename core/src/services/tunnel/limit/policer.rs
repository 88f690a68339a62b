//! Which datagrams pass at a bounded rate: [`Policer`]. Pure: the time comes in.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use crate::{PeerId, services::Rate};

/// What a pause saves, in seconds of the rate.
const BURST: f64 = 0.1;
/// What is earned is divided no more often.
const DIVIDE_EVERY: Duration = Duration::from_millis(1);
/// How long a peer has its part of the rate after its last datagram, and longer while it has not made up for that.
const KEPT: Duration = Duration::from_secs(1);
/// Of more peers than these the debts of who is silent are everybody's.
const OWN_DEBTS: usize = 256;
/// So much is lent, in seconds of the rate, and nobody who comes begins with anything until some of it is paid back.
const MOST_LENT: f64 = 1.0;

/// Each peer that sends earns its part of the rate; what one does not use is there for all.
#[derive(Debug)]
pub(super) struct Policer {
    rate: f64,
    divided: Instant,
    peers: BTreeMap<PeerId, Peer>,
    unused: f64,
    /// What those who came began with, before anybody had earned it, and what those owe who went.
    lent: f64,
}

/// Bytes that it may send, below nothing after a large datagram.
#[derive(Debug)]
struct Peer {
    left: f64,
    last: Instant,
}

impl Policer {
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        let rate = f64::from(rate.bytes_per_second());
        Self {
            rate,
            divided: now,
            peers: BTreeMap::new(),
            unused: rate * BURST,
            lent: 0.0,
        }
    }

    /// Whether a datagram of so many bytes of the peer passes.
    pub(super) fn admits(&mut self, peer: PeerId, len: usize, now: Instant) -> bool {
        self.divide(now);
        // Who sends seldom is not to lose all of it to who never stops.
        let is_spent = self.lent > self.rate * MOST_LENT;
        let burst = if is_spent { 0.0 } else { self.rate * BURST };
        let left = burst / (self.peers.len() as f64 + 1.0);
        let len = len as f64;
        let Self {
            peers,
            unused,
            lent,
            ..
        } = self;
        let own = peers.entry(peer).or_insert_with(|| {
            let there = left.min(unused.max(0.0));
            *unused -= there;
            *lent += left - there;
            Peer { left, last: now }
        });
        own.last = now;
        let from = [&mut own.left, unused]
            .into_iter()
            .find(|left| **left > 0.0);
        let passes = from.is_some();
        if let Some(left) = from {
            *left -= len;
        }
        passes
    }

    fn divide(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.divided);
        if since < DIVIDE_EVERY {
            return;
        }
        self.divided = now;
        let earned = since.as_secs_f64() * self.rate;
        // Who is there has the half of it at least, whatever others owe.
        let paid_back = (earned / 2.0).min(self.lent);
        self.lent -= paid_back;
        let earned = earned - paid_back;
        self.let_go_of_silent(now);
        let parts = (self.peers.len() as f64).max(1.0);
        let (each, most) = (earned / parts, self.rate * BURST / parts);
        let mut unused = if self.peers.is_empty() { earned } else { 0.0 };
        for peer in self.peers.values_mut() {
            let left = peer.left + each;
            unused += (left - most).max(0.0);
            peer.left = left.min(most);
        }
        self.unused = (self.unused + unused).min(self.rate * BURST);
    }

    fn let_go_of_silent(&mut self, now: Instant) {
        let are_many = self.peers.len() > OWN_DEBTS;
        let (unused, lent) = (&mut self.unused, &mut self.lent);
        self.peers.retain(|_, peer| {
            let owes = peer.left < 0.0;
            let is_silent = now.saturating_duration_since(peer.last) >= KEPT;
            if !is_silent || owes && !are_many {
                return true;
            }
            *unused += peer.left.max(0.0);
            *lent += (-peer.left).max(0.0);
            false
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    fn peer(seed: u8) -> PeerId {
        SecretKey::from_seed(&[seed; 32]).id()
    }

    /// Of 1 MB a second, for ten seconds: what passed of peers that send so many datagrams of a length each millisecond.
    fn passed(peers: &[(usize, usize)]) -> Vec<usize> {
        let start = Instant::now();
        let mut policer = Policer::new("8mbit".parse().unwrap(), start);
        let mut got = vec![0; peers.len()];
        for ms in 0..10_000 {
            for (at, (count, len)) in peers.iter().enumerate() {
                for _ in 0..*count {
                    let now = start + Duration::from_millis(ms);
                    let passes = policer.admits(peer(at as u8), *len, now);
                    got[at] += if passes { *len } else { 0 };
                }
            }
        }
        got
    }

    #[tokio::test(start_paused = true)]
    async fn one_alone_has_all_of_the_rate_and_no_more() {
        let got = passed(&[(10, 1000)]);
        assert!((9_950_000..10_250_000).contains(&got[0]), "{got:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_floods_takes_nothing_from_who_sends_its_part_and_gets_what_is_left() {
        let got = passed(&[(50, 1000), (1, 300)]);
        assert_eq!(got[1], 3_000_000, "none of it was lost");
        assert!((6_900_000..7_300_000).contains(&got[0]), "{got:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_seldom_loses_nothing_to_who_never_stops() {
        let start = Instant::now();
        let mut policer = Policer::new("8mbit".parse().unwrap(), start);
        for ms in 0..20_000 {
            let now = start + Duration::from_millis(ms);
            while policer.admits(peer(1), 1000, now) {}
            if ms % 2000 == 1500 {
                assert!(policer.admits(peer(2), 500, now), "after {ms} ms");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_pauses_makes_up_for_what_it_had_before() {
        for (peers, len) in [(1, 60_000), (5, 60_000), (20, 1000)] {
            let start = Instant::now();
            let mut policer = Policer::new("80kbit".parse().unwrap(), start);
            let mut got = 0;
            for round in 0..60 {
                let now = start + Duration::from_millis(1100 * round);
                for seed in 0..peers {
                    while policer.admits(peer(seed), len, now) {
                        got += len;
                    }
                }
            }
            // What was earned, what was saved, and a debt of each and of all.
            let most = 66 * 10_000 + 1000 + (usize::from(peers) + 1) * len;
            assert!(got <= most, "{got} of {most} by {peers}");
            assert!(got >= 60 * 10_000, "{got} by {peers}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_who_go_in_debt_few_are_kept_and_what_they_owe_is_paid_back() {
        let start = Instant::now();
        let mut policer = Policer::new("80kbit".parse().unwrap(), start);
        let mut got = 0;
        for second in 0..100 {
            let now = start + Duration::from_secs(second);
            for seed in 0..100 {
                let mut own = [0; 32];
                own[..2].copy_from_slice(&[second as u8, seed]);
                let peer = SecretKey::from_seed(&own).id();
                got += if policer.admits(peer, 60_000, now) {
                    60_000
                } else {
                    0
                };
            }
            assert!(policer.peers.len() <= OWN_DEBTS + 100, "after {second} s");
        }
        // A debt of each that is kept, once.
        let most = 100 * 10_000 + (OWN_DEBTS + 100) * 60_000;
        assert!(got <= most, "{got} of {most}");
        for seconds in [10_000, 20_000] {
            policer.divide(start + Duration::from_secs(seconds));
        }
        assert!(policer.lent <= 0.0 && policer.peers.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn several_that_flood_have_a_part_each_whatever_they_send() {
        let got = passed(&[(50, 1000), (5, 1000), (3, 60_000)]);
        let all: usize = got.iter().sum();
        assert!((9_900_000..10_400_000).contains(&all), "{got:?}");
        let (least, most) = (got.iter().min().unwrap(), got.iter().max().unwrap());
        assert!(most - least < 300_000, "{got:?}");
    }
}

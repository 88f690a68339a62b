//! Whose connections there is room for.
//!
//! An attempt's source address may be forged until the client has shown that it received something there, so forged ones
//! must not use up the room of the address they name: they count for themselves, and past a few of them the client is asked
//! to prove its address first (QUIC Retry, RFC 9000 section 8.1.2), which costs the relay no state.
//!
//! A handshake takes the time of a processor, of which there is so much a second (`Handshakes`); who comes when there is none is
//! told when to come again.
//!
//! A connection from a proven address has a *seat*. When all are taken, the network with most of them gives up its newest
//! for one that has fewer.

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    time::Instant,
};

use peerway_proto::wire::relay::Busy;

use super::{handshakes::Handshakes, network::Network, shares::Shares};

/// Attempts from unproven addresses that are worked on at once, of all and of one network.
const UNPROVEN: usize = 128;
const UNPROVEN_PER_NETWORK: usize = 8;

/// What to do with an attempt.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go on with the handshake; tell [`Admission::end`] when the attempt or its connection is over.
    Accept(Admitted),
    /// Ask for a proof of the address.
    Retry,
    /// Refuse: there is no room, or this network has its share.
    Refuse,
    /// Refuse: there is room, and too many come at once.
    Busy(Busy),
}

/// A seat; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeatId(u64);

/// An attempt that was accepted, or the connection it became.
#[derive(Debug, PartialEq, Eq)]
pub struct Admitted {
    network: Network,
    /// None as long as the address is not proven.
    seat: Option<SeatId>,
}

impl Admitted {
    /// The seat, once the address is proven.
    #[must_use]
    pub fn seat(&self) -> Option<SeatId> {
        self.seat
    }
}

#[derive(Debug, Default)]
struct Party {
    /// The newest last.
    seats: BTreeSet<SeatId>,
    unproven: usize,
}

/// Counts connections and attempts by network.
#[derive(Debug)]
pub struct Admission {
    in_all: usize,
    per_network: usize,
    parties: HashMap<Network, Party>,
    shares: Shares,
    handshakes: Handshakes,
    unproven: usize,
    last_seat: u64,
    displaced: Vec<SeatId>,
}

impl Admission {
    /// Allows so many connections in all, and of them so many from one IPv4 address or IPv6 /56.
    #[must_use]
    pub fn new(in_all: usize, per_network: usize) -> Self {
        Self {
            in_all,
            per_network,
            parties: HashMap::new(),
            shares: Shares::default(),
            handshakes: Handshakes::default(),
            unproven: 0,
            last_seat: 0,
            displaced: Vec::new(),
        }
    }

    /// Decides on an attempt from `remote`; `proven` says whether it holds that address.
    pub fn attempt(&mut self, now: Instant, remote: SocketAddr, proven: bool) -> Decision {
        let network = Network::of(remote);
        let has_room = self.has_room(network);
        if proven {
            return self.attempt_proven(now, network, has_room);
        }
        let party = self.parties.get(&network);
        let attempts = party.map_or(0, |party| party.unproven);
        if !has_room
            || attempts >= UNPROVEN_PER_NETWORK
            || self.unproven >= UNPROVEN
            || !self.handshakes.has_spare(now)
        {
            return Decision::Retry;
        }
        self.handshakes.charge(now);
        self.parties.entry(network).or_default().unproven += 1;
        self.unproven += 1;
        Decision::Accept(Admitted {
            network,
            seat: None,
        })
    }

    fn attempt_proven(&mut self, now: Instant, network: Network, has_room: bool) -> Decision {
        if !has_room {
            return Decision::Refuse;
        }
        if let Err(retry_in) = self.handshakes.take(now, network) {
            return Decision::Busy(Busy::new(retry_in));
        }
        self.seat(network)
            .map_or(Decision::Refuse, Decision::Accept)
    }

    /// The handshake is done, which proves the address. None, with the attempt ended, if there is no seat for it by now.
    #[must_use]
    pub fn proven(&mut self, admitted: Admitted) -> Option<Admitted> {
        let network = admitted.network;
        let Some(seat) = admitted.seat else {
            self.end(admitted);
            return self.seat(network);
        };
        let party = self.parties.get(&network);
        party
            .is_some_and(|party| party.seats.contains(&seat))
            .then_some(admitted)
    }

    /// An attempt or connection is over. Nothing happens if it had to give up its seat before.
    pub fn end(&mut self, admitted: Admitted) {
        let network = admitted.network;
        match admitted.seat {
            Some(seat) => self.free(network, seat),
            None => {
                if let Some(party) = self.parties.get_mut(&network) {
                    party.unproven = party.unproven.saturating_sub(1);
                }
                self.unproven = self.unproven.saturating_sub(1);
                self.tidy(network);
            }
        }
    }

    /// The next seat whose connection is to be closed, as it went to another.
    pub fn poll_displaced(&mut self) -> Option<SeatId> {
        self.displaced.pop()
    }

    fn has_room(&self, network: Network) -> bool {
        self.shares.of(network) < self.per_network
            && (self.shares.total() < self.in_all || self.shares.yielding_to(network).is_some())
    }

    fn seat(&mut self, network: Network) -> Option<Admitted> {
        if !self.has_room(network) {
            return None;
        }
        if self.shares.total() >= self.in_all {
            let greediest = self.shares.yielding_to(network)?;
            let newest = *self.parties.get(&greediest)?.seats.last()?;
            self.free(greediest, newest);
            self.displaced.push(newest);
        }
        self.last_seat += 1;
        let seat = SeatId(self.last_seat);
        self.parties.entry(network).or_default().seats.insert(seat);
        self.shares.add(network, 1);
        Some(Admitted {
            network,
            seat: Some(seat),
        })
    }

    fn free(&mut self, network: Network, seat: SeatId) {
        let party = self.parties.get_mut(&network);
        if party.is_some_and(|party| party.seats.remove(&seat)) {
            self.shares.remove(network, 1);
            self.tidy(network);
        }
    }

    fn tidy(&mut self, network: Network) {
        let is_empty = |party: &Party| party.seats.is_empty() && party.unproven == 0;
        if self.parties.get(&network).is_some_and(is_empty) {
            self.parties.remove(&network);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(text: &str) -> SocketAddr {
        SocketAddr::new(text.parse().unwrap(), 1)
    }

    fn now() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "any instant to count from")]
        Instant::now()
    }

    fn accepted(decision: Decision) -> Option<Admitted> {
        match decision {
            Decision::Accept(admitted) => Some(admitted),
            Decision::Retry | Decision::Refuse | Decision::Busy(_) => None,
        }
    }

    #[test]
    fn forged_attempts_do_not_use_up_the_room_of_their_victim() {
        let mut admission = Admission::new(100, 4);
        let victim = from("192.0.2.1");
        let forged: Vec<_> = (0..100)
            .filter_map(|_| accepted(admission.attempt(now(), victim, false)))
            .collect();
        assert_eq!(forged.len(), UNPROVEN_PER_NETWORK);
        assert_eq!(admission.attempt(now(), victim, false), Decision::Retry);
        assert!(accepted(admission.attempt(now(), victim, true)).is_some());
        forged.into_iter().for_each(|one| admission.end(one));
        assert!(accepted(admission.attempt(now(), victim, false)).is_some());
    }

    #[test]
    fn a_network_gets_its_share_and_room_again_after_one_leaves() {
        let mut admission = Admission::new(100, 2);
        let network = |host: u16| from(&format!("2001:db8:1:2::{host}"));
        let first = accepted(admission.attempt(now(), network(1), true)).unwrap();
        let second = accepted(admission.attempt(now(), network(2), false)).unwrap();
        let second = admission.proven(second).unwrap();
        assert_eq!(admission.attempt(now(), network(3), true), Decision::Refuse);
        let other = admission.attempt(now(), from("2001:db8:1:100::1"), true);
        assert!(accepted(other).is_some());
        admission.end(first);
        assert!(accepted(admission.attempt(now(), network(3), true)).is_some());
        admission.end(second);
    }

    #[test]
    fn an_attempt_that_proves_itself_too_late_is_turned_away() {
        let mut admission = Admission::new(100, 1);
        let late = accepted(admission.attempt(now(), from("192.0.2.1"), false)).unwrap();
        let in_time = accepted(admission.attempt(now(), from("192.0.2.1"), true)).unwrap();
        assert_eq!(admission.proven(late), None);
        admission.end(in_time);
        assert!(admission.parties.is_empty());
        assert_eq!((admission.unproven, admission.shares.total()), (0, 0));
    }

    #[test]
    fn one_network_cannot_fill_a_relay_and_keeps_what_nobody_else_wants() {
        let mut admission = Admission::new(8, 8);
        let greedy: Vec<_> = (0..8)
            .filter_map(|_| accepted(admission.attempt(now(), from("192.0.2.1"), true)))
            .collect();
        assert_eq!(greedy.len(), 8);
        let others: Vec<_> = (0..8)
            .filter_map(|_| accepted(admission.attempt(now(), from("192.0.2.2"), true)))
            .collect();
        assert_eq!(others.len(), 4);
        let displaced: Vec<_> = std::iter::from_fn(|| admission.poll_displaced()).collect();
        let newest: Vec<_> = greedy[4..].iter().filter_map(Admitted::seat).collect();
        assert_eq!(displaced, newest, "the newest first, taken out last first");
        assert_eq!(
            admission.attempt(now(), from("192.0.2.1"), true),
            Decision::Refuse
        );
        assert_eq!(
            admission.attempt(now(), from("192.0.2.1"), false),
            Decision::Retry
        );
        greedy
            .into_iter()
            .chain(others)
            .for_each(|one| admission.end(one));
        assert!(admission.parties.is_empty());
        assert_eq!(admission.shares.total(), 0);
    }

    #[test]
    fn whoever_gave_up_a_seat_during_the_handshake_is_turned_away_after_it() {
        let mut admission = Admission::new(2, 2);
        let kept = accepted(admission.attempt(now(), from("192.0.2.1"), true)).unwrap();
        let lost = accepted(admission.attempt(now(), from("192.0.2.1"), true)).unwrap();
        let newcomer = admission.attempt(now(), from("192.0.2.2"), true);
        assert!(accepted(newcomer).is_some());
        assert_eq!(admission.proven(lost), None);
        assert!(admission.proven(kept).is_some());
    }

    #[test]
    fn in_a_storm_whoever_shows_where_they_are_gets_in_or_is_told_when_to_come_again() {
        let mut admission = Admission::new(1 << 16, 64);
        let (now, from) = (now(), |nth: u16| {
            let [high, low] = nth.to_be_bytes();
            SocketAddr::from(([10, 0, high, low], 1))
        });
        let decided: Vec<_> = (0..2000)
            .map(|nth| admission.attempt(now, from(nth), true))
            .collect();
        let busy = decided
            .iter()
            .filter(|one| matches!(one, Decision::Busy(_)));
        assert!((1500..2000).contains(&busy.count()));
        let refused = decided.iter().filter(|one| **one == Decision::Refuse);
        assert_eq!(refused.count(), 0);
        assert_eq!(admission.attempt(now, from(3000), false), Decision::Retry);
        let later = now + std::time::Duration::from_secs(2);
        assert!(accepted(admission.attempt(later, from(3000), false)).is_some());
    }
}

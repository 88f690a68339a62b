//! What whoever calls does when. Pure: the time comes in.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{LIES_FOR, SLOTS};
use crate::record::MAX_SKEW;

/// How often our NAT is opened: below the 30 s that it keeps a mapping on which nothing came back, and often enough that a lost packet
/// costs no round.
const OPEN_EVERY: Duration = Duration::from_secs(5);
/// How often a call is written anew, so that the peer says hello again: it does so for nine seconds.
const WRITE_EVERY: Duration = Duration::from_secs(20);
/// The same if it could not be stored.
const WRITE_AGAIN: Duration = Duration::from_secs(2);
/// Where we are has to be known so soon.
const OWN_WITHIN: Duration = Duration::from_secs(15);
/// How long a call waits: the peer reads its slots once a minute, and takes a while for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(95);

/// A call.
#[derive(Debug)]
pub(crate) struct Caller {
    /// Where the peer is, behind its NAT.
    peer: Vec<SocketAddr>,
    /// Where we are.
    own: Vec<SocketAddr>,
    /// The number of what lies in each slot, if anything does; none before they were read. What comes behind those for all is our own.
    slots: Option<Vec<Option<i64>>>,
    /// Which is tried first.
    first: usize,
    slot: Option<usize>,
    /// Whether all slots but our own are taken.
    is_crowded: bool,
    /// What is being written, and where.
    writing: Option<(usize, u64)>,
    next_open: Option<Instant>,
    next_write: Option<Instant>,
    /// When it is given up.
    end: Instant,
    has_written: bool,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Open our NAT for these.
    Open(Vec<SocketAddr>),
    /// Write a call of now with this number into this slot.
    Write {
        slot: usize,
        seq: u64,
        own: Vec<SocketAddr>,
    },
    /// It is in vain.
    GiveUp(InVain),
}

/// Why a call is in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InVain {
    /// Nobody tells where we are.
    Unplaced,
    /// Others call.
    Busy,
    /// No hello came.
    Unanswered,
}

impl Caller {
    /// Calls a peer that is behind these addresses. `random` chooses a slot.
    pub(crate) fn new(now: Instant, peer: Vec<SocketAddr>, random: usize) -> Self {
        Self {
            peer,
            own: Vec::new(),
            slots: None,
            first: random % SLOTS,
            slot: None,
            is_crowded: false,
            writing: None,
            next_open: None,
            next_write: None,
            end: now + OWN_WITHIN,
            has_written: false,
        }
    }

    /// The peer is behind these now.
    pub(crate) fn set_peer(&mut self, now: Instant, peer: Vec<SocketAddr>) {
        if self.peer != peer {
            self.peer = peer;
            self.next_open = self.next_open.map(|_| now);
        }
    }

    /// We are there now.
    pub(crate) fn set_own(&mut self, now: Instant, own: Vec<SocketAddr>) {
        if self.own != own {
            self.own = own;
            self.begin(now);
        }
    }

    /// What lies in the slots.
    pub(crate) fn on_slots(&mut self, now: Instant, slots: Vec<Option<i64>>) {
        self.slots = Some(slots);
        self.begin(now);
    }

    /// The call lies in its slot, or could not be stored.
    pub(crate) fn on_written(&mut self, now: Instant, is_written: bool) {
        let written = self.writing.take().filter(|_| is_written);
        if let Some((slot, seq)) = written
            && let Some(lies) = self.slots.as_mut().and_then(|slots| slots.get_mut(slot))
        {
            *lies = i64::try_from(seq).ok();
        }
        if is_written && !self.has_written {
            self.has_written = true;
            self.end = now + PATIENCE;
        }
        if !is_written {
            // Somebody was faster, or the DHT does not answer.
            self.slot = None;
            self.first += 1;
            self.next_write = Some(now + WRITE_AGAIN);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let write = self.next_write.filter(|_| self.writing.is_none());
        [write, self.next_open, Some(self.end)]
            .into_iter()
            .flatten()
            .min()
    }

    /// What is to be done now; `unix` is in seconds since 1970.
    pub(crate) fn handle_timeout(&mut self, now: Instant, unix: u64) -> Vec<Deed> {
        if self.end <= now {
            let why = if self.own.is_empty() {
                InVain::Unplaced
            } else if self.is_crowded {
                InVain::Busy
            } else {
                InVain::Unanswered
            };
            return vec![Deed::GiveUp(why)];
        }
        let mut deeds = Vec::new();
        if self.next_open.is_some_and(|at| at <= now) {
            self.next_open = Some(now + OPEN_EVERY);
            deeds.push(Deed::Open(self.peer.clone()));
        }
        if self.next_write.is_some_and(|at| at <= now) && self.writing.is_none() {
            self.next_write = Some(now + WRITE_EVERY);
            deeds.push(self.write(unix));
        }
        deeds
    }

    /// Begins, once everything is known, and begins anew where we are elsewhere.
    fn begin(&mut self, now: Instant) {
        if !self.own.is_empty() && self.slots.is_some() {
            (self.next_open, self.next_write) = (Some(now), Some(now));
            self.end = self.end.max(now + OWN_WITHIN);
        }
    }

    fn write(&mut self, unix: u64) -> Deed {
        let slots = self.slots.as_deref().unwrap_or_default();
        let mut in_turn = (0..SLOTS).map(|offset| (self.first + offset) % SLOTS);
        let free = self
            .slot
            .or_else(|| in_turn.find(|slot| !is_taken(slots.get(*slot).copied().flatten(), unix)));
        self.is_crowded = free.is_none_or(|slot| slot >= SLOTS);
        let own = (SLOTS < slots.len()).then_some(SLOTS);
        let Some(slot) = free.or(own) else {
            return Deed::GiveUp(InVain::Busy);
        };
        let before = slots.get(slot).copied().flatten();
        let before = before.and_then(|seq| u64::try_from(seq).ok());
        let seq = unix.max(before.map_or(0, |seq| seq.saturating_add(1)));
        self.slot = Some(slot);
        self.writing = Some((slot, seq));
        let own = self.own.clone();
        Deed::Write { slot, seq, own }
    }
}

/// Whether a call lies in a slot whose item has this number: others wait until it is old. A number from the future is of a clock that is
/// wrong, or of somebody who wants the slot for the day; only beyond the last number there is none.
pub(crate) fn is_taken(seq: Option<i64>, unix: u64) -> bool {
    let Some(seq) = seq else { return false };
    let written = u64::try_from(seq).unwrap_or_default();
    seq == i64::MAX || (written <= unix + MAX_SKEW && written.saturating_add(LIES_FOR) > unix)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIX: u64 = 1_800_000_000;

    struct World {
        start: Instant,
        caller: Caller,
        deeds: Vec<(u64, Deed)>,
        stores: bool,
    }

    fn addr(port: u16) -> SocketAddr {
        ([192, 0, 2, 7], port).into()
    }

    impl World {
        #[expect(clippy::disallowed_methods, reason = "any instant will do")]
        fn new() -> Self {
            let start = Instant::now();
            Self {
                start,
                caller: Caller::new(start, vec![addr(1)], 2),
                deeds: Vec::new(),
                stores: true,
            }
        }

        fn at(&self, second: u64) -> Instant {
            self.start + Duration::from_secs(second)
        }

        fn run(&mut self, seconds: std::ops::Range<u64>) {
            for second in seconds {
                let now = self.at(second);
                for deed in self.caller.handle_timeout(now, UNIX + second) {
                    if matches!(deed, Deed::Write { .. }) {
                        self.caller.on_written(now, self.stores);
                    }
                    self.deeds.push((second, deed));
                }
            }
        }

        fn writes(&self) -> Vec<(u64, usize, u64)> {
            let write = |(at, deed): &(u64, Deed)| match deed {
                Deed::Write { slot, seq, .. } => Some((*at, *slot, *seq - UNIX)),
                Deed::Open(_) | Deed::GiveUp(_) => None,
            };
            self.deeds.iter().filter_map(write).collect()
        }

        fn end(&self) -> (u64, InVain) {
            let end = self.deeds.iter().find_map(|(at, deed)| match deed {
                Deed::GiveUp(why) => Some((*at, *why)),
                Deed::Open(_) | Deed::Write { .. } => None,
            });
            end.unwrap()
        }
    }

    #[test]
    fn our_nat_is_opened_first_and_the_call_written_again_until_patience_ends() {
        let mut world = World::new();
        world.caller.on_slots(world.at(0), vec![None; SLOTS]);
        world.run(0..3);
        assert_eq!(world.deeds, [], "nobody knows where we are");
        world.caller.set_own(world.at(3), vec![addr(9)]);
        world.run(3..99);
        assert_eq!(world.deeds[0], (3, Deed::Open(vec![addr(1)])));
        assert_eq!(
            world.writes(),
            [
                (3, 2, 3),
                (23, 2, 23),
                (43, 2, 43),
                (63, 2, 63),
                (83, 2, 83)
            ]
        );
        assert_eq!(world.end(), (98, InVain::Unanswered));
    }

    #[test]
    fn a_slot_in_which_a_call_lies_is_left_alone_until_that_is_old() {
        let mut world = World::new();
        let lies = |age: i64| Some(UNIX as i64 - age);
        let slots = [lies(10), None, lies(0), lies(29)];
        world.caller.set_own(world.at(0), vec![addr(9)]);
        world.caller.on_slots(world.at(0), slots.to_vec());
        world.run(0..1);
        assert_eq!(world.writes(), [(0, 1, 0)]);
        let mut world = World::new();
        world.caller.set_own(world.at(0), vec![addr(9)]);
        world.caller.on_slots(world.at(0), vec![lies(1); SLOTS]);
        world.run(0..1);
        assert_eq!(world.end(), (0, InVain::Busy));
        let mut world = World::new();
        world.caller.set_own(world.at(0), vec![addr(9)]);
        world.caller.on_slots(world.at(0), vec![lies(30); SLOTS]);
        world.run(0..1);
        assert_eq!(world.writes(), [(0, 2, 0)]);
    }

    #[test]
    fn who_is_not_told_where_it_is_gives_up_soon() {
        let mut world = World::new();
        world.caller.on_slots(world.at(0), vec![None; SLOTS]);
        world.run(0..30);
        assert_eq!(world.end(), (15, InVain::Unplaced));
    }

    #[test]
    fn what_was_not_stored_is_tried_in_the_next_slot_and_given_up_in_the_end() {
        let mut world = World::new();
        world.stores = false;
        world.caller.set_own(world.at(0), vec![addr(9)]);
        world.caller.on_slots(world.at(0), vec![None; SLOTS]);
        world.run(0..60);
        assert_eq!(world.end(), (15, InVain::Unanswered));
    }

    #[test]
    fn who_takes_all_slots_takes_neither_a_caller_s_own_nor_any_for_the_day() {
        let lies = |seq: u64| i64::try_from(seq).ok();
        let taken = vec![lies(UNIX); SLOTS];
        let mut world = World::new();
        world.caller.set_own(world.at(0), vec![addr(9)]);
        let with_own = [taken, vec![lies(UNIX - 5)]].concat();
        world.caller.on_slots(world.at(0), with_own);
        world.run(0..99);
        assert_eq!(world.writes()[0], (0, SLOTS, 0));
        assert_eq!(world.end(), (95, InVain::Busy), "it may not be known there");
        let mut world = World::new();
        world.caller.set_own(world.at(0), vec![addr(9)]);
        let far = vec![
            lies(UNIX * 2),
            Some(i64::MAX),
            lies(UNIX * 2),
            Some(i64::MAX),
        ];
        world.caller.on_slots(world.at(0), far);
        world.run(0..1);
        assert_eq!(world.writes(), [(0, 2, UNIX + 1)]);
    }

    #[test]
    fn who_is_elsewhere_calls_anew_from_there_at_once() {
        let mut world = World::new();
        world.caller.set_own(world.at(0), vec![addr(9)]);
        world.caller.on_slots(world.at(0), vec![None; SLOTS]);
        world.run(0..7);
        world.caller.set_own(world.at(7), vec![addr(10)]);
        world.run(7..8);
        let own = vec![addr(10)];
        let (slot, seq) = (2, UNIX + 7);
        assert_eq!(
            world.deeds.last(),
            Some(&(7, Deed::Write { slot, seq, own }))
        );
    }
}

//! What comes from the peer: pieces are put together, what is missing is counted, and what overtook its flow's beginning waits.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use super::wire::{Header, MAX_PAYLOAD, Piece};

/// A UDP datagram whose pieces are not all there by then is given up.
const PATIENCE: Duration = Duration::from_secs(2);
/// What pieces of one flow may take, and of all flows of a connection.
const OF_FLOW: usize = 4 * MAX_PAYLOAD;
const IN_ALL: usize = 4 << 20;
/// What a piece takes besides its bytes, and a UDP datagram for each piece that it will have.
const OVERHEAD: usize = 64;
/// What waits for the beginning of its flow.
const EARLY: usize = 256 << 10;
/// Flows that have not begun, of which it is known what was given up.
const GIVEN_UP: usize = 1024;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// Each with the number that comes next.
    flows: BTreeMap<u32, Flow>,
    partial: BTreeMap<(u32, u32), Partial>,
    bytes: usize,
    early: VecDeque<(Instant, u32, Bytes)>,
    early_bytes: usize,
    /// Of flows that have not begun, the number behind what was given up of them.
    given_up: BTreeMap<u32, u32>,
}

#[derive(Debug, Default)]
struct Flow {
    next: u32,
    bytes: usize,
    missing: u64,
}

#[derive(Debug)]
struct Partial {
    since: Instant,
    pieces: Vec<Option<Box<[u8]>>>,
    bytes: usize,
    charge: usize,
    missing: usize,
}

/// What is known better after something happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Losses {
    /// UDP datagrams of which nothing came; fewer if one came late.
    pub(super) lost: i64,
    /// Given up.
    pub(super) incomplete: u64,
    /// Of no flow.
    pub(super) strays: u64,
}

impl Arrivals {
    /// Takes a QUIC datagram. Gives the UDP datagram that is complete with it, and its flow.
    pub(super) fn take(
        &mut self,
        datagram: Bytes,
        now: Instant,
        losses: &mut Losses,
    ) -> Option<(u32, Bytes)> {
        let Some((header, start)) = Header::parse(&datagram) else {
            losses.strays += 1;
            return None;
        };
        if !self.flows.contains_key(&header.flow) {
            self.wait(header.flow, datagram, now, losses);
            return None;
        }
        let key = (header.flow, header.number);
        if !self.partial.contains_key(&key) {
            losses.lost += self.see(header);
        }
        match header.piece {
            None => Some((header.flow, datagram.slice(start..))),
            Some(piece) => {
                let whole = self.add(key, piece, datagram.get(start..)?, now, losses)?;
                Some((header.flow, whole))
            }
        }
    }

    /// A flow begins. Gives what of it is here already.
    pub(super) fn open(&mut self, flow: u32, now: Instant, losses: &mut Losses) -> Vec<Bytes> {
        // What was given up is not lost besides.
        let next = self.given_up.remove(&flow).unwrap_or_default();
        let new = Flow {
            next,
            ..Flow::default()
        };
        self.flows.insert(flow, new);
        let early = std::mem::take(&mut self.early);
        let (own, rest): (VecDeque<_>, _) = early.into_iter().partition(|(_, of, _)| *of == flow);
        self.early = rest;
        let mut ready = Vec::new();
        for (_, _, datagram) in own {
            self.early_bytes -= datagram.len() + OVERHEAD;
            ready.extend(self.take(datagram, now, losses).map(|(_, whole)| whole));
        }
        ready
    }

    /// A flow ends.
    pub(super) fn close(&mut self, flow: u32, losses: &mut Losses) {
        self.flows.remove(&flow);
        let partial: Vec<_> = self.partial.range((flow, 0)..=(flow, u32::MAX)).collect();
        let keys: Vec<_> = partial.into_iter().map(|(key, _)| *key).collect();
        for key in keys {
            self.give_up(key, losses);
        }
    }

    /// The connection has ended: nothing is waited for any more.
    pub(super) fn end(&mut self, losses: &mut Losses) {
        while let Some((key, _)) = self.partial.first_key_value() {
            self.give_up(*key, losses);
        }
        while !self.early.is_empty() {
            self.forget_early(losses);
        }
    }

    /// Gives up what waited too long.
    pub(super) fn expire(&mut self, now: Instant, losses: &mut Losses) {
        let is_late = |since: Instant| now.saturating_duration_since(since) >= PATIENCE;
        let late = self.partial.iter().filter(|(_, it)| is_late(it.since));
        let late: Vec<_> = late.map(|(key, _)| *key).collect();
        for key in late {
            self.give_up(key, losses);
        }
        while self
            .early
            .front()
            .is_some_and(|(since, ..)| is_late(*since))
        {
            self.forget_early(losses);
        }
    }

    /// By how much more is lost than was thought.
    fn see(&mut self, header: Header) -> i64 {
        let Some(flow) = self.flows.get_mut(&header.flow) else {
            return 0;
        };
        let ahead = header.number.wrapping_sub(flow.next);
        if ahead < 1 << 31 {
            flow.next = header.number.wrapping_add(1);
            flow.missing += u64::from(ahead);
            return ahead.into();
        }
        let late = flow.missing > 0;
        flow.missing -= u64::from(late);
        -i64::from(late)
    }

    fn add(
        &mut self,
        key: (u32, u32),
        piece: Piece,
        bytes: &[u8],
        now: Instant,
        losses: &mut Losses,
    ) -> Option<Bytes> {
        let count = usize::from(piece.last) + 1;
        let flow = self.flows.get_mut(&key.0)?;
        let partial = self.partial.entry(key).or_insert_with(|| {
            let charge = OVERHEAD * count;
            (flow.bytes, self.bytes) = (flow.bytes + charge, self.bytes + charge);
            Partial {
                since: now,
                pieces: vec![None; count],
                bytes: 0,
                charge,
                missing: count,
            }
        });
        // Whoever contradicts itself has its first word taken.
        let is_same = partial.pieces.len() == count;
        let place = partial.pieces.get_mut(usize::from(piece.index));
        let place = place.filter(|place| is_same && place.is_none())?;
        *place = Some(bytes.into());
        partial.bytes += bytes.len();
        partial.charge += bytes.len();
        partial.missing -= 1;
        (flow.bytes, self.bytes) = (flow.bytes + bytes.len(), self.bytes + bytes.len());
        if partial.bytes > MAX_PAYLOAD {
            self.give_up(key, losses);
            return None;
        }
        if partial.missing == 0 {
            let whole = self.forget(key)?;
            return Some(
                whole
                    .pieces
                    .into_iter()
                    .flatten()
                    .collect::<Vec<_>>()
                    .concat()
                    .into(),
            );
        }
        self.make_room(key.0, losses);
        None
    }

    fn make_room(&mut self, flow: u32, losses: &mut Losses) {
        while self
            .flows
            .get(&flow)
            .is_some_and(|flow| flow.bytes > OF_FLOW)
        {
            self.give_up_oldest(flow, losses);
        }
        while self.bytes > IN_ALL {
            let most = self.flows.iter().max_by_key(|(_, flow)| flow.bytes);
            let Some(most) = most.map(|(flow, _)| *flow) else {
                return;
            };
            self.give_up_oldest(most, losses);
        }
    }

    fn give_up_oldest(&mut self, flow: u32, losses: &mut Losses) {
        let own = self.partial.range((flow, 0)..=(flow, u32::MAX));
        if let Some(key) = own.min_by_key(|(_, it)| it.since).map(|(key, _)| *key) {
            self.give_up(key, losses);
        }
    }

    fn give_up(&mut self, key: (u32, u32), losses: &mut Losses) {
        losses.incomplete += u64::from(self.forget(key).is_some());
    }

    fn forget(&mut self, key: (u32, u32)) -> Option<Partial> {
        let partial = self.partial.remove(&key)?;
        self.bytes -= partial.charge;
        if let Some(flow) = self.flows.get_mut(&key.0) {
            flow.bytes -= partial.charge;
        }
        Some(partial)
    }

    fn wait(&mut self, flow: u32, datagram: Bytes, now: Instant, losses: &mut Losses) {
        // Its own memory: what it came in may hold much more.
        let datagram = Bytes::copy_from_slice(&datagram);
        self.early_bytes += datagram.len() + OVERHEAD;
        self.early.push_back((now, flow, datagram));
        while self.early_bytes > EARLY {
            self.forget_early(losses);
        }
    }

    fn forget_early(&mut self, losses: &mut Losses) {
        let Some((_, flow, datagram)) = self.early.pop_front() else {
            return;
        };
        self.early_bytes -= datagram.len() + OVERHEAD;
        let Some((header, _)) = Header::parse(&datagram) else {
            return;
        };
        // The pieces of one are one.
        let next = header.number.wrapping_add(1);
        losses.strays += u64::from(self.given_up.insert(flow, next) != Some(next));
        if self.given_up.len() > GIVEN_UP {
            self.given_up.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::wire, *};

    const FLOW: u32 = 3;

    fn datagrams(number: u32, len: usize) -> Vec<Bytes> {
        let payload: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        wire::datagrams(FLOW, number, &payload, 1200)
            .unwrap()
            .collect()
    }

    struct World {
        arrivals: Arrivals,
        now: Instant,
        losses: Losses,
    }

    impl World {
        fn new() -> Self {
            let (mut arrivals, now) = (Arrivals::default(), Instant::now());
            let mut losses = Losses::default();
            assert!(arrivals.open(FLOW, now, &mut losses).is_empty());
            Self {
                arrivals,
                now,
                losses,
            }
        }

        fn take(&mut self, datagram: &Bytes) -> Option<usize> {
            let taken = self
                .arrivals
                .take(datagram.clone(), self.now, &mut self.losses);
            taken.map(|(_, whole)| whole.len())
        }

        fn is_empty(&self) -> bool {
            let arrivals = &self.arrivals;
            arrivals.bytes == 0 && arrivals.partial.is_empty() && arrivals.early_bytes == 0
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pieces_in_any_order_make_the_datagram_and_repeats_do_not() {
        let mut world = World::new();
        let mut pieces = datagrams(0, MAX_PAYLOAD);
        pieces.reverse();
        let (last, most) = pieces.split_last().unwrap();
        for piece in most.iter().chain(most) {
            assert_eq!(world.take(piece), None);
        }
        assert_eq!(world.take(last), Some(MAX_PAYLOAD));
        assert_eq!((world.losses, world.is_empty()), (Losses::default(), true));
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_came_is_lost_until_it_comes_and_what_stays_incomplete_is_counted_alone() {
        let mut world = World::new();
        assert_eq!(world.take(&datagrams(2, 10)[0]), Some(10));
        assert_eq!(world.losses.lost, 2);
        assert_eq!(world.take(&datagrams(1, 10)[0]), Some(10));
        assert_eq!(world.losses.lost, 1);
        assert_eq!(world.take(&datagrams(3, 3000)[1]), None);
        world.now += PATIENCE;
        world.arrivals.expire(world.now, &mut world.losses);
        assert_eq!((world.losses.lost, world.losses.incomplete), (1, 1));
        assert!(world.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_never_ends_its_datagrams_takes_no_more_memory_than_a_flow_may() {
        let mut world = World::new();
        for number in 0..5000 {
            assert_eq!(world.take(&datagrams(number, 60_000)[7]), None);
            assert!(world.arrivals.bytes <= OF_FLOW);
        }
        let kept = world.arrivals.partial.len();
        assert_eq!(world.losses.incomplete, 5000 - kept as u64);
        world.arrivals.close(FLOW, &mut world.losses);
        assert_eq!((world.losses.incomplete, world.is_empty()), (5000, true));
    }

    #[tokio::test(start_paused = true)]
    async fn pieces_that_are_more_than_a_datagram_or_contradict_each_other_are_given_up() {
        let mut world = World::new();
        let piece = |index, last, len: usize| {
            let mut bytes = vec![1, 0, 0, 0, 3, 0, 0, 0, 0, index, last];
            bytes.extend(vec![0; len]);
            Bytes::from(bytes)
        };
        assert_eq!(world.take(&piece(0, 1, 40_000)), None);
        assert_eq!(world.take(&piece(1, 2, 10)), None, "of three, not two");
        assert_eq!(world.take(&piece(1, 1, 40_000)), None);
        assert_eq!((world.losses.incomplete, world.is_empty()), (1, true));
    }

    #[tokio::test(start_paused = true)]
    async fn what_overtakes_the_beginning_of_its_flow_waits_for_it_and_strangers_do_not_for_ever() {
        let mut world = World::new();
        let (now, losses) = (world.now, &mut Losses::default());
        let mut arrivals = Arrivals::default();
        for datagram in datagrams(0, 5000) {
            assert_eq!(arrivals.take(datagram, now, losses), None);
        }
        let ready = arrivals.open(FLOW, now, losses);
        assert_eq!(ready.iter().map(Bytes::len).collect::<Vec<_>>(), [5000]);
        assert_eq!((*losses, arrivals.early_bytes), (Losses::default(), 0));

        world.arrivals.close(FLOW, &mut world.losses);
        for number in 0..1000 {
            world.take(&datagrams(number, 1000)[0]);
            assert!(world.arrivals.early_bytes <= EARLY);
        }
        world.arrivals.expire(now + PATIENCE, &mut world.losses);
        assert_eq!((world.losses.strays, world.is_empty()), (1000, true));
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_too_early_is_counted_once_whatever_comes_of_its_flow() {
        let (mut arrivals, now) = (Arrivals::default(), Instant::now());
        let losses = &mut Losses::default();
        for datagram in [datagrams(0, 10), datagrams(1, 5000)].concat() {
            assert_eq!(arrivals.take(datagram, now, losses), None);
        }
        arrivals.expire(now + PATIENCE, losses);
        arrivals.open(FLOW, now + PATIENCE, losses);
        let next = datagrams(2, 10).remove(0);
        assert!(arrivals.take(next, now + PATIENCE, losses).is_some());
        let counted = Losses {
            strays: 2,
            ..Losses::default()
        };
        assert_eq!(*losses, counted);
    }

    #[tokio::test(start_paused = true)]
    async fn what_still_waits_when_the_connection_ends_is_counted() {
        let mut world = World::new();
        assert_eq!(world.take(&datagrams(0, 3000)[0]), None);
        let other = [0, 0, 0, 0, 9, 0, 0, 0, 0, 7];
        assert_eq!(world.take(&Bytes::copy_from_slice(&other)), None);
        world.arrivals.end(&mut world.losses);
        let counted = Losses {
            incomplete: 1,
            strays: 1,
            lost: 0,
        };
        assert_eq!((world.losses, world.is_empty()), (counted, true));
    }
}

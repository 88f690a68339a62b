//! Who is served when: [`Uploader`]. Pure: what peers want sent and the time go in, leave to send comes out.
//!
//! A bounded number of peers is served at once, and others wait in the order in which they came; where some wait, who was served for a
//! while goes behind them. Those who are served take turns by bytes (deficit round robin), so that who asks on more streams, or for
//! larger units, gets no more. They are so few that a unit takes each of them about a second: what came to one soon can be passed on by
//! it, and who waits for long could have it from another meanwhile.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use peerway::PeerId;

/// Peers that are served at once, at least and at most.
const SLOTS: (usize, usize) = (4, 64);
/// How long a unit may take each of them where everything is used that goes out.
const FOR_A_UNIT: Duration = Duration::from_secs(1);
/// Over how long is measured what goes out.
const MEASURED: Duration = Duration::from_secs(2);
/// How long one is, where others wait.
const TURN: Duration = Duration::from_secs(5);
/// How long a slot is kept for who wants nothing more at the moment, where others wait.
const REST: Duration = Duration::from_millis(500);
/// What a peer may be sent each time it is its turn, and the most that is wanted at once.
pub(super) const QUANTUM: u64 = 256 << 10;
/// Bytes that are on their way to a peer before it gets leave for more, and where so few are served that it matters to the speed.
const AT_ONCE: u64 = QUANTUM;
const AT_ONCE_OF_FEW: (usize, u64) = (2, 2 * QUANTUM);
/// Peers that wait.
const MAX_WAITING: usize = 1024;
/// Wants of one peer.
const MAX_WANTS: usize = 256;
/// How much may be sent at once after a pause, where there is a limit, in seconds of it.
const BURST: f64 = 0.25;

/// Wants of peers, and who may send.
#[derive(Debug)]
pub struct Uploader {
    served: BTreeMap<PeerId, Served>,
    /// Whose turn it is, in order.
    turns: VecDeque<PeerId>,
    waiting: VecDeque<PeerId>,
    wants: BTreeMap<PeerId, VecDeque<Want>>,
    rate: Option<Rate>,
    output: Output,
    next: u64,
}

/// What goes out to all.
#[derive(Debug, Default)]
struct Output {
    since: Duration,
    bytes: u64,
    per_second: f64,
}

impl Output {
    fn add(&mut self, len: u64, now: Duration) {
        self.bytes += len;
        let time = now.saturating_sub(self.since);
        if time >= MEASURED {
            self.per_second = self.bytes as f64 / time.as_secs_f64();
            (self.since, self.bytes) = (now, 0);
        }
    }

    fn slots(&self) -> usize {
        let units = self.per_second * FOR_A_UNIT.as_secs_f64() / QUANTUM as f64;
        (units as usize).clamp(SLOTS.0, SLOTS.1)
    }
}

#[derive(Clone, Copy, Debug)]
struct Want {
    id: u64,
    len: u64,
}

#[derive(Debug)]
struct Served {
    since: Duration,
    /// When it last wanted or was sent something.
    last: Duration,
    deficit: u64,
    under_way: u64,
}

#[derive(Debug)]
struct Rate {
    per_second: u64,
    /// What may be sent now; below nothing after a large piece.
    left: f64,
    at: Duration,
}

impl Rate {
    fn new(per_second: u64, now: Duration) -> Self {
        Self {
            per_second: per_second.max(1),
            left: 0.0,
            at: now,
        }
    }
}

impl Default for Uploader {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Uploader {
    /// That sends at most so many bytes a second to all together.
    #[must_use]
    pub fn new(limit: Option<u64>) -> Self {
        Self {
            served: BTreeMap::new(),
            turns: VecDeque::new(),
            waiting: VecDeque::new(),
            wants: BTreeMap::new(),
            rate: limit.map(|limit| Rate::new(limit, Duration::ZERO)),
            output: Output::default(),
            next: 0,
        }
    }

    /// Sends at most so many bytes a second to all together from now on.
    pub fn limit_to(&mut self, limit: Option<u64>, now: Duration) {
        self.rate = limit.map(|limit| Rate::new(limit, now));
    }

    /// A peer wants so many bytes, at most 256 KiB; what its leave will be called. None if it, or all together, want too much.
    pub fn want(&mut self, peer: PeerId, len: u64, now: Duration) -> Option<u64> {
        let len = len.min(QUANTUM);
        if !self.wants.contains_key(&peer) {
            if self.wants.len() >= SLOTS.1 + MAX_WAITING {
                return None;
            }
            if !self.served.contains_key(&peer) && !self.waiting.contains(&peer) {
                self.waiting.push_back(peer);
            }
        }
        let wants = self.wants.entry(peer).or_default();
        if wants.len() >= MAX_WANTS {
            return None;
        }
        let id = self.next;
        self.next += 1;
        wants.push_back(Want { id, len });
        if let Some(served) = self.served.get_mut(&peer) {
            served.last = now;
        }
        Some(id)
    }

    /// So much of what was given leave is sent, or is not any more.
    pub fn sent(&mut self, peer: PeerId, len: u64, now: Duration) {
        self.output.add(len, now);
        if let Some(served) = self.served.get_mut(&peer) {
            served.under_way = served.under_way.saturating_sub(len);
            served.last = now;
        }
    }

    /// A want that has no leave yet is none any more.
    pub fn withdraw(&mut self, peer: PeerId, id: u64) {
        if let Some(wants) = self.wants.get_mut(&peer) {
            wants.retain(|want| want.id != id);
            if wants.is_empty() {
                self.wants.remove(&peer);
                self.waiting.retain(|waiting| *waiting != peer);
            }
        }
    }

    /// How many are served before a peer that waits; 0 if it is served.
    #[must_use]
    pub fn place(&self, peer: PeerId) -> u32 {
        let place = self.waiting.iter().position(|waiting| *waiting == peer);
        place.map_or(0, |place| place as u32 + 1)
    }

    /// Gives leave to send, in this order: to whom, what it is called, and for how much.
    pub fn poll(&mut self, now: Duration) -> Vec<(PeerId, u64, u64)> {
        self.make_room(now);
        let mut leave = Vec::new();
        // A turn in which nobody could send is the last.
        let mut idle = 0;
        while idle < self.turns.len() && self.may_send(now) {
            let Some(peer) = self.turns.pop_front() else {
                break;
            };
            self.turns.push_back(peer);
            let given = self.turn(peer, now, &mut leave);
            idle = if given { 0 } else { idle + 1 };
        }
        leave
    }

    /// When to poll again, if nothing happens before; none if there is nothing to wait for.
    #[must_use]
    pub fn next_poll(&self, now: Duration) -> Option<Duration> {
        if self.wants.is_empty() {
            return None;
        }
        let rotation = (!self.waiting.is_empty()).then(|| now + REST);
        let refilled = self.rate.as_ref().filter(|rate| rate.left <= 0.0);
        let refilled = refilled
            .map(|rate| rate.at + Duration::from_secs_f64(-rate.left / rate.per_second as f64));
        let refilled = refilled.map(|at| at.max(now) + Duration::from_millis(1));
        [rotation, refilled].into_iter().flatten().min()
    }

    /// A peer's turn: whether it may send anything.
    fn turn(&mut self, peer: PeerId, now: Duration, leave: &mut Vec<(PeerId, u64, u64)>) -> bool {
        let Some(served) = self.served.get_mut(&peer) else {
            return false;
        };
        let Some(wants) = self.wants.get_mut(&peer) else {
            // What was not used is not saved.
            served.deficit = 0;
            return false;
        };
        let (few, more) = AT_ONCE_OF_FEW;
        let at_once = if self.turns.len() > few {
            AT_ONCE
        } else {
            more
        };
        served.deficit += QUANTUM;
        let mut given = false;
        while let Some(want) = wants.front().copied() {
            if want.len > served.deficit || served.under_way >= at_once {
                break;
            }
            wants.pop_front();
            given = true;
            served.deficit -= want.len;
            served.under_way += want.len;
            served.last = now;
            leave.push((peer, want.id, want.len));
            if let Some(rate) = &mut self.rate {
                rate.left -= want.len as f64;
            }
        }
        served.deficit = served.deficit.min(QUANTUM);
        if wants.is_empty() {
            self.wants.remove(&peer);
        }
        given
    }

    fn may_send(&mut self, now: Duration) -> bool {
        let Some(rate) = &mut self.rate else {
            return true;
        };
        let since = now.saturating_sub(rate.at).as_secs_f64();
        let per_second = rate.per_second as f64;
        rate.left = (rate.left + since * per_second).min(per_second * BURST);
        rate.at = now;
        rate.left > 0.0
    }

    /// Gives slots to who waits.
    fn make_room(&mut self, now: Duration) {
        let slots = self.output.slots();
        while !self.waiting.is_empty() {
            if self.served.len() >= slots && !self.end_a_turn(now) {
                return;
            }
            if self.served.len() >= slots {
                continue;
            }
            let Some(peer) = self.waiting.pop_front() else {
                return;
            };
            let served = Served {
                since: now,
                last: now,
                deficit: 0,
                under_way: 0,
            };
            self.served.insert(peer, served);
            self.turns.push_back(peer);
        }
    }

    /// Takes the slot of who rests or was served for longest, if that is long.
    fn end_a_turn(&mut self, now: Duration) -> bool {
        let rests = |peer: &PeerId, it: &Served| {
            it.under_way == 0 && !self.wants.contains_key(peer) && now >= it.last + REST
        };
        let over = self
            .served
            .iter()
            .filter(|(peer, it)| rests(peer, it) || now >= it.since + TURN)
            .min_by_key(|(peer, it)| (!rests(peer, it), it.since))
            .map(|(peer, _)| *peer);
        let Some(peer) = over else { return false };
        self.served.remove(&peer);
        self.turns.retain(|turn| *turn != peer);
        if self.wants.contains_key(&peer) {
            self.waiting.push_back(peer);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;

    use super::*;

    fn peer(seed: u8) -> PeerId {
        SecretKey::from_seed(&[seed; 32]).id()
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Serves whoever wants, each of them always wanting more, at a rate of the line; what each was sent.
    fn serve(
        peers: &[(PeerId, u64, u32)],
        for_ms: u64,
        mut uploader: Uploader,
    ) -> BTreeMap<PeerId, u64> {
        let mut sent = BTreeMap::new();
        let mut under_way: VecDeque<(PeerId, u64, u64)> = VecDeque::new();
        for (peer, len, streams) in peers {
            for _ in 0..*streams {
                uploader.want(*peer, *len, ms(0)).unwrap();
            }
        }
        let mut room = 0i64;
        for now in 0..for_ms {
            under_way.extend(uploader.poll(ms(now)));
            // The line carries 64 KiB each millisecond.
            room += 64 << 10;
            while room > 0
                && let Some((peer, _, len)) = under_way.pop_front()
            {
                *sent.entry(peer).or_default() += len;
                uploader.sent(peer, len, ms(now));
                uploader.want(peer, len, ms(now)).unwrap();
                room -= len as i64;
            }
        }
        sent
    }

    #[test]
    fn who_asks_for_more_at_once_or_in_smaller_pieces_gets_no_more() {
        let greedy = [
            (peer(1), 256 << 10, 2),
            (peer(2), 256 << 10, 40),
            (peer(3), 64 << 10, 40),
        ];
        let sent = serve(&greedy, 2000, Uploader::default());
        let (least, most) = (sent.values().min().unwrap(), sent.values().max().unwrap());
        assert!(*most < least * 11 / 10, "{sent:?}");
    }

    #[test]
    fn two_hundred_peers_are_all_served_within_their_turns_and_know_their_place() {
        let mut uploader = Uploader::default();
        let peers: Vec<_> = (0..200).map(peer).collect();
        for peer in &peers {
            uploader.want(*peer, 1000, ms(0)).unwrap();
        }
        assert_eq!(uploader.place(peers[199]), 200);
        uploader.poll(ms(0));
        assert_eq!(uploader.place(peers[SLOTS.0 - 1]), 0);
        assert_eq!(uploader.place(peers[199]), 200 - SLOTS.0 as u32);
        let greedy: Vec<_> = peers.iter().map(|peer| (*peer, 256 << 10, 4)).collect();
        let sent = serve(&greedy, 130_000, Uploader::default());
        let sum: u64 = sent.values().sum();
        let squares: f64 = sent.values().map(|sent| (*sent as f64).powi(2)).sum();
        let jain = (sum as f64).powi(2) / (200.0 * squares);
        assert!(sent.len() == 200 && jain > 0.95, "{jain}");
    }

    #[test]
    fn more_are_served_at_once_where_more_goes_out_and_fewer_again_where_less_does() {
        let (mut uploader, mut line) = (Uploader::default(), VecDeque::new());
        let mut now = ms(0);
        // A line that carries so many units a second, of a hundred peers that want any number.
        let mut run = |seconds: u64, units: u64| {
            for _ in 0..seconds * units {
                for seed in 0..100 {
                    let _ = uploader.want(peer(seed), QUANTUM, now);
                }
                line.extend(uploader.poll(now));
                if let Some((peer, _, len)) = line.pop_front() {
                    uploader.sent(peer, len, now);
                }
                now += Duration::from_secs(1) / units as u32;
            }
            uploader.served.len()
        };
        assert_eq!(run(10, 3), SLOTS.0);
        assert_eq!(run(30, 200), SLOTS.1);
        assert_eq!(run(90, 3), SLOTS.0);
    }

    #[test]
    fn who_stalls_holds_up_only_itself() {
        let mut uploader = Uploader::default();
        for _ in 0..10 {
            uploader.want(peer(1), QUANTUM, ms(0)).unwrap();
        }
        assert_eq!(
            uploader.poll(ms(0)).len(),
            2,
            "no more until those are sent"
        );
        uploader.want(peer(2), 1000, ms(1)).unwrap();
        assert_eq!(uploader.poll(ms(1)).len(), 1);
        assert_eq!(uploader.poll(ms(2)), []);
    }

    #[test]
    fn a_limit_holds_for_all_together() {
        let limited = Uploader::new(Some(10 << 20));
        let greedy: Vec<_> = (0..4).map(|seed| (peer(seed), 256 << 10, 4)).collect();
        let sent: u64 = serve(&greedy, 4000, limited).values().sum();
        let most = (40 << 20) + (4 << 20);
        assert!((36 << 20..most).contains(&sent), "{sent}");
    }

    #[test]
    fn what_is_wanted_is_bounded_and_what_is_withdrawn_takes_no_turn() {
        let mut uploader = Uploader::default();
        let ids: Vec<_> = std::iter::from_fn(|| uploader.want(peer(1), 1, ms(0))).collect();
        assert_eq!(ids.len(), MAX_WANTS);
        for id in ids {
            uploader.withdraw(peer(1), id);
        }
        assert_eq!(uploader.poll(ms(1)), []);
        assert_eq!(uploader.next_poll(ms(1)), None);
    }
}

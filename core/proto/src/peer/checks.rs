//! Probing the peer's candidates: connectivity checks in the sense of RFC 8445 section 6, without its pacing and roles.
//!
//! The order in which the two NATs are opened matters: a packet that reaches a NAT before that NAT's own side has sent
//! something out can spoil the port there. So whoever cannot know that the other side has opened sends with a TTL that only
//! gets through its own NATs.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use rand::Rng;

use super::{Context, earned::Earned};
use crate::{
    PeerId,
    io::{Pair, Sock},
    timing::{
        LATE, MAX_PEER_REFLEXIVE, MAX_PROBES, PROBE_GAPS, PROBE_PACING, ROUND, TIMED_PROBES,
        UNATTESTED_PROBES,
    },
    wire::candidate::{Candidate, CandidateKind},
};

/// The checks of the current or last round.
#[derive(Default)]
pub(super) struct Checks {
    list: Vec<Check>,
    /// When the round ends.
    end: Option<Instant>,
    /// How often it began again.
    restarts: u32,
    /// Requests sent in this round, and answers to them.
    sent: u32,
    answered: u32,
}

/// One candidate pair.
struct Check {
    pair: Pair,
    /// Nobody named the address; an authentic probe came from there.
    reflexive: bool,
    /// A relay sees the peer at this IP address.
    attested: bool,
    /// Until then probes only open our own NATs.
    full_ttl_from: Instant,
    /// When the next probe leaves; none when there is no need.
    next: Option<Instant>,
    /// Position in [`PROBE_GAPS`].
    step: usize,
    probes: u32,
    /// Of those, the answered ones.
    answers: u32,
    /// When the last one left.
    last: Option<Instant>,
    /// Authentic requests that came from there.
    heard: u32,
    pending: Vec<(u64, Instant)>,
    /// Round trip, once an answer came back.
    rtt: Option<Duration>,
    /// Answers that were slower than the relay.
    slow: u32,
    /// The peer's data comes from there; whether ours can go there has yet to be proven.
    nominated: bool,
}

/// How often a path that is slower than the relay is measured again in a round.
const MAX_SLOW: u32 = 4;

/// How often a round begins again: on a computer that never has time it has to end all the same, as the next one starts afresh.
const MAX_RESTARTS: u32 = 4;

/// What the probes of one peer are paid with, and what decides where they go.
pub(super) struct Means<'a> {
    pub(super) peer: PeerId,
    pub(super) earned: &'a mut Earned,
    /// Where relays see the peer.
    pub(super) attested: Vec<IpAddr>,
    /// Our hello is unanswered.
    pub(super) is_calling: bool,
}

/// A probe that is to be sent; with a TTL if it is only to open our own NATs.
pub(super) struct Question {
    pub(super) pair: Pair,
    pub(super) ttl: Option<u8>,
    pub(super) tx: u64,
}

/// A pair as others see it.
pub(super) struct Seen {
    pub(super) pair: Pair,
    pub(super) reflexive: bool,
    pub(super) rtt: Option<Duration>,
    pub(super) sent: u32,
    pub(super) answered: u32,
    pub(super) heard: u32,
    pub(super) next: Option<Instant>,
    pub(super) last: Option<Instant>,
}

/// What an answer tells.
pub(super) struct Answered {
    pub(super) rtt: Duration,
    /// The peer's data already came from there.
    pub(super) nominated: bool,
}

impl Check {
    fn new(pair: Pair, full_ttl_from: Instant, attested: bool) -> Self {
        Self {
            pair,
            reflexive: false,
            attested,
            full_ttl_from,
            next: None,
            step: first_step(attested),
            probes: 0,
            answers: 0,
            last: None,
            heard: 0,
            pending: Vec::new(),
            rtt: None,
            slow: 0,
            nominated: false,
        }
    }

    /// Counts probes anew, the gaps between which begin there.
    fn begin(&mut self, step: usize) {
        (self.step, self.probes, self.answers) = (step, 0, 0);
    }

    /// Whether its answers were too slow so far, and it is worth while to ask it again.
    fn is_too_slow(&self) -> bool {
        (1..MAX_SLOW).contains(&self.slow)
    }

    /// Whether a probe left not longer ago than that.
    fn waits(&self, now: Instant, patience: Duration) -> bool {
        let last = self.pending.last();
        last.is_some_and(|(_, sent)| now < *sent + patience)
    }
}

impl Checks {
    pub(super) fn next(&self) -> Option<Instant> {
        self.list.iter().filter_map(|check| check.next).min()
    }

    /// When the round ends that is going on.
    pub(super) fn end(&self) -> Option<Instant> {
        self.end
    }

    /// Whether a round is going on.
    pub(super) fn is_on(&self) -> bool {
        self.end.is_some()
    }

    /// Requests sent in this round, and answers to them.
    pub(super) fn counts(&self) -> (u32, u32) {
        (self.sent, self.answered)
    }

    /// All pairs, in the order in which they are probed.
    pub(super) fn seen(&self) -> impl Iterator<Item = Seen> {
        self.list.iter().map(|check| Seen {
            pair: check.pair,
            reflexive: check.reflexive,
            rtt: check.rtt,
            sent: check.probes,
            // One may come late, when a new round has begun.
            answered: check.answers.min(check.probes),
            heard: check.heard,
            next: check.next,
            last: check.last,
        })
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    #[cfg(any(test, feature = "_fuzzing"))]
    pub(super) fn footprint(&self) -> usize {
        let pending: usize = self
            .list
            .iter()
            .map(|check| super::footprint::of(&check.pending))
            .sum();
        super::footprint::of(&self.list) + pending
    }

    fn position(&self, pair: Pair) -> Option<usize> {
        self.list.iter().position(|check| check.pair == pair)
    }

    pub(super) fn remove(&mut self, pair: Pair) {
        self.list.retain(|check| check.pair != pair);
    }

    /// These sockets are closed: nothing more is asked from them.
    pub(super) fn forget(&mut self, closed: &[Sock]) {
        self.list.retain(|check| !closed.contains(&check.pair.sock));
    }

    /// Asks those that answered before again, at once.
    pub(super) fn wake_proven(&mut self, now: Instant) {
        for check in self.list.iter_mut().filter(|check| check.rtt.is_some()) {
            check.next = Some(now);
            check.begin(0);
        }
    }

    /// Lists this one, which is asked now.
    pub(super) fn list(&mut self, now: Instant, pair: Pair, attested: &[IpAddr]) {
        if self.position(pair).is_none() {
            let attested = attested.contains(&pair.addr.ip());
            self.list.push(Check::new(pair, now, attested));
        }
        self.wake(now, pair);
    }

    /// Lists no others any more.
    pub(super) fn retain(&mut self, is_kept: impl Fn(Pair) -> bool) {
        self.list.retain(|check| is_kept(check.pair));
    }

    /// The best of those that answered, and its round trip.
    pub(super) fn best<K: Ord>(
        &self,
        rank: impl Fn(Pair, Duration) -> K,
    ) -> Option<(Pair, Duration)> {
        let answered = self.list.iter();
        let answered = answered.filter_map(|check| Some((check.pair, check.rtt?)));
        answered.min_by_key(|(pair, rtt)| rank(*pair, *rtt))
    }

    /// Asks this one now, whatever came of it before.
    pub(super) fn wake(&mut self, now: Instant, pair: Pair) {
        if let Some(position) = self.position(pair) {
            let check = &mut self.list[position];
            check.next = Some(now);
            check.begin(0);
            check.full_ttl_from = check.full_ttl_from.min(now);
        }
    }

    /// The round trip of a pair that answered.
    pub(super) fn rtt(&self, pair: Pair) -> Option<Duration> {
        self.list.iter().find(|check| check.pair == pair)?.rtt
    }

    /// The peer's data comes from this pair, and from no other.
    pub(super) fn note_use(&mut self, pair: Pair) {
        for check in &mut self.list {
            check.nominated = check.pair == pair;
        }
    }

    /// Has the best of those that answered before, but for the one in use, asked now. One that did not answer the last two
    /// times is no longer among them. Returns whether there is any.
    pub(super) fn ask_spare<K: Ord>(
        &mut self,
        now: Instant,
        used: Pair,
        rank: impl Fn(Pair, Duration) -> K,
    ) -> bool {
        for check in self
            .list
            .iter_mut()
            .filter(|check| check.pending.len() >= 2)
        {
            check.rtt = check.rtt.filter(|_| check.pair == used);
        }
        let proven = self
            .list
            .iter_mut()
            .filter(|check| check.pair != used && check.rtt.is_some());
        let Some(best) = proven.min_by_key(|check| check.rtt.map(|rtt| rank(check.pair, rtt)))
        else {
            return false;
        };
        best.next = Some(now);
        best.begin(PROBE_GAPS.len());
        true
    }

    /// Lists these candidates to be probed, most promising first. The peer has opened its NATs for us, or will have by then; an
    /// address that nobody named is waited for as long as `patience`. They belong to no round before [`Self::begin_round`].
    pub(super) fn fill(
        &mut self,
        now: Instant,
        targets: &[Candidate],
        attested: &[IpAddr],
        (full_ttl_from, patience): (Instant, Duration),
    ) {
        let mut old = std::mem::take(self);
        for (position, candidate) in targets.iter().enumerate() {
            let certain = candidate.open || candidate.kind == CandidateKind::Host;
            let from = if certain { now } else { full_ttl_from };
            let pair = Pair::main(candidate.addr);
            let mut check = Check::new(pair, from, attested.contains(&candidate.addr.ip()));
            check.next = Some(now + PROBE_PACING * position as u32);
            if let Some(known) = old.position(pair) {
                check.pending = std::mem::take(&mut old.list[known].pending);
                check.last = old.list[known].last;
            }
            self.list.push(check);
        }
        // An address that nobody named may be about to answer: the peer's probe can be faster than its word.
        let waits =
            |check: &Check| check.reflexive && check.rtt.is_none() && check.waits(now, patience);
        let kept = old.list.into_iter().filter(waits).map(|check| Check {
            attested: attested.contains(&check.pair.addr.ip()),
            ..check
        });
        self.list.extend(kept);
    }

    /// What was listed is a round now.
    pub(super) fn begin_round(&mut self, now: Instant) {
        self.end = Some(now + ROUND);
    }

    /// Begins the round again, for those that have not answered, if something of it was due long ago: we had no time for it, nor
    /// for answers.
    pub(super) fn make_up(&mut self, now: Instant) {
        let due = self.list.iter().filter_map(|check| check.next);
        let due = due.chain(self.end).min();
        let late = due.is_some_and(|due| now > due + LATE);
        if self.end.is_none() || self.restarts >= MAX_RESTARTS || !late {
            return;
        }
        self.restarts += 1;
        self.end = Some(now + ROUND);
        let silent = self.list.iter_mut().filter(|check| check.rtt.is_none());
        for (position, check) in silent.enumerate() {
            check.next = Some(now + PROBE_PACING * position as u32);
            check.begin(first_step(check.attested));
        }
    }

    /// Says what is to be asked now.
    pub(super) fn ask_due(
        &mut self,
        ctx: &mut Context<'_>,
        means: &mut Means<'_>,
    ) -> Vec<Question> {
        let due = |check: &Check| check.next.is_some_and(|at| at <= ctx.now);
        let due: Vec<usize> = (0..self.list.len())
            .filter(|position| due(&self.list[*position]))
            .collect();
        due.into_iter()
            .filter_map(|position| self.ask(ctx, means, position))
            .collect()
    }

    /// Whether the round is over, and if so, whether anything was answered.
    pub(super) fn take_end(&mut self, now: Instant) -> Option<bool> {
        self.end.filter(|end| *end <= now)?;
        self.settle();
        Some(self.answered > 0)
    }

    /// Probes nothing more: a path was found.
    pub(super) fn settle(&mut self) {
        self.end = None;
        for check in &mut self.list {
            check.next = None;
        }
    }

    /// The answer was too slow to be of use, maybe because one of us had no time: asks again, but not for ever.
    pub(super) fn measure_again(&mut self, now: Instant, pair: Pair) {
        let Some(position) = self.position(pair) else {
            return;
        };
        let check = &mut self.list[position];
        if check.slow < MAX_SLOW {
            check.slow += 1;
            check.next = Some(now);
            check.probes = check.probes.min(MAX_PROBES - 1);
        }
    }

    /// An authentic message came from there, whether anybody named the address or not. Returns whether it is one to be asked.
    pub(super) fn note_source(
        &mut self,
        now: Instant,
        source: Pair,
        used: Option<Pair>,
        attested: &[IpAddr],
    ) -> bool {
        if self.position(source).is_some() {
            return true;
        }
        let reflexive = self.list.iter().filter(|check| check.reflexive).count();
        if !source.sock.is_tcp() && reflexive >= MAX_PEER_REFLEXIVE {
            // The peer's NAT gave it ever new ports: the oldest has had its day.
            let over = self.list.iter().position(|check| {
                check.reflexive && Some(check.pair) != used && !check.waits(now, ROUND)
            });
            let Some(over) = over else { return false };
            self.list.remove(over);
        }
        let attested = attested.contains(&source.addr.ip());
        self.list.push(Check {
            reflexive: !source.sock.is_tcp(),
            ..Check::new(source, now, attested)
        });
        true
    }

    /// Asks whom an authentic message came from, unless that is being done: the way is open.
    pub(super) fn ask_back(
        &mut self,
        ctx: &mut Context<'_>,
        means: &mut Means<'_>,
        source: Pair,
        used: Option<Pair>,
    ) -> Option<Question> {
        let position = self.position(source)?;
        let check = &mut self.list[position];
        check.full_ttl_from = ctx.now;
        check.heard += 1;
        let is_asked = check.pending.last().is_some_and(|(_, at)| *at >= ctx.now);
        let is_known = check.rtt.is_some() && !check.is_too_slow() || used == Some(source);
        if is_asked || is_known {
            return None;
        }
        check.step = first_step(check.attested);
        self.ask(ctx, means, position)
    }

    /// Takes the answer to a check, if it is one that is waited for.
    pub(super) fn on_answer(&mut self, now: Instant, source: Pair, tx: u64) -> Option<Answered> {
        let position = self.position(source)?;
        let check = &mut self.list[position];
        let mut pending = check.pending.iter();
        let found = pending.position(|(pending, _)| *pending == tx)?;
        let (_, sent) = check.pending[found];
        let rtt = now.saturating_duration_since(sent);
        check.rtt = Some(rtt);
        check.answers += 1;
        check.next = None;
        check.pending.clear();
        let nominated = std::mem::take(&mut check.nominated);
        self.note_answer();
        Some(Answered { rtt, nominated })
    }

    /// Something of this round was answered.
    pub(super) fn note_answer(&mut self) {
        self.answered += 1;
    }

    fn ask(
        &mut self,
        ctx: &mut Context<'_>,
        means: &mut Means<'_>,
        position: usize,
    ) -> Option<Question> {
        let check = &mut self.list[position];
        let timed = timed_probe(ctx.now, check.full_ttl_from).filter(|_| means.is_calling);
        let gap = PROBE_GAPS.get(check.step).copied();
        check.step += 1;
        check.next = gap
            .filter(|_| check.probes < MAX_PROBES)
            .map(|gap| timed.unwrap_or(ctx.now + gap));
        if check.probes >= MAX_PROBES {
            return None;
        }
        if !self.affords(ctx, means, position) || !ctx.budget.take(ctx.now) {
            return None;
        }
        let check = &mut self.list[position];
        let ttl = (ctx.now < check.full_ttl_from).then(|| ctx.local.low_ttl(check.pair.addr));
        let (pair, tx) = (check.pair, ctx.rng.random());
        check.probes += 1;
        check.last = Some(ctx.now);
        // What an earlier round asked is worth no memory.
        if check.pending.len() >= MAX_PROBES as usize {
            check.pending.remove(0);
        }
        check.pending.push((tx, ctx.now));
        self.sent += 1;
        Some(Question { pair, ttl, tx })
    }

    /// Pays for a probe. An address that no relay attests may be a victim's until the peer has answered there: it gets a few, and
    /// one more for each that came from there, and some for a hello or its answer. One that nobody named may be where somebody on
    /// the path sends copies from: with the answer, it gets three packets for one.
    fn affords(&self, ctx: &mut Context<'_>, means: &mut Means<'_>, position: usize) -> bool {
        let check = &self.list[position];
        let ip = check.pair.addr.ip();
        // TLS proved the peer on a TCP connection, and it costs a victim nothing.
        if check.pair.sock.is_tcp() {
            return true;
        }
        // We may have moved since the list was made.
        if !check.reflexive && !ctx.local.may_probe(check.pair.addr, &means.attested) {
            return false;
        }
        if check.rtt.is_some() || check.attested {
            return check.rtt.is_some() || means.earned.pay(true);
        }
        if means.earned.has_answered(check.pair.addr) {
            return means.earned.pay(false);
        }
        if means.earned.pay_met(check.pair.addr) {
            return true;
        }
        let there = || self.list.iter().filter(|at| at.pair.addr.ip() == ip);
        let sent: u32 = there().map(|other| other.probes).sum();
        let heard: u32 = there().map(|other| other.heard).sum();
        let due = if check.reflexive {
            2 * heard
        } else {
            UNATTESTED_PROBES + heard
        };
        sent < due && means.earned.pay(false) && ctx.budget.take_unattested(ctx.now, means.peer, ip)
    }
}

/// While our hello is unanswered, probes after the first wait for the moment at which the peer has just opened.
fn timed_probe(now: Instant, opens: Instant) -> Option<Instant> {
    TIMED_PROBES
        .iter()
        .map(|offset| opens + (*offset - TIMED_PROBES[0]))
        .find(|at| *at > now)
}

/// Where in [`PROBE_GAPS`] the probing begins: the few probes that an unattested address gets are spread out.
fn first_step(attested: bool) -> usize {
    if attested { 0 } else { 3 }
}

//! Probing the peer's candidates: connectivity checks in the sense of RFC 8445 section 6, without its pacing and roles.
//!
//! The order in which the two NATs are opened matters: a packet that reaches a NAT before that NAT's own side has sent
//! something out can spoil the port there. So whoever cannot know that the other side has opened sends with a TTL that only
//! gets through its own NATs.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use rand::Rng;

use super::{Context, Peer, send};
use crate::{
    PeerState,
    addr::Scope,
    io::{Pair, Sock},
    timing::{
        LATE, LOW_TTL_FOR, MAX_LOCAL, MAX_PROBES, PROBE_GAPS, PROBE_PACING, ROUND, TIMED_PROBES,
        UNATTESTED_PROBES,
    },
    wire::{
        candidate::{Candidate, CandidateKind, MAX_CANDIDATES},
        probe::{Probe, ProbeKind},
    },
};

/// The checks of the current or last round.
#[derive(Default)]
pub(super) struct Checks {
    pub(super) list: Vec<Check>,
    /// When the round ends.
    pub(super) end: Option<Instant>,
    /// How often it began again.
    restarts: u32,
    /// Requests sent in this round, and answers to them.
    pub(super) sent: u32,
    pub(super) answered: u32,
}

/// One candidate pair.
pub(super) struct Check {
    pub(super) pair: Pair,
    /// Nobody named the address; an authentic probe came from there.
    pub(super) reflexive: bool,
    /// A relay sees the peer at this IP address.
    pub(super) attested: bool,
    /// Until then probes only open our own NATs.
    pub(super) full_ttl_from: Instant,
    /// When the next probe leaves; none when there is no need.
    pub(super) next: Option<Instant>,
    /// Position in [`PROBE_GAPS`].
    pub(super) step: usize,
    pub(super) probes: u32,
    /// Authentic requests that came from there.
    pub(super) heard: u32,
    pub(super) pending: Vec<(u64, Instant)>,
    /// Round trip, once an answer came back.
    pub(super) rtt: Option<Duration>,
    /// Answers that were slower than the relay.
    pub(super) slow: u32,
    /// The peer's data comes from there; whether ours can go there has yet to be proven.
    pub(super) in_use: bool,
}

/// How often a path that is slower than the relay is measured again in a round.
const MAX_SLOW: u32 = 4;

/// How often a round begins again: on a computer that never has time it has to end all the same, as the next one starts afresh.
const MAX_RESTARTS: u32 = 4;

impl Check {
    /// Whether its answers were too slow so far, and it is worth while to ask it again.
    pub(super) fn is_too_slow(&self) -> bool {
        (1..MAX_SLOW).contains(&self.slow)
    }
}

impl Checks {
    pub(super) fn next(&self) -> Option<Instant> {
        self.list.iter().filter_map(|check| check.next).min()
    }

    /// Whether a round is going on.
    pub(super) fn is_on(&self) -> bool {
        self.end.is_some()
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

    pub(super) fn position(&self, pair: Pair) -> Option<usize> {
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
            (check.step, check.probes) = (0, 0);
        }
    }

    /// The round trip of a pair that answered.
    pub(super) fn rtt(&self, pair: Pair) -> Option<Duration> {
        self.list.iter().find(|check| check.pair == pair)?.rtt
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
        (best.step, best.probes) = (PROBE_GAPS.len(), 0);
        true
    }

    /// Whether something of a round that goes on was due long ago: we had no time for it, nor for answers.
    fn was_held_up(&self, now: Instant) -> bool {
        let due = self.list.iter().filter_map(|check| check.next);
        let due = due.chain(self.end).min();
        let late = due.is_some_and(|due| now > due + LATE);
        self.end.is_some() && self.restarts < MAX_RESTARTS && late
    }

    /// Begins the round again, for those that have not answered.
    fn begin_again(&mut self, now: Instant) {
        self.restarts += 1;
        self.end = Some(now + ROUND);
        let silent = self.list.iter_mut().filter(|check| check.rtt.is_none());
        for (position, check) in silent.enumerate() {
            check.next = Some(now + PROBE_PACING * position as u32);
            (check.step, check.probes) = (first_step(check.attested), 0);
        }
    }

    /// Probes nothing more: a path was found.
    pub(super) fn settle(&mut self) {
        self.end = None;
        for check in &mut self.list {
            check.next = None;
        }
    }
}

impl Peer {
    /// Whether a round is going on.
    pub(super) fn is_probing(&self) -> bool {
        self.checks.is_on()
    }

    /// The peer's addresses that are about to be probed, which opens our NAT for them.
    pub(super) fn opening(&self, ctx: &Context<'_>) -> Vec<SocketAddr> {
        self.targets(ctx)
            .iter()
            .map(|candidate| candidate.addr)
            .collect()
    }

    /// The peer's candidates that may be probed, most promising first.
    fn targets(&self, ctx: &Context<'_>) -> Vec<Candidate> {
        let Some(remote) = self.remote.as_ref().filter(|_| self.consents(ctx.local)) else {
            return Vec::new();
        };
        let attested = self.contact.attested_ips();
        let mut targets: Vec<Candidate> = Vec::new();
        let datagrams = |candidate: &&Candidate| candidate.kind != CandidateKind::Stream;
        for candidate in remote.candidates.iter().filter(datagrams) {
            let known = targets.iter().any(|target| target.addr == candidate.addr);
            let addr = candidate.addr;
            let allowed = ctx.local.reaches(addr) && ctx.local.may_probe(addr, &attested);
            if !known && allowed {
                targets.push(*candidate);
            }
        }
        targets
            .sort_by_key(|candidate| rank(candidate, ctx.local.is_lan(candidate.addr), &attested));
        let mut locals = 0;
        targets.retain(|candidate| {
            let local = Scope::of(candidate.addr.ip()).is_local();
            locals += usize::from(local);
            !local || locals <= MAX_LOCAL
        });
        targets.truncate(MAX_CANDIDATES);
        targets
    }

    /// The peer named other candidates: probes them, or soon if it does so all the time.
    pub(super) fn called_for(&mut self, ctx: &mut Context<'_>, opened: bool) {
        match self.state {
            PeerState::Relayed | PeerState::Punch | PeerState::Direct | PeerState::Suspect => {
                if self.called.begin(ctx.now, opened) {
                    self.begin_checks(ctx, opened);
                }
            }
            PeerState::Idle | PeerState::Intro | PeerState::Failed | PeerState::Unknown => {}
        }
    }

    /// Before the peer has answered, but with its candidates at hand from an earlier round: opens our NAT at once, and probes
    /// when the peer should just have opened its own.
    pub(super) fn begin_early_checks(&mut self, ctx: &mut Context<'_>) {
        if self
            .sessions
            .attempt
            .as_ref()
            .is_none_or(|attempt| attempt.initiation.is_none())
        {
            return;
        }
        let peer_opens = self
            .contact
            .relay_rtt()
            .map(|rtt| ctx.now + rtt / 2 + TIMED_PROBES[0]);
        self.fill_checks(ctx, peer_opens.unwrap_or(ctx.now + LOW_TTL_FOR));
    }

    /// Probes all candidates. The peer has opened its NATs for us, or has yet to do it.
    pub(super) fn begin_checks(&mut self, ctx: &mut Context<'_>, peer_opened: bool) {
        if !self.consents(ctx.local) {
            if self.path.is_none() {
                self.relayed(ctx);
            }
            return;
        }
        let wait = LOW_TTL_FOR.max(self.contact.relay_rtt().unwrap_or_default());
        self.fill_checks(ctx, if peer_opened { ctx.now } else { ctx.now + wait });
        self.checks.end = Some(ctx.now + ROUND);
        self.consider_guessing(ctx);
        self.plan_streams(ctx);
    }

    fn fill_checks(&mut self, ctx: &mut Context<'_>, full_ttl_from: Instant) {
        let targets = self.targets(ctx);
        let attested = self.contact.attested_ips();
        self.plan_effort(&targets);
        self.earned.begin_round(ctx.now);
        let mut old = std::mem::take(&mut self.checks);
        for (position, candidate) in targets.iter().enumerate() {
            let certain = candidate.open || candidate.kind == CandidateKind::Host;
            let pair = Pair::main(candidate.addr);
            let check = Check {
                pair,
                reflexive: false,
                attested: attested.contains(&candidate.addr.ip()),
                full_ttl_from: if certain { ctx.now } else { full_ttl_from },
                next: Some(ctx.now + PROBE_PACING * position as u32),
                step: first_step(attested.contains(&candidate.addr.ip())),
                probes: 0,
                heard: 0,
                pending: Vec::new(),
                rtt: None,
                slow: 0,
                in_use: false,
            };
            self.checks.list.push(match old.position(pair) {
                Some(known) => Check {
                    pending: std::mem::take(&mut old.list[known].pending),
                    ..check
                },
                None => check,
            });
        }
        // An address that nobody named may be about to answer: the peer's probe can be faster than its word.
        let patience = self.contact.relay_rtt().map_or(ROUND, |rtt| rtt * 2);
        let waits = |check: &Check| {
            let last = check.pending.last();
            let waiting = last.is_some_and(|(_, sent)| ctx.now < *sent + patience);
            check.reflexive && check.rtt.is_none() && waiting
        };
        let kept = old.list.into_iter().filter(waits).map(|check| Check {
            attested: attested.contains(&check.pair.addr.ip()),
            ..check
        });
        self.checks.list.extend(kept);
        self.checks_timeout(ctx);
    }

    pub(super) fn checks_timeout(&mut self, ctx: &mut Context<'_>) {
        if self.path.is_none() && self.checks.was_held_up(ctx.now) {
            self.checks.begin_again(ctx.now);
        }
        for position in 0..self.checks.list.len() {
            if self.checks.list[position]
                .next
                .is_some_and(|at| at <= ctx.now)
            {
                self.send_check(ctx, position);
            }
        }
        if self.checks.end.is_some_and(|end| end <= ctx.now) {
            self.checks.settle();
            if self.checks.answered == 0 {
                self.effort.held_back = None;
            }
            if self.path.is_none() && !self.guess.is_on() {
                self.reroll(ctx);
                self.relayed(ctx);
            } else if self.on_stream() {
                self.schedule_round(ctx);
            }
        }
    }

    /// The answer was too slow to be of use, maybe because one of us had no time: asks again, but not for ever.
    pub(super) fn measure_again(&mut self, ctx: &Context<'_>, pair: Pair) {
        let Some(position) = self.checks.position(pair) else {
            return;
        };
        let check = &mut self.checks.list[position];
        if check.slow < MAX_SLOW {
            check.slow += 1;
            check.next = Some(ctx.now);
            check.probes = check.probes.min(MAX_PROBES - 1);
        }
    }

    pub(super) fn send_check(&mut self, ctx: &mut Context<'_>, position: usize) {
        let timed = self.timed_probe(ctx, position);
        let check = &mut self.checks.list[position];
        let gap = PROBE_GAPS.get(check.step).copied();
        check.step += 1;
        check.next = gap
            .filter(|_| check.probes < MAX_PROBES)
            .map(|gap| timed.unwrap_or(ctx.now + gap));
        if check.probes >= MAX_PROBES {
            return;
        }
        if !self.affords(ctx, position) || !ctx.budget.take(ctx.now) {
            return;
        }
        let check = &mut self.checks.list[position];
        let ttl = (ctx.now < check.full_ttl_from).then(|| ctx.local.low_ttl(check.pair.addr));
        let (pair, tx) = (check.pair, ctx.rng.random());
        check.probes += 1;
        // What an earlier round asked is worth no memory.
        if check.pending.len() >= MAX_PROBES as usize {
            check.pending.remove(0);
        }
        check.pending.push((tx, ctx.now));
        self.checks.sent += 1;
        self.effort.sent += 1;
        let probe = Probe {
            kind: ProbeKind::Request,
            tx,
            observed: pair.addr,
        };
        if let Some(bytes) = self.sessions.seal_check(&probe) {
            send(ctx, pair, ttl, bytes);
        }
    }

    /// Pays for a probe. An address that no relay attests may be a victim's until the peer has answered there: it gets a few, and
    /// one more for each that came from there. One that nobody named may be where somebody on the path sends copies from: with
    /// the answer, it gets three packets for one.
    fn affords(&mut self, ctx: &mut Context<'_>, position: usize) -> bool {
        let check = &self.checks.list[position];
        let ip = check.pair.addr.ip();
        // TLS proved the peer on a stream, and it costs a victim nothing.
        if check.pair.sock.is_stream() {
            return true;
        }
        // We may have moved since the list was made.
        let allowed = check.reflexive
            || ctx
                .local
                .may_probe(check.pair.addr, &self.contact.attested_ips());
        if !allowed {
            return false;
        }
        if check.rtt.is_some() || check.attested {
            return check.rtt.is_some() || self.earned.pay(true);
        }
        let there = || {
            self.checks
                .list
                .iter()
                .filter(|other| other.pair.addr.ip() == ip)
        };
        if self.earned.has_answered(check.pair.addr) {
            return self.earned.pay(false);
        }
        let sent: u32 = there().map(|other| other.probes).sum();
        let heard: u32 = there().map(|other| other.heard).sum();
        let due = if check.reflexive {
            2 * heard
        } else {
            UNATTESTED_PROBES + heard
        };
        sent < due && self.earned.pay(false) && ctx.budget.take_unattested(ctx.now, self.id, ip)
    }

    /// While our hello is unanswered, probes after the first wait for the moment at which the peer has just opened.
    fn timed_probe(&self, ctx: &Context<'_>, position: usize) -> Option<Instant> {
        self.sessions.attempt.as_ref()?;
        let opens = self.checks.list[position].full_ttl_from;
        TIMED_PROBES
            .iter()
            .map(|offset| opens + (*offset - TIMED_PROBES[0]))
            .find(|at| *at > ctx.now)
    }
}

/// Where in [`PROBE_GAPS`] the probing begins: the few probes that an unattested address gets are spread out.
pub(super) fn first_step(attested: bool) -> usize {
    if attested { 0 } else { 3 }
}

/// The order in which candidates are probed, best first.
fn rank(candidate: &Candidate, lan: bool, attested: &[IpAddr]) -> u8 {
    let seen = attested.contains(&candidate.addr.ip());
    match (candidate.kind, candidate.addr) {
        (CandidateKind::Host, _) if lan => 0,
        (CandidateKind::Host, SocketAddr::V6(_)) => 1,
        (CandidateKind::Mapped, _) => 2,
        (CandidateKind::Reflexive, _) if seen => 3,
        (CandidateKind::Host | CandidateKind::Reflexive | CandidateKind::Stream, _) => 4,
    }
}

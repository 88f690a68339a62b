//! The addresses of a peer's that are or were probed, for those who want to see them.

use std::time::{Duration, Instant};

use super::{Peer, checks::Seen, keepalive::Measured, path::Tier};
use crate::{
    CandidatePair, PairKind, PairState,
    io::{Pair, Sock},
    local::Local,
    times::whole,
    wire::candidate::CandidateKind,
};

/// Pairs that are shown of a peer: as many as it may name.
const SHOWN: usize = 16;

impl Peer {
    /// The pair in use first, then those that answered, then the others in the order in which they are probed.
    pub(crate) fn pairs(&self, local: &Local, now: Instant) -> Vec<CandidatePair> {
        let used = self.state.path();
        let mut pairs: Vec<_> = self
            .checks
            .seen()
            .filter(|seen| used.is_none_or(|path| path.pair != seen.pair))
            .map(|seen| (seen.pair, self.pair(&seen, now)))
            .collect();
        if let Some(path) = used {
            let listed = self.checks.seen().find(|seen| seen.pair == path.pair);
            let mut pair = listed.map_or_else(
                || {
                    let kind = self.kind(path.pair, false);
                    CandidatePair::new(path.pair.addr, kind, PairState::Used)
                },
                |seen| self.pair(&seen, now),
            );
            pair.state = PairState::Used;
            pair.rtt = Some(path.rtt);
            pair.forced = self.demand.choice.is_forced(path.pair);
            let asked = path.last_probe.map(|at| ago(at, now));
            pair.last = asked.into_iter().chain(pair.last).min();
            pairs.push((path.pair, pair));
        }
        rank(&mut pairs, local);
        let mut pairs: Vec<_> = pairs.into_iter().map(|(_, pair)| pair).collect();
        let dropped = self.demand.choice.dropped().iter();
        pairs.extend(dropped.map(|it| CandidatePair::new(it.addr, it.kind, PairState::Dropped)));
        pairs.sort_by_key(|pair| pair.state);
        pairs.truncate(SHOWN);
        pairs
    }

    fn pair(&self, seen: &Seen, now: Instant) -> CandidatePair {
        let state = match seen {
            Seen { rtt: Some(_), .. } => PairState::Standby,
            Seen { next: Some(_), .. } => PairState::Probing,
            Seen { sent: 1.., .. } => PairState::Silent,
            Seen { .. } => PairState::Waiting,
        };
        let kind = self.kind(seen.pair, seen.reflexive);
        let mut pair = CandidatePair::new(seen.pair.addr, kind, state);
        pair.rtt = seen.rtt;
        pair.sent = seen.sent;
        pair.answered = seen.answered;
        pair.heard = seen.heard;
        let next = seen.next.map(|at| at.saturating_duration_since(now));
        pair.next = next.map(whole);
        pair.last = seen.last.map(|at| ago(at, now));
        pair.forced = self.demand.choice.is_forced(seen.pair);
        pair
    }

    fn kind(&self, pair: Pair, reflexive: bool) -> PairKind {
        let named = self.remote.iter().flat_map(|remote| &remote.candidates);
        let kind = named
            .filter(|candidate| candidate.addr == pair.addr)
            .map(|candidate| candidate.kind)
            .min();
        match kind {
            _ if pair.sock.is_tcp() => PairKind::Tcp,
            Some(CandidateKind::Host) => PairKind::Host,
            Some(CandidateKind::Mapped) => PairKind::Mapped,
            Some(CandidateKind::Reflexive) => PairKind::Reflexive,
            Some(CandidateKind::Stream) => PairKind::Tcp,
            None if reflexive => PairKind::PeerReflexive,
            None => PairKind::Named,
        }
    }
}

/// Numbers those that answer from the best on, and names our ends.
fn rank(pairs: &mut [(Pair, CandidatePair)], local: &Local) {
    pairs.sort_by_key(|(pair, it)| {
        let cost = it.rtt.map(|rtt| Measured { pair: *pair, rtt }.cost());
        (cost.is_none(), cost.map(|_| Tier::of(*pair, local)), cost)
    });
    let answering = pairs.iter_mut().filter(|(_, it)| it.rtt.is_some());
    for ((_, it), place) in answering.zip(1..) {
        it.rank = Some(place);
    }
    for (pair, it) in pairs {
        // Of other sockets we do not know which port they have outside.
        let end = local.end(pair.addr).filter(|_| pair.sock == Sock::MAIN);
        (it.local, it.local_kind) = end.unzip();
    }
}

fn ago(at: Instant, now: Instant) -> Duration {
    whole(now.saturating_duration_since(at))
}

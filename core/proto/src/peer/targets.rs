//! Which of the peer's candidates may be probed, and in what order.

use std::net::{IpAddr, SocketAddr};

use crate::{
    addr::Scope,
    local::Local,
    timing::MAX_LOCAL,
    wire::candidate::{Candidate, CandidateKind, MAX_CANDIDATES},
};

/// The candidates that may be probed, most promising first. Relays see the peer at the addresses that are `attested`.
pub(super) fn targets(named: &[Candidate], local: &Local, attested: &[IpAddr]) -> Vec<Candidate> {
    let mut targets: Vec<Candidate> = Vec::new();
    let datagrams = |candidate: &&Candidate| candidate.kind != CandidateKind::Stream;
    for candidate in named.iter().filter(datagrams) {
        let known = targets.iter().any(|target| target.addr == candidate.addr);
        let addr = candidate.addr;
        let allowed = local.reaches(addr) && local.may_probe(addr, attested);
        if !known && allowed {
            targets.push(*candidate);
        }
    }
    targets.sort_by_key(|candidate| rank(candidate, local.is_lan(candidate.addr), attested));
    let mut locals = 0;
    targets.retain(|candidate| {
        let is_local = Scope::of(candidate.addr.ip()).is_local();
        locals += usize::from(is_local);
        !is_local || locals <= MAX_LOCAL
    });
    targets.truncate(MAX_CANDIDATES);
    targets
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

//! A candidate: an address at which a peer may be found (RFC 8445 section 5.1.1), 20 bytes on the wire.

use std::net::SocketAddr;

use super::{
    Malformed,
    codec::{Reader, put_addr},
};

/// Candidates that one message may carry.
pub const MAX_CANDIDATES: usize = 16;

/// Where a peer may be found, and how it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a wire format")]
pub struct Candidate {
    /// The address.
    pub addr: SocketAddr,
    /// How the peer learnt it.
    pub kind: CandidateKind,
    /// Whether anybody's packet is let in there, so that no hole has to be opened first.
    pub open: bool,
}

/// How a candidate was learnt, most promising first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "a wire format")]
pub enum CandidateKind {
    /// An address of an interface.
    Host,
    /// A port that the router forwards (UPnP, PCP, NAT-PMP).
    Mapped,
    /// The address as a relay sees it (server-reflexive).
    Reflexive,
    /// An address that takes TLS over TCP, for those whose network carries no UDP. Not for datagrams.
    Stream,
}

/// Appends a count and that many candidates, at most [`MAX_CANDIDATES`].
pub(crate) fn put_candidates(out: &mut Vec<u8>, candidates: &[Candidate]) {
    let candidates = &candidates[..candidates.len().min(MAX_CANDIDATES)];
    out.push(candidates.len() as u8);
    for candidate in candidates {
        put_addr(out, candidate.addr);
        out.push(match candidate.kind {
            CandidateKind::Host => 0,
            CandidateKind::Mapped => 1,
            CandidateKind::Reflexive => 2,
            CandidateKind::Stream => 3,
        });
        out.push(u8::from(candidate.open));
    }
}

/// Reads what [`put_candidates`] wrote.
pub(crate) fn read_candidates(reader: &mut Reader<'_>) -> Result<Vec<Candidate>, Malformed> {
    let count = reader.u8()? as usize;
    if count > MAX_CANDIDATES {
        return Err(Malformed::Field("candidate count"));
    }
    (0..count).map(|_| read_candidate(reader)).collect()
}

fn read_candidate(reader: &mut Reader<'_>) -> Result<Candidate, Malformed> {
    let addr = reader.addr()?;
    let kind = match reader.u8()? {
        0 => CandidateKind::Host,
        1 => CandidateKind::Mapped,
        2 => CandidateKind::Reflexive,
        3 => CandidateKind::Stream,
        _ => return Err(Malformed::Field("candidate kind")),
    };
    let open = match reader.u8()? {
        0 => false,
        1 => true,
        _ => return Err(Malformed::Field("candidate flags")),
    };
    Ok(Candidate { addr, kind, open })
}

/// Appends a count and that many bare addresses, at most [`MAX_CANDIDATES`].
pub(crate) fn put_addrs(out: &mut Vec<u8>, addrs: &[SocketAddr]) {
    let addrs = &addrs[..addrs.len().min(MAX_CANDIDATES)];
    out.push(addrs.len() as u8);
    for addr in addrs {
        put_addr(out, *addr);
    }
}

/// Reads what [`put_addrs`] wrote.
pub(crate) fn read_addrs(reader: &mut Reader<'_>) -> Result<Vec<SocketAddr>, Malformed> {
    let count = reader.u8()? as usize;
    if count > MAX_CANDIDATES {
        return Err(Malformed::Field("address count"));
    }
    (0..count).map(|_| reader.addr()).collect()
}

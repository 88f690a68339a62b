//! What is known of a link for explaining it: what was tried, and what both sides are like.

use std::time::{Duration, Instant};

use super::{Peer, guess::Method, path::DirectPath};
use crate::{
    Evidence, Explanation, How, Kinds, NatBehavior, PeerState, SideEvidence, Tried,
    addr::{Scope, canonical},
    explain::{Facts, explain},
    io::Pair,
    local::Local,
    wire::{
        candidate::{Candidate, CandidateKind},
        intro::Description,
    },
};

/// What was done for a direct path since the dial or, if there was one, since it died.
#[derive(Default)]
pub(super) struct Effort {
    since: Option<Instant>,
    /// What it took until the path was there; whatever is tried later is for a better one.
    cost: Option<Cost>,
    pub(super) hellos: u32,
    pub(super) rounds: u32,
    probed: Kinds,
    forbidden: u32,
    pub(super) sent: u32,
    pub(super) answered: u32,
    /// Requests of the peer that came in.
    pub(super) heard: u32,
    /// Round trip of a direct path that was not taken because the relay is faster.
    pub(super) held_back: Option<Duration>,
}

/// What a direct path has cost.
#[derive(Clone, Copy)]
struct Cost {
    took: Duration,
    hellos: u32,
    rounds: u32,
    sent: u32,
    answered: u32,
}

/// What a peer tells of the network that this node is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reach {
    #[default]
    Untold,
    /// There is a direct path to it over the internet.
    Direct,
    /// Nothing came through in either direction, though the NATs would allow it.
    Silent,
}

impl Effort {
    fn begin(&mut self, now: Instant) {
        *self = Self {
            since: Some(now),
            ..Self::default()
        };
    }

    /// There is a direct path.
    pub(super) fn done(&mut self, now: Instant) {
        self.held_back = None;
        let so_far = self.so_far(now);
        self.cost.get_or_insert(so_far);
    }

    /// There is a path, but one that was only the next best: what is tried for a better one belongs to it.
    pub(super) fn go_on(&mut self) {
        self.cost = None;
    }

    fn so_far(&self, now: Instant) -> Cost {
        let since = self.since.unwrap_or(now);
        Cost {
            took: now.saturating_duration_since(since),
            hellos: self.hellos,
            rounds: self.rounds,
            sent: self.sent,
            answered: self.answered,
        }
    }
}

impl Peer {
    /// An attempt at a direct path begins.
    pub(super) fn begin_effort(&mut self, now: Instant) {
        self.effort.begin(now);
        self.guess.found = None;
    }

    /// Why the link stands as it does; none if nothing is wanted from the peer.
    pub(crate) fn explain(&self, local: &Local, now: Instant) -> Option<Explanation> {
        explain(Facts {
            state: self.state(),
            absent: self.presence.is_absent(),
            unreached: self.presence.is_unreached()
                && (self.state == PeerState::Intro || self.demand.is_awaited()),
            evidence: self.evidence(local, now),
            how: self.how(local),
            failure: self.failure.clone(),
            lost: self.history.is_lost(),
            narrow: self.history.narrow(),
            untested: self.path.as_ref().is_some_and(DirectPath::is_untested),
            port: Some(local.ports.v4).filter(|port| *port != 0),
            running: self.sessions.is_calling() || self.checks.is_on(),
            next_ms: self.rounds.next_ms(self.state, now),
            trial_ms: self.history.trials.left(now).map(millis),
            rest_ms: self.guess.rest_left(now).map(millis),
        })
    }

    /// What the link told before of the network that this node is in, and what it tells now.
    pub(crate) fn tell_reach(&mut self, local: &Local) -> (Reach, Reach) {
        let now = self.reach(local);
        (self.told.tell_reach(now), now)
    }

    fn reach(&self, local: &Local) -> Reach {
        let easy = |mapping| mapping == NatBehavior::EndpointIndependent;
        let effort = &self.effort;
        match (&self.path, &self.remote) {
            (Some(path), _) if !local.is_lan(path.pair.addr) => Reach::Direct,
            (None, Some(remote))
                if self.state == PeerState::Relayed
                    && (effort.sent, effort.answered) > (0, 0)
                    && effort.answered + effort.heard + u32::from(remote.heard) == 0
                    && easy(local.nat.mapping)
                    && easy(remote.nat.mapping) =>
            {
                Reach::Silent
            }
            _ => Reach::Untold,
        }
    }

    /// Notes which of the peer's candidates are going to be probed.
    pub(super) fn plan_effort(&mut self, targets: &[Candidate]) {
        let named = self.remote.iter().flat_map(|remote| &remote.candidates);
        let effort = &mut self.effort;
        effort.probed = kinds(targets);
        effort.forbidden = named.count().saturating_sub(targets.len()) as u32;
    }

    fn evidence(&self, local: &Local, now: Instant) -> Evidence {
        let own = self.told.reach();
        let offers = local.candidates(self.id, self.demand.is_dialled(), self.contact.attested());
        let heard = |description: &Description| u32::from(description.heard);
        Evidence {
            here: SideEvidence {
                nat: local.nat,
                mapping_public: local.mapped.map(|addr| is_public(addr.ip())),
                direct: !local.relay_only,
                guess: local.guess_ports,
                heard: self.effort.heard,
                ipv4: local.nat64.is_some() || offers.iter().any(|offer| offer.addr.is_ipv4()),
                ..offered(&offers)
            },
            there: self.remote.as_ref().map(|remote| SideEvidence {
                nat: remote.nat,
                direct: remote.direct,
                guess: remote.guess,
                heard: heard(remote),
                ..offered(&remote.candidates)
            }),
            same_router: self
                .contact
                .attested()
                .is_some_and(|addr| addr.is_ipv4() && local.is_public(addr.ip())),
            tried: self.tried(now),
            others_direct: local
                .reach
                .direct
                .saturating_sub(u32::from(own == Reach::Direct)),
            others_silent: local
                .reach
                .silent
                .saturating_sub(u32::from(own == Reach::Silent)),
            silent_ms: self.presence.silence(now).map(millis),
        }
    }

    fn tried(&self, now: Instant) -> Tried {
        let effort = &self.effort;
        let cost = effort.cost.unwrap_or_else(|| effort.so_far(now));
        let direct_rtt = self.path.as_ref().map(|path| path.rtt);
        Tried {
            took_ms: millis(cost.took),
            hellos: cost.hellos,
            rounds: cost.rounds,
            probed: effort.probed,
            forbidden: effort.forbidden,
            sent: cost.sent,
            answered: cost.answered,
            guessing: self.guess.standing(),
            relay_rtt_ms: self.contact.relay_rtt().map(millis),
            direct_rtt_ms: direct_rtt.or(effort.held_back).map(millis),
        }
    }

    fn how(&self, local: &Local) -> How {
        let Some(Pair { sock, addr }) = self.path.as_ref().map(|path| path.pair) else {
            return How::Punched;
        };
        let named = self.remote.iter().flat_map(|remote| &remote.candidates);
        let kind = named
            .filter(|candidate| candidate.addr == addr)
            .map(|candidate| candidate.kind)
            .min();
        let open_here = local.hosts().iter().any(|host| local.is_public(host.ip()));
        match kind {
            _ if sock.is_stream() => How::Tcp,
            _ if local.is_lan(addr) => How::Lan,
            _ if canonical(addr).is_ipv6() => How::Ipv6,
            Some(CandidateKind::Host) => How::Public,
            Some(CandidateKind::Mapped) => How::Mapped,
            _ if open_here => How::Public,
            None if local.mapped.is_some() && self.guess.found.is_none() => How::Mapped,
            Some(CandidateKind::Reflexive | CandidateKind::Stream) | None => match self.guess.found
            {
                Some(Method::Predicted) => How::Predicted,
                Some(Method::Birthday) => How::Birthday,
                None => How::Punched,
            },
        }
    }
}

/// What can be read off the addresses that a side offers.
fn offered(candidates: &[Candidate]) -> SideEvidence {
    let mapped = candidates
        .iter()
        .find(|candidate| candidate.kind == CandidateKind::Mapped);
    SideEvidence {
        offers: kinds(candidates),
        ipv4: candidates.iter().any(|candidate| candidate.addr.is_ipv4()),
        ipv6: candidates.iter().any(|candidate| candidate.addr.is_ipv6()),
        mapping_public: mapped.map(|candidate| is_public(candidate.addr.ip())),
        ..SideEvidence::default()
    }
}

fn kinds(candidates: &[Candidate]) -> Kinds {
    let of = |kind| {
        let same = candidates.iter().filter(|candidate| candidate.kind == kind);
        same.count() as u32
    };
    Kinds {
        host: of(CandidateKind::Host),
        mapped: of(CandidateKind::Mapped),
        reflexive: of(CandidateKind::Reflexive),
    }
}

fn is_public(ip: std::net::IpAddr) -> bool {
    Scope::of(ip) == Scope::Global
}

fn millis(time: Duration) -> u64 {
    time.as_millis() as u64
}

//! What is known of a link for explaining it: what was tried, and what both sides are like.

use std::time::{Duration, Instant};

use super::{Peer, direct::DirectPath, effort::kinds, guess::Method, state::State};
use crate::{
    Evidence, Explanation, How, NatBehavior, PathInfo, PeerState, SideEvidence, Tried,
    addr::{Scope, canonical},
    explain::{Facts, explain},
    io::Pair,
    local::{Local, Reach},
    times::whole,
    wire::{
        candidate::{Candidate, CandidateKind},
        intro::Description,
    },
};

impl Peer {
    /// The state as others see it.
    pub(crate) fn state(&self) -> PeerState {
        if self.state.is_relayed() && self.demand.shuns_relays() {
            // Nothing of the peer's is taken from there.
            return PeerState::Failed;
        }
        self.state.shown()
    }

    /// Whether the link is only kept for a moment, as its last connection has ended.
    pub(crate) fn is_ending(&self) -> bool {
        self.demand.is_released() && !self.state.is_idle()
    }

    /// The path that carries the data, and its round trip as probes measured it.
    pub(crate) fn path_info(&self, local: &Local) -> Option<(PathInfo, Option<Duration>)> {
        match &self.state {
            State::Direct(path) => {
                let info = PathInfo::Direct {
                    remote: path.pair.addr,
                    lan: local.is_lan(path.pair.addr),
                    tcp: path.pair.sock.is_tcp(),
                };
                Some((info, Some(path.rtt)))
            }
            State::Idle | State::Failed(_) => None,
            State::Greeting(_) | State::Probing | State::Relayed => Some((
                PathInfo::Relay {
                    remote: self.carrier()?.clone(),
                },
                self.contact.relay_rtt(),
            )),
        }
    }

    /// Why the link stands as it does; none if nothing is wanted from the peer.
    pub(crate) fn explain(&self, local: &Local, now: Instant) -> Option<Explanation> {
        explain(Facts {
            state: self.state(),
            policy: self.demand.policy(),
            relay_only: local.relay_only,
            absent: self.presence.is_absent(),
            unreached: self.presence.is_unreached()
                && (self.state.is_greeting() || self.demand.is_awaited()),
            evidence: self.evidence(local, now),
            how: self.how(local),
            failure: self.state.failure().cloned(),
            lost: self.history.is_lost(),
            narrow: self.history.narrow(),
            untested: self.state.path().is_some_and(DirectPath::is_untested),
            port: Some(local.ports.v4).filter(|port| *port != 0),
            running: self.sessions.is_calling() || self.checks.is_on(),
            next_in: self
                .rounds
                .next_in(self.state.is_failed() || self.demand.shuns_relays(), now)
                .map(whole),
            trial_left: self.history.probations.left(now).map(whole),
            rest_left: self.guess.rest_left(now).map(whole),
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
        match (self.state.path(), &self.remote) {
            (Some(path), _) if !local.is_lan(path.pair.addr) => Reach::Direct,
            (None, Some(remote))
                if self.state.is_relayed()
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

    fn evidence(&self, local: &Local, now: Instant) -> Evidence {
        let own = self.told.reach();
        let offers = self.offer(local);
        let heard = |description: &Description| u32::from(description.heard);
        Evidence {
            here: SideEvidence {
                nat: local.nat,
                mapping_public: local.mapped.map(|addr| is_public(addr.ip())),
                direct: !self.demand.keeps_to_relays(local),
                guess: local.guess_ports,
                heard: self.effort.heard,
                tcp: self.own_tcp_port(local),
                ipv4: local.nat64.is_some() || offers.iter().any(|offer| offer.addr.is_ipv4()),
                ..offered(&offers)
            },
            there: self.remote.as_ref().map(|remote| SideEvidence {
                nat: remote.nat,
                direct: remote.direct,
                guess: remote.guess,
                heard: heard(remote),
                tcp: self
                    .contact
                    .attested()
                    .map(|addr| addr.port())
                    .filter(|port| *port == 0),
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
            silent: self.presence.silence(now).map(whole),
            dropped: self.demand.choice.dropped().len() as u32,
            forced: (self.state.path()).is_some_and(|path| self.demand.choice.is_forced(path.pair)),
        }
    }

    /// The port by which we reach the link's relay over TCP, if we do.
    fn own_tcp_port(&self, local: &Local) -> Option<u16> {
        local.relays.get(self.contact.via()?)?.tcp_port()
    }

    fn tried(&self, now: Instant) -> Tried {
        let guessing = self.guess.standing(self.effort.found);
        let tried = self.effort.tried(now, guessing);
        let direct_rtt = self.state.path().map(|path| path.rtt);
        Tried {
            relay_rtt: self.contact.relay_rtt().map(whole),
            direct_rtt: direct_rtt.map(whole).or(tried.direct_rtt),
            ..tried
        }
    }

    fn how(&self, local: &Local) -> How {
        let Some(Pair { sock, addr }) = self.state.path().map(|path| path.pair) else {
            return How::Punched;
        };
        let named = self.remote.iter().flat_map(|remote| &remote.candidates);
        let kind = named
            .filter(|candidate| candidate.addr == addr)
            .map(|candidate| candidate.kind)
            .min();
        // A global address of IPv6, which any home may have, opens nothing to IPv4.
        let hosts = local.hosts();
        let mut hosts = hosts.iter().filter(|host| host.is_ipv4());
        let open_here = hosts.any(|host| local.is_public(host.ip()));
        match kind {
            _ if sock.is_tcp() => How::Tcp,
            _ if local.is_lan(addr) => How::Lan,
            _ if canonical(addr).is_ipv6() => How::Ipv6,
            Some(CandidateKind::Host) => How::Public,
            Some(CandidateKind::Mapped) => How::Mapped,
            _ if open_here => How::Public,
            None if local.mapped.is_some() && self.effort.found.is_none() => How::Mapped,
            Some(CandidateKind::Reflexive | CandidateKind::Stream) | None => {
                match self.effort.found {
                    Some(Method::Predicted) => How::Predicted,
                    Some(Method::Birthday) => How::Birthday,
                    None => How::Punched,
                }
            }
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

fn is_public(ip: std::net::IpAddr) -> bool {
    Scope::of(ip) == Scope::Global
}

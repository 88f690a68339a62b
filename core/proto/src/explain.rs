//! Why a link is as it is: from what is known of it to a cause, an action and the next try.

use std::time::Duration;

use crate::{
    Action, Cause, Evidence, Explanation, Guessing, How, NatBehavior, NextReason, NextTry,
    PathPolicy, PeerState, PortAllocation, Side, SideEvidence,
    io::Failure,
    plan::{Plan, plan},
};

/// What is known of a link.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) state: PeerState,
    /// Which paths are wanted to this peer.
    pub(crate) policy: PathPolicy,
    /// Whether this node uses relays only for all peers.
    pub(crate) relay_only: bool,
    pub(crate) evidence: Evidence,
    /// What the path in use was made by.
    pub(crate) how: How,
    /// Whether the relay of the link does not know the peer any more.
    pub(crate) absent: bool,
    /// Whether it is called, and that relay has it registered, but is not acknowledged by it.
    pub(crate) unreached: bool,
    /// How the last dial failed.
    pub(crate) failure: Option<Failure>,
    /// Whether a direct path died and none has come since.
    pub(crate) lost: bool,
    /// What that path carried, if it was too little for QUIC.
    pub(crate) narrow: Option<Narrow>,
    /// Whether it is yet unknown if the path in use carries QUIC's packets.
    pub(crate) untested: bool,
    /// Our port, if it is known.
    pub(crate) port: Option<u16>,
    /// Whether an attempt is running.
    pub(crate) running: bool,
    /// When the next one starts.
    pub(crate) next_in: Option<Duration>,
    /// When an address that died and answers again has stood its trial.
    pub(crate) trial_left: Option<Duration>,
    /// When ports may be guessed again after a failure.
    pub(crate) rest_left: Option<Duration>,
}

/// What a path carries that is too narrow for QUIC, in bytes of its packets with all headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Narrow {
    /// The longest that got through.
    pub(crate) carries: u16,
    /// The shortest that QUIC needs.
    pub(crate) needs: u16,
}

/// The explanation; none for a peer that nothing is wanted from.
pub(crate) fn explain(facts: Facts) -> Option<Explanation> {
    let cause = cause(&facts)?;
    Some(Explanation {
        cause,
        action: action(&facts, cause),
        next_try: next_try(&facts, cause),
        evidence: facts.evidence,
    })
}

fn cause(facts: &Facts) -> Option<Cause> {
    Some(match facts.state {
        PeerState::Idle | PeerState::Unknown => return None,
        PeerState::Direct => Cause::Direct { how: facts.how },
        PeerState::Suspect => Cause::PathSilent,
        PeerState::Intro if facts.unreached => Cause::PeerUnreached,
        PeerState::Intro => Cause::Calling,
        PeerState::Failed => match facts.failure {
            Some(Failure::Offline(_)) => Cause::PeerOffline,
            Some(Failure::Busy(_)) => Cause::PeerBusy,
            Some(Failure::Unreached(_)) => Cause::PeerUnreached,
            Some(Failure::NoRelay) => Cause::NoRelay,
            Some(Failure::NoAddress) => Cause::NoAddress,
            Some(Failure::Policy) => by_policy(facts),
            None if facts.policy == PathPolicy::DirectOnly => {
                away(facts).unwrap_or_else(|| by_policy(facts))
            }
            Some(Failure::Silent) | None => Cause::NoAnswer,
        },
        PeerState::Punch | PeerState::Relayed => relayed(facts),
    })
}

/// The user wants it so for this peer.
fn by_policy(facts: &Facts) -> Cause {
    Cause::Policy {
        policy: facts.policy,
    }
}

/// Why the peer is not there, if it is not.
fn away(facts: &Facts) -> Option<Cause> {
    if facts.absent {
        Some(Cause::PeerOffline)
    } else if facts.unreached {
        Some(Cause::PeerUnreached)
    } else {
        facts.evidence.silent.map(|_| Cause::PeerSilent)
    }
}

/// Why a link is on the relay. What is certain comes before what is concluded from silence.
fn relayed(facts: &Facts) -> Cause {
    let Evidence {
        here, there, tried, ..
    } = &facts.evidence;
    if let Some(away) = away(facts) {
        return away;
    }
    if facts.policy == PathPolicy::RelayOnly && !facts.relay_only {
        return by_policy(facts);
    }
    if !here.direct {
        return Cause::RelayOnly { side: Side::Here };
    }
    let Some(there) = there else {
        return Cause::Trying;
    };
    if !there.direct {
        return Cause::RelayOnly { side: Side::There };
    }
    let common = here.ipv4 && there.ipv4 || here.ipv6 && there.ipv6;
    if matches!(tried.guessing, Guessing::Running { .. }) {
        Cause::Guessing
    } else if facts.state == PeerState::Punch {
        Cause::Trying
    } else if facts.evidence.dropped > 0 {
        Cause::Dropped
    } else if tried.direct_rtt.is_some() {
        Cause::RelayFaster
    } else if let Some(side) = first(here, there, |side| side.tcp.is_some()) {
        // Such a side does not know its public addresses, so that none of a family says nothing.
        Cause::UdpBlocked { side }
    } else if here.offers.total() > 0 && there.offers.total() > 0 && !common {
        Cause::NoCommonFamily
    } else if let Some(Narrow { carries, needs }) = facts.narrow.filter(|_| facts.lost) {
        Cause::PathNarrow { carries, needs }
    } else if facts.lost && facts.trial_left.is_some() {
        Cause::PathOnTrial
    } else if tried.probed.total() == 0 && tried.rounds > 0 {
        Cause::NothingToProbe
    } else if facts.lost && tried.rounds == 0 {
        Cause::PathLost
    } else {
        unheard(facts, there)
    }
}

/// Why nothing came through, though there was something to probe.
fn unheard(facts: &Facts, there: &SideEvidence) -> Cause {
    let evidence = &facts.evidence;
    let here = &evidence.here;
    let silence = here.heard == 0 && there.heard == 0;
    let easy = [here, there]
        .iter()
        .all(|side| side.offers.mapped > 0 || ports(side) == Ports::Kept);
    if easy && silence && evidence.others_direct > 0 {
        Cause::UdpBlocked { side: Side::There }
    } else if easy && silence && evidence.others_silent > 0 {
        Cause::UdpBlocked { side: Side::Here }
    } else if here.offers.mapped > 0 && here.heard == 0 {
        Cause::MappingSilent { side: Side::Here }
    } else if there.offers.mapped > 0 && there.heard == 0 {
        Cause::MappingSilent { side: Side::There }
    } else if let Some(cause) = hard(facts, here, there) {
        cause
    } else if facts.lost {
        Cause::PathLost
    } else if evidence.same_router {
        Cause::SameRouter
    } else if let Some(side) = first(here, there, |side| ports(side) == Ports::Unknown) {
        Cause::NatUnknown { side }
    } else if here.heard > 0 && there.heard == 0 {
        Cause::Firewall { side: Side::There }
    } else if there.heard > 0 && here.heard == 0 {
        Cause::Firewall { side: Side::Here }
    } else {
        Cause::Silent
    }
}

/// The cause that lies in how the NATs choose ports, if it does.
fn hard(facts: &Facts, here: &SideEvidence, there: &SideEvidence) -> Option<Cause> {
    let unwilling = first(here, there, |side| !side.guess);
    match plan(here.nat, there.nat, true) {
        Plan::Punch => None,
        Plan::Hopeless => Some(match (ports(here), ports(there)) {
            (Ports::Random, Ports::Counted) => Cause::RandomAndSequential { random: Side::Here },
            (Ports::Counted, Ports::Random) => Cause::RandomAndSequential {
                random: Side::There,
            },
            _ => Cause::BothRandom,
        }),
        Plan::Open | Plan::Guess | Plan::Meet => {
            Some(match (unwilling, facts.evidence.tried.guessing) {
                (Some(side), _) => Cause::GuessingOff { side },
                (None, Guessing::Failed { .. }) => Cause::GuessingFailed,
                (None, _) => Cause::GuessingWaits,
            })
        }
    }
}

/// How a side's public ports come about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ports {
    /// One for all destinations.
    Kept,
    Counted,
    Random,
    Unknown,
}

fn ports(side: &SideEvidence) -> Ports {
    match (side.nat.mapping, side.nat.allocation) {
        (NatBehavior::EndpointIndependent, _) => Ports::Kept,
        (NatBehavior::Unknown, _) => Ports::Unknown,
        (_, PortAllocation::Sequential { .. }) => Ports::Counted,
        (_, PortAllocation::Random { .. } | PortAllocation::Unknown) => Ports::Random,
    }
}

fn first(
    here: &SideEvidence,
    there: &SideEvidence,
    is_so: impl Fn(&SideEvidence) -> bool,
) -> Option<Side> {
    if is_so(here) {
        Some(Side::Here)
    } else {
        is_so(there).then_some(Side::There)
    }
}

fn action(facts: &Facts, cause: Cause) -> Option<Action> {
    let evidence = &facts.evidence;
    let port = |side| facts.port.filter(|_| side != Some(Side::There));
    let open = |side| Action::OpenPort {
        side,
        port: port(side),
    };
    let hard = || {
        let there = evidence.there?;
        first(&evidence.here, &there, |side| ports(side) != Ports::Kept)
    };
    Some(match cause {
        Cause::NoAnswer | Cause::PeerOffline | Cause::PeerSilent => Action::StartPeer,
        Cause::NoRelay => Action::CheckRelay,
        Cause::NoAddress => Action::UseTicket,
        Cause::RelayOnly { side } => Action::AllowDirect { side },
        Cause::Policy { .. } => Action::AllowAll,
        Cause::Dropped => Action::Retry,
        Cause::NothingToProbe => Action::MapPort {
            side: Some(Side::There),
        },
        Cause::NoCommonFamily => Action::GetIpv6 {
            side: first(&evidence.here, &evidence.there?, |side| !side.ipv6)?,
        },
        Cause::BothRandom | Cause::RandomAndSequential { .. } => Action::MapPort { side: None },
        Cause::NatUnknown { side } => Action::MapPort { side: Some(side) },
        Cause::GuessingOff { side } => Action::AllowGuessing { side },
        Cause::GuessingFailed => Action::MapPort { side: hard() },
        Cause::MappingSilent { side } => {
            let mapping = match side {
                Side::Here => evidence.here.mapping_public,
                Side::There => evidence.there?.mapping_public,
            };
            match mapping {
                Some(false) => Action::PublicAddress { side },
                _ => open(Some(side)),
            }
        }
        Cause::SameRouter => Action::AllowNeighbours,
        Cause::UdpBlocked { side } => Action::AllowUdp { side },
        Cause::Firewall { side } => open(Some(side)),
        Cause::Silent => open(None),
        Cause::Direct { .. }
        | Cause::Calling
        | Cause::Called
        | Cause::PeerBusy
        | Cause::PeerUnreached
        | Cause::Trying
        | Cause::PathSilent
        | Cause::PathLost
        | Cause::PathNarrow { .. }
        | Cause::PathOnTrial
        | Cause::RelayFaster
        | Cause::Guessing
        | Cause::GuessingWaits
        | Cause::Unknown => return None,
    })
}

fn next_try(facts: &Facts, cause: Cause) -> Option<NextTry> {
    let by_policy = matches!(cause, Cause::Policy { .. });
    let settled = matches!(cause, Cause::Direct { .. } | Cause::RelayOnly { .. })
        || by_policy && facts.policy == PathPolicy::RelayOnly;
    let running = matches!(
        cause,
        Cause::Calling | Cause::Trying | Cause::PathSilent | Cause::Guessing
    );
    let rests = cause == Cause::GuessingFailed && facts.rest_left > facts.next_in;
    let (after, reason) = if facts.untested && facts.state == PeerState::Direct {
        (None, NextReason::Width)
    } else if settled {
        return None;
    } else if cause == Cause::PathOnTrial {
        (facts.trial_left, NextReason::Trial)
    } else if running || facts.running {
        (None, NextReason::Running)
    } else if cause == Cause::GuessingWaits {
        (None, NextReason::Busy)
    } else if rests {
        (facts.rest_left, NextReason::Cooldown)
    } else if facts.state == PeerState::Failed && !by_policy {
        (Some(facts.next_in?), NextReason::Redial)
    } else if facts.next_in.is_some() {
        (facts.next_in, NextReason::Round)
    } else {
        (None, NextReason::Traffic)
    };
    Some(NextTry { after, reason })
}

//! What two NATs leave to be done (docs/traversal.md, 1): both sides compute it from the same two reports, so nothing has to be
//! negotiated.

use crate::{NatBehavior, NatReport, PortAllocation};

/// One side's part in finding a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// The connectivity checks find a path if there is one.
    Punch,
    /// We open holes in our NAT, and the peer guesses their ports.
    Open,
    /// The peer opens holes in its NAT, and we guess their ports.
    Guess,
    /// Both NATs count their ports up or down: either side aims at the port that the other's next mapping will get.
    Meet,
    /// Both ports would have to be guessed at once, which takes more packets than anybody should send.
    Hopeless,
}

/// Our part, given our NAT and the peer's. `we_come_first` differs between the two sides and settles ties.
pub(crate) fn plan(mine: NatReport, theirs: NatReport, we_come_first: bool) -> Plan {
    match (mapping(mine), mapping(theirs)) {
        (Mapping::Unknown, _) | (_, Mapping::Unknown) | (Mapping::Stable, Mapping::Stable) => {
            Plan::Punch
        }
        (Mapping::Stable, Mapping::Varies) if is_lenient(mine) => Plan::Punch,
        (Mapping::Varies, Mapping::Stable) if is_lenient(theirs) => Plan::Punch,
        (Mapping::Stable, Mapping::Varies) => Plan::Guess,
        (Mapping::Varies, Mapping::Stable) => Plan::Open,
        (Mapping::Varies, Mapping::Varies) => match (is_lenient(mine), is_lenient(theirs)) {
            // Whoever's filter looks at addresses alone lets a guess in, whatever port it comes from.
            (true, false) => Plan::Open,
            (false, true) => Plan::Guess,
            (true, true) if we_come_first => Plan::Open,
            (true, true) => Plan::Guess,
            (false, false) if counts(mine) && counts(theirs) => Plan::Meet,
            (false, false) => Plan::Hopeless,
        },
    }
}

enum Mapping {
    Stable,
    Varies,
    Unknown,
}

fn mapping(nat: NatReport) -> Mapping {
    match nat.mapping {
        NatBehavior::EndpointIndependent => Mapping::Stable,
        NatBehavior::AddressDependent | NatBehavior::AddressAndPortDependent => Mapping::Varies,
        NatBehavior::Unknown => Mapping::Unknown,
    }
}

/// Whether the filter lets packets in from any port of an address that was sent to.
fn is_lenient(nat: NatReport) -> bool {
    matches!(
        nat.filtering,
        NatBehavior::EndpointIndependent | NatBehavior::AddressDependent
    )
}

fn counts(nat: NatReport) -> bool {
    matches!(nat.allocation, PortAllocation::Sequential { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL_CONE: NatReport = nat(
        NatBehavior::EndpointIndependent,
        NatBehavior::EndpointIndependent,
        PortAllocation::Unknown,
    );
    const RESTRICTED: NatReport = nat(
        NatBehavior::EndpointIndependent,
        NatBehavior::AddressAndPortDependent,
        PortAllocation::Unknown,
    );
    const COUNTING: NatReport = nat(
        NatBehavior::AddressAndPortDependent,
        NatBehavior::AddressAndPortDependent,
        PortAllocation::Sequential { step: 1 },
    );
    const RANDOM: NatReport = nat(
        NatBehavior::AddressAndPortDependent,
        NatBehavior::AddressAndPortDependent,
        PortAllocation::Random {
            first: 1024,
            last: 65535,
        },
    );
    const RANDOM_BUT_LENIENT: NatReport = nat(
        NatBehavior::AddressAndPortDependent,
        NatBehavior::AddressDependent,
        PortAllocation::Random {
            first: 1024,
            last: 65535,
        },
    );
    const UNMEASURED: NatReport = nat(
        NatBehavior::Unknown,
        NatBehavior::Unknown,
        PortAllocation::Unknown,
    );
    const ALL: [NatReport; 6] = [
        FULL_CONE,
        RESTRICTED,
        COUNTING,
        RANDOM,
        RANDOM_BUT_LENIENT,
        UNMEASURED,
    ];

    const fn nat(
        mapping: NatBehavior,
        filtering: NatBehavior,
        allocation: PortAllocation,
    ) -> NatReport {
        NatReport {
            mapping,
            filtering,
            allocation,
        }
    }

    #[test]
    fn both_sides_come_to_matching_parts() {
        for mine in ALL {
            for theirs in ALL {
                let (ours, others) = (plan(mine, theirs, true), plan(theirs, mine, false));
                let matching = match ours {
                    Plan::Open => Plan::Guess,
                    Plan::Guess => Plan::Open,
                    Plan::Punch | Plan::Meet | Plan::Hopeless => ours,
                };
                assert_eq!(others, matching, "{mine:?} x {theirs:?}");
            }
        }
    }

    #[test]
    fn ports_are_guessed_only_where_nothing_easier_works() {
        for (mine, theirs, expected) in [
            (RESTRICTED, RESTRICTED, Plan::Punch),
            (FULL_CONE, RANDOM, Plan::Punch),
            (RESTRICTED, RANDOM, Plan::Guess),
            (RESTRICTED, COUNTING, Plan::Guess),
            (COUNTING, COUNTING, Plan::Meet),
            (COUNTING, RANDOM, Plan::Hopeless),
            (RANDOM, RANDOM, Plan::Hopeless),
            (RANDOM, RANDOM_BUT_LENIENT, Plan::Guess),
            (RANDOM, UNMEASURED, Plan::Punch),
        ] {
            assert_eq!(plan(mine, theirs, true), expected, "{mine:?} x {theirs:?}");
        }
    }
}

//! Causes as one byte.

use crate::{Cause, How, PathPolicy, Side};

const NONE: u8 = 0;
const UNKNOWN: u8 = u8::MAX;
const HERE: Side = Side::Here;
const THERE: Side = Side::There;

/// The code of each is its place, counted from 1. What is new comes last.
const CAUSES: [Cause; 48] = [
    Cause::Direct { how: How::Lan },
    Cause::Direct { how: How::Ipv6 },
    Cause::Direct { how: How::Public },
    Cause::Direct { how: How::Mapped },
    Cause::Direct { how: How::Punched },
    Cause::Direct {
        how: How::Predicted,
    },
    Cause::Direct { how: How::Birthday },
    Cause::Direct { how: How::Tcp },
    Cause::Calling,
    Cause::NoAnswer,
    Cause::PeerOffline,
    Cause::PeerSilent,
    Cause::PeerBusy,
    Cause::PeerUnreached,
    Cause::NoRelay,
    Cause::NoAddress,
    Cause::Trying,
    Cause::RelayOnly { side: HERE },
    Cause::RelayOnly { side: THERE },
    Cause::PathSilent,
    Cause::PathLost,
    NARROW,
    Cause::PathOnTrial,
    Cause::RelayFaster,
    Cause::NothingToProbe,
    Cause::NoCommonFamily,
    Cause::BothRandom,
    Cause::RandomAndSequential { random: HERE },
    Cause::RandomAndSequential { random: THERE },
    Cause::GuessingOff { side: HERE },
    Cause::GuessingOff { side: THERE },
    Cause::Guessing,
    Cause::GuessingWaits,
    Cause::GuessingFailed,
    Cause::MappingSilent { side: HERE },
    Cause::MappingSilent { side: THERE },
    Cause::SameRouter,
    Cause::UdpBlocked { side: HERE },
    Cause::UdpBlocked { side: THERE },
    Cause::Firewall { side: HERE },
    Cause::Firewall { side: THERE },
    Cause::NatUnknown { side: HERE },
    Cause::NatUnknown { side: THERE },
    Cause::Silent,
    Cause::Policy {
        policy: PathPolicy::RelayOnly,
    },
    Cause::Policy {
        policy: PathPolicy::DirectOnly,
    },
    Cause::Dropped,
    Cause::Called,
];

const NARROW: Cause = Cause::PathNarrow {
    carries: 0,
    needs: 0,
};

pub(super) fn code(cause: Option<Cause>) -> u8 {
    let cause = match cause {
        None => return NONE,
        Some(Cause::PathNarrow { .. }) => NARROW,
        Some(cause) => cause,
    };
    let place = CAUSES.iter().position(|known| *known == cause);
    place.map_or(UNKNOWN, |place| place as u8 + 1)
}

pub(super) fn read(code: u8) -> Option<Cause> {
    let place = usize::from(code.checked_sub(1)?);
    Some(CAUSES.get(place).copied().unwrap_or(Cause::Unknown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_a_code_of_its_own() {
        for (place, cause) in CAUSES.into_iter().enumerate() {
            assert_eq!(code(Some(cause)), place as u8 + 1, "{cause:?}");
            assert_eq!(read(place as u8 + 1), Some(cause));
        }
        assert_eq!(read(code(None)), None);
        assert_eq!(read(code(Some(Cause::Unknown))), Some(Cause::Unknown));
        let narrow = Cause::PathNarrow {
            carries: 1000,
            needs: 1228,
        };
        assert_eq!(read(code(Some(narrow))), Some(NARROW));
    }

    #[test]
    fn no_cause_was_forgotten() {
        let label_of = |cause: &Cause| format!("{cause:?}");
        let names = CAUSES.iter().map(label_of).collect::<Vec<_>>().join(" ");
        let source = include_str!("../../explanation.rs");
        let (_, rest) = source.split_once("pub enum Cause {\n").unwrap();
        let (body, _) = rest.split_once("\n}\n").unwrap();
        let variants = body
            .lines()
            .filter(|line| line.starts_with("    ") && !line.starts_with("     "));
        let is_name = |line: &&str| line.trim().starts_with(|c: char| c.is_ascii_uppercase());
        let mut seen = 0;
        for variant in variants.filter(is_name) {
            let name = variant.trim().trim_end_matches([',', '{', ' ']);
            assert!(name == "Unknown" || names.contains(name), "{name}");
            seen += 1;
        }
        assert!(seen > 30, "{seen}");
    }
}

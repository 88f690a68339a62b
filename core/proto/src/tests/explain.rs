//! Every cause, out of a situation that has it; and what happens to those who follow the advice.

mod advice;
mod scenes;

use self::scenes::SCENES;
pub(super) use self::scenes::settled;
use super::world::World;
use crate::{Cause, Explanation, PathPolicy, PeerState};

/// The explanations of all scenes, as people read them.
const EXPECTED: &str = include_str!("explain/expected.txt");

/// A situation, seen from one of its nodes: who, and the link to whom.
type Scene = fn() -> (World, usize, usize);

fn explanation((world, at, with): (World, usize, usize)) -> Explanation {
    world.view(at, with).why.expect("a link that is wanted")
}

/// As the command `why` shows it.
fn page(name: &str, why: &Explanation) -> String {
    let mut page = format!(
        "== {name}\n[{}] {}\n{}\n",
        why.cause.label(),
        why.line(),
        why.paragraph()
    );
    if let Some(action) = why.action {
        page += &format!("> {action}\n");
    }
    if let Some(next) = why.next_try {
        page += &format!("* {next}\n");
    }
    page
}

#[test]
fn every_situation_has_its_cause_and_is_explained_in_these_words() {
    let mut pages = Vec::new();
    for (name, cause, scene) in SCENES {
        let why = explanation(scene());
        assert_eq!(why.cause, *cause, "{name}");
        assert!(
            why.cause.label().chars().count() <= 11,
            "{name}: {}",
            why.cause.label()
        );
        assert!(why.line().chars().count() <= 76, "{name}: {}", why.line());
        pages.push(page(name, &why));
    }
    let pages = pages.join("\n");
    if std::env::var_os("PEERWAY_BLESS").is_some() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/src/tests/explain/expected.txt"
        );
        return std::fs::write(path, pages).unwrap();
    }
    assert!(
        pages == EXPECTED,
        "other words than expected; PEERWAY_BLESS=1 takes them over:\n\n{pages}"
    );
}

#[test]
fn of_a_peer_that_was_called_by_the_dht_the_call_is_the_cause_until_it_says_hello() {
    let (_, _, scene) = SCENES
        .iter()
        .find(|(_, of, _)| *of == Cause::NoAddress)
        .unwrap();
    let why = explanation(scene());
    for state in [PeerState::Failed, PeerState::Intro] {
        let called = why.clone().of_called(state);
        assert_eq!((called.cause, called.action), (Cause::Called, None));
        assert!(called.line().contains("called by the DHT"));
        assert!(called.paragraph().contains("some ten seconds"));
        assert!(called.line().chars().count() <= 76 && called.cause.label().len() <= 11);
    }
    assert_eq!(why.clone().of_called(PeerState::Relayed), why);
}

#[test]
fn every_cause_has_two_situations() {
    for cause in all_causes() {
        let scenes = SCENES.iter().filter(|(_, of, _)| is_same(of, &cause));
        assert!(scenes.count() >= 2, "{cause:?}");
    }
}

fn is_same(a: &Cause, b: &Cause) -> bool {
    match (a, b) {
        (Cause::Direct { how: a }, Cause::Direct { how: b }) => a == b,
        _ => std::mem::discriminant(a) == std::mem::discriminant(b),
    }
}

/// One of each; the compiler tells when one is missing.
fn all_causes() -> Vec<Cause> {
    use crate::{How, Side::Here as side};
    let mut all = vec![Cause::Calling];
    while let Some(next) = match all[all.len() - 1] {
        Cause::Calling => Some(Cause::NoAnswer),
        Cause::NoAnswer => Some(Cause::PeerOffline),
        Cause::PeerOffline => Some(Cause::PeerSilent),
        Cause::PeerSilent => Some(Cause::PeerBusy),
        Cause::PeerBusy => Some(Cause::PeerUnreached),
        Cause::PeerUnreached => Some(Cause::NoRelay),
        Cause::NoRelay => Some(Cause::NoAddress),
        Cause::NoAddress => Some(Cause::Trying),
        Cause::Trying => Some(Cause::RelayOnly { side }),
        Cause::RelayOnly { .. } => Some(Cause::Policy {
            policy: PathPolicy::RelayOnly,
        }),
        Cause::Policy { .. } => Some(Cause::Dropped),
        Cause::Dropped => Some(Cause::PathSilent),
        Cause::PathSilent => Some(Cause::PathLost),
        Cause::PathLost => Some(Cause::PathNarrow {
            carries: 1000,
            needs: 1228,
        }),
        Cause::PathNarrow { .. } => Some(Cause::PathOnTrial),
        Cause::PathOnTrial => Some(Cause::RelayFaster),
        Cause::RelayFaster => Some(Cause::NothingToProbe),
        Cause::NothingToProbe => Some(Cause::NoCommonFamily),
        Cause::NoCommonFamily => Some(Cause::BothRandom),
        Cause::BothRandom => Some(Cause::RandomAndSequential { random: side }),
        Cause::RandomAndSequential { .. } => Some(Cause::GuessingOff { side }),
        Cause::GuessingOff { .. } => Some(Cause::Guessing),
        Cause::Guessing => Some(Cause::GuessingWaits),
        Cause::GuessingWaits => Some(Cause::GuessingFailed),
        Cause::GuessingFailed => Some(Cause::MappingSilent { side }),
        Cause::MappingSilent { .. } => Some(Cause::SameRouter),
        Cause::SameRouter => Some(Cause::UdpBlocked { side }),
        Cause::UdpBlocked { .. } => Some(Cause::Firewall { side }),
        Cause::Firewall { .. } => Some(Cause::NatUnknown { side }),
        Cause::NatUnknown { .. } => Some(Cause::Silent),
        // It is concluded above the machines, of what they know nothing about.
        Cause::Silent | Cause::Called | Cause::Unknown => Some(Cause::Direct { how: How::Lan }),
        Cause::Direct { how } => match how {
            How::Lan => Some(How::Ipv6),
            How::Ipv6 => Some(How::Public),
            How::Public => Some(How::Mapped),
            How::Mapped => Some(How::Punched),
            How::Punched => Some(How::Predicted),
            How::Predicted => Some(How::Birthday),
            // The two of TCP are among the tests of streams: the virtual world has datagrams only.
            How::Birthday | How::Tcp | How::Unknown => None,
        }
        .map(|how| Cause::Direct { how }),
    } {
        all.push(next);
    }
    all
}

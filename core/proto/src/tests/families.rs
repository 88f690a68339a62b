//! IPv4, IPv6, both, and a translator between them.

use std::net::SocketAddr;

use super::world::{Home, World, ms};
use crate::{Cause, How, PathInfo, PeerState};

fn dialled(a: Home, b: Home) -> World {
    let mut world = World::pair(a, b);
    world.connect(0, 1);
    world.run(ms(2500));
    world
}

fn remote(world: &World, at: usize, with: usize) -> SocketAddr {
    match world.view(at, with).path {
        Some(PathInfo::Direct { remote, .. }) => remote,
        path => panic!("{path:?}"),
    }
}

#[test]
fn homes_with_a_family_in_common_go_direct_in_both_roles() {
    let [six, dual, four] = [Home::Six, Home::Dual, Home::PortRestricted];
    for (a, b) in [(six, six), (six, dual), (dual, dual), (dual, four)] {
        for (a, b) in [(a, b), (b, a)] {
            assert!(dialled(a, b).both(PeerState::Direct), "{a:?} x {b:?}");
        }
    }
}

#[test]
fn ipv6_beside_a_router_that_was_opened_makes_no_public_address_of_it() {
    for (a, b) in [
        (Home::Dual, Home::PortRestricted),
        (Home::PortRestricted, Home::Dual),
    ] {
        let world = dialled(a, b);
        for (at, with) in [(0, 1), (1, 0)] {
            let punched = Some(Cause::Direct { how: How::Punched });
            assert_eq!(world.cause(at, with), punched, "{a:?} x {b:?}");
        }
    }
}

#[test]
fn homes_without_a_family_in_common_stay_on_the_relay_say_why_and_probe_nothing() {
    for (a, b) in [
        (Home::Six, Home::PortRestricted),
        (Home::PortRestricted, Home::Six),
    ] {
        let mut world = dialled(a, b);
        world.run(ms(2000));
        assert!(world.both(PeerState::Relayed), "{a:?} x {b:?}");
        for (at, with) in [(0, 1), (1, 0)] {
            assert_eq!(
                world.cause(at, with),
                Some(Cause::NoCommonFamily),
                "{a:?} x {b:?}"
            );
            assert_eq!(world.view(at, with).probes_sent, 0, "{a:?} x {b:?}");
        }
    }
}

#[test]
fn a_home_with_nothing_but_ipv6_and_a_translator_reaches_ipv4_in_both_roles() {
    for other in [
        Home::Public,
        Home::FullCone,
        Home::PortRestricted,
        Home::Double,
        Home::Nat64,
    ] {
        for (a, b) in [(Home::Nat64, other), (other, Home::Nat64)] {
            assert!(dialled(a, b).both(PeerState::Direct), "{a:?} x {b:?}");
        }
    }
}

#[test]
fn behind_a_translator_ipv4_looks_like_ipv4() {
    let world = dialled(Home::Nat64, Home::PortRestricted);
    assert!(remote(&world, 0, 1).is_ipv4());
    assert!(remote(&world, 1, 0).is_ipv4());
}

#[test]
fn with_both_families_in_common_the_one_without_translation_is_taken_by_a_translated_home() {
    for (a, b) in [(Home::Nat64, Home::Dual), (Home::Dual, Home::Nat64)] {
        let world = dialled(a, b);
        assert!(remote(&world, 0, 1).is_ipv6(), "{a:?} x {b:?}");
    }
}

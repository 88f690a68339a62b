//! Which homes find a direct path, and how fast.

use super::world::{Home, World, ms};
use crate::{Cause, PeerState};

const EASY: [Home; 5] = [
    Home::Public,
    Home::FullCone,
    Home::PortRestricted,
    Home::Double,
    Home::SymmetricMapped,
];

fn dialled(a: Home, b: Home) -> World {
    let mut world = World::pair(a, b);
    world.connect(0, 1);
    world.run(ms(2500));
    world
}

#[test]
fn every_pair_of_homes_with_a_stable_port_goes_direct_in_both_roles() {
    for a in EASY {
        for b in EASY {
            let world = dialled(a, b);
            assert!(world.both(PeerState::Direct), "{a:?} x {b:?}");
        }
    }
}

#[test]
fn a_public_home_and_a_symmetric_one_go_direct_in_both_roles() {
    for open in [Home::Public, Home::FullCone, Home::SymmetricMapped] {
        assert!(
            dialled(open, Home::Symmetric).both(PeerState::Direct),
            "{open:?}"
        );
        assert!(
            dialled(Home::Symmetric, open).both(PeerState::Direct),
            "{open:?}"
        );
    }
}

#[test]
fn two_symmetric_homes_stay_on_the_relay_and_say_why() {
    let mut world = dialled(Home::Symmetric, Home::Symmetric);
    world.run(ms(2000));
    assert!(world.both(PeerState::Relayed));
    assert_eq!(world.cause(0, 1), Some(Cause::BothRandom));
    assert_eq!(world.cause(1, 0), Some(Cause::BothRandom));
}

#[test]
fn routers_that_accept_input_are_passed_because_the_first_probes_do_not_reach_them() {
    for (a, b) in [
        (Home::Accepting, Home::Accepting),
        (Home::Accepting, Home::PortRestricted),
        (Home::PortRestricted, Home::Accepting),
        (Home::Accepting, Home::Public),
        (Home::Double, Home::Accepting),
    ] {
        assert!(dialled(a, b).both(PeerState::Direct), "{a:?} x {b:?}");
    }
}

#[test]
fn with_nothing_known_a_link_is_direct_after_one_round_trip_by_the_relay_and_one_without() {
    for (a, b) in [
        (Home::PortRestricted, Home::PortRestricted),
        (Home::Double, Home::Accepting),
    ] {
        let world = dialled(a, b);
        let since = std::time::Duration::ZERO;
        // R = D = 80 ms.
        assert_eq!(world.first(0, PeerState::Direct, since), Some(ms(160)));
        assert_eq!(world.first(1, PeerState::Direct, since), Some(ms(200)));
    }
}

#[test]
fn with_candidates_held_from_before_half_a_round_trip_by_the_relay_is_enough() {
    let mut world = dialled(Home::PortRestricted, Home::PortRestricted);
    world.release(0, 1);
    world.run(ms(15_000));
    assert!(world.both(PeerState::Idle));
    world.flush(0);
    world.flush(1);
    let dialled_at = world.elapsed();
    world.connect(0, 1);
    world.run(ms(1000));
    let took = |at| world.first(at, PeerState::Direct, dialled_at).unwrap() - dialled_at;
    // R/2 + D = 120 ms, and 2 ms of caution.
    assert!(took(0) <= ms(125), "{:?}", took(0));
    assert!(took(1) <= ms(125), "{:?}", took(1));
}

#[test]
fn both_may_dial_at_the_same_time() {
    for apart in [0, 1, 20, 39, 41, 80, 200] {
        let mut world = World::pair(Home::PortRestricted, Home::Accepting);
        world.connect(0, 1);
        world.run(ms(apart));
        world.connect(1, 0);
        world.run(ms(2500));
        assert!(world.both(PeerState::Direct), "{apart} ms apart");
        let direct = world.first(0, PeerState::Direct, ms(0)).unwrap();
        assert!(direct <= ms(600), "{apart} ms apart: {direct:?}");
    }
}

#[test]
fn a_round_that_succeeds_takes_few_probes_and_one_that_fails_not_many() {
    let world = dialled(Home::PortRestricted, Home::PortRestricted);
    assert!(
        world.nodes[0].machine.datagrams <= 12,
        "{}",
        world.nodes[0].machine.datagrams
    );
    let mut world = dialled(Home::Symmetric, Home::Symmetric);
    world.run(ms(2500));
    for node in &world.nodes {
        assert!(node.machine.datagrams <= 12, "{}", node.machine.datagrams);
    }
}

#[test]
fn homes_with_lossy_lines_go_direct_too() {
    for seed in 0..10 {
        for (loss, limit) in [(0.05, ms(2000)), (0.2, ms(3000))] {
            let mut world = World::new(seed);
            world.add(Home::PortRestricted);
            world.add(Home::PortRestricted);
            world.loss = loss;
            world.connect(0, 1);
            let direct = world.run_while(limit, |world| !world.both(PeerState::Direct));
            assert!(direct, "seed {seed}, loss {loss}");
        }
    }
}

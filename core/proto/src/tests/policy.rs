//! Which paths may lead to a peer is changed while there is a link, and before.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;

use super::world::{Home, Setup, World, ms, relay};
use crate::{
    Cause, PathPolicy,
    PathPolicy::{Auto, DirectOnly, RelayOnly},
    PeerState, Side,
    io::{Failure, Input, Route},
};

const HOME: Home = Home::PortRestricted;

fn linked(a: Home, b: Home) -> World {
    let mut world = World::pair(a, b);
    world.link(0, 1);
    world.run(ms(4000));
    assert!(world.both(PeerState::Direct));
    world.reset_gaps();
    world
}

fn tell(world: &mut World, at: usize, policy: PathPolicy) {
    let peer = world.nodes[1 - at].id;
    world.feed(at, Input::Policy { peer, policy });
}

fn route(world: &World, at: usize) -> Option<&Route> {
    world.nodes[at].machine.route(world.nodes[1 - at].id)
}

/// Datagrams that either machine has sent.
fn sent(world: &World) -> [usize; 2] {
    [0, 1].map(|at| world.nodes[at].machine.datagrams)
}

#[test]
fn a_direct_link_goes_to_the_relay_when_that_is_wanted_and_back_and_its_streams_notice_nothing() {
    for at in [0, 1] {
        let mut world = linked(HOME, HOME);
        tell(&mut world, at, RelayOnly);
        let before = sent(&world);
        assert!(matches!(route(&world, at), Some(Route::Relay(_))));
        assert_eq!(world.state(at, 1 - at), PeerState::Relayed);
        world.run(ms(500));
        assert!(world.both(PeerState::Relayed));
        let told = sent(&world);
        assert_eq!(
            told[at], before[at],
            "nothing leaves that could be answered"
        );
        world.run(ms(120_000));
        assert_eq!(sent(&world), told, "nobody probes any more");
        assert_eq!(
            world.cause(at, 1 - at),
            Some(Cause::Policy { policy: RelayOnly })
        );
        let there = Side::There;
        assert_eq!(
            world.cause(1 - at, at),
            Some(Cause::RelayOnly { side: there })
        );
        let why = world.view(1 - at, at).why.unwrap();
        assert_eq!(why.evidence.there.unwrap().offers.total(), 0);
        tell(&mut world, at, Auto);
        let back = world.elapsed();
        world.run(ms(2000));
        assert!(world.both(PeerState::Direct));
        let direct = world.first(at, PeerState::Direct, back).unwrap();
        assert!(direct - back <= ms(1000), "{:?}", direct - back);
        let why = world.view(at, 1 - at).why.unwrap();
        let took = why.evidence.tried.took;
        assert!(took <= ms(1000), "{took:?}");
        let theirs = world.view(1 - at, at).why.unwrap();
        let took = theirs.evidence.tried.took;
        assert!(took <= ms(1000), "the other side counts it too: {took:?}");
        for node in &world.nodes {
            assert!(node.gap <= ms(300), "{:?}", node.gap);
        }
    }
}

#[test]
fn a_path_that_is_left_and_found_again_by_policy_is_called_silent_by_neither_side() {
    for (seed, near) in (0..10).flat_map(|seed| [(seed, false), (seed, true)]) {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut world = World::new(seed);
        world.add(HOME);
        let with = near.then_some(0);
        world.add(Setup {
            with,
            ..HOME.into()
        });
        world.link(0, 1);
        world.run(ms(4000));
        let from = world.elapsed();
        for policy in [RelayOnly, DirectOnly, Auto].into_iter().cycle().take(9) {
            tell(&mut world, 0, policy);
            world.run(ms(rng.random_range(0..4000)));
            for side in [0, 1] {
                let silent = world.first(side, PeerState::Suspect, from);
                assert_eq!(silent, None, "{seed} {near} {policy}, seen by {side}");
            }
        }
    }
}

#[test]
fn a_link_whose_last_connection_has_ended_says_so_until_somebody_wants_it_again() {
    let mut world = linked(HOME, HOME);
    assert!(!world.view(0, 1).ending);
    let peer = world.nodes[1].id;
    world.feed(0, Input::Release { peer });
    assert!(world.view(0, 1).ending);
    assert_eq!(world.state(0, 1), PeerState::Direct);
    world.connect(0, 1);
    assert!(!world.view(0, 1).ending);
    world.feed(0, Input::Release { peer });
    world.run(ms(15_000));
    assert_eq!(world.state(0, 1), PeerState::Idle);
    assert!(!world.view(0, 1).ending);
}

#[test]
fn probes_of_a_peer_that_has_not_heard_of_it_are_not_answered() {
    let mut world = linked(HOME, HOME);
    // What tells it is lost, and it goes on by the path that it has.
    world.lose_signals = 1;
    tell(&mut world, 0, RelayOnly);
    let before = sent(&world);
    world.run(ms(60_000));
    assert_eq!(sent(&world)[0], before[0]);
    assert!(sent(&world)[1] > before[1], "it asked");
    assert!(world.both(PeerState::Relayed));
}

#[test]
fn a_peer_for_whom_relays_were_wanted_before_it_was_dialled_is_told_no_address() {
    for (caller, called) in [(0, 1), (1, 0)] {
        let mut world = World::pair(Home::Public, Home::Public);
        tell(&mut world, 0, RelayOnly);
        world.link(caller, called);
        world.run(ms(60_000));
        assert!(world.both(PeerState::Relayed));
        assert_eq!(sent(&world), [0, 0]);
        let why = world.view(1, 0).why.unwrap();
        assert_eq!(why.evidence.there.unwrap().offers.total(), 0);
        assert_eq!(world.view(0, 1).policy, RelayOnly);
    }
}

#[test]
fn neighbours_who_met_without_their_relay_meet_there_when_one_is_kept_to_relays() {
    for at in [0, 1] {
        let mut world = World::new(1);
        world.add(HOME);
        world.add(Setup {
            with: Some(0),
            ..HOME.into()
        });
        let (peer, addrs) = (world.nodes[1].id, vec![world.nodes[1].host]);
        let relays = vec![relay()];
        let connect = Input::Connect {
            peer,
            relays,
            addrs,
        };
        world.feed(0, connect);
        world.run(ms(200));
        world.connected(0, 1);
        world.talk(0, 1);
        world.run(ms(4000));
        assert!(world.both(PeerState::Direct));
        world.reset_gaps();
        tell(&mut world, at, RelayOnly);
        let before = sent(&world)[at];
        world.run(ms(1000));
        assert!(world.both(PeerState::Relayed), "{at}");
        world.run(ms(60_000));
        assert!(world.both(PeerState::Relayed), "{at}");
        assert_eq!(sent(&world)[at], before);
        for node in &world.nodes {
            assert!(node.gap <= ms(500), "{at}: {:?}", node.gap);
        }
    }
}

#[test]
fn where_no_relay_leads_to_the_peer_it_is_not_reached_until_one_does() {
    let mut world = linked(HOME, HOME);
    world.relay_dies();
    world.run(ms(5000));
    assert!(world.both(PeerState::Direct));
    tell(&mut world, 0, RelayOnly);
    let before = sent(&world)[0];
    assert_eq!(route(&world, 0), Some(&Route::Nowhere));
    world.run(ms(30_000));
    assert_ne!(world.state(0, 1), PeerState::Direct);
    world.relay_returns();
    assert!(world.run_while(ms(60_000), |world| !world.both(PeerState::Relayed)));
    assert_eq!(sent(&world)[0], before);
}

#[test]
fn where_only_direct_paths_are_wanted_the_relay_carries_nothing_when_one_dies_nor_while_one_is_looked_for()
 {
    let mut world = linked(HOME, HOME);
    tell(&mut world, 0, DirectOnly);
    assert!(matches!(route(&world, 0), Some(Route::Direct(_))));
    world.cut = true;
    assert!(world.run_while(ms(30_000), |world| {
        route(world, 0) != Some(&Route::Nowhere)
    }));
    world.run(ms(20_000));
    assert_eq!(world.state(0, 1), PeerState::Failed);
    assert_eq!(
        world.cause(0, 1),
        Some(Cause::Policy { policy: DirectOnly })
    );
    world.cut = false;
    assert!(world.run_while(ms(120_000), |world| !world.both(PeerState::Direct)));
}

#[test]
fn a_dial_that_may_only_be_direct_says_that_it_is_in_vain() {
    let mut world = World::pair(Home::Symmetric, Home::Symmetric);
    tell(&mut world, 0, DirectOnly);
    world.connect(0, 1);
    world.run(ms(20_000));
    let failures = &world.nodes[0].failures;
    assert!(
        failures.iter().any(|(_, why)| *why == Failure::Policy),
        "{failures:?}"
    );
    assert_eq!(route(&world, 0), Some(&Route::Nowhere));
    // Who changes their mind has the peer by the relay.
    tell(&mut world, 0, Auto);
    assert!(matches!(route(&world, 0), Some(Route::Relay(_))));
    assert_eq!(world.state(0, 1), PeerState::Relayed);
}

#[test]
fn however_often_and_whenever_it_is_changed_the_link_is_as_good_as_ever_afterwards() {
    let homes = [HOME, Home::Public, Home::Dual, Home::Symmetric];
    for seed in 0..24 {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut world = World::new(seed);
        world.add(HOME);
        world.add(homes[rng.random_range(0..homes.len())]);
        world.link(0, 1);
        for _ in 0..20 {
            world.run(ms(rng.random_range(0..3000)));
            let policy = [Auto, RelayOnly, DirectOnly][rng.random_range(0..3)];
            tell(&mut world, rng.random_range(0..2), policy);
        }
        tell(&mut world, 0, Auto);
        tell(&mut world, 1, Auto);
        world.connected(0, 1);
        world.talk(0, 1);
        assert!(
            world.run_while(ms(300_000), |world| !world.both(PeerState::Direct)),
            "{seed}"
        );
    }
}

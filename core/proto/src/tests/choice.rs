//! The user says of single pairs what is to be done with them.

use std::net::SocketAddr;

use super::world::{Home, Style, World, ms};
use crate::{
    CandidatePair,
    PairAction::{self, Force, Release},
    PairState, PathPolicy, PeerState,
    io::{Input, Route},
};

/// Two homes with both families, which IPv6 links.
fn dual() -> World {
    let mut world = World::pair(Home::Dual, Home::Dual);
    world.link(0, 1);
    world.run(ms(5000));
    for at in [0, 1] {
        assert_eq!(used(&world, at).map(|addr| addr.is_ipv6()), Some(true));
    }
    world.reset_gaps();
    world
}

/// Where a node's data goes directly.
fn used(world: &World, at: usize) -> Option<SocketAddr> {
    match world.nodes[at].machine.route(world.nodes[1 - at].id) {
        Some(Route::Direct(pair) | Route::Both(pair, _)) => Some(pair.addr),
        Some(Route::Relay(_) | Route::Nowhere) | None => None,
    }
}

fn tell(world: &mut World, at: usize, remote: SocketAddr, action: PairAction) {
    let peer = world.nodes[1 - at].id;
    let tcp = false;
    let input = Input::Pair {
        peer,
        remote,
        tcp,
        action,
    };
    world.feed(at, input);
}

fn pairs(world: &World, at: usize) -> Vec<CandidatePair> {
    world.view(at, 1 - at).pairs
}

/// A pair of IPv4 that answers.
fn spare(world: &World, at: usize) -> SocketAddr {
    let is_spare = |pair: &CandidatePair| pair.state == PairState::Standby && pair.remote.is_ipv4();
    let pairs = pairs(world, at);
    pairs.iter().find(|pair| is_spare(pair)).unwrap().remote
}

/// Nothing goes through any more by IPv4, or by IPv6.
fn lose(world: &mut World, v6: bool) {
    for nat in &mut world.net.nats {
        if (nat.style.kind == Style::FIREWALL.kind) == v6 {
            nat.style.life = (ms(0), ms(0));
        }
    }
}

fn is_forced(world: &World, at: usize) -> bool {
    let why = world.view(at, 1 - at).why.unwrap();
    assert_eq!(
        why.paragraph().contains("by this address"),
        why.evidence.forced
    );
    assert_eq!(why.line().ends_with(", forced"), why.evidence.forced);
    why.evidence.forced
}

#[test]
fn what_a_node_sends_goes_by_the_pair_that_was_forced_and_nobody_doubts_it() {
    for at in [0, 1] {
        let mut world = dual();
        let four = spare(&world, at);
        tell(&mut world, at, four, Force);
        world.run(ms(500));
        let from = world.elapsed();
        for _ in 0..60 {
            world.run(ms(5000));
            assert_eq!(used(&world, at), Some(four));
            assert!(world.both(PeerState::Direct));
        }
        for node in [0, 1] {
            assert_eq!(world.first(node, PeerState::Suspect, from), None, "{at}");
            assert!(
                world.nodes[node].gap <= ms(300),
                "{:?}",
                world.nodes[node].gap
            );
        }
        assert!(is_forced(&world, at) && !is_forced(&world, 1 - at));
        let forced: Vec<_> = pairs(&world, at)
            .into_iter()
            .filter(|pair| pair.forced)
            .collect();
        assert_eq!((forced.len(), forced[0].remote), (1, four));
        tell(&mut world, at, four, Release);
        assert!(!is_forced(&world, at));
        assert!(pairs(&world, at).iter().all(|pair| !pair.forced));
        lose(&mut world, false);
        world.run(ms(3000));
        assert_eq!(used(&world, at).map(|addr| addr.is_ipv6()), Some(true));
        assert_eq!(world.nodes[at].released, []);
    }
}

#[test]
fn a_forced_pair_that_falls_silent_is_released_and_said_so_and_data_goes_on() {
    for at in [0, 1] {
        let mut world = dual();
        let four = spare(&world, at);
        tell(&mut world, at, four, Force);
        world.run(ms(5000));
        assert_eq!(used(&world, at), Some(four));
        lose(&mut world, false);
        world.run(ms(1000));
        assert_eq!(used(&world, at), Some(four), "the limit is not over");
        world.run(ms(3000));
        assert_eq!(world.nodes[at].released, [four]);
        assert_eq!(used(&world, at).map(|addr| addr.is_ipv6()), Some(true));
        assert!(!is_forced(&world, at));
        for node in &world.nodes {
            assert!(node.gap <= ms(1200), "{:?}", node.gap);
        }
    }
}

#[test]
fn a_forced_pair_that_does_not_answer_is_released_at_once_and_nothing_changes() {
    let mut world = dual();
    let (four, six) = (spare(&world, 0), used(&world, 0));
    lose(&mut world, false);
    tell(&mut world, 0, four, Force);
    world.run(ms(1000));
    assert_eq!((used(&world, 0), world.nodes[0].released.len()), (six, 0));
    world.run(ms(1000));
    assert_eq!(
        (used(&world, 0), &world.nodes[0].released[..]),
        (six, &[four][..])
    );
    assert!(world.both(PeerState::Direct));
}

#[test]
fn a_pair_is_forced_only_as_long_as_direct_paths_are_wanted_and_there_is_the_link() {
    let mut world = dual();
    let four = spare(&world, 0);
    let peer = world.nodes[1].id;
    tell(&mut world, 0, four, Force);
    world.run(ms(1000));
    for policy in [PathPolicy::RelayOnly, PathPolicy::Auto] {
        world.feed(0, Input::Policy { peer, policy });
        assert!(!is_forced(&world, 0));
        tell(&mut world, 0, four, Force);
        world.run(ms(5000));
    }
    assert!(world.both(PeerState::Direct));
    assert!(pairs(&world, 0).iter().all(|pair| !pair.forced));
    assert_eq!(world.nodes[0].released, []);
}

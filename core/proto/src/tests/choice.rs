//! The user says of single pairs what is to be done with them.

use std::net::SocketAddr;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;

use super::world::{Home, Style, World, ms};
use crate::{
    CandidatePair, Cause,
    PairAction::{self, Drop, Force, Probe, Release},
    PairState, PathPolicy, PeerState,
    io::{Input, OfPair, Route},
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
    let input = Input::Pair(OfPair {
        peer,
        remote,
        tcp,
        action,
    });
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
fn a_pair_tells_both_of_its_ends_its_place_and_when_it_was_asked_last() {
    let mut world = dual();
    world.run(ms(1000));
    let pairs = pairs(&world, 0);
    let mut ranks: Vec<_> = pairs.iter().filter_map(|pair| pair.rank).collect();
    let answering = pairs.iter().filter(|pair| pair.rtt.is_some()).count();
    let all: Vec<u32> = (1..).take(answering).collect();
    assert!(answering >= 2, "{pairs:?}");
    ranks.sort_unstable();
    assert_eq!(ranks, all, "{pairs:?}");
    for pair in pairs.iter().filter(|pair| pair.rtt.is_some()) {
        let local = pair.local.unwrap();
        assert_eq!(local.is_ipv4(), pair.remote.is_ipv4(), "{pair:?}");
        assert!(pair.local_kind.is_some(), "{pair:?}");
        assert!(pair.last.is_some(), "{pair:?}");
        assert!(pair.answered <= pair.sent, "{pair:?}");
    }
    let (used, rest) = pairs.split_first().unwrap();
    assert_eq!((used.state, used.rank), (PairState::Used, Some(1)));
    assert!(rest.iter().any(|pair| pair.answered > 0), "{pairs:?}");
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

/// What a pair of this address is good for.
fn state(world: &World, at: usize, remote: SocketAddr) -> Option<PairState> {
    let pairs = pairs(world, at);
    let pair = pairs.iter().find(|pair| pair.remote == remote)?;
    Some(pair.state)
}

/// Datagrams that this node sent there.
fn sent(world: &World, at: usize, remote: SocketAddr) -> usize {
    world.nodes[at].sent_to.get(&remote).copied().unwrap_or(0)
}

#[test]
fn a_pair_that_was_dropped_is_left_at_once_by_both_and_left_alone_until_a_retry() {
    for at in [0, 1] {
        let mut world = dual();
        let six = used(&world, at).unwrap();
        tell(&mut world, at, six, Drop);
        assert_eq!(used(&world, at).map(|addr| addr.is_ipv4()), Some(true));
        let before = sent(&world, at, six);
        for _ in 0..60 {
            world.run(ms(5000));
            let four = [0, 1].map(|at| used(&world, at).map(|addr| addr.is_ipv4()));
            assert_eq!(four, [Some(true); 2], "{at}");
        }
        assert_eq!(sent(&world, at, six), before, "{at}");
        assert_eq!(state(&world, at, six), Some(PairState::Dropped));
        let why = world.view(at, 1 - at).why.unwrap();
        assert!(why.paragraph().contains("1 address of the peer no more"));
        for node in &world.nodes {
            assert!(node.gap <= ms(600), "{:?}", node.gap);
        }
        let peer = world.nodes[1 - at].id;
        world.feed(at, Input::Retry { peer });
        world.run(ms(1000));
        let back = state(&world, at, six).unwrap();
        assert!(back <= PairState::Standby, "{at}: {back}");
    }
}

#[test]
fn where_all_pairs_are_dropped_the_relay_carries_the_data_as_is_said_until_the_network_changes() {
    let mut world = World::pair(Home::PortRestricted, Home::PortRestricted);
    world.link(0, 1);
    world.run(ms(4000));
    assert!(world.both(PeerState::Direct));
    world.reset_gaps();
    for _ in 0..4 {
        for pair in pairs(&world, 0) {
            tell(&mut world, 0, pair.remote, Drop);
        }
        world.run(ms(20_000));
    }
    assert!(world.both(PeerState::Relayed));
    assert_eq!(world.cause(0, 1), Some(Cause::Dropped));
    for node in &world.nodes {
        assert!(node.gap <= ms(600), "{:?}", node.gap);
    }
    let site = world.vacancy(Home::PortRestricted, ms(20));
    world.roam(0, site);
    assert!(world.run_while(ms(70_000), |world| !world.both(PeerState::Direct)));
}

#[test]
fn a_pair_is_asked_when_that_is_wanted_whatever_path_there_is() {
    let mut world = dual();
    world.hush();
    world.run(ms(1000));
    for remote in [spare(&world, 0), used(&world, 0).unwrap()] {
        let before = sent(&world, 0, remote);
        tell(&mut world, 0, remote, Probe);
        assert_eq!(sent(&world, 0, remote), before + 1, "{remote}");
        world.run(ms(500));
    }
    let four = spare(&world, 0);
    lose(&mut world, false);
    tell(&mut world, 0, four, Probe);
    world.run(ms(5000));
    assert!(sent(&world, 0, four) > 3);
    assert!(world.both(PeerState::Direct));
    tell(&mut world, 0, four, Drop);
    assert_eq!(state(&world, 0, four), Some(PairState::Dropped));
    tell(&mut world, 0, four, Probe);
    assert_eq!(state(&world, 0, four), Some(PairState::Probing));
}

#[test]
fn whatever_is_done_with_pairs_the_link_is_as_good_as_ever_after_a_retry() {
    let homes = [
        Home::PortRestricted,
        Home::Public,
        Home::Dual,
        Home::Symmetric,
    ];
    for seed in 0..24 {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut world = World::new(seed);
        world.add(Home::Dual);
        world.add(homes[rng.random_range(0..homes.len())]);
        world.link(0, 1);
        for _ in 0..40 {
            world.run(ms(rng.random_range(0..3000)));
            let at = rng.random_range(0..2);
            let known = pairs(&world, at);
            if let Some(pair) = known.get(rng.random_range(0..=known.len())) {
                let action = [Probe, Force, Release, Drop][rng.random_range(0..4)];
                tell(&mut world, at, pair.remote, action);
            }
        }
        for at in [0, 1] {
            let peer = world.nodes[1 - at].id;
            world.feed(at, Input::Retry { peer });
        }
        let direct = world.run_while(ms(300_000), |world| !world.both(PeerState::Direct));
        assert!(direct, "{seed}");
    }
}

//! NATs that give every destination another port.

use super::world::{Home, World, ms};
use crate::{
    PeerState,
    io::{Input, Sock},
};

/// Runs a dial in worlds with different seeds; returns how many went direct on both sides in time, and the median time.
fn runs(a: Home, b: Home, count: u64) -> (u64, std::time::Duration) {
    lossy_runs(a, b, count, 0.0)
}

/// The same where this share of datagrams is lost between the homes.
fn lossy_runs(a: Home, b: Home, count: u64, loss: f64) -> (u64, std::time::Duration) {
    let mut times = Vec::new();
    for seed in 0..count {
        let mut world = World::new(seed);
        world.add(a);
        world.add(b);
        world.loss = loss;
        world.connect(0, 1);
        if world.run_while(ms(12_000), |world| !world.both(PeerState::Direct)) {
            times.push(world.elapsed());
        }
    }
    times.sort();
    (times.len() as u64, times[times.len() / 2])
}

#[test]
fn a_restricted_home_guesses_a_symmetric_ones_port_in_both_roles() {
    for other in [
        Home::PortRestricted,
        Home::Double,
        Home::Accepting,
        Home::ShortTimeout,
    ] {
        for (a, b) in [(other, Home::Symmetric), (Home::Symmetric, other)] {
            let (direct, median) = runs(a, b, 50);
            assert!(
                direct == 50 && median <= ms(1500),
                "{a:?} x {b:?}: {direct} direct, {median:?}"
            );
        }
    }
}

#[test]
#[ignore = "takes some minutes"]
fn of_a_thousand_guesses_990_are_direct_in_time() {
    let (restricted, symmetric) = (Home::PortRestricted, Home::Symmetric);
    for (a, b) in [(restricted, symmetric), (symmetric, restricted)] {
        for loss in [0.0, 0.05] {
            let (direct, median) = lossy_runs(a, b, 1000, loss);
            assert!(
                direct >= 990 && median <= ms(1500),
                "{a:?} x {b:?}, loss {loss}: {direct} direct, {median:?}"
            );
        }
    }
}

#[test]
fn the_port_of_a_nat_that_counts_is_predicted() {
    for (a, b) in [
        (Home::PortRestricted, Home::Counting),
        (Home::Counting, Home::PortRestricted),
        (Home::Counting, Home::Counting),
    ] {
        let (direct, median) = runs(a, b, 20);
        assert!(
            direct == 20 && median <= ms(1000),
            "{a:?} x {b:?}: {direct} direct, {median:?}"
        );
    }
}

#[test]
fn sockets_that_nobody_waits_for_any_more_are_closed() {
    let mut world = World::pair(Home::Symmetric, Home::PortRestricted);
    world.link(0, 1);
    let (first, count) = (Sock(77), 4);
    world.nodes[0].open(first, count);
    world.feed(0, Input::SocketsOpened { first, count });
    assert!(!world.nodes[0].sockets.contains_key(&first));
}

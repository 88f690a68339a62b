//! Direct paths and relays that die, and what the application notices of it.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;

use super::world::{Home, World, ms};
use crate::{
    Cause, PeerState,
    io::{Input, Route},
};

const HOME: Home = Home::PortRestricted;

fn linked() -> World {
    let mut world = World::pair(HOME, HOME);
    world.link(0, 1);
    world.run(ms(3000));
    assert!(world.both(PeerState::Direct));
    world
}

/// Whether the data of both goes by the relay alone, whatever is being tried besides.
fn relayed(world: &World) -> bool {
    [(0, 1), (1, 0)].iter().all(|(at, with)| {
        let route = world.nodes[*at].machine.route(world.nodes[*with].id);
        matches!(route, Some(Route::Relay(_)))
    })
}

#[test]
fn a_direct_path_that_dies_is_hedged_then_left_and_taken_again_after_the_cut() {
    let mut world = linked();
    let peer = world.nodes[1].id;
    world.nodes[0].gap = ms(0);
    world.nodes[1].gap = ms(0);
    let cut = world.elapsed();
    world.cut = true;
    world.run(ms(1000));
    let suspect = world.first(0, PeerState::Suspect, cut).unwrap() - cut;
    // max(3 SRTT, 250 ms) at a round trip of 80 ms, and what was on the way.
    assert!((ms(200)..=ms(400)).contains(&suspect), "{suspect:?}");
    assert!(matches!(
        world.nodes[0].machine.route(peer),
        Some(Route::Both(..))
    ));
    // Who hears of the other's next round before its own path is dead asks once more.
    assert!(world.run_while(ms(3000), |world| !relayed(world)));
    for node in &world.nodes {
        assert!(node.gap <= ms(500), "{:?}", node.gap);
    }
    world.run(ms(5000));
    world.cut = false;
    assert!(world.run_while(ms(60_000), |world| !world.both(PeerState::Direct)));
    for node in &world.nodes {
        assert!(node.gap <= ms(500), "{:?}", node.gap);
    }
}

#[test]
fn a_short_outage_ends_in_the_same_path_without_the_relay_taking_over() {
    let mut world = linked();
    let cut = world.elapsed();
    world.cut = true;
    world.run(ms(600));
    world.cut = false;
    world.run(ms(2000));
    assert!(world.both(PeerState::Direct));
    for at in [0, 1] {
        assert!(world.first(at, PeerState::Suspect, cut).is_some());
        assert_eq!(world.first(at, PeerState::Relayed, cut), None);
    }
}

#[test]
fn an_application_with_nothing_to_say_makes_no_path_suspect() {
    let mut world = linked();
    let quiet = world.elapsed();
    world.hush();
    // What a driver says of an idle link: the last packet needed no reply.
    for at in [0, 1] {
        let peer = world.nodes[1 - at].id;
        let sent = world.now;
        for _ in 0..40 {
            world.run(ms(50));
            let input = Input::Silence {
                peer,
                since: sent,
                sent,
                rtt: ms(80),
            };
            world.feed(at, input);
        }
    }
    world.run(ms(600_000));
    assert!(world.both(PeerState::Direct));
    for at in [0, 1] {
        assert_eq!(world.first(at, PeerState::Suspect, quiet), None);
    }
}

#[test]
fn a_relay_that_restarts_is_not_noticed_on_a_direct_path() {
    let mut world = linked();
    let died = world.elapsed();
    world.relay_dies();
    world.run(ms(5000));
    world.relay_returns();
    world.run(ms(5000));
    assert!(world.both(PeerState::Direct));
    for at in [0, 1] {
        assert_eq!(world.first(at, PeerState::Suspect, died), None);
        assert!(world.nodes[at].gap <= ms(100), "{:?}", world.nodes[at].gap);
    }
}

#[test]
fn after_a_relay_restart_a_path_that_dies_still_has_the_relay_to_fall_back_on() {
    let mut world = linked();
    world.relay_dies();
    world.run(ms(5000));
    world.relay_returns();
    world.run(ms(5000));
    world.cut = true;
    assert!(world.run_while(ms(4000), |world| !relayed(world)));
    assert!(world.nodes[0].gap <= ms(500), "{:?}", world.nodes[0].gap);
}

#[test]
fn relayed_peers_talk_again_when_their_relay_is_back() {
    let mut world = World::pair(Home::Symmetric, Home::Symmetric);
    world.link(0, 1);
    world.run(ms(5000));
    assert!(world.both(PeerState::Relayed));
    world.relay_dies();
    world.run(ms(2000));
    world.relay_returns();
    for node in &mut world.nodes {
        node.gap = ms(0);
    }
    world.run(ms(3000));
    assert!(relayed(&world));
    for node in &world.nodes {
        assert!(node.gap <= ms(2500), "{:?}", node.gap);
        assert!(node.failures.is_empty());
    }
}

#[test]
fn when_one_side_comes_back_to_the_relay_later_the_lane_is_bound_again() {
    let mut world = World::pair(Home::Symmetric, Home::Symmetric);
    world.link(0, 1);
    world.run(ms(5000));
    world.relay_dies();
    world.run(ms(1000));
    world.relays[0].up = true;
    world.register(0);
    world.run(ms(4000));
    world.register(1);
    world.run(ms(1000));
    for node in &mut world.nodes {
        node.gap = ms(0);
    }
    world.run(ms(2000));
    for node in &world.nodes {
        assert!(node.gap <= ms(100), "{:?}", node.gap);
    }
}

#[test]
fn routers_that_forget_all_flows_interrupt_the_link_for_no_more_than_a_second() {
    for (a, b) in [
        (HOME, HOME),
        (Home::Accepting, HOME),
        (Home::Symmetric, Home::Public),
    ] {
        let mut world = World::pair(a, b);
        world.link(0, 1);
        world.run(ms(3000));
        for at in [0, 1] {
            world.nodes[at].gap = ms(0);
            world.flush(at);
        }
        world.run(ms(10_000));
        assert!(world.both(PeerState::Direct), "{a:?} x {b:?}");
        for node in &world.nodes {
            assert!(node.gap <= ms(1000), "{a:?} x {b:?}: {:?}", node.gap);
        }
    }
}

#[test]
#[should_panic(expected = "proved nothing")]
fn data_on_a_path_that_is_not_proven_is_noticed_in_every_world() {
    let mut world = World::pair(HOME, HOME);
    world.link(0, 1);
    world.run(ms(3000));
    world.nodes[0].machine.forget_proofs();
    world.run(ms(1500));
}

#[test]
fn a_link_that_carries_nothing_any_more_does_not_wait_for_a_trial() {
    let mut world = linked();
    // Each death doubles the trial, until it takes longer than an idle link is cared for.
    for _ in 0..8 {
        assert!(world.run_while(ms(300_000), |world| !world.both(PeerState::Direct)));
        world.cut = true;
        world.run(ms(3000));
        world.cut = false;
    }
    let on_trial = |world: &World| world.cause(0, 1) == Some(Cause::PathOnTrial);
    assert!(world.run_while(ms(20_000), |world| !on_trial(world)));
    world.hush();
    world.run(ms(300_000));
    assert!(!on_trial(&world));
    let next = world.nodes[0].machine.poll_timeout();
    assert!(
        next.is_none_or(|at| at > world.now + ms(5000)),
        "it still wakes up"
    );
}

#[test]
fn a_port_that_a_router_spoilt_is_given_up_for_a_fresh_one() {
    for (a, b) in [(Home::Accepting, HOME), (HOME, Home::Accepting)] {
        let mut world = World::pair(a, b);
        world.link(0, 1);
        world.run(ms(3000));
        let accepting = usize::from(b == Home::Accepting);
        let sites = [accepting, 1 - accepting].map(|at| world.nodes[at].site);
        // The router forgets the link, and hears the peer before it hears us.
        world.holes.push((sites[0], sites[1]));
        world.flush(accepting);
        world.run(ms(5000));
        world.holes.clear();
        let apart = |world: &World| !world.both(PeerState::Direct);
        assert!(world.run_while(ms(30_000), apart), "{a:?} x {b:?}");
    }
}

#[test]
fn a_path_too_narrow_for_quic_costs_no_data_and_is_left_for_the_relay() {
    for width in [1000, 1200] {
        let carries = width as u16;
        let mut world = World::pair(HOME, HOME);
        world.width = width;
        world.link(0, 1);
        world.run(ms(1000));
        (world.nodes[0].gap, world.nodes[1].gap) = (ms(0), ms(0));
        world.run(ms(3000));
        for second in 0..60 {
            world.run(ms(1000));
            let routes = [(0, 1), (1, 0)]
                .map(|(at, with)| world.nodes[at].machine.route(world.nodes[with].id).cloned());
            assert!(
                relayed(&world),
                "{width} {second} {routes:?} {:?}",
                world.cause(0, 1)
            );
        }
        let needs = 1228;
        assert_eq!(
            world.cause(0, 1),
            Some(Cause::PathNarrow { carries, needs })
        );
        for node in &world.nodes {
            assert!(node.gap <= ms(500), "{:?}", node.gap);
        }
    }
}

#[test]
fn a_path_that_becomes_narrow_goes_back_to_the_relay_and_is_taken_again_when_it_is_wide() {
    let mut world = linked();
    (world.nodes[0].gap, world.nodes[1].gap) = (ms(0), ms(0));
    world.width = 1000;
    assert!(world.run_while(ms(5000), |world| !relayed(world)));
    world.run(ms(10_000));
    assert!(relayed(&world));
    assert_eq!(
        world.cause(0, 1),
        Some(Cause::PathNarrow {
            carries: 1000,
            needs: 1228
        })
    );
    world.width = usize::MAX;
    assert!(world.run_while(ms(60_000), |world| !world.both(PeerState::Direct)));
    for node in &world.nodes {
        assert!(node.gap <= ms(500), "{:?}", node.gap);
    }
}

#[test]
fn losses_tell_that_a_path_became_narrow_though_short_packets_get_through() {
    let mut world = linked();
    world.chat_len = 100;
    world.width = 1000;
    for _ in 0..3 {
        world.run(ms(1000));
        assert!(world.both(PeerState::Direct));
    }
    for at in [0, 1] {
        let peer = world.nodes[1 - at].id;
        world.feed(at, Input::Losses { peer });
    }
    assert!(world.run_while(ms(3000), |world| !relayed(world)));
}

#[test]
fn ordinary_losses_leave_a_path_in_use() {
    let mut world = linked();
    world.loss = 0.05;
    for _ in 0..60 {
        for at in [0, 1] {
            let peer = world.nodes[1 - at].id;
            world.feed(at, Input::Losses { peer });
        }
        world.run(ms(1000));
        assert!(!relayed(&world));
    }
}

#[test]
fn a_path_whose_width_changes_all_the_time_is_used_where_it_stays_wide() {
    for seed in 0..20 {
        let mut world = World::pair(HOME, HOME);
        world.rng = ChaCha20Rng::seed_from_u64(seed);
        world.loss = 0.05;
        world.link(0, 1);
        for _ in 0..6 {
            let pause = world.rng.random_range(200..6000);
            world.width = if world.rng.random_bool(0.5) {
                1100
            } else {
                usize::MAX
            };
            world.run(ms(pause));
        }
        world.width = usize::MAX;
        let apart = |world: &World| !world.both(PeerState::Direct);
        assert!(world.run_while(ms(120_000), apart), "seed {seed}");
        for node in &world.nodes {
            assert!(node.gap <= ms(1000), "seed {seed}: {:?}", node.gap);
        }
    }
}

//! What is said of a link stays the same for as long as the link does, whatever is tried meanwhile.

use std::time::Duration;

use super::{
    explain::settled,
    world::{Absence, Home, World, ms},
};
use crate::{Cause, Explanation, PeerState, io::Input};

const EASY: Home = Home::PortRestricted;

/// Looks at node 0's link to node 1 all the time.
fn watch(world: &mut World, time: Duration, mut each: impl FnMut(&World)) {
    let end = world.elapsed() + time;
    while world.elapsed() < end {
        world.run(ms(20));
        each(world);
    }
}

fn why(world: &World) -> Explanation {
    world.view(0, 1).why.unwrap()
}

/// Fails unless the link stands as `state` because of `cause` for two minutes, in which something is tried.
fn stays(mut world: World, state: PeerState, cause: Cause) {
    let before = world.view(0, 1);
    let mut age = before.age;
    let mut tries = 0;
    let mut running = false;
    watch(&mut world, ms(120_000), |world| {
        let view = world.view(0, 1);
        let why = view.why.unwrap();
        assert_eq!((view.state, why.cause), (state, cause));
        assert!(view.age > age, "{cause:?}: {:?} after {age:?}", view.age);
        age = view.age;
        let runs = why.next_try.unwrap().reason == crate::NextReason::Running;
        tries += usize::from(runs && !running);
        running = runs;
    });
    assert_eq!(age, before.age + ms(120_000));
    assert!(tries > 1, "{cause:?}: tried {tries} times");
}

#[test]
fn a_relayed_link_keeps_its_cause_and_its_age_through_all_tries() {
    let random = settled(Home::Symmetric, Home::Symmetric);
    stays(random, PeerState::Relayed, Cause::BothRandom);
    let families = settled(EASY, Home::Six);
    stays(families, PeerState::Relayed, Cause::NoCommonFamily);
    let mut pulled = World::pair(EASY, EASY);
    pulled.link(0, 1);
    pulled.run(ms(2000));
    pulled.cut = true;
    pulled.run(ms(10_000));
    stays(pulled, PeerState::Relayed, Cause::PathLost);
}

/// The peer was switched off in the middle of a link.
fn switched_off() -> World {
    let mut world = World::pair(EASY, EASY);
    world.link(0, 1);
    world.unregister(1);
    world.absent(1, ms(3_600_000), Absence::Asleep);
    world.run(ms(20_000));
    world
}

#[test]
fn a_peer_that_is_away_is_away_through_all_calls() {
    stays(switched_off(), PeerState::Failed, Cause::PeerOffline);
}

#[test]
fn a_peer_that_is_dialled_again_is_being_called() {
    let mut world = switched_off();
    world.connect(0, 1);
    world.run(ms(10));
    let view = world.view(0, 1);
    assert_eq!(view.state, PeerState::Intro);
    assert_eq!(world.cause(0, 1), Some(Cause::Calling));
}

#[test]
fn a_relayed_peer_that_its_relay_no_longer_knows_is_offline_until_it_is_heard_of() {
    let mut world = settled(Home::Symmetric, Home::Symmetric);
    let (away, home) = (Some(Cause::PeerOffline), Some(Cause::BothRandom));
    world.unregister(1);
    let peer = world.nodes[1].id;
    world.feed(
        0,
        Input::RelayGone {
            relay: super::world::relay(),
            peer,
        },
    );
    assert_eq!(world.cause(0, 1), away);
    world.register(1);
    let back = world.run_while(ms(30_000), |world| world.cause(0, 1) != home);
    assert!(back, "{:?}", world.cause(0, 1));
}

#[test]
fn what_a_direct_link_has_cost_does_not_grow_with_what_is_tried_later() {
    let mut world = World::pair(EASY, EASY);
    world.link(0, 1);
    world.run(ms(2000));
    let first = why(&world);
    assert_eq!(world.state(0, 1), PeerState::Direct);
    // The router forwards a port, and forgets it again: both look for the best path anew.
    for port in [Some("5.9.7.7:999".parse().unwrap()), None] {
        world.feed(0, Input::PortMapped(port));
        world.run(ms(20_000));
    }
    let later = world.view(0, 1);
    assert!(later.probes_sent > 0, "nothing was probed");
    assert_eq!(why(&world).line(), first.line());
    assert_eq!(why(&world).paragraph(), first.paragraph());
}

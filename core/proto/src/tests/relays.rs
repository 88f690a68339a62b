//! Two relays: a peer is at one of them, one of them dies, one of them lies.

use super::world::{Home, World, ms};
use crate::{
    Cause, PathInfo, PeerState, RelayUrl,
    io::{Failure, Input, Route},
};

/// Relayed for ever.
const HOME: Home = Home::Symmetric;
/// F3 of the catalogue of faults: the relay of a link is killed, another one is there.
const GAP: std::time::Duration = ms(3500);

/// Two homes that are registered with these of two relays; the first relay is 0.
fn world(registered: [&[usize]; 2]) -> (World, Vec<RelayUrl>) {
    let mut world = World::new(1);
    world.add_relay();
    for relays in registered {
        let at = world.add_stranger(HOME);
        world.tell_truth(at);
        for relay in relays {
            world.register_at(at, *relay);
        }
    }
    let urls = world.relays.iter().map(|relay| relay.url.clone());
    let urls = urls.collect();
    (world, urls)
}

/// Home 0 dials home 1 with a ticket that names these relays.
fn dial(world: &mut World, relays: &[RelayUrl]) {
    let (peer, addrs) = (world.nodes[1].id, Vec::new());
    let relays = relays.to_vec();
    world.feed(
        0,
        Input::Connect {
            peer,
            relays,
            addrs,
        },
    );
}

#[test]
fn a_relayed_link_moves_to_the_other_relay_when_its_own_dies() {
    let (mut world, relays) = world([&[0, 1], &[0, 1]]);
    dial(&mut world, &relays);
    world.run(ms(200));
    world.hold(0, 1);
    world.talk(0, 1);
    world.run(ms(5000));
    assert!(world.both(PeerState::Relayed));
    world.reset_gaps();
    world.relay_dies();
    world.run(ms(6000));
    for (at, with) in [(0, 1), (1, 0)] {
        let peer = world.nodes[with].id;
        assert_eq!(
            world.nodes[at].machine.route(peer),
            Some(&Route::Relay(relays[1].clone()))
        );
        assert!(world.silence(at, with) <= ms(500));
        let gap = world.nodes[at].gap;
        assert!(gap <= GAP, "{gap:?}");
    }
}

#[test]
fn a_peer_is_found_at_the_second_relay_of_its_ticket() {
    for ours in [&[0][..], &[0, 1]] {
        let (mut world, relays) = world([ours, &[1]]);
        dial(&mut world, &relays);
        world.run(ms(4500));
        let remote = relays[1].clone();
        assert_eq!(world.view(0, 1).path, Some(PathInfo::Relay { remote }));
    }
}

#[test]
fn a_peer_that_is_at_no_relay_is_offline_after_all_were_asked() {
    let (mut world, relays) = world([&[0], &[]]);
    dial(&mut world, &relays);
    let calling = |world: &World| world.state(0, 1) != PeerState::Failed;
    assert!(world.run_while(ms(9500), calling));
    assert_eq!(world.cause(0, 1), Some(Cause::PeerOffline));
    assert!(world.nodes[0].registered.contains_key(&1), "it was asked");
}

#[test]
fn what_another_relay_says_of_a_peer_does_not_end_a_dial() {
    let (mut world, relays) = world([&[0, 1], &[0]]);
    dial(&mut world, &relays[..1]);
    let peer = world.nodes[1].id;
    for _ in 0..5 {
        let relay = relays[1].clone();
        world.feed(0, Input::RelayGone { relay, peer });
    }
    world.run(ms(1000));
    assert_ne!(world.state(0, 1), PeerState::Failed);
    assert!(world.view(0, 1).path.is_some());
}

#[test]
fn a_peer_that_everybody_calls_is_reached_as_soon_as_its_relay_lets_us_through() {
    for turned_away in 1..=3 {
        let (mut world, relays) = world([&[0], &[0]]);
        world.relays[0].busy = turned_away;
        dial(&mut world, &relays[..1]);
        world.run(ms(4500));
        assert!(world.view(0, 1).path.is_some(), "{turned_away}");
    }
}

/// Until a listener whose router forgot it is heard again, at the latest: KEEPALIVE after 17 s, 3 s without an answer, and a
/// registration over a line of half a second.
const FORGOTTEN: std::time::Duration = ms(22_000);

#[test]
fn a_listener_whose_router_forgot_it_is_reached_by_whoever_dials_meanwhile() {
    for since in (0..22_000).step_by(500) {
        let (mut world, relays) = world([&[0], &[0]]);
        world.router_forgets(1, FORGOTTEN);
        world.run(ms(since));
        dial(&mut world, &relays[..1]);
        let unreached = |world: &World| world.cause(0, 1) != Some(Cause::PeerUnreached);
        assert!(
            since > 20_000 || world.run_while(ms(2000), unreached),
            "{since}"
        );
        world.run(FORGOTTEN + ms(3500) - ms(since.min(22_000)));
        assert!(world.view(0, 1).path.is_some(), "{since}");
        assert_eq!(world.nodes[0].failures, [], "{since}");
    }
}

#[test]
fn a_listener_whose_router_forgets_it_after_a_link_ended_is_reached_too() {
    let (mut world, relays) = world([&[0], &[0]]);
    dial(&mut world, &relays[..1]);
    world.run(ms(500));
    world.hold(0, 1);
    world.run(ms(5000));
    world.release(0, 1);
    world.router_forgets(1, FORGOTTEN);
    dial(&mut world, &relays[..1]);
    world.run(ms(10_000));
    assert_eq!(world.cause(0, 1), Some(Cause::PeerUnreached));
    world.run(FORGOTTEN - ms(9500));
    assert_eq!(world.nodes[0].failures, []);
    assert_ne!(world.cause(0, 1), Some(Cause::PeerUnreached));
}

#[test]
fn whoever_is_gone_or_does_not_answer_is_waited_for_no_longer_than_before() {
    let (mut unknown, relays) = world([&[0], &[]]);
    dial(&mut unknown, &relays[..1]);
    let calling = |world: &World| world.state(0, 1) != PeerState::Failed;
    assert!(unknown.run_while(ms(3000), calling));
    assert_eq!(unknown.cause(0, 1), Some(Cause::PeerOffline));

    let (mut silent, relays) = world([&[0], &[0]]);
    silent.relays[0].tells = false;
    silent.router_forgets(1, FORGOTTEN);
    dial(&mut silent, &relays[..1]);
    assert!(silent.run_while(ms(9100), calling));
    assert_eq!(silent.cause(0, 1), Some(Cause::NoAnswer));
}

#[test]
fn who_stays_out_of_reach_of_its_relay_is_given_up_after_24_seconds() {
    let (mut world, relays) = world([&[0], &[0]]);
    world.router_forgets(1, ms(60_000));
    dial(&mut world, &relays[..1]);
    let calling = |world: &World| world.state(0, 1) != PeerState::Failed;
    assert!(!world.run_while(ms(23_900), calling));
    assert!(world.run_while(ms(200), calling));
    let relay = relays[0].clone();
    assert_eq!(world.nodes[0].failures[0].1, Failure::Unreached(relay));
}

#[test]
fn a_peer_that_everybody_calls_at_one_relay_is_called_at_the_other() {
    let (mut world, relays) = world([&[0, 1], &[0, 1]]);
    world.relays[0].busy = usize::MAX;
    dial(&mut world, &relays);
    world.run(ms(5000));
    let remote = relays[1].clone();
    assert_eq!(world.view(0, 1).path, Some(PathInfo::Relay { remote }));
}

#[test]
fn a_peer_is_busy_and_not_offline_if_one_of_its_relays_says_so() {
    let (mut world, relays) = world([&[0, 1], &[0]]);
    world.relays[0].busy = usize::MAX;
    dial(&mut world, &relays);
    let calling = |world: &World| world.state(0, 1) != PeerState::Failed;
    assert!(world.run_while(ms(9500), calling));
    assert_eq!(world.cause(0, 1), Some(Cause::PeerBusy));
}

#[test]
fn a_link_that_stands_is_not_ended_by_a_relay_that_is_busy() {
    let (mut world, relays) = world([&[0], &[0]]);
    dial(&mut world, &relays[..1]);
    world.run(ms(200));
    world.hold(0, 1);
    world.talk(0, 1);
    world.run(ms(3500));
    world.relays[0].busy = usize::MAX;
    world.run(ms(60_000));
    let remote = relays[0].clone();
    assert_eq!(world.view(0, 1).path, Some(PathInfo::Relay { remote }));
    assert!(world.silence(0, 1) <= ms(500));
}

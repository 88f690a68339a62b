//! Two relays: a peer is at one of them, one of them dies, one of them lies.

use std::time::Duration;

use super::world::{Home, World, ms};
use crate::{
    Cause, NatBehavior, PathInfo, PeerState, RelayUrl,
    io::{Failure, Input, Route},
    timing::{LINGER, UNUSED_RELAY},
};

/// Relayed for ever.
const HOME: Home = Home::Symmetric;
/// F3 of the catalogue of faults: the relay of a link is killed, another one is there.
const GAP: Duration = ms(3500);

/// Two homes that are registered with these of two relays; the first relay is 0.
fn world(registered: [&[usize]; 2]) -> (World, Vec<RelayUrl>) {
    world_of(2, registered)
}

/// As [`world`], of so many relays.
fn world_of(count: usize, registered: [&[usize]; 2]) -> (World, Vec<RelayUrl>) {
    let mut world = World::new(1);
    for _ in 1..count {
        world.add_relay();
    }
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
    let (mut world, relays) = relayed();
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

/// A link through the first of two relays that both are registered with.
fn relayed() -> (World, Vec<RelayUrl>) {
    let (mut world, relays) = world([&[0, 1], &[0, 1]]);
    dial(&mut world, &relays);
    world.run(ms(200));
    world.connected(0, 1);
    world.talk(0, 1);
    world.run(ms(5000));
    assert!(world.both(PeerState::Relayed));
    world.reset_gaps();
    (world, relays)
}

fn gap(world: &World) -> Duration {
    let waits = (0..2).map(|at| world.nodes[at].gap.max(world.silence(at, 1 - at)));
    waits.max().unwrap_or_default()
}

#[test]
fn a_relay_that_is_gone_without_a_word_is_missed_by_whoever_sends_by_it() {
    for before in [0, 400, 1000, 3000] {
        let (mut world, relays) = relayed();
        world.run(ms(before));
        world.reset_gaps();
        world.relay_fails(0, false);
        world.run(ms(6000));
        for (at, with) in [(0, 1), (1, 0)] {
            let peer = world.nodes[with].id;
            let route = world.nodes[at].machine.route(peer);
            assert_eq!(route, Some(&Route::Relay(relays[1].clone())), "{before}");
        }
        // Well before the relay is given up.
        assert!(gap(&world) <= GAP / 2, "{before}: {:?}", gap(&world));
    }
}

#[test]
fn the_nearer_of_two_relays_is_called_by_and_the_other_takes_over_without_a_break_when_it_dies() {
    let mut world = World::new(1);
    world.add_relay();
    world.relays[0].beyond = ms(100);
    for _ in 0..2 {
        let at = world.add_stranger(HOME);
        world.tell_truth(at);
        (0..2).for_each(|relay| world.register_at(at, relay));
    }
    let urls: Vec<RelayUrl> = world.relays.iter().map(|it| it.url.clone()).collect();
    let home = |world: &World| world.nodes[1].relays.home().to_vec();
    assert_eq!(home(&world), [urls[1].clone(), urls[0].clone()]);
    let ticket = home(&world);
    dial(&mut world, &ticket);
    world.run(ms(200));
    world.connected(0, 1);
    world.talk(0, 1);
    world.run(ms(15_000));
    let route = |world: &World| world.nodes[0].machine.route(world.nodes[1].id).cloned();
    assert_eq!(route(&world), Some(Route::Relay(urls[1].clone())));
    world.reset_gaps();
    world.relay_fails(1, false);
    world.run(ms(6000));
    assert_eq!(route(&world), Some(Route::Relay(urls[0].clone())));
    assert!(gap(&world) <= GAP, "{:?}", gap(&world));
    assert_eq!(home(&world), urls);
    world.relay_recovers(1);
    world.run(ms(60_000));
    assert_eq!(home(&world), urls, "it may die again");
    world.run(ms(300_000));
    assert_eq!(home(&world), ticket);
    assert_eq!(
        route(&world),
        Some(Route::Relay(urls[0].clone())),
        "a link that works is left alone"
    );
}

#[test]
fn a_link_whose_relay_is_about_to_stop_moves_to_the_other_one_before_it_does() {
    let (mut world, relays) = relayed();
    world.relay_drains(0);
    world.run(ms(2000));
    assert!(gap(&world) <= ms(100), "{:?}", gap(&world));
    for (at, with) in [(0, 1), (1, 0)] {
        let peer = world.nodes[with].id;
        let route = world.nodes[at].machine.route(peer);
        assert_eq!(route, Some(&Route::Relay(relays[1].clone())));
        assert!(!world.nodes[at].registered.contains_key(&0), "it was left");
        assert_eq!(world.nodes[at].relays.home()[0], relays[1]);
    }
    world.relay_fails(0, true);
    world.run(ms(5000));
    assert!(gap(&world) <= ms(100), "{:?}", gap(&world));
    world.relay_recovers(0);
    world.run(ms(20_000));
    assert!(world.nodes[0].registered.contains_key(&0), "it is standby");
}

#[test]
fn a_link_moves_to_the_relay_that_its_own_names_before_that_ends_and_the_tickets_follow() {
    // The last one's relay is another: it visits those.
    for registered in [[&[0][..], &[0]], [&[2], &[0]]] {
        let (mut world, relays) = world_of(3, registered);
        dial(&mut world, &relays[registered[1][0]..][..1]);
        world.run(ms(1000));
        world.connected(0, 1);
        world.talk(0, 1);
        world.run(ms(5000));
        assert!(world.both(PeerState::Relayed));
        world.reset_gaps();
        let carries = registered[1][0];
        world.relay_moves(carries, 1);
        world.run(ms(4000));
        assert!(gap(&world) <= ms(100), "{registered:?}: {:?}", gap(&world));
        for (at, with) in [(0, 1), (1, 0)] {
            let peer = world.nodes[with].id;
            let route = world.nodes[at].machine.route(peer);
            let moved = Some(&Route::Relay(relays[1].clone()));
            assert_eq!(route, moved, "{registered:?}");
            let own = registered[at][0];
            let own = if own == carries { 1 } else { own };
            assert_eq!(world.nodes[at].relays.home(), &relays[own..=own]);
            assert!(!world.nodes[at].registered.contains_key(&carries));
        }
        world.relay_fails(carries, true);
        world.run(ms(60_000));
        assert!(gap(&world) <= ms(100), "{registered:?}: {:?}", gap(&world));
        assert!(
            world
                .nodes
                .iter()
                .all(|node| node.relays.get(&relays[carries]).is_none())
        );
    }
}

#[test]
fn a_relay_that_is_about_to_stop_is_asked_who_is_there_only_where_no_other_is() {
    let (mut world, relays) = world([&[0, 1], &[0, 1]]);
    world.relay_drains(0);
    world.run(ms(100));
    dial(&mut world, &relays);
    world.run(ms(500));
    let route = |world: &World| world.nodes[0].machine.route(world.nodes[1].id).cloned();
    assert_eq!(route(&world), Some(Route::Relay(relays[1].clone())));

    let (mut world, relays) = self::world([&[0], &[0]]);
    world.relay_drains(0);
    world.run(ms(100));
    dial(&mut world, &relays[..1]);
    world.run(ms(500));
    assert_eq!(route(&world), Some(Route::Relay(relays[0].clone())));
}

#[test]
fn a_relay_that_is_about_to_stop_carries_on_where_there_is_no_other_and_is_back_at_once() {
    for restart in [0, 500, 1000] {
        let (mut world, _) = world([&[0], &[0]]);
        world.link(0, 1);
        world.run(ms(5000));
        world.reset_gaps();
        world.relay_drains(0);
        world.run(ms(2000));
        assert!(gap(&world) <= ms(100), "{:?}", gap(&world));
        world.relay_fails(0, true);
        world.run(ms(restart));
        world.relay_recovers(0);
        world.run(ms(5000));
        assert!(world.both(PeerState::Relayed));
        assert!(
            gap(&world) <= ms(restart + 800),
            "{restart}: {:?}",
            gap(&world)
        );
    }
}

#[test]
fn a_peer_that_is_not_at_the_other_relay_is_not_left_by_the_one_that_is_about_to_stop() {
    let (mut world, relays) = world([&[0, 1], &[0]]);
    dial(&mut world, &relays);
    world.run(ms(200));
    world.connected(0, 1);
    world.talk(0, 1);
    world.run(ms(5000));
    world.reset_gaps();
    world.relay_drains(0);
    world.run(ms(10_000));
    assert!(gap(&world) <= ms(100), "{:?}", gap(&world));
    assert!(world.nodes[0].registered.contains_key(&0));
}

#[test]
fn a_relay_that_was_silent_for_a_moment_is_good_for_calls_again() {
    let (mut world, relays) = relayed();
    let is_silent = |world: &World| world.nodes[0].machine.local().relays[&relays[0]].is_silent;
    world.relays[0].up = false;
    world.run(ms(1700));
    assert!(is_silent(&world));
    world.relays[0].up = true;
    world.run(ms(3000));
    assert!(!is_silent(&world));
    assert!(world.nodes[0].registered.contains_key(&0));
    assert!(gap(&world) <= GAP / 2, "{:?}", gap(&world));
}

#[test]
fn a_relay_that_began_anew_is_registered_with_again_as_soon_as_somebody_misses_it() {
    let (mut world, _) = world([&[0], &[0]]);
    world.link(0, 1);
    world.run(ms(5000));
    world.reset_gaps();
    world.relay_fails(0, false);
    world.run(ms(100));
    world.relay_recovers(0);
    world.run(ms(5000));
    assert!(world.both(PeerState::Relayed));
    assert!(gap(&world) <= ms(1000), "{:?}", gap(&world));
}

#[test]
fn nobody_misses_an_idle_relay_before_it_is_asked_and_then_it_is_tried_until_it_is_back() {
    let (mut world, _) = world([&[0], &[0]]);
    world.relay_fails(0, false);
    world.run(ms(10_000));
    let local = |world: &World| world.nodes[0].machine.local().relays.len();
    assert_eq!(local(&world), 1, "it is believed to be there");
    world.run(ms(10_000));
    assert_eq!(local(&world), 0);
    world.run(ms(60_000));
    world.relay_recovers(0);
    world.run(ms(15_000));
    assert_eq!(local(&world), 1);
}

#[test]
fn a_relay_that_is_not_ours_is_kept_for_as_long_as_a_link_needs_it_and_a_minute_more() {
    let (mut world, relays) = world([&[0], &[1]]);
    dial(&mut world, &relays[1..]);
    world.run(ms(500));
    world.connected(0, 1);
    world.talk(0, 1);
    world.run(ms(600_000));
    let is_at = |world: &World| world.nodes[0].registered.contains_key(&1);
    assert!(is_at(&world), "the link needs it");
    world.release(0, 1);
    world.release(1, 0);
    world.run(LINGER + UNUSED_RELAY - ms(1000));
    assert!(is_at(&world), "it may be needed again");
    world.run(ms(5000));
    assert!(!is_at(&world));
}

#[test]
fn the_nat_is_measured_when_we_register_when_we_move_and_every_five_minutes() {
    let mut world = World::new(1);
    world.measures = true;
    let at = world.add_stranger(Home::PortRestricted);
    world.register(at);
    let mapping = |world: &World| world.nodes[at].machine.local().nat.mapping;
    let mut known = Vec::new();
    for home in [Home::Symmetric, Home::FullCone] {
        world.run(ms(60_000));
        known.push((world.nodes[at].measured, mapping(&world)));
        let site = world.vacancy(home, ms(20));
        world.roam(at, site);
    }
    world.run(ms(60_000));
    known.push((world.nodes[at].measured, mapping(&world)));
    let (easy, hard) = (
        NatBehavior::EndpointIndependent,
        NatBehavior::AddressAndPortDependent,
    );
    assert_eq!(known, [(1, easy), (2, hard), (3, easy)]);
    world.run(ms(600_000));
    assert_eq!(world.nodes[at].measured, 5);
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
fn a_peer_that_is_not_at_our_relay_is_called_at_the_one_that_is_found_as_soon_as_it_is() {
    let (mut world, relays) = world([&[0, 1], &[1]]);
    dial(&mut world, &relays[..1]);
    world.run(ms(400));
    dial(&mut world, &relays[1..]);
    world.run(ms(200));
    assert_eq!(world.state(0, 1), PeerState::Punch);
    let remote = relays[1].clone();
    assert_eq!(world.view(0, 1).path, Some(PathInfo::Relay { remote }));
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
const FORGOTTEN: Duration = ms(22_000);

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
    world.connected(0, 1);
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
fn a_peer_is_busy_too_if_another_of_its_relays_is_heard_of_meanwhile() {
    let (mut world, relays) = world([&[0, 1], &[0]]);
    world.relays[0].busy = usize::MAX;
    dial(&mut world, &relays[..1]);
    world.run(ms(1000));
    dial(&mut world, &relays[1..]);
    let calling = |world: &World| world.state(0, 1) != PeerState::Failed;
    assert!(world.run_while(ms(9500), calling));
    assert_eq!(world.cause(0, 1), Some(Cause::PeerBusy));
}

#[test]
fn a_link_that_stands_is_not_ended_by_a_relay_that_is_busy() {
    let (mut world, relays) = world([&[0], &[0]]);
    dial(&mut world, &relays[..1]);
    world.run(ms(200));
    world.connected(0, 1);
    world.talk(0, 1);
    world.run(ms(3500));
    world.relays[0].busy = usize::MAX;
    world.run(ms(60_000));
    let remote = relays[0].clone();
    assert_eq!(world.view(0, 1).path, Some(PathInfo::Relay { remote }));
    assert!(world.silence(0, 1) <= ms(500));
}

//! Hosts that move, routers that forget, and paths that break in one direction.

use std::time::Duration;

use super::world::{Absence, Home, Plan, Ports, Style, World, ms};
use crate::{
    NatBehavior, PeerState,
    io::{Input, Route},
};

/// The round trip between a home and the relay.
const RELAY_RTT: Duration = ms(40);

fn linked(a: impl Into<Plan>, b: impl Into<Plan>) -> World {
    let mut world = World::pair(a.into(), b.into());
    world.link(0, 1);
    world.run(ms(4000));
    assert!(world.both(PeerState::Direct));
    world.reset_gaps();
    world
}

/// The longest wait of either application.
fn gap(world: &World) -> Duration {
    let waits = (0..2).map(|at| world.nodes[at].gap.max(world.silence(at, 1 - at)));
    waits.max().unwrap_or_default()
}

/// A home router that gives a host one port for everything, another one each time.
fn rolling() -> Plan {
    Plan::v4(vec![Style {
        mapping: NatBehavior::EndpointIndependent,
        ports: Ports::Random {
            first: 1024,
            last: u16::MAX,
        },
        ..Style::LINUX
    }])
}

#[test]
fn a_black_hole_in_any_direction_is_bridged_within_half_a_second() {
    for holes in [vec![(0, 1)], vec![(1, 0)], vec![(0, 1), (1, 0)]] {
        for phase in [0, 7, 13, 29, 41] {
            let mut world = linked(Home::PortRestricted, Home::PortRestricted);
            world.run(ms(phase));
            world.holes.clone_from(&holes);
            world.run(ms(5000));
            assert!(gap(&world) <= ms(500), "{holes:?}: {:?}", gap(&world));
            world.holes.clear();
            world.run(ms(3000));
            assert!(gap(&world) <= ms(500), "{holes:?}: {:?}", gap(&world));
            assert!(world.both(PeerState::Direct), "{holes:?}");
        }
    }
}

#[test]
fn data_flows_again_soon_after_either_side_has_moved() {
    use Home::{Dual, FullCone, PortRestricted, Public, Six};
    for (from, to) in [
        (PortRestricted, PortRestricted),
        (PortRestricted, Public),
        (Public, PortRestricted),
        (Dual, PortRestricted),
        (PortRestricted, Dual),
        (Dual, Six),
        (Six, Dual),
        (Dual, Dual),
    ] {
        for other in [PortRestricted, FullCone, Public, Dual] {
            for mover in [0, 1] {
                if (from == Six || to == Six) && other != Dual {
                    continue;
                }
                let (a, b) = if mover == 0 {
                    (from, other)
                } else {
                    (other, from)
                };
                let mut world = linked(a, b);
                let site = world.vacancy(to, ms(20));
                let moved = world.elapsed();
                world.roam(mover, site);
                let what = format!("{from:?} to {to:?}, peer {other:?}, mover {mover}");
                assert!(
                    world.run_while(ms(1500), |world| !world.both(PeerState::Direct)
                        || world.elapsed() < moved + ms(100)),
                    "{what}"
                );
                world.run(ms(2000));
                assert!(
                    gap(&world) <= RELAY_RTT + ms(300),
                    "{what}: {:?}",
                    gap(&world)
                );
                assert!(
                    world.both(PeerState::Direct),
                    "{what} {:?} {:?} {:?} {:?}",
                    world.nodes[0].states,
                    world.nodes[1].states,
                    world.nodes[0].sent_to,
                    world.nodes[1].sent_to
                );
                assert_eq!(world.first(0, PeerState::Failed, moved), None, "{what}");
            }
        }
    }
}

#[test]
fn a_host_that_moves_again_and_again_between_families_is_direct_each_time() {
    let mut world = linked(Home::PortRestricted, Home::Dual);
    let hard = Plan {
        v6: Some(Style::FIREWALL),
        ..Home::Symmetric.into()
    };
    let places = [hard, Home::Six.into(), Home::PortRestricted.into()];
    for to in places.iter().cycle().take(12) {
        let site = world.vacancy(to.clone(), ms(20));
        let moved = world.elapsed();
        world.roam(0, site);
        assert!(
            world.run_while(ms(1500), |world| !world.both(PeerState::Direct)
                || world.elapsed() < moved + ms(100)),
            "{to:?} {:?}",
            world.elapsed()
        );
        world.run(ms(2000));
    }
    assert!(gap(&world) <= RELAY_RTT + ms(300), "{:?}", gap(&world));
}

#[test]
fn a_host_that_is_nowhere_for_a_while_is_back_at_once_wherever_it_turns_up() {
    for other in [Home::PortRestricted, Home::Public] {
        let mut world = linked(Home::PortRestricted, other);
        let site = world.vacancy(Home::PortRestricted, ms(20));
        world.net.part(0);
        world.feed(
            0,
            Input::Interfaces {
                addrs: Vec::new(),
                lost_route: true,
            },
        );
        world.run(ms(4000));
        assert!(!world.both(PeerState::Direct));
        world.roam(0, site);
        world.reset_gaps();
        assert!(
            world.run_while(ms(1500), |world| !world.both(PeerState::Direct)),
            "{other:?}"
        );
        world.run(ms(1000));
        assert!(gap(&world) <= RELAY_RTT + ms(300), "{:?}", gap(&world));
    }
}

#[test]
fn a_router_that_gives_another_port_is_followed_within_half_a_second() {
    for other in [Home::Public, Home::FullCone, Home::PortRestricted] {
        for _ in 0..3 {
            let mut world = linked(rolling(), other);
            for _ in 0..6 {
                world.flush(0);
                world.run(ms(3000));
                assert!(gap(&world) <= ms(500), "{other:?}: {:?}", gap(&world));
                assert!(
                    world.both(PeerState::Direct),
                    "{other:?} {:?} {:?}",
                    world.nodes[0].states,
                    world.nodes[1].states
                );
            }
        }
    }
}

#[test]
fn a_router_whose_mappings_die_at_a_regular_age_is_expected_to_do_it_again() {
    for period in [30_000, 61_000] {
        let mut world = linked(rolling(), Home::PortRestricted);
        let mut gaps = Vec::new();
        for _ in 0..8 {
            world.run(ms(period));
            world.flush(0);
            world.reset_gaps();
            world.run(ms(2000));
            gaps.push(gap(&world));
            assert!(world.both(PeerState::Direct));
        }
        assert!(gaps[..2].iter().all(|gap| *gap > ms(150)), "{gaps:?}");
        assert!(gaps[4..].iter().all(|gap| *gap <= ms(100)), "{gaps:?}");
    }
}

#[test]
fn routers_that_both_forget_everything_cost_no_more_than_a_second() {
    for (a, b) in [
        (
            Plan::from(Home::PortRestricted),
            Home::PortRestricted.into(),
        ),
        (rolling(), rolling()),
        (rolling(), Home::Public.into()),
    ] {
        let mut world = linked(a, b);
        world.flush(0);
        world.flush(1);
        world.run(ms(5000));
        assert!(gap(&world) <= ms(1000), "{:?}", gap(&world));
        assert!(
            world.both(PeerState::Direct),
            "{:?} {:?}",
            world.nodes[0].states,
            world.nodes[1].states
        );
    }
}

#[test]
fn an_uplink_that_is_away_for_five_seconds_carries_data_soon_after_its_return() {
    let mut world = linked(Home::PortRestricted, Home::PortRestricted);
    let site = world.nodes[0].site;
    let dead = |world: &mut World, dead| {
        world.net.sites[site].up.dead = dead;
        world.net.sites[site].down.dead = dead;
    };
    dead(&mut world, true);
    world.run(ms(5000));
    dead(&mut world, false);
    world.reset_gaps();
    world.run(ms(4000));
    assert!(gap(&world) <= ms(600), "{:?}", gap(&world));
    assert!(
        world.both(PeerState::Direct),
        "{:?} {:?}",
        world.nodes[0].states,
        world.nodes[1].states
    );
}

#[test]
fn after_sleep_data_flows_within_a_second() {
    for seconds in [10, 50] {
        for sleeper in [0, 1] {
            let mut world = linked(Home::PortRestricted, Home::PortRestricted);
            world.absent(sleeper, ms(seconds * 1000), Absence::Asleep);
            world.run(ms(seconds * 1000));
            world.reset_gaps();
            world.run(ms(5000));
            assert!(gap(&world) <= ms(500), "{seconds} s: {:?}", gap(&world));
            assert!(world.both(PeerState::Direct), "{seconds} s");
        }
    }
}

#[test]
fn who_wakes_up_sends_by_both_ways_at_once() {
    for sleeper in [0, 1] {
        let mut world = linked(Home::PortRestricted, Home::PortRestricted);
        world.feed(sleeper, Input::Resumed);
        let peer = world.nodes[1 - sleeper].id;
        let route = world.nodes[sleeper].machine.route(peer);
        assert!(matches!(route, Some(Route::Both(..))), "{route:?}");
        world.run(ms(1000));
        assert!(world.both(PeerState::Direct));
    }
}

#[test]
fn who_wakes_up_on_a_relay_looks_for_a_direct_path_at_once() {
    let mut world = World::pair(Home::PortRestricted, Home::PortRestricted);
    world.cut = true;
    world.link(0, 1);
    world.run(ms(130_000));
    assert!(world.run_while(ms(5000), |world| !world.both(PeerState::Relayed)));
    world.cut = false;
    world.feed(0, Input::Resumed);
    world.run(ms(1000));
    assert!(world.both(PeerState::Direct));
}

#[test]
fn who_asks_for_a_direct_path_has_it_looked_for_at_once() {
    let mut world = World::pair(Home::PortRestricted, Home::PortRestricted);
    world.cut = true;
    world.link(0, 1);
    world.run(ms(130_000));
    assert!(world.run_while(ms(5000), |world| !world.both(PeerState::Relayed)));
    world.cut = false;
    let peer = world.nodes[1].id;
    world.feed(0, Input::Retry { peer });
    world.run(ms(1000));
    assert!(world.both(PeerState::Direct));
}

#[test]
fn a_stalled_process_does_not_take_its_own_silence_for_a_dead_path() {
    for stall in [500, 2000, 4000] {
        for phase in [0, 17, 33] {
            let mut world = linked(Home::PortRestricted, Home::PortRestricted);
            world.run(ms(phase));
            let before = world.elapsed();
            world.absent(0, ms(stall), Absence::Stalled);
            world.run(ms(stall));
            world.reset_gaps();
            world.run(ms(4000));
            assert!(world.both(PeerState::Direct), "{stall}");
            assert!(gap(&world) <= ms(300), "{stall}: {:?}", gap(&world));
            let left = world.first(0, PeerState::Relayed, before);
            assert_eq!(left, None, "{stall}: the path was given up");
        }
    }
}

#[test]
fn what_is_learnt_while_a_peer_is_being_met_is_told_to_it_at_once() {
    for (dialler, dialled) in [(0, 1), (1, 0)] {
        for after in (0..300).step_by(20) {
            let mut world = World::pair(Home::Symmetric, Home::SymmetricMapped);
            world.feed(1, Input::PortMapped(None));
            world.connect(dialler, dialled);
            world.run(ms(after));
            let (router, host) = (world.net.chain(1)[0], world.nodes[1].host);
            let port = world.net.nats[router].forward(host.port(), host);
            world.feed(1, Input::PortMapped(Some(port)));
            world.run(ms(400));
            assert!(world.both(PeerState::Direct), "{dialler}, {after} ms");
        }
    }
}

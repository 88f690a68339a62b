//! Who does what is advised goes direct.

use super::scenes::{
    absent, carrier, cast_out, dropped, firewall, lost, relay_only, settled, told, unmeasured,
};
use crate::{
    Action, PathPolicy, PeerState,
    Side::{Here, There},
    io::Input,
    tests::world::{Home, Plan, Setup, Style, World, ms},
};

const EASY: Home = Home::PortRestricted;

fn advice(world: &World, at: usize, with: usize) -> Option<Action> {
    world.view(at, with).why.and_then(|why| why.action)
}

fn goes_direct(world: &mut World) -> bool {
    world.run_while(ms(70_000), |world| !world.both(PeerState::Direct))
}

/// A link between two homes that is used.
fn linked(a: impl Into<Setup>, b: impl Into<Setup>) -> World {
    let mut world = World::pair(a, b);
    world.link(0, 1);
    world
}

#[test]
fn to_start_the_peer() {
    let mut world = absent();
    world.connect(0, 1);
    world.run(ms(3000));
    assert_eq!(advice(&world, 0, 1), Some(Action::StartPeer));
    world.register(1);
    assert!(goes_direct(&mut world));
}

#[test]
fn to_dial_with_a_ticket() {
    let mut world = lost(10);
    assert_eq!(advice(&world, 0, 1), Some(Action::UseTicket));
    world.connect(0, 1);
    assert!(goes_direct(&mut world));
}

#[test]
fn to_check_the_relay() {
    let mut world = cast_out();
    world.connect(0, 1);
    world.run(ms(9100));
    assert_eq!(advice(&world, 0, 1), Some(Action::CheckRelay));
    world.relay_returns();
    assert!(goes_direct(&mut world));
}

#[test]
fn to_start_without_relay_only() {
    for at in [0, 1] {
        let world = relay_only(at);
        let side = [Here, There][at];
        assert_eq!(advice(&world, 0, 1), Some(Action::AllowDirect { side }));
        assert!(goes_direct(&mut linked(EASY, EASY)));
    }
}

#[test]
fn to_allow_all_paths_to_this_peer() {
    let mut world = told(PathPolicy::RelayOnly, EASY);
    assert_eq!(advice(&world, 0, 1), Some(Action::AllowAll));
    let peer = world.nodes[1].id;
    let policy = PathPolicy::Auto;
    world.feed(0, Input::Policy { peer, policy });
    assert!(goes_direct(&mut world));
}

#[test]
fn to_probe_addresses_again_that_were_dropped() {
    let mut world = dropped(EASY);
    assert_eq!(advice(&world, 0, 1), Some(Action::Retry));
    let peer = world.nodes[1].id;
    world.feed(0, Input::Retry { peer });
    assert!(goes_direct(&mut world));
}

#[test]
fn to_allow_guesses() {
    let pair = |willing| {
        let mut world = World::new(1);
        for (node, home) in [EASY, Home::Symmetric].into_iter().enumerate() {
            world.add(Setup {
                guess_ports: willing || node == 1,
                ..home.into()
            });
        }
        world.link(0, 1);
        world
    };
    let mut world = pair(false);
    world.run(ms(12_500));
    for (at, side) in [(0, Here), (1, There)] {
        assert_eq!(
            advice(&world, at, 1 - at),
            Some(Action::AllowGuessing { side })
        );
    }
    assert!(goes_direct(&mut pair(true)));
}

#[test]
fn to_have_either_router_forward_a_port() {
    let world = settled(Home::Symmetric, Home::Symmetric);
    assert_eq!(advice(&world, 0, 1), Some(Action::MapPort { side: None }));
    assert!(goes_direct(&mut linked(
        Home::SymmetricMapped,
        Home::Symmetric
    )));
    assert!(goes_direct(&mut linked(
        Home::Symmetric,
        Home::SymmetricMapped
    )));
}

#[test]
fn to_have_one_router_forward_a_port() {
    let world = unmeasured();
    for (at, side) in [(0, Here), (1, There)] {
        let side = Some(side);
        assert_eq!(advice(&world, at, 1 - at), Some(Action::MapPort { side }));
    }
    assert!(goes_direct(&mut linked(Home::SymmetricMapped, EASY)));
}

#[test]
fn to_get_a_public_address() {
    let world = super::scenes::inner_mapping();
    for (at, side) in [(0, Here), (1, There)] {
        assert_eq!(
            advice(&world, at, 1 - at),
            Some(Action::PublicAddress { side })
        );
    }
    // Without the provider's router the port that ours forwards is one that everybody can reach.
    let public = Plan::v4(vec![Style {
        forwards: true,
        ..Style::LINUX
    }]);
    assert!(goes_direct(&mut linked(public, Home::Symmetric)));
}

#[test]
fn to_let_udp_in() {
    let mut world = firewall();
    let here = Action::OpenPort {
        side: Some(Here),
        port: Some(crate::tests::world::PORT),
    };
    let there = Action::OpenPort {
        side: Some(There),
        port: None,
    };
    assert_eq!(advice(&world, 0, 1), Some(here));
    assert_eq!(advice(&world, 1, 0), Some(there));
    world.holes.clear();
    assert!(goes_direct(&mut world));
}

#[test]
fn to_let_udp_out_of_a_guest_network() {
    let mut world = super::scenes::guest();
    assert_eq!(advice(&world, 0, 1), Some(Action::AllowUdp { side: There }));
    assert_eq!(advice(&world, 1, 0), Some(Action::AllowUdp { side: Here }));
    let site = world.nodes[1].site;
    world.net.sites[site].blocked = false;
    assert!(goes_direct(&mut world));
}

#[test]
fn to_get_ipv6() {
    let world = settled(Home::Six, EASY);
    assert_eq!(advice(&world, 0, 1), Some(Action::GetIpv6 { side: There }));
    assert_eq!(advice(&world, 1, 0), Some(Action::GetIpv6 { side: Here }));
    assert!(goes_direct(&mut linked(Home::Six, Home::Dual)));
}

#[test]
fn to_let_neighbours_meet() {
    assert_eq!(advice(&carrier(false), 0, 1), Some(Action::AllowNeighbours));
    assert!(goes_direct(&mut carrier(true)));
}

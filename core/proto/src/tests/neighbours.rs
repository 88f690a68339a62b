//! Peers behind the same NAT, or the same carrier's, meet without leaving it where it lets them.

use super::world::{Home, Plan, Setup, Style, World, ms};
use crate::{NatBehavior, PathInfo, PeerState, addr::Scope};

#[test]
fn hosts_of_one_home_meet_on_their_own_network() {
    let mut world = World::new(1);
    world.add(Home::PortRestricted);
    world.add(Setup {
        with: Some(0),
        ..Home::PortRestricted.into()
    });
    world.connect(0, 1);
    world.run(ms(1000));
    for (at, with) in [(0, 1), (1, 0)] {
        let host = world.nodes[with].host;
        let path = Some(PathInfo::Direct {
            remote: host,
            lan: true,
            tcp: false,
        });
        assert_eq!(world.view(at, with).path, path);
    }
}

#[test]
fn customers_of_a_carrier_that_turns_packets_round_meet_at_their_public_addresses() {
    let carrier = Style {
        hairpin: true,
        mapping: NatBehavior::EndpointIndependent,
        filtering: NatBehavior::EndpointIndependent,
        ..Style::LINUX
    };
    let world = customers(carrier, Home::PortRestricted);
    assert!(world.both(PeerState::Direct));
}

#[test]
fn customers_of_a_carrier_that_does_not_meet_where_the_inner_router_forwards_a_port() {
    let mapped = customers(Style::LINUX, Home::SymmetricMapped);
    assert!(mapped.both(PeerState::Direct));
    for (at, with) in [(0, 1), (1, 0)] {
        match mapped.view(at, with).path {
            Some(PathInfo::Direct { remote, .. }) => {
                assert_eq!(Scope::of(remote.ip()), Scope::Shared);
            }
            path => panic!("{path:?}"),
        }
    }
    let plain = customers(Style::LINUX, Home::Symmetric);
    assert!(
        !plain.both(PeerState::Direct),
        "so it was the forwarded port"
    );
}

/// Two homes behind one carrier, after the one has dialled the other.
fn customers(carrier: Style, home: Home) -> World {
    let mut world = World::new(1);
    let carrier = world.add_carrier(carrier);
    for _ in 0..2 {
        world.add(Plan {
            carrier: Some(carrier),
            ..home.into()
        });
    }
    world.connect(0, 1);
    world.run(ms(4000));
    world
}

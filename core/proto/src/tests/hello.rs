//! Dials: lost messages, peers that are not there, and nodes that want no direct path or no strangers.

use std::net::SocketAddr;

use super::world::{Home, Setup, World, ms, relay};
use crate::{
    Access, Cause, PeerState, SecretKey, Side,
    io::{Failure, Input},
};

const HOME: Home = Home::PortRestricted;

#[test]
fn a_peer_that_is_not_registered_is_offline_within_three_seconds() {
    let mut world = World::pair(HOME, HOME);
    world.unregister(1);
    world.connect(0, 1);
    world.run(ms(3000));
    let (when, why) = world.nodes[0].failures[0].clone();
    assert_eq!(why, Failure::Offline(relay()));
    assert!(when <= ms(3000), "{when:?}");
    assert_eq!(world.state(0, 1), PeerState::Failed);
    assert_eq!(world.cause(0, 1), Some(Cause::PeerOffline));
}

#[test]
fn a_peer_that_registers_a_moment_later_is_met() {
    let mut world = World::pair(HOME, HOME);
    world.unregister(1);
    world.connect(0, 1);
    world.run(ms(900));
    world.register(1);
    world.run(ms(1500));
    assert!(world.both(PeerState::Direct));
    assert!(world.nodes[0].failures.is_empty());
}

#[test]
fn whoever_asks_has_a_peer_that_failed_tried_again_now_also_by_a_relay_alone() {
    let setup = || Setup {
        relay_only: true,
        ..HOME.into()
    };
    let mut world = World::pair(setup(), setup());
    world.unregister(1);
    world.connect(0, 1);
    world.run(ms(59_000));
    assert_eq!(world.state(0, 1), PeerState::Failed);
    world.register(1);
    let peer = world.nodes[1].id;
    world.feed(0, Input::Retry { peer });
    world.run(ms(300));
    assert_eq!(world.state(0, 1), PeerState::Relayed);
}

#[test]
fn a_peer_that_is_still_wanted_is_tried_again_and_found_when_it_is_back() {
    let mut world = World::pair(HOME, HOME);
    world.unregister(1);
    world.connect(0, 1);
    world.run(ms(60_000));
    assert!(world.nodes[0].failures.len() >= 3);
    world.register(1);
    assert!(world.run_while(ms(35_000), |world| !world.both(PeerState::Direct)));
}

#[test]
fn a_peer_that_nobody_wants_any_more_is_not_tried_again() {
    let mut world = World::pair(HOME, HOME);
    world.unregister(1);
    world.connect(0, 1);
    world.run(ms(3000));
    world.release(0, 1);
    world.run(ms(15_000));
    let signals = world.nodes[0].signals;
    world.run(ms(120_000));
    assert_eq!(world.nodes[0].signals, signals);
    assert_eq!(world.state(0, 1), PeerState::Idle);
}

#[test]
fn a_lost_intro_or_answer_delays_the_link_but_does_not_prevent_it() {
    for before in [0, 50] {
        let mut world = World::pair(HOME, HOME);
        if before == 0 {
            world.lose_signals = 1;
        }
        world.connect(0, 1);
        world.run(ms(before));
        if before > 0 {
            // The INTRO is there, its answer is under way.
            world.relays[0].up = false;
            world.run(ms(50));
            world.relays[0].up = true;
        }
        world.run(ms(4000));
        assert!(world.both(PeerState::Direct), "{before}");
    }
}

#[test]
fn a_dial_without_any_answer_fails_after_three_attempts() {
    let mut world = World::pair(HOME, HOME);
    world.lose_signals = usize::MAX;
    world.connect(0, 1);
    world.run(ms(9000));
    assert_eq!(world.nodes[0].failures, [(ms(9000), Failure::Silent)]);
    assert_eq!(world.nodes[0].signals, 3);
}

#[test]
fn without_a_relay_and_without_addresses_a_dial_fails_at_once() {
    let mut world = World::pair(HOME, HOME);
    let peer = world.nodes[1].id;
    world.feed(
        0,
        Input::Connect {
            peer,
            relays: vec![],
            addrs: vec![],
        },
    );
    assert_eq!(world.nodes[0].failures, [(ms(0), Failure::NoAddress)]);
}

#[test]
fn a_relay_that_is_not_up_yet_is_waited_for() {
    let mut world = World::pair(HOME, HOME);
    world.relay_dies();
    world.connect(0, 1);
    world.run(ms(1000));
    assert_eq!(world.nodes[0].signals, 0);
    world.relay_returns();
    world.run(ms(1000));
    assert!(world.both(PeerState::Direct));
}

#[test]
fn a_public_peer_is_reached_by_its_address_without_any_relay() {
    for home in [Home::Public, Home::PortRestricted, Home::Symmetric] {
        let mut world = World::pair(home, Home::Public);
        world.relay_dies();
        let (peer, addr) = (world.nodes[1].id, world.nodes[1].host);
        world.feed(
            0,
            Input::Connect {
                peer,
                relays: vec![],
                addrs: vec![addr],
            },
        );
        world.run(ms(4000));
        assert!(world.both(PeerState::Direct), "{home:?}");
        assert!(world.nodes[1].failures.is_empty(), "{home:?}");
    }
}

#[test]
fn a_peer_that_knows_nothing_of_its_forwarded_port_is_reached_by_it_without_any_relay() {
    let mut world = World::pair(HOME, Home::SymmetricMapped);
    world.relay_dies();
    world.feed(1, Input::PortMapped(None));
    let (peer, addr) = (world.nodes[1].id, (world.public(1), 40000).into());
    world.feed(
        0,
        Input::Connect {
            peer,
            relays: vec![],
            addrs: vec![addr],
        },
    );
    world.run(ms(6000));
    assert!(world.both(PeerState::Direct));
    assert!(world.nodes[1].failures.is_empty());
}

#[test]
fn a_port_of_a_router_that_believes_itself_behind_another_is_tried_where_relays_see_it() {
    let mut world = World::pair(Home::Symmetric, Home::SymmetricMapped);
    world.feed(
        1,
        Input::PortMapped(Some("100.64.0.5:40000".parse().unwrap())),
    );
    world.connect(0, 1);
    world.run(ms(4000));
    assert!(world.both(PeerState::Direct));
}

#[test]
fn a_lost_intro_to_an_address_is_repeated() {
    let mut world = World::pair(HOME, Home::Public);
    world.relay_dies();
    world.cut = true;
    let (peer, addr) = (world.nodes[1].id, world.nodes[1].host);
    world.feed(
        0,
        Input::Connect {
            peer,
            relays: vec![],
            addrs: vec![addr],
        },
    );
    world.run(ms(100));
    world.cut = false;
    world.run(ms(1000));
    assert_eq!(world.state(0, 1), PeerState::Direct);
}

#[test]
fn who_wants_relays_only_sends_no_datagram_and_gets_none() {
    for at in [0, 1] {
        let mut world = World::new(1);
        for node in [0, 1] {
            world.add(Setup {
                relay_only: node == at,
                ..HOME.into()
            });
        }
        world.link(0, 1);
        world.run(ms(70_000));
        assert!(world.both(PeerState::Relayed));
        let side = [Side::Here, Side::There];
        assert_eq!(world.cause(0, 1), Some(Cause::RelayOnly { side: side[at] }));
        assert_eq!(
            world.cause(1, 0),
            Some(Cause::RelayOnly { side: side[1 - at] })
        );
        assert_eq!(
            world.nodes[0].machine.datagrams + world.nodes[1].machine.datagrams,
            0
        );
    }
}

#[test]
fn who_wants_relays_only_does_not_even_dial_an_address() {
    let mut world = World::new(1);
    world.add(Setup {
        relay_only: true,
        ..HOME.into()
    });
    world.add(Home::Public);
    let (peer, addr) = (world.nodes[1].id, world.nodes[1].host);
    world.feed(
        0,
        Input::Connect {
            peer,
            relays: vec![relay()],
            addrs: vec![addr],
        },
    );
    world.run(ms(3000));
    assert!(world.both(PeerState::Relayed));
}

#[test]
fn who_is_not_let_in_gets_no_answer_at_all() {
    let mut world = World::new(1);
    world.add(HOME);
    world.add(Setup {
        access: Access::Only(vec![]),
        ..HOME.into()
    });
    world.connect(0, 1);
    world.run(ms(10_000));
    let silent = &world.nodes[1];
    assert_eq!((silent.signals, silent.machine.datagrams), (0, 0));
    // Its owner hears of it, however often it said hello.
    let callers = silent.machine.turned_away(world.now);
    let callers: Vec<_> = callers.iter().map(|caller| caller.id).collect();
    assert_eq!(callers, [world.nodes[0].id]);
    assert_eq!(world.nodes[0].failures[0].1, Failure::Silent);
}

#[test]
fn who_lets_nobody_in_can_still_dial() {
    let mut world = World::new(1);
    world.add(Setup {
        access: Access::Only(vec![]),
        ..HOME.into()
    });
    world.add(HOME);
    world.connect(0, 1);
    world.run(ms(1000));
    assert!(world.both(PeerState::Direct));
}

#[test]
fn who_is_let_in_by_name_is_answered() {
    let caller = SecretKey::from_seed(&[1; 32]).id();
    let mut world = World::new(1);
    world.add(HOME);
    world.add(Setup {
        access: Access::Only(vec![caller]),
        ..HOME.into()
    });
    world.connect(0, 1);
    world.run(ms(1000));
    assert!(world.both(PeerState::Direct));
}

#[test]
fn a_relay_sees_nothing_of_candidates_in_what_it_forwards() {
    let mut world = World::pair(Home::PortRestricted, Home::Double);
    world.connect(0, 1);
    world.run(ms(3000));
    world.flush(0);
    world.run(ms(3000));
    assert!(world.recorded.len() >= 2);
    for node in &world.nodes {
        let SocketAddr::V4(host) = node.host else {
            panic!("{}", node.host);
        };
        let secret = [&host.ip().octets()[..], &host.port().to_be_bytes()].concat();
        for (_, message) in &world.recorded {
            let shown = |part: &[u8]| message.windows(part.len()).any(|window| window == part);
            assert!(!shown(&secret) && !shown(&host.ip().octets()));
        }
    }
}

#[test]
fn a_probe_that_overtakes_the_answer_to_a_hello_is_asked_back_until_it_answers() {
    let mut world = World::pair(Home::SymmetricMapped, Home::PortRestricted);
    world.connect(0, 1);
    world.run(ms(3000));
    for at in [0, 1] {
        world.release(at, 1 - at);
    }
    world.run(ms(30_000));
    for at in [0, 1] {
        world.flush(at);
    }
    let again = world.elapsed();
    world.connect(0, 1);
    // The router of the first home gives what comes in another source than the one that the hello names.
    world.run(ms(100));
    assert_eq!(world.state(0, 1), PeerState::Punch);
    assert!(world.run_while(ms(1000), |world| !world.both(PeerState::Direct)));
    let took = world.first(0, PeerState::Direct, again).unwrap() - again;
    assert!(took <= ms(160), "{took:?}");
}

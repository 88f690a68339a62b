//! Hellos between computers whose clocks are apart, where no relay tells the time: on one network, or by address.

use super::world::{Home, Setup, World, ms};
use crate::{
    Access, PeerState,
    io::{Failure, Input, Sock},
    wire::datagram::DatagramKind,
};

const HOUR: i64 = 3_600_000;
/// From the world's time to 1970.
const TO_1970: i64 = -1_790_000_000_000;
const OFF: [i64; 6] = [
    -HOUR,
    HOUR,
    -100 * HOUR,
    100 * HOUR,
    TO_1970,
    TO_1970 + HOUR,
];

/// Two hosts without a relay whose clocks are off by so much.
fn apart(first: i64, second: i64) -> World {
    let mut world = World::new(1);
    world.relay_dies();
    for off_ms in [first, second] {
        world.off_ms = off_ms;
        world.add_stranger(Home::Public);
    }
    world
}

fn dial(world: &mut World, from: usize, to: usize) {
    let (peer, addr) = (world.nodes[to].id, world.nodes[to].host);
    world.feed(
        from,
        Input::Connect {
            peer,
            relays: vec![],
            addrs: vec![addr],
        },
    );
}

fn leave(world: &mut World) {
    for at in [0, 1] {
        world.release(at, 1 - at);
    }
    world.run(ms(30_000));
    assert!(world.both(PeerState::Idle));
}

/// Has a node come back with a clock that is off by so much.
fn comes_back(world: &mut World, at: usize, off_ms: i64) {
    world.off_ms = off_ms;
    world.restart(at);
}

#[test]
fn clocks_that_are_apart_cost_one_more_round_trip() {
    let took = |first, second| {
        let mut world = apart(first, second);
        dial(&mut world, 0, 1);
        world.run(ms(2000));
        assert!(world.both(PeerState::Direct), "{first} {second}");
        world.first(0, PeerState::Direct, ms(0)).unwrap()
    };
    let alike = took(0, 0);
    let there_and_back = ms(85);
    for off in OFF {
        for (first, second) in [(off, 0), (0, off)] {
            let took = took(first, second);
            assert!(took <= alike + there_and_back, "{first} {second} {took:?}");
        }
    }
}

#[test]
fn a_known_peer_whose_clock_went_back_is_met_at_once_in_both_directions() {
    for off in OFF {
        for (moved, dials) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let mut world = apart(0, 0);
            dial(&mut world, 0, 1);
            world.run(ms(2000));
            leave(&mut world);
            dial(&mut world, 1, 0);
            world.run(ms(2000));
            leave(&mut world);
            comes_back(&mut world, moved, off);
            dial(&mut world, dials, 1 - dials);
            world.run(ms(500));
            assert!(world.both(PeerState::Direct), "{off} {moved} {dials}");
            // And again, as what was learnt of the other's clock holds.
            leave(&mut world);
            dial(&mut world, dials, 1 - dials);
            world.run(ms(200));
            assert!(world.both(PeerState::Direct), "{off} {moved} {dials}");
        }
    }
}

#[test]
fn a_clock_that_is_set_right_while_the_peer_knows_hellos_from_its_future_is_no_obstacle() {
    let mut world = apart(20 * HOUR, 0);
    dial(&mut world, 0, 1);
    world.run(ms(2000));
    assert!(world.both(PeerState::Direct));
    leave(&mut world);
    comes_back(&mut world, 0, 0);
    dial(&mut world, 0, 1);
    world.run(ms(500));
    assert!(world.both(PeerState::Direct));
}

/// The hellos that a node got directly, in order.
fn hellos(world: &World, at: usize) -> Vec<Vec<u8>> {
    let datagrams = world.probes.iter();
    let hellos = datagrams
        .filter(|(to, _, bytes)| *to == at && DatagramKind::of(bytes) == Some(DatagramKind::Intro));
    hellos.map(|(.., bytes)| bytes.clone()).collect()
}

/// A world in which two have met, twice, and left, and the hellos of the first.
fn recorded() -> (World, Vec<Vec<u8>>) {
    let mut world = apart(0, 0);
    for _ in 0..2 {
        dial(&mut world, 0, 1);
        world.run(ms(2000));
        leave(&mut world);
    }
    let hellos = hellos(&world, 1);
    assert!(hellos.len() >= 2);
    (world, hellos)
}

fn replay(world: &mut World, bytes: &[u8]) {
    let (sock, source) = (Sock::MAIN, "82.7.7.7:40000".parse().unwrap());
    world.feed(
        1,
        Input::Datagram {
            sock,
            source,
            bytes,
        },
    );
}

#[test]
fn hellos_that_are_sent_again_bring_forty_two_bytes_at_most_and_no_link() {
    let (mut world, hellos) = recorded();
    let source = "82.7.7.7:40000".parse().unwrap();
    for nth in 0..1000_usize {
        replay(&mut world, &hellos[nth % hellos.len()]);
        world.run(ms(10));
        assert_eq!(world.state(1, 0), PeerState::Idle);
    }
    let bytes = world.nodes[1].bytes_to.get(&source).copied();
    let bytes = bytes.unwrap_or_default();
    assert!(0 < bytes && bytes <= 1000 * 42, "{bytes}");
    // Nor do they harm those who mean it.
    dial(&mut world, 0, 1);
    world.run(ms(500));
    assert!(world.both(PeerState::Direct));
}

#[test]
fn stale_hellos_are_looked_at_no_more_often_than_others() {
    let (mut world, hellos) = recorded();
    for _ in 0..10_000 {
        replay(&mut world, &hellos[0]);
    }
    let source = "82.7.7.7:40000".parse().unwrap();
    let answers = world.nodes[1].sent_to.get(&source).copied();
    assert!(answers.unwrap_or_default() <= 200, "{answers:?}");
}

#[test]
fn an_answer_to_a_stale_hello_says_nothing_to_whoever_asks_for_another() {
    let mut world = apart(-100 * HOUR, 0);
    dial(&mut world, 0, 1);
    world.run(ms(2000));
    let of_kind = |world: &World, kind| -> Vec<_> {
        let datagrams = world.probes.iter();
        let ours =
            datagrams.filter(|(to, _, bytes)| *to == 0 && DatagramKind::of(bytes) == Some(kind));
        ours.map(|(_, source, bytes)| (*source, bytes.clone()))
            .collect()
    };
    let stale = of_kind(&world, DatagramKind::Stale);
    assert_eq!(stale.len(), 1);
    leave(&mut world);
    dial(&mut world, 0, 1);
    let before = hellos(&world, 1).len();
    for (source, bytes) in &stale {
        for _ in 0..10 {
            let (sock, source) = (Sock::MAIN, *source);
            world.feed(
                0,
                Input::Datagram {
                    sock,
                    source,
                    bytes,
                },
            );
        }
    }
    world.run(ms(300));
    assert!(world.both(PeerState::Direct));
    assert_eq!(hellos(&world, 1).len(), before + 1, "one hello");
}

#[test]
fn who_is_not_let_in_gets_no_answer_to_a_stale_hello_either() {
    let mut world = World::new(1);
    world.relay_dies();
    world.off_ms = -HOUR * 100;
    world.add_stranger(Home::Public);
    world.off_ms = 0;
    world.add_stranger(Setup {
        access: Access::Only(vec![]),
        ..Home::Public.into()
    });
    dial(&mut world, 0, 1);
    world.run(ms(10_000));
    assert_eq!(world.nodes[1].machine.datagrams, 0);
    assert_eq!(world.nodes[0].failures[0].1, Failure::Silent);
    // It may have been recorded, so its owner hears nothing of it either.
    assert_eq!(world.nodes[1].machine.turned_away(world.now), []);
}

#[test]
fn a_clock_that_is_off_is_no_obstacle_through_a_relay_that_has_the_time_wrong_for_one_of_both() {
    for time_ms in [1_600_000_000_001, 5_690_000_000_000] {
        let mut world = World::new(1);
        world.add(Home::PortRestricted);
        world.relays[0].lies.time_ms = Some(time_ms);
        world.add(Home::PortRestricted);
        for (from, to) in [(0, 1), (1, 0)] {
            world.connect(from, to);
            world.run(ms(1000));
            assert!(world.both(PeerState::Direct), "{time_ms} {from}");
            leave(&mut world);
        }
    }
}

#[test]
fn a_clock_that_is_set_while_hellos_are_under_way_is_no_obstacle() {
    for off in OFF {
        for set in [0, 1] {
            for after in (0..300).step_by(10) {
                let mut world = apart(off, 0);
                dial(&mut world, 0, 1);
                world.run(ms(after));
                world.relays[0].up = true;
                world.relays[0].lies.time_ms = Some(world.unix_ms().saturating_add_signed(2 * off));
                world.register(set);
                world.run(ms(4000));
                assert!(world.both(PeerState::Direct), "{off} {set} {after}");
            }
        }
    }
}

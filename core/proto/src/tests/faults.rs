//! Replays, lies, and whatever else only a broken or hostile network does.

use std::net::SocketAddr;

use super::world::{Home, World, ms, relay};
use crate::{
    PeerState,
    io::{Input, Route, Sock},
    wire::stale,
};

const HOME: Home = Home::PortRestricted;

/// A world in which 0 dialled 1, all is forgotten again, and the INTRO that 1 got is on record.
fn recorded() -> (World, Vec<u8>) {
    let mut world = World::pair(HOME, HOME);
    world.connect(0, 1);
    world.run(ms(1000));
    let (to, intro) = world.recorded[0].clone();
    assert_eq!((to, intro[0]), (1, 0x04));
    (world, intro)
}

#[test]
fn a_replayed_intro_is_ignored_whenever_it_comes_and_by_whatever_way() {
    // After 60 s its sender is forgotten, and its timestamp still within the window.
    for wait in [0, 10_000, 60_000, 600_000] {
        let (mut world, intro) = recorded();
        world.release(0, 1);
        world.run(ms(wait));
        let (from, attested) = (world.nodes[0].id, "80.1.0.1:40000".parse().unwrap());
        let before = (world.nodes[1].signals, world.nodes[1].machine.datagrams);
        let state = world.state(1, 0);
        let bytes = &intro;
        for _ in 0..10 {
            world.feed(
                1,
                Input::RelayMessage {
                    relay: relay(),
                    from,
                    attested: Some(attested),
                    bytes,
                },
            );
            world.feed(
                1,
                Input::Datagram {
                    sock: Sock::MAIN,
                    source: attested,
                    bytes,
                },
            );
        }
        let after = (world.nodes[1].signals, world.nodes[1].machine.datagrams);
        assert_eq!(after, before, "after {wait} ms");
        assert_eq!(world.state(1, 0), state, "after {wait} ms");
    }
}

#[test]
fn an_old_intro_means_nothing_to_a_node_that_was_restarted() {
    let (mut world, intro) = recorded();
    world.run(ms(120_000));
    world.restart(1);
    let (from, attested) = (world.nodes[0].id, "80.1.0.1:40000".parse().unwrap());
    let before = (world.nodes[1].signals, world.nodes[1].machine.datagrams);
    world.feed(
        1,
        Input::RelayMessage {
            relay: relay(),
            from,
            attested: Some(attested),
            bytes: &intro,
        },
    );
    // But that its sender, and nobody else, is told the time.
    let answered = (before.0 + 1, before.1);
    assert_eq!(
        (world.nodes[1].signals, world.nodes[1].machine.datagrams),
        answered
    );
    assert_eq!(world.last_signal(1).len(), stale::PACKET_LEN);
    assert_eq!(world.state(1, 0), PeerState::Idle);
}

#[test]
fn an_intro_that_the_relay_says_is_somebody_elses_is_ignored() {
    let mut world = World::pair(HOME, HOME);
    world.add(HOME);
    world.connect(0, 1);
    world.run(ms(25));
    let intro = world.nodes[0].signals;
    assert_eq!(intro, 1);
    // The relay mixes the two up.
    world.run(ms(1000));
    let (_, bytes) = world.recorded[0].clone();
    world.restart(1);
    let (from, attested) = (world.nodes[2].id, "82.1.0.1:40000".parse().unwrap());
    world.feed(
        1,
        Input::RelayMessage {
            relay: relay(),
            from,
            attested: Some(attested),
            bytes: &bytes,
        },
    );
    assert_eq!(world.state(1, 2), PeerState::Idle);
    assert_eq!(world.state(1, 0), PeerState::Idle);
}

#[test]
fn datagrams_of_strangers_get_no_answer_and_leave_nothing_behind() {
    let mut world = World::pair(HOME, HOME);
    let source = "81.9.9.9:40000".parse().unwrap();
    for first in 0..=u8::MAX {
        for len in [0, 1, 17, 18, 79, 80, 81, 100, 1199, 1200, 1201, 65_507] {
            let mut bytes = vec![first; len];
            if let Some(version) = bytes.get_mut(1) {
                *version = 1;
            }
            world.feed(
                1,
                Input::Datagram {
                    sock: Sock::MAIN,
                    source,
                    bytes: &bytes,
                },
            );
        }
    }
    let node = &world.nodes[1];
    assert_eq!((node.signals, node.machine.datagrams), (0, 0));
    assert_eq!(node.machine.poll_timeout(), None);
}

#[test]
fn a_replayed_probe_is_not_answered() {
    let mut world = World::pair(HOME, Home::Public);
    world.connect(0, 1);
    world.run(ms(2000));
    assert!(world.both(PeerState::Direct));
    let probes = world.probes.clone();
    assert!(!probes.is_empty());
    let before = world.nodes[1].machine.datagrams;
    for (to, source, bytes) in &probes {
        if *to == 1 {
            world.feed(
                1,
                Input::Datagram {
                    sock: Sock::MAIN,
                    source: *source,
                    bytes,
                },
            );
            let elsewhere = "82.7.7.7:40000".parse().unwrap();
            world.feed(
                1,
                Input::Datagram {
                    sock: Sock::MAIN,
                    source: elsewhere,
                    bytes,
                },
            );
        }
    }
    assert_eq!(world.nodes[1].machine.datagrams, before);
}

#[test]
fn flipped_bits_anywhere_in_a_signal_are_noticed() {
    let (mut world, intro) = recorded();
    world.restart(1);
    let (from, attested) = (world.nodes[0].id, "80.1.0.1:40000".parse().unwrap());
    for position in (0..intro.len()).step_by(61) {
        let mut bytes = intro.clone();
        bytes[position] ^= 0x10;
        let bytes = &bytes;
        world.feed(
            1,
            Input::RelayMessage {
                relay: relay(),
                from,
                attested: Some(attested),
                bytes,
            },
        );
    }
    assert_eq!(world.state(1, 0), PeerState::Idle);
}

#[test]
fn a_clock_that_is_hours_off_does_not_matter_once_a_relay_told_the_time() {
    let mut world = World::pair(HOME, HOME);
    // Both got the relay's time when they registered; a third says nonsense.
    let (relay, observed) = (relay(), "81.1.0.1:40000".parse().unwrap());
    let addr = "5.9.0.1:4433".parse().unwrap();
    for unix_ms in [0, 1, u64::MAX] {
        let (relay, own_ms) = (relay.clone(), world.unix_ms());
        world.feed(
            1,
            Input::RelayUp {
                relay,
                addr,
                observed,
                unix_ms,
                own_ms,
            },
        );
    }
    world.connect(0, 1);
    world.run(ms(2000));
    assert!(world.both(PeerState::Direct));
}

/// Where somebody on the path sends copies from, faster than the peer, whose own packets then are replays.
fn elsewhere() -> SocketAddr {
    "82.7.7.7:40000".parse().unwrap()
}

#[test]
fn data_does_not_move_to_where_copies_of_the_peers_packets_come_from() {
    for (at, from) in [(0, 0), (1, 0), (0, 3000), (1, 3000)] {
        let mut world = World::pair(Home::Public, Home::Public);
        let copier = Some((at, elsewhere()));
        world.copier = copier.filter(|_| from == 0);
        world.link(0, 1);
        world.run(ms(from));
        world.copier = copier;
        // So rarely does data flow that the path is asked in between.
        world.chat_every = ms(20_000);
        let peer = world.nodes[1 - at].id;
        for _ in 0..120_000 {
            world.run(ms(1));
            let route = world.nodes[at].machine.route(peer);
            if let Some(Route::Direct(pair) | Route::Both(pair, _)) = route {
                assert_ne!(pair.addr, elsewhere());
            }
        }
        assert!(world.nodes[at].sent_to.contains_key(&elsewhere()));
        assert!(world.silence(at, 1 - at) <= ms(21_000), "the relay is left");
    }
}

#[test]
fn a_copied_packet_brings_the_place_it_comes_from_no_more_than_three_times_its_bytes() {
    for at in [0, 1] {
        let mut world = World::pair(Home::Public, Home::Public);
        world.link(0, 1);
        world.run(ms(3000));
        assert!(world.both(PeerState::Direct));
        world.hush();
        world.copier = Some((at, elsewhere()));
        let known = world.probes.len();
        let copies = |world: &World| -> usize {
            let later = world.probes[known..].iter();
            let copies = later.filter(|(_, source, _)| *source == elsewhere());
            copies.map(|(_, _, bytes)| bytes.len()).sum()
        };
        let asked = |world: &World| world.nodes[at].bytes_to.contains_key(&elsewhere());
        assert!(world.run_while(ms(60_000), |world| !asked(world)));
        world.copier = None;
        world.run(ms(60_000));
        let (sent, received) = (world.nodes[at].bytes_to[&elsewhere()], copies(&world));
        assert!(sent <= 3 * received, "{sent} for {received}");
    }
}

/// Times that relays may have, but do not: in 2020, and in 2150.
const WRONG: [u64; 2] = [1_600_000_000_001, 5_690_000_000_000];

#[test]
fn a_strangers_relay_does_not_take_a_node_away_from_the_time_of_all_others() {
    for time_ms in WRONG {
        let mut world = World::pair(HOME, HOME);
        let relay = world.add_relay();
        world.relays[relay].lies.time_ms = Some(time_ms);
        world.register_at(0, relay);
        world.connect(0, 1);
        world.run(ms(2000));
        assert!(world.both(PeerState::Direct), "{time_ms}");
    }
}

#[test]
fn a_relay_that_had_the_time_wrong_has_done_no_lasting_harm_when_it_has_it_right() {
    for time_ms in WRONG {
        let mut world = World::new(1);
        world.relays[0].lies.time_ms = Some(time_ms);
        world.add(HOME);
        world.add(HOME);
        world.connect(0, 1);
        world.run(ms(2000));
        assert!(
            world.both(PeerState::Direct),
            "{time_ms}: both have it wrong"
        );
        world.relays[0].lies.time_ms = None;
        world.register(0);
        world.restart(1);
        world.connect(1, 0);
        world.run(ms(2000));
        assert!(world.both(PeerState::Direct), "{time_ms}");
    }
}

#[test]
fn a_node_that_slept_takes_the_time_from_its_relay_though_its_own_clock_is_wrong() {
    let mut world = World::pair(HOME, HOME);
    let nap: u64 = 3 * 3_600_000;
    world.relays[0].lies.time_ms = Some(world.unix_ms() + nap);
    // By the nodes' own clock no time has passed, which is as wrong as can be.
    for at in 0..2 {
        world.feed(at, Input::Resumed);
    }
    world.register(0);
    world.restart(1);
    world.connect(0, 1);
    world.run(ms(2000));
    assert!(world.both(PeerState::Direct));
}

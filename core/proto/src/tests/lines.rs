//! Bad lines, small routers and lying relays.

use std::{net::SocketAddr, time::Duration};

use super::world::{Home, Lies, Line, Node, Plan, Style, World, ms};
use crate::PeerState;

const HOME: Home = Home::PortRestricted;

/// Two homes whose four lines are like this one.
fn between(seed: u64, homes: [Home; 2], line: &Line) -> World {
    let mut world = World::new(seed);
    for home in homes {
        let at = world.add(home);
        let site = world.nodes[at].site;
        world.net.sites[site].up = line.clone();
        world.net.sites[site].down = line.clone();
    }
    world
}

/// How long it takes until both are direct, in worlds with different seeds, sorted.
fn times(homes: [Home; 2], line: &Line) -> Vec<Duration> {
    let mut times: Vec<Duration> = (0..100)
        .map(|seed| {
            let mut world = between(seed, homes, line);
            world.connect(0, 1);
            let direct = world.run_while(ms(10_000), |world| !world.both(PeerState::Direct));
            assert!(direct, "seed {seed}");
            world.elapsed()
        })
        .collect();
    times.sort_unstable();
    times
}

/// A line that, with its like at the other home, loses this share of all packets.
fn lossy(loss: f64) -> Line {
    Line {
        loss: loss / 2.0,
        ..Line::new(ms(20))
    }
}

#[test]
fn lines_that_lose_packets_hardly_delay_a_direct_path() {
    for (loss, limit) in [(0.01, 600), (0.05, 600), (0.2, 2000)] {
        let times = times([HOME; 2], &lossy(loss));
        assert!(times[98] <= ms(limit), "{loss}: {:?}", &times[90..]);
    }
}

#[test]
fn a_home_whose_address_only_its_probes_tell_is_found_on_lossy_lines_all_the_same() {
    for homes in [
        [Home::Public, Home::Symmetric],
        [Home::Symmetric, Home::FullCone],
    ] {
        let times = times(homes, &lossy(0.2));
        assert!(times[98] <= ms(2000), "{homes:?}: {:?}", &times[90..]);
    }
}

#[test]
fn lines_that_lose_eight_packets_in_a_row_hardly_delay_a_direct_path() {
    for (bursts, limit) in [(0.001, 1000), (0.005, 2000)] {
        let line = Line {
            bursts,
            ..Line::new(ms(20))
        };
        let times = times([HOME; 2], &line);
        assert!(times[98] <= ms(limit), "{bursts}: {:?}", &times[90..]);
    }
}

#[test]
fn packets_that_come_late_twice_or_broken_do_no_harm() {
    let line = Line {
        reorder: 0.25,
        duplicate: 0.1,
        corrupt: 0.01,
        ..Line::new(ms(20))
    };
    for seed in 0..10 {
        let mut world = between(seed, [HOME; 2], &line);
        world.link(0, 1);
        world.run(ms(3000));
        assert!(world.both(PeerState::Direct), "seed {seed}");
        world.reset_gaps();
        let settled = world.elapsed();
        world.run(ms(60_000));
        for at in [0, 1] {
            assert_eq!(world.first(at, PeerState::Relayed, settled), None);
            assert!(world.nodes[at].gap <= ms(250), "{:?}", world.nodes[at].gap);
        }
    }
}

/// Two homes that have just met by way of lines that lose this share of packets each and take this long; the dialled one
/// takes the link as soon as it hears of it.
fn met(seed: u64, loss: f64, delay: u64) -> World {
    let line = Line {
        loss,
        jitter: ms(delay / 4),
        ..Line::new(ms(delay))
    };
    let mut world = between(seed, [HOME; 2], &line);
    world.connect(0, 1);
    let heard = world.run_while(ms(30_000), |world| world.state(1, 0) == PeerState::Idle);
    assert!(heard, "{loss}, {delay} ms, seed {seed}");
    world.connected(0, 1);
    world.talk(0, 1);
    world
}

/// The ladder of bad lines: share lost on each, its delay each way, and how long a direct path may take.
#[test]
fn the_worse_the_lines_the_longer_it_takes_but_direct_it_gets() {
    for (loss, delay, limit) in [
        (0.0, 5, 5),
        (0.01, 10, 5),
        (0.02, 25, 5),
        (0.05, 50, 8),
        (0.1, 75, 10),
        (0.15, 100, 15),
        (0.15, 150, 10),
        (0.2, 400, 30),
    ] {
        for seed in 0..50 {
            let mut world = met(seed, loss, delay);
            let left = ms(limit * 1000).saturating_sub(world.elapsed());
            let direct = world.run_while(left, |world| !world.both(PeerState::Direct));
            assert!(direct, "{loss}, {delay} ms, seed {seed}");
        }
    }
}

/// The last rung. Both sides hear each other all the time, whether a direct path comes about or not.
#[test]
fn on_lines_that_lose_a_quarter_and_take_800_ms_each_data_flows_by_the_relay() {
    for seed in 0..20 {
        let mut world = met(seed, 0.25, 800);
        world.run(ms(30_000));
        world.reset_gaps();
        world.run(ms(60_000));
        for at in [0, 1] {
            let gap = world.nodes[at].gap.max(world.silence(at, 1 - at));
            assert!(gap <= ms(2000), "seed {seed}: {gap:?}");
        }
    }
}

#[test]
fn a_router_with_room_for_64_flows_keeps_the_link_that_it_has() {
    let small = Plan::v4(vec![Style {
        limit: 64,
        ..Style::LINUX
    }]);
    let mut world = World::pair(small, HOME);
    for _ in 0..4 {
        world.add(Home::Public);
    }
    world.link(0, 1);
    world.run(ms(3000));
    assert!(world.both(PeerState::Direct));
    for other in 2..6 {
        world.link(0, other);
    }
    world.reset_gaps();
    world.run(ms(60_000));
    assert!(world.both(PeerState::Direct));
    assert!(world.nodes[0].gap <= ms(100), "{:?}", world.nodes[0].gap);
}

#[test]
fn a_relay_that_lies_does_not_touch_a_direct_path() {
    let mut world = World::pair(HOME, HOME);
    world.add(HOME);
    world.link(0, 1);
    world.run(ms(3000));
    assert!(world.both(PeerState::Direct));
    world.relays[0].lies = Lies {
        attests: Some("91.7.7.7:40000".parse().unwrap()),
        drops: 0.5,
        delays: 0.5,
        replays: 0.5,
        mixes: 0.5,
        ..Lies::default()
    };
    world.connect(2, 0);
    world.reset_gaps();
    let settled = world.elapsed();
    world.run(ms(60_000));
    assert_eq!(world.first(1, PeerState::Relayed, settled), None);
    assert!(world.both(PeerState::Direct));
    assert!(world.nodes[1].gap <= ms(100), "{:?}", world.nodes[1].gap);
}

#[test]
fn a_relay_that_says_that_everybody_is_a_victim_brings_it_no_packets() {
    let victim = "91.7.7.7:40000".parse().unwrap();
    let mut world = World::pair(HOME, HOME);
    world.relays[0].lies.attests = Some(victim);
    world.link(0, 1);
    world.run(ms(60_000));
    assert!(world.both(PeerState::Direct), "their own candidates do");
    for node in &world.nodes {
        assert_eq!(node.sent_to.get(&victim), None);
    }
}

#[test]
fn a_relay_that_says_that_everybody_is_where_nobody_may_be_probed_has_no_holes_opened_to_there() {
    for (attests, home, other) in [
        ("91.7.7.7:1900", Home::Symmetric, HOME),
        ("91.7.7.7:53", Home::Symmetric, HOME),
        ("224.0.0.251:40000", Home::Symmetric, HOME),
    ] {
        let mut world = World::pair(home, other);
        let nowhere: SocketAddr = attests.parse().unwrap();
        world.relays[0].lies.attests = Some(nowhere);
        world.link(0, 1);
        world.run(ms(15_000));
        let there = |node: &Node| node.sent_to.contains_key(&nowhere);
        assert!(!world.nodes.iter().any(there), "{attests}");
    }
}

#[test]
fn a_relay_in_the_internet_that_says_that_everybody_is_in_a_local_network_has_nothing_sent_there() {
    for (attests, home) in [
        ("10.77.0.5:40000", HOME),
        ("10.77.0.5:40000", Home::Symmetric),
        ("192.168.77.5:40000", HOME),
        ("100.64.7.5:40000", Home::Symmetric),
    ] {
        let mut world = World::pair(home, Home::Symmetric);
        let nearby: SocketAddr = attests.parse().unwrap();
        world.relays[0].lies.attests = Some(nearby);
        world.link(0, 1);
        world.run(ms(15_000));
        let there = |node: &Node| node.sent_to.keys().any(|addr| addr.ip() == nearby.ip());
        assert!(!world.nodes.iter().any(there), "{attests}");
    }
}

#[test]
fn a_relay_that_loses_mixes_and_repeats_messages_is_outlasted() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        for _ in 0..3 {
            world.add(HOME);
        }
        world.relays[0].lies = Lies {
            drops: 0.3,
            delays: 0.3,
            replays: 0.3,
            mixes: 0.2,
            ..Lies::default()
        };
        world.connect(0, 1);
        let direct = world.run_while(ms(60_000), |world| !world.both(PeerState::Direct));
        assert!(direct, "seed {seed}");
        assert_eq!(world.state(1, 2), PeerState::Idle);
    }
}

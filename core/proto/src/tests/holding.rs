//! Paths that are held: idle ones, equal ones, and ones that keep dying.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use super::world::{Home, Line, Plan, Style, World, ms};
use crate::{PeerState, io::Route};

fn linked(a: impl Into<Plan>, b: impl Into<Plan>) -> World {
    let mut world = World::pair(a.into(), b.into());
    world.link(0, 1);
    world.run(ms(4000));
    assert!(world.both(PeerState::Direct));
    world.reset_gaps();
    world
}

/// How often the data of a node takes another path, in this time.
fn changes(world: &mut World, at: usize, time: Duration) -> usize {
    let peer = world.nodes[1 - at].id;
    let mut changes = 0;
    let mut last = None;
    let end = world.now + time;
    while world.now < end {
        world.run(ms(100));
        let first = match world.nodes[at].machine.route(peer) {
            Some(Route::Direct(pair) | Route::Both(pair, _)) => Some(*pair),
            Some(Route::Relay(_) | Route::Nowhere) | None => None,
        };
        changes += usize::from(last.is_some_and(|last| last != first));
        last = Some(first);
    }
    changes
}

/// How often a node doubted its path since then.
fn doubts(world: &World, at: usize, from: Duration) -> usize {
    let states = &world.nodes[at].states;
    let doubt =
        |(time, state): &&(Duration, PeerState)| *time >= from && *state == PeerState::Suspect;
    states.iter().filter(doubt).count()
}

#[test]
fn two_equal_paths_with_jitter_change_places_at_most_twice_in_ten_minutes() {
    let mut world = linked(Home::Dual, Home::Dual);
    for site in &mut world.net.sites {
        site.up.jitter = ms(5);
        site.down.jitter = ms(5);
    }
    world.chat_every = ms(250);
    assert!(changes(&mut world, 0, ms(600_000)) <= 2);
}

#[test]
fn a_path_that_keeps_dying_is_left_alone_ever_longer() {
    let mut world = linked(Home::PortRestricted, Home::PortRestricted);
    world.chat_every = ms(100);
    let mut early = 0;
    let mut late = 0;
    for turn in 0..60 {
        world.cut = turn % 2 == 0;
        let count = changes(&mut world, 0, ms(5000));
        *(if turn < 12 { &mut early } else { &mut late }) += count;
    }
    assert!(early <= 8, "{early}");
    assert!(late <= 2, "{late}");
    world.cut = false;
    assert!(world.run_while(ms(120_000), |world| !world.both(PeerState::Direct)));
}

#[test]
fn a_path_that_works_again_is_taken_again_within_seconds() {
    for outage in [3000, 10_000, 19_000] {
        let mut world = linked(Home::PortRestricted, Home::PortRestricted);
        world.cut = true;
        world.run(ms(outage));
        assert!(!world.both(PeerState::Direct));
        world.cut = false;
        let back = world.elapsed();
        assert!(world.run_while(ms(3000), |world| !world.both(PeerState::Direct)));
        let took = world.elapsed() - back;
        assert!(took >= ms(900), "{took:?}: it was not on trial");
    }
}

#[test]
fn an_idle_path_stays_open_through_short_lived_mappings() {
    for life in [12_000, 20_000, 26_000] {
        let short = || {
            Plan::v4(vec![Style {
                life: (ms(life), ms(life)),
                ..Style::LINUX
            }])
        };
        let mut world = linked(short(), short());
        world.hush();
        let quiet = world.elapsed();
        world.run(ms(900_000));
        let deaths = doubts(&world, 0, quiet).max(doubts(&world, 1, quiet));
        assert!(deaths <= 2, "{life}: {deaths}");
        let settled = world.elapsed();
        world.run(ms(900_000));
        assert_eq!(doubts(&world, 0, settled), 0, "{life}");
        assert!(
            world.both(PeerState::Direct),
            "{life} {:?} {:?}",
            world.nodes[0].states,
            world.nodes[1].states
        );
        world.talk(0, 1);
        world.run(ms(2000));
        assert!(world.nodes[0].gap <= ms(100), "{:?}", world.nodes[0].gap);
    }
}

#[test]
fn ways_there_and_back_that_differ_do_not_cost_the_link() {
    for at in [0, 1] {
        for (loss, slow) in [(0.0, 200), (0.2, 20), (0.1, 200)] {
            let what = format!("{at}, {loss}, {slow} ms");
            let mut world = World::pair(Home::PortRestricted, Home::PortRestricted);
            world.net.sites[at].up = Line {
                loss,
                ..Line::new(ms(slow))
            };
            world.link(0, 1);
            assert!(world.run_while(ms(4000), |world| !world.both(PeerState::Direct)));
            // The dialled side has heard of the link only by now.
            world.connected(0, 1);
            world.reset_gaps();
            let settled = world.elapsed();
            world.run(ms(60_000));
            for node in &world.nodes {
                assert!(node.gap <= ms(500), "{what}: {:?}", node.gap);
            }
            world.hush();
            world.run(ms(900_000));
            for side in [0, 1] {
                assert_eq!(
                    world.first(side, PeerState::Relayed, settled),
                    None,
                    "{what}"
                );
                let deaths = doubts(&world, side, settled);
                assert!(loss > 0.0 || deaths <= 2, "{what}: {deaths}");
            }
        }
    }
}

/// A home whose packets leave by another uplink than the one that the relay sees, with flows that live for 20 s, and another.
fn detoured(other: Home) -> World {
    let mut world = World::new(1);
    let at = world.add(Home::PortRestricted);
    let second = Style {
        life: (ms(20_000), ms(20_000)),
        ..Style::LINUX
    };
    world.net.add_detour(at, second, &mut world.rng);
    world.add(other);
    world.link(0, 1);
    world.run(ms(10_000));
    world.reset_gaps();
    world
}

#[test]
fn a_host_whose_answers_leave_by_another_uplink_is_direct_with_whoever_lets_strangers_in() {
    for other in [Home::Public, Home::FullCone, Home::SymmetricMapped] {
        let mut world = detoured(other);
        assert!(world.both(PeerState::Direct), "{other:?}");
        let settled = world.elapsed();
        let deaths = |world: &World| doubts(world, 0, settled).max(doubts(world, 1, settled));
        world.run(ms(60_000));
        assert_eq!(deaths(&world), 0, "{other:?}");
        world.hush();
        world.run(ms(3_600_000));
        assert!(deaths(&world) <= 2, "{other:?}: {}", deaths(&world));
        assert!(world.both(PeerState::Direct), "{other:?}");
    }
}

#[test]
fn a_host_whose_answers_leave_by_another_uplink_keeps_its_relayed_link_with_others() {
    let mut world = detoured(Home::PortRestricted);
    world.run(ms(120_000));
    for node in &world.nodes {
        assert!(node.gap <= ms(100), "{:?}", node.gap);
    }
}

#[test]
fn an_idle_path_costs_a_few_packets_a_minute() {
    let mut world = linked(Home::PortRestricted, Home::PortRestricted);
    world.hush();
    world.run(ms(10_000));
    let before = world.probes.len();
    world.run(ms(600_000));
    let arrived = world.probes.len() - before;
    // A question and its answer every 15 to 25 s.
    assert!((40..=110).contains(&arrived), "{arrived}");
}

#[test]
fn a_spare_path_takes_over_when_there_is_no_relay() {
    let mut world = linked(Home::Dual, Home::Dual);
    world.run(ms(5000));
    let peer = world.nodes[1].id;
    let v6 = |world: &World| match world.nodes[0].machine.route(peer) {
        Some(Route::Direct(pair) | Route::Both(pair, _)) => Some(pair.addr.is_ipv6()),
        Some(Route::Relay(_) | Route::Nowhere) | None => None,
    };
    assert_eq!(v6(&world), Some(true), "the bias is for IPv6");
    world.relay_dies();
    world.run(ms(60_000));
    world.reset_gaps();
    for nat in &mut world.net.nats {
        if nat.style.kind == Style::FIREWALL.kind {
            nat.style.life = (ms(0), ms(0));
        }
    }
    world.run(ms(3000));
    assert_eq!(v6(&world), Some(false));
    for node in &world.nodes {
        assert!(node.gap <= ms(600), "{:?}", node.gap);
    }
}

#[test]
fn a_node_with_many_idle_peers_wakes_up_once_a_second_at_most() {
    const PEERS: usize = 30;
    const SECONDS: usize = 120;
    let mut world = World::new(1);
    let node = world.add(Home::PortRestricted);
    for _ in 0..PEERS {
        let peer = world.add(Home::PortRestricted);
        world.link(peer, node);
    }
    world.run(ms(5000));
    world.hush();
    world.run(ms(5000));
    let asked = world.nodes[node].sent_to.values().sum::<usize>();
    let mut wakes = BTreeSet::new();
    for _ in 0..SECONDS * 50 {
        let due = world.nodes[node].machine.poll_timeout();
        // Whatever is due when the step ends is done in it.
        wakes.extend(due.filter(|at| *at <= world.now + ms(20)));
        world.run(ms(20));
    }
    let asked = world.nodes[node].sent_to.values().sum::<usize>() - asked;
    assert!(asked > PEERS * SECONDS / 30, "{asked}");
    assert!(!wakes.is_empty());
    assert!(wakes.len() <= SECONDS + 1, "{}", wakes.len());
}

/// Peers that called one node and are silent now.
fn crowd(home: impl Fn() -> Plan, peers: usize) -> World {
    let mut world = World::new(1);
    let node = world.add(Home::PortRestricted);
    for _ in 0..peers {
        let peer = world.add(home());
        world.link(peer, node);
    }
    world.run(ms(5500));
    world.hush();
    world
}

/// How many of the questions on idle paths were the first node's, and how many its peers', in this time.
fn askers(world: &mut World, seconds: u64) -> (usize, usize) {
    let homes: Vec<IpAddr> = (0..world.nodes.len()).map(|at| world.public(at)).collect();
    let (mut ours, mut theirs) = (0, 0);
    for _ in 0..seconds {
        let before = world.probes.len();
        world.run(ms(1000));
        let mut seen = BTreeSet::new();
        // What arrives first is the question.
        for (at, source, _) in &world.probes[before..] {
            let home = if *at == 0 { source.ip() } else { homes[*at] };
            if seen.insert(home) {
                *(if *at == 0 { &mut theirs } else { &mut ours }) += 1;
            }
        }
    }
    (ours, theirs)
}

#[test]
fn a_node_with_many_peers_asks_before_they_do() {
    const PEERS: usize = 30;
    let mut world = crowd(|| Home::PortRestricted.into(), PEERS);
    let (ours, theirs) = askers(&mut world, 600);
    assert!(theirs * 50 <= ours, "{ours} and {theirs}");
    // Every 22 s at the end.
    assert!((PEERS * 26..PEERS * 32).contains(&ours), "{ours}");
}

#[test]
fn of_two_with_few_peers_either_may_ask() {
    let mut world = crowd(|| Home::PortRestricted.into(), 1);
    let (ours, theirs) = askers(&mut world, 600);
    assert!(ours >= 5 && theirs >= 5, "{ours} and {theirs}");
    assert!(ours + theirs <= 30, "{ours} and {theirs}");
}

#[test]
fn a_node_with_many_peers_finds_out_how_long_their_mappings_live() {
    let short = || {
        Plan::v4(vec![Style {
            life: (ms(20_000), ms(20_000)),
            ..Style::LINUX
        }])
    };
    let mut world = crowd(short, 20);
    let quiet = world.elapsed();
    world.run(ms(900_000));
    let deaths: Vec<usize> = (1..=20).map(|at| doubts(&world, at, quiet)).collect();
    assert!(deaths.iter().all(|deaths| *deaths <= 2), "{deaths:?}");
    let settled = world.elapsed();
    world.run(ms(900_000));
    for at in 1..=20 {
        assert_eq!(doubts(&world, at, settled), 0);
        assert_eq!(world.state(0, at), PeerState::Direct);
    }
}
